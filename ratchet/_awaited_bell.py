"""Waiting in a task at a bell that rings for what Python has noted: `wait_at`, awaited."""

from __future__ import annotations

import types
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ._zmq import join, leave, spend_turn, task_waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._zmq import Doorbell, TaskWaiter

__all__ = ["awaited_wait_at"]

T = TypeVar("T")


class _Pause:
    """Awaited: the task sleeps until its waiter is woken, or until its deadline."""

    def __init__(self, waiter: TaskWaiter) -> None:
        self.waiter = waiter

    def __await__(self) -> Generator[Any, Any, Any]:
        sleep: Any = self.waiter.loop.suspend(self.waiter)
        if self.waiter.woken:  # meanwhile, by another OS thread, which found nothing to wake
            sleep.close()
            return
        yield from sleep.__await__() if hasattr(sleep, "__await__") else sleep


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the loop run a turn."""
    yield


async def awaited_wait_at(
    zsock: Any, bell: Doorbell, look: Callable[[], T | None], deadline: float
) -> T | None:
    """Do what `_zmq.wait_at` does, in a task.

    Args:
        zsock: a socket, or the class of it, whose runtime is that of the task.
        bell: what `look` was noted at.
        look: returns None for not now.
        deadline: monotonic seconds.
    """
    turn = spend_turn()
    if zsock._checkpoint is not None:
        if (checkpoint := zsock._checkpoint(turn)) is not None:
            await checkpoint
    elif turn:
        await _turn()
    found = look()
    if found is not None or monotonic() >= deadline:
        return found
    waiter = task_waiter(zsock._runtime_here(), deadline)
    join(bell, False, waiter)
    try:
        while True:
            waiter.woken = False
            found = look()
            if found is not None or monotonic() >= deadline:
                return found
            await _Pause(waiter)
            waiter.future = None
    finally:
        leave(bell, waiter)
        waiter.loop.finished(waiter)
