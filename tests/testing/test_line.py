"""`ratchet.testing.Line`: loses, delays and cuts what it is told to, and nothing else."""

import contextlib
import gc
import socket
import time

import pytest
import zmq
from harness.waiting import Task, until

from ratchet import Timeout, auth, zmqsocket
from ratchet.testing import Line


@contextlib.contextmanager
def linked(server, client, **options):
    """A server, and a client that is connected to it through a line."""
    kinds = zmqsocket.new(server), zmqsocket.new(client, reconnect_ivl=0.01, **options)
    with kinds[0] as bound, kinds[1] as other, Line(bound.bind("tcp://127.0.0.1:*")) as line:
        bound.set_timeout(10)
        other.set_timeout(10)
        other.connect(line.endpoint)
        yield bound, other, line


def received(pull, count):
    return [pull.recv_all() for _ in range(count)]


def numbered(count):
    return [b"%d" % number for number in range(count)]


def test_it_loses_what_it_is_told_to():
    with linked("PULL", "PUSH") as (pull, push, line):
        line.to_server.drop(2, after=1)
        push.send_many(numbered(5))
        assert received(pull, 3) == [b"0", b"3", b"4"]
        assert (line.to_server.passed, line.to_server.dropped, line.to_client.passed) == (3, 2, 0)


def test_whole_messages_are_lost():
    with linked("PULL", "PUSH") as (pull, push, line):
        line.to_server.drop()
        push.send_multipart([b"a", b"x" * 300, b"c"])
        push.send_multipart([b"d", b"y" * 300])
        assert pull.recv_multipart() == [b"d", b"y" * 300]
        assert line.to_server.dropped == 1


def test_one_seed_loses_the_same_ones():
    def through(seed):
        with linked("PULL", "PUSH") as (pull, push, line):
            line.to_server.lose(0.5, seed=seed)
            push.send_many(numbered(40))
            until(lambda: line.to_server.passed + line.to_server.dropped == 40)
            line.to_server.lose(0)
            push.send(b"end")
            return list(iter(pull.recv_all, b"end"))

    first = through(1)
    assert 5 < len(first) < 35
    assert through(1) == first
    assert through(2) != first


def test_a_lost_request_is_asked_again():
    with linked("REP", "REQ") as (rep, req, line):
        line.to_client.drop()  # the answer is lost, not the question

        def answer():
            for _ in range(2):
                rep.send(rep.recv_all().upper())

        task = Task(answer)
        assert req.request(b"hello", timeout=0.2, retries=20) == b"HELLO"
        task.value()
        assert line.to_client.dropped == 1


def test_it_delays():
    with linked("PULL", "PUSH") as (pull, push, line):
        push.send(b"connected")
        pull.recv_all()
        line.to_server.delay(0.2)
        began = time.monotonic()
        push.send_many(numbered(50))
        assert received(pull, 50) == numbered(50)
        assert time.monotonic() - began >= 0.2  # each of them, and not one after the other
        line.to_server.delay(0)


def test_cut_and_restore():
    with linked("PULL", "PUSH", track_peers=True) as (pull, push, line):
        push.wait_peers(timeout=10)
        line.cut()
        until(lambda: not push.peers)
        with pytest.raises(Timeout, match="connection refused"):
            push.wait_peers(timeout=0.5)
        push.send(b"kept")  # PUSH keeps it for the next connection
        line.restore()
        assert pull.recv_all() == b"kept"
        assert line.connections == 2


@pytest.mark.parametrize("tell", ["client", "server", "nobody"])
def test_half_open(tell):
    """Who is not told finds out by a heartbeat alone, and comes again when the line is back."""
    with linked("DEALER", "DEALER", track_peers=True) as (bound, other, line):
        other.wait_peers(timeout=10)
        with bound.monitor("DISCONNECTED") as server, other.monitor("DISCONNECTED") as client:
            line.cut(tell)
            for end, monitor in (("server", server), ("client", client)):
                if end == tell:
                    monitor.recv(timeout=10)
                else:
                    with pytest.raises(Timeout):
                        monitor.recv(timeout=0.05)
        line.restore()
        until(lambda: line.connections == 2)
        other.wait_peers(timeout=10)
        until(lambda: not bound.is_readable())
        other.send(b"again")
        assert bound.recv_all() == b"again"


def test_who_connects_while_nobody_is_told_hears_nothing():
    with linked("PULL", "PUSH", track_peers=True) as (pull, push, line):
        push.wait_peers(timeout=10)
        line.cut("nobody")
        with zmqsocket.new("PUSH", linger=0, reconnect_ivl=0.01) as late:
            with late.monitor("CONNECTED", "HANDSHAKE_SUCCEEDED") as monitor:
                late.connect(line.endpoint)
                assert monitor.recv(timeout=10).name == "CONNECTED"
                with pytest.raises(Timeout):
                    monitor.recv(timeout=0.1)
            line.restore()
            late.send(b"x")
            assert pull.recv_all() == b"x"


def test_a_heartbeat_notices_a_half_open_connection():
    with linked("PULL", "PUSH", heartbeat=0.05) as (pull, push, line):
        push.send(b"connected")
        pull.recv_all()
        with push.monitor("DISCONNECTED") as monitor:
            line.cut("nobody")
            assert monitor.recv(timeout=10).name == "DISCONNECTED"


def test_heartbeats_and_subscriptions_pass():
    kinds = zmqsocket.new("PUB", track_peers=True), zmqsocket.new("SUB", subscribe=b"", linger=0)
    with kinds[0] as pub, kinds[1] as sub, Line(pub.bind("tcp://127.0.0.1:*")) as line:
        line.to_server.drop(1000)
        line.to_client.drop(2)
        sub.heartbeat = 0.3
        sub.connect(line.endpoint)
        pub.wait_subscribers(timeout=10)
        for number in numbered(3):
            pub.send(number)
        assert sub.recv_all(timeout=10) == b"2"
        with sub.monitor("DISCONNECTED") as monitor, pytest.raises(Timeout):
            monitor.recv(timeout=1)  # its heartbeats are answered
        assert (line.to_server.passed, line.to_server.dropped) == (0, 0)


def test_other_programs_and_curve():
    keys, mine = auth.generate(), auth.generate()
    server = zmqsocket.new("PULL", curve=keys, clients=[mine.public])
    client = zmqsocket.new("PUSH", curve=mine, server=keys.public)
    with server as pull, client as push, Line(pull.bind("tcp://127.0.0.1:*")) as line:
        push.connect(line.endpoint)
        line.to_server.drop(1, after=1)
        push.send_many(numbered(3))
        assert [pull.recv_all(timeout=10) for _ in range(2)] == [b"0", b"2"]
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        with context.socket(zmq.PUSH) as push, Line(f"tcp://127.0.0.1:{port}") as line:
            push.connect(line.endpoint)
            line.to_server.drop()
            push.send(b"1")
            push.send(b"2")
            assert pull.poll(10_000)
            assert pull.recv() == b"2"


def test_bytes_that_are_no_zmtp_pass():
    with linked("STREAM", "STREAM") as (bound, other, line):
        name, empty = other.recv_multipart()  # it is connected
        assert empty == b""
        line.to_server.drop(10)
        other.send_multipart([name, b"GET / HTTP/1.0\r\n\r\n"])
        found = b""
        while not found.endswith(b"\r\n\r\n"):
            found += bound.recv_multipart()[1]
        assert found == b"GET / HTTP/1.0\r\n\r\n"


def test_a_close_while_clients_connect(recwarn):
    with zmqsocket.new("PULL") as pull:
        target = pull.bind("tcp://127.0.0.1:*")
        for _ in range(30):
            with Line(target) as line:
                port = int(line.endpoint.rpartition(":")[2])
                clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
            for client in clients:
                client.close()
    gc.collect()
    assert not [str(warning.message) for warning in recwarn]


def test_nobody_at_the_target():
    with zmqsocket.new("PULL") as pull:
        target = pull.bind("tcp://127.0.0.1:*")
    with Line(target) as line, zmqsocket.new("PUSH", linger=0, reconnect_ivl=0.01) as push:
        with push.monitor("DISCONNECTED") as monitor:
            push.connect(line.endpoint)
            monitor.recv(timeout=10)
        with zmqsocket.new("PULL") as pull:
            pull.bind(target)
            push.send(b"x")
            assert pull.recv_all(timeout=10) == b"x"


def test_wrong_arguments():
    for target in ("inproc://a", "tcp://127.0.0.1:*", "tcp://127.0.0.1"):
        with pytest.raises(ValueError, match="tcp://HOST:PORT"):
            Line(target)
    with Line("tcp://[::1]:5") as line:
        with pytest.raises(ValueError, match="tell"):
            line.cut("everybody")
        for wrong in (lambda way: way.drop(-1), lambda way: way.lose(2), lambda way: way.delay(-1)):
            with pytest.raises(ValueError, match="must be"):
                wrong(line.to_server)
    line.close()
    assert "closed" in repr(line)
