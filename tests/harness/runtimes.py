"""The kinds of threads, one class each, all of one shape; a new kind is one more class here.

A behaviour, a scenario of `torture` and a work of the soak are each one coroutine, whatever the
runtime. Where calls block, what it awaits has been done by the time it is awaited, so it never
suspends and one step runs it to its end (`drive`). In asyncio it is a task.

A runtime has
    main(function, *args)    run ``await function(self, *args)`` where calls may be made
    spawn(coroutine)         run it beside the caller, in a thread of this kind; returns a task
    wait(task, seconds)      awaited: has it ended by then?
    join(task)               awaited: its result, or its error is raised
    cancel(task)             end it from outside, from any OS thread: unless ``stops`` is False
    sleep(seconds), turn()   awaited: let the others run
    readable(end)            awaited: wait for a descriptor
    tidy()                   drop what is kept of waits that are over
    use(zsock)               the socket, its calls to be awaited here; made by ``module``'s `new`

ratchet is imported only where it is used: `torture` runs other libraries in these classes too.
"""

import asyncio
import collections
import contextlib
import importlib
import importlib.util
import select
import socket
import sys
import time
import weakref

from harness.waiting import LONG, Task

try:
    import uvloop

    uvloop.new_event_loop().close()  # the first leaves libuv's pipe for signals, for good
except ImportError:  # it has no Windows, and comes late to a new Python
    uvloop = None


def drive(coroutine):
    """Run a coroutine that never suspends, to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("a coroutine suspended in a runtime whose calls block")


class BlockingSocket:
    """A synchronous socket whose pausing methods can be awaited: they have paused by then."""

    def __init__(self, zsock):
        from harness.internals import PAUSING

        object.__setattr__(self, "zsock", zsock)
        object.__setattr__(self, "pausing", PAUSING)

    def __getattr__(self, name):
        method = getattr(self.zsock, name)
        return self.awaited(method) if name in self.pausing else method

    @staticmethod
    def awaited(method):
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


class TaskSocket(BlockingSocket):
    """An asyncio socket whose calls are made in the task that awaits them, as threads make theirs.

    A call that is handed to another task belongs to the task that made it; behaviours that
    ``spawn(zsock.recv())`` mean another caller.
    """

    @staticmethod
    def awaited(method):
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


class OSThreads:
    """Every task is an OS thread."""

    name, kind, module = "threads", "threads", "ratchet.zmqsocket"
    stops = False  # nothing can end an OS thread from outside
    awaits = False  # are its calls awaited?

    def main(self, function, *args, **kwargs):
        return drive(function(self, *args, **kwargs))

    def spawn(self, coroutine):
        return Task(drive, coroutine)

    async def wait(self, task, seconds=LONG):
        task.join(seconds)
        return self.ended(task)

    async def join(self, task, limit=LONG):
        return task.value(limit)

    def ended(self, task):
        return not task.is_alive()

    async def sleep(self, seconds=0.0):
        time.sleep(seconds)  # noqa: ASYNC251 - the runtime whose calls block

    async def turn(self):
        time.sleep(0.0005)  # noqa: ASYNC251 - the same

    async def readable(self, end):
        select.select([end], [], [])

    def tidy(self):
        pass

    def use(self, zsock):
        return BlockingSocket(getattr(zsock, "sync", zsock))

    def make(self, type, **options):
        return importlib.import_module(self.module).new(type, **options)


class Stoppable(OSThreads):
    """Of a runtime whose threads can be ended from outside: ends one, and waits for its end."""

    stops = True

    async def stop(self, task):
        self.cancel(task)
        assert await self.wait(task), "hangs"


class RatchetThreads(Stoppable):
    """Every task is a ratchet thread, all of one kernel in the OS thread that calls `main`."""

    name, kind = "ratchet", "cooperative"
    background = True  # main does not wait for those that it has spawned

    def __init__(self):
        super().__init__()
        import ratchet

        self.ratchet, self.thread = ratchet, ratchet.thread

    def main(self, function, *args, **kwargs):
        outcome, errors = [], []

        def entry():
            try:
                outcome.append(drive(function(self, *args, **kwargs)))
            except BaseException as error:
                errors.append(error)

        # The errors of the others are raised where their results are asked for.
        with self.ratchet.new(entry, on_error=lambda _error, _thread: None) as kernel:
            kernel.loop()
        if errors:
            raise errors.pop()
        return outcome.pop()

    def spawn(self, coroutine):
        attach = self.thread.attach_background if self.background else self.thread.attach
        return attach(drive, coroutine)

    async def wait(self, task, seconds=LONG):
        try:
            task.result(seconds)
        except self.ratchet.Killed:
            raise
        except BaseException as error:
            if not (task.done or isinstance(error, self.ratchet.Timeout)):
                raise
        return task.done

    async def join(self, task, limit=LONG):
        assert await self.wait(task, limit), "hangs"
        return task.result()

    def ended(self, task):
        return task.done

    def cancel(self, task):
        self.thread.kill(task)

    async def sleep(self, seconds=0.0):
        self.thread.timer(seconds)

    async def turn(self):
        self.thread.timer(0)

    async def readable(self, end):
        self.thread.block_on([end])


class GreenletTask:
    """A greenlet of gevent's whose result or error is handed on; gevent would print the error."""

    def __init__(self, gevent, coroutine):
        self.coroutine = coroutine
        self.result = self.error = None
        self.hub = gevent.get_hub()
        self.glet = gevent.spawn(self.run)

    def run(self):
        try:
            self.result = drive(self.coroutine)
        except BaseException as error:
            self.error = error
        self.coroutine = None

    def kill(self):
        self.glet.kill(block=False)

    def value(self):
        if self.glet.value is not None:  # the GreenletExit of one that was killed before it began
            raise RuntimeError("killed")
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self.result


class Greenlets(Stoppable):
    """Every task is a greenlet of gevent's, all of one hub, in the OS thread that calls `main`."""

    name, kind = "gevent", "gevent"

    def __init__(self):
        super().__init__()
        import gevent
        import gevent.socket

        self.gevent = gevent

    def main(self, function, *args, **kwargs):
        before = self.gevent.hub._get_hub()
        spawned, self.spawned = getattr(self, "spawned", None), weakref.WeakSet()
        task = GreenletTask(self.gevent, function(self, *args, **kwargs))
        try:
            task.glet.join()  # which Ctrl-C leaves
            return task.value()
        finally:
            self.gevent.killall([task.glet, *self.spawned])
            self.spawned = spawned
            if before is None:  # its descriptors go with it
                self.gevent.sleep(0.001)  # libev's default loop, which comes again, counts calls
                self.gevent.get_hub().destroy(destroy_loop=True)

    def spawn(self, coroutine):
        task = GreenletTask(self.gevent, coroutine)
        self.spawned.add(task.glet)
        return task

    async def wait(self, task, seconds=LONG):
        task.glet.join(seconds)
        return self.ended(task)

    async def join(self, task, limit=LONG):
        assert await self.wait(task, limit), "hangs"
        return task.value()

    def ended(self, task):
        return task.glet.ready()

    def cancel(self, task):
        if self.gevent.hub._get_hub() is task.hub:
            task.kill()
        else:
            task.hub.loop.run_callback_threadsafe(task.kill)

    async def sleep(self, seconds=0.0):
        self.gevent.sleep(seconds)

    async def turn(self):
        self.gevent.sleep(0.0005)  # a loop of sleep(0) never gives the GIL to another OS thread

    async def readable(self, end):
        self.gevent.socket.wait_read(end.fileno())


class Tasks(Stoppable):
    """Every task is one of asyncio, all of one loop in the OS thread that calls `main`."""

    name, kind, module = "asyncio", "asyncio", "ratchet.asyncio"
    awaits = True
    loop_factory = staticmethod(asyncio.new_event_loop)

    def main(self, function, *args, **kwargs):
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(function(self, *args, **kwargs))

    def spawn(self, coroutine):
        return asyncio.create_task(coroutine)

    async def wait(self, task, seconds=LONG):
        await asyncio.wait([task], timeout=seconds)
        if task.done() and not task.cancelled():
            task.exception()  # who joins is told, and asyncio need not say that nobody was
        return task.done()

    async def join(self, task, limit=LONG):
        assert await self.wait(task, limit), "hangs"
        return task.result()

    def ended(self, task):
        return task.done()

    def cancel(self, task):
        if asyncio._get_running_loop() is task.get_loop():
            task.cancel()
        else:
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def sleep(self, seconds=0.0):
        await asyncio.sleep(seconds)

    async def turn(self):
        await asyncio.sleep(0)

    def timeout(self, seconds):
        """End with TimeoutError what takes longer, as this runtime does."""
        return asyncio.timeout(seconds)

    async def readable(self, end):
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(end, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(end)

    def use(self, zsock):
        return TaskSocket(zsock)


class UvloopTasks(Tasks):
    """The same on uvloop."""

    name = "uvloop"

    @staticmethod
    def loop_factory():
        return uvloop.new_event_loop()


class BlindLoop(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as Windows' Proactor."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    def remove_reader(self, fd):
        raise NotImplementedError

    add_writer, remove_writer = add_reader, remove_reader


class WatchedTasks(Tasks):
    """Tasks of asyncio on a loop for which ratchet's OS thread watches."""

    name = "watched"
    loop_factory = BlindLoop

    async def readable(self, end):
        from ratchet.asyncio import select

        await select([end])


class TrioTask:
    """A task of trio whose result or error is handed on, and that can be cancelled by itself."""

    def __init__(self, trio, coroutine):
        self.trio, self.coroutine = trio, coroutine
        self.scope, self.over = trio.CancelScope(), trio.Event()
        self.token = trio.lowlevel.current_trio_token()
        self.result = self.error = None

    async def run(self):
        try:
            with self.scope:
                self.result = await self.coroutine
        except BaseException as error:
            self.error = error
        if self.scope.cancelled_caught:
            self.error = RuntimeError("cancelled")
        self.coroutine = None
        self.over.set()


class TrioTasks(Stoppable):
    """Every task is one of trio, all of one run in the OS thread that calls `main`."""

    name, kind, module = "trio", "trio", "ratchet.trio"
    awaits = True

    def __init__(self):
        super().__init__()
        import trio

        self.trio = trio
        self.nursery = trio.lowlevel.RunVar("nursery")  # of each run of its own
        self.waits = {}  # scope -> until when; trio would keep 1000 deadlines that are over

    def main(self, function, *args, **kwargs):
        return self.trio.run(self.whole_run, function, args, kwargs)

    async def whole_run(self, function, args, kwargs):
        result = failure = None
        async with self.trio.open_nursery() as nursery:
            self.nursery.set(nursery)
            nursery.start_soon(self.end_waits)
            try:
                result = await function(self, *args, **kwargs)
            except BaseException as error:  # to be raised outside, without a group around it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback refers to this frame
        return result

    def spawn(self, coroutine):
        task = TrioTask(self.trio, coroutine)
        self.nursery.get().start_soon(task.run)
        return task

    async def end_waits(self):
        while True:
            await self.trio.sleep(0.2)
            for scope, until in list(self.waits.items()):
                if time.monotonic() > until:
                    scope.cancel()

    async def wait(self, task, seconds=LONG):
        with self.trio.CancelScope() as scope:
            if seconds < 1:
                scope.deadline = self.trio.current_time() + seconds
            else:
                self.waits[scope] = time.monotonic() + seconds
            await task.over.wait()
        self.waits.pop(scope, None)
        return self.ended(task)

    async def join(self, task, limit=LONG):
        assert await self.wait(task, limit), "hangs"
        if task.error is not None:
            error, task.error = task.error, None
            raise error
        return task.result

    def ended(self, task):
        return task.over.is_set()

    def cancel(self, task):
        task.token.run_sync_soon(task.scope.cancel)

    async def sleep(self, seconds=0.0):
        await self.trio.sleep(seconds)

    async def turn(self):
        await self.trio.lowlevel.checkpoint()

    def tidy(self):
        # trio keeps up to 1000 deadlines that were changed, and has no other way to drop them.
        self.trio._core._run.GLOBAL_RUN_CONTEXT.runner.deadlines._prune()

    @contextlib.asynccontextmanager
    async def timeout(self, seconds):
        """End with TimeoutError what takes longer, as this runtime does."""
        with self.trio.move_on_after(seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError

    async def readable(self, end):
        await self.trio.lowlevel.wait_readable(end)

    def use(self, zsock):
        return TaskSocket(zsock)


class AnyioTasks(Tasks):
    """Tasks of asyncio, run by anyio."""

    name, module = "anyio on asyncio", "ratchet.anyio"

    def main(self, function, *args, **kwargs):
        import anyio

        return anyio.run(lambda: function(self, *args, **kwargs), backend="asyncio")


class AnyioTrioTasks(TrioTasks):
    """Tasks of trio, run by anyio."""

    name, module = "anyio on trio", "ratchet.anyio"

    def main(self, function, *args, **kwargs):
        import anyio

        return anyio.run(self.whole_run, function, args, kwargs, backend="trio")


def installed(name):
    """Can a module be imported? It is imported only where its runtime is used."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # that would be the tests' folder of that name
        return False
    # trio has nothing for a system without these, as `test_platforms.py` makes one.
    polls = hasattr(select, "epoll") or hasattr(select, "kqueue") or sys.platform == "win32"
    return name != "trio" or polls


KINDS = [OSThreads, RatchetThreads, Tasks, WatchedTasks]
KINDS += [UvloopTasks] if uvloop else []
KINDS += [TrioTasks] if installed("trio") else []
KINDS += [Greenlets] if installed("gevent") else []


class Elsewhere:
    """A runtime in an OS thread of its own, in which functions are called from another."""

    def __init__(self, rt):
        self.rt, self.given = rt, collections.deque()
        self.bell, self.ringer = socket.socketpair()
        self.task = Task(rt.main, self.serve)

    async def serve(self, rt):
        spawned = []
        while True:
            await rt.readable(self.bell)
            self.bell.recv(1)
            function = self.given.popleft()
            if function is None:
                break
            spawned.append(function(rt))
        for task in spawned:
            await rt.wait(task)

    def do(self, function):
        """Have ``function(runtime)`` called there; what it returns is the task that it spawned."""
        self.given.append(function)
        self.ringer.send(b"!")

    def close(self):
        self.do(None)
        self.task.value()
        self.bell.close()
        self.ringer.close()
