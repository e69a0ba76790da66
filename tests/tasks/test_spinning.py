"""A task of asyncio that expects a reply spins for it, if its loop has nothing else to do."""

import asyncio
import contextlib
import itertools
import signal
import threading
import time
import uuid

import pytest
from harness.loops import link
from harness.waiting import LONG, Task

import ratchet.asyncio
from ratchet import ClosedError, zmqsocket

TRIES = 400
MANY = TRIES // 4  # a task that spins does so for all but every 32nd; to others some reply is early


class Counted:
    """Awaits a call and counts how often its task is suspended."""

    def __init__(self, call):
        self.call, self.suspended = call, 0

    def __await__(self):
        steps = self.call.__await__()
        while True:
            try:
                pause = steps.send(None)
            except StopIteration as end:
                return end.value
            self.suspended += pause is not None  # None: a turn for the others
            yield pause


@contextlib.contextmanager
def asking():
    """A socket whose questions an OS thread answers at once."""
    with (
        ratchet.asyncio.new("DEALER", linger=0) as asks,
        zmqsocket.new("DEALER", linger=0) as answers,
    ):
        answers.connect(asks.bind(f"inproc://{uuid.uuid4()}"))

        def serve():
            with contextlib.suppress(ClosedError):
                for question in answers:
                    answers.send(question)

        task = Task(serve)
        try:
            yield asks
        finally:
            answers.close()
            task.value()


async def spun_for(asks, enough=TRIES):
    """Ask so often; return how many replies came without a suspension."""
    found = 0
    for number in range(TRIES):
        await asks.send(b"%d" % number)
        call = Counted(asks.recv_all(timeout=LONG))
        assert await call == b"%d" % number
        found += call.suspended == 0
        if found >= enough:
            break
    return found


async def spins(asks):
    """Ask until many replies are spun for: whether spinning pays is measured as it goes."""
    deadline = time.monotonic() + 3 * LONG
    while await spun_for(asks, MANY) < MANY:
        assert time.monotonic() < deadline, "it never spins"


def test_it_spins_for_a_reply():
    with asking() as asks:
        asyncio.run(spins(asks))


def test_it_does_not_beside_a_call_that_is_paused():
    async def main():
        with link("PAIR", "PAIR") as (left, right):
            other = asyncio.create_task(left.recv_all())
            await asyncio.sleep(0)
            assert await spun_for(asks) < MANY
            right.sync.send(b"end")
            assert await other == b"end"
            await spins(asks)
            for end in (asyncio.CancelledError, TimeoutError):  # the count goes down by all of them
                other = asyncio.create_task(asyncio.wait_for(left.recv_all(), 0.01))
                await asyncio.sleep(0)
                if end is asyncio.CancelledError:
                    other.cancel()
                with pytest.raises(end):
                    await other
                await spins(asks)

    with asking() as asks:
        asyncio.run(main())


def test_it_does_not_beside_a_task_that_is_ready():
    def busy():
        nonlocal ready
        ready = asyncio.get_running_loop().call_soon(busy)

    async def main():
        busy()
        assert await spun_for(asks) < MANY
        ready.cancel()

    ready = None

    with asking() as asks:
        asyncio.run(main())


def test_what_else_the_loop_watches_ends_a_spin(run):
    """The reply may depend on it. A spin of a second could not be overlooked; four would be due."""
    result = run(
        """
        import asyncio
        import socket
        import ratchet.asyncio

        ratchet.configure(spin=1)
        near, far = socket.socketpair()

        async def main():
            asks, answers = ratchet.asyncio.new("DEALER"), zmqsocket.new("DEALER")
            answers.connect(asks.bind("inproc://asks"))

            def answer():  # in the same loop
                near.recv(1)
                answers.send(answers.recv_all())

            asyncio.get_running_loop().add_reader(near, answer)
            for _ in range(128):
                await asks.send(b"question")
                far.send(b"!")
                await asks.recv_all()
            asks.close(), answers.close()

        before = time.thread_time()
        asyncio.run(main())
        print(time.thread_time() - before)
        near.close(), far.close()
        """
    )
    assert float(result.out) < 0.5


def test_timers_have_their_turn():
    ticks = 0

    def tick():
        nonlocal ticks, timer
        ticks += 1
        timer = asyncio.get_running_loop().call_later(0, tick)

    async def main():
        await spins(asks)
        tick()
        before = ticks
        await spun_for(asks)
        timer.cancel()
        return ticks - before

    timer = None
    with asking() as asks:
        assert asyncio.run(main()) >= TRIES // 8


def test_it_does_not_in_a_loop_that_keeps_elsewhere_what_is_ready():
    class Loop(asyncio.SelectorEventLoop):  # as those of GUIs do
        def call_soon(self, callback, *args, context=None):
            return self.call_later(0, callback, *args, context=context)

    with contextlib.closing(Loop()) as loop, asking() as asks:
        assert loop.run_until_complete(spun_for(asks)) < MANY


def test_a_socket_closed_by_another_thread_meanwhile():
    started = threading.Event()

    async def main():
        await spins(asks)
        started.set()
        while True:
            await spun_for(asks)

    with asking() as asks:
        task = Task(asyncio.run, main())
        assert started.wait(2 * LONG)
        asks.close()
        with pytest.raises(ClosedError):
            task.value()


@pytest.mark.filterwarnings("ignore:coroutine")  # it may raise between the call and its await
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_a_signal_handler_that_raises_ends_the_call_alone():
    """Not in the middle of asyncio's own code, which would lose what it was about."""

    class Rung(Exception):
        pass

    raises, rings = False, 0

    def ring(_, frame):
        nonlocal rings
        if raises and frame is not None and frame.f_code is main.__code__:
            rings += 1
            raise Rung

    async def main():
        nonlocal raises
        await spins(asks)
        for number in itertools.count():
            if number >= TRIES and rings:  # on a busy machine most of them come elsewhere
                break
            with contextlib.suppress(Rung):
                raises = True
                signal.setitimer(signal.ITIMER_REAL, 0.00003)
                await asks.send(b"%d" % number)
                await asks.recv_all(timeout=LONG)
                raises = False
            raises = False
        await asks.send(b"last")
        while await asks.recv_all(timeout=LONG) != b"last":
            pass

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with asking() as asks:
            asyncio.run(main())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rings
