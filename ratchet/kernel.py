"""The scheduler of ratchet threads: deadlines, descriptors, signals, errors and the end.

Theory of operation
-------------------
A kernel belongs to the OS thread that calls `Ratchet.loop`. Each turn of the loop runs every
thread that is ready, once (`_kernel.pxi`), then asks the operating system what has happened, with
patience only if nobody is ready, then resumes whose deadline has passed.

Sockets' descriptors are registered once and stay registered, edge-triggered: ZMQ_FD rings for
each change, and a ring that nobody waits for costs nothing and needs no answer. An idle socket
costs nothing per turn, so ten thousand of them do not either. Other descriptors are registered
while somebody waits for them.

A thread has at most one entry in the heap of deadlines for its pause and one for its alarm. An
entry may lie earlier than the deadline it stands for; it is put back when its time comes. So a
thread that pauses 100,000 times a second with a timeout of 10 s adds one entry in 10 s.
"""

from __future__ import annotations

import collections
import contextvars
import errno
import heapq
import itertools
import math
import os
import select
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

from . import errors
from ._platform import Wakeup
from ._zmq import Core, KernelCore, Thread, current_kernel, set_kernel

if TYPE_CHECKING:
    from ._zmq import Doorbell

__all__ = ["Kernel", "Ratchet", "new", "run"]

T = TypeVar("T")
OnError = Callable[[BaseException, Thread], object]

# The loop asks the operating system after this many turns even if threads are always ready: a
# system call costs as much as four messages.
POLL_EVERY = 8
# While every thread waits for an unpause that only another OS thread could do, the loop looks this
# often (seconds) whether such a thread is left.
LAST_HOPE = 0.5
# How often a thread is killed that swallows Killed, at the end of its kernel, before it is left.
KILLS = 100

_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()


class _Poll(Protocol):
    def watch_edge(self, fd: int) -> None: ...
    def watch_level(self, fd: int, reads: bool, writes: bool) -> None: ...
    def forget(self, fd: int) -> None: ...
    def wait(self, seconds: float | None) -> list[tuple[int, bool, bool]]: ...
    def close(self) -> None: ...


class _Epoll:
    """epoll(7)."""

    method = "epoll"

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._level: set[int] = set()

    def watch_edge(self, fd: int) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def watch_level(self, fd: int, reads: bool, writes: bool) -> None:
        mask = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)
        if fd in self._level:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
            self._level.add(fd)

    def forget(self, fd: int) -> None:
        self._level.discard(fd)
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):
            pass  # closed already, which takes it out as well

    def wait(self, seconds: float | None) -> list[tuple[int, bool, bool]]:
        bad = select.EPOLLERR | select.EPOLLHUP
        return [
            (fd, bool(mask & (select.EPOLLIN | bad)), bool(mask & (select.EPOLLOUT | bad)))
            for fd, mask in self._epoll.poll(-1 if seconds is None else seconds, 256)
        ]

    def close(self) -> None:
        self._epoll.close()


class _Kqueue:
    """kqueue(2), of macOS and the BSDs."""

    method = "kqueue"

    def __init__(self) -> None:
        self._kqueue = select.kqueue()  # type: ignore[attr-defined, unused-ignore]
        self._level: dict[int, tuple[bool, bool]] = {}

    def _control(self, fd: int, which: int, flags: int) -> None:
        event = select.kevent(fd, which, flags)  # type: ignore[attr-defined, unused-ignore]
        self._kqueue.control([event], 0, 0)

    def watch_edge(self, fd: int) -> None:
        self._control(fd, select.KQ_FILTER_READ, select.KQ_EV_ADD | select.KQ_EV_CLEAR)  # type: ignore[attr-defined, unused-ignore]

    def watch_level(self, fd: int, reads: bool, writes: bool) -> None:
        before = self._level.get(fd, (False, False))
        self._level[fd] = reads, writes
        filters = (select.KQ_FILTER_READ, select.KQ_FILTER_WRITE)  # type: ignore[attr-defined, unused-ignore]
        for which, old, new in zip(filters, before, (reads, writes), strict=True):
            if old != new:
                self._control(fd, which, select.KQ_EV_ADD if new else select.KQ_EV_DELETE)  # type: ignore[attr-defined, unused-ignore]

    def forget(self, fd: int) -> None:
        reads, writes = self._level.pop(fd, (True, False))
        filters = (select.KQ_FILTER_READ, reads), (select.KQ_FILTER_WRITE, writes)  # type: ignore[attr-defined, unused-ignore]
        for which, there in filters:
            if there:
                try:
                    self._control(fd, which, select.KQ_EV_DELETE)  # type: ignore[attr-defined, unused-ignore]
                except OSError:
                    pass  # closed already, which takes it out as well

    def wait(self, seconds: float | None) -> list[tuple[int, bool, bool]]:
        events = self._kqueue.control(None, 256, seconds)
        return [
            (e.ident, e.filter == select.KQ_FILTER_READ, e.filter == select.KQ_FILTER_WRITE)  # type: ignore[attr-defined, unused-ignore]
            for e in events
        ]

    def close(self) -> None:
        self._kqueue.close()


def _poll() -> Any:
    if hasattr(select, "epoll"):
        return _Epoll()
    if hasattr(select, "kqueue"):
        return _Kqueue()
    raise errors.Error(errno.ENOSYS, "ratchet threads need epoll or kqueue; use OS threads here")
