"""Deadlines of one kernel or event loop: a heap in which most entries stand for nothing any more.

A deadline has at most one current entry, which may lie earlier than the time that is wanted; it is
put back when its time comes. So a thread that pauses 100,000 times a second with a timeout of 10 s
adds one entry in 10 s. Entries that stand for nothing are swept out once they may be most of the
heap.
"""

from __future__ import annotations

import heapq
import itertools
import math
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Deadline", "Deadlines"]

# The heap is swept when it has more entries than this and twice those that were live at the last
# sweep.
SPARE = 100


class Deadline:
    """A time at which to act: the act, the time, and the time of the current entry."""

    __slots__ = ("act", "again", "armed", "wanted")

    def __init__(self, act: Callable[[], object] | None, again: bool = False) -> None:
        self.act = act
        self.again = again  # act once more if a signal handler raised in it
        self.wanted = self.armed = math.inf


class Deadlines:
    """The deadlines of one kernel or loop. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Deadline]] = []
        self._order = itertools.count()
        self._crowded = SPARE  # at this size the heap is swept

    def arm(self, deadline: Deadline, until: float) -> bool:
        """Act on ``deadline`` at ``until``, not before. Returns True if it has become the first."""
        deadline.wanted = until
        if until >= deadline.armed:
            return False
        heapq.heappush(self.heap, (until, next(self._order), deadline))
        deadline.armed = until
        if len(self.heap) > self._crowded:
            self._sweep()
        return self.heap[0][2] is deadline

    @staticmethod
    def drop(deadline: Deadline) -> None:
        """Never act on ``deadline``, which refers to nothing from now on."""
        deadline.wanted = math.inf
        deadline.act = None

    def clear(self) -> None:
        """Forget every entry: none is wanted any more."""
        self.heap.clear()

    def any(self) -> bool:
        """Return True if any deadline is wanted."""
        return any(deadline.wanted != math.inf for *_, deadline in self.heap)

    def first(self) -> float:
        """Return the time of the first entry, infinite if there is none."""
        return self.heap[0][0] if self.heap else math.inf

    def ring(self) -> None:
        """Act on every deadline that has passed."""
        now = monotonic()
        while self.heap and self.heap[0][0] <= now:
            at, _, deadline = heapq.heappop(self.heap)
            if at != deadline.armed:
                continue  # an earlier entry has taken its place
            deadline.armed = math.inf
            wanted, deadline.wanted = deadline.wanted, math.inf
            if wanted <= now:
                self._act(deadline, wanted)
            elif wanted != math.inf:
                self.arm(deadline, wanted)

    def _act(self, deadline: Deadline, wanted: float) -> None:
        try:
            if deadline.act is not None:
                deadline.act()
        except BaseException:
            if deadline.again:
                self.arm(deadline, wanted)
            raise

    def _sweep(self) -> None:
        live = []
        for entry in self.heap:
            deadline = entry[2]
            if entry[0] == deadline.armed:
                if deadline.wanted != math.inf:
                    live.append(entry)
                else:
                    deadline.armed = math.inf
        heapq.heapify(live)
        self.heap[:] = live
        self._crowded = 2 * len(live) + SPARE
