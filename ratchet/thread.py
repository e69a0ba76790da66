"""Functions for ratchet threads: other threads, time, descriptors, signals and their own end.

`block_on`, `kill`, `kill_all`, `self` and `unpause` may be called anywhere. The others are for
ratchet threads; elsewhere they raise `ratchet.Error` with code EPERM.
"""

from __future__ import annotations

import errno
import math
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import errors
from ._signals import number_of
from ._threads import Thread
from ._threads import wait_all as wait_for_all
from ._zmq import current_thread, real_number
from .selecting import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .kernel import Kernel

__all__ = [
    "Thread",
    "alarm",
    "attach",
    "attach_background",
    "block_on",
    "current",
    "kill",
    "kill_all",
    "offload",
    "pause",
    "self",
    "sigwait",
    "space",
    "timer",
    "unpause",
    "wait_all",
]

T = TypeVar("T")


class HasFileno(Protocol):
    """An object with a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""


def _me(what: str) -> tuple[Thread, Kernel]:
    me = current_thread()
    if me is None:
        raise errors.Error(
            errno.EPERM,
            f"{what}() was called outside a ratchet thread; run the function that calls it with "
            "ratchet.run(), or attach it to a kernel",
        )
    return me, me.kernel  # type: ignore[return-value]


def _seconds(value: Any, what: str) -> float:
    try:
        seconds: float = real_number(value)
    except TypeError:
        raise TypeError(f"{what}: seconds are a number, not {type(value).__name__}") from None
    except ValueError:
        seconds = -math.inf
    if seconds < 0:
        raise errors.argument_error(f"{what}: seconds are a number from 0 on, not {value!r}")
    return seconds


def _thread(value: object, what: str) -> Thread:
    if not isinstance(value, Thread):
        raise TypeError(f"{what}() takes a ratchet thread, not {type(value).__name__}")
    return value


def attach(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
    """Queue a new thread that calls ``func(*args, **kwargs)``; it starts on the loop's next turn.

    The new thread has a copy of this thread's context variables.

    Raises:
        Error: EPERM: the caller is no ratchet thread; `ratchet.Ratchet.attach` is for others.
    """
    return _me("attach")[1].attach(func, args, kwargs)


def attach_background(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
    """Do what `attach` does for a thread that is killed when the others have ended.

    ``loop()`` does not wait for it.
    """
    return _me("attach_background")[1].attach(func, args, kwargs, background=True)


def self() -> Thread | None:
    """Return the running ratchet thread; None outside of any."""
    thread: Thread | None = current_thread()  # type: ignore[assignment]
    return thread


current = self


def pause() -> Any:
    """Pause until somebody calls `unpause` for this thread.

    Returns:
        the values given to `unpause`: None, a single value, or a tuple of several.

    Raises:
        Error: EPERM: the caller is no ratchet thread.
    """
    me, kernel = _me("pause")
    me.parked = True
    try:
        while me.parked:
            kernel.pause_stuck("pause()")
    finally:
        me.parked = False
    value, me.value = me.value, None
    return value


def unpause(thread: Thread, *values: Any) -> None:
    """Resume a thread that is paused in `pause`, on the next turn. From any OS thread.

    Raises:
        StateError: the thread is not paused in `pause`.
    """
    thread = _thread(thread, "unpause")
    if not thread.parked or thread.done:
        raise errors.StateError(errno.EINVAL, f"{thread!r} is not paused in pause()")
    thread.parked = False
    thread.value = None if not values else values[0] if len(values) == 1 else values
    thread.kernel.resume(thread)


def timer(seconds: float) -> None:
    """Pause for ``seconds``; ``timer(0)`` lets the other threads run.

    Raises:
        ValueError: a negative time.
        Error: EPERM: the caller is no ratchet thread.
    """
    me, kernel = _me("timer")
    seconds = _seconds(seconds, "timer")
    until = monotonic() + seconds
    if seconds == 0:
        kernel.resume(me)
        kernel.pause_until("timer(0)", math.inf)
        return
    while monotonic() < until:
        kernel.pause_until(f"timer({seconds:g})", until)


def alarm(seconds: float | None, callback: Callable[[], object] | None = None) -> None:
    """Call ``callback``, then raise `Alarm` in this thread, if it has not ended after ``seconds``.

    A thread has one alarm; a new one takes the place of the last, ``alarm(None)`` cancels it.

    Args:
        seconds: from now on, a number from 0 up; None: no alarm.
        callback: a function without arguments. It runs between threads, so it must not pause.

    Raises:
        ValueError: a negative time.
        Error: EPERM: the caller is no ratchet thread.
    """
    me, kernel = _me("alarm")
    if callback is not None and not callable(callback):
        raise TypeError(f"alarm(): a callback is a function, not {type(callback).__name__}")
    kernel.set_alarm(me, None if seconds is None else _seconds(seconds, "alarm"), callback)


def wait_all(threads: Iterable[Thread]) -> None:
    """Pause until all ``threads`` have ended; `Thread.result` tells how each of them did.

    Raises:
        StateError: EDEADLK: the calling thread is among them.
        Error: EPERM: the caller is no ratchet thread.
    """
    me, _ = _me("wait_all")
    others = [_thread(thread, "wait_all") for thread in threads]
    if me in others:
        raise errors.StateError(errno.EDEADLK, f"{me!r} cannot wait for its own end")
    wait_for_all(others, math.inf, me)


def space(premade: Any = None) -> Any:
    """Return this thread's own scratch namespace; ``premade``, if given, becomes it."""
    me, _ = _me("space")
    if premade is not None:
        me.scratch = premade
    elif me.scratch is None:
        me.scratch = SimpleNamespace()
    return me.scratch


def block_on(
    reads: Iterable[Any], writes: Iterable[Any] = (), timeout: float | None = None
) -> Any | None:
    """Pause until one of these objects is ready. In any kind of thread.

    `ratchet.zmqsocket.select` returns all objects that are ready, this function the first of them.

    Args:
        reads: objects to read or receive from: sockets of ratchet, or anything with ``get_fd()``
            or ``fileno()``, or a descriptor.
        writes: objects to write or send to.
        timeout: seconds; None or negative: for ever; 0: only look.

    Returns:
        the first object that is ready, or None when the time is up.

    Raises:
        TypeError: an object has no descriptor.
        ClosedError: a socket is closed, or was closed meanwhile.
    """
    readable, writable = select(reads, writes, timeout)
    return next(iter([*readable, *writable]), None)


def sigwait(signal: int | str) -> None:
    """Pause until the process gets the signal.

    From the first call on, the signal belongs to the kernel until the kernel ends. A signal that
    comes while no thread waits is kept for the next call.

    Args:
        signal: a number, ``signal.SIGTERM``, or ``"SIGTERM"``.

    Raises:
        ArgumentError: (a ValueError) there is no such signal.
        Error: EPERM: the caller is no ratchet thread.
    """
    me, kernel = _me("sigwait")
    kernel.signals.wait(kernel, me, number_of(signal))


def kill(thread: Thread) -> None:
    """End a thread by raising `Killed` in it, at once if it is this one. From any OS thread.

    A thread that has ended stays as it is.
    """
    thread = _thread(thread, "kill")
    kernel: Kernel = thread.kernel  # type: ignore[assignment]
    kernel.kill(thread)


def kill_all(threads: Iterable[Thread]) -> None:
    """End these threads. The calling thread is the last, if it is among them."""
    me = current_thread()
    checked = [_thread(thread, "kill_all") for thread in threads]
    for thread in sorted(checked, key=lambda thread: thread is me):
        kill(thread)


def offload(func: Callable[..., T], *args: Any) -> T:
    """Run a blocking function in a worker OS thread, and pause until its result is there.

    At most 32 such functions run at a time; the next ones wait. If the calling thread is killed,
    only the wait ends: the function goes on.

    Returns:
        what ``func(*args)`` returned.

    Raises:
        BaseException: what the function raised.
        ForkedError: the process is a fork, and the function began in the parent process.
        Error: EPERM: the caller is no ratchet thread.
    """
    me, kernel = _me("offload")
    if not callable(func):
        raise TypeError(f"offload() takes a function, not {type(func).__name__}")
    return kernel.workers.run(kernel, me, func, args)
