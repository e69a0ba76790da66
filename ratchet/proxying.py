"""Passing messages on from one socket to another: `ratchet.proxy`, `ratchet.Proxy`.

What moves the messages is in `_zmq/proxy.pxi`; here it is run, in the caller's thread or in one of
its own. `_awaited_proxy.py` runs it in a task.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import errors
from ._real_threads import start_thread
from ._zmq import Forwarding, SocketBase, process_generation, to_deadline
from .selecting import select

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Proxy", "ProxyStats", "proxy"]

CLOSING = 1.0  # seconds for which the end of a ``with`` passes on what was taken


class ProxyStats(NamedTuple):
    """What a proxy has passed on, counted where it was received.

    Messages, not their parts; bytes of all parts. What was dropped is counted as well.
    """

    frontend_messages: int
    frontend_bytes: int
    backend_messages: int
    backend_bytes: int
    dropped: int


def proxy(
    frontend: SocketBase, backend: SocketBase, capture: SocketBase | None = None
) -> ProxyStats:
    """Pass on whole messages between two sockets, both ways, until one of them is closed.

    Pauses the calling thread, of whatever kind. Sockets of all kinds of threads may be mixed. A
    side is read only when the other one can take a message.

    Args:
        frontend: one side, such as a ROUTER, XSUB or PULL.
        backend: the other side, such as a DEALER, XPUB or PUSH. The frontend itself: an echo.
        capture: a PUB, XPUB, PUSH, DEALER or PAIR that gets a copy of every message, unless it is
            full or has no peer.

    Returns:
        ProxyStats: what was passed on.

    Raises:
        ValueError: nothing can go from one to the other, or the capture is of another type.
    """
    forwarding = forwarding_of(frontend, backend, capture)
    try:
        run(forwarding, (frontend, backend, capture))
    finally:
        forwarding.close()
    return ProxyStats(*forwarding.counts())


def forwarding_of(frontend: Any, backend: Any, capture: Any) -> Forwarding:
    """Check the sockets, and make what passes messages on between them."""
    for name, zsock in (("frontend", frontend), ("backend", backend), ("capture", capture)):
        if not (isinstance(zsock, SocketBase) or (zsock is None and name == "capture")):
            raise TypeError(f"the {name} of a proxy is a socket of ratchet, not {zsock!r}")
    forwarding = Forwarding(frontend, backend, capture)
    fault = forwarding.fault()
    if fault:
        forwarding.close()
        raise errors.argument_error(fault)
    return forwarding


def run(forwarding: Forwarding, sockets: tuple[SocketBase | None, ...]) -> None:
    """Pass messages on until one of the sockets is closed, or it was told to stop."""
    try:
        while not forwarding.over():
            if forwarding.move():
                forwarding.let_others_run()
            else:
                forwarding.wait()
    except errors.ClosedError:
        if not any(zsock is not None and zsock.closed for zsock in sockets):
            raise


class Proxy:
    """A proxy in an OS thread of its own, from the moment that it is made; see `ratchet.proxy`.

    As a context manager it is stopped at the end. Every method may be called in any thread.
    """

    def __init__(
        self, frontend: SocketBase, backend: SocketBase, capture: SocketBase | None = None
    ) -> None:
        self._forwarding = forwarding_of(frontend, backend, capture)
        self._sockets = (frontend, backend, capture)
        self._error: BaseException | None = None
        self._born = process_generation()
        try:
            self._forwarding.make_end()
            self._thread = start_thread(self._run, repr(self))
        except BaseException:
            self._forwarding.close()
            raise

    def _run(self) -> None:
        try:
            run(self._forwarding, self._sockets)
        except Exception as error:  # noqa: BLE001 - `stop` raises it
            self._error = error
        finally:
            self._forwarding.close()
            self._forwarding.tell_end()

    def __repr__(self) -> str:
        frontend, backend, _ = self._sockets
        return f"<ratchet.Proxy between {frontend!r} and {backend!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(CLOSING)

    @property
    def stats(self) -> ProxyStats:
        """What was passed on so far."""
        return ProxyStats(*self._forwarding.counts())

    def pause(self) -> None:
        """Take no more messages, from now on; one that was taken is still passed on."""
        self._forwarding.order(True)

    def resume(self) -> None:
        """Take messages again."""
        self._forwarding.order(False)

    def stop(self, timeout: float | None = None) -> ProxyStats:
        """Take no more messages, pass on what was taken, and end. Pauses the calling thread.

        Args:
            timeout: seconds to pass it on; None: until it can be, or one of the sockets is closed.
                What is left then is received next by whoever receives from its side.

        Returns:
            ProxyStats: what was passed on in all.

        Raises:
            Error: what ended the proxy before, other than the close of a socket.
            ForkedError: it was made before a fork, and runs in the parent process.
        """
        deadline = to_deadline(timeout)
        if self._born != process_generation():
            raise errors.ForkedError(
                errno.EBADF, f"{self!r} was made before a fork, and runs in the parent process"
            )
        self._forwarding.stop(deadline)
        select([self._forwarding])
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self.stats
