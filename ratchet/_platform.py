"""What differs between operating systems: the descriptor that wakes a sleeping thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

__all__ = ["Wakeup"]


class _EventWakeup:
    """A wake-up over Linux' eventfd(2): one descriptor, one number."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = -1
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor, readable while set."""
        return self._fd

    def write_fileno(self) -> int:
        """The descriptor to write 8 bytes to (an integer of 1), which sets it."""
        return self._fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._fd >= 0:
            close(self._fd)


class _PairWakeup:
    """A wake-up over a socket pair: macOS has no eventfd, and Windows polls nothing but sockets."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, readable while set."""
        return self._reader.fileno()

    def write_fileno(self) -> int:
        """The descriptor to write to, which sets it."""
        return self._writer.fileno()


Wakeup: type[_EventWakeup | _PairWakeup] = _EventWakeup if hasattr(os, "eventfd") else _PairWakeup
