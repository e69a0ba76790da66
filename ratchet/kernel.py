"""The scheduler of ratchet threads: their turns, deadlines and errors, and the end.

Theory of operation
-------------------
A kernel belongs to the OS thread that calls `Ratchet.loop`. Each turn of the loop runs every
thread that is ready, once (`_zmq/kernel.pxi`), then asks the operating system what has happened,
and sleeps for it only if no thread is ready. At last it resumes the threads whose deadlines have
passed.

A thread has at most one entry in the heap of deadlines for its pause and one for its alarm
(`_deadlines.py`). What the kernel watches is in `_descriptors.py`, signals are in `_signals.py`,
blocking functions in `_workers.py`, killing what is left at the end in `_killing.py`. `_ratchet.py`
is what a program holds of a kernel.

Every pause checks, when it is resumed, whether what it waits for is there, and pauses again if not.
A resume is a hint, and one too many does no harm.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import math
import os
import signal
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import errors
from ._deadlines import Deadline, Deadlines
from ._descriptors import Descriptors
from ._killing import kill_all
from ._signals import Signals
from ._threads import Thread
from ._workers import Workers
from ._zmq import (
    KernelBase,
    ThreadBase,
    at_the_end,
    current_kernel,
    current_thread,
    has_gevents_hub,
    hear_signals,
    process_generation,
    set_runtime,
    thread_ident,
    thread_is_main,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._zmq import Doorbell

__all__ = ["Kernel", "Thread"]

_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()

# Seconds. While every thread waits for an unpause that only another OS thread could do, the loop
# looks this often whether such a thread is left.
LAST_HOPE = 0.25
# In a forked child, the home of threads whose OS thread is not there. No OS thread has this
# identifier, while that of one that is not there may be given to another.
NOWHERE = -1


class Kernel(KernelBase):
    """A scheduler, as threads refer to it.

    Programs hold a `Ratchet`, to which no thread refers: it can be dropped while threads are alive.
    """

    def __init__(self, on_error: Callable[[BaseException, Thread], object] | None) -> None:
        self.on_error = on_error
        self.home: int | None = None  # the OS thread in which threads have run
        self.maker = thread_ident()
        self._deadlines = Deadlines()
        self.heap = self._deadlines.heap
        self._outer: KernelBase | None = None  # a kernel in whose thread this one is closed
        self._hears = False  # signals wake its loop
        self._wakeup_before: int | None = None  # for signals; None: of a parent process
        self._disturbed = False  # an exception left the loop: what was rung may be lost
        self.signals = Signals()
        self.workers = Workers()
        self.descriptors = Descriptors(self)
        _kernels.add(self)

    # Threads

    def attach(
        self, func: Callable[..., Any], args: Any, kwargs: Any, background: bool = False
    ) -> Thread:
        """Make a thread, which starts on the next turn."""
        if not callable(func):
            raise TypeError(f"a thread runs a function, not {type(func).__name__}")
        if self.closed:
            raise errors.StateError(errno.EBADF, "the kernel of this thread has ended")
        thread = Thread(self, func, args, kwargs, background)
        thread.context = contextvars.copy_context()
        self.threads.add(thread)
        self.foreground += not background
        self.resume(thread)
        return thread

    def kill(self, thread: Thread) -> None:
        """End ``thread`` by raising `Killed` in it. From any OS thread."""
        if thread.done:
            return
        if thread is current_thread():
            raise errors.Killed
        thread.throw(errors.Killed())
        self.resume(thread)

    def pause_until(self, why: object, until: float) -> None:
        """Pause the running thread until it is resumed for whatever reason, or until that time."""
        self.suspend(self.current, why, until)

    def pause_stuck(self, why: object) -> None:
        """Pause the running thread until another thread resumes it: what a deadlock is made of."""
        self.stuck += 1
        try:
            self.suspend(self.current, why, math.inf)
        finally:
            self.stuck -= 1

    # Deadlines

    def set_deadline(self, thread: ThreadBase, until: float) -> None:
        """Resume ``thread`` at ``until``, unless it wants another time by then, or none."""
        if thread.timer is None:
            thread.timer = Deadline(lambda: self.resume(thread))
        self._deadlines.arm(thread.timer, until)

    def set_alarm(
        self, thread: Thread, seconds: float | None, callback: Callable[[], object] | None
    ) -> None:
        """Raise `Alarm` in ``thread`` after ``seconds``; None cancels its alarm."""
        if thread.alarm is not None:
            self._deadlines.drop(thread.alarm)
            thread.alarm = None
        if seconds is None:
            return

        def ring() -> None:
            thread.alarm = None
            if thread.done or isinstance(thread.thrown, errors.Killed):
                return
            text = f"{thread!r} is still running after {seconds:g} s"
            thread.throw(errors.Alarm(errno.ETIMEDOUT, text))
            self.resume(thread)
            if callback is not None:
                try:
                    callback()
                except Exception as error:  # noqa: BLE001 (on_error judges it, whatever it is)
                    self._failed(error, thread)

        thread.alarm = Deadline(ring)
        self._deadlines.arm(thread.alarm, monotonic() + seconds)

    def ring_deadlines(self) -> None:
        """Act on every deadline that has passed."""
        self._deadlines.ring()

    # Descriptors

    def own(self) -> None:
        """Make descriptors of this process's, if those that there are were made before a fork.

        A forked child may close all that it has first, so this happens when they are needed.
        """
        if self.born != process_generation():
            self.descriptors.open(self)
            if self.owner is not None and current_kernel() is self:
                self._hear_signals()

    def watch(self, bell: Doorbell) -> None:
        """Have the bell of a socket answered from now on."""
        self.own()
        self.descriptors.watch(self, bell)

    def forget(self, fd: int, closing: object = None) -> None:
        """Watch a socket's descriptor no more: it is about to be closed. From any OS thread."""
        self.descriptors.forget(self, fd, closing)

    def happened(self, fd: int, mask: int) -> None:  # noqa: ARG002 (the wake-up has one event)
        """Silence the wake-up: the loop is awake."""
        self.descriptors.happened(fd)

    # The loop

    def _hear_signals(self) -> None:
        """Have every signal wake this OS thread, which runs the handlers."""
        if thread_is_main() and not has_gevents_hub():  # gevent's hub is woken by signals itself
            before = hear_signals(self.write_fd)
            self._hears = True
            if self._wakeup_before is None:
                self._wakeup_before = before

    def begin(self, nested: bool = False) -> None:
        """Take this OS thread.

        Args:
            nested: the caller may be a thread of another kernel, which gets the OS thread back.
        """
        here = thread_ident()
        self._outer = current_kernel() if nested else None
        if current_kernel() is not None and not nested:
            raise errors.StateError(
                errno.EBUSY, "a loop inside a loop: this OS thread runs a kernel already"
            )
        if self.owner is not None:
            raise errors.StateError(errno.EBUSY, "another OS thread runs this kernel")
        if self.closed:
            raise errors.StateError(errno.EBADF, "this kernel has ended")
        if self.home not in (None, here) and any(t.glet is not None for t in self.threads):
            raise errors.StateError(
                errno.EPERM, "the threads of this kernel have begun in another OS thread"
            )
        self.own()
        self.owner = self.home = here
        self.take_hub()
        set_runtime(self)
        self._before = set(threading.enumerate())
        self._wakeup_before = None
        self._hear_signals()
        if self._disturbed:
            self._disturbed = False
            for thread in self.threads:
                self.resume(thread)

    def end(self) -> None:
        """Give this OS thread back."""
        outer, self._outer = self._outer, None
        set_runtime(outer)
        self.owner = None
        if not self.threads:  # `take_hub` sets it again
            # If this is the last reference to the main greenlet of an OS thread that ends, greenlet
            # looks for referrers, and crashes if the collector drops this kernel meanwhile.
            self.hub = None
        hears, self._hears = self._hears, False
        if hears and outer is not None and self._wakeup_before in (None, outer.write_fd):
            hear_signals(outer.write_fd)
        elif hears:
            hear_signals(-1)
            signal.set_wakeup_fd(-1 if self._wakeup_before is None else self._wakeup_before)

    @contextlib.contextmanager
    def _running(self, nested: bool = False) -> Iterator[None]:
        self.begin(nested)
        try:
            yield
        except BaseException:
            self._disturbed = True
            raise
        finally:
            self.stopping = False
            self.end()

    def loop(self) -> None:
        """Run until every foreground thread has ended, then kill the background."""
        with self._running():
            while self.foreground and not self.stopping:
                self.turn(True)
            if not self.foreground:
                kill_all(self, self._deadlines)

    def loop_once(self, noblock: bool) -> bool:
        """Run one turn. Returns True if any foreground thread is left."""
        with self._running():
            if self.foreground:
                self.turn(not noblock)
            if not self.foreground:
                kill_all(self, self._deadlines)
        return self.foreground > 0

    def idle(self) -> float | None:
        """Return for how long to sleep (seconds) while every thread waits for another.

        None: not at all.
        """
        if self._deadlines.any():
            return max(0.0, self._deadlines.first() - monotonic())
        if self.ending:
            return None
        if not self._others():
            raise errors.DeadlockError(errno.EDEADLK, self._deadlock())
        return LAST_HOPE

    def bury(self) -> None:
        """Account for the threads that have ended, and tell those that wait for them."""
        while self.finished:
            thread: Thread = self.finished[0]  # type: ignore[assignment]
            if thread in self.threads:
                self.threads.discard(thread)
                self.foreground -= not thread.background
            for deadline in (thread.timer, thread.alarm):
                if deadline is not None:
                    self._deadlines.drop(deadline)
            thread.timer = thread.alarm = None
            joiners, thread.joiners = thread.joiners, None
            for ended in list(joiners or ()):  # another OS thread may take its own out meanwhile
                ended()
            self.finished.popleft()
            if thread.error is not None:
                self._failed(thread.error, thread)

    def _failed(self, error: BaseException, thread: Thread) -> None:
        if isinstance(error, errors.Killed):
            return
        if self.on_error is None or not isinstance(error, Exception):
            raise error
        self.on_error(error, thread)

    def _others(self) -> bool:
        """Return True if an OS thread, or a greenlet of gevent's, could resume one of the threads.

        An OS thread that is older than the loop and runs no kernel cannot know them, but for the
        one that made this kernel, if another runs it.
        """
        if has_gevents_hub():
            return True
        pool = self.workers.threads()
        return any(
            (thread not in self._before and thread not in pool)
            or (thread.ident == self.maker != self.owner and thread.is_alive())
            for thread in threading.enumerate()
        ) or any(kernel.owner is not None and kernel is not self for kernel in list(_kernels))

    def _deadlock(self) -> str:
        named = sorted(repr(thread) for thread in self.threads)
        more = f" and {len(named) - 10} more" if len(named) > 10 else ""
        return (
            "every ratchet thread waits for another, and nothing is left that could resume one: "
            f"{', '.join(named[:10])}{more}"
        )

    def close(self) -> None:
        """Kill the threads that are left and give back the descriptors. Idempotent."""
        if self.closed:
            return
        here = thread_ident()
        if self.born != process_generation():
            self.forked()  # perhaps it is dropped before the handlers of the fork have run
        try:
            if self.threads and self.owner is None and self.home in (None, here):
                with self._running(nested=True):
                    kill_all(self, self._deadlines)
        finally:
            self._release()

    def _release(self) -> None:
        self.closed = True
        self.signals.give_back()
        self.descriptors.close(self)
        self.workers.close()

    def forked(self) -> None:
        """Leave alone what is the parent's in a forked child: the descriptors, and the sockets.

        `own` makes other descriptors when they are needed.
        """
        here = thread_ident()
        self.asleep = False
        if self.born != process_generation():  # a destructor may have closed it meanwhile
            self.write_fd = self.poll_fd = -1
            self.bells.clear()
        self.workers.forked()
        self.descriptors.forked()
        self._wakeup_before = None
        if self.owner != here:
            self.owner = None  # an OS thread that is not here
        if self.home not in (None, here):
            self.home = NOWHERE
        for thread in self.threads:
            self.resume(thread)  # one that waits for a socket is told that it is the parent's


def _after_fork() -> None:
    kernels = [kernel for kernel in list(_kernels) if not kernel.closed]
    for kernel in kernels:
        kernel.forked()
    outer = [kernel._outer for kernel in kernels]
    for kernel in kernels:
        if kernel.owner is not None and kernel not in outer:
            set_runtime(kernel)


def _at_exit() -> None:
    for kernel in list(_kernels):
        if kernel.owner is None:  # otherwise it runs in a daemon thread
            kernel.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
at_the_end.append(_at_exit)
