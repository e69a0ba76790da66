"""Runs of trio: their ends, several at once, a socket shared with all other kinds of threads."""

import asyncio
import gc
import os
import subprocess
import sys

import pytest
import trio
from harness.internals import paused_calls
from harness.waiting import LONG, Task

from ratchet import ClosedError, StateError


async def paused(zsock, count=1):
    while paused_calls(zsock) < count:  # noqa: ASYNC110 - nothing tells
        await trio.sleep(0.0005)


async def over(thread):
    while thread.is_alive():  # noqa: ASYNC110 - an OS thread tells nobody
        await trio.sleep(0.0005)


def test_a_socket_goes_from_run_to_run(in_trio, pair):
    pull, push = pair

    async def pause():
        with trio.move_on_after(0.001):
            await pull.recv()
        await push.send(b"x")
        return await pull.recv_all()

    for _ in range(3):
        assert in_trio(pause) == b"x"


def test_a_task_of_asyncio_lets_the_others_run_too(pair):
    """On a socket of trio's, whose calls would be checkpoints of trio's there."""
    pull, push = pair

    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        for _ in range(1000):
            await push.send(b"x")
            await pull.recv()
        assert turns >= 10
        counting.cancel()

    asyncio.run(main())


def test_without_a_run_the_error_is_trios(pair):
    call = pair[0].recv()
    with pytest.raises(RuntimeError, match="async context"):
        call.send(None)


def test_closed_from_another_os_thread(in_trio, make):
    pull = make("PULL")

    async def main():
        async def receive():
            with pytest.raises(ClosedError):
                await pull.recv()

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(receive)
            await paused(pull, 3)
            closer = Task(pull.close)
            await over(closer)
            closer.value()

    in_trio(main)


def test_from_another_os_thread_with_a_token(in_trio, pair):
    pull, push = pair

    async def echo():
        await push.send(b"x")
        return await pull.recv_all()

    async def main():
        token = trio.lowlevel.current_trio_token()
        thread = Task(trio.from_thread.run, echo, trio_token=token)
        await over(thread)
        assert thread.value() == b"x"

    in_trio(main)


def test_a_blocking_call_in_a_task_gets_its_message(in_trio, pair):
    """It holds up the run whose task stands before it in line, so it goes first."""
    pull, push = pair

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull.recv)
            await paused(pull)
            push.sync.send(b"1")
            push.sync.send(b"2")
            assert pull.sync.recv_all(timeout=LONG) in {b"1", b"2"}

    in_trio(main)


def test_a_task_that_ends_in_mid_message_frees_the_socket(in_trio, make, inproc):
    """At once, though something still refers to it and its context."""
    left, right = make("PAIR"), make("PAIR")
    left.bind(inproc)
    right.connect(inproc)

    async def main():
        tasks = []

        async def half():
            tasks.append(trio.lowlevel.current_task())
            await left.send(b"half", True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(half)
        await left.send(b"whole", timeout=0)
        assert await right.recv_multipart() == [b"whole"]
        tasks.clear()

    in_trio(main)


def test_a_run_that_crashed_leaves_nobody_in_line(make, inproc):
    """An error in a system task ends it; who waited there is passed over."""
    pull, push = make("PULL"), make("PUSH")
    pull.bind(inproc)
    push.connect(inproc)

    async def fail():
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull.recv)
            await paused(pull)
            trio.lowlevel.spawn_system_task(fail)
            await trio.sleep_forever()

    with pytest.raises(trio.TrioInternalError):
        trio.run(main)
    gc.collect()
    push.sync.send(b"x", timeout=0)
    assert pull.sync.recv_all(timeout=LONG) == b"x"


def test_a_wait_in_a_run_that_ends_is_refused(in_trio, make):
    """In a generator's last moments the system tasks are over: nothing could wake a call."""
    pull, caught = make("PULL"), []

    async def generate():
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await pull.recv(timeout=LONG)
                except StateError as error:
                    caught.append(error)

    async def main():
        with trio.move_on_after(0.001):
            await pull.recv()
        generator = generate()
        await anext(generator)
        return generator

    generator = in_trio(main)
    assert [error.code for error in caught] == ["ECANCELED"]
    del generator


def test_as_a_guest_of_asyncio(run):
    """In a process of its own, for trio keeps the OS thread that waits for it for 10 s."""
    result = run(
        """
        import asyncio, ratchet.trio, trio
        from ratchet.anyio import new

        outcomes, got = [], []
        pull, push = ratchet.trio.new("PULL"), ratchet.trio.new("PUSH")
        pull.bind("inproc://x")
        push.connect("inproc://x")

        async def guest():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                with new("PULL") as silent:  # trio's, though asyncio runs here as well
                    assert type(silent) is ratchet.trio.ZMQSocket
                    try:
                        await silent.recv(timeout=0.005)
                    except ratchet.Timeout:
                        print("in time")

        async def receive():
            for _ in range(3):
                got.append(await pull.recv_all())

        async def host():
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def over(outcome):
                outcomes.append(outcome)
                done.set()

            trio.lowlevel.start_guest_run(
                guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=over
            )
            for n in range(3):  # in a task of the host, while the guest's sleep
                await asyncio.sleep(0.01)
                await push.send(b"%d" % n)
            async with asyncio.timeout(10), new("PULL") as own:
                assert type(own) is ratchet.asyncio.ZMQSocket
                await done.wait()

        asyncio.run(host())
        outcomes.pop().unwrap()
        print(got)
        pull.close()
        push.close()
        """
    )
    assert result.out == "in time\n[b'0', b'1', b'2']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_run_cannot_wait_in_it(run):
    run(
        """
        import os, sys, trio, ratchet
        from ratchet.trio import new

        async def main():
            pull, push = new("PULL"), new("PUSH")
            pull.bind("inproc://x")
            push.connect("inproc://x")
            try:
                await pull.recv(timeout=0.001)  # it waits, however late it begins
            except ratchet.Timeout:
                pass
            pid = os.fork()
            if pid == 0:
                try:
                    with new("PULL") as own:
                        await own.recv(timeout=5)
                except ratchet.ForkedError as error:
                    assert "trio.run" in str(error), error
                    try:
                        await pull.recv()
                    except ratchet.ForkedError:
                        os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            async with trio.open_nursery() as nursery:  # the parent's goes on
                nursery.start_soon(pull.recv)
                await trio.sleep(0.01)
                await push.send(b"x")
            pull.close()
            push.close()

        trio.run(main)
        pid = os.fork()
        if pid == 0:
            trio.run(main)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_ends_a_paused_receive(script):
    program = script(
        """
import trio
from ratchet.trio import new

async def main():
    with new("PULL") as pull:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull.recv)
            try:  # the signal may come as soon as that is printed
                print("ready", flush=True)
                await pull.recv()
            finally:
                print("left", flush=True)

try:
    trio.run(main)
except BaseExceptionGroup as group:
    assert group.subgroup(KeyboardInterrupt), group
    print("interrupted", flush=True)
"""
    )
    program.said("ready")
    program.interrupt()
    result = program.end()
    assert (result.status, result.err) == (0, "")
    assert result.out.split() == ["left", "interrupted"]


def test_the_exit_waits_for_no_run_in_a_daemon_thread(run):
    run(
        """
        import threading, time, trio
        from ratchet.trio import new
        paused = threading.Event()

        async def main():
            with new("PULL") as pull:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pull.recv)
                    paused.set()
                    await trio.sleep_forever()

        threading.Thread(target=trio.run, args=(main,), daemon=True).start()
        paused.wait()
        time.sleep(0.05)
        """
    )


def test_nothing_imports_it_unasked():
    code = (
        "import sys, ratchet, ratchet.asyncio, ratchet.zmqsocket\n"
        "print(sorted({'trio', 'anyio', 'sniffio', 'gevent'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
