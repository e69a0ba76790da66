"""Options together: with which no bind or connect can succeed, and in which order they are set.

The former are refused, before libzmq tries for ever.
"""

from __future__ import annotations

import _socket
import errno

from ._zmq import curve_public
from .access_rules import MISSING, OWN, ZAP, access_fault, check_open, guard, zap_fault
from .errors import argument_error
from .option_drafts import DRAFT_RULES, draft_fault
from .option_kinds import NAMETYPES
from .socket_types import TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# In 4.3.4, 4.3.5 and after them, socks_connecter_t::error() leaves a handle behind that is freed.
_NO_SOCKS = (
    "socks_proxy is set, and libzmq ends the process when a socket is closed while its proxy does "
    "not answer as it should. Let ssh or socat forward a port of this machine through the proxy, "
    "and connect to that; socks_proxy=None turns the option off"
)


def setup_fault(zsock: Any, endpoint: str, binding: bool) -> tuple[str | None, int]:
    """Say why no connection can succeed as the options are, and the errno for it.

    If one can, see that a socket with rules is asked about: nothing is bound before that.
    """
    judged: frozenset[str] = zsock._judged or frozenset()
    why = None if zsock._access is None else access_fault(zsock, endpoint, binding)
    why = why or draft_fault(zsock, endpoint, binding) or _security_fault(zsock, judged, binding)
    if why is None and endpoint.startswith("tcp://"):
        if "SOCKS_PROXY" in judged and not binding:
            why = _NO_SOCKS
        elif "BINDTODEVICE" in judged:
            fault = _device_fault(zsock.bindtodevice)
            if fault[0] is not None:
                return fault
    if why is None and binding:
        if endpoint == ZAP and (fault := zap_fault(zsock))[0] is not None:
            return fault
        check_open(zsock, endpoint)
        if zsock._access is not None and zsock._access.guards:
            guard(zsock, endpoint)
    return why, errno.EINVAL


def require_role(zsock: Any) -> None:
    """Refuse own keys without what makes a client or a server of them."""
    if zsock.server is None and zsock.clients is None:
        raise argument_error(MISSING)


def _security_fault(zsock: Any, judged: frozenset[str], binding: bool) -> str | None:
    """Say why no handshake can succeed, or why there will be none although options ask for one."""
    judged = judged.difference(
        NAMETYPES, OWN, DRAFT_RULES, {"GSSAPI_PLAINTEXT", "SOCKS_PROXY", "BINDTODEVICE"}
    )
    wanted = sorted({name.partition("_")[0] for name in judged})
    names = ", ".join(name.lower() for name in sorted(judged))
    mechanism = zsock.mechanism
    if len(wanted) > 1:
        return f"{names} are set, of {' and '.join(wanted)}; a socket has one security mechanism"
    if wanted and mechanism != wanted[0]:
        return (
            f"{names} asked for {wanted[0]}, but an option set to None or False afterwards has "
            "turned all security off; set them again, or make a new socket"
        )
    if mechanism == "NULL":
        return None
    if TYPES[zsock.type].raw or (zsock._remembered or {}).get("ROUTER_RAW"):
        return f"{names} ask for {mechanism}, but this socket speaks plain TCP, without security"
    if mechanism == "PLAIN":
        return _plain_fault(zsock, judged, binding)
    return (_curve_fault if mechanism == "CURVE" else _gssapi_fault)(zsock, judged)


def _plain_fault(zsock: Any, judged: frozenset[str], binding: bool) -> str | None:
    """Judge PLAIN. A name without a password is legal: the password is empty (ZeroMQ's RFC 24)."""
    if "PLAIN_SERVER" in judged and not zsock.plain_server:
        return _became_client("plain_server", "plain_username or plain_password")
    if not zsock.plain_server and "PLAIN_USERNAME" not in judged:
        return "half-configured PLAIN: plain_password is set and plain_username is not"
    enforced = (zsock._remembered or {}).get("ZAP_ENFORCE_DOMAIN")
    asked = zsock.zap_domain is not None or (binding and zsock._access and zsock._access.guards)
    if zsock.plain_server and enforced and not asked:
        # plain_server_t's constructor asserts it, when a peer comes.
        return (
            "zap_enforce_domain is set, and libzmq ends the process when a peer connects to a "
            "PLAIN server without zap_domain; set users= or zap_domain"
        )
    return None


def _curve_fault(zsock: Any, judged: frozenset[str]) -> str | None:
    """Judge CURVE."""
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
    """Judge GSSAPI."""
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
    """Try bindtodevice on a socket of our own, since libzmq's connect would try for ever."""
    if device is None or not hasattr(_socket, "SO_BINDTODEVICE"):
        return None, 0
    try:
        probe = _socket.socket()
        try:
            probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, device.encode())
        finally:
            probe.close()
    except OSError as error:
        why = f"bindtodevice {device!r}: {error.strerror}"
        if error.errno == errno.ENODEV:
            names = ", ".join(name for _, name in _socket.if_nameindex())
            why = (
                f"no network interface is named as bindtodevice says, {device!r}; there are {names}"
            )
        elif error.errno == errno.EPERM:
            why += "; Linux wants CAP_NET_RAW for it"
        return why, error.errno or errno.EINVAL
    return None, 0


def turn(name: str, value: object) -> int:
    """Return when to set an option so that none undoes another.

    A client's name or key takes a server's role away, and False for a role turns off what a
    client's name or key has turned on. Subscriptions come when all else is in place.
    """
    if name in {"PLAIN_SERVER", "CURVE_SERVER", "GSSAPI_SERVER"}:
        return 2 if value else 0
    if name in {"CLIENTS", "USERS"}:
        return 2
    return 3 if name == "SUBSCRIBE" else 1
