"""What is measured: each library's sockets, and the loops, which are the same for all.

The loops call nothing but the library. Between the sides a first message goes before the clock
starts.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["LIBRARIES", "Library", "Peer", "hwm_for", "installed"]

BATCH = 100  # messages in one call of send_many
# The most that a socket may queue. Without it a thousand messages of 1 MiB wait on each side, and
# what is measured is the allocator.
QUEUED_BYTES = 32 << 20


class Library(NamedTuple):
    """A way to send and receive that is measured."""

    name: str
    package: str  # the distribution that must be installed
    awaits: bool = False
    many: bool = False  # one call for many messages, for which there are no round trips


LIBRARIES = {
    library.name: library
    for library in (
        Library("ratchet", "ratchet-zmq"),
        Library("ratchet many", "ratchet-zmq", many=True),
        Library("ratchet asyncio", "ratchet-zmq", awaits=True),
        Library("pyzmq", "pyzmq"),
        Library("pyzmq asyncio", "pyzmq", awaits=True),
    )
}


def installed() -> dict[str, str]:
    """Return the version of each library that can be measured here, by name."""
    found = {}
    for library in LIBRARIES.values():
        try:
            found[library.name] = importlib.metadata.version(library.package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hwm_for(size: int) -> int:
    """Return the high-water mark for messages of a size, on both sides."""
    return max(1, min(1000, QUEUED_BYTES // size))


class Peer:
    """One side's socket of a library, and what it does there."""

    def __init__(self, library: Library, type: str, hwm: int, runner: asyncio.Runner) -> None:
        self.library = library
        self._runner = runner
        self._context: Any = None
        self._zsock: Any = None
        try:
            self._call(self._make, type, hwm)
        except BaseException:  # Ctrl-C, as soon as the loop has made it
            if self._zsock is not None:
                self.close()
            raise

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function where this library's calls are made."""
        if not self.library.awaits:
            return function(*args)

        async def inside() -> Any:
            return function(*args)

        return self._runner.run(inside())

    def _make(self, type: str, hwm: int) -> None:
        self._zsock = zsock = self._new(type)
        zsock.sndhwm = zsock.rcvhwm = hwm

    def _new(self, type: str) -> Any:
        if self.library.package == "pyzmq":
            import zmq
            import zmq.asyncio

            self._context = zmq.asyncio.Context() if self.library.awaits else zmq.Context()
            zsock = self._context.socket(getattr(zmq, type))
            zsock.linger = 0
        elif self.library.awaits:
            import ratchet.asyncio

            zsock = ratchet.asyncio.new(type, linger=0)
        else:
            from ratchet import zmqsocket

            zsock = zmqsocket.new(type, linger=0)
        return zsock

    def bind(self, endpoint: str) -> str:
        """Bind; return the endpoint to connect to."""
        self._call(self._zsock.bind, endpoint)
        bound = self._zsock.last_endpoint
        return bound.rstrip(b"\0").decode() if isinstance(bound, bytes) else str(bound)

    def connect(self, endpoint: str) -> None:
        """Connect."""
        self._call(self._zsock.connect, endpoint)

    def close(self) -> None:
        """Close the socket and what was made for it."""
        if self.library.awaits:
            self._runner.run(give_up_and(self._zsock.close))
        else:
            self._zsock.close()
        if self._context:
            self._context.term()

    def push(self, data: bytes, count: int) -> None:
        """Send one message, and ``count`` more."""
        zsock = self._zsock
        if self.library.awaits:
            self._runner.run(awaited_push(zsock.send, data, count))
        elif self.library.many:
            push_many(zsock.send_many, data, count)
        else:
            push(zsock.send, data, count)

    def pull(self, count: int) -> float:
        """Receive one message, and time ``count`` more; return the seconds."""
        zsock = self._zsock
        if self.library.awaits:
            seconds: float = self._runner.run(awaited_pull(zsock.recv, count))
            return seconds
        if self.library.many:
            return pull_many(zsock.recv_many, count)
        return pull(zsock.recv, count)

    def ask(self, data: bytes, count: int) -> float:
        """Make one round trip, and time ``count`` more; return the seconds."""
        zsock = self._zsock
        if self.library.awaits:
            seconds: float = self._runner.run(awaited_ask(zsock.send, zsock.recv, data, count))
            return seconds
        return ask(zsock.send, zsock.recv, data, count)

    def answer(self, data: bytes, count: int) -> None:
        """Answer as many."""
        zsock = self._zsock
        if self.library.awaits:
            self._runner.run(awaited_answer(zsock.send, zsock.recv, data, count))
        else:
            answer(zsock.send, zsock.recv, data, count)


def push(send: Callable[[bytes], Any], data: bytes, count: int) -> None:
    """Send one message a call."""
    for _ in itertools.repeat(None, count + 1):
        send(data)


def pull(recv: Callable[[], Any], count: int) -> float:
    """Receive one message a call."""
    recv()
    began = perf_counter()
    for _ in itertools.repeat(None, count):
        recv()
    return perf_counter() - began


def push_many(send_many: Callable[[list[bytes]], Any], data: bytes, count: int) -> None:
    """Send many messages a call."""
    send_many([data])
    batch = [data] * BATCH
    for _ in itertools.repeat(None, count // BATCH):
        send_many(batch)
    send_many(batch[: count % BATCH])


def pull_many(recv_many: Callable[[int], list[bytes]], count: int) -> float:
    """Receive many messages a call."""
    recv_many(1)
    began = perf_counter()
    while count > 0:
        count -= len(recv_many(min(BATCH, count)))
    return perf_counter() - began


def ask(send: Callable[[bytes], Any], recv: Callable[[], Any], data: bytes, count: int) -> float:
    """Send, and await the answer."""
    send(data)
    recv()
    began = perf_counter()
    for _ in itertools.repeat(None, count):
        send(data)
        recv()
    return perf_counter() - began


def answer(send: Callable[[bytes], Any], recv: Callable[[], Any], data: bytes, count: int) -> None:
    """Be the other side of it."""
    for _ in itertools.repeat(None, count + 1):
        recv()
        send(data)


async def give_up_and(close: Callable[[], Any]) -> None:
    """End the task that an exception from a signal handler has left behind in the loop."""
    import asyncio

    try:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)
    finally:
        close()


async def awaited_push(send: Callable[[bytes], Any], data: bytes, count: int) -> None:
    """Do as `push`."""
    for _ in itertools.repeat(None, count + 1):
        await send(data)


async def awaited_pull(recv: Callable[[], Any], count: int) -> float:
    """Do as `pull`."""
    await recv()
    began = perf_counter()
    for _ in itertools.repeat(None, count):
        await recv()
    return perf_counter() - began


async def awaited_ask(
    send: Callable[[bytes], Any], recv: Callable[[], Any], data: bytes, count: int
) -> float:
    """Do as `ask`."""
    await send(data)
    await recv()
    began = perf_counter()
    for _ in itertools.repeat(None, count):
        await send(data)
        await recv()
    return perf_counter() - began


async def awaited_answer(
    send: Callable[[bytes], Any], recv: Callable[[], Any], data: bytes, count: int
) -> None:
    """Do as `answer`."""
    for _ in itertools.repeat(None, count + 1):
        await recv()
        await send(data)
