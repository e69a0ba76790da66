"""Behaviours: tests that are written once and run in every runtime.

A behaviour is ``async def test_…(rt, …)``. `behaviour` makes a pytest test of it, for every class
in `RUNTIMES`. Beside what any runtime has (`runtimes.py`), ``rt`` has
    run(behaviour, **fixtures)   run it, and leave nothing behind
    new(type, **options)         a socket of this runtime, with a timeout so that a hang is an error
    link(left, right, endpoint)  awaited: two of them, connected
    until(condition), paused(zsock, n)   awaited: let the others run until a condition holds, or
                                 so many calls are paused in a socket
"""

import inspect
import time

import pytest

from harness import internals, runtimes
from harness.waiting import LONG


class Tested:
    """What a runtime has in tests beside what it is."""

    background = False  # a ratchet thread that is left is found

    def __init__(self):
        super().__init__()
        self.sockets = []
        self.tasks = []

    def run(self, behaviour, **fixtures):
        try:
            self.main(self.whole, behaviour, fixtures)
        finally:
            for task in self.tasks:
                if hasattr(task, "error"):
                    task.error = None  # its traceback holds on to frames, and so to sockets

    async def whole(self, _, behaviour, fixtures):
        try:
            await behaviour(self, **fixtures)
        finally:
            for zsock in self.sockets:
                zsock.close(linger=0)
            for task in self.tasks:  # their errors are raised where their results are asked for
                await self.wait(task)

    def spawn(self, coroutine):
        self.tasks.append(super().spawn(coroutine))
        return self.tasks[-1]

    def new(self, type="PAIR", **options):
        zsock = self.use(self.make(type, **options))
        zsock.set_timeout(LONG)
        self.sockets.append(zsock)
        return zsock

    async def link(self, left, right, endpoint, left_options=None, right_options=None):
        """Two sockets, given as types: the left one binds, the right one connects."""
        bound = self.new(left, **(left_options or {}))
        other = self.new(right, **(right_options or {}))
        bound.bind(endpoint)
        other.connect(bound.last_endpoint)
        return bound, other

    async def until(self, condition, what="it"):
        deadline = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < deadline, f"waited {LONG} s for {what}"
            await self.turn()

    async def paused(self, zsock, n):
        what = f"{n} callers to pause in {zsock!r}"
        await self.until(lambda: internals.paused_calls(zsock) == n, what)


RUNTIMES = [type(kind.__name__, (Tested, kind), {}) for kind in runtimes.KINDS]
ON_LOOPS = [kind for kind in RUNTIMES if issubclass(kind, runtimes.Tasks)]
OSThreads, RatchetThreads, Tasks = RUNTIMES[:3]


def behaviour(function):
    """A test of ``async def function(rt, fixtures…)``, run in every runtime."""

    def test(runtime, **fixtures):
        runtime().run(function, **fixtures)

    own = list(inspect.signature(function).parameters.values())[1:]
    first = inspect.Parameter("runtime", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([first, *own])
    test.__name__, test.__doc__ = function.__name__, function.__doc__
    test.__module__ = function.__module__
    return pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda kind: kind.name)(test)
