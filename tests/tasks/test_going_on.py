"""How a task goes on: in the turn in which its descriptor rings."""

import asyncio
import contextvars

import pytest
from harness.internals import paused_calls
from harness.loops import link, paused
from harness.waiting import LONG


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
