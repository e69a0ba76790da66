"""Devices that are loops in Python: those that wait for a third socket too."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from .. import _pyzmq
from .._pyzmq import zmq_poll

if TYPE_CHECKING:
    from ._devices import _Control

_POLLIN, _POLLOUT = 1, 2
_NOBLOCK = 1
_TYPE, _ROUTER = 16, 6
_PATIENCE = 10  # milliseconds to wait for room before the other side has its turn
_BURST = 100  # messages of one side before the other has its turn


def plain(socket: Any) -> _pyzmq.Socket:
    """Return another object for the same socket, whose calls block whatever the first one's do."""
    return _pyzmq.Socket(shadow=_pyzmq.core_of(socket).address)


class Copying:
    """Both directions of a device."""

    def __init__(
        self,
        frontend: Any,
        backend: Any,
        capture: Any,
        prefixes: tuple[bytes, bytes] | None = None,
    ) -> None:
        """Make it; with ``prefixes`` of the two sides a monitored queue."""
        copies = None if capture is None else plain(capture)
        front = _Side(plain(frontend), copies)
        echo = _pyzmq.core_of(backend) is _pyzmq.core_of(frontend)
        back = front if echo else _Side(plain(backend), copies)
        front.other, back.other = back, front
        self._sides = [front] if back is front else [front, back]
        if prefixes is not None:
            swaps = all(side.socket.get(_TYPE) == _ROUTER for side in self._sides)
            for side, prefix in zip(self._sides, prefixes, strict=False):
                side.prefix, side.swaps = [prefix], swaps

    def move(self, paused: bool) -> bool:
        """Pass a burst on each way; False: nothing was there."""
        moved = False
        for side in () if paused else self._sides:
            moved = side.forward() or moved
        return moved

    def wait(self, control: _Control | None) -> None:
        """Pause until a message comes, or an order."""
        waits: list[Any] = [] if control is None else [control.socket]
        if control is None or not control.paused:
            waits += [side.socket for side in self._sides]
        zmq_poll([(socket, _POLLIN) for socket in waits])

    def counts(self) -> tuple[int, ...]:
        """Return messages and bytes received and sent, of either side."""
        front, back = self._sides[0], self._sides[-1]
        return (*front.counts(), *back.counts())

    def close(self) -> None:
        """Nothing is held."""


class _Side:
    """One socket of a device, and what passed through it."""

    def __init__(self, socket: _pyzmq.Socket, capture: _pyzmq.Socket | None) -> None:
        self.socket, self.capture = socket, capture
        self.other = self
        self.prefix: list[bytes] = []
        self.swaps = False
        self.received = self.received_bytes = self.sent = self.sent_bytes = 0

    def forward(self) -> bool:
        """Receive what is there and send it on, as long as the other side takes it."""
        other = self.other
        for count in range(_BURST):
            # A message is taken only when there is room for it. An echo sends back to its peer.
            if other is not self and not zmq_poll([(other.socket, _POLLOUT)], _PATIENCE):
                return count > 0
            try:
                parts = self.socket.recv_multipart(_NOBLOCK, copy=False)
            except Exception as error:
                if getattr(error, "errno", None) == errno.EAGAIN:
                    return count > 0
                raise
            self._pass_on(parts)
        return True

    def _pass_on(self, parts: list[Any]) -> None:
        size = sum(map(len, parts))
        self.received += 1
        self.received_bytes += size
        # Between two ROUTERs the first two parts name the peers.
        sent = parts[1::-1] + parts[2:] if self.swaps and len(parts) > 1 else parts
        try:
            self.other.socket.send_multipart(sent)
        except BaseException:
            _pyzmq.put_back(self.socket, parts)
            raise
        self.other.sent += 1
        self.other.sent_bytes += size
        if self.capture is not None:
            self.capture.send_multipart([*self.prefix, *sent])

    def counts(self) -> tuple[int, int, int, int]:
        """Return its four numbers in the order of an answer to STATISTICS."""
        return (self.received, self.received_bytes, self.sent, self.sent_bytes)
