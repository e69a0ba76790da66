"""What happens on connections, as events: `Monitor`, which a socket's `monitor` returns.

Events come from `_zmq/events.pxi` as libzmq's numbers; here they get names, units and errors. The
module is imported with the first monitor.
"""

from __future__ import annotations

import errno
import math
import os
from typing import TYPE_CHECKING, NamedTuple

from . import errors
from ._closing import Closing
from ._zmq import EventReader, to_deadline, to_timeout, wait_at

if TYPE_CHECKING:
    from typing import Any, Self

    from ._zmq import WatchedSocket

__all__ = ["EVENTS", "LOST", "Monitor", "MonitorEvent", "MonitorReader"]

# libzmq's names without ZMQ_EVENT_, and their numbers (zmq.h).
EVENTS = {
    "CONNECTED": 0x0001,
    "CONNECT_DELAYED": 0x0002,
    "CONNECT_RETRIED": 0x0004,
    "LISTENING": 0x0008,
    "BIND_FAILED": 0x0010,
    "ACCEPTED": 0x0020,
    "ACCEPT_FAILED": 0x0040,
    "CLOSED": 0x0080,
    "CLOSE_FAILED": 0x0100,
    "DISCONNECTED": 0x0200,
    "MONITOR_STOPPED": 0x0400,
    "HANDSHAKE_FAILED_NO_DETAIL": 0x0800,
    "HANDSHAKE_SUCCEEDED": 0x1000,
    "HANDSHAKE_FAILED_PROTOCOL": 0x2000,
    "HANDSHAKE_FAILED_AUTH": 0x4000,
}
ALL = 0xFFFF
NUMBERS = {number: name for name, number in EVENTS.items()}

# Not libzmq's: so many events went before, which nobody had received.
LOST = "LOST"

# What ZMQ_PROTOCOL_ERROR_* mean (zmq.h), by what follows that prefix.
_ZMTP, _MALFORMED, _ZAP = 0x10000000, 0x10000010, 0x20000000
PROTOCOL_ERRORS = {
    _ZMTP: "ZMTP_UNSPECIFIED",
    _ZMTP + 1: "ZMTP_UNEXPECTED_COMMAND",
    _ZMTP + 2: "ZMTP_INVALID_SEQUENCE",
    _ZMTP + 3: "ZMTP_KEY_EXCHANGE",
    _MALFORMED + 1: "ZMTP_MALFORMED_COMMAND_UNSPECIFIED",
    _MALFORMED + 2: "ZMTP_MALFORMED_COMMAND_MESSAGE",
    _MALFORMED + 3: "ZMTP_MALFORMED_COMMAND_HELLO",
    _MALFORMED + 4: "ZMTP_MALFORMED_COMMAND_INITIATE",
    _MALFORMED + 5: "ZMTP_MALFORMED_COMMAND_ERROR",
    _MALFORMED + 6: "ZMTP_MALFORMED_COMMAND_READY",
    _MALFORMED + 7: "ZMTP_MALFORMED_COMMAND_WELCOME",
    _MALFORMED + 8: "ZMTP_INVALID_METADATA",
    0x11000001: "ZMTP_CRYPTOGRAPHIC",
    0x11000002: "ZMTP_MECHANISM_MISMATCH",
    _ZAP: "ZAP_UNSPECIFIED",
    _ZAP + 1: "ZAP_MALFORMED_REPLY",
    _ZAP + 2: "ZAP_BAD_REQUEST_ID",
    _ZAP + 3: "ZAP_BAD_VERSION",
    _ZAP + 4: "ZAP_INVALID_STATUS_CODE",
    _ZAP + 5: "ZAP_INVALID_METADATA",
}

# Events that carry an errno, and what had been tried.
_TRIED = {
    "BIND_FAILED": "cannot bind",
    "ACCEPT_FAILED": "cannot accept a connection",
    "CLOSE_FAILED": "cannot close its file",
    "HANDSHAKE_FAILED_NO_DETAIL": "the handshake failed",
}


class MonitorEvent(NamedTuple):
    """One event of a connection (zmq_socket_monitor(3))."""

    name: str
    """libzmq's, without the prefix, such as ``"CONNECTED"``; or ``"LOST"``."""
    endpoint: str
    """Where: of a connection that was accepted, this socket's own end."""
    value: float
    """As libzmq means it: a descriptor, an errno, a status; of ``CONNECT_RETRIED`` the seconds to
    the next try, of ``LOST`` how many events went unread."""
    error: errors.Error | None
    """What the event tells, if it carries an errno or a status."""


def event_of(number: int, value: int, endpoint: str) -> MonitorEvent:
    """Make an event of what libzmq told; number 0: so many were lost."""
    name = NUMBERS.get(number) or (f"0x{number:04X}" if number else LOST)
    if name == "CONNECT_RETRIED":
        return MonitorEvent(name, endpoint, value / 1000, None)
    return MonitorEvent(name, endpoint, value, error_of(name, value, endpoint))


def error_of(name: str, value: int, endpoint: str) -> errors.Error | None:
    """Return the error that an event tells of, or None."""
    if name == "HANDSHAKE_FAILED_AUTH":
        return errors.Error(errno.EACCES, f"{endpoint}: refused by the server: {value}")
    if name == "HANDSHAKE_FAILED_PROTOCOL":
        why = PROTOCOL_ERRORS.get(value, f"0x{value:08X}")
        return errors.Error(errno.EPROTO, f"{endpoint}: the handshake failed: {why}")
    if name not in _TRIED:
        return None
    if not value:
        return errors.Error(errno.EPROTO, f"{endpoint}: {_TRIED[name]}")
    return errors.Error(value, f"{endpoint}: {_TRIED[name]}: {os.strerror(value)}")


def mask_of(names: tuple[str, ...]) -> int:
    """Return libzmq's mask for events by their names; of none, for all."""
    mask = 0
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"monitor takes names of events (str), not {type(name).__name__}")
        if name not in EVENTS and name != LOST:
            raise errors.argument_error(
                f"there is no event {name!r}; events are {', '.join(EVENTS)}"
            )
        mask |= EVENTS.get(name, 0)
    return mask if names else ALL


class MonitorReader(EventReader, Closing):
    """What monitors of all kinds of sockets have in common."""

    __slots__ = ("_kind",)

    def __init__(self, zsock: WatchedSocket, names: tuple[str, ...]) -> None:
        self._kind = type(zsock)
        zsock._send_events_to(self, mask_of(names))

    def _timed_out(self, timeout: float | None) -> errors.Timeout:
        limit = to_timeout(timeout)
        return errors.Timeout(errno.ETIMEDOUT, f"{self!r}: nothing happened within {limit:g} s")


class Monitor(MonitorReader):
    """The events of one socket's connections, in order: an iterator, which ends with the socket.

    Each monitor of a socket gets every event that it asked for, from when it was made. One that
    nobody reads holds up nothing: it keeps its newest 100,000 events, and ``"LOST"`` comes before
    these and tells how many went. Any number of threads may read one; each event goes to one of
    them.
    """

    __slots__ = ()

    def recv(self, *, timeout: float | None = None) -> MonitorEvent:
        """Receive the next event; pause until there is one.

        Args:
            timeout: seconds; None or negative: for ever; 0: now or never.

        Raises:
            Timeout: nothing happened in time.
            ClosedError: the socket was closed and all that happened before was received, or this
                monitor was closed.
            ForkedError: the socket belongs to the parent process.
        """
        found = wait_at(self, self._take, to_deadline(timeout))
        if found is None:
            raise self._timed_out(timeout)
        return event_of(*found)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MonitorEvent:
        try:
            found: Any = wait_at(self, self._take, math.inf)
        except errors.ClosedError:
            raise StopIteration from None
        return event_of(*found)
