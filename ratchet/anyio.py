"""The same socket for anyio: `ratchet.asyncio`'s or `ratchet.trio`'s, whichever of the two runs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from . import errors
from ._awaited import AwaitedSocket as ZMQSocket
from ._awaited import library_here

if TYPE_CHECKING:
    from typing import Unpack

    from .options import OptionArguments

__all__ = ["ZMQSocket", "new"]


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket for the loop that runs; arguments and errors as of `ratchet.zmqsocket.new`.

    Raises:
        StateError: no task of asyncio or trio runs here, so it cannot be known which to use.
    """
    library = library_here()
    if library == "trio":
        from . import trio

        return trio.new(type, **options)
    if library == "asyncio":
        from . import asyncio

        return asyncio.new(type, **options)
    raise errors.StateError(
        errno.EPERM,
        "ratchet.anyio.new is called where neither asyncio nor trio runs: call it in a task, or "
        "use ratchet.asyncio.new or ratchet.trio.new",
    )
