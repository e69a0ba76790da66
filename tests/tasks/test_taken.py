"""However an asyncio `send_many` ends, the call says how many messages went, on every Python."""

import asyncio
import contextlib
import uuid

import pytest
from harness.behaviour import ON_LOOPS
from harness.internals import paused_calls
from harness.waiting import LONG

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, Timeout

SHORT = 0.02  # seconds, for timeouts that are to pass
MESSAGES = [b"%d" % n for n in range(500)]


async def paused(push):
    async with asyncio.timeout(LONG):
        while not paused_calls(push):  # noqa: ASYNC110 - that is what is to be seen: turns of the loop
            await asyncio.sleep(0)


async def by_argument(push):
    call = push.send_many(MESSAGES, timeout=SHORT)
    with pytest.raises(Timeout) as caught:
        await call
    assert caught.value.taken == call.taken
    return call


async def by_timeout(push):
    call = push.send_many(MESSAGES)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT):
            await call
    return call


async def by_nested_timeouts(push):
    call = push.send_many(MESSAGES)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT), asyncio.timeout(LONG):
            await call
    return call


async def by_wait_for(push):
    call = push.send_many(MESSAGES)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, SHORT)
    return call


async def by_cancel(push):
    call = push.send_many(MESSAGES)
    task = asyncio.create_task(call)
    await paused(push)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.taken == call.taken
    assert task.get_coro() is call
    return call


async def by_cancel_around_wait_for(push):
    call = push.send_many(MESSAGES)
    task = asyncio.create_task(asyncio.wait_for(call, LONG))
    await paused(push)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return call


async def by_task_group(push):
    call = push.send_many(MESSAGES)

    async def fail():
        await paused(push)
        raise ZeroDivisionError

    with contextlib.suppress(ExceptionGroup):  # whose CancelledErrors it leaves out
        async with asyncio.TaskGroup() as group:
            group.create_task(call)
            group.create_task(fail())
    return call


async def by_gather(push):
    call = push.send_many(MESSAGES)
    both = asyncio.gather(call, asyncio.sleep(LONG))
    await paused(push)
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both
    return call


async def by_close(push):
    call = push.send_many(MESSAGES)
    task = asyncio.create_task(call)
    await paused(push)
    push.close(linger=LONG)  # what was taken goes
    with pytest.raises(ClosedError) as caught:
        await task
    assert caught.value.taken == call.taken
    return call


WAYS = [
    *(by_argument, by_timeout, by_nested_timeouts, by_wait_for, by_cancel),
    *(by_cancel_around_wait_for, by_task_group, by_gather, by_close),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", ON_LOOPS, ids=lambda kind: kind.name)
def test_the_call_says_how_many_went(kind, way):
    async def main():
        with (
            ratchet.asyncio.new("PULL", linger=0, rcvhwm=3) as pull,
            ratchet.asyncio.new("PUSH", linger=0, sndhwm=3) as push,
        ):
            pull.bind(f"inproc://{uuid.uuid4()}")
            push.connect(pull.last_endpoint)
            async with asyncio.timeout(LONG):
                call = await way(push)
            assert 1 <= call.taken < len(MESSAGES)
            got = []
            with contextlib.suppress(Timeout):
                while True:
                    got.append(await pull.recv_all(timeout=SHORT))
            assert got == MESSAGES[: call.taken]

    with asyncio.Runner(loop_factory=kind.loop_factory) as runner:
        runner.run(main())


def test_the_call_counts_from_before_its_beginning_to_its_end():
    async def main():
        with ratchet.asyncio.new("PULL") as pull, ratchet.asyncio.new("PUSH") as push:
            pull.bind(f"inproc://{uuid.uuid4()}")
            push.connect(pull.last_endpoint)
            call = push.send_many([b"1", b"2"])
            assert call.taken == 0
            assert await call == call.taken == 2

    asyncio.run(main())


def test_other_calls_have_no_such_count():
    async def main():
        with ratchet.asyncio.new("PULL") as pull:
            call = pull.recv()
            with pytest.raises(AttributeError, match=r"recv.*send_many"):
                _ = call.taken
            call.close()

    asyncio.run(main())
