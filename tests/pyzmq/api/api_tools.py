"""What stands on pyzmq's sockets: tornado's streams, authenticators, ssh, logging, decorators."""

import asyncio
import logging
import threading

import pytest
import zmq
import zmq.asyncio
import zmq.auth
import zmq.decorators
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.auth.thread import ThreadAuthenticator
from zmq.log.handlers import PUBHandler

LONG = 20_000  # milliseconds


def test_a_stream(context):
    pytest.importorskip("tornado")
    from zmq.eventloop.zmqstream import ZMQStream

    count = 200

    async def main():
        left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        port = left.bind_to_random_port("tcp://127.0.0.1")
        right.connect(f"tcp://127.0.0.1:{port}")
        one, other = ZMQStream(left), ZMQStream(right)
        sent, got, done = [], [], asyncio.get_running_loop().create_future()

        def on_recv(message):
            got.append(message)
            if len(got) >= count:
                one.stop_on_recv()
                done.set_result(None)

        one.on_send(lambda message, _status: sent.append(message))
        one.on_recv(on_recv)
        other.on_recv_stream(lambda stream, message: stream.send_multipart([b"re", *message]))
        for n in range(count):
            one.send_multipart([b"%d" % n, b"part"])
        await asyncio.wait_for(done, LONG / 1000)
        other.stop_on_recv()
        right.send(b"not asked for")
        assert left.poll(LONG)
        await asyncio.sleep(0)
        done = asyncio.get_running_loop().create_future()
        one.on_recv(on_recv)
        await asyncio.wait_for(done, LONG / 1000)
        one.flush()
        closed = []
        one.set_close_callback(lambda: closed.append(True))
        for stream in (one, other):
            stream.close(linger=0)
        await asyncio.sleep(0)
        return sent, got, closed

    sent, got, closed = asyncio.run(main())
    assert sent == [[b"%d" % n, b"part"] for n in range(count)]
    assert got == [*([b"re", b"%d" % n, b"part"] for n in range(count)), [b"not asked for"]]
    assert closed == [True]


def answered(context, server, **options):
    """True if a client with these options is let in; False if it is refused."""
    client = context.socket(zmq.DEALER)
    for name, value in options.items():
        setattr(client, name, value)
    monitor = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | 0x7000)
    client.connect(server.last_endpoint.decode())
    assert monitor.poll(LONG)
    from zmq.utils.monitor import recv_monitor_message

    event = recv_monitor_message(monitor)["event"]
    client.disable_monitor()
    client.close(0)
    monitor.close(0)
    return event == zmq.EVENT_HANDSHAKE_SUCCEEDED


def test_an_authenticator_in_a_thread(context, tmp_path):
    auth = ThreadAuthenticator(context)
    auth.start()
    try:
        auth.configure_plain(domain="plain", passwords={"me": "secret"})
        plain = context.socket(zmq.ROUTER)
        plain.plain_server = 1
        plain.zap_domain = b"plain"
        plain.bind("tcp://127.0.0.1:*")
        for password, good in ((b"secret", True), (b"wrong", False)):
            options = {"plain_username": b"me", "plain_password": password}
            assert answered(context, plain, **options) == good
        for name in ("server", "friend", "stranger"):
            zmq.auth.create_certificates(tmp_path, name)
        keys = {
            name: zmq.auth.load_certificate(tmp_path / f"{name}.key_secret")
            for name in ("server", "friend", "stranger")
        }
        (tmp_path / "known").mkdir()
        (tmp_path / "friend.key").rename(tmp_path / "known" / "friend.key")
        auth.configure_curve(domain="curve", location=tmp_path / "known")
        curve = context.socket(zmq.ROUTER)
        curve.curve_publickey, curve.curve_secretkey = keys["server"]
        curve.curve_server = 1
        curve.zap_domain = b"curve"
        curve.bind("tcp://127.0.0.1:*")
        for name, good in (("friend", True), ("stranger", False)):
            public, secret = keys[name]
            assert good == answered(
                context,
                curve,
                curve_publickey=public,
                curve_secretkey=secret,
                curve_serverkey=keys["server"][0],
            )
    finally:
        auth.stop()


def test_an_authenticator_in_a_loop():
    async def main():
        context = zmq.asyncio.Context()
        auth = AsyncioAuthenticator(context)
        auth.start()
        auth.allow("127.0.0.1")
        auth.configure_plain(domain="plain", passwords={"me": "secret"})
        server, client = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        server.plain_server = 1
        server.zap_domain = b"plain"
        port = server.bind_to_random_port("tcp://127.0.0.1")
        client.plain_username, client.plain_password = b"me", b"secret"
        client.connect(f"tcp://127.0.0.1:{port}")
        await client.send(b"let in")
        found = await asyncio.wait_for(server.recv(copy=False), LONG / 1000)
        auth.stop()
        context.destroy(linger=0)
        return found.bytes, found.get("User-Id")

    assert asyncio.run(main()) == (b"let in", "me")


def test_a_connection_through_ssh(context, monkeypatch):
    """What ssh would listen at is where the socket connects."""
    from zmq import ssh

    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    asked = []

    def tunnel(lport, rport, server, remoteip="127.0.0.1", keyfile=None, password=None, timeout=60):
        asked.append((rport, server, remoteip, keyfile, password, timeout))
        pull.bind(f"tcp://127.0.0.1:{lport}")
        return "its process"

    monkeypatch.setattr(ssh.tunnel, "openssh_tunnel", tunnel)
    found = ssh.tunnel.tunnel_connection(
        push, "tcp://10.1.2.3:5555", "me@there", keyfile="key", paramiko=False, timeout=7
    )
    assert found == "its process"
    assert asked == [(5555, "me@there", "10.1.2.3", "key", None, 7)]
    push.send(b"x")
    pull.rcvtimeo = LONG
    assert pull.recv() == b"x"


def test_a_logging_handler(context):
    pub, sub = context.socket(zmq.PUB), context.socket(zmq.SUB)
    pub.bind("inproc://log")
    sub.subscribe(b"program")
    sub.rcvtimeo = 100
    sub.connect("inproc://log")
    handler = PUBHandler(pub, root_topic="program")
    logger = logging.getLogger("of the test")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    for _ in range(100):  # a PUB drops what comes before it knows of the SUB
        logger.info("seen %d", 1)
        try:
            topic, text = sub.recv_multipart()
            break
        except zmq.Again:
            continue
    assert (topic, text.strip()) == (b"program.INFO", b"seen 1")
    logger.removeHandler(handler)


def test_decorators():
    @zmq.decorators.context()
    @zmq.decorators.socket(zmq.PAIR)
    @zmq.decorators.socket(zmq.PAIR)
    def echo(_context, left, right):
        left.bind("inproc://decorated")
        right.connect("inproc://decorated")
        left.send_string("text")
        return right.recv_string(), left, right

    text, *sockets = echo()
    assert text == "text"
    assert all(socket.closed for socket in sockets)


def test_a_context_as_an_instance():
    """Threads share it, until it is ended."""
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(zmq.Context.instance())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    found[0].term()
    assert zmq.Context.instance() is not found[0]
    zmq.Context.instance().term()
