"""The step that ends an asyncio call: its result reaches who awaits it, though memory runs out."""

import asyncio
import importlib
import uuid

import pytest

import ratchet.asyncio
from ratchet import Timeout

try:
    fail = importlib.import_module("_testcapi")
    fail.set_nomemory  # noqa: B018 - a Python without it
except (ImportError, AttributeError):
    pytest.skip("this Python has no _testcapi", allow_module_level=True)

ALLOCATIONS = 60  # more than a call makes: each of them fails once
PENDING = object()
ENDS = StopIteration, MemoryError  # made while there is memory


async def by_await(call, start, stop):
    """As a task does it, without the task: what was returned, else PENDING."""
    got = [PENDING]

    async def keep():
        got[0] = await call

    step = keep()
    fail.set_nomemory(start, stop)
    try:
        step.send(None)
    except ENDS:
        pass
    finally:
        fail.remove_mem_hooks()
    step.close()
    return got[0]


async def by_next(call, start, stop):
    """The slot that ``await`` asks from Python 3.12 on; it tells only that the call is over."""
    nothing = object()
    fail.set_nomemory(start, stop)
    try:
        found = next(call, nothing)
    except MemoryError:
        return PENDING
    finally:
        fail.remove_mem_hooks()
    return None if found is nothing else PENDING


def test_a_step_that_raises_memory_error_has_sent_and_taken_nothing():
    failed = 0

    async def attempt(make, left, right, end, *memory):
        """Is what is refused still to be done, and what is not refused done?"""
        nonlocal failed
        await asyncio.sleep(0)  # so that it is not this call's turn to let others run
        if make != "send":
            await right.send(b"x")
        call = right.send(b"x") if make == "send" else getattr(left, make)()
        refused = await end(call, *memory) is PENDING
        failed += refused
        call.close()
        there = []
        try:
            there.append(await left.recv_all(timeout=0))
        except Timeout:
            pass
        assert bool(there) == (refused == (make != "send")), (make, end.__name__, memory)

    async def main():
        with ratchet.asyncio.new("PULL") as left, ratchet.asyncio.new("PUSH") as right:
            left.bind(f"inproc://{uuid.uuid4()}")
            right.connect(left.last_endpoint)
            for end in (by_await, by_next):
                for make in ("send", "recv", "recv_all"):  # the others may drop a message, whole
                    for start in range(ALLOCATIONS):
                        for stop in (0, start + 1):  # none from then on, or only this time
                            await attempt(make, left, right, end, start, stop)
        assert failed

    asyncio.run(main())


def finish(step, call):
    """Step to the end: what it says. The first step may be this call's turn to let others run."""
    while True:
        try:
            step(call)
        except StopIteration as end:
            return end


def test_the_result_of_each_way_to_step():
    """`next`, `send` and ``await`` agree, and one result is not another's."""

    async def main():
        with ratchet.asyncio.new("PULL") as pull, ratchet.asyncio.new("PUSH") as push:
            pull.bind(f"inproc://{uuid.uuid4()}")
            push.connect(pull.last_endpoint)
            for step in (next, lambda call: call.send(None)):
                assert finish(step, push.send(b"x")).value is None
                received = finish(step, pull.recv())
                assert received.value == (b"x", False)
                assert finish(step, push.send(b"y")).value is None
                assert await pull.recv_multipart() == [b"y"]
                assert received.value == (b"x", False)

    asyncio.run(main())
