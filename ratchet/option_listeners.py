"""The options that say what a socket listens with, and whom the system lets in there."""

from __future__ import annotations

import _socket
import sys

from .errors import argument_error
from .option_kinds import OptionalInt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Filter", "Listener"]


class Listener(OptionalInt):
    """A listening descriptor for bind to use, of which the socket keeps a duplicate.

    libzmq ends the process if the descriptor is not, or no longer, a listener of the transport.
    """

    accepts = "the descriptor of a socket that listens already, for tcp or ipc"
    write_only = True  # libzmq is told at `bind` alone, with another number

    def _encode(self, value: Any) -> int:
        descriptor = super()._encode(value)
        try:  # not with a socket of gevent's, which would change it
            probe = None if descriptor < 0 else _socket.socket(fileno=descriptor)
        except OSError:
            raise self._wrong(value, argument_error) from None
        if probe:
            listens = probe.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
            listens = listens and probe.type == _socket.SOCK_STREAM
            families = (_socket.AF_INET, _socket.AF_INET6, getattr(_socket, "AF_UNIX", None))
            listens = listens and probe.family in families
            probe.detach()  # its owner closes it
            if not listens:
                raise self._wrong(value, argument_error)
        return descriptor

    def _store(self, zsock: Any, raw: int) -> None:
        zsock._listen_with(raw)


class Filter(OptionalInt):
    """The ids that may connect: assigning adds one, and None takes all away."""

    write_only = True

    def _store(self, zsock: Any, raw: int) -> None:
        zsock._set_bytes(self.number, b"" if raw < 0 else raw.to_bytes(4, sys.byteorder))
