"""How a kernel at its end kills the threads that are left, so that their ``finally`` blocks run."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from ._deadlines import Deadline

if TYPE_CHECKING:
    from ._deadlines import Deadlines
    from .kernel import Kernel

__all__ = ["kill_all"]

# Seconds. A thread that is still there this long after it was killed is killed again, up to this
# many times, and then left behind.
KILL_AGAIN = 1.0
KILLS = 10


def kill_all(kernel: Kernel, deadlines: Deadlines) -> None:
    """End every thread that is left, and raise the first error of theirs when all have ended."""
    failures: list[BaseException] = []
    kernel.ending = True
    try:
        for _ in range(KILLS):
            for thread in list(kernel.threads):
                kernel.kill(thread)
            _let_end(kernel, deadlines, failures)
            if not kernel.threads:
                break
        kernel.threads.clear()
    finally:
        kernel.ending = False
    if failures:
        raise failures[0]


def _let_end(kernel: Kernel, deadlines: Deadlines, failures: list[BaseException]) -> None:
    """Run the threads that were killed for `KILL_AGAIN`, or until all wait for one another."""
    until = monotonic() + KILL_AGAIN
    while kernel.threads and (kernel.ready or monotonic() < until):
        beat = Deadline(kernel.wake_up)
        deadlines.arm(beat, until)
        try:
            kernel.turn(True)
        except BaseException as error:  # noqa: BLE001 (raised when all have ended)
            failures.append(error)
        beat.wanted = math.inf
        if kernel.stuck == len(kernel.threads) and not kernel.ready:
            break
