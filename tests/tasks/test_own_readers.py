"""The program's own watch of a socket's descriptor, beside ratchet's: both hear, nobody spins.

What is counted is how often callbacks run, not how long anything takes.
"""

import asyncio
import contextlib
import os
import resource
import sys
from pathlib import Path

import pytest
from harness.internals import answer, paused_calls
from harness.runtimes import uvloop
from harness.waiting import LONG, Task, until

import ratchet
import ratchet.asyncio
from ratchet import thread, zmqsocket

FACTORIES = {"asyncio": asyncio.new_event_loop}
if uvloop:
    FACTORIES["uvloop"] = uvloop.new_event_loop

# A message rings once or twice, and a callback of the program's that sees no more than that it rang
# may run again before ratchet has answered. A loop that spins runs it thousands of times.
FEW = 20


@pytest.fixture(params=FACTORIES.values(), ids=FACTORIES)
def run(request):
    def run(main):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


class Reader:
    """The program's own."""

    def __init__(self, zsock):
        self.fd = zsock.fileno()
        self.calls = 0
        asyncio.get_running_loop().add_reader(self.fd, self.called)

    def called(self):
        self.calls += 1

    def remove(self):
        asyncio.get_running_loop().remove_reader(self.fd)


async def paused(zsock, n=1):
    while paused_calls(zsock) != n:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)


def idle():
    """Let the loop sleep; what spins shows by how often it is called."""
    return asyncio.sleep(0.02)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_both_hear(run, pair, before):
    zsock, other = pair

    async def main():
        reader = Reader(zsock) if before else None
        task = asyncio.create_task(zsock.recv_all())
        await paused(zsock)
        reader = reader or Reader(zsock)
        await idle()
        for i in range(5):
            calls = reader.calls
            other.send(b"%d" % i)
            assert await task == b"%d" % i
            assert reader.calls > calls
            task = asyncio.create_task(zsock.recv_all())
            await paused(zsock)
            await idle()
        assert reader.calls < 5 * FEW
        other.send(b"end")
        assert await task == b"end"
        reader.remove()

    run(main())


def test_the_program_removes_its_own(run, pair):
    """And nobody else's: the call that waits hears of the next message."""
    zsock, other = pair

    async def main():
        task = asyncio.create_task(zsock.recv_all())
        await paused(zsock)
        asyncio.get_running_loop().remove_reader(zsock.fileno())
        reader = Reader(zsock)
        reader.remove()
        other.send(b"1")
        assert await task == b"1"
        assert reader.calls == 0

    run(main())


def test_ratchet_removes_its_own(run, pair):
    """A call that gives up takes ratchet's reader along, not the program's."""
    zsock, other = pair

    async def main():
        reader = Reader(zsock)
        for _ in range(3):
            with pytest.raises(ratchet.Timeout):
                await zsock.recv_all(timeout=0.001)
        answer(zsock)
        calls = reader.calls
        other.send(b"1")
        while reader.calls == calls:  # noqa: ASYNC110 - it is the loop's turns that tell
            await asyncio.sleep(0)
        assert await zsock.recv_all() == b"1"
        reader.remove()

    run(main())


def test_two_loops_and_the_programs_readers_in_both(pair):
    zsock, other = pair
    counts = []

    async def main():
        reader = Reader(zsock)
        data = await zsock.recv_all()
        await idle()
        counts.append(reader.calls)
        reader.remove()
        return data

    def in_loop(factory):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())

    tasks = [Task(in_loop, factory) for factory in [*FACTORIES.values()] * 2]
    until(lambda: paused_calls(zsock) == len(tasks))
    for i in range(len(tasks)):
        other.send(b"%d" % i)
        left = len(tasks) - 1 - i
        until(lambda left=left: paused_calls(zsock) == left)
    assert sorted(task.value() for task in tasks) == [b"%d" % i for i in range(len(tasks))]
    assert max(counts) < FEW * len(tasks)


def test_the_program_waits_for_the_descriptor_in_a_ratchet_thread(pair):
    """As for any descriptor, beside calls on the socket in the same kernel."""
    zsock, other = pair

    def main():
        fd = zsock.fileno()
        receiver = thread.attach(zsock.sync.recv_all)
        while not paused_calls(zsock):
            thread.timer(0)
        answer(zsock)
        watcher = thread.attach(thread.block_on, [fd], timeout=LONG)
        again = thread.attach(thread.block_on, [fd], timeout=LONG)
        thread.timer(0.01)
        other.send(b"1")
        assert receiver.result(LONG) == b"1"
        assert watcher.result(LONG) == fd
        assert again.result(LONG) == fd
        answer(zsock)
        assert thread.block_on([fd], timeout=0.001) is None
        other.send(b"2")
        assert thread.block_on([fd], timeout=LONG) == fd
        assert zsock.sync.recv_all() == b"2"

    ratchet.run(main)


def test_the_program_waited_for_the_descriptor_before_ratchet_does(pair):
    zsock, other = pair

    def main():
        fd = zsock.fileno()
        answer(zsock)
        watcher = thread.attach(thread.block_on, [fd], timeout=LONG)
        thread.timer(0)
        receiver = thread.attach(zsock.sync.recv_all)
        while not paused_calls(zsock):
            thread.timer(0)
        other.send(b"1")
        assert receiver.result(LONG) == b"1"
        assert watcher.result(LONG) == fd

    ratchet.run(main)


# The duplicates


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")


@linux
def test_calls_that_follow_each_other_share_one_reader(run, pair, monkeypatch):
    zsock, other = pair
    made = []
    duplicate = type(zsock)._duplicate
    monkeypatch.setattr(
        ratchet.asyncio.ZMQSocket,
        "_duplicate",
        lambda self: made.append(duplicate(self)) or made[-1],
        raising=False,
    )

    async def main():
        for i in range(20):
            tasks = [asyncio.create_task(zsock.recv_all()) for _ in range(3)]
            await paused(zsock, 3)
            for _ in tasks:
                other.send(b"%d" % i)
            await asyncio.gather(*tasks)

    run(main())
    assert len(made) == 1


@linux
def test_no_duplicate_is_left_by_one_loop_after_another(run, pair):
    zsock, other = pair

    async def receive():
        task = asyncio.create_task(zsock.recv_all())
        await paused(zsock)
        other.send(b"1")
        await task

    run(receive())
    before = descriptors()
    for _ in range(10):
        run(receive())
    assert descriptors() <= before + 1


@linux
def test_closing_gives_the_descriptor_back_at_once_and_the_duplicate_soon(run):
    async def main():
        before = descriptors()
        for _ in range(50):
            zsock = ratchet.asyncio.new("PULL")
            task = asyncio.create_task(zsock.recv_all())
            await paused(zsock)
            Task(zsock.close).value()
            with pytest.raises(ratchet.ClosedError):
                await task
        for _ in range(100):
            if descriptors() <= before + 1:
                break
            await asyncio.sleep(0.01)
        assert descriptors() <= before + 1

    with zmqsocket.new("PULL"):
        run(main())


@linux
def test_a_number_that_is_used_again_is_watched_anew(run, tcp):
    """Sockets that are closed by another OS thread, and new ones that get their numbers."""

    async def main():
        seen = set()
        again = 0
        for i in range(60):
            pull, push = ratchet.asyncio.new("PULL"), zmqsocket.new("PUSH")
            with pull, push:
                pull.set_timeout(LONG)
                push.connect(pull.bind(tcp))
                again += pull.fileno() in seen
                seen.add(pull.fileno())
                task = asyncio.create_task(pull.recv_all())
                await paused(pull)
                push.send(b"%d" % i)
                assert await task == b"%d" % i
                Task(pull.close).value()
        assert again

    run(main())


@linux
def test_out_of_descriptors_is_an_error_and_no_more(run, pair):
    zsock, other = pair

    async def main():
        assert not paused_calls(zsock)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            with pytest.raises(ratchet.Error, match="descriptors") as caught:
                await zsock.recv_all()
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.code == "EMFILE"
        assert paused_calls(zsock) == 0
        task = asyncio.create_task(zsock.recv_all())
        await paused(zsock)
        other.send(b"1")
        assert await task == b"1"

    run(main())


@linux
def test_a_forked_child_closes_nothing_of_its_parents(pair):
    """Its loop goes: the numbers of the parent's duplicates may be other files' in the child."""
    zsock, other = pair
    loop = asyncio.new_event_loop()

    async def receive():
        task = asyncio.create_task(zsock.recv_all())
        await paused(zsock)
        other.send(b"1")
        return await task

    loop.run_until_complete(receive())
    copies = sorted(ratchet.asyncio._runtimes[loop]._copies)
    assert len(copies) == 1
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(copies[0])
            mine = os.open(os.devnull, os.O_RDONLY)
            loop.close()
            ratchet.asyncio._runtimes.clear()
            del loop
            os.fstat(mine)
            code = 0 if mine == copies[0] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    loop.run_until_complete(receive())
    loop.close()
