"""The descriptors that a kernel watches: of sockets, trackers and selectors, and its wake-up.

A socket's descriptor is registered once and stays registered, edge-triggered: ZMQ_FD rings for each
change, and a ring for which nobody waits costs nothing and needs no answer. An idle socket costs
nothing per turn, and so do ten thousand of them.
"""

from __future__ import annotations

import errno
import os
import weakref
from typing import TYPE_CHECKING

from . import errors
from ._platform import PairWakeup, new_poll
from ._zmq import (
    Selection,
    SocketBase,
    Tracker,
    add_watcher,
    pin,
    process_generation,
    remove_watcher,
    unpin,
)

if TYPE_CHECKING:
    from ._zmq import Doorbell, KernelBase

__all__ = ["Descriptors"]


class Descriptors:
    """The poll and the wake-up of one kernel.

    The methods take the kernel instead of a field that refers to it: a kernel that is dropped must
    go at once, without the garbage collector.
    """

    def __init__(self, kernel: KernelBase) -> None:
        self._held: list[object] | None = None  # what is closed while a descriptor is registered
        self.open(kernel)

    @property
    def method(self) -> str:
        """The way the operating system is asked, such as ``"epoll"``."""
        return self._poll.method

    def open(self, kernel: KernelBase) -> None:
        """Make descriptors of this process's, and give ``kernel`` what it reads of them."""
        born = process_generation()
        try:
            wakeup, poll = PairWakeup(), new_poll()
            poll.watch(wakeup.fileno(), True, False)
        except OSError as error:
            raise _cannot("make a kernel", error) from None
        pin(poll)  # in a forked child for good: its destructor would close by number
        self._wakeup, self._poll = wakeup, poll
        kernel.write_fd = wakeup.write_fileno()
        kernel.poll_fd = poll.fileno()
        kernel.poll_wait = poll.wait
        kernel.edge = poll.edge
        kernel.born = born

    def watch(self, kernel: KernelBase, bell: Doorbell) -> None:
        """Have ``kernel`` answer the bell of a socket from now on."""
        if not add_watcher(bell, kernel):
            return
        if not isinstance(bell, (Selection, SocketBase, Tracker)):
            return
        # From here on another OS thread may close the socket at any moment. What it closes is held
        # meanwhile, so that the descriptor's number cannot be given to another file yet.
        self._held = []
        fd = -1
        try:
            fd = bell.fileno()
            if fd < 0:  # a selection where no descriptor stands for many: it looks by itself
                return
            kernel.bells[fd] = weakref.ref(bell)
            self._poll.watch_edge(fd)
            if isinstance(bell, SocketBase) and bell.closed:
                kernel.bells.pop(fd, None)
                self._poll.forget(fd)
        except BaseException as error:  # it is not watched, so the next pause tries again
            remove_watcher(bell, kernel)
            kernel.bells.pop(fd, None)
            if isinstance(error, errors.Error) or not isinstance(error, OSError):
                raise
            if isinstance(bell, SocketBase) and bell.closed:
                return  # closing wakes the callers that pause; during an exit nothing is held
            raise _cannot(f"watch {bell!r}", error) from None
        finally:
            self._held = None

    def forget(self, kernel: KernelBase, fd: int, closing: object) -> None:
        """Watch a socket's descriptor no more: it is about to be closed. From any OS thread."""
        held = self._held
        if held is not None:
            held.append(closing)
        if fd in kernel.bells:
            if kernel.born == process_generation():
                self._poll.forget(fd)
            kernel.bells.pop(fd, None)  # last: if a signal handler raises before, it is done again

    def happened(self, fd: int) -> None:
        """Silence the wake-up, if ``fd`` is its descriptor."""
        if fd == self._wakeup.fileno():
            self._wakeup.clear()

    def forked(self) -> None:
        """Forget in a forked child what the parent was about to close."""
        self._held = None

    def close(self, kernel: KernelBase) -> None:
        """Watch nothing any more, and give the descriptors back in the process that made them."""
        for reference in list(kernel.bells.values()):
            bell = reference()
            if bell is not None:
                remove_watcher(bell, kernel)
        kernel.bells.clear()
        if kernel.born == process_generation():
            self._poll.close()
            self._wakeup.close()
            unpin(self._poll)
        kernel.write_fd = -1


def _cannot(what: str, error: OSError) -> errors.Error:
    number = error.errno or errno.EMFILE
    return errors.from_errno(number, f"cannot {what}", error.strerror or os.strerror(number))
