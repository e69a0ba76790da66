"""The socket that programs hold, and `new` and `prepare_uri`, from which they get one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._zmq import BlockingSocket, Frame, Tracker
from .options import Options
from .selecting import Selector, select
from .uri import ZMQRecord, prepare_uri

if TYPE_CHECKING:
    from typing import Any, Unpack

    from .monitoring import Monitor, MonitorEvent
    from .options import OptionArguments
    from .peers import Peer

__all__ = [
    "Frame",
    "Monitor",
    "MonitorEvent",
    "Peer",
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

    `new` makes one. Any number of threads may use it at the same time. Its options are properties:
    ``zsock.sndhwm = 1000``. Times are in seconds.
    """

    __slots__ = ()

    def __init__(self, type: str = "PAIR", **options: Unpack[OptionArguments]) -> None:
        super().__init__(type, **options)


def new(type: str = "PAIR", **options: Unpack[OptionArguments]) -> ZMQSocket:
    """Make a new socket.

    Args:
        type: PAIR, PUB, SUB, REQ, REP, DEALER, ROUTER, PULL, PUSH, XPUB, XSUB or STREAM; XREQ and
            XREP are old names of DEALER and ROUTER.
        options: any option of `ratchet.options.Options`, such as ``rcvhwm=10``, and for SUB
            ``subscribe=b"prefix"`` or a list of prefixes. ``track_peers=True`` has it know who is
            connected, and a PUB or XPUB what is subscribed.

    Raises:
        ValueError: ``type`` is no socket type, or the value of an option is out of its range.
        TypeError: there is no such option, or its value has the wrong type.
        Error: EMFILE: no descriptor is left.
    """
    return ZMQSocket(type, **options)


def __getattr__(name: str) -> Any:
    # Imported by those who need them.
    if name in {"Monitor", "MonitorEvent"}:
        from . import monitoring

        return getattr(monitoring, name)
    if name == "Peer":
        from . import peers

        return peers.Peer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
