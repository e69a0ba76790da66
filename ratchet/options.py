"""Every socket option of libzmq 4.3: one table of typed properties, also by their names.

Values are Python's: times are in seconds, and None stands for libzmq's -1 ("no limit", "as the
system has it"). Values that libzmq must not get are refused here: it would take some of them, and
then end the process or, without a word, never connect to anything. An option applies to later binds
and connects; only linger, the high-water marks and the options of REQ, ROUTER and XPUB apply at
once.
"""

from __future__ import annotations

from ._on_demand import on_demand
from .errors import argument_error
from .option_access import AuthTimeout, Clients, Curve, Domain, Networks, ServerKey, Users
from .option_drafts import UNUSED, Hello, LastValue, Metadata, Notify, Socks
from .option_heartbeat import Heartbeat
from .option_kinds import (
    Bool,
    Bytes,
    Credential,
    Int,
    Key,
    Option,
    OptionalInt,
    OptionalSeconds,
    Prefixes,
    Report,
    RoutingId,
    Seconds,
    Text,
    Timeout,
)
from .option_listeners import Filter, Listener
from .option_publishers import Conflate, Manual, Told
from .setup_rules import require_role, setup_fault, turn

TYPE_CHECKING = False  # typing is not imported: see _typing.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .option_arguments import OptionArguments

__all__ = ["ALIASES", "KEYWORDS", "NAMES", "TABLE", "Option", "OptionArguments", "Options"]

_MECHANISMS = ("NULL", "PLAIN", "CURVE", "GSSAPI")  # by libzmq's numbers for them
__getattr__, __dir__ = on_demand(globals(), {"OptionArguments": "option_arguments"})


class Options:
    """The socket options as properties; `help` on one tells its type, unit, range and default."""

    __slots__ = ()

    # Ranges are libzmq's, or narrower where it takes what fails later. With keepalive numbers that
    # Linux refuses, for one, connections never come about and nothing says why.
    # fmt: off

    # Queues and messages
    sndhwm = Int("SNDHWM", 23, 1000, unit="messages", doc=
        "High-water mark for sending: how many may queue for one peer; 0 for no limit. On SUB, "
        "whose subscriptions these are, the default is ratchet's, 1000000.")
    rcvhwm = Int("RCVHWM", 24, 1000, unit="messages", doc=
        "High-water mark for receiving: how many may queue from one peer; 0 for no limit.")
    linger = OptionalSeconds("LINGER", 17, 10.0, doc=
        "How long after close or disconnect unsent messages are kept for their peer; None or a "
        "negative number for ever. The default is ratchet's; libzmq's is None, on SUB and XSUB 0.")
    maxmsgsize = OptionalInt("MAXMSGSIZE", 22, None, high=2**63 - 1, via="int64", unit="bytes",
        doc="The largest part to take: a peer that sends more is disconnected; None for no limit.")
    conflate = Conflate("CONFLATE", 54, False, only="PULL PUSH SUB PUB DEALER", doc=
        "Keep only the last message, of one part, in a queue; high-water marks do not count.")
    immediate = Bool("IMMEDIATE", 39, False, doc=
        "Queue messages only for connections that are up; while none is, sending pauses.")
    rcvtimeo = Timeout("RCVTIMEO", 27, None, doc=
        "How long a receiving call may pause; None or a negative number for ever.")
    sndtimeo = Timeout("SNDTIMEO", 28, None, doc=
        "How long a sending call may pause; None or a negative number for ever.")

    # What belongs to a socket type
    routing_id = RoutingId("ROUTING_ID", 5, b"", doc=
        "The name by which a ROUTER peer knows this socket; while b'', the peer makes one up.")
    identity = routing_id
    connect_routing_id = RoutingId("CONNECT_ROUTING_ID", 61, b"", only="ROUTER STREAM",
        write_only=True, doc=
        "The name of the next connect's peer, used once; no two peers may have the same.")
    router_mandatory = Bool("ROUTER_MANDATORY", 33, True, only="ROUTER", write_only=True, doc=
        "A message for an unknown peer is an error, one for a full queue pauses; if False, both "
        "are dropped without a word. The default is ratchet's; libzmq's is False.")
    router_handover = Bool("ROUTER_HANDOVER", 56, False, only="ROUTER", write_only=True, doc=
        "A new peer takes over a routing id in use; if False, it is turned away.")
    router_raw = Bool("ROUTER_RAW", 41, False, only="ROUTER", write_only=True, doc=
        "Speak plain TCP without ZeroMQ's framing. Deprecated: use a STREAM socket.")
    probe_router = Bool("PROBE_ROUTER", 51, False, only="ROUTER DEALER REQ", write_only=True, doc=
        "Send an empty message on each new connection, so that a ROUTER peer knows of it.")
    req_correlate = Bool("REQ_CORRELATE", 52, False, only="REQ", write_only=True, doc=
        "Number the requests, in a part of its own, and drop replies with another number.")
    req_relaxed = Bool("REQ_RELAXED", 53, False, only="REQ", write_only=True, doc=
        "Allow a new request before the reply to the last one, whose reply is then dropped; "
        "only req_correlate makes that sure.")
    xpub_verbose = Told("XPUB_VERBOSE", 40, False, only="XPUB", write_only=True, doc=
        "Receive each subscription, even to a prefix to which another peer has subscribed.")
    xpub_verboser = Told("XPUB_VERBOSER", 78, False, only="XPUB", write_only=True, doc=
        "Receive every subscription and unsubscription, not only a prefix's first and last.")
    xpub_manual = Manual("XPUB_MANUAL", 71, False, only="XPUB", write_only=True, doc=
        "A subscription that was received counts only once the program answers with SUBSCRIBE.")
    xpub_nodrop = Bool("XPUB_NODROP", 69, False, only="XPUB PUB", write_only=True, doc=
        "Sending pauses while a subscriber's queue is full; if False, that one misses the message.")
    xpub_welcome_msg = Bytes("XPUB_WELCOME_MSG", 72, b"", only="XPUB", write_only=True, doc=
        "A message for each new subscriber that has subscribed to it already; b'' for none.")
    invert_matching = Bool("INVERT_MATCHING", 74, False, only="PUB XPUB SUB", doc=
        "Pass only what matches no subscription; a PUB and all its SUBs must agree on it.")
    stream_notify = Bool("STREAM_NOTIFY", 73, True, only="STREAM", write_only=True, doc=
        "Receive an empty message when a peer connects and when it disconnects.")

    # Connections
    reconnect_ivl = OptionalSeconds("RECONNECT_IVL", 18, 0.1, doc=
        "How long to wait before a lost connection is tried again; None for never again.")
    reconnect_ivl_max = Seconds("RECONNECT_IVL_MAX", 21, 0.0, doc=
        "The longest such wait: it doubles up to this; if this is 0 or less, it stays the same.")
    connect_timeout = Seconds("CONNECT_TIMEOUT", 79, 0.0, doc=
        "How long one attempt to connect may take; 0 for as long as the system lets it.")
    handshake_ivl = Seconds("HANDSHAKE_IVL", 66, 30.0, doc=
        "How long peers may take to agree on a new connection before it is closed; 0 for ever.")
    heartbeat = Heartbeat("HEARTBEAT", 0, 0.0, doc=
        "Drop a peer that gives no sign of life for this long: sets heartbeat_ivl and "
        "heartbeat_timeout to it, and heartbeat_ttl to the double. 0 turns heartbeats off. Reads "
        "as None when the three are set otherwise.")
    heartbeat_ivl = Seconds("HEARTBEAT_IVL", 75, 0.0, doc=
        "How often a peer is asked for a sign of life; 0 for never.")
    heartbeat_timeout = OptionalSeconds("HEARTBEAT_TIMEOUT", 77, None, doc=
        "How long to wait for a sign of life, then disconnect; None, which cannot be set again, "
        "for as long as heartbeat_ivl.")
    heartbeat_ttl = Seconds("HEARTBEAT_TTL", 76, 0.0, high=6553500, step=100, doc=
        "How long the peer is to wait for this side's signs of life, in tenths; 0: it decides.")
    backlog = Int("BACKLOG", 19, 100, unit="connections", doc=
        "How many connections may wait to be accepted, as in listen(2).")
    affinity = Int("AFFINITY", 4, 0, high=2**64 - 1, via="uint64", doc=
        "The I/O threads for new connections, as a bit mask, lowest bit first; 0 for any.")
    use_fd = Listener("USE_FD", 89, None, doc=
        "A listening descriptor, as from systemd, for bind to use; None for a new one. The program "
        "closes it; the socket keeps a duplicate until it is closed or the option is set again.")
    socks_proxy = Text("SOCKS_PROXY", 68, None, high=1023, doc=
        "The SOCKS5 proxy, host:port, for tcp connections; None for none. connect refuses it for "
        "tcp, since libzmq ends the process when a socket is closed whose proxy has failed.")
    bindtodevice = Text("BINDTODEVICE", 92, None, high=15, doc=
        "The only network interface to use, for which Linux wants CAP_NET_RAW; None for any.")

    # TCP, IP and IPC
    ipv6 = Bool("IPV6", 42, False, doc="Use IPv6 as well as IPv4.")
    ipv4only = Bool("IPV4ONLY", 31, True, doc="The opposite of ipv6. Deprecated: use ipv6.")
    sndbuf = OptionalInt("SNDBUF", 11, None, unit="bytes", doc=
        "The system's buffer for sending; None for its default size.")
    rcvbuf = OptionalInt("RCVBUF", 12, None, unit="bytes", doc=
        "The system's buffer for receiving; None for its default size.")
    tos = Int("TOS", 57, 0, high=255, doc="The type-of-service byte (DSCP, ECN) of IP packets.")
    tcp_keepalive = Bool[bool | None]("TCP_KEEPALIVE", 34, None, optional=True, doc=
        "Whether TCP probes idle connections; None for the system's default.")
    tcp_keepalive_cnt = OptionalInt("TCP_KEEPALIVE_CNT", 35, None, low=1, high=127, unit="probes",
        doc="How many unanswered probes end a connection; None for the system's default.")
    tcp_keepalive_idle = OptionalSeconds("TCP_KEEPALIVE_IDLE", 36, None, low=1, high=32767,
        scale=1, doc="The idle time before the first probe, rounded up; None for the system's.")
    tcp_keepalive_intvl = OptionalSeconds("TCP_KEEPALIVE_INTVL", 37, None, low=1, high=32767,
        scale=1, doc="The time from probe to probe, rounded up; None for the system's.")
    tcp_maxrt = Seconds("TCP_MAXRT", 80, 0.0, doc=
        "How long data may be on its way unconfirmed; 0 for the system's default.")
    tcp_accept_filter = Text("TCP_ACCEPT_FILTER", 38, None, write_only=True, doc=
        "Addresses (10.0.0.0/8) that may connect: adds one; None removes all. Deprecated: use ZAP.")
    ipc_filter_pid = Filter("IPC_FILTER_PID", 58, None, doc=
        "Processes that may connect by ipc: adds one; None removes all. Deprecated: use ZAP.")
    ipc_filter_uid = Filter("IPC_FILTER_UID", 59, None, high=2**32 - 1, doc=
        "Users that may connect by ipc: adds one; None removes all. Deprecated: use ZAP.")
    ipc_filter_gid = Filter("IPC_FILTER_GID", 60, None, high=2**32 - 1, doc=
        "Groups that may connect by ipc: adds one; None removes all. Deprecated: use ZAP.")

    # Multicast and VMCI
    rate = Int("RATE", 8, 100, low=1, unit="kilobits per second", doc="The limit for multicast.")
    recovery_ivl = Seconds("RECOVERY_IVL", 9, 10.0, doc=
        "How long a multicast receiver may be away and miss nothing; takes memory for that time.")
    multicast_hops = Int("MULTICAST_HOPS", 25, 1, low=1, unit="hops", doc=
        "How far multicast packets go: with 1, not beyond the local network.")
    multicast_maxtpdu = Int("MULTICAST_MAXTPDU", 84, 1500, low=1, unit="bytes", doc=
        "The largest multicast packet: at most the smallest MTU on its way.")
    vmci_buffer_size = Int("VMCI_BUFFER_SIZE", 85, 65546, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The buffer of a VMCI connection.")
    vmci_buffer_min_size = Int("VMCI_BUFFER_MIN_SIZE", 86, 128, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The smallest such buffer that peers may agree on.")
    vmci_buffer_max_size = Int("VMCI_BUFFER_MAX_SIZE", 87, 262144, high=2**64 - 1, via="uint64",
        unit="bytes", needs="VMCI", doc="The largest such buffer that peers may agree on.")
    vmci_connect_timeout = OptionalSeconds("VMCI_CONNECT_TIMEOUT", 88, None, needs="VMCI", doc=
        "How long connecting by VMCI may take; None for the system's default.")

    # Security
    curve = Curve("CURVE", 0, None, needs="CURVE", doc=
        "This socket's own CURVE key pair. With `server` it makes a client, and with `clients` a "
        "server; one of them is required.")
    server = ServerKey("SERVER", 0, None, needs="CURVE", doc=
        "The public key of the server that a CURVE client expects.")
    clients = Clients("CLIENTS", 0, None, needs="CURVE", doc=
        "Who may connect to a CURVE server: public keys and folders of certificates, which are "
        "read again when they change; or a callable(key, address) that returns a user id, or None "
        "to refuse; or `ratchet.auth.ANY`. May be changed at any time, for the next handshakes.")
    users = Users("USERS", 0, None, doc=
        "Who may connect to a PLAIN server: names and passwords, or a callable(name, password, "
        "address) that returns a user id, or None to refuse. May be changed at any time.")
    allow = Networks("ALLOW", 0, None, doc=
        "The only addresses and networks that may connect to what this socket binds; None for all. "
        "Peers by ipc have no address. May be changed at any time, if it was set before bind.")
    deny = Networks("DENY", 0, None, doc=
        "Addresses and networks that may not connect, even if `allow` has them; None for none. "
        "May be changed at any time, if `allow` or `deny` was set before bind.")
    auth_timeout = AuthTimeout("AUTH_TIMEOUT", 0, 5.0, doc=
        "How long a callable of `clients` or `users` may take, from the handshake on; then the "
        "peer is refused.")
    mechanism = Report[str]("MECHANISM", 43, "str", lambda z: _MECHANISMS[z._get_int(43)], doc=
        "The mechanism that the options below have chosen: NULL (none), PLAIN, CURVE or GSSAPI.")
    zap_domain = Domain("ZAP_DOMAIN", 55, None, doc=
        "The domain that ZAP is asked about; None, which cannot be set again, for no ZAP. Setting "
        "it sets zap_enforce_domain, unless that was set before; libzmq does not.")
    plain_server = Bool("PLAIN_SERVER", 44, False, doc=
        "Be PLAIN's server; setting False turns all security off.")
    plain_username = Credential("PLAIN_USERNAME", 45, None, doc=
        "A PLAIN client's name; setting None turns all security off.")
    plain_password = Credential("PLAIN_PASSWORD", 46, None, secret=True, doc=
        "A PLAIN client's password; setting None turns all security off.")
    curve_server = Bool("CURVE_SERVER", 47, False, needs="CURVE", doc=
        "Be CURVE's server, which needs curve_secretkey; setting False turns all security off.")
    curve_publickey = Key("CURVE_PUBLICKEY", 48, None, needs="CURVE", doc=
        "A CURVE client's own public key; reads as Z85, or None while not set.")
    curve_secretkey = Key("CURVE_SECRETKEY", 49, None, needs="CURVE", secret=True, doc=
        "A CURVE client's or server's own secret key; reads as Z85, or None while not set.")
    curve_serverkey = Key("CURVE_SERVERKEY", 50, None, needs="CURVE", doc=
        "The public key that a CURVE client expects; reads as Z85, or None while not set.")
    gssapi_server = Bool("GSSAPI_SERVER", 62, False, needs="GSSAPI", doc="Be GSSAPI's server.")
    gssapi_principal = Text("GSSAPI_PRINCIPAL", 63, None, needs="GSSAPI", doc=
        "The owner of the GSSAPI credentials to use; None, which cannot be set again, for unset.")
    gssapi_service_principal = Text("GSSAPI_SERVICE_PRINCIPAL", 64, None, needs="GSSAPI", doc=
        "The server for a GSSAPI client; None, which cannot be set again, for unset.")
    gssapi_plaintext = Bool("GSSAPI_PLAINTEXT", 65, False, needs="GSSAPI", doc=
        "Do not encrypt GSSAPI connections.")
    gssapi_principal_nametype = Int("GSSAPI_PRINCIPAL_NAMETYPE", 90, 0, high=2, needs="GSSAPI",
        doc="The kind of gssapi_principal: 0 a host's service, 1 a user, 2 a Kerberos principal.")
    gssapi_service_principal_nametype = Int("GSSAPI_SERVICE_PRINCIPAL_NAMETYPE", 91, 0, high=2,
        needs="GSSAPI", doc="The kind of gssapi_service_principal, by the same numbers.")

    # Drafts: what libzmq has by its version and build (`Option.since`, `Option.in_drafts`).
    in_batch_size = Int("IN_BATCH_SIZE", 101, 65536, low=256, high=2**28, unit="bytes",
        since=(4, 3, 2), in_drafts=True, doc=
        "How much is read from a connection at once. The default is ratchet's; libzmq's is 8192.")
    out_batch_size = Int("OUT_BATCH_SIZE", 102, 65536, low=256, high=2**28, unit="bytes",
        since=(4, 3, 2), in_drafts=True, doc=
        "How much is written to a connection at once. The default is ratchet's; libzmq's is 8192.")
    reconnect_stop = Int("RECONNECT_STOP", 109, 0, high=7, since=(4, 3, 3), doc=
        "When to give a connect up, as a sum: 1 if it is refused, 2 if the handshake fails, 4 "
        "(libzmq 4.3.5) if anything was unbound or disconnected. What is queued for it is lost, "
        "though linger waits for that.")
    hello_msg = Hello("HELLO_MSG", 110, b"", only="ROUTER DEALER", write_only=True,
        since=(4, 3, 3), in_drafts=True, doc=
        "A message for each new peer, before all others, also when it has been away; b'' for none. "
        "A REQ breaks off such a connection. Refused where bind is to inproc.")
    disconnect_msg = Bytes("DISCONNECT_MSG", 111, b"", only="ROUTER", write_only=True,
        since=(4, 3, 5), in_drafts=True, doc=
        "What to receive last of a peer that has left what was bound; b'' for nothing.")
    hiccup_msg = Bytes("HICCUP_MSG", 114, b"", only="DEALER", write_only=True,
        since=(4, 3, 5), in_drafts=True, doc=
        "What to receive when a connection that connect made is lost; b'' for nothing.")
    router_notify = Notify("ROUTER_NOTIFY", 97, 0, high=3, only="ROUTER", write_only=True,
        since=(4, 3, 0), in_drafts=True, doc=
        "Receive an empty message from each peer that comes (1), leaves (2) or both (3). Of a peer "
        "whose queue is full none comes. 2 is refused where a ROUTER connects.")
    xpub_manual_last_value = LastValue("XPUB_MANUAL_LAST_VALUE", 98, False, only="XPUB",
        write_only=True, since=(4, 3, 2), doc=
        "As xpub_manual, and what is sent next after a SUBSCRIBE goes to that subscriber alone.")
    only_first_subscribe = Bool("ONLY_FIRST_SUBSCRIBE", 108, False, only="XPUB XSUB",
        write_only=True, since=(4, 3, 3), doc=
        "Of a message in parts, only the first part can be a subscription.")
    xsub_verbose_unsubscribe = Bool("XSUB_VERBOSE_UNSUBSCRIBE", 115, False, only="XSUB",
        write_only=True, since=(4, 3, 5), in_drafts=True, doc=
        "Pass each unsubscription on, not only the last to its prefix.")
    topics_count = Report[int]("TOPICS_COUNT", 116, "int", lambda zsock: zsock._get_int(116),
        only="PUB XPUB SUB XSUB", since=(4, 3, 5), doc=
        "How many prefixes are subscribed to here.")
    metadata = Metadata("METADATA", 95, {}, since=(4, 3, 0), doc=
        "What peers are told in the handshake, and read with Frame.get: assigning adds to it.")
    zap_enforce_domain = Bool("ZAP_ENFORCE_DOMAIN", 93, False, write_only=True,
        since=(4, 3, 0), doc=
        "Refuse who connects while no handler of ZAP can be asked. Setting zap_domain sets it.")
    socks_username = Socks("SOCKS_USERNAME", 99, None, since=(4, 3, 2), doc=
        "The name for the SOCKS5 proxy; None for none.")
    socks_password = Socks("SOCKS_PASSWORD", 100, None, since=(4, 3, 2), secret=True, doc=
        "The password for the SOCKS5 proxy; None for none.")
    priority = Int("PRIORITY", 112, 0, high=6, since=(4, 3, 4), in_drafts=True, doc=
        "The priority of tcp packets on their way out (SO_PRIORITY). Linux wants CAP_NET_ADMIN for "
        "more than 6, and libzmq ends the process where that is missing.")
    busy_poll = Seconds("BUSY_POLL", 113, 0.0, high=1_000_000, scale=1_000_000, write_only=True,
        since=(4, 3, 5), in_drafts=True, doc=
        "How long Linux looks for packets of a tcp connection itself (SO_BUSY_POLL), for which it "
        "wants CAP_NET_ADMIN; without it there is no effect.")
    loopback_fastpath = Bool("LOOPBACK_FASTPATH", 94, False, since=(4, 3, 0), doc=
        "Use Windows' short way for tcp within a machine, which both ends have to ask for.")
    multicast_loop = Bool("MULTICAST_LOOP", 96, True, since=(4, 3, 0), doc=
        "Have multicast reach this machine as well.")

    # State. TYPE and LAST_ENDPOINT are plain attributes of a socket, and in the table by name.
    fd = Report[int]("FD", 14, "int", lambda zsock: int(zsock.get_fd()), doc=
        "The descriptor that becomes readable when `events` may have changed, as of get_fd().")
    events = Report[int]("EVENTS", 15, "int", lambda z: z.is_readable() + 2 * z.is_writable(), doc=
        "The calls that need no pause: 1 for receiving, 2 for sending, 3 for both, 0 for neither.")
    rcvmore = Report[bool]("RCVMORE", 13, "bool", lambda zsock: bool(zsock.is_rcvmore()), doc=
        "True if more parts follow the one received last.")
    thread_safe = Report[bool]("THREAD_SAFE", 81, "bool", lambda z: bool(z._get_int(81)), doc=
        "True if libzmq itself lets threads share the socket; ratchet always does.")
    # fmt: on

    def getsockopt(self, name: str) -> Any:
        """Return an option's value by its name ("SNDHWM", in any case), as its property reads."""
        return _find(name)._read(self)

    def setsockopt(self, name: str, value: Any) -> None:
        """Set an option by its name, as its property takes it; "SUBSCRIBE", "UNSUBSCRIBE" too."""
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
                    f"{keyword!r} is no option that can be set"
                    f"{_suggest(keyword, (*KEYWORDS, *FIXED))}; "
                    "ratchet.options.KEYWORDS has those that can"
                )
            twin = chosen.setdefault(KEYWORDS[keyword].name, keyword)
            if twin != keyword:
                raise TypeError(f"{keyword!r} and {twin!r} are the same option")
        if "HEARTBEAT" in chosen:
            for part in Heartbeat.parts:
                if part in chosen:
                    raise TypeError(f"'heartbeat' sets {chosen[part]!r} as well: give one of them")
        values = {name: options[keyword] for name, keyword in chosen.items()}
        for name in sorted(values, key=lambda name: turn(name, values[name])):
            TABLE[name].__set__(self, values[name])
        if "CURVE" in chosen:
            require_role(self)

    def _setup_fault(self, endpoint: str, binding: bool) -> tuple[str | None, int]:
        """Say why no connection can succeed as the options are, and the errno for it."""
        return setup_fault(self, endpoint, binding)


TABLE: dict[str, Option[Any, Any]] = {
    option.name: option
    for option in (
        *(entry for entry in vars(Options).values() if isinstance(entry, Option)),
        Report("TYPE", 16, "str", lambda zsock: zsock.type, "The socket's type."),
        Report("LAST_ENDPOINT", 32, "str", lambda z: z.last_endpoint, "The endpoint used last."),
        Prefixes("SUBSCRIBE", 6, None, "Receive messages that begin with a prefix, too."),
        Prefixes("UNSUBSCRIBE", 7, None, "Undo one SUBSCRIBE to a prefix."),
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
# Keywords of `new` that decide on what the socket is, and can be given only there.
FIXED = ("track_peers",)


def _find(name: str) -> Option[Any, Any]:
    if not isinstance(name, str):
        raise TypeError(f"an option's name is a str such as 'SNDHWM', not {name!r}")
    known = name.upper().removeprefix("ZMQ_")
    option = TABLE.get(ALIASES.get(known, known))
    if option is None and known.startswith(tuple(UNUSED)):
        raise argument_error(f"{name!r}: {UNUSED[known.partition('_')[0]]}")
    if option is None:
        hint = _suggest(known, (*TABLE, *ALIASES))
        raise argument_error(f"{name!r} is no socket option{hint}; ratchet.options.NAMES has all")
    return option


def _suggest(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
