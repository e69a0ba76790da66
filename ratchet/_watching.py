"""The OS thread that watches descriptors for event loops which cannot: Windows' Proactor loop.

There is one for all loops of the process. It starts with the first descriptor that it is given, and
ends with the last that is taken back. It tells a loop that a descriptor is readable, by
`call_soon_threadsafe`, and then no more until the loop has answered: neither a loop that is busy
nor one that has stopped has the thread spin, or piles up callbacks.

It is a daemon. An exit cannot wait for it: a program that ends with a socket open and a loop not
closed has to end as well, and Python joins its threads before the sockets are closed
(docs/decisions/034-the-watching-thread.md).
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from typing import TYPE_CHECKING

from . import _platform, errors
from ._platform import PairWakeup, new_poll

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ._platform import Poll

__all__ = ["add_reader", "remove_reader"]


class Reader:
    """One descriptor, and what its loop calls when it is readable."""

    __slots__ = ("_args", "_callback", "_loop", "_watcher", "fd", "told")

    def __init__(
        self,
        watcher: Watcher,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        callback: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        self._watcher = watcher
        self._loop = weakref.ref(loop)  # a loop that is dropped takes its descriptors back
        self.fd = fd
        self._callback = callback
        self._args = args
        self.told = False  # the loop has not answered yet

    def tell(self) -> None:
        """Have the loop answer, in its own OS thread."""
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._answer)
                return
        except MemoryError:
            self._watcher.again(self)
            return
        except RuntimeError:
            pass  # the loop is closed
        self._watcher.remove(self.fd, self)

    def _answer(self) -> None:
        if self._watcher.watches(self):
            self.told = False  # first: what rings from here on may be too late for the callback
            try:
                self._callback(*self._args)
            finally:
                self._watcher.answered(self)


class Watcher:
    """The thread, while there is one, and the descriptors that it watches."""

    def __init__(self) -> None:
        # A signal handler or a finalizer may close a socket in the middle of a method here.
        self._lock = threading.RLock()
        self._readers: dict[int, Reader] = {}
        self._poll: Poll | None = None
        self._wakeup: PairWakeup | None = None

    def add(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        callback: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        """Have ``loop`` call ``callback(*args)`` when ``fd`` is readable, until `remove`."""
        with self._lock:
            # Here, and not when the poll is full: what was told is taken out of it and put back.
            if len(self._readers) >= _platform.MOST - 1:
                raise _cannot(errno.EMFILE, f"it takes {_platform.MOST} descriptors here")
            poll = self._poll if self._poll is not None else self._start()
            self._readers[fd] = Reader(self, loop, fd, callback, args)
            try:
                poll.watch_edge(fd)
            except BaseException as error:
                self.remove(fd)
                if isinstance(error, OSError):
                    raise _cannot(error.errno or errno.EMFILE, error.strerror or "") from None
                raise
            self._stir(poll)

    def remove(self, fd: int, only: Reader | None = None) -> None:
        """Watch ``fd`` no more, which is about to be closed. From any OS thread.

        Args:
            fd: the descriptor.
            only: if it is watched for this one still: the number may be another's by now.
        """
        with self._lock:
            if only is not None and self._readers.get(fd) is not only:
                return
            if self._readers.pop(fd, None) is not None and self._poll is not None:
                self._poll.forget(fd)
                if not self._readers and self._wakeup is not None:
                    self._wakeup.set()  # the thread's end

    def watches(self, reader: Reader) -> bool:
        """Return True if it has not been removed."""
        return self._readers.get(reader.fd) is reader

    def answered(self, reader: Reader) -> None:
        """Go on watching what the loop has been told of."""
        if self._poll is not None and not self._poll.edge:
            self.again(reader)

    def again(self, reader: Reader) -> None:
        """Watch a descriptor as if for the first time: it is told of if it is readable now."""
        with self._lock:
            if self._poll is not None and self.watches(reader):
                reader.told = False
                self._poll.watch_edge(reader.fd)
                self._stir(self._poll)

    def _start(self) -> Poll:
        try:
            wakeup, poll = PairWakeup(), new_poll()
            poll.watch(wakeup.fileno(), True, False)
        except OSError as error:
            raise _cannot(error.errno or errno.EMFILE, error.strerror or "") from None
        name = "ratchet watches for event loops"
        thread = threading.Thread(target=self._run, args=(poll, wakeup), name=name, daemon=True)
        self._poll, self._wakeup = poll, wakeup
        try:
            thread.start()
        except BaseException as error:  # if it runs all the same, it finds that it is not wanted
            self._poll = self._wakeup = None
            wakeup.set()
            if isinstance(error, RuntimeError):
                raise _cannot(errno.ENOMEM, str(error)) from None
            raise
        return poll

    def _stir(self, poll: Poll) -> None:
        """Have a wait that is under way take notice, where it does not by itself."""
        if poll.fileno() < 0 and self._wakeup is not None:
            self._wakeup.set()

    def _run(self, poll: Poll, wakeup: PairWakeup) -> None:
        """Watch until nothing is left: the thread."""
        try:
            while self._turn(poll, wakeup):
                pass
        finally:
            with self._lock:
                if self._poll is poll:
                    self._poll = self._wakeup = None
            poll.close()
            wakeup.close()

    def _turn(self, poll: Poll, wakeup: PairWakeup) -> bool:
        """Wait once, and tell. Returns False if the thread is not needed any more."""
        told = []
        ready = poll.wait(None)
        with self._lock:
            for fd, _ in ready:
                reader = self._readers.get(fd)
                if fd == wakeup.fileno():
                    wakeup.clear()
                elif reader is not None:
                    if not reader.told:
                        told.append(reader)
                    reader.told = True
                    if not poll.edge:
                        poll.forget(fd)
            if self._poll is not poll:
                return False
            if not self._readers:
                self._poll = self._wakeup = None  # whoever comes next starts another one
                return False
        for reader in told:
            reader.tell()
        return True


def _cannot(number: int, why: str) -> errors.Error:
    what = "cannot have a thread watch for this event loop"
    return errors.refusal(number, f"{what}: {why or os.strerror(number)}")


_watcher = Watcher()
# In a forked child, the parents': closed, they would give back numbers that may be others' there.
_inherited: list[Watcher] = []


def add_reader(
    loop: asyncio.AbstractEventLoop, fd: int, callback: Callable[..., object], *args: object
) -> None:
    """Do what ``loop.add_reader`` does, for a loop that cannot.

    Raises:
        Error: no descriptors or threads are left.
    """
    _watcher.add(loop, fd, callback, args)


def remove_reader(fd: int) -> None:
    """Undo `add_reader`, before ``fd`` is closed. From any OS thread."""
    _watcher.remove(fd)


def _after_fork() -> None:
    global _watcher
    _inherited.append(_watcher)
    _watcher = Watcher()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
