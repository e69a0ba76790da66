"""Faults of the options that say who may connect: what bind and connect refuse of them."""

from __future__ import annotations

import errno
import warnings

from ._zmq import rule_for_open_sockets
from .errors import Error
from .socket_types import TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["OWN", "access_fault", "check_open", "guard", "zap_fault"]

# The options, as they are judged.
OWN = frozenset({"CURVE", "SERVER", "CLIENTS", "USERS", "ALLOW", "DENY"})
ZAP = "inproc://zeromq.zap.01"
CURVES = frozenset({"CURVE", "SERVER", "CLIENTS"})
MISSING = (
    "curve= without server= makes a server, and clients= is missing: say who may connect, with a "
    "list of public keys and folders of certificates, or a callable, or ratchet.auth.ANY for "
    "everybody"
)
ZAP_DOMAIN, ZAP_ENFORCE_DOMAIN = 55, 93  # libzmq's options; the second is in no stable header


def access_fault(zsock: Any, endpoint: str, binding: bool) -> str | None:
    """Say why a socket with these options must not be bound or connected."""
    access = zsock._access
    given = OWN.intersection(access.given)
    if not given:
        return None
    names = ", ".join(sorted(name.lower() for name in given))
    transport = endpoint.partition("://")[0]
    if transport not in {"tcp", "ipc"}:
        return f"over {transport} there is no handshake in which {names} could be asked for"
    if TYPES[zsock.type].raw or (zsock._remembered or {}).get("ROUTER_RAW"):
        return f"{names} need a handshake, and this socket speaks plain TCP, without one"
    return _role_fault(given) or (_guard_fault(zsock, binding) if access.guards else None)


def _role_fault(given: frozenset[str]) -> str | None:
    """Find what is missing, or too much."""
    if {"CLIENTS", "USERS"} <= given or ("USERS" in given and not given.isdisjoint(CURVES)):
        return "users= is for PLAIN, and curve=, server= and clients= for CURVE; use one of them"
    if {"CLIENTS", "SERVER"} <= given:
        return "clients= makes a server, and server= a client; use one of them"
    if "CURVE" not in given and "SERVER" in given:
        return "half-configured CURVE: server= is set, and curve=, this client's own keys, is not"
    if "CURVE" not in given and "CLIENTS" in given:
        return "half-configured CURVE: clients= is set, and curve=, the server's own keys, is not"
    if "CURVE" in given and given.isdisjoint({"CLIENTS", "SERVER"}):
        return MISSING
    if "SERVER" in given and not given.isdisjoint({"ALLOW", "DENY"}):
        return "allow= and deny= are for servers, and server= makes a client, which asks nobody"
    return None


def _guard_fault(zsock: Any, binding: bool) -> str | None:
    """Find why the handler would not be asked, or not be heeded."""
    access = zsock._access
    if not binding:
        # Where a connection is made anew, libzmq takes a late answer for one that was lost as that
        # for the next: it lets in whom nobody has judged, or ends the process (zap_client.cpp).
        return (
            "a socket with clients, users, allow or deny must be the one that binds: where libzmq "
            "connects, it may take the answer for one handshake as that for the next. Let the "
            "peers connect"
        )
    if zsock.mechanism != access.mechanism:
        return _mechanism_fault(zsock.mechanism, access.mechanism)
    if access.mechanism == "CURVE" and not zsock.curve_server:
        return "clients= makes a server, which curve_serverkey, set after it, has undone"
    if access.mechanism == "PLAIN" and not zsock.plain_server:
        return "users= makes a server, which plain_username or plain_password, set after it, undid"
    if zsock.zap_domain not in {None, access.domain}:
        return (
            "zap_domain is for a handler of your own, and clients, users, allow and deny for "
            "ratchet's; use one of them"
        )
    return None


def _mechanism_fault(found: str, wanted: str) -> str:
    """Say what is wrong when the mechanism is not the one that the rules are for."""
    if found == "NULL":
        return (
            f"{wanted} was asked for, but an option set to None or False afterwards has turned all "
            "security off; make a new socket"
        )
    if wanted != "NULL":
        return f"{wanted} was asked for, and another option has made it {found}; use one of them"
    needs = {"CURVE": "clients=", "PLAIN": "users="}.get(found)
    if needs is None:
        return f"libzmq does not heed what a handler says of {found}"
    return f"allow= and deny= are for servers, and one of {found} needs {needs} as well"


def guard(zsock: Any, endpoint: str) -> None:
    """Have libzmq ask ratchet's handler about every peer, and let in nobody if there is none.

    Raises:
        Error: it cannot be had.
    """
    from . import _zap

    access = zsock._access
    zsock._set_bytes(ZAP_DOMAIN, access.domain.encode())
    zsock._set_int(ZAP_ENFORCE_DOMAIN, 1)
    if zsock.zap_domain != access.domain or zsock._get_int(ZAP_ENFORCE_DOMAIN) != 1:
        raise Error(errno.ENOTSUP, "this libzmq cannot be told to ask a handler in any case")
    access.over_tcp = access.over_tcp or endpoint.startswith("tcp://")
    _zap.protect(access)


def zap_fault(zsock: Any) -> tuple[str | None, int]:
    """Say why a socket must not be bound where libzmq asks about peers, and the errno for it."""
    from . import _zap

    kind = TYPES[zsock.type]
    if not (kind.replies or kind.routes):
        why = (
            "there libzmq asks whether a peer may connect (RFC 27), and ends the process if "
            f"a {zsock.type} socket is bound; a handler is a REP or ROUTER socket"
        )
        return why, errno.EINVAL
    return _zap.handler_fault(zsock), errno.EADDRINUSE


def check_open(zsock: Any, endpoint: str) -> None:
    """Do what `ratchet.configure` says of a bind that lets in strangers.

    Raises:
        Error: EACCES: it is refused.
    """
    rule = rule_for_open_sockets()
    if rule == "allow" or not is_open(zsock, endpoint):
        return
    what = (
        f"{zsock._described()}: bind to {endpoint!r} lets in everybody who reaches this machine: "
        "nothing protects it"
    )
    if rule == "refuse":
        raise Error(
            errno.EACCES,
            f"{what}, and configure(open_sockets='refuse') is set; use curve= and clients=, users= "
            "or allow=, or bind to 127.0.0.1 or ipc",
        )
    warnings.warn(f"{what}; use curve= and clients=", RuntimeWarning, stacklevel=4)


def is_open(zsock: Any, endpoint: str) -> bool:
    """Return True if a bind would let in strangers from other machines."""
    place = zsock._listener_at() or endpoint
    transport, _, address = place.partition("://")
    if transport not in {"tcp", "ws"} or is_loopback(address):
        return False
    if TYPES[zsock.type].raw or (zsock._remembered or {}).get("ROUTER_RAW"):
        return True
    access = zsock._access
    if access is not None and access.guards:
        return False
    filtered = (zsock._remembered or {}).get("TCP_ACCEPT_FILTER") is not None
    return zsock.mechanism == "NULL" and zsock.zap_domain is None and not filtered


def is_loopback(address: str) -> bool:
    """Return True if only this machine reaches what listens on this host and port."""
    host = address.partition("/")[0].rpartition(":")[0].strip("[]")
    if host in {"localhost", "lo", "lo0"}:
        return True
    import ipaddress

    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
