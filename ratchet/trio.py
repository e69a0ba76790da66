"""The same socket for trio: methods that pause are coroutines; and what it asks of trio.

Theory of operation
-------------------
As in asyncio a call queues at the socket's doorbell, and tries again in the step that returns its
message (`_zmq/call.pxi`): what cancels it can only come before. Each call begins with trio's own
check for cancellation, also one that is ready, and with a whole checkpoint when the burst is
over.

Each socket that tasks wait for has a system task, which waits for its descriptor and wakes them.
One more keeps the time, and its end tells that the run ends. What another OS thread, a signal
handler or the host of a guest run has to say comes through the run's token.
"""

from __future__ import annotations

import errno
import socket
import sys
import weakref
from asyncio import _get_running_loop  # a socket may be shared with asyncio's tasks
from time import monotonic
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import (
    Abort,
    RunVar,
    add_instrument,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    current_trio_token,
    enable_ki_protection,
    in_trio_run,
    in_trio_task,
    notify_closing,
    remove_instrument,
    reschedule,
    spawn_system_task,
    wait_readable,
    wait_task_rescheduled,
)

from . import _awaited, errors
from ._awaited import AwaitedSocket, LoopRuntime, ring, set_burst
from ._awaited_proxy import awaited_proxy
from ._awaited_select import awaited_select
from ._zmq import Checkpoint, RuntimeGone, add_event_loop, process_generation, remove_watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Unpack

    from ._awaited import Watched
    from ._zmq import SocketBase, TaskWaiter, Tracker
    from .options import OptionArguments
    from .proxying import ProxyStats

__all__ = ["Shared", "ZMQSocket", "new", "proxy", "select", "set_burst"]


class Pause:
    """A paused task, which is rescheduled once: trio forgets ``custom_sleep_data`` when it is."""

    __slots__ = ("task",)

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        task.custom_sleep_data = self

    def done(self) -> bool:
        """Return True if the task goes on."""
        return self.task.custom_sleep_data is not self

    def end(self) -> None:
        """Let the task go on. In trio's own OS thread."""
        if self.task.custom_sleep_data is self:
            reschedule(self.task)

    def drop(self) -> None:
        """Note that the task does not pause after all."""
        if self.task.custom_sleep_data is self:
            self.task.custom_sleep_data = None


def _may_abort(_: object) -> Abort:
    return Abort.SUCCEEDED


def _never_aborts(_: object) -> Abort:
    return Abort.FAILED


class TaskEnds(trio.abc.Instrument):
    """Tells of the ends of tasks that are in mid-message; in the run only while any is."""

    def __init__(self) -> None:
        self.ends: dict[trio.lowlevel.Task, list[Callable[[object], object]]] = {}

    def add(self, task: trio.lowlevel.Task, end: Callable[[object], object]) -> None:
        """Have ``end`` called when the task is over."""
        if not self.ends:
            add_instrument(self)
        self.ends.setdefault(task, []).append(end)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Do what trio calls this for."""
        ends = self.ends.pop(task, None)
        if ends is not None:
            if not self.ends:
                remove_instrument(self)
            for end in ends:
                end(task)


class TrioRuntime(LoopRuntime):
    """How the tasks of one run of trio pause."""

    def __init__(self) -> None:
        super().__init__()
        self._token = current_trio_token()
        self._ended = False
        self._reading: dict[int, Watched] = {}  # the duplicates that system tasks wait for
        self._ends = TaskEnds()
        self._timer = trio.CancelScope()
        spawn_system_task(self._keep_time, name="ratchet's time")

    def has_ended(self) -> bool:
        return self._ended

    def is_stopped(self) -> bool:
        return self._ended

    async def _keep_time(self) -> None:
        """Ring the deadlines, and note the end of the run: a system task."""
        try:
            while True:
                with self._timer:
                    await trio.sleep_forever()
                self._timer = trio.CancelScope()
                self._deadlines.ring()
                if self._live:
                    self._set_timer()
        finally:
            self._ended = True

    def _set_timer(self) -> None:
        # trio's clock and ours need not be the same.
        delay = self._deadlines.first() - monotonic()
        self._timer.deadline = trio.current_time() + max(0.0, delay)

    # Readers

    def _register(self, zsock: SocketBase) -> Watched:
        copy = zsock._duplicate()
        self._copies.add(copy)
        known = self._reading[copy] = copy, weakref.ref(zsock)
        try:
            spawn_system_task(self._watch, known, name=f"ratchet's reader of {zsock!r}")
        except BaseException:
            del self._reading[copy]
            self._close(copy)
            raise
        return known

    async def _watch(self, known: Watched) -> None:
        """Ring a socket's bell: a system task."""
        copy, bell = known
        try:
            while self._reading.get(copy) is known:
                await wait_readable(copy)
                ring(bell)
        except trio.ClosedResourceError:
            pass  # `_remove` has closed it
        finally:
            if self._reading.get(copy) is known:  # the run ends
                if (zsock := bell()) is not None:
                    remove_watcher(zsock, self)
                self._remove(copy, None)

    def _remove(self, copy: int, _closing: object) -> None:
        if self._reading.pop(copy, None) is not None and copy in self._copies:
            notify_closing(copy)
        self._close(copy)

    # Tasks

    def suspend(self, waiter: TaskWaiter) -> Coroutine[Any, Any, Any]:
        """Return the coroutine in which the running task sleeps until `wake`, or its deadline."""
        waiter.future = Pause(current_task())
        self._arm(waiter)
        return wait_task_rescheduled(_may_abort)  # noqa: ASYNC105 - the call runs it

    def wake(self, waiter: TaskWaiter) -> None:
        """Reschedule the waiter's task. From any OS thread."""
        pause: Pause = waiter.future
        if pause.done():
            return
        # A task that has not gone to sleep yet cannot be rescheduled, only soon.
        if self._is_here() and current_task() is not pause.task:
            pause.end()
        else:
            self._soon(pause.end)

    def _is_here(self) -> bool:
        """Return True if a task of this run is running in this OS thread."""
        return in_trio_task() and current_trio_token() is self._token

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        if self._is_here():
            callback(*args)
        else:
            self._soon(callback, *args)

    def _soon(self, callback: Callable[..., object], *args: object) -> None:
        if self._ended or self.born != process_generation():  # the parent would hear of it
            raise RuntimeGone
        try:
            self._token.run_sync_soon(callback, *args)
        except (trio.RunFinishedError, OSError):  # trio's own descriptors are closed
            raise RuntimeGone from None

    def never(self) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that suspends the running task for good."""
        return wait_task_rescheduled(_never_aborts)  # noqa: ASYNC105 - the call runs it

    def at_end(self, end: Callable[[object], object]) -> None:
        """Call ``end`` when the running task is over."""
        self._ends.add(current_task(), end)

    def finished(self, waiter: TaskWaiter) -> None:
        """Drop what a call that has its result needs no more."""
        if waiter.future is not None:
            waiter.future.drop()
        super().finished(waiter)


_here: RunVar[TrioRuntime] = RunVar("ratchet.trio")


def _checkpoint(turn: bool) -> Coroutine[Any, Any, None] | None:
    """Return trio's checkpoint for a call; None: it is made in a task of asyncio."""
    try:
        current_task()
    except RuntimeError:
        if _get_running_loop() is None:
            raise
        return None
    if turn:
        return checkpoint()  # noqa: ASYNC105 - the call runs it
    return checkpoint_if_cancelled()  # noqa: ASYNC105 - the same


# `checkpoint_if_cancelled` would cost a ready call more than all else that it does, so such a call
# reads what that reads, fields of trio's own (docs/decisions/029-trio.md).
_context: Any = getattr(sys.modules.get("trio._core._run"), "GLOBAL_RUN_CONTEXT", None)


@enable_ki_protection
def _runtime() -> LoopRuntime:
    """Return the runtime of the run of trio, or the loop of asyncio, of the running task."""
    if _get_running_loop() is not None and not in_trio_task():
        from . import asyncio

        return asyncio.ZMQSocket._runtime_here()
    try:
        runtime = _here.get()
    except LookupError:
        runtime = TrioRuntime()
        _here.set(runtime)
    if runtime.born != process_generation():
        raise errors.ForkedError(
            errno.EBADF,
            "cannot wait in this run of trio: it was there before a fork, and shares what it "
            "watches with the parent process; call trio.run in the child, outside of that run",
        )
    if runtime.has_ended():
        raise errors.StateError(
            errno.ECANCELED,
            "cannot wait in this run of trio: it ends, its system tasks are over; use sockets "
            "before its main task returns",
        )
    return runtime


add_event_loop(lambda: in_trio_run() or None)


async def wait_for_tracker(tracker: Tracker) -> None:
    """Do what ``await tracker`` does."""
    if tracker.done:
        await checkpoint()
        return
    born = process_generation()
    fd = socket.dup(tracker.fileno())  # of each task's own: trio lets one wait for each
    try:
        await wait_readable(fd)
    finally:
        if born == process_generation():  # else it is the parent's
            socket.close(fd)


async def _readable(fd: int, deadline: float) -> None:
    """Wait until a descriptor of ratchet's own is readable (-1: there is none) or ``deadline``."""
    with trio.move_on_after(max(0.0, deadline - monotonic())):
        if fd >= 0:
            await wait_readable(fd)
        else:
            await trio.sleep_forever()


async def select(
    reads: Iterable[Any],
    writes: Iterable[Any] = (),
    timeout: float | None = None,  # noqa: ASYNC109 (as of every call of a socket)
) -> tuple[list[Any], list[Any]]:
    """Pause the task until at least one of many things is ready. A checkpoint.

    Args, results and errors are those of `ratchet.zmqsocket.select`: sockets of every kind,
    trackers, descriptors and what has one. Cancelled, it has taken nothing.
    """
    await checkpoint_if_cancelled()
    return await awaited_select(reads, writes, timeout, _readable, checkpoint)


async def proxy(
    frontend: SocketBase, backend: SocketBase, capture: SocketBase | None = None
) -> ProxyStats:
    """Pass on whole messages between two sockets in this task, until one of them is closed.

    Args, results and errors are those of `ratchet.proxy`. Cancelled, it has lost no message.
    """
    await checkpoint_if_cancelled()
    return await awaited_proxy(frontend, backend, capture, _readable, checkpoint)


class Shared(_awaited.Shared):
    """The calls of a `ZMQSocket` of this module for OS threads and ratchet threads: they block."""

    __slots__ = ()

    zsock: ZMQSocket


class ZMQSocket(AwaitedSocket):
    """A ZeroMQ socket whose calls pause the trio task that awaits them, and no other.

    Made by `new`. Each call is a checkpoint. Any number of tasks may use it, of several runs, tasks
    of asyncio may await its calls as well, and through `sync` any OS thread and ratchet thread may
    make them.
    """

    __slots__ = ()

    _runtime_here = staticmethod(_runtime)
    _checkpoint = Checkpoint(_context, _checkpoint)

    @property
    def sync(self) -> Shared:
        """The same socket for other kinds of threads."""
        return Shared(self)


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket for trio; arguments and errors as of `ratchet.zmqsocket.new`."""
    return ZMQSocket(type, **options)
