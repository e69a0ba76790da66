"""The socket users hold, and how they get one: `new` and `prepare_uri`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._zmq import Frame, BlockingSocket, Tracker
from .options import Options
from .selecting import Selector, select
from .uri import ZMQRecord, prepare_uri

if TYPE_CHECKING:
    from typing import Unpack

    from .options import OptionArguments

__all__ = [
    "Frame",
    "Selector",
    "Tracker",
    "ZMQRecord",
    "ZMQSocket",
    "new",
    "prepare_uri",
    "select",
]


class ZMQSocket(BlockingSocket, Options):
    """A ZeroMQ socket whose calls pause the thread that makes them, and no other.

    Made by `new`. Any number of threads may use it at the same time. Its options are properties:
    ``zsock.sndhwm = 1000``. Times are seconds.
    """

    __slots__ = ()

    def __init__(self, type: str = "PAIR", **options: Unpack[OptionArguments]) -> None:
        super().__init__(type, **options)


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """A new socket.

    Args:
        type: PAIR, PUB, SUB, REQ, REP, DEALER, ROUTER, PULL, PUSH, XPUB, XSUB or STREAM; XREQ and
            XREP are old names of DEALER and ROUTER.
        options: any option of `ratchet.options.Options`, such as ``rcvhwm=10``, and for SUB
            ``subscribe=b"prefix"`` or a list of prefixes.

    Raises:
        ValueError: not a socket type, or an option out of its range.
        TypeError: no such option, or a value of the wrong type.
        Error: EMFILE, out of descriptors.
    """
    return ZMQSocket(type, **options)
