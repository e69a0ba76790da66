"""zerorpc, whose release on PyPI has no tests: calls, streams, errors, timeouts, a lost server.

Run by tools/pyzmq_tests.py with pyzmq and on ratchet.
"""

import gevent
import pytest
import zerorpc


class Service:
    """What the client asks for."""

    def add(self, a, b):
        return a + b

    def fail(self):
        raise ValueError("as it should")

    def sleep(self, seconds):
        gevent.sleep(seconds)
        return seconds

    @zerorpc.stream
    def count(self, n):
        return iter(range(n))


@pytest.fixture
def endpoint(tmp_path):
    return f"ipc://{tmp_path}/z"


@pytest.fixture
def serve(endpoint):
    servers = []

    def serve(thing=None, **options):
        server = zerorpc.Server(Service() if thing is None else thing, **options)
        server.bind(endpoint)
        servers.append((server, gevent.spawn(server.run)))
        return server

    yield serve
    for server, task in servers:
        server.stop()
        server.close()
        task.kill()


@pytest.fixture
def client(endpoint):
    clients = []

    def client(**options):
        clients.append(zerorpc.Client(**options))
        clients[-1].connect(endpoint)
        return clients[-1]

    yield client
    for one in clients:
        one.close()


def test_calls(serve, client):
    serve()
    one = client()
    assert [one.add(n, 1) for n in range(200)] == list(range(1, 201))


def test_many_clients_at_once(serve, client):
    serve()
    clients = [client() for _ in range(5)]
    tasks = [gevent.spawn(one.add, n, m) for n, one in enumerate(clients) for m in range(40)]
    gevent.joinall(tasks, timeout=30)
    assert [task.value for task in tasks] == [n + m for n in range(5) for m in range(40)]


def test_a_stream(serve, client):
    serve()
    assert list(client().count(3000)) == list(range(3000))


def test_an_error_is_told(serve, client):
    serve()
    with pytest.raises(zerorpc.RemoteError) as caught:
        client().fail()
    assert (caught.value.name, caught.value.msg) == ("ValueError", "as it should")


def test_a_timeout(serve, client):
    serve()
    one = client(timeout=0.3)
    with pytest.raises(zerorpc.TimeoutExpired):
        one.sleep(5)
    assert one.add(1, 2) == 3


def test_a_long_call_beside_heartbeats(serve, client):
    serve(heartbeat=0.5)
    assert client(heartbeat=0.5).sleep(2) == 2


def test_a_lost_server_is_noticed(serve, client):
    server = serve(heartbeat=0.5)
    one = client(heartbeat=0.5)
    assert one.add(1, 1) == 2
    task = gevent.spawn(one.sleep, 30)
    gevent.sleep(0.1)
    server.close()
    with pytest.raises(zerorpc.LostRemote):
        task.get(timeout=30)


def test_publish_and_subscribe(endpoint):
    got = gevent.queue.Queue()

    class Subscriber(zerorpc.Subscriber):
        def seen(self, n):
            got.put(n)

    publisher, subscriber = zerorpc.Publisher(), Subscriber()
    publisher.bind(endpoint)
    subscriber.connect(endpoint)
    task = gevent.spawn(subscriber.run)
    for n in range(1000):  # a publisher drops what comes before it knows of the subscriber
        publisher.seen(n)
        try:
            assert got.get(timeout=0.05) <= n
            break
        except gevent.queue.Empty:
            continue
    else:
        raise AssertionError("nothing came")
    task.kill()
    subscriber.close()
    publisher.close()
