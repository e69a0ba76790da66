"""zmq.green by pyzmq's API: greenlets of gevent's, their timeouts, polls, several hubs, devices."""

import os
import threading

import pytest

gevent = pytest.importorskip("gevent")

import zmq.green as zmq  # noqa: E402 (it needs gevent)

LONG = 20_000  # milliseconds, of what never takes that long
SHORT = 20


@pytest.fixture(autouse=True)
def hub():
    """The hub of the main thread, which goes with the test."""
    made = gevent.get_hub()
    yield made
    gevent.sleep(0.001)  # libev's default loop, which comes again, counts what was not called
    made.destroy(destroy_loop=True)


@pytest.fixture
def context(hub):
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def link(context):
    """Two connected sockets."""
    count = 0

    def link(left, right, **options):
        nonlocal count
        count += 1
        bound, other = context.socket(left), context.socket(right)
        for socket in (bound, other):
            for name, value in options.items():
                setattr(socket, name, value)
        bound.bind(f"inproc://green{count}")
        other.connect(f"inproc://green{count}")
        return bound, other

    return link


def done(*tasks):
    """What greenlets return; they are done soon."""
    with gevent.Timeout(LONG / 1000):
        return [task.get() for task in tasks]


def ended(*threads):
    """Let greenlets run until OS threads have ended."""
    with gevent.Timeout(LONG / 1000):
        while any(thread.is_alive() for thread in threads):
            gevent.sleep(0.001)


def test_a_wait_lets_others_run(link):
    left, right = link(zmq.PAIR, zmq.PAIR)

    def answer():
        for _ in range(300):
            left.send_multipart([b"re", *left.recv_multipart()])

    def ask():
        for n in range(300):
            right.send(b"%d" % n)
            assert right.recv(copy=False).bytes == b"re"
            assert right.recv() == b"%d" % n

    done(gevent.spawn(answer), gevent.spawn(ask))


def test_calls_that_have_to_wait(link):
    left, right = link(zmq.PUSH, zmq.PULL, sndhwm=2, rcvhwm=2)
    count = 500

    def send():
        for n in range(count):
            left.send_json({"n": n})

    def receive():
        return [right.recv_json()["n"] for _ in range(count)]

    assert done(gevent.spawn(receive), gevent.spawn(send))[0] == list(range(count))


def test_receiving_into_a_buffer(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    if not hasattr(right, "recv_into"):
        pytest.skip("this pyzmq has none")
    target = bytearray(3)
    task = gevent.spawn(right.recv_into, target)
    gevent.sleep(0)
    left.send(b"abc")
    assert done(task) == [3]
    assert target == b"abc"


def test_now_or_never(link):
    left, right = link(zmq.PUSH, zmq.PULL, sndhwm=1, rcvhwm=1)
    with pytest.raises(zmq.Again):
        right.recv(zmq.NOBLOCK)
    for _ in range(2):
        left.send(b"x", zmq.NOBLOCK)
    with pytest.raises(zmq.Again):
        left.send(b"x", zmq.NOBLOCK)


@pytest.mark.ratchet
def test_timeouts_work(link):
    left, right = link(zmq.PUSH, zmq.PULL, sndhwm=1, rcvhwm=1)
    with pytest.warns(UserWarning, match="none with pyzmq's own backend"):
        left.sndtimeo = right.rcvtimeo = SHORT
    assert (left.sndtimeo, right.rcvtimeo) == (SHORT, SHORT)
    turns = []
    counter = gevent.spawn(lambda: [turns.append(gevent.sleep(0.001)) for _ in range(1000)])
    for call in (right.recv, right.recv_multipart):
        with pytest.raises(zmq.Again):
            call()
    for n in range(2):
        left.send_multipart([b"%d" % n, b"part"])
    with pytest.raises(zmq.Again):
        left.send_multipart([b"2", b"part"])
    assert turns  # others ran
    counter.kill()
    for n in range(2):  # and what was refused is not among them
        assert right.recv_multipart() == [b"%d" % n, b"part"]
    assert right.poll(0) == 0


@pytest.mark.ratchet
def test_a_gevent_timeout_loses_nothing(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    count, got = 200, []

    def send():
        for n in range(count):
            left.send_multipart([b"%d" % n, b""])
            gevent.sleep(0.0005)

    sender = gevent.spawn(send)
    with gevent.Timeout(LONG / 1000):
        while len(got) < count:
            with gevent.Timeout(0.0004, False):
                while True:
                    got.append(int(right.recv_multipart()[0]))
    assert got == list(range(count))
    done(sender)


@pytest.mark.ratchet
def test_a_kill_loses_nothing(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    for n in range(50):
        victim, heir = gevent.spawn(right.recv), gevent.spawn(right.recv)
        gevent.sleep(0)
        left.send(b"%d" % n)
        victim.kill()
        if not isinstance(victim.value, bytes):
            assert done(heir) == [b"%d" % n]
        heir.kill()


@pytest.mark.ratchet
def test_many_greenlets_wait_in_one_socket(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    tasks = [gevent.spawn(right.recv) for _ in range(20)]
    gevent.sleep(0)
    for n in range(20):
        left.send(b"%d" % n)
    assert done(*tasks) == [b"%d" % n for n in range(20)]


@pytest.mark.ratchet
def test_parts_of_two_greenlets_do_not_mix(link):
    """A call may let the others run between two parts."""
    left, right = link(zmq.PUSH, zmq.PULL, sndhwm=3, rcvhwm=3)
    count, got = 400, []

    def send(name):
        for n in range(count):
            left.send(b"%d" % name, zmq.SNDMORE)
            left.send(b"%d %d" % (name, n), zmq.SNDMORE)
            left.send(b"%d" % n)

    def receive():
        for _ in range(count):
            first = right.recv()
            assert right.rcvmore
            got.append((first, right.recv(), right.recv()))
            assert not right.rcvmore

    done(*[gevent.spawn(send, n) for n in (1, 2)], *[gevent.spawn(receive) for _ in range(2)])
    assert sorted(got) == sorted(
        (b"%d" % name, b"%d %d" % (name, n), b"%d" % n) for name in (1, 2) for n in range(count)
    )


def test_a_message_that_is_given_up_leaves_nothing(link):
    """Its first part is not sent with those of the next."""
    left, right = link(zmq.PUSH, zmq.PULL, sndhwm=1, rcvhwm=1)
    sent = 0
    with gevent.Timeout(SHORT / 1000, False):
        while True:
            left.send(b"first", zmq.SNDMORE)
            left.send(b"%d" % sent)
            sent += 1
    for n in range(sent):
        assert right.recv_multipart() == [b"first", b"%d" % n]
    left.send_multipart([b"first", b"next"])
    assert done(gevent.spawn(right.recv_multipart)) == [[b"first", b"next"]]


def test_a_message_from_before_the_hub(link):
    """The main greenlet goes on with it."""
    left, right = link(zmq.PAIR, zmq.PAIR)
    raised = []

    def body():
        try:
            left.send(b"a", zmq.SNDMORE)
            gevent.sleep(0)  # from here on there is a hub in this OS thread
            left.send(b"b")
        except BaseException as error:
            raised.append(error)
        gevent.get_hub().destroy()

    thread = threading.Thread(target=body)
    thread.start()
    ended(thread)
    assert not raised
    assert done(gevent.spawn(right.recv_multipart)) == [[b"a", b"b"]]


def test_a_poller(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    read, write = os.pipe()
    poller = zmq.Poller()
    poller.register(right, zmq.POLLIN)
    poller.register(read, zmq.POLLIN)
    assert poller.poll(0) == []
    assert poller.poll(SHORT) == []
    task = gevent.spawn(poller.poll)
    gevent.sleep(0)
    assert not task.ready()
    left.send(b"x")
    assert done(task) == [[(right, zmq.POLLIN)]]
    assert right.recv() == b"x"
    task = gevent.spawn(poller.poll, LONG)
    gevent.sleep(0)
    os.write(write, b"y")
    assert done(task) == [[(read, zmq.POLLIN)]]
    assert left.poll(LONG, zmq.POLLIN | zmq.POLLOUT) == zmq.POLLOUT
    os.close(write)
    os.close(read)


@pytest.mark.ratchet
def test_a_poll_does_not_spin(link):
    """ZMQ_FD stays readable as long as nobody looks; the loop must not turn for that."""
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send(b"x")
    poller = zmq.Poller()
    poller.register(left, zmq.POLLIN)
    poller.register(right, zmq.POLLOUT | zmq.POLLIN)
    assert poller.poll(LONG)
    poller.modify(right, 0)
    turns = 0

    def count():
        nonlocal turns
        turns += 1

    watcher = gevent.get_hub().loop.prepare(ref=False)
    watcher.start(count)
    assert poller.poll(300) == []
    watcher.stop()
    watcher.close()
    assert turns < 50


@pytest.mark.ratchet
def test_several_hubs_share_a_socket(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    count, got = 200, []

    def hub():
        try:
            tasks = [
                gevent.spawn(lambda: [right.recv() for _ in range(count // 4)]) for _ in range(2)
            ]
            for task in tasks:
                got.extend(task.get())
        finally:
            gevent.get_hub().destroy()

    threads = [threading.Thread(target=hub) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(count):
        left.send(b"%d" % n)
        gevent.sleep(0)
    ended(*threads)
    assert sorted(map(int, got)) == list(range(count))


@pytest.mark.ratchet
def test_close_and_term_wake_who_waits():
    """pyzmq's term() would wait for ever for a greenlet of its own OS thread."""
    context = zmq.Context()
    raised = []

    def receive(socket):
        try:
            socket.recv()
        except zmq.ZMQError as error:
            raised.append(error.errno)
        socket.close(0)

    first, second = context.socket(zmq.PULL), context.socket(zmq.PULL)
    for socket in (first, second):
        socket.bind("tcp://127.0.0.1:*")
    tasks = [gevent.spawn(receive, socket) for socket in (first, second)]
    gevent.sleep(0)
    first.close()
    done(tasks[0])
    context.term()
    done(tasks[1])
    assert raised == [zmq.ENOTSOCK, zmq.ETERM]


def test_a_device(context):
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    front.bind("inproc://front")
    back.bind("inproc://back")
    task = gevent.spawn(zmq.device, zmq.QUEUE, front, back)
    client, worker = context.socket(zmq.REQ), context.socket(zmq.REP)
    client.connect("inproc://front")
    worker.connect("inproc://back")

    def work():
        while True:
            worker.send(b"re " + worker.recv())

    server = gevent.spawn(work)

    def ask():
        for n in range(300):
            client.send(b"%d" % n)
            assert client.recv() == b"re %d" % n

    done(gevent.spawn(ask))
    server.kill()
    task.kill()
