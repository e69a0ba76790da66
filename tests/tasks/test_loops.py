"""Many tasks, several loops and other threads on one socket; loops and sockets that are closed."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time

import pytest
from harness.internals import looper_class, paused_calls, watched_by
from harness.loops import RECEIVES, drained, in_loop, link, paused, until
from harness.sockets import SENDS, fill
from harness.waiting import LONG, SHORT

import ratchet.asyncio
from ratchet import ClosedError, Timeout

# Many tasks, many threads, many loops


@in_loop
async def test_a_thousand_tasks_on_one_socket():
    with link("PAIR", "PAIR", sndhwm=0, rcvhwm=0) as (left, right):
        await drained(left)
        receivers = [asyncio.create_task(left.recv()) for _ in range(1000)]
        await paused(left, 1000)
        for n in range(1000):
            await right.send(b"%d" % n)
        assert await asyncio.gather(*receivers) == [(b"%d" % n, False) for n in range(1000)]


@in_loop
async def test_a_call_that_blocks_the_loop_goes_before_its_tasks():
    """They cannot go on before it does."""
    with link() as (pull, push):
        task = asyncio.create_task(pull.recv())
        await paused(pull)
        push.sync.send_many([b"1", b"2"])
        assert pull.sync.recv(timeout=LONG / 2) == (b"1", False)
        assert await task == (b"2", False)


@in_loop
async def test_a_wake_up_while_the_future_is_being_made(monkeypatch):
    """Another OS thread answers the bell then, and finds no future to set."""
    looper = looper_class()
    make = looper.suspend

    def interrupted(self, waiter):
        monkeypatch.setattr(looper, "suspend", make)
        push.sync.send(b"x")
        thread = threading.Thread(target=pull.is_readable)
        thread.start()
        thread.join()
        return make(self, waiter)

    with link() as (pull, push):
        monkeypatch.setattr(looper, "suspend", interrupted)
        assert await pull.recv_all() == b"x"


def test_one_loop_after_another(in_new_loop):
    with link() as (pull, push):

        async def once():
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
            return await task

        for _ in range(3):
            assert in_new_loop(once()) == b"x"


def test_loops_in_several_threads_at_once(in_new_loop):
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        got, failed = [], []

        async def receive():
            with contextlib.suppress(ClosedError):
                while True:
                    got.append(await (pull.recv_all() if len(got) % 2 else anext(pull)))

        async def several():
            await asyncio.gather(*(receive() for _ in range(3)))

        def thread():
            try:
                in_new_loop(several())
            except StopAsyncIteration:
                pass
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=thread) for _ in range(3)]
        for t in threads:
            t.start()

        async def send():
            for n in range(600):
                await push.send(b"%d" % n)
                if not n % 50:
                    await asyncio.sleep(0.001)
            await until(lambda: len(got) == 600)
            await paused(pull, 9)
            pull.close()  # while they wait in other threads' loops

        in_new_loop(send())
        for t in threads:
            t.join(LONG)
            assert not t.is_alive()
        assert not failed
        assert sorted(got) == sorted(b"%d" % n for n in range(600))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("where", ["here", "another thread"])
@pytest.mark.parametrize("state", ["waiting", "woken"])
def test_a_loop_closed_with_calls_pending(kind, in_new_loop, state, where, caplog):
    """Who was left behind stands in nobody's way, and nothing is said about it."""
    with link() as (pull, push):
        loop = kind.loop_factory()
        pending = loop.create_task(pull.recv())
        loop.run_until_complete(paused(pull))
        if state == "woken":
            push.sync.send(b"1")
            pull.is_readable()
        loop.close()
        got = []

        async def receive():
            task = asyncio.create_task(pull.recv(timeout=LONG / 4))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if state == "waiting":
                await push.send(b"1")
            got.append(await task)

        if where == "here":
            in_new_loop(receive())
        else:
            thread = threading.Thread(target=lambda: in_new_loop(receive()))
            thread.start()
            thread.join(LONG)
        assert got == [(b"1", False)]
        assert not pending.done()
        pending._log_destroy_pending = False


def test_sockets_left_open_by_a_loop(in_new_loop):
    async def main():
        pull = ratchet.asyncio.new("PULL")
        pull.bind("tcp://127.0.0.1:*")
        with pytest.raises(Timeout):
            await pull.recv(timeout=SHORT)
        task = asyncio.create_task(pull.recv())
        await paused(pull)
        return pull, task  # which asyncio.run cancels

    pull, task = in_new_loop(main())
    assert task.cancelled()
    assert (paused_calls(pull), pull.closed) == (0, False)
    pull.close()


def test_debug_mode(in_new_loop, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        assert loop.get_debug()
        with link() as (pull, push):
            tasks = [asyncio.create_task(call(pull)) for call in RECEIVES.values()]
            await paused(pull, len(tasks))
            tasks.pop().cancel()
            await asyncio.to_thread(push.sync.send_many, [b"x"] * 9)
            await asyncio.gather(*tasks)
            while pull.is_readable():
                await pull.recv()
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
            task = asyncio.create_task(pull.recv())
            await paused(pull)
            await asyncio.to_thread(pull.close)
            with pytest.raises(ClosedError):
                await task

    in_new_loop(main(), debug=True)
    assert not [record for record in caplog.records if "Executing" not in record.getMessage()]


@in_loop
async def test_task_group():
    with link() as (pull, push):
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(pull.recv()) for _ in range(3)]
                group.create_task(pull.recv(timeout=SHORT))
        assert all(task.cancelled() for task in waiting)
        assert paused_calls(pull) == 0
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pull.recv_all())
            group.create_task(push.send(b"x"))
        assert task.result() == b"x"


# Closing


@pytest.mark.parametrize("by", ["task", "thread"])
@in_loop
async def test_close_wakes_everybody(by):
    with link("PAIR", "PAIR", sndhwm=1, rcvhwm=1) as (left, _):
        fill(left.sync)
        names = {**RECEIVES, **SENDS}
        tasks = [asyncio.create_task(make(left)) for make in names.values()]
        await paused(left, len(tasks))
        fd = left.get_fd()
        if by == "task":
            left.close()
            assert fd not in watched_by(asyncio.get_running_loop())
        else:
            await asyncio.to_thread(left.close)
        for name, task in zip(names, tasks, strict=True):
            with pytest.raises(StopAsyncIteration if name == "async for" else ClosedError):
                await task
        assert paused_calls(left) == 0
        await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.skipif(not hasattr(os, "dup2") or sys.platform == "win32", reason="numbers of POSIX")
@in_loop
async def test_a_descriptor_used_again_after_close_from_another_thread():
    """The number is given back at once: the loop watches a duplicate, until its next turn."""
    loop = asyncio.get_running_loop()
    pull = ratchet.asyncio.new("PULL")
    task = asyncio.create_task(pull.recv())
    await paused(pull)
    number = pull.get_fd()
    thread = threading.Thread(target=pull.close)
    thread.start()
    thread.join()
    assert pull.closed
    deadline = time.monotonic() + LONG
    with contextlib.suppress(OSError):
        while os.fstat(number):  # libzmq closes it in a thread of its own
            assert time.monotonic() < deadline
    with pytest.raises(ClosedError):
        await task
    assert number not in watched_by(loop)


@in_loop
async def test_a_socket_with_the_number_of_one_that_was_closed():
    for n in range(30):
        with link() as (pull, push):
            task = asyncio.create_task(pull.recv())
            await paused(pull)
            await push.send(b"%d" % n)
            assert await task == (b"%d" % n, False)
            if n % 2:
                thread = threading.Thread(target=pull.close)
                thread.start()
                thread.join()


PROGRAM = """
import asyncio, warnings
import ratchet.asyncio
from harness.runtimes import KINDS

kind, work = sys.argv[1:]
run = next(one for one in KINDS if one.name == kind)().main
warnings.simplefilter("ignore", ResourceWarning)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("work", ["paused", "busy"])
def test_ctrl_c(script, kind, work):
    program = script(
        PROGRAM
        + """
async def main(rt):
    async with ratchet.asyncio.new("PAIR") as pull, ratchet.asyncio.new("PAIR") as push:
        pull.bind("inproc://x")
        push.connect("inproc://x")
        print("ready", flush=True)
        try:
            while work == "busy":
                await push.send(b"x")
                await pull.recv()
            await asyncio.gather(pull.recv(), pull.recv(timeout=1000))
        except asyncio.CancelledError:
            print("cancelled", paused_calls(pull), flush=True)
            raise

run(main)
""",
        *(kind.name, work),
    )
    program.said("ready")
    program.interrupt()
    result = program.end(LONG)
    assert result.out == "cancelled 0\n"
    assert result.err.endswith("KeyboardInterrupt\n")
    assert "ignored" not in result.err
    assert result.status == -signal.SIGINT


@pytest.mark.parametrize("work", ["waiting", "busy"])
def test_a_loop_in_a_daemon_thread_at_the_exit(run, kind, work):
    """It ends without a word, and so do its tasks."""
    result = run(
        PROGRAM
        + """
begun = threading.Event()

async def receive(zsock):
    while True:
        await zsock.recv()

async def main(rt):
    left, right = ratchet.asyncio.new("PAIR", linger=0), ratchet.asyncio.new("PAIR", linger=0)
    left.bind("inproc://pair")
    right.connect("inproc://pair")
    tasks = [asyncio.create_task(receive(zsock)) for zsock in (left, right)]
    await asyncio.sleep(0)
    begun.set()
    while work == "busy":
        await left.send(b"x")
    await asyncio.sleep(60)

threading.Thread(target=lambda: run(main), daemon=True).start()
begun.wait(10)
""",
        *(kind.name, work),
        limit=4 * LONG,
    )
    assert result.out == ""
