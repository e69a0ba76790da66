"""The ratchet thread, and waiting for the end of one.

Whoever waits for a thread leaves a function in `Thread.joiners`, which the thread's kernel calls
when the thread has ended. The one that waits may be a thread of another kernel or an OS thread, so
it may join or leave at the very moment at which the thread ends.
"""

from __future__ import annotations

import contextlib
import errno
import math
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import errors
from ._zmq import ThreadBase, current_thread, thread_ident, to_deadline, to_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from .kernel import Kernel

__all__ = ["Thread", "join", "wait_all"]


class Thread(ThreadBase):
    """A ratchet thread, made by `ratchet.thread.attach`.

    Attributes:
        done (bool): True once the thread has ended, in whichever way.
        name (str): the name of the function that the thread runs.
    """

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end of the thread; return its function's result, or raise its exception.

        A ratchet thread that calls this pauses; another OS thread sleeps.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            Timeout: the thread has not ended in time.
            Error: ECANCELED: the thread was killed.
        """
        if not self.done and not join(self, timeout):
            raise errors.Timeout(
                errno.ETIMEDOUT, f"{self!r} has not ended within {to_timeout(timeout):g} s"
            )
        if isinstance(self.error, errors.Killed):
            raise errors.Error(errno.ECANCELED, f"{self!r} was killed")
        if self.error is not None:
            raise self.error
        return self.value

    def __repr__(self) -> str:
        if self.done:
            state = "done" if self.error is None else f"ended by {self.error!r}"
        elif self.paused_on is not None:
            seconds = monotonic() - self.paused_since
            state = f"paused on {self.paused_on!r} for {seconds:.3f} s"
        else:
            state = "running" if self.kernel.current is self else "ready"
        return f"<ratchet.thread.Thread {self.name} at {id(self):#x}, {state}>"


def join(thread: Thread, timeout: float | None) -> bool:
    """Wait for the end of ``thread``. Returns False if ``timeout`` (seconds) was over first."""
    me: Thread | None = current_thread()  # type: ignore[assignment]
    if me is thread:
        raise errors.StateError(errno.EDEADLK, f"{thread!r} cannot wait for its own end")
    deadline = to_deadline(timeout)
    if me is not None:
        return wait_all([thread], deadline, me)
    kernel: Kernel = thread.kernel  # type: ignore[assignment]
    if thread_ident() in (kernel.owner, kernel.home or kernel.maker):
        raise errors.StateError(
            errno.EDEADLK,
            f"{thread!r} cannot end while its own OS thread waits for it: run loop() first",
        )
    ended = threading.Event()
    _joiners(thread).append(ended.set)
    try:
        while not thread.done and (left := deadline - monotonic()) > 0:
            ended.wait(None if left == math.inf else min(left, threading.TIMEOUT_MAX))
        return thread.done
    finally:
        _unjoin(thread, ended.set)


def wait_all(threads: list[Thread], deadline: float, me: Thread) -> bool:
    """Pause ``me`` until all ``threads`` have ended. Returns False if ``deadline`` came first."""
    kernel: Kernel = me.kernel  # type: ignore[assignment]

    def ended() -> None:
        kernel.resume(me)

    watched = [thread for thread in threads if not thread.done]
    for thread in watched:
        _joiners(thread).append(ended)
    try:
        while alive := [thread for thread in watched if not thread.done]:
            if monotonic() >= deadline:
                return False
            why = f"the end of {', '.join([thread.name for thread in alive[:3]])}"
            if deadline == math.inf and all(t.kernel is kernel for t in alive):
                kernel.pause_stuck(why)
            else:
                kernel.pause_until(why, deadline)
        return True
    finally:
        for thread in watched:
            _unjoin(thread, ended)


def _joiners(thread: Thread) -> list[Callable[[], object]]:
    joiners = thread.joiners
    if joiners is None:
        joiners = thread.joiners = []
    return joiners


def _unjoin(thread: Thread, ended: Callable[[], object]) -> None:
    """Take ``ended`` back. A thread of another OS thread may end at this moment."""
    with contextlib.suppress(ValueError):
        (thread.joiners or []).remove(ended)
