"""Teaches the suite to speak each library: one small class each.

A new library is a class with `new` (and `run`, where its calls must be made somewhere special) and
a line in ADAPTERS. C is not in it, for c_peer.c is a worker of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import loops
from .cases import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable

LINGER = 0.0  # every message has been received before a socket is closed


class Parcel:
    """What one side sends over and over, and the different last message that proves the count."""

    def __init__(self, work: str, size: int, batch: int) -> None:
        item, last = content(size, b"r"), content(size, b"z")
        multipart = work == "multipart"
        self.item: Any = [item] * PARTS if multipart else item
        self.last: Any = [last] * PARTS if multipart else last
        self.batch = [self.item] * batch
        self.last_batch = [*self.batch[1:], self.last]


def content(size: int, mark: bytes) -> bytes:
    """A message that differs from another at both ends; c_peer.c builds the same."""
    return mark + bytes(size - 2) + mark


def plain_loops() -> ModuleType:
    """The module `loops` for blocking calls: the same text, so that no loop can be favoured."""
    path = str(loops.__file__)
    text = Path(path).read_text(encoding="utf-8")
    text = text.replace("async def", "def").replace("await ", "")
    module = ModuleType("plain_loops")
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 (our own file)
    return module


class Library:
    """What the worker asks of any library, with the answers of a blocking one."""

    module = ""  # where `new` finds the library
    batches = False  # has send_many and recv_many

    def __init__(self) -> None:
        self.loops = plain_loops()

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        raise NotImplementedError

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function where this library's calls are allowed."""
        return function(*args)

    def facts(self) -> dict[str, str]:
        """The versions, for the heading."""
        top = importlib.import_module(self.module.partition(".")[0])
        return {"version": str(getattr(top, "__version__", "")), "libzmq": loaded_libzmq()}

    def open(self, kind: str, hwm: int, endpoint: str, bind: bool) -> tuple[Any, str]:
        """Make, and bind or connect, a socket; answer with the endpoint to connect to."""
        sock = self.new(kind, hwm)
        if not bind:
            sock.connect(endpoint)
            return sock, endpoint
        sock.bind(endpoint)
        bound = sock.last_endpoint
        return sock, bound.decode().rstrip("\0") if isinstance(bound, bytes) else bound

    def unwrap(self, received: Any) -> Any:
        """The payload in what a receiving call gave."""
        return received

    def work(self, does: str, work: str, socks: list[Any], parcel: Parcel, count: int) -> float:
        """Run one of the loops and check what it received last; answer its seconds."""
        many = work == "batched" and self.batches
        suffix = "_many" if many else "_multipart" if work == "multipart" else ""
        ends = [(getattr(s, f"send{suffix}"), getattr(s, f"recv{suffix}")) for s in socks]
        loop = getattr(self.loops, f"{does}_many" if many else does)
        seconds, last = self.run(loop, ends, parcel, count)
        if does not in ("send", "pong") and self.unwrap(last) != parcel.last:
            raise SystemExit(f"the last message is not the one expected: {last!r:.80}")
        return float(seconds)


class Awaited(Library):
    """What differs where calls are awaited."""

    def __init__(self) -> None:
        self.loops = loops
        self.runner = asyncio.Runner()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in the event loop, which stays the same from one call to the next."""

        async def inside() -> Any:
            result = function(*args)
            return await result if asyncio.iscoroutine(result) else result

        return self.runner.run(inside())


class Pyzmq(Library):
    """pyzmq as its guide shows it: copying sends and receives."""

    module = "zmq"

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        zmq, types = importlib.import_module(self.module), importlib.import_module("zmq")
        sock = zmq.Context.instance().socket(getattr(types, kind))
        sock.set_hwm(hwm)
        sock.linger = int(LINGER * 1000)
        return sock

    def facts(self) -> dict[str, str]:
        """The versions; pyzmq's wheels bundle a libzmq that only pyzmq knows."""
        zmq = importlib.import_module("zmq")
        return {"version": zmq.__version__, "libzmq": zmq.zmq_version()}


class PyzmqGreen(Pyzmq):
    """pyzmq for gevent."""

    module = "zmq.green"


class PyzmqAsyncio(Awaited, Pyzmq):
    """pyzmq for asyncio."""

    module = "zmq.asyncio"


class Ratchet(Library):
    """ratchet in the plain OS thread."""

    module = "ratchet.zmqsocket"
    batches = True

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        module = importlib.import_module(self.module)
        return module.new(kind, sndhwm=hwm, rcvhwm=hwm, linger=LINGER)

    def unwrap(self, received: Any) -> Any:
        """The payload: `recv` gives it with whether more parts follow."""
        return received[0] if isinstance(received, tuple) else received


class RatchetThreads(Ratchet):
    """ratchet in one of its own threads."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in a kernel of its own."""
        return importlib.import_module("ratchet").run(function, *args)


class RatchetAsyncio(Awaited, Ratchet):
    """ratchet in an asyncio task."""

    module = "ratchet.asyncio"


ADAPTERS: dict[str, type[Library]] = {
    "ratchet": Ratchet,
    "ratchet-threads": RatchetThreads,
    "ratchet-asyncio": RatchetAsyncio,
    "pyzmq": Pyzmq,
    "pyzmq-green": PyzmqGreen,
    "pyzmq-asyncio": PyzmqAsyncio,
}


def loaded_libzmq() -> str:
    """The version of the libzmq that this process has loaded, asked of the library itself."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        found = re.search(r"\S*/libzmq\S*\.so\S*", maps)
        numbers = [ctypes.c_int() for _ in range(3)]
        ctypes.CDLL(found.group() if found else None).zmq_version(*map(ctypes.byref, numbers))
    except (OSError, AttributeError):
        return "unknown"
    return ".".join(str(number.value) for number in numbers)
