"""The types of the keywords that `new` takes for socket options."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._access import Clients, NetworkList, Users
    from ._certificates import CurveKeys


class OptionArguments(TypedDict, total=False):
    """The keywords that `new` takes for options; a test holds them against the table."""

    track_peers: bool
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
    heartbeat: float
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
    curve: CurveKeys
    server: str | bytes | CurveKeys
    clients: Clients
    users: Users
    allow: NetworkList
    deny: NetworkList
    auth_timeout: float
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
    in_batch_size: int
    out_batch_size: int
    reconnect_stop: int
    hello_msg: bytes
    disconnect_msg: bytes
    hiccup_msg: bytes
    router_notify: int
    xpub_manual_last_value: bool
    only_first_subscribe: bool
    xsub_verbose_unsubscribe: bool
    metadata: Mapping[str, str]
    zap_enforce_domain: bool
    socks_username: str | None
    socks_password: str | None
    priority: int
    busy_poll: float
    loopback_fastpath: bool
    multicast_loop: bool
