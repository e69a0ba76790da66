"""The runtime of an event loop for zmq.asyncio's calls: they go on in the turn in which they can.

A call of `ratchet.asyncio` goes on in its own task, a turn after the socket's descriptor was
readable. Here a future has to be set first, which would take one turn more.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any

from .._awaited import ring
from .._zmq import thread_ident
from ..asyncio import AsyncioRuntime, _runtime

if TYPE_CHECKING:
    from .._zmq import SocketBase

_runtimes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, CallsRuntime] = (
    weakref.WeakKeyDictionary()
)


class CallsRuntime(AsyncioRuntime):
    """The runtime of one event loop."""

    # While a descriptor is answered: the queues of calls (`_pyzmq/futures.pxi`) that it has woken.
    due: list[Any] | None = None

    def _ring(self, bell: weakref.ref[SocketBase]) -> None:
        """Look at a socket whose descriptor is readable, and perform the calls that can go on."""
        due: list[Any] = []
        self.due = due
        try:
            ring(bell)
        finally:
            self.due = None
            for number, calls in enumerate(due, 1):
                try:
                    calls.serve()
                except BaseException:  # the others are served in the next turn
                    if (loop := self.loop) is not None:
                        for other in due[number:]:
                            loop.call_soon(other.serve)
                    raise


def runtime_here() -> CallsRuntime:
    """Return the runtime of the event loop that runs here."""
    loop = asyncio.get_running_loop()
    runtime = _runtimes.get(loop)
    if runtime is None:
        _runtime()  # raises for a loop that was made before a fork
        runtime = _runtimes[loop] = CallsRuntime(loop)
    runtime.ident = thread_ident()
    return runtime


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_runtimes.clear)
