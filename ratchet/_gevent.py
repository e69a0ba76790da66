"""What the greenlets of gevent need of its hub: descriptors, deadlines, and turns for the others.

Imported by ratchet itself, when a call is about to pause in a program that has imported gevent. How
a greenlet pauses and is woken is in `_zmq/gevent.pxi`.

Each hub watches a duplicate of a socket's descriptor, however many of its greenlets wait there: the
number of the socket itself is the program's to watch, and another OS thread may close it at any
moment. All timeouts of a hub share one timer. Neither keeps the loop running, so that
`gevent.wait()` returns and a program that waits for nothing ends in `LoopExit` as it did; a call
that pauses does.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent._hub_local import get_hub_if_exists  # type: ignore[import-untyped]
from gevent.hub import sleep  # type: ignore[import-untyped]
from gevent.timeout import Timeout  # type: ignore[import-untyped]
from greenlet import getcurrent  # type: ignore[import-untyped]

from . import errors
from ._deadlines import Deadline, Deadlines
from ._platform import close_descriptor, duplicate_descriptor
from ._zmq import (
    GeventBase,
    RuntimeGone,
    Selection,
    SocketBase,
    Tracker,
    add_watcher,
    check,
    exit_waits,
    find_gevents_hubs,
    process_generation,
    remove_watcher,
)

if TYPE_CHECKING:
    from ._zmq import Doorbell, GreenletWaiter

__all__ = ["GeventRuntime"]

READ = 1  # of gevent's events

_runtimes: weakref.WeakSet[GeventRuntime] = weakref.WeakSet()


class ForkedSleepError(Exception):
    """Ends the sleep of a kernel in a forked child: what it waits for is the parent's."""


class Watched:
    """A bell, the duplicate of its descriptor, and the watcher of that."""

    __slots__ = ("bell", "copy", "watcher")

    def __init__(self, bell: Doorbell, copy: int, watcher: Any) -> None:
        self.bell = weakref.ref(bell)
        self.copy = copy
        self.watcher = watcher


class GeventRuntime(GeventBase):
    """How the greenlets of one hub pause."""

    def __init__(self, hub: Any) -> None:
        super().__init__(hub)
        self.born = process_generation()
        self._bells: dict[int, Watched] = {}
        # Bells that others ring, as those of monitors and peers: in a forked child nobody does.
        self._without_fd: weakref.WeakSet[Doorbell] = weakref.WeakSet()
        self._deadlines = Deadlines()
        self._timer: Any = None
        self._ticker: Any = None
        self._sleeps: list[Any] = []  # the watchers of kernels that sleep here
        self.keeper = self.loop.async_(ref=False)
        self.keeper.start(_nothing)
        _runtimes.add(self)

    # Descriptors

    def watch(self, bell: Doorbell) -> None:
        """Ring a bell when its descriptor does, from now on. In the hub's own OS thread."""
        add_watcher(bell, self)
        if not isinstance(bell, (Selection, SocketBase, Tracker)):
            self._without_fd.add(bell)
            return
        fd = bell.fileno()
        known = self._bells.get(fd)
        if fd < 0 or (known is not None and known.bell() is bell):
            return
        self.forget(fd)  # the number was another one's
        try:
            copy = duplicate_descriptor(fd)
        except OSError as error:
            remove_watcher(bell, self)
            number = error.errno or errno.EMFILE
            raise errors.from_errno(number, f"cannot watch {bell!r}", os.strerror(number)) from None
        known = Watched(bell, copy, self.loop.io(copy, READ, ref=False))
        known.watcher.start(self.rang, known.bell)
        self._bells[fd] = known
        if isinstance(bell, SocketBase) and bell.closed:  # meanwhile, by another OS thread
            self.forget(fd)

    def forget(self, fd: int, closing: object = None) -> None:
        """Watch no more. From any OS thread; at the exit ``closing`` is held until that is done."""
        known = self._bells.get(fd)
        if known is None:
            return
        if self.is_here():
            self._remove(known, None)
        elif self.born == process_generation() and not self.over and self.hub.loop is not None:
            held = closing if exit_waits() else None
            with contextlib.suppress(ValueError):  # the loop is destroyed
                self.loop.run_callback_threadsafe(self._remove, known, held)
        if self._bells.get(fd) is known:
            del self._bells[fd]

    def _remove(self, known: Watched, _closing: object) -> None:
        """Stop a watcher and close its descriptor. In the hub's own OS thread."""
        watcher, known.watcher = known.watcher, None
        if watcher is not None:
            with contextlib.suppress(ValueError):  # the loop is destroyed
                watcher.stop()
                watcher.close()
            if self.born == process_generation():  # else the number is the parent's
                close_descriptor(known.copy)

    # Deadlines

    def set_deadline(self, waiter: GreenletWaiter, until: float) -> None:
        """Let the greenlet of ``waiter`` go on at ``until``, unless it wants another time then."""
        if waiter.timer is None:
            waiter.timer = Deadline(waiter.time_up, again=True)
        if self._deadlines.arm(waiter.timer, until):
            self._set_timer()

    def drop(self, waiter: GreenletWaiter) -> None:
        """Forget the deadline of a waiter that waits no more."""
        timer, waiter.timer = waiter.timer, None
        self._deadlines.drop(timer)

    def _set_timer(self) -> None:
        self._drop_timer()
        loop = self.loop
        loop.update_now()
        delay = self._deadlines.first() - monotonic()
        timer = loop.timer(max(loop.approx_timer_resolution, delay), ref=False)
        self._timer = timer
        timer.start(self._time_is_up)

    def _drop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _time_is_up(self) -> None:
        try:
            self._deadlines.ring()
        finally:
            if self._deadlines.first() != math.inf:
                self._set_timer()
            else:
                self._drop_timer()

    # Signals

    def tick(self, seconds: float) -> None:
        """Have the loop wake up every so many seconds as long as greenlets pause here."""
        ticker = self._ticker
        if ticker is None:
            ticker = self._ticker = self.loop.timer(seconds, seconds, ref=False)
        ticker.start(self._ticked)
        self.ticking = True

    def _ticked(self) -> None:
        """Go on only if somebody pauses. gevent runs signal handlers with each callback."""
        if not self.pausing and self._ticker is not None:
            self.ticking = False
            self._ticker.stop()

    # Turns

    def yield_to_others(self) -> None:
        """Let every other greenlet run that can."""
        sleep(0)

    def sleep_on(self, fd: int, seconds: float | None) -> bool:
        """Let the greenlets run until ``fd`` is readable; ``seconds`` of 0: one turn."""
        if getcurrent() is self.hub:
            return False
        if seconds == 0:
            sleep(0)
            return True
        watcher = self.loop.io(fd, READ)
        self._sleeps.append(watcher)
        try:
            with Timeout(seconds, False):
                self.hub.wait(watcher)
        except ForkedSleepError:
            pass
        finally:
            self._sleeps.remove(watcher)
            watcher.close()
        return True

    # Ends

    def left(self) -> None:
        """Watch nothing any more, and have others told: the OS thread ends."""
        bells, self._bells = self._bells, {}
        if self.born != process_generation():
            return
        for known in bells.values():
            bell = known.bell()
            self._remove(known, None)
            if bell is not None:
                remove_watcher(bell, self)
                check(bell)

    def forked(self) -> None:
        """In a child process leave the parent's descriptors alone, and resume who waits for them.

        They are told that the socket is the parent's. Watchers are stopped when the loop runs next:
        only then does it have descriptors of this process's.
        """
        self.born = process_generation()
        bells, self._bells = self._bells, {}
        if self.over or self.hub.loop is None:
            return
        if not self.is_here():
            self.over = True
            return
        with contextlib.suppress(ValueError, RuntimeGone):
            for watcher in self._sleeps:
                self.hub.cancel_wait(watcher, ForkedSleepError)
            self.loop.run_callback(_stop, [known.watcher for known in bells.values()])
            waited = [known.bell() for known in bells.values()]
            for bell in [*waited, *self._without_fd]:
                if bell is not None:
                    remove_watcher(bell, self)
                    self.resume_all(bell)


def _nothing() -> None:
    """Be the callback of a watcher that only keeps the loop running."""


def _stop(watchers: list[Any]) -> None:
    for watcher in watchers:
        watcher.stop()
        watcher.close()


def _after_fork() -> None:
    for runtime in list(_runtimes):
        runtime.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

find_gevents_hubs(get_hub_if_exists, GeventRuntime)
