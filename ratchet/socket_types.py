"""What each ZeroMQ socket type can do: one row a type. No other code compares types by name."""

from __future__ import annotations

__all__ = ["OLD_NAMES", "TYPES", "SocketType"]


class SocketType:
    """One row."""

    sends: bool = True
    receives: bool = True
    # "Not writable" means "no room"; of the other types it may mean that sending is an error.
    full_is_unwritable: bool = False
    # Reading ZMQ_EVENTS takes the first part of a message from its connection.
    look_takes_part: bool = False
    # Another connect to the same endpoint does nothing (libzmq's socket_base.cpp).
    connects_once: bool = False
    balances: bool = False  # sends in turn to its peers (libzmq's lb.cpp)
    requests: bool = False  # sends, then receives, in turn
    replies: bool = False  # receives, then sends, in turn
    routes: bool = False  # the first part of a message says which peer it is for
    publishes: bool = False  # sends to all peers, and drops what one has no room for
    raw: bool = False  # speaks plain TCP: each message is a peer and bytes for it
    subscribes: str = ""  # how: by an "option", or by a "message"
    tracks: int = -1  # with track_peers, it is of this type to libzmq; -1: of its own

    def __init__(self, name: str, number: int, **rest: object) -> None:
        self.name = name
        self.number = number  # libzmq's (zmq.h)
        self.__dict__.update(rest)  # any of the above

    @property
    def tracked(self) -> int:
        """Libzmq's number of its type if it knows its peers."""
        return self.number if self.tracks < 0 else self.tracks


_ROWS = (
    SocketType("PAIR", 0, full_is_unwritable=True),
    SocketType("PUB", 1, receives=False, publishes=True, connects_once=True, tracks=9),
    SocketType(
        "SUB", 2, sends=False, look_takes_part=True, subscribes="option", connects_once=True
    ),
    SocketType("REQ", 3, requests=True, connects_once=True),
    SocketType("REP", 4, replies=True, look_takes_part=True),
    SocketType("DEALER", 5, full_is_unwritable=True, balances=True, connects_once=True),
    SocketType("ROUTER", 6, look_takes_part=True, routes=True),
    SocketType("PULL", 7, sends=False),
    SocketType("PUSH", 8, receives=False, full_is_unwritable=True, balances=True),
    SocketType("XPUB", 9, publishes=True),
    SocketType("XSUB", 10, look_takes_part=True, subscribes="message"),
    SocketType("STREAM", 11, raw=True),
)

# Draft types of libzmq are no stable API and have no row.
TYPES: dict[str, SocketType] = {row.name: row for row in _ROWS}
# What DEALER and ROUTER were called before libzmq 2.1 (zmq.h still knows them).
OLD_NAMES: dict[str, str] = {"XREQ": "DEALER", "XREP": "ROUTER"}
