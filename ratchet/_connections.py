"""What a socket's connections do, found out from libzmq's events: for `peers.py`.

A connection is known by its descriptor, which `ACCEPTED` and `CONNECTED` tell, and `DISCONNECTED`.
Handshakes are told without one. So of several at once on one endpoint it is known how many have
succeeded, but not which, until only one is left or one ends; the number is right at any time.
"""

from __future__ import annotations

import contextlib
import select
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from ._probe import Probe
from ._zmq import Connections
from .monitoring import error_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Attempts", "Endpoint", "Ledger", "Peer", "port_of", "same_port"]

# Seconds after which a probe is made anew, if libzmq still cannot connect.
PROBE_AGAIN = 5.0

# What is all that libzmq tells of a peer whose type does not go with the socket's.
ENDED = (
    "connected, and the connection ended in the handshake: what listens there has a type that does "
    "not go with this one, or is no ZeroMQ socket"
)


class Peer(NamedTuple):
    """One peer that is connected, with the handshake done."""

    endpoint: str
    """The endpoint that was bound or connected."""
    address: str | None
    """The peer's IP address; None over ipc and inproc, and where it cannot be known."""
    since: float
    """When, as `time.time()`."""


class Endpoint(Connections):
    """The connections that libzmq calls by one endpoint."""

    def peers(self, name: str) -> Iterator[Peer]:
        """Tell who is connected; ``name`` is the endpoint as the program knows it."""
        for address, since in self.there():
            yield Peer(name, address, since)


class Attempts:
    """What has become of connecting to one endpoint.

    Args:
        raw: there is no handshake, though libzmq tells of one that failed when a peer leaves.
    """

    def __init__(self, raw: bool = False) -> None:
        self.raw = raw
        self.in_handshake = False
        self.closed = self.retried = 0
        self.lost = False  # a connection has just ended: the next retry follows no attempt
        self.failure: str | None = None
        self.probe: Probe | None = None

    def told(self, name: str, value: int, endpoint: str) -> None:
        """Take in an event of it."""
        if name == "CONNECTED":
            self.closed = self.retried = 0
            self.in_handshake = not self.raw
            self.forget_probe()
        elif name == "HANDSHAKE_SUCCEEDED":
            self.failure, self.in_handshake = None, False
        elif name == "DISCONNECTED":
            self.lost = True
            if self.in_handshake:
                self.failure, self.in_handshake = f"{endpoint}: {ENDED}", False
        elif name.startswith("HANDSHAKE_FAILED") and not self.raw:
            self.in_handshake = False
            error = error_of(name, value, endpoint)
            self.failure = None if error is None else error.strerror
        elif name in {"CLOSED", "CONNECT_RETRIED"}:
            if name == "CONNECT_RETRIED" and self.lost:
                self.lost = False
                return
            if name == "CLOSED":
                self.closed += 1
            else:
                self.retried += 1
            self._find_out(endpoint)

    def _find_out(self, endpoint: str) -> None:
        """Begin to find out why it fails, if that is not known."""
        if self.probe is None or monotonic() - self.probe.begun > PROBE_AGAIN:
            self.forget_probe()
            self.probe = Probe(endpoint)

    @property
    def tries(self) -> int:
        """How many times connecting has failed in a row."""
        return max(self.closed, self.retried)

    def why(self, endpoint: str) -> str | None:
        """Say why there is no connection; None: nothing is known."""
        tries = self.tries
        if tries:
            reason = (self.probe and self.probe.result()) or "no answer"
            return f"{endpoint}: {reason}, tried {tries} time{'s' if tries > 1 else ''}"
        return self.failure

    def forget_probe(self) -> None:
        """Give up a probe that is under way."""
        if self.probe is not None:
            self.probe.close()
            self.probe = None


class Ledger:
    """Tells whether libzmq has closed a descriptor, though its number may be another file's now.

    An epoll forgets a file that is closed. Nobody ever waits for it. Where there is none, no
    descriptor is ever known to be closed; nor where none is left to make one.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        if hasattr(select, "epoll"):
            with contextlib.suppress(OSError):
                self._epoll = select.epoll()

    def enter(self, fd: int) -> None:
        """Note a descriptor that is open."""
        if self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.register(fd, 0)

    def is_closed(self, fd: int) -> bool:
        """Return True if what had that number is closed."""
        if self._epoll is None:
            return False
        try:
            self._epoll.modify(fd, 0)
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Give the descriptor back."""
        if self._epoll is not None:
            self._epoll.close()


def port_of(endpoint: str) -> str:
    """Return what is after the last colon: a path is all of it, but for ``//``."""
    return endpoint.rpartition(":")[2]


def same_port(identifier: str, endpoint: str) -> bool:
    """Return True if two tcp endpoints may be one: a name or a wildcard stands for addresses."""
    if identifier == endpoint:
        return True
    transport, _, where = endpoint.partition("://")
    one, _, port = where.rpartition(";")[2].rpartition(":")
    if transport != "tcp" or not identifier.startswith("tcp://"):
        return False
    other, _, same = identifier.removeprefix("tcp://").rpartition(":")
    wild = one in {"0.0.0.0", "[::]", "*"}  # noqa: S104 - what libzmq says
    return port == same and (wild or (one != other and not one[:1].isdigit() and one[:1] != "["))
