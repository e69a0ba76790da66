"""What becomes of the handshakes of a socket that connects: one that is refused is the end of it.

libzmq connects anew after other failures, but not to a server that has refused it; it drops what is
queued for that connection, and says nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .ends import Failure

if TYPE_CHECKING:
    from ..zmqsocket import ZMQSocket

__all__ = ["Handshakes"]


class Handshakes(threading.Thread):
    """Watches a socket from before it connects, and closes it if it is refused."""

    def __init__(self, zsock: ZMQSocket) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()  # one has succeeded, or never will
        self._zsock = zsock
        self._refusal: Exception | None = None
        self._monitor = zsock.monitor("HANDSHAKE_SUCCEEDED", "HANDSHAKE_FAILED_AUTH")
        self.start()

    def run(self) -> None:
        """Watch, until the socket is closed."""
        for event in self._monitor:
            if event.error:
                self._refusal = event.error
                self._zsock.close(0)
            self.done.set()

    def check(self) -> None:
        """Raise `Failure` if the socket was refused."""
        if self._refusal:
            raise Failure(str(self._refusal))
