"""The same for anyio: socket and select of asyncio or of trio, whichever of the two runs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from . import errors
from ._awaited import AwaitedSocket as ZMQSocket
from ._awaited import library_here

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from ._zmq import SocketBase
    from .options import OptionArguments
    from .proxying import ProxyStats

__all__ = ["ZMQSocket", "new", "proxy", "select"]


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket for the loop that runs; arguments and errors as of `ratchet.zmqsocket.new`.

    Raises:
        StateError: no task of asyncio or trio runs here, so it cannot be known which to use.
    """
    made: ZMQSocket = _module("new").new(type, **options)
    return made


async def select(
    reads: Iterable[Any],
    writes: Iterable[Any] = (),
    timeout: float | None = None,  # noqa: ASYNC109 (as of every call of a socket)
) -> tuple[list[Any], list[Any]]:
    """Pause the task until at least one of many things is ready. In trio, a checkpoint.

    Args, results and errors are those of `ratchet.zmqsocket.select`: sockets of every kind,
    trackers, descriptors and what has one. Cancelled, it has taken nothing.

    Raises:
        StateError: no task of asyncio or trio runs here.
    """
    found: tuple[list[Any], list[Any]] = await _module("select").select(reads, writes, timeout)
    return found


async def proxy(
    frontend: SocketBase, backend: SocketBase, capture: SocketBase | None = None
) -> ProxyStats:
    """Pass on whole messages between two sockets in this task, until one of them is closed.

    Args, results and errors are those of `ratchet.proxy`. Cancelled, it has lost no message.
    """
    stats: ProxyStats = await _module("proxy").proxy(frontend, backend, capture)
    return stats


def _module(name: str) -> Any:
    """Return the module of the loop that runs here, in which to find ``name``."""
    library = library_here()
    if library == "trio":
        from . import trio

        return trio
    if library == "asyncio":
        from . import asyncio

        return asyncio
    raise errors.StateError(
        errno.EPERM,
        f"ratchet.anyio.{name} is called where neither asyncio nor trio runs: call it in a task, "
        f"or use ratchet.asyncio.{name} or ratchet.trio.{name}",
    )
