"""The options that say who may connect: CURVE keys, clients, users, networks.

Each checks what it is given and hands it to the socket's `Access` (`_access.py`), which is imported
when the first of them is set. None is refused: a program whose setting is missing must not become
one without security.
"""

from __future__ import annotations

import errno
import os
from _collections_abc import Iterable, Mapping

from .errors import StateError, argument_error
from .option_kinds import Got, Key, Option, Seconds, Taken, Text
from .z85 import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # For the types of the bases, which stand in quotes.
    from . import _access  # noqa: F401
    from ._certificates import CurveKeys  # noqa: F401

__all__ = ["AuthTimeout", "Clients", "Curve", "Domain", "Networks", "ServerKey", "Users"]

LONGEST = 255  # bytes of a PLAIN name and a password (ZeroMQ's RFC 24)


class _Rule(Option[Got, Taken]):
    """An option of ratchet's own that is kept in the socket's `Access`."""

    own = True

    def _read(self, zsock: Any) -> Got:
        access = zsock._access
        value: Got = self.default if access is None else access.given.get(self.name, self.default)
        return value

    def __set__(self, zsock: Any, value: Taken) -> None:
        self._store(zsock, self._encode(value))
        zsock._judged = (zsock._judged or frozenset()) | {self.name}

    def _store(self, zsock: Any, raw: Any) -> None:
        access = _access_of(zsock)
        if zsock._used and not self._may_change(access):
            # What is bound already has no rules, or those of another mechanism.
            raise StateError(
                errno.EBUSY,
                f"{zsock._described()}: set {self.name.lower()} before bind and connect, best as "
                "an argument of new()",
            )
        self._keep(zsock, access, raw)

    def _may_change(self, access: Any) -> bool:
        """Return True if it may be set once the socket is bound."""
        return self.name in access.given

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:
        raise NotImplementedError

    def _decode(self, raw: Any) -> Any:
        return raw


def _access_of(zsock: Any) -> Any:
    """Return the rules of a socket, which are made for the first of them."""
    if zsock._access is None:
        from ._access import Access

        zsock._access = Access(zsock)
    return zsock._access


class Curve(_Rule["CurveKeys | None", "CurveKeys"]):
    """A socket's own key pair."""

    takes, accepts = "CurveKeys", "CurveKeys with a secret key, as ratchet.auth generates and loads"
    secret = True

    def _encode(self, value: Any) -> Any:
        from ._certificates import CurveKeys

        if not isinstance(value, CurveKeys):
            raise self._wrong(value, TypeError)
        if value.secret is None:
            raise argument_error(
                "CURVE takes a pair of keys, and these have no secret one: load NAME.key_secret"
            )
        return value

    def _may_change(self, access: Any) -> bool:  # noqa: ARG002 - a listener keeps its keys
        return False

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:
        zsock.curve_publickey = raw.public
        zsock.curve_secretkey = raw.secret
        access.given[self.name] = raw


class ServerKey(_Rule["str | None", "str | bytes | CurveKeys"], Key):
    """The public key of the server that a client expects."""

    takes = "str | bytes | CurveKeys"
    accepts = "a public key as 40 characters of Z85 (str or bytes), as 32 bytes or as CurveKeys"
    secret = True  # it may be one by mistake

    def _encode(self, value: Any) -> bytes:
        from ._certificates import CurveKeys

        return decode(value.public) if isinstance(value, CurveKeys) else super()._encode(value)

    def _may_change(self, access: Any) -> bool:  # noqa: ARG002 - a connection keeps it
        return False

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:
        zsock.curve_serverkey = raw
        access.given[self.name] = encode(raw)


class _Asked(_Rule[Got, Taken]):
    """A list, or a callable of the program's."""

    def _function(self, value: Any) -> Any:
        """Return a callable, which is called in an OS thread."""
        import inspect

        if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
            getattr(value, "__call__", None)  # noqa: B004 - of an object that has one
        ):
            raise TypeError(
                f"{self.name} takes a callable that returns its answer, not a coroutine function: "
                "it is called in an OS thread of its own"
            )
        return value


class Clients(_Asked["_access.Clients | None", "_access.Clients"]):
    """The clients of a CURVE server."""

    takes = "Clients"
    accepts = (
        "a list of public keys (40 characters of Z85) and folders of certificates (a Path), a "
        "callable(key, address), or ratchet.auth.ANY"
    )
    secret = True  # one of them may be a secret key by mistake

    def _encode(self, value: Any) -> Any:
        from ._access import ANY

        if value is ANY:
            return value
        if callable(value):
            return self._function(value)
        if isinstance(value, (str, bytes, os.PathLike, Mapping)) or not isinstance(value, Iterable):
            raise self._wrong(value, TypeError)
        return list(value)

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:
        access.set_clients(raw)
        if not zsock._used:
            zsock.curve_server = True


class Users(_Asked["_access.Users | None", "_access.Users"]):
    """The names and passwords of a PLAIN server's clients."""

    takes = "Users"
    accepts = "a dict of names and passwords, or a callable(name, password, address)"
    secret = True

    def _encode(self, value: Any) -> Any:
        if callable(value):
            return self._function(value)
        if not isinstance(value, Mapping):
            raise self._wrong(value, TypeError)
        for name, password in value.items():
            for what, text in (("name", name), ("password", password)):
                if not isinstance(text, str):
                    raise TypeError(f"USERS takes each {what} as a str, not {type(text).__name__}")
                if not 0 < len(text.encode(errors="replace")) <= LONGEST or "\0" in text:
                    raise argument_error(
                        f"USERS takes each {what} with 1 to {LONGEST} bytes, none of them zero"
                    )
        return dict(value)

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:
        access.set_users(raw)
        if not zsock._used:
            zsock.plain_server = True


class Networks(_Rule["_access.NetworkList | None", "_access.NetworkList"]):
    """Addresses of peers."""

    takes = "NetworkList"
    accepts = "a list of addresses and networks, such as ['10.0.0.0/8', '::1']"

    def _encode(self, value: Any) -> list[Any]:
        several = isinstance(value, Iterable) and not isinstance(value, Mapping)
        if not several or isinstance(value, (str, bytes, bytearray, memoryview)):
            raise self._wrong(value, TypeError)
        return list(value)

    def _may_change(self, access: Any) -> bool:
        return bool(access.guards)

    def _keep(self, zsock: Any, access: Any, raw: Any) -> None:  # noqa: ARG002
        access.set_networks(self.name, raw)


class Domain(Text):
    """What libzmq names to a handler of ZAP. Setting it keeps everybody out while there is none.

    libzmq would let in everybody then, unless it is told otherwise.
    """

    def _store(self, zsock: Any, raw: Any) -> None:
        super()._store(zsock, raw)
        if "ZAP_ENFORCE_DOMAIN" not in (zsock._remembered or {}):
            zsock.zap_enforce_domain = True


class AuthTimeout(Seconds[float]):
    """How long a callable may take."""

    own = True
    low, high = 1, 86_400_000

    def _fetch(self, zsock: Any) -> int:
        access = zsock._access
        return int(self.default * self.scale) if access is None else round(access.timeout * 1000)

    def _store(self, zsock: Any, raw: int) -> None:
        _access_of(zsock).timeout = raw / self.scale
