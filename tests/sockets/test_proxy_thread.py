"""Proxy: in an OS thread of its own, paused, stopped and closed, with nothing lost."""

import threading
import time

import pytest
from harness import internals
from harness.sockets import LARGE
from harness.waiting import LONG, SHORT, Task, until

import ratchet
import ratchet.asyncio
from ratchet import Timeout, zmqsocket
from ratchet import proxying as proxying_module


def joined(type, endpoint, **options):
    zsock = zmqsocket.new(type, **options)
    zsock.set_timeout(LONG)
    zsock.connect(endpoint)
    return zsock


@pytest.fixture
def line(inproc):
    """PUSH, (PULL, PUSH), PULL: what is sent by the first comes to the last through a proxy."""
    with (
        zmqsocket.new("PULL") as front,
        zmqsocket.new("PUSH") as back,
        joined("PUSH", inproc) as push,
        joined("PULL", inproc + "2") as pull,
    ):
        for zsock, endpoint in ((front, inproc), (back, inproc + "2")):
            zsock.set_timeout(LONG)
            zsock.bind(endpoint)
        yield push, front, back, pull


def test_pause_resume_and_stop(line):
    push, front, back, pull = line
    proxy = ratchet.Proxy(front, back)
    push.send(b"1")
    assert pull.recv_all() == b"1"
    proxy.pause()
    push.send(b"2")
    with pytest.raises(Timeout):
        pull.recv(timeout=0.05)
    assert front.is_readable()
    proxy.resume()
    assert pull.recv_all() == b"2"
    assert proxy.stop() == proxy.stats == (2, 2, 0, 0, 0)
    push.send(b"3")
    assert front.recv_all() == b"3"
    assert proxy.stop(timeout=0) == (2, 2, 0, 0, 0)
    proxy.pause()
    proxy.resume()


def test_at_any_moment_nothing_is_lost(line):
    """Proxies that are stopped, paused and made anew under load: each message comes once, in
    order."""
    push, front, back, pull = line
    count = 20_000
    sender = Task(push.send_many, (b"%d" % n for n in range(count)), timeout=None)
    got = []

    def receive():
        while len(got) < count:
            got.extend(pull.recv_many(1000, timeout=None))

    receiver = Task(receive)
    passed = 0
    while receiver.is_alive():
        with ratchet.Proxy(front, back) as proxy:
            time.sleep(0.001)
            proxy.pause()
            proxy.resume()
            time.sleep(0.001)
        passed += proxy.stats.frontend_messages
    sender.value()
    receiver.value()
    assert got == [b"%d" % n for n in range(count)]
    assert passed == count


def test_stop_passes_on_what_was_taken(inproc):
    """A ROUTER's client that is full: the message waits for it, and goes first."""
    with (
        zmqsocket.new("DEALER") as front,
        zmqsocket.new("ROUTER", sndhwm=1) as back,
        joined("DEALER", inproc) as near,
        joined("DEALER", inproc + "2", routing_id=b"far", rcvhwm=1) as far,
    ):
        front.bind(inproc)
        back.bind(inproc + "2")
        proxy = ratchet.Proxy(front, back)
        for n in range(10):
            near.send_multipart([b"far", b"%d" % n])
        sent = 0
        until(lambda: proxy.stats.frontend_messages > 0)
        stopping = Task(proxy.stop)
        stopping.join(0.1)
        assert stopping.is_alive(), "it is done with a message that nobody has room for"
        while stopping.is_alive():
            try:
                assert far.recv_all(timeout=SHORT) == b"%d" % sent
            except Timeout:
                continue
            sent += 1
        stats = stopping.value()
        while sent < stats.frontend_messages:
            assert far.recv_all() == b"%d" % sent
            sent += 1
        for n in range(sent, 10):
            assert front.recv_multipart(timeout=LONG) == [b"far", b"%d" % n]


def test_stop_with_a_timeout_hands_back(inproc):
    with (
        zmqsocket.new("ROUTER") as front,
        zmqsocket.new("ROUTER", sndhwm=1) as back,
        joined("DEALER", inproc, routing_id=b"near") as near,
        joined("DEALER", inproc + "2", routing_id=b"near", rcvhwm=1) as far,
    ):
        front.set_timeout(LONG)
        front.bind(inproc)
        back.bind(inproc + "2")
        for _ in range(2):
            proxy = ratchet.Proxy(front, back)
            for n in range(5):
                near.send_multipart([b"%d" % n, LARGE])
            time.sleep(0.05)
            stats = proxy.stop(timeout=SHORT)
            got = [far.recv_multipart()[0] for _ in range(stats.frontend_messages)]
            while len(got) < 5:
                name, number, data = front.recv_multipart()
                assert (name, data) == (b"near", LARGE)
                got.append(number)
            assert got == [b"%d" % n for n in range(5)]


def test_a_proxy_after_a_proxy_takes_what_was_handed_back(inproc):
    with (
        zmqsocket.new("DEALER") as front,
        zmqsocket.new("ROUTER", sndhwm=1) as back,
        joined("DEALER", inproc) as near,
        joined("DEALER", inproc + "2", routing_id=b"far", rcvhwm=1) as far,
    ):
        front.bind(inproc)
        back.bind(inproc + "2")
        for n in range(20):
            near.send_multipart([b"far", b"%d" % n])
        for _ in range(5):
            with ratchet.Proxy(front, back) as proxy:
                time.sleep(0.01)
                proxy.stop(timeout=0)
        with ratchet.Proxy(front, back):
            for n in range(20):
                assert far.recv_all() == b"%d" % n


def test_close_by_another_thread(line):
    push, front, back, pull = line
    with ratchet.Proxy(front, back) as proxy:
        push.send(b"1")
        assert pull.recv_all() == b"1"
        closing = Task(back.close)
        until(lambda: back.closed)
        closing.value()
        assert proxy.stop() == (1, 1, 0, 0, 0)


def test_sockets_of_several_kinds_of_threads(inproc):
    with ratchet.asyncio.new("PULL") as front, zmqsocket.new("PUSH") as back:
        front.bind(inproc)
        back.bind(inproc + "2")
        push, pull = joined("PUSH", inproc), joined("PULL", inproc + "2")
        with push, pull, ratchet.Proxy(front, back):
            push.send(b"x")
            assert pull.recv_all() == b"x"


def test_beside_another_receiver(line):
    """Each message goes to one of them: to who waits in line before the proxy takes any."""
    push, front, _, pull = line
    other = Task(front.recv_all)
    until(lambda: internals.paused_calls(front) == 1)
    with ratchet.Proxy(front, line[2]):
        push.send(b"for the one that waited")
        assert other.value() == b"for the one that waited"
        push.send(b"for the proxy")
        assert pull.recv_all() == b"for the proxy"


def test_what_ended_it_is_raised_by_stop(line, monkeypatch):
    def fail(*_):
        raise ratchet.Error(5, "broken")

    monkeypatch.setattr(proxying_module, "run", fail)
    proxy = ratchet.Proxy(line[1], line[2])
    with pytest.raises(ratchet.Error, match="broken"):
        proxy.stop()
    assert proxy.stop() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_spinning_thread_keeps_its_speed(line, parts):
    """Another thread of Python's beside a busy proxy: in the long run half of its speed, at least;
    here, that it is not starved."""
    push, front, back, pull = line
    over = threading.Event()
    count = 0

    def send():
        while not over.is_set():
            try:
                push.send_multipart([b"x"] * parts, timeout=SHORT)
            except Timeout:
                pass

    def receive():
        while not over.is_set():
            try:
                pull.recv_multipart(timeout=SHORT)
            except Timeout:
                pass

    threads = [Task(send), Task(receive)]
    with ratchet.Proxy(front, back):
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            count += 1
        over.set()
        for thread in threads:
            thread.value()
    assert count > 1000
