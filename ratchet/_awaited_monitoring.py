"""Monitors of sockets whose calls are awaited: of asyncio, trio and anyio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import errors
from ._awaited_bell import awaited_wait_at
from ._closing import AwaitedClosing
from ._zmq import to_deadline
from .monitoring import MonitorEvent, MonitorReader, event_of

if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["AwaitedMonitor"]


class AwaitedMonitor(MonitorReader, AwaitedClosing):
    """`ratchet.zmqsocket.Monitor` for tasks: an asynchronous iterator, and `recv` is awaited."""

    __slots__ = ()

    async def recv(self, *, timeout: float | None = None) -> MonitorEvent:  # noqa: ASYNC109
        """Receive the next event; pause the task until there is one.

        Args:
            timeout: seconds; None or negative: for ever; 0: now or never.

        Raises:
            Timeout: nothing happened in time.
            ClosedError: the socket was closed and all that happened before was received, or this
                monitor was closed.
            ForkedError: the socket belongs to the parent process.
        """
        found = await awaited_wait_at(self._kind, self, self._take, to_deadline(timeout))
        if found is None:
            raise self._timed_out(timeout)
        return event_of(*found)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MonitorEvent:
        try:
            found: Any = await awaited_wait_at(self._kind, self, self._take, math.inf)
        except errors.ClosedError:
            raise StopAsyncIteration from None
        return event_of(*found)
