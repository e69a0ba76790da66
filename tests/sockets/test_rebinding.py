"""What this process has just given up can be bound to again at once; what others have cannot."""

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness.behaviour import behaviour
from harness.internals import given_up, use_sleep
from harness.waiting import LONG, Task

import ratchet.asyncio
from ratchet import Error, has, zmqsocket

TIMES = 200  # of which about half failed over each transport


def a_place(transport, request):
    """An endpoint that is free, with a port as a number."""
    if transport == "ipc abstract":
        if sys.platform != "linux" or not has("ipc"):
            pytest.skip("of Linux only")
        return f"ipc://@ratchet-{os.getpid()}-{time.monotonic_ns()}"
    if transport == "tcp":
        return f"tcp://127.0.0.1:{a_port()}"
    return request.getfixturevalue(transport)


def a_port():
    """A free port below those that systems give to connections and to port 0.

    One of those could be another program's whenever a test has given it up.
    """
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))) as listener,
        ):
            return listener.getsockname()[1]


@pytest.fixture(params=["inproc", "ipc", "ipc abstract", "tcp"])
def place(request):
    return a_place(request.param, request)


@pytest.fixture(params=["ipc", "ipc abstract", "tcp"])
def outer_place(request):
    return a_place(request.param, request)


def close(zsock, _place):
    zsock.close()


def unbind(zsock, place):
    zsock.unbind(place)
    zsock.close()


@pytest.mark.parametrize("free", [close, unbind], ids=["close", "unbind"])
def test_at_once(place, free):
    for _ in range(TIMES):
        zsock = zmqsocket.new("PULL")
        assert zsock.bind(place) == place
        free(zsock, place)


def test_the_same_socket(place):
    with zmqsocket.new("PULL") as zsock:
        for _ in range(TIMES):
            zsock.bind(place)
            zsock.unbind(place)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_dropped_by_the_collector(place):
    for _ in range(TIMES):
        zsock = zmqsocket.new("PULL")
        zsock.bind(place)
        del zsock


@behaviour
async def test_with_peers_and_paused_callers(rt, outer_place):
    """A peer finds the next one; who was paused hears that the socket is closed."""
    push = rt.new("PUSH", reconnect_ivl=0.001)
    push.connect(outer_place)
    for number in range(20):
        pull = rt.new("PULL")
        pull.bind(outer_place)
        while not pull.is_readable():  # what goes into a connection that has just ended is lost
            await push.send(b"%d" % number)
            await rt.turn()
        assert await pull.recv_all() == b"%d" % number
        waits = rt.spawn(ended(pull))
        pull.close()
        await rt.join(waits)


async def ended(zsock):
    """Receive until the socket is closed."""
    async for _ in zsock:
        pass


@behaviour
async def test_what_was_sent_is_delivered_although_it_is_bound_anew(rt, outer_place):
    for _ in range(5):
        pull = rt.new("PULL")
        push = rt.new("PUSH")
        push.bind(outer_place)
        pull.connect(outer_place)
        for number in range(100):
            await push.send(b"%d" % number)
        push.close()
        after = rt.new("PUSH")
        after.bind(outer_place)
        assert [await pull.recv_all() for _ in range(100)] == [b"%d" % n for n in range(100)]
        pull.close()
        after.close()


def test_closed_by_another_thread_than_its_loops(outer_place):
    """The loop of the other thread must have let go of the descriptor first."""
    for _ in range(20):
        ready = threading.Event()

        async def main(pull, ready=ready):
            asyncio.get_running_loop().call_later(0.001, ready.set)
            with pytest.raises(ratchet.ClosedError):
                await pull.recv()

        pull = ratchet.asyncio.new("PULL")
        pull.bind(outer_place)
        task = Task(asyncio.run, main(pull))
        assert ready.wait(LONG)
        pull.close()
        with zmqsocket.new("PULL") as zsock:
            zsock.bind(outer_place)
        task.value()


@pytest.mark.parametrize("before", ["127.0.0.1", "*", "[::1]"])
@pytest.mark.parametrize("after", ["127.0.0.1", "*", "lo"])
def test_a_port_by_another_name(before, after):
    if after == "lo" and sys.platform != "linux":
        pytest.skip("the name of the interface differs")
    port = a_port()
    for _ in range(30):
        with zmqsocket.new("PULL", ipv6=before == "[::1]") as zsock:
            try:
                zsock.bind(f"tcp://{before}:{port}")
            except Error as error:
                if error.code == "EADDRNOTAVAIL":
                    pytest.skip("there is no IPv6")
                raise
        with zmqsocket.new("PULL") as zsock:
            zsock.bind(f"tcp://{after}:{port}")


def test_two_threads_in_loops(place):
    """Each gets it, or hears that the other has it; never that nobody can have it."""
    turns = threading.Lock()

    def main():
        for _ in range(TIMES):
            with turns, zmqsocket.new("PULL") as zsock:
                zsock.bind(place)

    for task in [Task(main), Task(main)]:
        task.value()


def test_two_threads_at_the_same_time(place):
    bound = []

    def main():
        count = 0
        while count < TIMES // 4:
            with zmqsocket.new("PULL") as zsock:
                try:
                    zsock.bind(place)
                except Error as error:
                    assert error.code == "EADDRINUSE"  # noqa: PT017 - the other one has it
                    time.sleep(0)
                    continue
                bound.append(zsock)
                assert [one for one in bound if not one.closed] == [zsock]
                bound.remove(zsock)
            count += 1

    for task in [Task(main), Task(main)]:
        task.value()


@pytest.fixture
def no_naps(monkeypatch):
    """To wait is an error."""

    def sleep(seconds):
        raise AssertionError("it waits")

    use_sleep(monkeypatch, sleep)


def test_an_open_socket_of_this_process_is_told_at_once(place, no_naps):
    with zmqsocket.new("PULL") as before, zmqsocket.new("PULL") as zsock:
        before.bind(place)
        before.unbind(place)
        given_up()[place] = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            use_sleep(patch, time.sleep)
            zsock.bind(place)
        given_up()[place] = time.monotonic()
        for other in (before, zsock):
            with pytest.raises(Error) as caught:
                other.bind(place)
            assert caught.value.code == "EADDRINUSE"


def test_another_process_is_told_at_once(request, no_naps):
    place = a_place("tcp", request)
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    with socket.create_server((host, int(port))), zmqsocket.new("PULL") as zsock:
        with pytest.raises(Error) as caught:
            zsock.bind(place)
        assert caught.value.code == "EADDRINUSE"


def test_a_path_that_another_listens_on(ipc, no_naps):
    with socket.socket(socket.AF_UNIX) as listener, zmqsocket.new("PULL") as zsock:
        listener.bind(ipc[6:])
        listener.listen()
        with pytest.raises(Error) as caught:
            zsock.bind(ipc)
        assert caught.value.code == "EADDRINUSE"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who listens")
def test_a_path_that_another_process_took_over(ipc, no_naps):
    """It was ours, and is no longer."""
    with zmqsocket.new("PULL") as zsock:
        zsock.bind(ipc)
    program = """
import socket, sys, os
listener = socket.socket(socket.AF_UNIX)
os.unlink(sys.argv[1])
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", program, ipc[6:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout.readline() == b"listens\n"
        with zmqsocket.new("PULL") as zsock, pytest.raises(Error) as caught:
            zsock.bind(ipc)
        assert caught.value.code == "EADDRINUSE"
        assert Path(ipc[6:]).exists()
        other.stdin.close()


def test_a_machine_that_stood_still_after_the_close(request, monkeypatch):
    """The old listener is there for seconds, of which libzmq's threads had none to close it."""
    place = a_place("tcp", request)
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    with socket.create_server((host, int(port))) as listener, zmqsocket.new("PULL") as zsock:
        given_up()[place] = time.monotonic() - 2
        use_sleep(monkeypatch, lambda _: listener.close())
        zsock.bind(place)


def test_the_wait_is_bounded(request, monkeypatch):
    """Somebody else was faster than this process to bind anew."""
    naps = []
    use_sleep(monkeypatch, lambda seconds: (naps.append(seconds), time.sleep(seconds)))
    place = a_place("tcp", request)
    with zmqsocket.new("PULL") as zsock:
        zsock.bind(place)
        zsock.unbind(place)
        host, _, port = place.removeprefix("tcp://").rpartition(":")
        deadline = time.monotonic() + LONG
        while True:
            try:
                listener = socket.create_server((host, int(port)))
                break
            except OSError:
                assert time.monotonic() < deadline
        with listener:
            given_up()[place] = time.monotonic()
            with pytest.raises(Error) as caught:
                zsock.bind(place)
            assert caught.value.code == "EADDRINUSE"
            assert 0 < len(naps) < 200  # it sleeps; it does not spin
            naps.clear()
            with pytest.raises(Error):  # and now it is not waited for any more
                zsock.bind(place)
            assert not naps
        zsock.bind(place)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_signal_handler_ends_the_wait(request, monkeypatch):
    place = a_place("tcp", request)
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    use_sleep(
        monkeypatch, lambda seconds: (os.kill(os.getpid(), signal.SIGUSR1), time.sleep(seconds))
    )

    class Enough(BaseException):
        pass

    def handler(*_):
        raise Enough

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with socket.create_server((host, int(port))), zmqsocket.new("PULL") as zsock:
            given_up()[place] = time.monotonic()
            with pytest.raises(Enough):
                zsock.bind(place)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_closes_the_socket_that_waits(request, monkeypatch):
    place = a_place("tcp", request)
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    zsock = zmqsocket.new("PULL")
    use_sleep(monkeypatch, lambda seconds: zsock.close())
    with socket.create_server((host, int(port))):
        given_up()[place] = time.monotonic()
        with pytest.raises(ratchet.ClosedError):
            zsock.bind(place)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who listens")
def test_a_path_that_a_forked_child_still_holds(ipc):
    """Its listener is a copy of the one that this process has closed: nobody accepts there."""
    with zmqsocket.new("PULL") as zsock:
        zsock.bind(ipc)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
    try:
        for _ in range(5):
            with zmqsocket.new("PULL") as zsock, zmqsocket.new("PUSH") as push:
                zsock.bind(ipc)
                push.connect(ipc)
                push.send(b"x", timeout=LONG)
                assert zsock.recv(timeout=LONG) == (b"x", False)
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_what_is_remembered_is_bounded(inproc):
    with zmqsocket.new("PULL") as zsock:
        for _ in range(1100):
            zsock.unbind(zsock.bind("tcp://127.0.0.1:*"))
    assert len(given_up()) <= 1024
    gc.collect()


def test_a_forked_child_remembers_nothing(ipc):
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork")
    with zmqsocket.new("PULL") as zsock:
        zsock.bind(ipc)
    assert given_up()
    child = os.fork()
    if child == 0:
        os._exit(len(given_up()))
    assert os.waitpid(child, 0)[1] == 0
