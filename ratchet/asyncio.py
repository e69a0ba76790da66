"""The same socket for asyncio: methods that pause are coroutines; and what it asks of the loop.

Theory of operation
-------------------
A call that is ready finishes without suspending. Otherwise it queues at the socket's doorbell like
any other caller, and the loop watches ZMQ_FD, with one reader for each socket and loop, however
many tasks wait. The woken call tries again in the step that returns the message (`_zmq/call.pxi`):
no message is ever in a future, so a cancelled or timed-out task has none to lose.

Readers and deadlines are as in every loop (`_awaited.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import importlib
import math
import os
import socket
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import _awaited, errors
from ._awaited import AwaitedSocket, LoopRuntime, set_burst
from ._awaited_proxy import awaited_proxy
from ._awaited_select import awaited_select
from ._zmq import AsyncioBase, RuntimeGone, process_generation, thread_ident, use_asyncio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from types import ModuleType
    from typing import Unpack

    from ._awaited import Watched
    from ._awaited_monitoring import AwaitedMonitor
    from ._zmq import SocketBase, TaskWaiter, Tracker
    from .options import OptionArguments
    from .proxying import ProxyStats

__all__ = ["AwaitedMonitor", "Shared", "ZMQSocket", "new", "proxy", "select", "set_burst"]


# Readers, of loops that can watch descriptors and of those that cannot.

# The module of the OS thread that watches for loops that cannot, once there is such a loop.
_watching: ModuleType | None = None


def _add_reader(
    loop: asyncio.AbstractEventLoop, fd: int, callback: Callable[..., object], *args: object
) -> bool:
    """Have the loop call when ``fd`` is readable. False: a thread watches for it."""
    global _watching
    try:
        loop.add_reader(fd, callback, *args)
    except NotImplementedError:
        if _watching is None:
            _watching = importlib.import_module("ratchet._watching")
        _watching.add_reader(loop, fd, callback, *args)
        return False
    return True


def _close_copy(copy: int) -> None:
    """Close a duplicate, which the thread forgets first; a loop has done so by then."""
    if _watching is not None:
        _watching.remove_reader(copy)
    socket.close(copy)


def _close_all(copies: set[int], _: object) -> None:
    """Close the duplicates of a loop that has been collected."""
    while copies:
        _close_copy(copies.pop())


def _inside(loop: asyncio.AbstractEventLoop) -> tuple[Any, int]:
    """Return what tells whether a loop has anything to do: its queue, and what its selector polls.

    No public name does. None, -1: it is another kind of loop, or one that keeps what is ready
    elsewhere (those of GUIs have a `call_soon` of their own).
    """
    call_soon = getattr(type(loop), "call_soon", None)
    if call_soon is not asyncio.BaseEventLoop.call_soon:
        return None, -1
    fileno = getattr(getattr(loop, "_selector", None), "fileno", None)  # epoll and kqueue have one
    return getattr(loop, "_ready", None), -1 if fileno is None else fileno()


class AsyncioRuntime(AsyncioBase, LoopRuntime):
    """How the tasks of one event loop pause; one reader for each socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = weakref.ref(loop, functools.partial(_close_all, self._copies))
        self.set_loop(self._loop, *_inside(loop))
        # Its own is_running() may run a signal handler, whose exception nobody could take.
        self._plain = getattr(type(loop), "is_running", None) is asyncio.BaseEventLoop.is_running
        self._timer: asyncio.TimerHandle | None = None
        self._watches = True  # until its loop has said that it cannot

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

    def _register(self, zsock: SocketBase) -> Watched:
        loop, bell = asyncio.get_running_loop(), weakref.ref(zsock)
        copy = zsock._duplicate()
        try:
            self._copies.add(copy)
            self._watches = _add_reader(loop, copy, self.rang, bell)
        except BaseException:
            with contextlib.suppress(Exception):
                loop.remove_reader(copy)
            self._close(copy)
            raise
        return copy, bell

    def _give_back(self, copy: int) -> None:
        _close_copy(copy)

    def _have_removed(self, copy: int, closing: object) -> None:
        if self._watches:
            super()._have_removed(copy, closing)
        else:
            self._close(copy)  # the thread that watches forgets it at once

    def _remove(self, copy: int, _closing: object) -> None:
        if copy not in self._copies:
            return  # it is done again, and the number may be another's by now
        if (loop := self.loop) is not None:
            loop.remove_reader(copy)
        self._close(copy)

    def copy_of(self, zsock: SocketBase) -> int:
        """Return the duplicate of its descriptor that the loop watches; -1: there is none."""
        known = self._bells.get(zsock.get_fd())
        if known is None or known[1]() is not zsock or not self._watches:
            return -1
        return known[0]

    # Tasks

    def arm(self, waiter: TaskWaiter) -> None:
        """Wake ``waiter`` when its time is up."""
        self._arm(waiter)

    def have_called(self, callback: Callable[[], object]) -> None:
        """Have the loop call it, from outside the loop."""
        self._call(callback)

    def never(self) -> Iterator[Any]:
        """Return the iterator of a future that nobody sets."""
        return asyncio.get_running_loop().create_future().__await__()

    def at_end(self, end: Callable[[object], object]) -> None:
        """Call ``end`` when the running task is done."""
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(end)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        """Call in the loop's own OS thread: at once if it is this one, else in its next turn."""
        if (loop := self.loop) is None:
            raise RuntimeGone
        here = asyncio._get_running_loop()
        if here is loop or (not loop.is_running() and thread_ident() == self.ident):
            callback(*args)  # it may be going on in another OS thread than before
            return
        try:
            loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            raise RuntimeGone from None  # closed in between

    # The timer, which goes off at the first deadline.

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # asyncio's clock and ours are both monotonic, but need not be the same.
        delay = self._deadlines.first() - monotonic()
        if (loop := self.loop) is not None:
            self._timer = loop.call_later(max(0.0, delay), self._time_up)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_up(self) -> None:
        self._timer = None
        try:
            self._deadlines.ring()
        finally:
            if self._live and self._deadlines.heap:
                self._set_timer()


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
    runtime.ident = thread_ident()
    return runtime


def _after_fork() -> None:
    _inherited.update(_runtimes)
    _runtimes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

use_asyncio(asyncio._get_running_loop)


async def wait_for_tracker(tracker: Tracker) -> None:
    """Do what ``await tracker`` does."""
    if tracker.done:
        return
    born = process_generation()
    fd = socket.dup(tracker.fileno())  # of each waiter's own: a loop has one reader for each
    try:
        while not tracker.done:
            await _readable(fd, math.inf)
    finally:
        if born == process_generation():  # else it is the parent's
            socket.close(fd)


async def _readable(fd: int, deadline: float) -> None:
    """Wait until a descriptor of ratchet's own is readable (-1: there is none) or ``deadline``."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    born = process_generation()
    watches = fd >= 0 and _add_reader(loop, fd, _finish, future)
    timer = None
    try:
        if deadline != math.inf:
            timer = loop.call_later(max(0.0, deadline - monotonic()), _finish, future)
        await future
    finally:
        if born == process_generation():  # else what watches is the parent's too
            if watches:
                loop.remove_reader(fd)
            elif fd >= 0 and _watching is not None:
                _watching.remove_reader(fd)
        if timer is not None:
            timer.cancel()


def _turn() -> Coroutine[Any, Any, None]:
    return asyncio.sleep(0)


async def select(
    reads: Iterable[Any],
    writes: Iterable[Any] = (),
    timeout: float | None = None,  # noqa: ASYNC109 (as of every call of a socket)
) -> tuple[list[Any], list[Any]]:
    """Pause the task until at least one of many things is ready.

    Args, results and errors are those of `ratchet.zmqsocket.select`: sockets (plain and asyncio
    ones), trackers, descriptors and what has one. Cancelled, it has taken nothing.
    """
    return await awaited_select(reads, writes, timeout, _readable, _turn)


async def proxy(
    frontend: SocketBase, backend: SocketBase, capture: SocketBase | None = None
) -> ProxyStats:
    """Pass on whole messages between two sockets in this task, until one of them is closed.

    Args, results and errors are those of `ratchet.proxy`. Cancelled, it has lost no message.
    """
    return await awaited_proxy(frontend, backend, capture, _readable, _turn)


class Shared(_awaited.Shared):
    """The calls of a `ZMQSocket` of this module for OS threads and ratchet threads: they block."""

    __slots__ = ()

    zsock: ZMQSocket


class ZMQSocket(AwaitedSocket):
    """A ZeroMQ socket whose calls pause the asyncio task that awaits them, and no other.

    Made by `new`. Any number of tasks may use it, of several loops, and through `sync` any OS
    thread and ratchet thread too.
    """

    __slots__ = ()

    _runtime_here = staticmethod(_runtime)

    @property
    def sync(self) -> Shared:
        """The same socket for other kinds of threads."""
        return Shared(self)


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket for asyncio; arguments and errors as of `ratchet.zmqsocket.new`."""
    return ZMQSocket(type, **options)


def __getattr__(name: str) -> Any:
    if name == "AwaitedMonitor":  # imported by those who need it
        from . import _awaited_monitoring

        return _awaited_monitoring.AwaitedMonitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
