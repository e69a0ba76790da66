"""What only tests of asyncio get."""

import asyncio

import pytest
from harness.behaviour import ON_LOOPS
from harness.waiting import LONG

import ratchet.asyncio
from ratchet import zmqsocket


@pytest.fixture(params=ON_LOOPS, ids=lambda kind: kind.name)
def kind(request):
    """Each kind of loop in turn: its runtime."""
    return request.param


@pytest.fixture
def in_new_loop(kind):
    """Runs a coroutine in a fresh loop; what hangs is an error."""

    def run(coroutine, **options):
        async def main():
            async with asyncio.timeout(LONG):
                return await coroutine

        with asyncio.Runner(loop_factory=kind.loop_factory, **options) as runner:
            return runner.run(main())

    return run


@pytest.fixture
def pair(inproc):
    """A socket of asyncio and a plain one; what is sent is there at once."""
    with ratchet.asyncio.new("PAIR") as zsock, zmqsocket.new("PAIR") as other:
        zsock.bind(inproc)
        other.connect(inproc)
        zsock.set_timeout(LONG)
        other.set_timeout(LONG)
        yield zsock, other
        zsock.close(linger=0)
        other.close(linger=0)
