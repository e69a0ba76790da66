"""Calls as coroutines: awaited, never awaited, awaited twice, in mid-message in other tasks."""

import asyncio
import inspect
import io
import sys
import threading

import pytest
from harness.internals import paused_calls
from harness.loops import RECEIVES, in_loop, link, paused
from harness.sockets import SENDS, fill
from harness.waiting import LONG, SHORT

import ratchet
import ratchet.asyncio
from ratchet import Timeout, zmqsocket

# Coroutines


@in_loop
async def test_a_call_that_is_never_awaited_has_no_effect():
    with (  # noqa: PT031 - all of it
        link() as (pull, push),
        pytest.warns(RuntimeWarning, match="never awaited") as told,
    ):
        for make in SENDS.values():
            make(push)
        push.send(b"x", True)
        await push.send(b"only")
        for make in RECEIVES.values():
            make(pull)
        assert await pull.recv_multipart() == [b"only"]
        assert not pull.is_readable()
        assert len(told) == len(SENDS) + 1 + len(RECEIVES)


@in_loop
async def test_what_a_call_refuses_it_refuses_when_made():
    with link() as (pull, push):
        for wrong, error in (
            (lambda: push.send("text"), TypeError),
            (lambda: push.send_multipart([]), ValueError),
            (lambda: push.send_many([1]), TypeError),
            (lambda: pull.recv_many(0), ValueError),
            (lambda: pull.recv_many(True), TypeError),
            (lambda: pull.recv(timeout="1"), TypeError),
            (lambda: pull.recv(timeout=float("nan")), ValueError),
            (lambda: pull.send_many([]), ratchet.Error),
            (lambda: iter(pull), TypeError),
        ):
            with pytest.raises(error):
                wrong()
        buffer = bytearray(b"as it is now")
        call = push.send(buffer)
        buffer.clear()
        await call
        assert await pull.recv_all() == b"as it is now"


@in_loop
async def test_awaiting_twice_is_an_error():
    with link() as (pull, push):
        for call in (push.send(b"1"), pull.recv()):
            await call
            with pytest.raises(RuntimeError, match="already awaited"):
                await call
        call = pull.recv()

        async def wait():
            return await call

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await paused(pull)
        await push.send(b"2")
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LONG / 2)
        assert done[0] == (b"2", False)
        assert isinstance(done[1], RuntimeError)
        call = pull.recv()
        tasks = [asyncio.create_task(call) for _ in range(2)]  # without an await between
        with pytest.raises(RuntimeError, match="awaited already"):
            await tasks[1]
        await push.send(b"3")
        assert await tasks[0] == (b"3", False)


@in_loop
async def test_calls_are_coroutines():
    with link() as (pull, push):
        call = pull.recv()
        assert asyncio.iscoroutine(call)
        assert inspect.isawaitable(call)
        assert "recv" in repr(call)
        task = asyncio.create_task(call)
        await paused(pull)
        assert asyncio.isfuture(call.cr_await)
        assert "recv" in repr(task)
        task.print_stack(file=io.StringIO())
        await push.send(b"x")
        assert await task == (b"x", False)


def test_under_a_debugger(in_new_loop):
    """With a trace function Python takes another way through an await."""

    async def main():
        with link() as (pull, push):
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            assert await task == b"x"
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)

    before = sys.gettrace()
    sys.settrace(lambda *args: None)
    try:
        in_new_loop(main())
    finally:
        sys.settrace(before)


def test_outside_a_task():
    """Without a loop a call that is ready can be driven by hand, and no other."""
    with link() as (pull, push):
        for call in (push.send(b"1"), pull.recv()):
            try:
                while True:
                    call.send(None)
            except StopIteration as end:
                value = end.value
        assert value == (b"1", False)
        call = pull.recv()
        with pytest.raises(RuntimeError, match="event loop"):  # noqa: PT012
            while True:  # it may yield first
                call.send(None)
        assert paused_calls(pull) == 0


def test_run_until_complete_and_run_coroutine_threadsafe(kind):
    """A call may be made where no task is, and no context: by part, too."""
    loop = kind.loop_factory()
    with link() as (pull, push):
        push.sync.send_multipart([b"1", b"2"])
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"1", True)
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"2", False)
        push.sync.send_multipart([b"1", b"2"])
        push.sync.send(b"3")
        got = []

        def ask():
            for _ in range(2):
                task = asyncio.run_coroutine_threadsafe(pull.recv(), loop)
                got.append(task.result(LONG))

        thread = threading.Thread(target=ask)
        thread.start()
        loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, thread.join), LONG))
        loop.run_until_complete(loop.shutdown_default_executor())
        assert got == [(b"1", True), (b"2", False)]
        del thread
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"3", False)
    loop.close()


# In the middle of a message


@pytest.mark.parametrize("how", ["await", "wait_for", "create_task", "timeout"])
@in_loop
async def test_parts_by_calls_in_other_tasks(how):
    """The caller in mid-message is who made the call, not the task that runs it."""

    async def do(call):
        if how == "wait_for":
            return await asyncio.wait_for(call, LONG)
        if how == "create_task":
            return await asyncio.create_task(call)
        async with asyncio.timeout(LONG):
            return await call

    async def send(name):
        for _ in range(20):
            for i in range(3):
                await do(push.send(b"%d" % name, i < 2))

    async def receive():
        for _ in range(20):
            parts = []
            more = True
            while more:
                data, more = await do(pull.recv())
                parts.append(data)
            got.append(parts)

    with link(rcvhwm=1, sndhwm=1) as (pull, push):
        got = []
        await asyncio.gather(*map(send, range(3)), *(receive() for _ in range(3)))
        assert sorted(got) == [[b"%d" % name] * 3 for name in range(3) for _ in range(20)]


@pytest.mark.parametrize("queued", [False, True])
@in_loop
async def test_parts_by_gather(queued):
    """Calls that one task makes together belong together, even if they were queued before."""
    with link() as (pull, push):
        if not queued:
            await asyncio.gather(push.send(b"1", True), push.send(b"2", True), push.send(b"3"))
        receives = asyncio.gather(pull.recv(), pull.recv(), pull.recv())
        if queued:
            await paused(pull, 3)
            await push.send_multipart([b"1", b"2", b"3"])
        async with asyncio.timeout(LONG / 2):
            assert await receives == [(b"1", True), (b"2", True), (b"3", False)]


@in_loop
async def test_queued_parts_of_one_sender():
    with link(rcvhwm=1, sndhwm=1) as (pull, push):
        fill(push.sync)
        blocked = asyncio.create_task(push.send(b"blocked"))
        await paused(push)
        parts = asyncio.gather(push.send(b"1", True), push.send(b"2", True), push.send(b"3"))
        await paused(push, 4)
        async with asyncio.timeout(LONG / 2):
            while (message := await pull.recv_multipart()) != [b"1", b"2", b"3"]:
                assert len(message) == 1
            await asyncio.gather(blocked, parts)


def test_a_socket_of_each_kind_with_the_other():
    """`sync` is for other threads; a plain socket's calls are no coroutines."""
    with link() as (pull, _), zmqsocket.new("PUSH") as push:
        push.connect(pull.last_endpoint)
        push.send(b"x")
        assert pull.sync.recv() == (b"x", False)
        assert "PULL" in repr(pull.sync)
        with pytest.raises(AttributeError):
            pull.sync.anything = 1
