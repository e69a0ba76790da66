"""Loops that cannot watch descriptors: one OS thread does it for all of them, and for no longer.

What such a loop's tasks do is tested with the other loops', as the kind of thread "watched".
"""

import asyncio
import contextlib
import errno
import gc
import os
import select
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from harness.internals import around_watching_turn, paused_calls, use_watching_poll
from harness.internals import watching_threads as watching
from harness.loops import link, paused
from harness.loops import until as turns_until
from harness.runtimes import BlindLoop
from harness.waiting import LONG, SHORT, Task, until

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, Timeout, _platform, thread, zmqsocket

# Where no descriptor stands for many, a select looks by itself and needs nobody who watches.
SELECTS_ARE_WATCHED = hasattr(select, "epoll") or hasattr(select, "kqueue")


@pytest.fixture(params=["the best poll", "a poll that tells of levels"])
def poll(request, monkeypatch):
    """Each kind of poll in turn, of the thread."""
    if request.param != "the best poll":
        use_watching_poll(monkeypatch, _platform.Poll)


def in_blind_loop(main, factory=BlindLoop):
    async def limited():
        async with asyncio.timeout(LONG):
            return await main

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(limited())


def ended():
    until(lambda: not watching(), "the end of the thread that watches")


# Its beginning and its end


def test_it_begins_with_the_first_call_that_waits_and_ends_with_the_last_socket(poll):
    async def main():
        with link() as (pull, push):
            await push.send(b"ready")
            await pull.recv()
            assert not watching()
            task = asyncio.create_task(pull.recv())
            await paused(pull)
            assert len(watching()) == 1
            with link() as (another, _):
                other = asyncio.create_task(another.recv())
                await paused(another)
                await push.send(b"x")
                await task
                other.cancel()
                await asyncio.wait([other])
            assert len(watching()) == 1  # the socket is there, and may be waited for again
        ended()

    in_blind_loop(main())


class HalfBlindLoop(asyncio.SelectorEventLoop):
    """It cannot watch, and says nothing when it is to watch no more."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError


@pytest.mark.parametrize("factory", [BlindLoop, HalfBlindLoop])
def test_it_ends_when_nobody_waits_any_more(poll, factory):
    async def main():
        with link() as (pull, push):
            for _ in range(3):
                with pytest.raises(Timeout):
                    await pull.recv(timeout=SHORT)
                ended()
            for _ in range(3):
                await ratchet.asyncio.select([pull], timeout=SHORT)
                ended()
            task = asyncio.create_task(ratchet.asyncio.select([pull]))
            if SELECTS_ARE_WATCHED:
                await turns_until(watching)
            await push.send(b"x")
            assert await task == ([pull], [])
            ended()

    in_blind_loop(main(), factory)


def test_one_thread_for_all_loops(poll):
    """Each hears of its own sockets, and of one that all of them share."""
    begun, go_on = threading.Barrier(4), threading.Event()

    async def main(shared):
        with link() as (pull, push):
            own = asyncio.create_task(pull.recv_all())
            theirs = asyncio.create_task(shared.recv_all())
            await paused(pull)
            await asyncio.to_thread(begun.wait, LONG)
            await asyncio.to_thread(go_on.wait, LONG)
            await push.send(b"own")
            assert await own == b"own"
            return await theirs

    with link() as (pull, push):
        tasks = [Task(in_blind_loop, main(pull)) for _ in range(3)]
        begun.wait(LONG)
        until(lambda: paused_calls(pull) == 3)
        assert len(watching()) == 1
        push.sync.send_many([b"0", b"1", b"2"])
        go_on.set()
        assert sorted(task.value() for task in tasks) == [b"0", b"1", b"2"]
    ended()


def test_trackers_and_selects_are_watched_as_well(poll):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = await asyncio.to_thread(os.pipe)
        try:
            with link() as (pull, push):
                tracker = await push.send(bytearray(1_000_000), copy=False)
                waits = asyncio.gather(*(wait(tracker) for _ in range(3)))
                selects = asyncio.create_task(ratchet.asyncio.select([left, push]))
                loop.call_later(SHORT, os.write, right, b"x")
                assert await selects == ([left], [])
                assert not waits.done()
                assert await pull.recv_all() == bytes(1_000_000)
                await waits
        finally:
            os.close(left)
            os.close(right)
        ended()

    async def wait(tracker):
        await tracker
        assert tracker.done

    in_blind_loop(main())


# What it does not do


class Counting(BlindLoop):
    """Counts what other threads have it call."""

    calls = 0

    def call_soon_threadsafe(self, *args, **kwargs):
        self.calls += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def test_a_loop_that_does_not_answer_is_told_once(poll, monkeypatch):
    """The thread neither spins on what is readable still, nor fills the loop's queue."""
    turns = []
    around_watching_turn(monkeypatch, lambda real: turns.append(0) or real())

    async def main():
        with link(sndhwm=0, rcvhwm=0) as (pull, push):
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            loop = asyncio.get_running_loop()
            loop.calls = 0
            before = len(turns)
            await asyncio.sleep(SHORT)
            push.sync.send(b"0")
            until(lambda: loop.calls == 1)  # the loop does not run meanwhile
            for n in range(1, 50):
                push.sync.send(b"%d" % n)
                time.sleep(0.001)  # noqa: ASYNC251 - the same
            assert loop.calls == 1
            assert len(turns) - before < 60  # it may hear of each, and spinning makes thousands
            got = [await task, *[await pull.recv_all() for _ in range(1, 50)]]
            assert got == [b"%d" % n for n in range(50)]

    in_blind_loop(main(), Counting)


def test_a_stopped_loop_is_told_once(poll):
    loop = Counting()
    with link() as (pull, push):
        task = loop.create_task(pull.recv_all())
        loop.run_until_complete(paused(pull))
        push.sync.send(b"x")
        until(lambda: loop.calls)
        calls = loop.calls
        assert pull.sync.recv_all(timeout=LONG) == b"x"  # it keeps nothing from who runs
        for _ in range(20):  # each rings, for others take what rang before
            push.sync.send(b"x")
            time.sleep(0.002)
            assert pull.sync.recv_all(timeout=LONG) == b"x"
        assert loop.calls <= calls + 1
        push.sync.send(b"y")
        assert loop.run_until_complete(asyncio.wait_for(task, LONG)) == b"y"
    loop.close()
    ended()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll")
def test_the_programs_own_reader_and_ratchets_do_not_harm_each_other(poll):
    """The program's waits in an OS thread, for the same descriptor."""
    rings, stop = [], threading.Event()

    def read(fd):
        with select.epoll() as own:
            own.register(fd, select.EPOLLIN | select.EPOLLET)
            while not stop.is_set():
                rings.extend(own.poll(SHORT))
            own.unregister(fd)

    async def main():
        with link() as (pull, push):
            reader = Task(read, pull.fileno())
            for n in range(50):
                task = asyncio.create_task(pull.recv_all())
                await paused(pull)
                await push.send(b"%d" % n)
                assert await task == b"%d" % n
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
            ended()
            assert len(rings) < 5 * 50
            # Where ratchet is not faster to answer, the program hears.
            rung = len(rings)
            await push.send(b"when ratchet watches no more")
            until(lambda: len(rings) > rung)
            assert await pull.recv_all() == b"when ratchet watches no more"
            stop.set()
            reader.value()

    in_blind_loop(main())


# Sockets and loops that go


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_socket_closed_by_another_thread(poll, state):
    """The thread forgets it at once, whatever its loop does."""
    loop = BlindLoop()
    pull = ratchet.asyncio.new("PULL")
    task = loop.create_task(pull.recv())
    loop.run_until_complete(paused(pull))
    if state == "running":
        loop.call_later(SHORT, lambda: Task(pull.close).value())
        with pytest.raises(ClosedError):
            loop.run_until_complete(asyncio.wait_for(task, LONG))
        ended()
    else:
        Task(pull.close).value()
        ended()
        with pytest.raises(ClosedError):
            loop.run_until_complete(asyncio.wait_for(task, LONG))
    loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("how", ["rings", "close"])
def test_a_loop_closed_with_calls_that_wait(poll, how):
    """It is forgotten when its socket rings or is closed."""
    with link() as (pull, push):
        loop = BlindLoop()
        task = loop.create_task(pull.recv())
        loop.run_until_complete(paused(pull))
        loop.close()
        task._log_destroy_pending = False
        assert watching()
        if how == "rings":
            push.sync.send(b"x")
            ended()
            assert in_blind_loop(pull.recv_all()) == b"x"
        else:
            pull.close()
            ended()


def test_a_loop_that_is_dropped(poll):
    with link() as (pull, push):
        loop = BlindLoop()
        task = loop.create_task(pull.recv_all())
        loop.run_until_complete(paused(pull))
        push.sync.send(b"x")
        assert loop.run_until_complete(task) == b"x"
        assert watching()
        loop.close()
        gone = weakref.ref(loop)
        del loop, task
        # The thread may be about to tell it of the message still.
        until(lambda: (gc.collect(), gone())[1] is None)
        ended()
        push.sync.send(b"x")
        assert in_blind_loop(pull.recv_all()) == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="numbers of POSIX")
def test_numbers_that_are_used_again(poll):
    """Sockets that other threads close while others of the same numbers are made."""

    async def main():
        for n in range(60):
            pull, push = ratchet.asyncio.new("PULL"), zmqsocket.new("PUSH")
            with pull, push:
                push.connect(pull.bind("tcp://127.0.0.1:*"))
                task = asyncio.create_task(pull.recv_all())
                await paused(pull)
                push.send(b"%d" % n)
                assert await task == b"%d" % n
                task = asyncio.create_task(pull.recv_all())
                await paused(pull)
                closer = Task(pull.close)
                with pytest.raises(ClosedError):
                    await task
                closer.value()

    in_blind_loop(main())
    ended()


def test_sockets_that_are_closed_while_they_ring(poll):
    """By several threads, with messages under way: nothing is left, and nothing hangs."""

    async def main():
        for _ in range(20):
            with contextlib.ExitStack() as stack:
                links = [stack.enter_context(link()) for _ in range(5)]
                tasks = [asyncio.create_task(pull.recv()) for pull, _ in links]
                for pull, _ in links:
                    await paused(pull)
                senders = [Task(push.sync.send, b"x") for _, push in links]
                closers = [Task(pull.close) for pull, _ in links]
                for one in [*senders, *closers]:
                    with contextlib.suppress(ClosedError, Timeout):
                        one.value()
                for task in tasks:
                    with contextlib.suppress(ClosedError):
                        await task

    in_blind_loop(main())
    ended()


# What runs out


def test_no_thread_can_be_started(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    async def main():
        with link() as (pull, push):
            with monkeypatch.context() as without:
                without.setattr(threading.Thread, "start", start)
                calls = [pull.recv]
                if SELECTS_ARE_WATCHED:
                    calls.append(lambda: ratchet.asyncio.select([pull]))
                for call in calls:
                    with pytest.raises(ratchet.Error, match="can't start new thread"):
                        await call()
            assert paused_calls(pull) == 0
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            assert await task == b"x"

    in_blind_loop(main())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
def test_no_descriptors_are_left():
    import resource

    async def main():
        with link() as (pull, push):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            taken, codes = [], []
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.dup(0))
                for _ in range(6):  # with 0 to 5 that can be had
                    try:
                        await pull.recv(timeout=SHORT)
                    except ratchet.Error as error:
                        codes.append(error.code)
                    ended()
                    os.close(taken.pop())
            finally:
                for fd in taken:
                    os.close(fd)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            # A duplicate, two of the wake-up, and one of a poll that has one.
            needed = 3 + SELECTS_ARE_WATCHED
            assert codes == ["EMFILE"] * needed + ["ETIMEDOUT"] * (6 - needed)
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            assert await task == b"x"

    in_blind_loop(main())


def test_more_descriptors_than_select_can_take(monkeypatch):
    """On Windows: the one too many is told, and the others go on."""
    monkeypatch.setattr(_platform, "MOST", 3)  # one is the thread's own
    use_watching_poll(monkeypatch, _platform.Poll)

    async def main():
        with link() as (one, push), link() as (two, _), link() as (three, _):
            tasks = [asyncio.create_task(zsock.recv_all()) for zsock in (one, two)]
            await paused(one)
            await paused(two)
            with pytest.raises(ratchet.Error, match="takes 3 descriptors") as caught:
                await three.recv()
            assert caught.value.code == "EMFILE"
            for n in range(5):
                await push.send(b"%d" % n)
                assert await tasks[0] == b"%d" % n
                tasks[0] = asyncio.create_task(one.recv_all())
                await paused(one)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    in_blind_loop(main())


def test_a_descriptor_that_cannot_be_watched(monkeypatch):
    class Full(_platform.Poll):
        def watch_edge(self, fd):
            raise OSError(errno.ENOSPC, "no more")

    use_watching_poll(monkeypatch, Full)

    async def main():
        with link() as (pull, _):
            with pytest.raises(ratchet.Error, match="no more") as caught:
                await pull.recv()
            assert caught.value.code == "ENOSPC"
        ended()

    in_blind_loop(main())


def test_a_loop_without_memory_is_told_again(poll):
    class Forgetful(BlindLoop):
        left = 3

        def call_soon_threadsafe(self, *args, **kwargs):
            if self.left:
                self.left -= 1
                raise MemoryError
            return super().call_soon_threadsafe(*args, **kwargs)

    async def main():
        with link() as (pull, push):
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            asyncio.get_running_loop().call_later(SHORT, Task, push.sync.send, b"x")
            assert await task == b"x"
            assert asyncio.get_running_loop().left == 0

    in_blind_loop(main(), Forgetful)


def test_a_ratchet_thread_and_a_loop_that_is_watched_share_a_socket(poll):
    with link() as (pull, push):
        task = Task(in_blind_loop, pull.recv_all())
        until(lambda: paused_calls(pull) == 1)

        def main():
            other = thread.attach(pull.sync.recv_all)
            while paused_calls(pull) < 2:
                thread.timer(0)
            push.sync.send_many([b"1", b"2"])
            return other.result(LONG)

        assert ratchet.run(main) == b"2"
        assert task.value() == b"1"
    ended()
