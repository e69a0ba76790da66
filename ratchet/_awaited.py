"""What awaited sockets have in common, whichever loop runs: `asyncio.py` and `trio.py` build on it.

A loop watches a duplicate of each socket's descriptor, one for each socket and loop, however many
tasks wait: the number of the socket itself is the program's to watch. Timeouts of all tasks of a
loop share one timer: a heap of deadlines, of which the loop knows the first.
"""

from __future__ import annotations

import functools
import math
import os
import socket
import sys
import weakref
from typing import TYPE_CHECKING, Any

from . import errors
from ._closing import AwaitedClosing
from ._deadlines import Deadline, Deadlines
from ._zmq import (
    AwaitableSocket,
    AwaitedRuntime,
    BlockingSocket,
    RuntimeGone,
    add_watcher,
    block,
    calls_that_pause,
    check,
    exit_waits,
    process_generation,
    remove_watcher,
    set_task_burst,
    thread_ident,
    wait_peers,
    wait_subscribers,
    waiting_calls,
    watchers_of,
)
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import EllipsisType
    from typing import Unpack

    from typing_extensions import Buffer

    from ._zmq import SocketBase, TaskWaiter, Tracker, _BlockingCalls
    from .monitoring import Monitor
    from .options import OptionArguments

    Watched = tuple[int, Callable[[], SocketBase | None]]  # the duplicate, and what it rings
else:
    _BlockingCalls = object

__all__ = ["AwaitedSocket", "LoopRuntime", "Shared", "library_here", "ring", "set_burst"]

_runtimes: weakref.WeakSet[LoopRuntime] = weakref.WeakSet()


def _nobody() -> None:
    """Stand in for the reference to a socket that is not watched any more."""


class LoopRuntime(AwaitedRuntime):
    """A loop's readers and deadlines. A subclass has what differs: `_register` to `_set_timer`."""

    def __init__(self) -> None:
        self.ident = thread_ident()
        self.born = process_generation()
        self._copies: set[int] = set()
        self._bells: dict[int, Watched] = {}
        self._deadlines = Deadlines()
        self._live = 0  # deadlines of calls that still wait
        _runtimes.add(self)

    def _register(self, zsock: SocketBase) -> Watched:
        """Have the loop watch a duplicate of the socket's descriptor, which is in `_copies`."""
        raise NotImplementedError

    def _remove(self, copy: int, _closing: object) -> None:
        """Watch a duplicate no more, and close it. In the loop's own OS thread."""
        raise NotImplementedError

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        """Call in the loop's own OS thread: at once if it is this one, else soon.

        Raises:
            RuntimeGone: the loop has ended.
        """
        raise NotImplementedError

    def _set_timer(self) -> None:
        """Have the deadlines rung when the first is over."""
        raise NotImplementedError

    def _drop_timer(self) -> None:
        """No deadline is left that anybody wants."""

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
            if isinstance(other, LoopRuntime) and other.has_ended():  # with its reader
                remove_watcher(zsock, other)
                other.forget(fd)
        self._bells[fd] = self._register(zsock)
        if zsock.closed:  # meanwhile, by another OS thread, which found nothing to forget
            self.forget(fd)

    def forget(self, fd: int, closing: object = None) -> None:
        """Watch no more. From any OS thread; at the exit ``closing`` is held until that is done.

        Otherwise it is not held: a stopped loop would keep the socket open, and the loop's own
        descriptor is a duplicate.
        """
        known = self._bells.get(fd)
        if known is None:
            return
        # If a signal handler raises below, its reader may be gone: `watch` shall not rely on it.
        known = self._bells[fd] = known[0], _nobody
        try:
            self._have_removed(known[0], closing if exit_waits() else None)
        except RuntimeGone:
            self._close(known[0])  # and the loop has no reader any more
        # Last: if a signal handler raises before, it is done again.
        if self._bells.get(fd) is known:
            del self._bells[fd]

    def _have_removed(self, copy: int, closing: object) -> None:
        """Have `_remove` called where it may be."""
        self._call(self._remove, copy, closing)

    def _close(self, copy: int) -> None:
        try:
            self._copies.remove(copy)
        except KeyError:
            return  # it is closed, or the parent's of this forked process
        self._give_back(copy)

    def _give_back(self, copy: int) -> None:
        socket.close(copy)

    def forked(self) -> None:
        """In a child process, leave what the parent has open alone."""
        self._copies.clear()
        self._bells.clear()

    # Calls that end

    def finished(self, waiter: TaskWaiter) -> None:
        """Drop what a call that has its result needs no more."""
        waiter.future = None  # it refers to the loop
        if waiter.timer is not None:
            self._deadlines.drop(waiter.timer)
            waiter.timer = None
            self._live -= 1
            if not self._live:
                self._drop_timer()

    def gave_up(self, zsock: SocketBase, waiter: TaskWaiter) -> None:
        """Drop what a call needs no more; without another one, the reader goes as well."""
        self.finished(waiter)
        if not waiting_calls(zsock) and not zsock.closed and remove_watcher(zsock, self):
            self.forget(zsock.get_fd())

    def _arm(self, waiter: TaskWaiter) -> None:
        """Wake ``waiter`` when its time is up."""
        if waiter.until == math.inf:
            return
        begins = False
        if waiter.timer is None:
            waiter.timer = Deadline(waiter.time_up, again=True)
            begins = not self._live
            self._live += 1
        # Before the only one that is live others may lie, of calls that are over: without a timer.
        if self._deadlines.arm(waiter.timer, waiter.until) or begins:
            self._set_timer()


def ring(bell: Callable[[], SocketBase | None]) -> None:
    """Look at a socket whose descriptor is readable, and wake who can go on."""
    zsock = bell()
    if zsock is not None and not zsock.closed:
        check(zsock)


def _after_fork() -> None:
    for runtime in list(_runtimes):
        runtime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def library_here() -> str | None:
    """Return whose task runs here: ``"asyncio"``, ``"trio"``, or None. Imports neither."""
    if (lowlevel := sys.modules.get("trio.lowlevel")) is not None and lowlevel.in_trio_task():
        return "trio"  # as a guest of asyncio's too
    if (events := sys.modules.get("asyncio.events")) is not None:
        return None if events._get_running_loop() is None else "asyncio"
    return None


def wait_for_tracker(tracker: Tracker) -> Coroutine[Any, Any, None]:
    """Do what ``await tracker`` does, in the loop that runs here."""
    if library_here() == "trio":
        from . import trio

        return trio.wait_for_tracker(tracker)
    from . import asyncio

    return asyncio.wait_for_tracker(tracker)


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


class AwaitedSocket(AwaitableSocket, Options, AwaitedClosing):
    """A ZeroMQ socket whose calls pause the task that awaits them, and no other.

    Made by `new` of ``ratchet.asyncio``, ``ratchet.trio`` or ``ratchet.anyio``. Any number of tasks
    may use it, of several loops of its kind, and through `sync` any OS thread and ratchet thread
    too.
    """

    __slots__ = ()

    def __init__(self, type: str = "PAIR", **options: Unpack[OptionArguments]) -> None:
        super().__init__(type, **options)

    @property
    def sync(self) -> Shared:
        """The same socket for other kinds of threads."""
        return Shared(self)


class Shared(_BlockingCalls):
    """The calls of an awaited socket for OS threads and ratchet threads: they block."""

    __slots__ = ("zsock",)

    def __init__(self, zsock: AwaitedSocket) -> None:
        self.zsock = zsock

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.Shared of {self.zsock!r}>"

    def wait_peers(self, count: int = 1, timeout: float | EllipsisType | None = ...) -> int:
        """Pause until so many peers are connected, as `ratchet.zmqsocket.ZMQSocket.wait_peers`."""
        return wait_peers(self.zsock, count, timeout)

    def wait_subscribers(
        self,
        prefix: Buffer | None = None,
        count: int = 1,
        timeout: float | EllipsisType | None = ...,
    ) -> int:
        """Pause until so many have subscribed, as `ratchet.zmqsocket.ZMQSocket.wait_subscribers`
        does.
        """
        return wait_subscribers(self.zsock, prefix, count, timeout)

    def monitor(self, *events: str) -> Monitor:
        """Tell what happens on the connections, as `ratchet.zmqsocket.ZMQSocket.monitor` does."""
        from .monitoring import Monitor

        return Monitor(self.zsock, events)


def _blocking(name: str) -> Callable[..., object]:
    """Make the blocking form of a call."""

    def call(self: Shared, *args: object, **kwargs: object) -> object:
        return block(getattr(self.zsock, name)(*args, **kwargs))

    return functools.wraps(getattr(BlockingSocket, name))(call)


for _name in calls_that_pause():
    setattr(Shared, _name, _blocking(_name))
