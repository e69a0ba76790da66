"""The differences between systems, and gevent's: waking a sleeping thread, watching descriptors.

In a forked child, the number of a descriptor may belong to another file. So the classes here hold
descriptors as plain numbers, which nothing closes by itself, and remember the process in which they
made them: in another process they leave them alone (docs/decisions/007-fork.md).

gevent may have put its own in the place of what this library calls (``monkey.patch_all()``), before
or after its import. What an OS thread needs is taken as Python made it.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import sys
import threading

TYPE_CHECKING = False  # typing is not imported: see _typing.py
if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "MOST",
    "READS",
    "WRITES",
    "PairWakeup",
    "Poll",
    "Wakeup",
    "close_descriptor",
    "duplicate_descriptor",
    "is_patched",
    "new_poll",
    "original",
]


def original(module: Any, name: str) -> Any:
    """Return what a module had before gevent replaced it; None: nothing."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_object_patched(module.__name__, name):
        return monkey.get_original(module.__name__, name)
    return getattr(module, name, None)


def is_patched(module: str) -> bool:
    """Return True if gevent has replaced parts of a module."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched(module)


def main_thread_ident() -> int | None:
    """Return the identifier of the main OS thread."""
    if is_patched("threading"):
        ident: int = sys.modules["gevent.hub"].MAIN_THREAD_IDENT  # Python's is a greenlet's now
        return ident
    return threading.main_thread().ident


# Of descriptors, which on Windows are those of sockets.
close_descriptor = _socket.close
duplicate_descriptor = _socket.dup
_epoll: type[select.epoll] = original(select, "epoll")  # None where there is none


def process() -> int:
    """Return which process this is, of those forked from one another; `_zmq` replaces this."""
    return 0


class EventWakeup:
    """A wake-up over Linux' eventfd(2): one descriptor, one number."""

    __slots__ = ("_born", "_fd", "_process")

    def __init__(self) -> None:
        self._fd = -1
        self._process = process  # at the exit the module may have lost its names
        self._born = process()  # before: a signal handler may fork in between
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor, which is readable while the wake-up is set."""
        return self._fd

    def write_fileno(self) -> int:
        """Return the descriptor to write to: an integer of 1, in 8 bytes, sets the wake-up."""
        return self._fd

    def detach(self) -> tuple[int, int]:
        """Return both descriptors, which belong to the caller from now on."""
        fd, self._fd = self._fd, -1
        return fd, fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # A signal handler may have raised where `__init__` begins.
        if getattr(self, "_fd", -1) >= 0 and self._born == self._process():
            close(self._fd)


class PairWakeup:
    """A wake-up over a socket pair, for macOS, Windows, and signals, which write one byte."""

    __slots__ = ("_born", "_process", "_reader", "_writer")

    def __init__(self) -> None:
        self._reader = self._writer = -1
        self._process = process
        self._born = process()
        reader, writer = _pair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._reader, self._writer = reader.detach(), writer.detach()

    def fileno(self) -> int:
        """Return the descriptor, which is readable while the wake-up is set."""
        return self._reader

    def write_fileno(self) -> int:
        """Return the descriptor to write to: any byte sets the wake-up."""
        return self._writer

    def detach(self) -> tuple[int, int]:
        """Return both descriptors, which belong to the caller from now on."""
        fds = self._reader, self._writer
        self._reader = self._writer = -1
        return fds

    def set(self) -> None:
        """Set the wake-up. From any OS thread."""
        try:
            _write(self._writer, b"!")
        except BlockingIOError:
            pass  # it has been set long since

    def clear(self) -> None:
        """Reset the wake-up: its descriptor is not readable any more."""
        try:
            while len(_read(self._reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def close(self, close: Callable[[int], None] = close_descriptor) -> None:
        """Give the descriptors back, unless they are another process's."""
        # A signal handler may have raised where `__init__` begins.
        if getattr(self, "_reader", -1) >= 0 and self._born == self._process():
            close(self._reader)
            close(self._writer)
        self._reader = self._writer = -1

    def __del__(self) -> None:
        self.close()


def _pair() -> Any:
    """Return two sockets that are connected."""
    if hasattr(_socket, "socketpair"):
        return _socket.socketpair()
    import socket  # whose Python makes a pair where the system has none

    return original(socket, "socketpair")()


def _read(fd: int, size: int) -> bytes:
    """Do what os.read does, which on Windows reads no sockets."""
    if sys.platform != "win32":
        return os.read(fd, size)
    reader = _socket.socket(fileno=fd)
    try:
        return reader.recv(size)
    finally:
        reader.detach()


def _write(fd: int, data: bytes) -> None:
    """Do what os.write does, which on Windows writes to no sockets."""
    if sys.platform != "win32":
        os.write(fd, data)
        return
    writer = _socket.socket(fileno=fd)
    try:
        writer.send(data)
    finally:
        writer.detach()


Wakeup: type[EventWakeup | PairWakeup] = EventWakeup if hasattr(os, "eventfd") else PairWakeup


READS, WRITES = 1, 4  # EPOLLIN and EPOLLOUT

# The most descriptors for one select.select: CPython's FD_SETSIZE on Windows. One more is refused
# when it is registered, so that the thread that brings it has the error and not the loop.
MOST = 512 if sys.platform == "win32" else sys.maxsize


class Poll:
    """The standard library's selector, level-triggered: it tells which descriptors are ready."""

    # True: a descriptor that `watch_edge` watches is reported once for each change. False: it is
    # reported as long as it is readable, and the loop spins unless somebody makes it unreadable.
    edge = False

    def __init__(self) -> None:
        import selectors

        made: type[selectors.BaseSelector] = original(selectors, "DefaultSelector")
        self._selector = made()
        self._forgotten = 0
        self.method = type(self._selector).__name__.removesuffix("Selector").lower()

    def fileno(self) -> int:
        """Return a descriptor that is readable when something is ready; -1 if there is none."""
        fileno = getattr(self._selector, "fileno", None)  # kqueue and /dev/poll have one
        return -1 if fileno is None else int(fileno())

    def watch_edge(self, fd: int) -> None:
        """Report ``fd`` when it becomes readable, until `forget`."""
        self.watch(fd, True, False)

    def watch(self, fd: int, reads: bool, writes: bool) -> None:
        """Report ``fd`` while it is ready for one of these, until `forget` or the next `watch`."""
        mask = (1 if reads else 0) | (2 if writes else 0)  # EVENT_READ and EVENT_WRITE
        if fd in self._selector.get_map():
            self._selector.modify(fd, mask)
        else:
            self._register(fd, mask)

    def _register(self, fd: int, mask: int) -> None:
        if len(self._selector.get_map()) >= MOST:
            raise OSError(errno.EMFILE, f"{self.method}() takes {MOST} descriptors here")
        self._selector.register(fd, mask)

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no more; it may be closed already."""
        self._forgotten += 1
        try:
            self._selector.unregister(fd)
        except (KeyError, OSError, ValueError):
            pass

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        """Return the descriptors that are ready, as (fd, mask); if none is, sleep for ``seconds``.

        None: for ever. The mask is of READS and WRITES; any other bit means that the descriptor has
        failed.
        """
        forgotten = self._forgotten
        try:
            ready = self._selector.select(seconds)
        except OSError:
            # select(2) refuses what another thread has had forgotten and closed since it was asked.
            if self._forgotten == forgotten:
                raise
            return []
        return [
            (key.fd, (READS if mask & 1 else 0) | (WRITES if mask & 2 else 0))
            for key, mask in ready
        ]

    def close(self) -> None:
        """Give the poll's own descriptor back. Only for the process that made it."""
        self._selector.close()


class Epoll(Poll):
    """epoll(7), edge-triggered for `watch_edge`."""

    edge = True
    method = "epoll"

    def __init__(self) -> None:
        self._epoll = _epoll()
        self.wait = self._epoll.poll  # type: ignore[assignment] # its masks are ours

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch_edge(self, fd: int) -> None:
        self._watch(fd, select.EPOLLIN | select.EPOLLET)

    def watch(self, fd: int, reads: bool, writes: bool) -> None:
        self._watch(fd, (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0))

    def _watch(self, fd: int, mask: int) -> None:
        try:
            self._epoll.register(fd, mask)
        except FileExistsError:
            self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        self._epoll.close()


def new_poll() -> Poll:
    """Make the best poll that this system has."""
    return Epoll() if _epoll else Poll()
