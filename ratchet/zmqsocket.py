"""The socket that programs hold, and `new` and `prepare_uri`, from which they get one."""

from __future__ import annotations

from ._on_demand import on_demand
from ._zmq import BlockingSocket, Frame, Tracker
from .options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from .monitoring import Monitor, MonitorEvent
    from .option_arguments import OptionArguments
    from .peers import Peer
    from .selecting import Selector, select
    from .uri import ZMQRecord, prepare_uri

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

    Every call raises `ClosedError` once the socket is closed, also one that is paused meanwhile,
    and `ForkedError` in a forked child. A call in the wrong direction, such as a send of a PULL,
    raises `Error` with code ENOTSUP.
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


# Imported by those who need them.
__getattr__, __dir__ = on_demand(
    globals(),
    {
        "Monitor": "monitoring",
        "MonitorEvent": "monitoring",
        "Peer": "peers",
        "Selector": "selecting",
        "ZMQRecord": "uri",
        "prepare_uri": "uri",
        "select": "selecting",
    },
)
