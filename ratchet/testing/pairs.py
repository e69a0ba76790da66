"""Two sockets that are connected, of the kind that the caller's thread takes."""

from __future__ import annotations

import contextlib
import errno
import time
from typing import TYPE_CHECKING, Any

from .. import _awaited, errors, zmqsocket
from .endpoints import free_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TIMEOUT", "pair"]

TIMEOUT = 10.0  # seconds that nothing takes in a test, unless it hangs
_STEP = 0.0005  # seconds between two looks at peers


@contextlib.contextmanager
def pair(
    left: str = "PAIR",
    right: str = "PAIR",
    *,
    transport: str = "inproc",
    timeout: float | None = TIMEOUT,
    new: Callable[..., Any] | None = None,
    **options: Any,
) -> Iterator[tuple[Any, Any]]:
    """Give two sockets that are connected and know each other, and close them at the end.

    The left one is bound, the right one connected. A SUB subscribes to everything, unless
    ``subscribe`` says otherwise, and its subscription has arrived. Sockets are made with
    ``track_peers=True``, so that a `ratchet.Timeout` tells what the connection is doing.

    Args:
        left: the type of the first socket, as ``"PUSH"``.
        right: the type of the second.
        transport: ``"inproc"``, ``"tcp"`` or ``"ipc"``.
        timeout: seconds after which a call of either raises `ratchet.Timeout`; None: never.
        new: what makes a socket; by default `ratchet.asyncio.new` in a task of asyncio,
            `ratchet.trio.new` in a task of trio, and `ratchet.zmqsocket.new` elsewhere.
        options: of both sockets; ``subscribe`` of a SUB only. With ``track_peers=False`` nobody
            waits for the connection.

    Raises:
        ValueError: an unknown type or transport.
        Timeout: they do not come together within 10 seconds: the types do not fit.
    """
    make = new or _new_here()
    with free_endpoint(transport) as endpoint, contextlib.ExitStack() as made:

        def one(kind: str) -> Any:
            mine = {"track_peers": True, **options}
            subscription = mine.pop("subscribe", b"")
            if kind == "SUB":
                mine["subscribe"] = subscription
            zsock = make(kind, **mine)
            made.callback(zsock.close, linger=0)
            zsock.set_timeout(timeout)
            return zsock

        first, second = one(left), one(right)
        first.bind("tcp://127.0.0.1:*" if transport == "tcp" else endpoint)
        second.connect(first.last_endpoint)
        if options.get("track_peers", True):
            _wait(first, second)
        yield first, second


def _new_here() -> Callable[..., Any]:
    """Return what makes the sockets of the thread or task that runs."""
    library = _awaited.library_here()
    if library == "asyncio":
        from ..asyncio import new

        return new
    if library == "trio":
        from ..trio import new as new_of_trio

        return new_of_trio
    return zmqsocket.new


def _wait(first: Any, second: Any) -> None:
    """Wait until both know the other, a publisher also what is subscribed."""
    waits: list[Callable[[], Any]] = [lambda: first.peers, lambda: second.peers]
    for publisher, subscriber in ((first, second), (second, first)):
        if publisher.type in {"PUB", "XPUB"} and subscriber.type == "SUB":
            waits.append(publisher.subscribers)
    until = time.monotonic() + TIMEOUT
    for ready in waits:
        while not ready():  # in a task too: its loop need not run for this
            # libzmq tells a publisher of a subscription in a call on the subscriber.
            first.is_readable(), second.is_readable()
            if time.monotonic() > until:
                raise errors.Timeout(
                    errno.ETIMEDOUT,
                    f"{first!r} and {second!r} have not come together within {TIMEOUT:g} s: "
                    "do the types fit?",
                )
            time.sleep(_STEP)
