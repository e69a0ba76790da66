"""The socket for asyncio, whose methods that pause are coroutines, and how it uses the loop.

Theory of operation
-------------------
A call that is ready finishes without suspending. Otherwise it queues at the socket's doorbell like
any other caller, and the loop watches ZMQ_FD, with one reader for each socket and loop, however
many tasks wait. A woken call tries again in the step that returns the message
(`_zmq/awaitable.pxi`): no message is ever in a future, so a task that is cancelled or out of time
has none to lose.

Timeouts of all tasks of a loop share one timer: a heap of deadlines, of which the loop knows the
first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import math
import os
import socket
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from . import errors
from ._awaited_select import awaited_select
from ._deadlines import Deadline, Deadlines
from ._zmq import (
    AwaitableSocket,
    AwaitedRuntime,
    BlockingSocket,
    RuntimeGone,
    add_event_loop,
    add_watcher,
    block,
    calls_that_pause,
    check,
    exit_waits,
    process_generation,
    remove_watcher,
    set_task_burst,
    waiting_calls,
    watchers_of,
)
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from types import TracebackType
    from typing import Unpack

    from ._zmq import SocketBase, TaskWaiter, Tracker, _BlockingCalls
    from .options import OptionArguments
else:
    _BlockingCalls = object

__all__ = ["Shared", "ZMQSocket", "new", "select", "set_burst"]


class AsyncioRuntime(AwaitedRuntime):
    """How the tasks of one event loop pause: by futures, with one reader for each socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop watches duplicates of sockets' descriptors: it has one reader for a number, and
        # that of the socket itself is the program's to watch.
        self._copies: set[int] = set()
        self._loop = weakref.ref(loop, functools.partial(_close_all, self._copies))
        self.ident = threading.get_ident()
        # A loop's own is_running() may run a signal handler, whose exception nobody could take.
        self._plain = getattr(type(loop), "is_running", None) is asyncio.BaseEventLoop.is_running
        self._bells: dict[int, tuple[int, weakref.ref[SocketBase]]] = {}  # with the duplicate
        self._deadlines = Deadlines()
        self._live = 0  # deadlines of calls that still wait
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, unless it is closed."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    def has_ended(self) -> bool:
        return self.loop is None

    def is_stopped(self) -> bool:
        loop: Any = self._loop()
        if loop is None:
            return True
        return loop._thread_id is None if self._plain else not loop.is_running()

    # Readers

    def watch(self, zsock: SocketBase) -> None:
        """Ring the socket's bell when its descriptor does. In the loop's own OS thread."""
        add_watcher(zsock, self)
        fd = zsock.get_fd()
        known = self._bells.get(fd)
        if known is not None and known[1]() is zsock:
            return
        self.forget(fd)  # the number was another socket's
        for other in watchers_of(zsock):
            if isinstance(other, AsyncioRuntime) and other.loop is None:  # closed, with its reader
                remove_watcher(zsock, other)
                other.forget(fd)
        self._bells[fd] = self._register(zsock)
        if zsock.closed:  # meanwhile, by another OS thread, which found nothing to forget
            self.forget(fd)

    def _register(self, zsock: SocketBase) -> tuple[int, weakref.ref[SocketBase]]:
        loop, bell = asyncio.get_running_loop(), weakref.ref(zsock)
        copy = zsock._duplicate()
        try:
            self._copies.add(copy)
            loop.add_reader(copy, _ring, bell)
        except BaseException as error:
            with contextlib.suppress(Exception):
                loop.remove_reader(copy)
            self._close(copy)
            if not isinstance(error, NotImplementedError):
                raise
            raise errors.Error(
                errno.ENOSYS,
                f"{type(loop).__name__} cannot watch descriptors; on Windows use "
                "asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop)",
            ) from None
        return copy, bell

    def forget(self, fd: int, closing: object = None) -> None:
        """Watch no more. From any OS thread; at the exit ``closing`` is held until that is done.

        Otherwise it is not held: a stopped loop would keep the socket open, and the loop's own
        descriptor is a duplicate.
        """
        known = self._bells.get(fd)
        if known is None:
            return
        try:
            self._call(self._remove, known[0], closing if exit_waits() else None)
        except RuntimeGone:
            self._close(known[0])  # and the loop has no reader any more
        # Last: if a signal handler raises before, all of it is done again.
        if self._bells.get(fd) is known:
            del self._bells[fd]

    def _remove(self, copy: int, _closing: object) -> None:
        if (loop := self.loop) is not None:
            loop.remove_reader(copy)
        self._close(copy)

    def _close(self, copy: int) -> None:
        if copy in self._copies:  # otherwise it is the parent's of this forked process
            self._copies.discard(copy)
            socket.close(copy)

    def forked(self) -> None:
        """In a child process, leave what the parent has open alone."""
        self._copies.clear()
        self._bells.clear()

    # Tasks

    def suspend(self, waiter: TaskWaiter) -> Iterator[Any]:
        """Return the iterator of a future that `wake` sets, or the waiter's deadline."""
        waiter.future = future = asyncio.get_running_loop().create_future()
        if waiter.until != math.inf:
            self._arm(waiter)
        return future.__await__()

    def wake(self, waiter: TaskWaiter) -> None:
        """Set the waiter's future. From any OS thread."""
        self._call(_set, waiter, waiter.future)

    def never(self) -> Iterator[Any]:
        """Return the iterator of a future that nobody sets."""
        return asyncio.get_running_loop().create_future().__await__()

    def at_end(self, end: Callable[[object], object]) -> None:
        """Call ``end`` when the running task is done."""
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(end)

    def finished(self, waiter: TaskWaiter) -> None:
        """Drop the deadline and the future of a call that has its result."""
        waiter.future = None  # it refers to the loop
        if waiter.timer is not None:
            self._deadlines.drop(waiter.timer)
            waiter.timer = None
            self._live -= 1
            if not self._live:
                self._deadlines.clear()  # else what is armed next would not be the first
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None

    def gave_up(self, zsock: SocketBase, waiter: TaskWaiter) -> None:
        """Do what `finished` does; if no other call waits, remove the reader as well."""
        self.finished(waiter)
        if not waiting_calls(zsock) and not zsock.closed and remove_watcher(zsock, self):
            self.forget(zsock.get_fd())

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        """Call in the loop's own OS thread: at once if it is this one, else in its next turn."""
        if (loop := self.loop) is None:
            raise RuntimeGone
        here = asyncio._get_running_loop()
        if here is loop or (not loop.is_running() and threading.get_ident() == self.ident):
            callback(*args)  # it may be going on in another OS thread than before
            return
        try:
            loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            raise RuntimeGone from None  # closed in between

    # Deadlines. All of a loop share one timer, which goes off at the first of them.

    def _arm(self, waiter: TaskWaiter) -> None:
        if waiter.timer is None:
            waiter.timer = Deadline(waiter.time_up, again=True)
            self._live += 1
        if self._deadlines.arm(waiter.timer, waiter.until):
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # asyncio's clock and ours are both monotonic, but need not be the same.
        delay = self._deadlines.first() - monotonic()
        if (loop := self.loop) is not None:
            self._timer = loop.call_later(max(0.0, delay), self._time_up)

    def _time_up(self) -> None:
        self._timer = None
        try:
            self._deadlines.ring()
        finally:
            if self._live and self._deadlines.heap:
                self._set_timer()


def _close_all(copies: set[int], _: object) -> None:
    """Close the duplicates of a loop that has been collected."""
    while copies:
        socket.close(copies.pop())


def _ring(bell: weakref.ref[SocketBase]) -> None:
    zsock = bell()
    if zsock is not None and not zsock.closed:
        check(zsock)


def _set(waiter: TaskWaiter, future: asyncio.Future[None] | None) -> None:
    """Set a future, once: its task goes on in the next turn.

    A signal handler that raises in here may leave a future that is done and whose task was not
    told.
    """
    if future is None:
        return
    try:
        if not future.done():
            waiter.callbacks = future._callbacks
            future.set_result(None)
            waiter.callbacks = None
    finally:
        if waiter.callbacks is not None:
            future.get_loop().call_soon(_tell, waiter, future)


def _tell(waiter: TaskWaiter, future: asyncio.Future[None]) -> None:
    """Let the task of a future that is done go on, if a signal handler kept it from being told."""
    callbacks, waiter.callbacks = waiter.callbacks, None
    if waiter.future is future:  # its task has not gone on
        for callback, context in callbacks or ():
            future.get_loop().call_soon(callback, future, context=context)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_runtimes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncioRuntime] = (
    weakref.WeakKeyDictionary()
)
# In a forked child, the parent's loops. What is registered there would be so in the parent too.
_inherited: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def _runtime() -> AsyncioRuntime:
    """Return the runtime of the event loop that runs here."""
    loop = asyncio.get_running_loop()
    runtime = _runtimes.get(loop)
    if runtime is None:
        if loop in _inherited:
            raise errors.ForkedError(
                errno.EBADF,
                f"cannot wait in {loop!r}: it was made before a fork, and shares what it watches "
                "with the parent process; run another in the child, as asyncio.run does",
            )
        runtime = _runtimes[loop] = AsyncioRuntime(loop)
    runtime.ident = threading.get_ident()
    return runtime


def _after_fork() -> None:
    for runtime in list(_runtimes.values()):
        runtime.forked()
    _inherited.update(_runtimes)
    _runtimes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

add_event_loop(asyncio._get_running_loop)


async def wait_for_tracker(tracker: Tracker) -> None:
    """Do what ``await tracker`` does."""
    if tracker.done:
        return
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    born = process_generation()
    fd = socket.dup(tracker.fileno())  # of each waiter's own: a loop has one reader for each
    loop.add_reader(fd, _finish, future)
    try:
        await future
    finally:
        if born == process_generation():  # else both are the parent's
            loop.remove_reader(fd)
            socket.close(fd)


async def _readable(fd: int, deadline: float) -> None:
    """Wait until a descriptor of ratchet's own is readable, or until ``deadline``."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    timer = None
    if deadline != math.inf:
        timer = loop.call_later(max(0.0, deadline - monotonic()), _finish, future)
    loop.add_reader(fd, _finish, future)
    try:
        await future
    finally:
        loop.remove_reader(fd)
        if timer is not None:
            timer.cancel()


async def select(
    reads: Iterable[Any],
    writes: Iterable[Any] = (),
    timeout: float | None = None,  # noqa: ASYNC109 (as in every call of ratchet's)
) -> tuple[list[Any], list[Any]]:
    """Pause the task until at least one of many things is ready.

    Args, results and errors are those of `ratchet.zmqsocket.select`: sockets (plain and asyncio
    ones), trackers, monitors, descriptors and what has one. Cancelled, it has taken nothing.
    """
    return await awaited_select(reads, writes, timeout, _readable, _turn)


def _turn() -> Coroutine[Any, Any, None]:
    return asyncio.sleep(0)


def set_burst(calls: int) -> None:
    """Set how many ready calls the tasks of a loop make in a row before the loop runs a turn.

    The default of 128 keeps a heartbeat of 10 ms beside a busy socket; less is fairer and slower.

    Raises:
        ValueError: not from 1 to 1,000,000.
    """
    if type(calls) is not int:
        raise TypeError(f"a burst is a number of calls, not {type(calls).__name__}")
    if not 1 <= calls <= 1_000_000:
        raise errors.argument_error(f"a burst is from 1 to 1000000 calls, not {calls}")
    set_task_burst(calls)


class Shared(_BlockingCalls):
    """The calls of a `ZMQSocket` of this module for OS threads and ratchet threads: they block."""

    __slots__ = ("zsock",)

    def __init__(self, zsock: ZMQSocket) -> None:
        self.zsock = zsock

    def __repr__(self) -> str:
        return f"<ratchet.asyncio.Shared of {self.zsock!r}>"


def _blocking(name: str) -> Callable[..., object]:
    """Make the blocking form of a call."""

    def call(self: Shared, *args: object, **kwargs: object) -> object:
        return block(getattr(self.zsock, name)(*args, **kwargs))

    return functools.wraps(getattr(BlockingSocket, name))(call)


for _name in calls_that_pause():
    setattr(Shared, _name, _blocking(_name))


class ZMQSocket(AwaitableSocket, Options):
    """A ZeroMQ socket whose calls pause the asyncio task that awaits them, and no other.

    `new` makes one. Any number of tasks of any loops may use it, and through `sync` any OS thread
    and ratchet thread as well.
    """

    __slots__ = ()

    _runtime_here = staticmethod(_runtime)

    def __init__(self, type: str = "PAIR", **options: Unpack[OptionArguments]) -> None:
        super().__init__(type, **options)

    @property
    def sync(self) -> Shared:
        """The same socket for other kinds of threads."""
        return Shared(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket for asyncio; arguments and errors as of `ratchet.zmqsocket.new`."""
    return ZMQSocket(type, **options)
