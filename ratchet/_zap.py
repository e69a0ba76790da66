"""Ratchet's handler of ZAP (ZeroMQ's RFC 27): one for the process, in an OS thread of its own.

libzmq sends it a request for each handshake of a socket with rules, and waits for the answer: it
keeps the peer out until then, and for good if none comes. So whatever goes wrong here keeps out.
The handler is there from the first bind of a socket with rules until the last such socket is
closed.

Callables of the program run in threads of their own (`_zap_workers.py`): one that blocks holds up
nobody else. A request is answered once: libzmq ends the process at a second answer.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import heapq
import itertools
import os
import time
import traceback
from typing import TYPE_CHECKING, Any

from . import z85
from ._access import FAILED, IN, LATER, REFUSED, Access, Answer, Question, log
from ._platform import original
from ._real_threads import RealThread, start_thread
from ._zap_workers import Workers
from ._zmq import process_generation
from .errors import ClosedError, Error, ForkedError, StateError, Timeout
from .zmqsocket import ZMQSocket

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["ENDPOINT", "Handler", "handler_fault", "protect", "release"]

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
NAP = 0.02  # seconds, after an error that may come at once again, as for want of descriptors
DOMAINS = "ratchet-"  # what the domains of ratchet's own rules begin with


class HandlerSocket(ZMQSocket):
    """The socket of ratchet's own handler."""

    __slots__ = ()


class Request:
    """One handshake."""

    __slots__ = ("access", "credentials", "deadline", "envelope", "mechanism", "number", "peer")
    numbers = itertools.count(1)

    def __init__(self, frames: list[bytes]) -> None:
        name, delimiter, version, number, domain, peer, _routing_id, mechanism = frames[:8]
        if delimiter or version != VERSION:
            raise ValueError("no request")
        self.number = next(self.numbers)
        self.envelope = [name, b"", VERSION, number]
        self.peer = peer.decode()
        self.mechanism = mechanism.decode()
        self.credentials = frames[8:]
        self.access: Access | str = domain.decode(errors="replace")
        self.deadline = 0.0

    def __repr__(self) -> str:
        """Say who it is, without a secret."""
        who = ""
        if self.credentials and self.mechanism == "CURVE" and len(self.credentials[0]) == 32:
            who = f" {z85.encode(self.credentials[0])}"
        elif self.credentials and self.mechanism == "PLAIN":
            who = f" {self.credentials[0].decode(errors='replace')!r}"
        return f"{self.mechanism} client{who} from {self.peer or 'an unknown address'!r}"


class Handler:
    """The handler, while there are sockets with rules."""

    def __init__(self) -> None:
        self.zsock = HandlerSocket("ROUTER", router_mandatory=False, linger=0.0, sndhwm=0, rcvhwm=0)
        try:
            self.zsock.bind(ENDPOINT)
        except BaseException:
            self.zsock.close()
            raise
        self.open: dict[int, Request] = {}  # those whose callable has not answered yet
        self._deadlines: list[tuple[float, int]] = []
        self.thread: threading.Thread | RealThread | None = None
        self.born = process_generation()

    def start(self) -> None:
        """Start the thread, if it does not run."""
        if self.thread is None or not self.thread.is_alive():
            self.thread = start_thread(self.run, "ratchet-zap")

    def run(self) -> None:
        """Serve until the socket is closed, whatever happens: the body of the thread."""
        try:
            while not self.zsock.closed:
                self.serve_on()
        finally:
            # Something has raised an exception in this thread where nothing catches it.
            if not self.zsock.closed and self.born == process_generation():
                self.thread = start_thread(self.run, "ratchet-zap")

    def serve_on(self) -> None:
        """Serve until the socket is closed, or something fails."""
        try:
            while True:
                self.serve()
        except (ClosedError, ForkedError):
            return
        except BaseException as error:  # noqa: BLE001 - the others must be served
            log_quietly(log.error, "the handler goes on after %s", where(error))
        original(time, "sleep")(NAP)

    def serve(self) -> None:
        """Answer one request, or those whose time is up."""
        try:
            frames = self.zsock.recv_multipart(timeout=self._patience())
        except Timeout:
            return
        try:
            request = Request(frames)
        except ValueError:  # libzmq sends no such thing, but anybody in this process may
            if len(frames) >= 4 and not frames[1]:
                self._reply([*frames[:2], VERSION, frames[3]], Answer(REFUSED, ""))
            return
        try:
            answer = self._judge(request)
        except BaseException as error:  # noqa: BLE001 - whatever fails refuses
            answer = Answer(FAILED, f"ratchet's handler failed: {where(error)}")
        if answer is not None:
            self._tell(request, answer)

    def _judge(self, request: Request) -> Answer | None:
        """Return the answer; None: a callable has to be asked."""
        access = _guarded.get(str(request.access))
        if access is None:
            return foreign(request)
        request.access = access
        found = access.judge(request.mechanism, request.peer, request.credentials)
        if isinstance(found, Answer):
            return found
        request.deadline = time.monotonic() + access.timeout
        heapq.heappush(self._deadlines, (request.deadline, request.number))
        self.open[request.number] = request
        if not _workers.ask(
            access.domain, lambda: self._ask(request, found), self._is_open(request)
        ):
            return Answer(LATER, "too many wait for its callable") if self._take(request) else None
        return None

    def _is_open(self, request: Request) -> Callable[[], bool]:
        return lambda: request.number in self.open

    def _take(self, request: Request) -> bool:
        """Return True for the one who may answer a request."""
        return self.open.pop(request.number, None) is not None

    def _ask(self, request: Request, question: Question) -> None:
        """Ask a callable of the program: in a thread of the workers."""
        try:
            found = question.function(*question.arguments)
            answer = Access.verdict(question, found)
        except BaseException as error:  # noqa: BLE001 - whatever fails refuses
            answer = Answer(FAILED, f"its callable raised {where(error)}")
        try:
            if self._take(request):
                self._tell(request, answer)
        except BaseException as error:  # noqa: BLE001 - libzmq keeps out whom nobody lets in
            log_quietly(log.error, "an answer is lost: %s", where(error))

    def _patience(self) -> float | None:
        """Refuse those whose time is up; return the seconds to the next deadline, or None."""
        while self._deadlines:
            deadline, number = self._deadlines[0]
            request = self.open.get(number)
            left = deadline - time.monotonic()
            if request is not None and left > 0:
                return left
            heapq.heappop(self._deadlines)
            if request is not None and self._take(request):
                self._tell(request, Answer(LATER, "its callable took longer than auth_timeout"))
        return None

    def _tell(self, request: Request, answer: Answer) -> None:
        """Answer a request, and log it."""
        try:
            self._reply(request.envelope, answer)
        except (ClosedError, ForkedError):
            return  # libzmq keeps out whom nobody has let in
        access = request.access
        place = access if isinstance(access, str) else access.describe()
        if answer.status == IN:
            log_quietly(log.debug, "%s: let in %r", place, request)
        else:
            log_quietly(log.warning, "%s: refused %r: %s", place, request, answer.why)

    def _reply(self, envelope: list[bytes], answer: Answer) -> None:
        user = answer.user.encode()
        self.zsock.send_multipart([*envelope, answer.status, b"", user, b""], timeout=0)


def foreign(request: Request) -> Answer:
    """Answer for a socket without rules of ratchet's.

    A CURVE server without a domain asks a handler only if there is one, and else lets in everybody.
    Ratchet's must not change what other sockets do.
    """
    if request.access == "" and request.mechanism == "CURVE" and len(request.credentials) == 1:
        return Answer(IN, "", z85.encode(request.credentials[0]))
    if str(request.access).startswith(DOMAINS):
        return Answer(LATER, "its socket is being closed")
    return Answer(REFUSED, "ratchet's handler serves only sockets with rules of ratchet's")


def where(error: BaseException) -> str:
    """Return the kind of an exception and where it was raised; what it says may be a secret."""
    found = traceback.extract_tb(error.__traceback__)
    at = f" in {found[-1].filename}, line {found[-1].lineno}" if found else ""
    return f"{type(error).__qualname__}{at}"


def log_quietly(write: Callable[..., Any], text: str, *arguments: object) -> None:
    """Log, and go on if the program's own logging fails."""
    with contextlib.suppress(BaseException):
        write(text, *arguments)


# The process's handler, and the rules that it serves, by their domain.

_new_lock = original(_thread, "RLock")
_lock = _new_lock()  # a collection may close a socket in the middle of `protect`
_guarded: dict[str, Access] = {}
_handler: Handler | None = None
_workers = Workers()


def protect(access: Access) -> None:
    """Have the handler answer for a socket, before it is bound.

    Raises:
        Error: it cannot be started.
    """
    global _handler
    with _lock:
        _guarded[access.domain] = access
        try:
            if _handler is None:
                _handler = Handler()
            _handler.start()
        except BaseException as error:
            release(access)
            if not isinstance(error, Error) or error.errno != errno.EADDRINUSE:
                raise
            raise StateError(
                errno.EADDRINUSE,
                f"clients, users, allow and deny need ratchet's own handler at {ENDPOINT}, and "
                "another socket of this program is bound there; close that, or let it judge this "
                "socket too, without these options",
            ) from None


def release(access: Access) -> None:
    """Answer for a socket no more; without another one, the handler ends."""
    global _handler
    with _lock:
        _guarded.pop(access.domain, None)
        if not _guarded and _handler is not None:
            handler, _handler = _handler, None
            handler.zsock.close()


def handler_fault(zsock: Any) -> str | None:
    """Say why a socket of the program's cannot be bound as a handler."""
    if isinstance(zsock, HandlerSocket):
        return None
    if _handler is not None:
        return (
            "ratchet's own handler is bound there, since sockets are open that have clients, "
            "users, allow or deny; close those first, or have your own handler serve all sockets"
        )
    return None


def _after_fork() -> None:
    """Begin anew in a child: the handler is the parent's."""
    global _handler, _lock, _workers
    _lock = _new_lock()
    _guarded.clear()
    _handler = None
    _workers = Workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
