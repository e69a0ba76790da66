"""The devices of pyzmq's backend: loops that move whole messages between two sockets.

They end as libzmq's do: by the error of a socket that is closed (ENOTSOCK) or whose context has
been ended (ETERM).
"""

from __future__ import annotations

import errno
import struct
from typing import Any

from .._pyzmq import zmq_poll

_POLLIN, _POLLOUT = 1, 2
_NOBLOCK = 1
_EAGAIN = errno.EAGAIN
_PATIENCE = 10  # milliseconds to wait for room before the other side has its turn
_BURST = 100  # messages of one side before the other has its turn
_ROUTER = 6


def proxy(frontend: Any, backend: Any, capture: Any = None) -> int:
    """Move messages both ways, a copy of each to ``capture``, until a socket or context ends."""
    return proxy_steerable(frontend, backend, capture, None)


def device(_device_type: int, frontend: Any, backend: Any) -> int:
    """Do what `proxy` does: its old name, which pyzmq asked for until 26."""
    return proxy(frontend, backend)


def proxy_steerable(frontend: Any, backend: Any, capture: Any = None, control: Any = None) -> int:
    """Do what `proxy` does, and what comes from ``control`` says.

    That is PAUSE, RESUME, TERMINATE, which ends it, or STATISTICS, which is answered by eight
    numbers: messages and bytes received and sent, of either side.
    """
    capture = capture if hasattr(capture, "send_multipart") else None
    control = control if hasattr(control, "recv") else None
    front = _Side(frontend)
    back = front if backend is frontend else _Side(backend)
    paused = False
    while True:
        waits = [] if control is None else [(control, _POLLIN)]
        if not paused:
            waits += [(frontend, _POLLIN)]
            if backend is not frontend:
                waits += [(backend, _POLLIN)]
        ready = dict(zmq_poll(waits))
        if control is not None and control in ready:
            command = control.recv()
            if command == b"TERMINATE":
                return 0
            if command == b"STATISTICS":
                control.send_multipart([*front.counts(), *back.counts()])
                continue
            if command in (b"PAUSE", b"RESUME"):
                paused = command == b"PAUSE"
            if control.type == 4:  # a REP answers whatever it is asked
                control.send(b"")
            continue
        if frontend in ready:
            front.forward(back, capture)
        if backend is not frontend and backend in ready:
            back.forward(front, capture)


class _Side:
    """One socket of a proxy, and what passed through it."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.received = self.received_bytes = self.sent = self.sent_bytes = 0

    def forward(self, other: _Side, capture: Any) -> None:
        """Receive what is there and send it on, as long as the other side takes it."""
        for _ in range(_BURST):
            # A message is taken only when there is room for it. An echo sends back to its peer.
            if other is not self and not zmq_poll([(other.socket, _POLLOUT)], _PATIENCE):
                return
            try:
                parts = self.socket.recv_multipart(_NOBLOCK, copy=False)
            except Exception as error:
                if getattr(error, "errno", None) == _EAGAIN:
                    return
                raise
            size = sum(map(len, parts))
            self.received += 1
            self.received_bytes += size
            if capture is not None:
                capture.send_multipart(parts)
            other.socket.send_multipart(parts)
            other.sent += 1
            other.sent_bytes += size

    def counts(self) -> list[bytes]:
        """Return its four numbers as the answer to STATISTICS has them."""
        numbers = (self.received, self.received_bytes, self.sent, self.sent_bytes)
        return [struct.pack("=Q", number) for number in numbers]


def monitored_queue(
    in_socket: Any,
    out_socket: Any,
    mon_socket: Any,
    in_prefix: bytes = b"in",
    out_prefix: bytes = b"out",
) -> int:
    """Move messages both ways, and each with the prefix of its side to ``mon_socket``.

    Between two ROUTERs the first two parts, which name the peers, change places.
    """
    in_prefix, out_prefix = bytes(in_prefix), bytes(out_prefix)
    swap = in_socket.type == _ROUTER and out_socket.type == _ROUTER
    while True:
        ready = dict(zmq_poll([(in_socket, _POLLIN), (out_socket, _POLLIN)]))
        for source, target, prefix in (
            (in_socket, out_socket, in_prefix),
            (out_socket, in_socket, out_prefix),
        ):
            if source in ready:
                parts = source.recv_multipart(copy=False)
                if swap and len(parts) > 1:
                    parts[:2] = parts[1::-1]
                target.send_multipart(parts)
                mon_socket.send_multipart([prefix, *parts])
