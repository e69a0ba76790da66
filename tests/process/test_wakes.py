"""A signal handler that raises while somebody is being woken: no waiter, message or error is lost.

The handler lands there for sure, since what the wake-up calls raises the signal itself.
"""

import asyncio
import contextlib
import gc
import signal
import sys
import threading

import pytest
from harness.internals import FakeRuntime, paused_calls
from harness.internals import OpenBell as Doorbell
from harness.waiting import LONG, Task, until

import ratchet.asyncio
from ratchet import zmqsocket
from ratchet._zmq import Caller, Runtime, RuntimeGone, Waiter, add_watcher, run_by

RX = 1
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGALRM")


class Watchdog(TimeoutError):
    """What the handler raises."""


@pytest.fixture(params=[Watchdog, KeyboardInterrupt, SystemExit])
def raised(request, monkeypatch):
    """What a handler of SIGALRM raises; and nothing may go to the unraisable hook."""

    def handler(number, frame):
        raise request.param

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_value))
    before = signal.signal(signal.SIGALRM, handler)
    yield request.param
    signal.signal(signal.SIGALRM, before)
    assert reported == []


class Bell(Doorbell):
    """A socket that is always ready."""

    def events(self):
        return RX


class Sleeper(Waiter):
    """A paused call, during whose next wake-ups the signal comes."""

    def __init__(self, signals=0, error=None, gone=0):
        super().__init__(Caller())
        self.signals, self.error, self.asked = signals, error, gone
        self.wakes = 0
        run_by(self, FakeRuntime(ended=self.gone))

    def wake(self):
        if self.error is not None:
            self.wakes += 1
            raise self.error
        if self.signals:
            self.signals -= 1
            signal.raise_signal(signal.SIGALRM)
        self.wakes += 1

    def gone(self):
        """Of its runtime."""
        if self.asked:
            self.asked -= 1
            signal.raise_signal(signal.SIGALRM)
        return False


def answered(bell):
    """A call with a result of its own, which is there although the handler has raised."""
    got = []
    try:
        got.append(bell.answer())
        for _ in range(3):  # somewhere here it is raised
            got.append(len(got))
    except BaseException as error:
        return type(error), got
    return None, got


@pytest.mark.parametrize("signals", [1])
def test_the_waiter_is_woken_and_the_error_raised_after_the_call(raised, signals):
    bell, first, second = Bell(), Sleeper(signals), Sleeper()
    for waiter in (first, second):
        bell.join(bell.rx, waiter)
    for _ in range(signals):
        error, got = answered(bell)
        assert error is raised
        assert (first.wakes, first.woken, second.wakes) == (1, True, 0)
    assert got
    assert answered(bell)[0] is None
    assert (bell.waiting, bell.rx.first) == (2, first)
    for waiter in (first, second):
        bell.leave(waiter)
    assert second.wakes == 1


def test_who_asks_whether_a_waiter_is_gone(raised):
    """Who joins a line asks it of the first there, and must be in the line afterwards."""
    bell, first, other = Bell(), Sleeper(gone=1), Sleeper()
    bell.join(bell.rx, first)
    with pytest.raises(raised):  # noqa: PT012
        bell.join(bell.rx, other)
        for _ in range(3):
            len([])
    assert (bell.waiting, bell.rx.first, bell.rx.last) == (2, first, other)
    for waiter in (first, other):
        bell.leave(waiter)


def test_a_runtime_that_forgets_a_descriptor(raised):
    """Each runtime that watches has to forget it, whatever happens meanwhile."""
    forgotten = []

    class Watcher(Runtime):
        def __init__(self, signals):
            self.signals = signals

        def forget(self, fd, remains):
            if self.signals:
                self.signals -= 1
                signal.raise_signal(signal.SIGALRM)
            forgotten.append(self)

    watchers = {Watcher(0), Watcher(1), Watcher(0)}
    zsock = zmqsocket.new("PULL")
    for watcher in watchers:
        add_watcher(zsock, watcher)
    with pytest.raises(raised):  # noqa: PT012
        zsock.close()
        for _ in range(3):
            len(watchers)
    assert zsock.closed
    assert set(forgotten) == watchers


def test_a_wake_that_fails_for_good_lets_the_others_go_first(monkeypatch):
    """It stays in the line, and is told again when it is its turn."""
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    bell, one, two, three = Bell(), Sleeper(error=ValueError("broken")), Sleeper(), Sleeper()
    for waiter in (one, two, three):
        bell.join(bell.rx, waiter)
    bell.answer()
    assert reported == [ValueError]
    assert (one.wakes, one.woken, two.wakes, three.wakes) == (3, False, 1, 0)
    assert (bell.waiting, bell.rx.count, bell.rx.first, bell.rx.last) == (3, 3, two, one)
    bell.leave(two)
    bell.leave(three)
    assert (three.wakes, one.wakes, bell.rx.first) == (1, 6, one)
    one.error = None
    bell.answer()
    assert (one.wakes, one.woken) == (7, True)
    bell.leave(one)
    assert reported == [ValueError] * 2


def test_a_closed_runtime_is_still_left_out():
    bell, one, two = Bell(), Sleeper(error=RuntimeGone()), Sleeper()
    for waiter in (one, two):
        bell.join(bell.rx, waiter)
    bell.answer()
    assert (one.wakes, two.wakes, bell.waiting) == (1, 1, 1)
    bell.leave(two)


def test_an_error_from_outside_ends_another_thread_too(monkeypatch):
    """Where no signal handlers run, somebody may still raise in a thread (C API)."""

    class Once(Sleeper):
        def wake(self):
            if self.wakes == 0:
                self.wakes = 1
                raise Watchdog
            self.wakes += 1

    def run():
        for _ in range(100):
            bell.answer()

    bell, waiter = Bell(), Once()
    bell.join(bell.rx, waiter)
    thread = Task(run)
    with pytest.raises(Watchdog):
        thread.value()
    assert (waiter.wakes, waiter.woken) == (2, True)
    bell.leave(waiter)


# asyncio


class Loop(asyncio.SelectorEventLoop):
    """A loop in which the signal comes in the middle of what a wake-up asks of it."""

    signals = 0
    within = "have_called"  # the function that must be under way

    def call_soon(self, callback, *args, **rest):
        self.strike()
        return super().call_soon(callback, *args, **rest)

    def call_soon_threadsafe(self, callback, *args, **rest):
        self.strike()
        return super().call_soon_threadsafe(callback, *args, **rest)

    def strike(self):
        if not self.signals or threading.current_thread() is not threading.main_thread():
            return
        frame = sys._getframe()
        while frame is not None and frame.f_code.co_name != self.within:
            frame = frame.f_back
        if frame is not None:
            self.signals -= 1
            signal.raise_signal(signal.SIGALRM)


@contextlib.contextmanager
def running(loop):
    """A loop in an OS thread of its own."""
    thread = Task(loop.run_forever)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.value()
        loop.close()


def test_the_main_thread_wakes_a_task_of_another_loop(raised, inproc):
    """The main thread has its message, the task its room, and the handler's error is raised."""
    loop, pair = Loop(), ratchet.asyncio.new("PAIR", sndhwm=1, rcvhwm=1)
    busy, over = threading.Event(), threading.Event()
    with running(loop), pair, zmqsocket.new("PAIR", sndhwm=1, rcvhwm=1) as peer:
        peer.set_timeout(LONG)
        pair.bind(inproc)
        peer.connect(inproc)
        while pair.is_writable():
            pair.sync.send(b"full", timeout=0)

        async def send():
            await pair.send(b"waited", timeout=LONG)

        future = asyncio.run_coroutine_threadsafe(send(), loop)
        until(lambda: paused_calls(pair) == 1)
        # Or the loop's own thread might see that there is room before the main thread does.
        loop.call_soon_threadsafe(lambda: busy.set() or over.wait(LONG))
        assert busy.wait(LONG)
        peer.send(b"for main")
        got = []
        while peer.is_readable():
            got.append(peer.recv_all())
        loop.signals = 1
        data = None
        with pytest.raises(raised):  # noqa: PT012
            data = pair.sync.recv_all(timeout=LONG)
            while True:
                len(got)
        assert data == b"for main"
        over.set()
        future.result(LONG)
        while got[-1] != b"waited":
            got.append(peer.recv_all())
        assert set(got) == {b"full", b"waited"}
        gc.collect()


def test_ctrl_c_in_a_loop_that_wakes_its_own_task(raised, inproc):
    """It leaves run_until_complete if it is none of Exception; the task goes on afterwards."""
    loop = Loop()
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(type(context["exception"])))
    with ratchet.asyncio.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        pull.bind(inproc)
        push.connect(inproc)
        task = loop.create_task(take(pull))
        loop.run_until_complete(asyncio.sleep(0))
        push.send(b"message")

        def look():  # where the descriptor is answered, the task would go on at once
            pull.is_readable()

        loop.call_soon(look)
        loop.within, loop.signals = "look", 1
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            seen.append(type(error))
            loop.run_until_complete(asyncio.wait_for(task, LONG))
        assert (task.result(), seen, loop.signals) == (b"message", [raised], 0)
        loop.close()


async def take(pull):
    return await pull.recv_all(timeout=LONG)


def test_a_deadline_at_which_the_signal_comes(raised):
    """Every task that waits here has its time up, that one and those after it."""
    loop = Loop()
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(type(context["exception"])))
    with ratchet.asyncio.new("PULL") as pull:

        async def wait(seconds):
            with pytest.raises(ratchet.Timeout):
                await pull.recv(timeout=seconds)

        async def main():
            await asyncio.gather(*(wait(seconds) for seconds in (0.01, 0.01, 0.02, 0.03)))

        task = loop.create_task(main())
        loop.within, loop.signals = "_time_up", 2
        for _ in range(3):
            with contextlib.suppress(raised):
                loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), LONG))
        assert task.done()
        assert loop.signals == 0
        loop.close()
