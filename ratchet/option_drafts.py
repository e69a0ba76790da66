"""The draft options of libzmq 4.3: kinds of their own, and what is refused at bind and connect.

A libzmq has them by its version and by how it was built, which is asked when one is set. Those with
which libzmq ends the process, or no longer finds a peer, are refused before it gets there
(docs/decisions/044-drafts-and-the-wheels-libzmq.md).
"""

from __future__ import annotations

from _collections_abc import Mapping

from .errors import argument_error
from .option_kinds import Bytes, Int, Option, Text
from .option_publishers import Manual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DRAFT_RULES",
    "UNUSED",
    "Hello",
    "LastValue",
    "Metadata",
    "Notify",
    "Socks",
    "draft_fault",
]

# Those that `draft_fault` judges.
DRAFT_RULES = frozenset({"HELLO_MSG", "ROUTER_NOTIFY"})
# Of transports that ratchet refuses (`_zmq/endpoint_rules.pxi`), by what their names begin with.
UNUSED = {
    "NORM": "ratchet does not use norm: libzmq 4.3 may abort the process",
    "WSS": "ratchet does not use wss: libzmq 4.3 aborts on a certificate that it cannot read",
}
_PEER_LEAVES = 2  # the bit of ROUTER_NOTIFY for peers that leave (ZMQ_NOTIFY_DISCONNECT)
_LONGEST_NAME, _LONGEST_VALUE = 255, 65535  # bytes


class Hello(Bytes):
    """The first message to each new peer."""

    def _store(self, zsock: Any, raw: bytes) -> None:
        super()._store(zsock, raw)
        _judge(self.name, zsock)


class Notify(Int[int]):
    """Which notices a ROUTER receives."""

    def _store(self, zsock: Any, raw: int) -> None:
        super()._store(zsock, raw)
        _judge(self.name, zsock)


class Socks(Text):
    """What a SOCKS proxy asks for; `setup_rules.setup_fault` judges the proxy alone."""

    def _note(self, zsock: Any, on: bool) -> None:
        pass


class LastValue(Manual):
    """Subscriptions by hand, and the next message to the peer that was subscribed last."""

    def _store(self, zsock: Any, raw: int) -> None:
        super()._store(zsock, raw)
        # libzmq has one switch for both.
        zsock._remembered = {**(zsock._remembered or {}), "XPUB_MANUAL": bool(raw)}


class Metadata(Option["Mapping[str, str]", "Mapping[str, str]"]):
    """What a socket tells of itself in the handshake. Assigning adds to what is there."""

    takes, via, write_only = "Mapping[str, str]", "bytes", True
    accepts = (
        "a dict of names of at most 255 bytes, which begin with X- and have no colon in them, and "
        "values of 1 to 65535 bytes, none of them zero"
    )

    def _encode(self, value: Any) -> dict[bytes, bytes]:
        if not isinstance(value, Mapping):
            raise self._wrong(value, TypeError)
        raw = {}
        for name, text in value.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise self._wrong(value, TypeError)
            key, data = name.encode(), text.encode()
            if not (
                key[:2] == b"X-"
                and 2 < len(key) <= _LONGEST_NAME
                and 0 < len(data) <= _LONGEST_VALUE
                and b":" not in key
                and b"\0" not in key + data
            ):
                raise self._wrong(value, argument_error)
            raw[key] = data
        return raw

    def _decode(self, raw: dict[bytes, bytes]) -> Mapping[str, str]:
        return {name.decode(): data.decode() for name, data in raw.items()}

    def __set__(self, zsock: Any, value: Mapping[str, str]) -> None:
        told = (zsock._remembered or {}).get(self.name, {})
        for name, text in self._decode(self._encode(value)).items():
            if told.get(name, text) != text:
                raise argument_error(
                    f"{self.name}: {name} has a value already, and libzmq keeps the first"
                )
        super().__set__(zsock, value)
        zsock._remembered[self.name] = {**told, **zsock._remembered[self.name]}

    def _store(self, zsock: Any, raw: dict[bytes, bytes]) -> None:
        for name, data in raw.items():
            zsock._set_bytes(self.number, name + b":" + data)


def _judge(name: str, zsock: Any) -> None:
    """Have `draft_fault` look at it."""
    zsock._judged = (zsock._judged or frozenset()) | {name}


def draft_fault(zsock: Any, endpoint: str, binding: bool) -> str | None:
    """Say what libzmq does not survive, or does not recover from, as the options are."""
    remembered = zsock._remembered or {}
    inproc = endpoint.startswith("inproc://")
    if binding and inproc and remembered.get("HELLO_MSG"):
        # ctx_t::connect_inproc_sockets, in 4.3.5 too
        return (
            "hello_msg is set, and libzmq ends the process if a socket that has connected there "
            "is closed already; connect to inproc instead, or send the message"
        )
    if not (binding or inproc) and remembered.get("ROUTER_NOTIFY", 0) & _PEER_LEAVES:
        # stream_engine_base_t::error writes where the peer's name is expected
        return (
            "router_notify asks for notices of peers that leave, and of a peer whose handshake "
            "fails once libzmq then forgets the name for good; bind, or ask for router_notify=1"
        )
    return None
