"""A select that is awaited, whatever the event loop: `ratchet.asyncio.select` and its siblings."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ._zmq import picked, selection_of, spend_turn, to_deadline
from .selecting import first_look, listed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["awaited_select"]


async def awaited_select(
    reads: Iterable[Any],
    writes: Iterable[Any],
    timeout: float | None,  # noqa: ASYNC109 (as in every call of ratchet's)
    readable: Callable[[int, float], Awaitable[object]],
    turn: Callable[[], Awaitable[object]],
) -> tuple[list[Any], list[Any]]:
    """Do what `ratchet.zmqsocket.select` does, in a task.

    Args:
        reads: what to receive or read from.
        writes: what to send or write to.
        timeout: seconds; None or negative: for ever.
        readable: awaited with a descriptor and a deadline (monotonic seconds): until one of them.
        turn: awaited to let the loop run a turn.
    """
    deadline = to_deadline(timeout)
    reads, writes = listed(reads), listed(writes)
    if spend_turn():
        await turn()
    found = first_look(reads, writes, timeout)
    if found is not None:
        return found
    selection = selection_of(reads, writes)
    try:
        selection.rings()
        while True:
            names = selection.harvest()
            if names or monotonic() >= deadline:
                return picked(names, reads, writes)
            await readable(selection.fileno(), selection.look_by(deadline))
    finally:
        selection.close()
