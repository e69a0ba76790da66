"""What the tests of asyncio alone share; `behaviour.py` has what is tested everywhere."""

import asyncio
import contextlib
import functools
import gc
import inspect
import uuid

import pytest

import ratchet.asyncio
from harness import sockets
from harness.internals import paused_calls
from harness.waiting import LONG

BURST = 128  # the default of set_burst
RECEIVES = {**sockets.RECEIVES, "async for": anext}


def in_loop(function):
    """A test of ``async def function(fixtures…)``, on every kind of loop."""

    @functools.wraps(function)
    def test(in_new_loop, **fixtures):
        in_new_loop(function(**fixtures))

    own = inspect.signature(function).parameters.values()
    first = inspect.Parameter("in_new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([first, *own])
    return test


@contextlib.contextmanager
def link(left="PULL", right="PUSH", endpoint=None, **options):
    """Two sockets: the left one binds. Options of both, or of one as in ``left_sndhwm``."""
    each = [
        {
            name.removeprefix(f"{side}_"): value
            for name, value in options.items()
            if not name.startswith(f"{other}_")
        }
        for side, other in (("left", "right"), ("right", "left"))
    ]
    with (
        ratchet.asyncio.new(left, linger=0, **each[0]) as bound,
        ratchet.asyncio.new(right, linger=0, **each[1]) as other,
    ):
        bound.bind(endpoint or f"inproc://{uuid.uuid4()}")
        other.connect(bound.last_endpoint)
        yield bound, other


@contextlib.contextmanager
def burst(calls):
    """From the first pause on."""
    ratchet.asyncio.set_burst(calls)
    try:
        yield
    finally:
        ratchet.asyncio.set_burst(BURST)


async def until(condition, what="it"):
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - that is what is to be seen: turns of the loop
            await asyncio.sleep(0)


async def paused(zsock, n=1):
    await until(lambda: paused_calls(zsock) == n)


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def drained(zsock):
    """Have the thread's burst begin anew, which it does with a pause."""
    task = asyncio.create_task(zsock.recv())
    await paused(zsock)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def alive(*names):
    """How many objects of those types there are."""
    gc.collect()
    return sum(type(thing).__name__ in names for thing in gc.get_objects())
