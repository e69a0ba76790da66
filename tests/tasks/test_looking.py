"""How a task goes on: it looks for an answer that is near, and does not wait for another turn."""

import asyncio
import contextvars
import threading
import time

import pytest
from harness.internals import paused_calls, use_spin
from harness.loops import in_loop, link, paused, turns
from harness.waiting import LONG

import ratchet.asyncio

ALL = 30.0  # seconds of looking, which nothing here is to use up
MUCH = 0.4  # seconds of CPU time that show that most of it was
BUSY = 0.2  # seconds of CPU time of a turn that is a long one


@pytest.fixture(autouse=True)
def looks_for_long():
    """Look for long, and on a busy machine as well, where any turn takes long."""
    use_spin(ALL, BUSY)
    yield
    use_spin()


async def asked(left, right):
    """A call that looks for its answer, since one has come soon before."""
    await left.send(b"question")
    task = asyncio.create_task(left.recv_all())
    await paused(left)
    assert await right.recv_all(timeout=LONG) == b"question"
    await right.send(b"answer")
    assert await task == b"answer"
    return await ask_again(left)


async def ask_again(left):
    await left.send(b"another")
    call = left.recv_all()
    task = asyncio.create_task(call)
    await paused(left)
    return call, task


def looks(zsock, call):
    """It has paused, and does not sleep."""
    return paused_calls(zsock) == 1 and call.cr_await is None


@in_loop
async def test_who_expects_an_answer_looks_for_it():
    with link("PAIR", "PAIR") as (left, right):
        call, task = await asked(left, right)
        await turns(10)
        assert looks(left, call)
        await right.send(b"answer")
        assert await task == b"answer"


@in_loop
async def test_who_asked_nothing_sleeps():
    with link("PAIR", "PAIR") as (left, right):
        _, task = await asked(left, right)
        await right.send(b"answer")
        await task
        call = left.recv_all()
        task = asyncio.create_task(call)
        await paused(left)
        assert call.cr_await is not None
        await right.send(b"unasked")
        assert await task == b"unasked"


@in_loop
async def test_one_task_of_a_loop_looks():
    with link("PAIR", "PAIR") as (left, right), link("PAIR", "PAIR") as (one, other):
        call, task = await asked(left, right)
        second, waits = await ask_again(one)
        assert looks(left, call)
        assert second.cr_await is not None
        await other.send(b"second")
        assert await waits == b"second"
        await right.send(b"first")
        assert await task == b"first"


@in_loop
async def test_it_sleeps_where_the_loop_has_others_to_run():
    with link("PAIR", "PAIR") as (left, right):
        call, task = await asked(left, right)
        assert looks(left, call)
        for _ in range(2):
            end = time.thread_time() + 1.1 * BUSY
            while time.thread_time() < end:
                pass
            await asyncio.sleep(0)
        assert call.cr_await is not None
        await right.send(b"answer")
        assert await task == b"answer"


@pytest.mark.parametrize("who", ["a socket", "a timer", "another thread"])
@in_loop
async def test_others_go_on_meanwhile(who):
    loop = asyncio.get_running_loop()
    with link("PAIR", "PAIR") as (left, right), link() as (pull, push):
        call, task = await asked(left, right)
        over = asyncio.Event()
        if who == "a socket":
            await push.send(b"for another")
            await pull.recv(timeout=LONG)
        elif who == "a timer":
            await asyncio.sleep(0.05)
        else:
            thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(over.set))
            thread.start()
            await over.wait()
            thread.join()
        assert looks(left, call)
        await right.send(b"answer")
        assert await task == b"answer"


@in_loop
async def test_a_timeout_ends_it():
    with link("PAIR", "PAIR") as (left, right):
        _, task = await asked(left, right)
        await right.send(b"answer")
        await task
        await left.send(b"question")
        before = time.thread_time()
        with pytest.raises(ratchet.Timeout):
            await left.recv(timeout=0.05)
        assert time.thread_time() - before < MUCH


@in_loop
async def test_a_cancellation_ends_it_and_the_next_looks_again():
    with link("PAIR", "PAIR") as (left, right):
        call, task = await asked(left, right)
        assert looks(left, call)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert paused_calls(left) == 0
        call, task = await ask_again(left)
        await turns(5)
        assert looks(left, call)
        await right.send(b"answer")
        assert await task == b"answer"


@in_loop
async def test_a_close_ends_it():
    with link("PAIR", "PAIR") as (left, right):
        _, task = await asked(left, right)
        left.close()
        with pytest.raises(ratchet.ClosedError):
            await task


# Going on where the descriptor is answered


def test_it_goes_on_in_the_turn_in_which_the_descriptor_rings():
    loop = asyncio.new_event_loop()

    def one_turn():
        loop.call_soon(loop.stop)
        loop.run_forever()

    async def receive():
        return await pull.recv_all(timeout=LONG), variable.get()

    variable = contextvars.ContextVar("variable", default="another task's")
    context = contextvars.copy_context()
    context.run(variable.set, "its own")
    with link() as (pull, push):
        task = loop.create_task(receive(), context=context)
        one_turn()
        assert paused_calls(pull) == 1
        push.sync.send(b"message")
        one_turn()
        assert task.done()
        assert task.result() == (b"message", "its own")
        assert variable.get() == "another task's"
    loop.close()


def test_an_exit_of_one_that_goes_on_leaves_the_other_one_behind_for_a_turn_only():
    loop = asyncio.new_event_loop()

    async def receive_and_exit():
        await left.recv_all()
        raise SystemExit

    with link("PAIR", "PAIR", sndhwm=1, rcvhwm=1) as (left, right):
        while left.is_writable():
            left.sync.send(b"full", timeout=0)
        leaving = loop.create_task(receive_and_exit())
        sending = loop.create_task(left.send(b"waited"))
        loop.run_until_complete(paused(left, 2))
        while right.is_readable():
            right.sync.recv()
        right.sync.send(b"message")
        with pytest.raises(SystemExit):
            loop.run_until_complete(sending)
        loop.run_until_complete(asyncio.wait_for(sending, LONG))
        assert right.sync.recv(timeout=LONG) == (b"waited", False)
        with pytest.raises(SystemExit):
            leaving.result()
    loop.close()
