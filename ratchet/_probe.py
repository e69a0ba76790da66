"""One connect of ratchet's own, to find out why libzmq's fails: its events do not say.

It does not block, and says nothing on the connection. A name is looked up in a thread, as that may
take any time.
"""

from __future__ import annotations

import _socket as socket  # none that is patched: this waits for nothing
import _thread
import contextlib
import errno
import os
from time import monotonic

from ._platform import original

__all__ = ["Probe"]

_UNDER_WAY = {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK}
_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ETIMEDOUT: "no answer",
    errno.ENOENT: "no such socket",
    errno.EACCES: "permission denied",
}


class Probe:
    """An attempt to connect, and what has come of it."""

    def __init__(self, endpoint: str) -> None:
        self.begun = monotonic()
        self._socket: socket.socket | None = None
        self._address: object = None
        self._text: str | None = None
        transport, _, where = endpoint.partition("://")
        if transport == "ipc" and hasattr(socket, "AF_UNIX"):
            path = os.fsencode(where)
            self._connect(socket.AF_UNIX, b"\0" + path[1:] if path[:1] == b"@" else path)
        elif transport == "tcp":
            host, _, port = where.rpartition(";")[2].rpartition(":")
            self._connect_tcp(host.strip("[]"), int(port) if port.isdigit() else 0)

    def _connect_tcp(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except OSError:
            with contextlib.suppress(RuntimeError):  # no thread can be started
                original(_thread, "start_new_thread")(self._look_up, (host, port))
            return
        self._connect(found[0][0], found[0][4])

    def _look_up(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            self._text = "name not found"
            return
        self._connect(found[0][0], found[0][4])

    def _connect(self, family: int, address: object) -> None:
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
        except OSError as error:  # no descriptor is left
            self._text = str(error.strerror)
            return
        self._address = address
        self.result()

    def result(self) -> str | None:
        """Say why it cannot connect; None: not known yet, or it can."""
        if self._socket is not None:
            number = self._socket.connect_ex(self._address)  # type: ignore[arg-type]
            if number not in _UNDER_WAY:
                if number not in {0, errno.EISCONN}:
                    self._text = _TEXTS.get(number) or os.strerror(number).lower()
                self.close()
        return self._text

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
