"""A proxy that is awaited, whatever the event loop: `ratchet.asyncio.proxy` and its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors
from .proxying import ProxyStats, forwarding_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._zmq import SocketBase

__all__ = ["awaited_proxy"]


async def awaited_proxy(
    frontend: SocketBase,
    backend: SocketBase,
    capture: SocketBase | None,
    readable: Callable[[int, float], Awaitable[object]],
    turn: Callable[[], Awaitable[object]],
) -> ProxyStats:
    """Do what `ratchet.proxy` does, in a task.

    Args:
        frontend: one side.
        backend: the other side.
        capture: what gets a copy of every message, or None.
        readable: awaited with a descriptor and a deadline (monotonic seconds): until one of them.
        turn: awaited to let the loop run a turn.
    """
    forwarding = forwarding_of(frontend, backend, capture)
    bell = forwarding.bell
    try:
        bell.rings()
        while True:
            if forwarding.is_time():
                await turn()
            if forwarding.move():
                continue
            until = forwarding.prepare()
            if until:
                await readable(bell.fileno(), bell.look_by(until))
                bell.harvest()
    except errors.ClosedError:
        if not any(zsock is not None and zsock.closed for zsock in (frontend, backend, capture)):
            raise
    finally:
        forwarding.close()
    return ProxyStats(*forwarding.counts())
