"""The devices of pyzmq's backend: what passes whole messages on between two sockets.

A proxy is ratchet's own, in which no message becomes a Python object. One with a capture that must
get every message, and may so hold up the others, is a loop in Python (`_copying.py`), as are
monitored queues. They end as libzmq's do: by the error of a socket that is closed (ENOTSOCK) or
whose context has been ended (ETERM).
"""

from __future__ import annotations

import errno
import math
import struct
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from .. import _pyzmq
from .._zmq import Forwarding, poll_many
from ..errors import ETERM, Error
from ._copying import Copying, plain

if TYPE_CHECKING:
    from .._zmq import ProgramSocket

_POLLIN = 1
_EVENTS = 15
_PUB, _REP, _XPUB = 1, 4, 9


class _Passing(Protocol):
    """What passes messages on, a few at a time."""

    def move(self, paused: bool) -> bool:
        """Pass some on; return False if there is nothing to do now."""

    def wait(self, control: _Control | None) -> None:
        """Pause until there may be, or an order."""

    def counts(self) -> tuple[int, ...]:
        """Return messages and bytes received and sent, of either side."""

    def close(self) -> None:
        """Leave the sockets."""


def proxy(frontend: Any, backend: Any, capture: Any = None) -> int:
    """Move messages both ways, a copy of each to ``capture``, until a socket or context ends."""
    return proxy_steerable(frontend, backend, capture, None)


def device(_device_type: int, frontend: Any, backend: Any) -> int:
    """Do what `proxy` does: its old name, which pyzmq asked for until 26; -1: an echo."""
    return proxy(frontend, frontend if backend == -1 else backend)


def proxy_steerable(frontend: Any, backend: Any, capture: Any = None, control: Any = None) -> int:
    """Do what `proxy` does, and what comes from ``control`` says.

    That is PAUSE, RESUME, TERMINATE, which ends it, or STATISTICS, which is answered by eight
    numbers: messages and bytes received and sent, of either side.
    """
    steered = _Control(control) if hasattr(control, "recv") else None
    passing = _passing(frontend, backend, capture if hasattr(capture, "send_multipart") else None)
    try:
        while True:
            if steered is not None and steered.orders(passing):
                return 0
            if not passing.move(steered is not None and steered.paused):
                passing.wait(steered)
    except Error as error:
        raise _pyzmq.pyzmq_error(error) from error
    finally:
        passing.close()


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
    passing = Copying(in_socket, out_socket, mon_socket, (bytes(in_prefix), bytes(out_prefix)))
    while True:
        if not passing.move(paused=False):
            passing.wait(None)


def _passing(frontend: Any, backend: Any, capture: Any) -> _Passing:
    """Return what passes messages on between two sockets."""
    sockets = [_pyzmq.core_of(one) for one in (frontend, backend, capture) if one is not None]
    if capture is not None and (
        sockets[2].number not in (_PUB, _XPUB) or sockets[2] in sockets[:2]
    ):
        return Copying(frontend, backend, capture)
    return _Core(sockets)


class _Core:
    """A proxy of ratchet's own."""

    def __init__(self, sockets: list[ProgramSocket]) -> None:
        self._contexts = {zsock.context for zsock in sockets}
        self._echoes = sockets[0] is sockets[1]
        self._forwarding = Forwarding(sockets[0], sockets[1], (*sockets, None)[2])
        self._bell = self._forwarding.bell
        self._paused = False
        self._rings = False
        fault = self._forwarding.fault()
        if fault:
            self.close()
            raise _pyzmq.pyzmq_error(Error(errno.ENOTSUP, fault))

    def move(self, paused: bool) -> bool:
        """Pass a burst on each way."""
        for context in self._contexts:
            if context.terminated:
                raise Error(ETERM, "the context of a proxy has been ended")
        if paused != self._paused:
            self._paused = paused
            self._forwarding.order(paused)
        moved = self._forwarding.move()
        if moved:
            self._forwarding.let_others_run()
        return moved

    def wait(self, control: _Control | None) -> None:
        """Pause until there is reason to go on."""
        if control is None:
            self._forwarding.wait()
            return
        if not self._rings:
            self._rings = True
            self._bell.rings()
        until = self._forwarding.prepare()
        if until == 0:
            return
        until = self._bell.look_by(until)
        things: list[Any] = [control.core]
        if self._bell.fileno() >= 0:
            things.append(self._bell.fileno())
        seconds = -1.0 if until == math.inf else max(0.0, until - monotonic())
        poll_many(things, [_POLLIN] * len(things), seconds)
        self._bell.harvest()

    def counts(self) -> tuple[int, ...]:
        """Return its numbers: what one side received, the other one sent."""
        front, front_bytes, back, back_bytes, _ = self._forwarding.counts()
        if self._echoes:  # its one socket is both sides
            back, back_bytes = front, front_bytes
        return (front, front_bytes, back, back_bytes, back, back_bytes, front, front_bytes)

    def close(self) -> None:
        """Hand back what was taken and not passed on."""
        self._forwarding.close()


class _Control:
    """The socket from which a proxy gets its orders."""

    def __init__(self, socket: Any) -> None:
        self.core = _pyzmq.core_of(socket)
        self.socket = plain(socket)
        self.paused = False
        self._answers = self.core.number == _REP  # a REP answers whatever it is asked

    def orders(self, passing: _Passing) -> bool:
        """Obey what has come; return True if the proxy is to end."""
        while self.core.get_int(_EVENTS) & _POLLIN:
            command = self.socket.recv()
            if command == b"STATISTICS":
                numbers = passing.counts()
                self.socket.send_multipart([struct.pack("=Q", number) for number in numbers])
                continue
            if command in (b"PAUSE", b"RESUME"):
                self.paused = command == b"PAUSE"
            if self._answers:
                self.socket.send(b"")
            if command == b"TERMINATE":
                return True
        return False
