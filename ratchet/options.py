"""Every stable socket option of libzmq 4.3: one table of typed properties, also by their names.

Values are Python's: times are seconds, and None stands where libzmq has -1 ("no limit", "as the
system has it"). What libzmq must not get is refused here, before it is asked: it would take some
of it, and then end the process, or never connect to anything without a word. An option acts on the
binds and connects after it, but for linger, the high-water marks and those of REQ, ROUTER and XPUB,
which act at once.
"""

from __future__ import annotations

import difflib
import errno
import math
import operator
import reprlib
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Never, Self, TypedDict, TypeVar, overload

from ._zmq import curve_public, real_number
from .errors import ArgumentError, argument_error

__all__ = ["ALIASES", "KEYWORDS", "NAMES", "TABLE", "Option", "OptionArguments", "Options"]

_MECHANISMS = ("NULL", "PLAIN", "CURVE", "GSSAPI")  # by libzmq's numbers for them
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_BYTES = (bytes, bytearray, memoryview)
_NAMETYPES = ("GSSAPI_PRINCIPAL_NAMETYPE", "GSSAPI_SERVICE_PRINCIPAL_NAMETYPE")
# What `Options._setup_fault` judges at bind and connect: the names up to their first underscore.
_JUDGED = ("PLAIN", "CURVE", "GSSAPI", "SOCKS", "BINDTODEVICE")

Got = TypeVar("Got")  # what reading an option gives
Taken = TypeVar("Taken")  # what may be assigned to it


class Option(Generic[Got, Taken]):
    """One option: a property of sockets and, on the class, its own description.

    Each kind of option is a subclass with two ways: `_encode` from Python's value to libzmq's,
    refusing what is wrong, and `_decode` back.
    """

    takes = ""  # the annotation of what may be assigned, as in OptionArguments
    accepts = ""  # the same in words, with places for the range
    unit = ""
    low, high = 0, 2**31 - 1  # as libzmq counts; of bytes and str, of the length
    via = "int"  # what it is in C: int, int64, uint64 or bytes
    scale = 1  # how many of libzmq's units make one of ours
    step = 1  # libzmq cuts its number down to a multiple of this
    optional = False  # None may be assigned: -1 to libzmq, or no bytes
    write_only = False  # libzmq does not tell it: reads as last set
    secret = False  # never shown in an error
    needs = ""  # what libzmq must be built with
    read_only = False

    def __init__(
        self, name: str, number: int, default: Got, doc: str, only: str = "", **rest: Any
    ) -> None:
        self.name, self.number, self.default = name, number, default
        self.only = tuple(only.split())  # the socket types it means anything to; none: to all
        self.__dict__.update(rest)  # any of the attributes above
        limits = (n / self.scale if self.scale > 1 else n for n in (self.low, self.high))
        legal = self.accepts.format(*limits, unit=self.unit).strip()
        self.legal = legal + (" or None" if self.optional else "")
        if self.optional:
            self.takes += " | None"
        notes = [] if self.read_only else [f"takes {self.legal}", f"default {default!r}"]
        notes += ["reads as last set"] if self.write_only else []
        notes += ["read-only"] if self.read_only else []
        notes += [f"only for {', '.join(self.only)}"] if only else []
        notes += [f"only if libzmq is built with {self.needs}"] if self.needs else []
        kind = f"{self.takes}, in {self.unit}" if self.unit else self.takes
        self.__doc__ = f"{kind}: {doc}\n\nZMQ_{name}, {number}: {'; '.join(notes)}."

    @overload
    def __get__(self, zsock: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, zsock: object, owner: type | None = None) -> Got: ...
    def __get__(self, zsock: Any, owner: type | None = None) -> Self | Got:
        return self if zsock is None else self._read(zsock)

    def __set__(self, zsock: Any, value: Taken) -> None:
        raw = self._encode(value)
        if self.only and zsock.type not in self.only:
            raise argument_error(
                f"{self.name} means nothing to {zsock.type} sockets, only to {', '.join(self.only)}"
            )
        try:
            self._store(zsock, raw)
        except ArgumentError as error:
            if value is None and self._read(zsock) is None:
                return  # some cannot be set to None, but are
            raise self._refused(zsock, f"to set it to {self._show(value)}") from error
        if self.write_only:
            zsock._remembered = {**(zsock._remembered or {}), self.name: self._decode(raw)}
        if self.name.partition("_")[0] in _JUDGED:
            self._note(zsock, bool(raw))

    def _note(self, zsock: Any, on: bool) -> None:
        """Keep in mind for bind and connect that this was set; off, it takes its kind with it."""
        judged: frozenset[str] = getattr(zsock, "_judged", None) or frozenset()
        kind = self.name.partition("_")[0]
        if on:
            judged |= {self.name}
        elif self.name not in {"GSSAPI_PLAINTEXT", *_NAMETYPES}:
            judged = frozenset(name for name in judged if name.partition("_")[0] != kind)
        zsock._judged = judged

    def _encode(self, value: Taken) -> Any:
        raise NotImplementedError

    def _decode(self, raw: Any) -> Got:
        raise NotImplementedError

    def _read(self, zsock: Any) -> Got:
        if self.write_only:
            value: Got = (zsock._remembered or {}).get(self.name, self.default)
            return value
        try:
            return self._decode(self._fetch(zsock))
        except ArgumentError as error:
            raise self._refused(zsock, "to tell it") from error

    def _fetch(self, zsock: Any) -> Any:
        if self.via == "bytes":
            return zsock._get_bytes(self.number, self.high + 1)  # one more: a string's final zero
        return getattr(zsock, f"_get_{self.via}")(self.number)

    def _store(self, zsock: Any, raw: Any) -> None:
        getattr(zsock, f"_set_{self.via}")(self.number, raw)

    def _show(self, value: object) -> str:
        shown = "(not shown)" if self.secret else reprlib.repr(value)
        return "None" if value is None else f"{type(value).__name__} {shown}"

    def _wrong(self, value: object, make: Callable[[str], Exception]) -> Exception:
        return make(f"{self.name} takes {self.legal}, not {self._show(value)}")

    def _refused(self, zsock: Any, act: str) -> ArgumentError:
        why = f"; was it built with {self.needs}?" if self.needs else ""
        return argument_error(f"{self.name}: libzmq refuses {act} on a {zsock.type} socket{why}")

    def _integer(self, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise self._wrong(value, TypeError)
        number = operator.index(value)
        if not low <= number <= high and not (self.optional and number == -1):
            raise self._wrong(value, argument_error)
        return number


class _Int(Option[Got, Got]):
    takes, accepts = "int", "an int from {} to {} {unit}"

    def _encode(self, value: Any) -> int:
        if value is None and self.optional:
            return -1
        return self._integer(value, self.low, self.high)

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else int(raw)


class _OptionalInt(_Int[int | None]):
    optional = True


class _Listener(_OptionalInt):
    """A listener for bind to use. The socket keeps a descriptor of its own to it.

    If what libzmq gets is no listening socket of the endpoint's transport, or is one no longer, it
    ends the process.
    """

    accepts = "the descriptor of a socket that listens already, for tcp or ipc"
    write_only = True  # libzmq is told at `bind` alone, with another number

    def _encode(self, value: Any) -> int:
        descriptor = super()._encode(value)
        try:
            probe = None if descriptor < 0 else socket.socket(fileno=descriptor)
        except OSError:
            raise self._wrong(value, argument_error) from None
        if probe:
            listens = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            listens = listens and probe.type == socket.SOCK_STREAM
            families = (socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None))
            listens = listens and probe.family in families
            probe.detach()  # it stays its owner's
            if not listens:
                raise self._wrong(value, argument_error)
        return descriptor

    def _store(self, zsock: Any, raw: int) -> None:
        zsock._listen_with(raw)


class _Filter(_OptionalInt):
    """An id that may connect: assigning adds one, and None takes all away."""

    write_only = True

    def _store(self, zsock: Any, raw: int) -> None:
        zsock._set_bytes(self.number, b"" if raw < 0 else raw.to_bytes(4, sys.byteorder))


class _Bool(Option[Got, Got]):
    takes, accepts = "bool", "True or False"

    def _encode(self, value: Any) -> int:
        if value is None and self.optional:
            return -1
        return int(value) if isinstance(value, bool) else self._integer(value, 0, 1)

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else bool(raw)


class _Seconds(Option[Got, Got]):
    takes, accepts, unit = "float", "{unit} as a float from {} to {}", "seconds"
    scale = 1000

    def _encode(self, value: Any) -> Any:
        seconds = self._seconds(value)
        if seconds is None:
            return -1
        if not self.low / self.scale <= seconds <= self.high / self.scale:
            raise self._wrong(value, argument_error)
        # Up to the next whole step: a short time must not become 0, which often means "for ever".
        # The rounding first takes off what floats add: 0.07 * 1000 is 70.00000000000001.
        units = math.ceil(round(seconds * self.scale / self.step, 9)) * self.step
        return max(units, self.step) if seconds else 0

    def _seconds(self, value: Any) -> float | None:
        """Give the time as a float, or None for None, a negative and infinity where None may be."""
        if value is None and self.optional:
            return None
        try:
            seconds: float = real_number(value)
        except TypeError:
            raise self._wrong(value, TypeError) from None
        except ValueError:
            raise self._wrong(value, argument_error) from None
        return None if self.optional and (seconds < 0 or seconds == math.inf) else seconds

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else raw / self.scale


class _OptionalSeconds(_Seconds[float | None]):
    optional = True


class _Timeout(_OptionalSeconds):
    """The socket's own timeout: libzmq, in which ratchet never waits, is not told."""

    accepts = "{unit} as a float"

    def _encode(self, value: Any) -> float:
        seconds = self._seconds(value)
        return -1.0 if seconds is None else seconds

    def _decode(self, raw: Any) -> float | None:
        return None if raw < 0 else float(raw)

    def _fetch(self, zsock: Any) -> Any:
        return zsock._recv_timeout if self.name == "RCVTIMEO" else zsock._send_timeout

    def _store(self, zsock: Any, raw: Any) -> None:
        setattr(zsock, "_recv_timeout" if self.name == "RCVTIMEO" else "_send_timeout", raw)


class _Bytes(Option[bytes, bytes]):
    takes, accepts, via = "bytes", "bytes", "bytes"

    def _encode(self, value: Any) -> bytes:
        if not isinstance(value, _BYTES):
            raise self._wrong(value, TypeError)
        return bytes(value)

    def _decode(self, raw: Any) -> bytes:
        return bytes(raw)


class _RoutingId(_Bytes):
    accepts, low, high = "{} to {} bytes of which the first is not zero", 1, 255

    def _encode(self, value: Any) -> bytes:
        raw = super()._encode(value)
        if not self.low <= len(raw) <= self.high or raw[0] == 0:
            raise self._wrong(value, argument_error)
        return raw


class _Text(Option["str | None", "str | None"]):
    takes, optional, via = "str", True, "bytes"
    accepts, low, high = "a str of {} to {} bytes in UTF-8, none of them zero,", 1, 255

    def _encode(self, value: Any) -> bytes:
        if value is None:
            return b""
        if not isinstance(value, str):
            raise self._wrong(value, TypeError)
        raw = value.encode(errors="surrogateescape")
        if not self.low <= len(raw) <= self.high or b"\0" in raw:
            raise self._wrong(value, argument_error)
        return raw

    def _decode(self, raw: Any) -> str | None:
        return raw.partition(b"\0")[0].decode(errors="surrogateescape") or None


class _Credential(_Text):
    """A PLAIN client's; libzmq still tells it when None or another mechanism put it out of use."""

    def _read(self, zsock: Any) -> str | None:
        return super()._read(zsock) if Options.mechanism._read(zsock) == "PLAIN" else None


class _Key(Option["str | None", "str | bytes"]):
    takes, accepts = "str | bytes", "a key as 40 characters of Z85 (str or bytes) or as 32 bytes"
    via, high = "bytes", 40

    def _encode(self, value: Any) -> bytes:
        if not isinstance(value, (str, *_BYTES)):
            raise self._wrong(value, TypeError)
        if not isinstance(value, str) and len(bytes(value)) == 32:
            return bytes(value)
        try:
            return _z85_decode(value if isinstance(value, str) else bytes(value).decode())
        except (ValueError, OverflowError):
            raise self._wrong(value, argument_error) from None

    def _decode(self, raw: Any) -> str | None:
        text: str = raw[:40].decode()
        return None if text == "0" * 40 else text  # 32 zero bytes: was never set


class _Report(Option[Got, Never]):
    """What can only be read, by the socket's own method where ratchet has rules for it."""

    read_only = True

    def __init__(
        self, name: str, number: int, takes: str, ask: Callable[[Any], Got], doc: str
    ) -> None:
        self.ask = ask
        no_default: Any = None
        super().__init__(name, number, no_default, doc, takes=takes)

    def __set__(self, zsock: Any, value: Never) -> None:
        raise AttributeError(f"{self.name} can only be read")

    def _read(self, zsock: Any) -> Got:
        return self.ask(zsock)


class _Prefixes(Option[Any, "bytes | Iterable[bytes]"]):
    """Subscriptions: methods and no property, but options by name and among the keywords."""

    takes, accepts = "bytes | Iterable[bytes]", "a prefix as bytes (of a str, .encode()) or several"

    def _encode(self, value: Any) -> list[bytes]:
        several = isinstance(value, Iterable) and not isinstance(value, (str, *_BYTES))
        prefixes = list(value) if several else [value]
        for prefix in prefixes:
            if not isinstance(prefix, _BYTES):
                raise self._wrong(prefix, TypeError)
        return [bytes(prefix) for prefix in prefixes]

    def __set__(self, zsock: Any, value: bytes | Iterable[bytes]) -> None:
        self._store(zsock, self._encode(value))  # what is refused is ratchet's to explain

    def _store(self, zsock: Any, raw: list[bytes]) -> None:
        for prefix in raw:
            getattr(zsock, self.name.lower())(prefix)

    def _read(self, zsock: Any) -> Never:
        raise argument_error(f"{self.name} of a {zsock.type} socket can only be set")


def _z85_decode(text: str) -> bytes:
    """Give a key's 32 bytes (ZeroMQ's RFC 32); ValueError or OverflowError if it is none."""
    if len(text) != 40:
        raise ValueError(text)
    key = b""
    for start in range(0, 40, 5):
        number = 0
        for character in text[start : start + 5]:
            number = number * 85 + _Z85.index(character)
        key += number.to_bytes(4, "big")
    return key


class Options:
    """The socket options as properties; `help` on one tells its type, unit, range and default."""

    __slots__ = ()

    # Ranges are libzmq's, or narrower where it takes what fails later. With keepalive numbers that
    # Linux refuses, for one, connections never come about and nothing says why.
    # fmt: off

    # Queues and messages
    sndhwm = _Int("SNDHWM", 23, 1000, unit="messages", doc=
        "High-water mark for sending: how many may queue for one peer; 0 for no limit.")
    rcvhwm = _Int("RCVHWM", 24, 1000, unit="messages", doc=
        "High-water mark for receiving: how many may queue from one peer; 0 for no limit.")
    linger = _OptionalSeconds("LINGER", 17, 10.0, doc=
        "How long after close or disconnect unsent messages are kept for their peer; None or any "
        "negative for ever. The default is ratchet's; libzmq's is None, on SUB and XSUB 0.")
    maxmsgsize = _OptionalInt("MAXMSGSIZE", 22, None, high=2**63 - 1, via="int64", unit="bytes",
        doc="The largest part to take: a peer that sends more is disconnected; None for no limit.")
    conflate = _Bool("CONFLATE", 54, False, only="PULL PUSH SUB PUB DEALER", doc=
        "Keep only the last message, of one part, in a queue; high-water marks do not count.")
    immediate = _Bool("IMMEDIATE", 39, False, doc=
        "Queue messages only for connections that are up; while none is, sending pauses.")
    rcvtimeo = _Timeout("RCVTIMEO", 27, None, doc=
        "How long a receiving call may pause; None or any negative for ever.")
    sndtimeo = _Timeout("SNDTIMEO", 28, None, doc=
        "How long a sending call may pause; None or any negative for ever.")

    # What belongs to a socket type
    routing_id = _RoutingId("ROUTING_ID", 5, b"", doc=
        "The name by which a ROUTER peer knows this socket; while b'', the peer makes one up.")
    identity = routing_id
    connect_routing_id = _RoutingId("CONNECT_ROUTING_ID", 61, b"", only="ROUTER STREAM",
        write_only=True, doc=
        "The name for the peer of the next connect alone; no two peers may have the same.")
    router_mandatory = _Bool("ROUTER_MANDATORY", 33, True, only="ROUTER", write_only=True, doc=
        "A message for an unknown peer is an error, one for a full queue pauses; if False, both "
        "are dropped without a word. The default is ratchet's; libzmq's is False.")
    router_handover = _Bool("ROUTER_HANDOVER", 56, False, only="ROUTER", write_only=True, doc=
        "A new peer takes over a routing id in use; if False, it is turned away.")
    router_raw = _Bool("ROUTER_RAW", 41, False, only="ROUTER", write_only=True, doc=
        "Speak plain TCP without ZeroMQ's framing. Deprecated: use a STREAM socket.")
    probe_router = _Bool("PROBE_ROUTER", 51, False, only="ROUTER DEALER REQ", write_only=True, doc=
        "Send an empty message on each new connection, so that a ROUTER peer knows of it.")
    req_correlate = _Bool("REQ_CORRELATE", 52, False, only="REQ", write_only=True, doc=
        "Number the requests, in a part of its own, and drop replies with another number.")
    req_relaxed = _Bool("REQ_RELAXED", 53, False, only="REQ", write_only=True, doc=
        "Allow a new request before the reply to the last one, whose reply is then dropped; "
        "only req_correlate makes that sure.")
    xpub_verbose = _Bool("XPUB_VERBOSE", 40, False, only="XPUB", write_only=True, doc=
        "Receive each subscription, also to a prefix that another peer has subscribed to.")
    xpub_verboser = _Bool("XPUB_VERBOSER", 78, False, only="XPUB", write_only=True, doc=
        "Receive each subscription and each unsubscription, the first and last of a prefix or not.")
    xpub_manual = _Bool("XPUB_MANUAL", 71, False, only="XPUB", write_only=True, doc=
        "A subscription that was received counts only once the program answers with SUBSCRIBE.")
    xpub_nodrop = _Bool("XPUB_NODROP", 69, False, only="XPUB PUB", write_only=True, doc=
        "Sending pauses while a subscriber's queue is full; if False, it misses the message.")
    xpub_welcome_msg = _Bytes("XPUB_WELCOME_MSG", 72, b"", only="XPUB", write_only=True, doc=
        "A message for each new subscriber that has subscribed to it already; b'' for none.")
    invert_matching = _Bool("INVERT_MATCHING", 74, False, only="PUB XPUB SUB", doc=
        "Pass only what matches no subscription; a PUB and all its SUBs must agree on it.")
    stream_notify = _Bool("STREAM_NOTIFY", 73, True, only="STREAM", write_only=True, doc=
        "Receive an empty message when a peer connects and when it disconnects.")

    # Connections
    reconnect_ivl = _OptionalSeconds("RECONNECT_IVL", 18, 0.1, doc=
        "How long to wait before a lost connection is tried again; None for never again.")
    reconnect_ivl_max = _Seconds("RECONNECT_IVL_MAX", 21, 0.0, doc=
        "That wait doubles each time, up to this; if 0 or less than the wait, it stays the same.")
    connect_timeout = _Seconds("CONNECT_TIMEOUT", 79, 0.0, doc=
        "How long one attempt to connect may take; 0 for as long as the system lets it.")
    handshake_ivl = _Seconds("HANDSHAKE_IVL", 66, 30.0, doc=
        "How long peers may take to agree on a new connection before it is closed; 0 for ever.")
    heartbeat_ivl = _Seconds("HEARTBEAT_IVL", 75, 0.0, doc=
        "How often a peer is asked for a sign of life; 0 for never.")
    heartbeat_timeout = _OptionalSeconds("HEARTBEAT_TIMEOUT", 77, None, doc=
        "How long to wait for that sign before disconnecting; None, which cannot be set again, "
        "for as long as heartbeat_ivl.")
    heartbeat_ttl = _Seconds("HEARTBEAT_TTL", 76, 0.0, high=6553500, step=100, doc=
        "How long a peer is asked to wait for this side's, in tenths; 0 for its own way.")
    backlog = _Int("BACKLOG", 19, 100, unit="connections", doc=
        "How many connections may wait to be accepted, as listen(2) has it.")
    affinity = _Int("AFFINITY", 4, 0, high=2**64 - 1, via="uint64", doc=
        "The I/O threads for new connections, as a bit mask, lowest bit first; 0 for any.")
    use_fd = _Listener("USE_FD", 89, None, doc=
        "A listening descriptor, as from systemd, for bind to use; None for a new one. It stays "
        "yours to close; the socket keeps one of its own until it is closed or this is set again.")
    socks_proxy = _Text("SOCKS_PROXY", 68, None, high=1023, doc=
        "The SOCKS5 proxy, host:port, for tcp connections; None for none. connect refuses it for "
        "tcp, since libzmq ends the process when a socket is closed whose proxy has failed.")
    bindtodevice = _Text("BINDTODEVICE", 92, None, high=15, doc=
        "The network interface to keep to; Linux wants CAP_NET_RAW for it. None for any.")

    # TCP, IP and IPC
    ipv6 = _Bool("IPV6", 42, False, doc="Use IPv6 as well as IPv4.")
    ipv4only = _Bool("IPV4ONLY", 31, True, doc="The opposite of ipv6. Deprecated: use that.")
    sndbuf = _OptionalInt("SNDBUF", 11, None, unit="bytes", doc=
        "The kernel's buffer for sending; None for the system's default.")
    rcvbuf = _OptionalInt("RCVBUF", 12, None, unit="bytes", doc=
        "The kernel's buffer for receiving; None for the system's default.")
    tos = _Int("TOS", 57, 0, high=255, doc="The type-of-service byte (DSCP, ECN) of IP packets.")
    tcp_keepalive = _Bool[bool | None]("TCP_KEEPALIVE", 34, None, optional=True, doc=
        "Whether TCP probes idle connections; None for the system's default.")
    tcp_keepalive_cnt = _OptionalInt("TCP_KEEPALIVE_CNT", 35, None, low=1, high=127, unit="probes",
        doc="How many unanswered probes end a connection; None for the system's default.")
    tcp_keepalive_idle = _OptionalSeconds("TCP_KEEPALIVE_IDLE", 36, None, low=1, high=32767,
        scale=1, doc="The idle time before the first probe, rounded up; None for the system's.")
    tcp_keepalive_intvl = _OptionalSeconds("TCP_KEEPALIVE_INTVL", 37, None, low=1, high=32767,
        scale=1, doc="The time from probe to probe, rounded up; None for the system's.")
    tcp_maxrt = _Seconds("TCP_MAXRT", 80, 0.0, doc=
        "How long data may be on its way unconfirmed; 0 for the system's default.")
    tcp_accept_filter = _Text("TCP_ACCEPT_FILTER", 38, None, write_only=True, doc=
        "Adds addresses (10.0.0.0/8) that may connect; None removes all. Deprecated: use ZAP.")
    ipc_filter_pid = _Filter("IPC_FILTER_PID", 58, None, doc=
        "Adds a process that may connect by ipc; None removes all. Deprecated: use ZAP.")
    ipc_filter_uid = _Filter("IPC_FILTER_UID", 59, None, high=2**32 - 1, doc=
        "Adds a user who may connect by ipc; None removes all. Deprecated: use ZAP.")
    ipc_filter_gid = _Filter("IPC_FILTER_GID", 60, None, high=2**32 - 1, doc=
        "Adds a group that may connect by ipc; None removes all. Deprecated: use ZAP.")

    # Multicast and VMCI
    rate = _Int("RATE", 8, 100, low=1, unit="kilobits per second", doc="The most for multicast.")
    recovery_ivl = _Seconds("RECOVERY_IVL", 9, 10.0, doc=
        "How long a multicast receiver may be away and miss nothing; costs memory for all of it.")
    multicast_hops = _Int("MULTICAST_HOPS", 25, 1, low=1, unit="hops", doc=
        "How far multicast packets go: with 1, not beyond the local network.")
    multicast_maxtpdu = _Int("MULTICAST_MAXTPDU", 84, 1500, low=1, unit="bytes", doc=
        "The largest multicast packet: at most the smallest MTU on its way.")
    vmci_buffer_size = _Int("VMCI_BUFFER_SIZE", 85, 65546, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The buffer of a VMCI connection.")
    vmci_buffer_min_size = _Int("VMCI_BUFFER_MIN_SIZE", 86, 128, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The least that peers may agree on for that buffer.")
    vmci_buffer_max_size = _Int("VMCI_BUFFER_MAX_SIZE", 87, 262144, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The most that peers may agree on for that buffer.")
    vmci_connect_timeout = _OptionalSeconds("VMCI_CONNECT_TIMEOUT", 88, None, needs="VMCI", doc=
        "How long connecting by VMCI may take; None for the system's default.")

    # Security
    mechanism = _Report[str]("MECHANISM", 43, "str", lambda z: _MECHANISMS[z._get_int(43)], doc=
        "What the options below have turned on: NULL (nothing), PLAIN, CURVE or GSSAPI.")
    zap_domain = _Text("ZAP_DOMAIN", 55, None, doc=
        "The domain that ZAP is asked about; None, which cannot be set again, for no ZAP.")
    plain_server = _Bool("PLAIN_SERVER", 44, False, doc=
        "Be PLAIN's server; setting False turns all security off.")
    plain_username = _Credential("PLAIN_USERNAME", 45, None, doc=
        "A PLAIN client's name; setting None turns all security off.")
    plain_password = _Credential("PLAIN_PASSWORD", 46, None, secret=True, doc=
        "A PLAIN client's password; setting None turns all security off.")
    curve_server = _Bool("CURVE_SERVER", 47, False, needs="CURVE", doc=
        "Be CURVE's server, which needs curve_secretkey; setting False turns all security off.")
    curve_publickey = _Key("CURVE_PUBLICKEY", 48, None, needs="CURVE", doc=
        "A CURVE client's own public key; reads as Z85, or None while not set.")
    curve_secretkey = _Key("CURVE_SECRETKEY", 49, None, needs="CURVE", secret=True, doc=
        "A CURVE client's or server's own secret key; reads as Z85, or None while not set.")
    curve_serverkey = _Key("CURVE_SERVERKEY", 50, None, needs="CURVE", doc=
        "The public key that a CURVE client expects; reads as Z85, or None while not set.")
    gssapi_server = _Bool("GSSAPI_SERVER", 62, False, needs="GSSAPI", doc="Be GSSAPI's server.")
    gssapi_principal = _Text("GSSAPI_PRINCIPAL", 63, None, needs="GSSAPI", doc=
        "Whose GSSAPI credentials to use; None, which cannot be set again, while not set.")
    gssapi_service_principal = _Text("GSSAPI_SERVICE_PRINCIPAL", 64, None, needs="GSSAPI", doc=
        "The server for a GSSAPI client; None, which cannot be set again, while not set.")
    gssapi_plaintext = _Bool("GSSAPI_PLAINTEXT", 65, False, needs="GSSAPI", doc=
        "Do not encrypt GSSAPI connections.")
    gssapi_principal_nametype = _Int("GSSAPI_PRINCIPAL_NAMETYPE", 90, 0, high=2, needs="GSSAPI",
        doc="What gssapi_principal is: 0 a service on a host, 1 a user, 2 a Kerberos principal.")
    gssapi_service_principal_nametype = _Int("GSSAPI_SERVICE_PRINCIPAL_NAMETYPE", 91, 0, high=2,
        needs="GSSAPI", doc="The same of gssapi_service_principal.")

    # State. TYPE and LAST_ENDPOINT are plain attributes of a socket, and in the table by name.
    fd = _Report[int]("FD", 14, "int", lambda zsock: int(zsock.get_fd()), doc=
        "The descriptor that becomes readable when `events` may have changed, as get_fd() tells.")
    events = _Report[int]("EVENTS", 15, "int", lambda z: z.is_readable() + 2 * z.is_writable(), doc=
        "What can be done without a pause: 1 to receive, 2 to send, 3 both, 0 neither.")
    rcvmore = _Report[bool]("RCVMORE", 13, "bool", lambda zsock: bool(zsock.is_rcvmore()), doc=
        "Whether more parts follow the one received last.")
    thread_safe = _Report[bool]("THREAD_SAFE", 81, "bool", lambda z: bool(z._get_int(81)), doc=
        "Whether libzmq itself lets threads share the socket; ratchet lets them in any case.")
    # fmt: on

    def getsockopt(self, name: str) -> Any:
        """Give an option by name ("SNDHWM", in any case), just as its property reads."""
        return _find(name)._read(self)

    def setsockopt(self, name: str, value: Any) -> None:
        """Set an option by name, to what its property takes; also "SUBSCRIBE", "UNSUBSCRIBE"."""
        option = _find(name)
        if option.read_only:
            raise argument_error(f"{option.name} can only be read")
        option.__set__(self, value)

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Set properties, and subscribe, from keywords; none of them if one is unknown."""
        chosen: dict[str, str] = {}
        for keyword in options:
            if keyword not in KEYWORDS:
                raise TypeError(
                    f"{keyword!r} is no option that can be set{_suggest(keyword, KEYWORDS)}; "
                    "ratchet.options.KEYWORDS has those that can"
                )
            twin = chosen.setdefault(KEYWORDS[keyword].name, keyword)
            if twin != keyword:
                raise TypeError(f"{keyword!r} and {twin!r} are the same option")
        values = {name: options[keyword] for name, keyword in chosen.items()}
        for name in sorted(values, key=lambda name: _turn(name, values[name])):
            TABLE[name].__set__(self, values[name])

    def _setup_fault(self, endpoint: str, binding: bool) -> tuple[str | None, int]:
        """Say why no connection can come about as the options are, and the errno for it."""
        judged: frozenset[str] = self._judged  # type: ignore[attr-defined]  # a socket's
        why = _security_fault(self, judged)
        if why is None and endpoint.startswith("tcp://"):
            if "SOCKS_PROXY" in judged and not binding:
                why = _NO_SOCKS
            elif "BINDTODEVICE" in judged:
                return _device_fault(Options.bindtodevice._read(self))
        return why, errno.EINVAL


TABLE: dict[str, Option[Any, Any]] = {
    option.name: option
    for option in (
        *(entry for entry in vars(Options).values() if isinstance(entry, Option)),
        _Report("TYPE", 16, "str", lambda zsock: zsock.type, "The socket's type."),
        _Report(
            "LAST_ENDPOINT",
            32,
            "str",
            lambda z: z.last_endpoint,
            "The endpoint used last.",
        ),
        _Prefixes("SUBSCRIBE", 6, None, "Receive also what begins with a prefix."),
        _Prefixes("UNSUBSCRIBE", 7, None, "Undo one SUBSCRIBE to a prefix."),
    )
}
NAMES = tuple(sorted(TABLE))
ALIASES = {
    "IDENTITY": "ROUTING_ID",
    "CONNECT_RID": "CONNECT_ROUTING_ID",
    "DELAY_ATTACH_ON_CONNECT": "IMMEDIATE",
    "FAIL_UNROUTABLE": "ROUTER_MANDATORY",
    "ROUTER_BEHAVIOR": "ROUTER_MANDATORY",
}
KEYWORDS = {
    **{name.lower(): option for name, option in TABLE.items() if not option.read_only},
    "identity": TABLE["ROUTING_ID"],
}
del KEYWORDS["unsubscribe"]


# In 4.3.4, 4.3.5 and after them, socks_connecter_t::error() leaves a handle behind that is freed.
_NO_SOCKS = (
    "socks_proxy is set, and libzmq ends the process when a socket is closed while its proxy does "
    "not answer as it should. Let ssh or socat forward a port of this machine through the proxy, "
    "and connect to that; socks_proxy=None turns the option off"
)


def _security_fault(zsock: Any, judged: frozenset[str]) -> str | None:
    """Say why no handshake can succeed, or why there will be none although it was asked for."""
    judged = judged.difference(_NAMETYPES, {"GSSAPI_PLAINTEXT", "SOCKS_PROXY", "BINDTODEVICE"})
    wanted = sorted({name.partition("_")[0] for name in judged})
    names = ", ".join(name.lower() for name in sorted(judged))
    mechanism = Options.mechanism._read(zsock)
    if len(wanted) > 1:
        return f"{names} are set, of {' and '.join(wanted)}; a socket has one security mechanism"
    if wanted and mechanism != wanted[0]:
        return (
            f"{names} asked for {wanted[0]}, but an option set to None or False afterwards has "
            "turned all security off; set them again, or make a new socket"
        )
    if mechanism == "NULL":
        return None
    if zsock.type == "STREAM" or (zsock._remembered or {}).get("ROUTER_RAW"):
        return f"{names} ask for {mechanism}, but this socket speaks plain TCP, without security"
    if mechanism == "PLAIN":
        return _plain_fault(zsock, judged)
    return (_curve_fault if mechanism == "CURVE" else _gssapi_fault)(zsock, judged)


def _plain_fault(zsock: Any, judged: frozenset[str]) -> str | None:
    """A name without a password is legal: the password is empty then (ZeroMQ's RFC 24)."""
    if "PLAIN_SERVER" in judged and not zsock.plain_server:
        return _became_client("plain_server", "plain_username or plain_password")
    if not zsock.plain_server and "PLAIN_USERNAME" not in judged:
        return "half-configured PLAIN: plain_password is set and plain_username is not"
    return None


def _curve_fault(zsock: Any, judged: frozenset[str]) -> str | None:
    serving = zsock.curve_server
    if "CURVE_SERVER" in judged and not serving:
        return _became_client("curve_server", "curve_serverkey")
    if not serving and "CURVE_SERVERKEY" not in judged:
        return (
            "half-configured CURVE: own keys are set, and neither curve_serverkey, which makes a "
            "client, nor curve_server=True, which makes a server"
        )
    role = "curve_server=True needs" if serving else "with curve_serverkey, a client also needs"
    own = ("CURVE_SECRETKEY",) if serving else ("CURVE_PUBLICKEY", "CURVE_SECRETKEY")
    missing = [name.lower() for name in own if name not in judged]
    if missing:
        return f"half-configured CURVE: {role} {' and '.join(missing)}, not set here"
    public = zsock.curve_publickey if "CURVE_PUBLICKEY" in judged else None
    if public is not None and curve_public(zsock.curve_secretkey) != public:
        return "curve_publickey does not belong to curve_secretkey; ratchet.curve_public tells it"
    return None


def _gssapi_fault(zsock: Any, judged: frozenset[str]) -> str | None:
    if zsock.gssapi_server:
        return None
    if "GSSAPI_SERVER" in judged:
        return _became_client("gssapi_server", "gssapi_service_principal")
    if "GSSAPI_SERVICE_PRINCIPAL" not in judged:
        return (
            "half-configured GSSAPI: a client needs gssapi_service_principal, not set here, and a "
            "server gssapi_server=True; setting that to False makes a client"
        )
    return None


def _became_client(server: str, cause: str) -> str:
    return f"{server}=True was undone by {cause}, set after it, which makes a client; set one alone"


def _device_fault(device: str | None) -> tuple[str | None, int]:
    """Try bindtodevice on a socket of our own: libzmq's connect would try for ever."""
    if device is None or not hasattr(socket, "SO_BINDTODEVICE"):
        return None, 0
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    except OSError as error:
        why = f"bindtodevice {device!r}: {error.strerror}"
        if error.errno == errno.ENODEV:
            names = ", ".join(name for _, name in socket.if_nameindex())
            why = (
                f"no network interface is named as bindtodevice says, {device!r}; there are {names}"
            )
        elif error.errno == errno.EPERM:
            why += "; Linux wants CAP_NET_RAW for it"
        return why, error.errno or errno.EINVAL
    return None, 0


def _find(name: str) -> Option[Any, Any]:
    if not isinstance(name, str):
        raise TypeError(f"an option's name is a str such as 'SNDHWM', not {name!r}")
    known = name.upper().removeprefix("ZMQ_")
    option = TABLE.get(ALIASES.get(known, known))
    if option is None:
        hint = _suggest(known, (*TABLE, *ALIASES))
        raise argument_error(f"{name!r} is no socket option{hint}; ratchet.options.NAMES has all")
    return option


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def _turn(name: str, value: object) -> int:
    """Say when to set an option so that none undoes another.

    A client's name or key takes a server's role away, and False for a role turns off what a
    client's name or key has turned on. Subscriptions come when all else is in place.
    """
    if name in {"PLAIN_SERVER", "CURVE_SERVER", "GSSAPI_SERVER"}:
        return 2 if value else 0
    return 3 if name == "SUBSCRIBE" else 1


class OptionArguments(TypedDict, total=False):
    """The keywords that `new` takes for options; a test holds them against the table."""

    subscribe: bytes | Iterable[bytes]
    identity: bytes
    sndhwm: int
    rcvhwm: int
    linger: float | None
    maxmsgsize: int | None
    conflate: bool
    immediate: bool
    rcvtimeo: float | None
    sndtimeo: float | None
    routing_id: bytes
    connect_routing_id: bytes
    router_mandatory: bool
    router_handover: bool
    router_raw: bool
    probe_router: bool
    req_correlate: bool
    req_relaxed: bool
    xpub_verbose: bool
    xpub_verboser: bool
    xpub_manual: bool
    xpub_nodrop: bool
    xpub_welcome_msg: bytes
    invert_matching: bool
    stream_notify: bool
    reconnect_ivl: float | None
    reconnect_ivl_max: float
    connect_timeout: float
    handshake_ivl: float
    heartbeat_ivl: float
    heartbeat_timeout: float | None
    heartbeat_ttl: float
    backlog: int
    affinity: int
    use_fd: int | None
    socks_proxy: str | None
    bindtodevice: str | None
    ipv6: bool
    ipv4only: bool
    sndbuf: int | None
    rcvbuf: int | None
    tos: int
    tcp_keepalive: bool | None
    tcp_keepalive_cnt: int | None
    tcp_keepalive_idle: float | None
    tcp_keepalive_intvl: float | None
    tcp_maxrt: float
    tcp_accept_filter: str | None
    ipc_filter_pid: int | None
    ipc_filter_uid: int | None
    ipc_filter_gid: int | None
    rate: int
    recovery_ivl: float
    multicast_hops: int
    multicast_maxtpdu: int
    vmci_buffer_size: int
    vmci_buffer_min_size: int
    vmci_buffer_max_size: int
    vmci_connect_timeout: float | None
    zap_domain: str | None
    plain_server: bool
    plain_username: str | None
    plain_password: str | None
    curve_server: bool
    curve_publickey: str | bytes
    curve_secretkey: str | bytes
    curve_serverkey: str | bytes
    gssapi_server: bool
    gssapi_principal: str | None
    gssapi_service_principal: str | None
    gssapi_plaintext: bool
    gssapi_principal_nametype: int
    gssapi_service_principal_nametype: int
