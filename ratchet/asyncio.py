"""The same socket for asyncio: methods that pause are coroutines; and what it asks of the loop.

Theory of operation
-------------------
A call that is ready finishes without suspending. Otherwise it queues at the socket's doorbell like
any other caller, and the loop watches ZMQ_FD, with one reader for each socket and loop, however
many tasks wait: a duplicate of it, since a loop has one reader for each number, and the program may
have one for the socket's own. Who is woken tries again in the step that returns the message
(`_task.pxi`): no message is ever in a future, so a cancelled or timed-out task has none to lose.

Timeouts of all tasks of a loop share one timer: a heap of deadlines, of which the loop knows the
first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import heapq
import itertools
import math
import os
import socket
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Self

from . import errors
from ._zmq import (
    AsyncSocket,
    Caller,
    PausingSocket,
    RuntimeGone,
    TaskWaiter,
    exit_waits,
    process_generation,
    set_task_burst,
    use_asyncio,
)
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from types import TracebackType
    from typing import Unpack

    from ._zmq import Core, Tracker, _PausingCalls
    from .options import OptionArguments
else:
    _PausingCalls = object

__all__ = ["Shared", "ZMQSocket", "new", "set_burst"]


class Looper:
    """What ratchet has in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._copies: set[int] = set()  # duplicates of descriptors that the loop watches
        self._loop = weakref.ref(loop, functools.partial(_close_all, self._copies))
        self.ident = threading.get_ident()
        # Does the loop say by an attribute whether it runs? See `loop_stopped`.
        self.plain = getattr(type(loop), "is_running", None) is asyncio.BaseEventLoop.is_running
        self._bells: dict[int, tuple[int, weakref.ref[Core]]] = {}  # with the duplicate
        self._heap: list[tuple[float, int, TaskWaiter]] = []  # deadlines, done ones among them
        self._order = itertools.count()
        self._live = 0  # entries of calls that still wait
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, unless it is closed."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    # Readers

    def watch(self, zsock: Core) -> None:
        """Have the socket's bell answered from now on. In the loop's own OS thread."""
        watchers = zsock.watchers
        if watchers is None:
            watchers = zsock.watchers = set()
        watchers.add(self)
        fd = zsock.get_fd()
        known = self._bells.get(fd)
        if known is None or known[1]() is not zsock:
            self.forget(fd)  # the number was another socket's
            for other in list(watchers):
                if isinstance(other, Looper) and other.loop is None:  # closed, with its reader
                    watchers.discard(other)
                    other.forget(fd)
            self._bells[fd] = self._register(zsock)
            if zsock.closed:  # meanwhile, by another OS thread, which found nothing to forget
                self.forget(fd)
        zsock.watcher = self

    def _register(self, zsock: Core) -> tuple[int, weakref.ref[Core]]:
        loop, bell = asyncio.get_running_loop(), weakref.ref(zsock)
        copy = zsock._duplicate()
        try:
            self._copies.add(copy)
            loop.add_reader(copy, _answer, bell)
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

    def forget(self, fd: int, remains: object = None) -> None:
        """Watch no more. From any OS thread; at the exit ``remains`` is held until it is done.

        Else it is not: a stopped loop would keep the socket open, and its own is a duplicate.
        """
        known = self._bells.get(fd)
        if known is None:
            return
        try:
            self._do(self._remove, known[0], remains if exit_waits() else None)
        except RuntimeGone:
            self._close(known[0])  # and the loop has no reader any more
        if self._bells.get(fd) is known:  # last: if a signal handler raises before, it is done again
            del self._bells[fd]

    def _remove(self, copy: int, _remains: object) -> None:
        if (loop := self.loop) is not None:
            loop.remove_reader(copy)
        self._close(copy)

    def _close(self, copy: int) -> None:
        if copy in self._copies:  # else they are the parent's of this forked process
            self._copies.discard(copy)
            socket.close(copy)

    def forked(self) -> None:
        """In a child process: what the parent has open is not ours to close."""
        self._copies.clear()
        self._bells.clear()

    def gone(self, zsock: Core, waiter: TaskWaiter) -> None:
        """A call has given up: without another one, the reader goes as well."""
        self.done(waiter)
        if not zsock.waiting and not zsock.closed and zsock.watchers and self in zsock.watchers:
            zsock.watchers.discard(self)
            zsock.watcher = None
            self.forget(zsock.get_fd())

    # Futures

    def future(self, waiter: TaskWaiter) -> asyncio.Future[None]:
        """A future that `TaskWaiter.wake` sets, or its deadline."""
        future = asyncio.get_running_loop().create_future()
        future._asyncio_future_blocking = True
        if waiter.deadline != math.inf and not waiter.entries:
            self.knock(waiter, waiter.deadline)
        return future

    def wake(self, waiter: TaskWaiter) -> None:
        """Set the waiter's future. From any OS thread."""
        self._do(_set, waiter, waiter.future)

    def _do(self, callback: Callable[..., object], *args: object) -> None:
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

    # Deadlines

    def knock(self, waiter: TaskWaiter, until: float) -> None:
        """Wake ``waiter`` at ``until``, which may be before its deadline."""
        heapq.heappush(self._heap, (until, next(self._order), waiter))
        waiter.entries += 1
        self._live += 1
        if self._heap[0][2] is waiter:
            self._set_timer()

    def done(self, waiter: TaskWaiter) -> None:
        """It needs no deadline any more; the heap is cleared of such when they are most of it."""
        waiter.future = None  # it refers to the loop
        self._live -= waiter.entries
        waiter.entries = 0
        if len(self._heap) > 64 + 2 * self._live:
            self._heap = [entry for entry in self._heap if entry[2].entries]
            heapq.heapify(self._heap)
        if not self._live and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._heap.clear()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # asyncio's clock and ours are both monotonic, but need not be the same.
        delay = self._heap[0][0] - monotonic()
        if (loop := self.loop) is not None:
            self._timer = loop.call_later(max(0.0, delay), self._ring)

    def _ring(self) -> None:
        self._timer = None
        try:
            now = monotonic()
            while self._heap and self._heap[0][0] <= now:
                waiter = self._heap[0][2]
                if waiter.entries:
                    waiter.woken = True
                    waiter.wake()  # a signal handler may raise in there: its entry is there again
                    waiter.entries -= 1
                    self._live -= 1
                heapq.heappop(self._heap)
        finally:
            if self._heap:
                self._set_timer()


def _close_all(copies: set[int], _: object) -> None:
    """The loop is no more."""
    while copies:
        socket.close(copies.pop())


def _answer(bell: weakref.ref[Core]) -> None:
    zsock = bell()
    if zsock is not None and not zsock.closed:
        zsock.answer()


def _set(waiter: TaskWaiter, future: asyncio.Future[None]) -> None:
    """Set a future, once: its task goes on in the next turn.

    A signal handler that raises in there may leave a future that is done and nobody told.
    """
    try:
        if not future.done():
            waiter.callbacks = future._callbacks
            future.set_result(None)
            waiter.callbacks = None
    finally:
        if waiter.callbacks is not None:
            future.get_loop().call_soon(_tell, waiter, future)


def _tell(waiter: TaskWaiter, future: asyncio.Future[None]) -> None:
    """Do what should have been done a turn ago, if it was not."""
    callbacks, waiter.callbacks = waiter.callbacks, None
    if waiter.future is future:  # its task has not gone on
        for callback, context in callbacks or ():
            future.get_loop().call_soon(callback, future, context=context)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_loopers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Looper] = weakref.WeakKeyDictionary()
# In a forked child: loops of the parent's. What is registered there would be so in the parent too.
_inherited: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
# Who is in the middle of a message, by the id of the context in which the call was made.
_callers: dict[int, tuple[Caller, weakref.ref[Context]]] = {}


def _looper() -> Looper:
    loop = asyncio.get_running_loop()
    looper = _loopers.get(loop)
    if looper is None:
        if loop in _inherited:
            raise errors.ForkedError(
                errno.EBADF,
                f"cannot wait in {loop!r}: it was made before a fork, and shares what it watches "
                "with the parent process; run another in the child, as asyncio.run does",
            )
        looper = _loopers[loop] = Looper(loop)
    looper.ident = threading.get_ident()
    return looper


def _after_fork() -> None:
    for looper in list(_loopers.values()):
        looper.forked()
    _inherited.update(_loopers)
    _loopers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _caller(context: Context, new: Caller | None, here: bool) -> Caller | None:
    """The Caller whose calls are made in ``context``; ``new`` becomes it if there is none.

    ``here``: it is the running task's own context, so its end is the task's.
    """
    key = id(context)
    known = _callers.get(key)
    if known is not None:
        return known[0]
    if new is None:
        return None

    def end(_: object) -> None:
        if (known := _callers.get(key)) is not None and known[0] is new:
            del _callers[key]
            new.end()

    _callers[key] = new, weakref.ref(context, end)
    if here and (task := asyncio.current_task()) is not None:
        task.add_done_callback(end)
    return new


def _never() -> asyncio.Future[None]:
    """What the running task waits for when it is not to go on."""
    future = asyncio.get_running_loop().create_future()
    future._asyncio_future_blocking = True
    return future


use_asyncio(_looper, _caller, _never, asyncio._get_running_loop)


async def wait_for_tracker(tracker: Tracker) -> None:
    """What ``await tracker`` does."""
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


def set_burst(calls: int) -> None:
    """How many ready calls the tasks of a loop make in a row before one lets the loop run a turn.

    The default of 128 keeps a heartbeat of 10 ms beside a busy socket; less is fairer and slower.
    """
    if type(calls) is not int:
        raise TypeError(f"a burst is a number of calls, not {type(calls).__name__}")
    if not 1 <= calls <= 1_000_000:
        raise errors.argument_error(f"a burst is from 1 to 1000000 calls, not {calls}")
    set_task_burst(calls)


class Shared(_PausingCalls):
    """The calls of a `ZMQSocket` of this module for OS threads and ratchet threads: they pause."""

    __slots__ = (
        "recv", "recv_all", "recv_frame", "recv_frames", "recv_into", "recv_many",
        "recv_multipart", "send", "send_many", "send_multipart", "zsock",
    )  # fmt: skip

    def __init__(self, zsock: ZMQSocket) -> None:
        self.zsock = zsock
        for name in self.__slots__[:-1]:
            setattr(self, name, getattr(PausingSocket, name).__get__(zsock))

    def __repr__(self) -> str:
        return f"<ratchet.asyncio.Shared of {self.zsock!r}>"


class ZMQSocket(AsyncSocket, Options):
    """A ZeroMQ socket whose calls pause the asyncio task that awaits them, and no other.

    Made by `new`. Any number of tasks may use it, of several loops, and through `sync` any OS
    thread and ratchet thread too.
    """

    __slots__ = ()

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
