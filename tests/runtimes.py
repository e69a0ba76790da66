"""The kinds of threads in which the same behaviour is tested: one class each, all of one shape.

A behaviour is ``async def test_…(rt, …)``, whatever the runtime. What it awaits is the runtime's to
do: in OS threads and in ratchet threads the socket's methods have paused by themselves, so its
coroutine never suspends and one step runs it to its end. In asyncio it is the main task.
`behaviour` makes a pytest test of it, for every class in `RUNTIMES`.

A runtime has
    run(behaviour, **fixtures)   run it, and leave nothing behind
    new(type, **options)         a socket of this runtime, with a timeout so that a hang is an error
    spawn(coroutine)             run it beside the caller, in a thread of this kind; returns a task
    join(task)                   await its result, or raise its error
    turn()                       let the others run
    paused(zsock, n)             wait until n calls are paused in a socket
"""

import asyncio
import inspect
import time

import pytest
from helpers import LONG, Task

import ratchet
import ratchet.asyncio
from ratchet import thread, zmqsocket

try:
    import uvloop
except ImportError:  # it has no Windows, and comes late to a new Python
    uvloop = None


def drive(coroutine):
    """Run a coroutine that never suspends, to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("a behaviour suspended in a runtime whose calls block")


class BlockingSocket:
    """A synchronous socket whose pausing methods can be awaited: they have paused by then."""

    PAUSING = (
        *("send", "send_multipart", "send_many"),
        *("recv", "recv_all", "recv_multipart", "recv_many"),
        *("recv_frame", "recv_frames", "recv_into"),
    )

    def __init__(self, zsock):
        object.__setattr__(self, "zsock", zsock)

    def __getattr__(self, name):
        method = getattr(self.zsock, name)
        if name not in self.PAUSING:
            return method

        async def call(*args, **kwargs):
            return method(*args, **kwargs)

        return call

    def __setattr__(self, name, value):
        setattr(self.zsock, name, value)

    def __repr__(self):
        return repr(self.zsock)

    def __aiter__(self):
        return self

    async def __anext__(self):
        for data in self.zsock:
            return data
        raise StopAsyncIteration

    async def __aenter__(self):
        self.zsock.__enter__()
        return self

    async def __aexit__(self, *error):
        self.zsock.__exit__(*error)


class Runtime:
    """What all runtimes share."""

    def __init__(self):
        self.sockets = []
        self.tasks = []

    def new(self, type="PAIR", **options):
        zsock = self.make(type, **options)
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
        """Let the others run until a condition holds."""
        deadline = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < deadline, f"waited {LONG} s for {what}"
            await self.turn()

    async def paused(self, zsock, n):
        await self.until(lambda: zsock.waiting == n, f"{n} callers to pause in {zsock!r}")


class OSThreads(Runtime):
    """Every task is an OS thread."""

    name = "threads"

    @staticmethod
    def make(type, **options):
        return BlockingSocket(zmqsocket.new(type, **options))

    def run(self, behaviour, **fixtures):
        try:
            drive(behaviour(self, **fixtures))
        finally:
            for zsock in self.sockets:
                zsock.close(linger=0)
            for task in self.tasks:
                task.join(LONG)
                task.error = None  # its traceback holds on to frames, and so to sockets

    def spawn(self, coroutine):
        self.tasks.append(Task(drive, coroutine))
        return self.tasks[-1]

    async def join(self, task):
        return task.value()

    async def turn(self):
        time.sleep(0.0005)  # noqa: ASYNC251 - the runtime whose calls block


class RatchetThreads(Runtime):
    """Every task is a ratchet thread, all of one kernel in the test's own OS thread."""

    name = "ratchet"
    make = staticmethod(OSThreads.make)

    def run(self, behaviour, **fixtures):
        outcome = []

        def main():
            try:
                drive(behaviour(self, **fixtures))
            except BaseException as error:
                outcome.append(error)
            finally:
                for zsock in self.sockets:
                    zsock.close(linger=0)

        # The errors of the others are raised where their results are asked for.
        with ratchet.new(main, on_error=lambda error, thread: None) as kernel:
            kernel.loop()
        for task in self.tasks:
            task.error = None  # its traceback holds on to frames, and so to sockets
        if outcome:
            raise outcome.pop()

    def spawn(self, coroutine):
        self.tasks.append(thread.attach(drive, coroutine))
        return self.tasks[-1]

    async def join(self, task):
        return task.result(LONG)

    async def turn(self):
        thread.timer(0)


class TaskSocket(BlockingSocket):
    """An asyncio socket whose calls are made in the task that awaits them, as threads make theirs.

    A call that is handed to another task belongs to the task that made it; behaviours that
    ``spawn(zsock.recv())`` mean another caller.
    """

    def __getattr__(self, name):
        method = getattr(self.zsock, name)
        if name not in self.PAUSING:
            return method

        async def call(*args, **kwargs):
            return await method(*args, **kwargs)

        return call

    async def __anext__(self):
        return await anext(self.zsock)

    async def __aenter__(self):
        await self.zsock.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.zsock.__aexit__(*error)


class Tasks(Runtime):
    """Every task is one of asyncio, all of one loop in the test's own OS thread."""

    name = "asyncio"
    loop_factory = staticmethod(asyncio.new_event_loop)

    @staticmethod
    def make(type, **options):
        return TaskSocket(ratchet.asyncio.new(type, **options))

    def run(self, behaviour, **fixtures):
        async def main():
            try:
                await behaviour(self, **fixtures)
            finally:
                for zsock in self.sockets:
                    zsock.close(linger=0)
                # As of threads: their errors are raised where their results are asked for.
                ended = asyncio.gather(*self.tasks, return_exceptions=True)
                await asyncio.wait_for(ended, LONG)

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(main())

    def spawn(self, coroutine):
        self.tasks.append(asyncio.create_task(coroutine))
        return self.tasks[-1]

    async def join(self, task):
        await asyncio.wait([task], timeout=LONG)
        assert task.done(), "a task hangs"
        return task.result()

    async def turn(self):
        await asyncio.sleep(0)


class UvloopTasks(Tasks):
    """The same on uvloop."""

    name = "uvloop"

    @staticmethod
    def loop_factory():
        return uvloop.new_event_loop()


if uvloop:
    uvloop.new_event_loop().close()  # the first leaves libuv's pipe for signals, for good
RUNTIMES = [OSThreads, RatchetThreads, Tasks, *([UvloopTasks] if uvloop else [])]


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
