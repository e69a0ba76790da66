"""URIs of the form ``zmq:TYPE:ENDPOINT``, split into a socket type and an endpoint."""

from __future__ import annotations

import errno
from typing import NamedTuple

from .errors import UriError
from .socket_types import OLD_NAMES, TYPES

__all__ = ["ZMQRecord", "prepare_uri"]


class ZMQRecord(NamedTuple):
    """The socket type and the endpoint of a URI. ``rec["type"]`` works as well as ``rec.type``."""

    type: str
    endpoint: str

    def __getitem__(self, key: object) -> str:  # type: ignore[override]
        """Return a field by its name, or by its position as in any tuple."""
        if isinstance(key, str):
            if key in self._fields:
                return str(getattr(self, key))
            raise KeyError(f"{key!r}: a ZMQRecord has 'type' and 'endpoint'")
        return str(tuple.__getitem__(self, key))  # type: ignore[call-overload]


def prepare_uri(uri: str) -> ZMQRecord:
    """Split a URI such as ``zmq:pull:tcp://*:1337`` into type and endpoint.

    The scheme ``zmq:`` may be left out and the type may be in any case; the endpoint is passed
    on untouched, for `ZMQSocket.bind` and `ZMQSocket.connect` to read as zmq_bind(3) does.

    Raises:
        UriError: (a ValueError) ``uri`` is not of that form.
    """
    if isinstance(uri, str):
        rest = uri[4:] if uri[:4].lower() == "zmq:" else uri
        type_, colon, endpoint = rest.partition(":")
        type_ = type_.upper() if type_.isascii() else ""  # upper() would make an S of U+017F
        transport, slashes, address = endpoint.partition("://")
        if colon and (type_ in TYPES or type_ in OLD_NAMES) and transport and slashes and address:
            return ZMQRecord(type_, endpoint)
    raise UriError(
        errno.EINVAL,
        f"not a ratchet URI: {uri!r}; the form is zmq:TYPE:ENDPOINT or TYPE:ENDPOINT, such as "
        f"'zmq:pull:tcp://*:1337', with TYPE one of {', '.join([*TYPES, *OLD_NAMES])}",
    )
