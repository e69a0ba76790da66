"""The side of a benchmark that obeys: it answers orders on a REP, and does its part of each work.

Orders and answers are objects in JSON: ``facts``; ``open`` (library, type, hwm), answered by an
endpoint; ``pull`` and ``answer`` (count, size), answered before they are done; ``result``, answered
by the seconds that the last one took; ``close``. An order that is out of place is answered by an
``error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from ... import zmqsocket
from .. import ends
from ..info import processors
from .libraries import LIBRARIES, Peer, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...zmqsocket import ZMQSocket

__all__ = ["LIMIT", "about", "local", "serve", "within"]

LIMIT = 30  # seconds that one work may take; it aims at a fraction of one
LOOK = 0.5  # seconds between two looks whether the other side is there
LEAVING = 0.5  # seconds until it is known that one has gone


class TooLong(Exception):
    """The other side has gone, or hangs."""


@contextlib.contextmanager
def within(seconds: int, gone: Callable[[], bool]) -> Iterator[None]:
    """Raise `TooLong` in what takes longer, and soon when the other side has ``gone``.

    SIGALRM costs the loops nothing, while a timeout for each call would be measured with it.
    """
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    until = time.monotonic() + seconds

    def ring(*_: Any) -> None:
        if gone():
            raise TooLong("the other side has ended, or its connection has")
        if time.monotonic() > until:
            raise TooLong(f"the other side has not done its part within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def about() -> dict[str, Any]:
    """Return what figures depend on."""
    return {
        "host": platform.node(),
        "processors": processors(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "libraries": installed(),
    }


def since(rep: ZMQSocket) -> set[float]:
    """Return since when each peer is connected, which tells one from another."""
    return {peer.since for peer in rep.peers}


def alone(rep: ZMQSocket) -> bool:
    """Return whether who asks is the only one; another one may just be leaving."""
    until = time.monotonic() + LEAVING
    while len(rep.peers) > 1:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


class Far:
    """The sockets on this side, and the orders."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern  # of endpoints to bind
        self.peer: Peer | None = None
        self.peers: dict[str, Peer] = {}
        self.opened = 0
        self.seconds = 0.0
        self.runner = asyncio.Runner(debug=False)

    def obey(self, rep: ZMQSocket) -> None:
        """Take one order, answer it, do it."""
        order: Any = None
        try:
            order = json.loads(rep.recv_all())
            reply, work = self.reply(order, rep), None
            if "error" not in reply:
                work = getattr(self, f"do_{order['do']}", None)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            reply, work = {"error": f"{order!r}: {error!r}"}, None
        here = since(rep)
        rep.send(json.dumps(reply).encode(), timeout=LIMIT)
        if work:
            try:
                with within(LIMIT, lambda: here.isdisjoint(since(rep))):
                    work(order)
            except TooLong as error:
                ends.tell(str(error))
                self.close()

    def reply(self, order: dict[str, Any], rep: ZMQSocket) -> dict[str, Any]:
        """Return the answer to an order that came from ``rep``, and check it."""
        match order["do"]:
            case "facts":
                if not alone(rep):
                    return {"error": "another one measures with it; try again when that has ended"}
                self.close()
                return about()
            case "open":
                return {"endpoint": self.open(order["library"], order["type"], int(order["hwm"]))}
            case "close":
                self.close()
                return {}
            case "result":
                return {"seconds": self.seconds}
            case "pull" | "answer":
                self.peer = self.peers[order["library"]]
                return {"count": int(order["count"]), "size": int(order["size"])}
        raise ValueError("no such order")

    def open(self, library: str, type: str, hwm: int) -> str:
        """Make a library's socket."""
        if type not in ("PULL", "REP"):
            raise ValueError("no such type")
        self.opened += 1
        peer = Peer(LIBRARIES[library], type, hwm, self.runner)
        self.peers[library] = peer
        return peer.bind(self.pattern.format(self.opened))

    def close(self) -> None:
        """Close all of them."""
        while self.peers:
            self.peers.popitem()[1].close()

    def do_pull(self, order: dict[str, Any]) -> None:
        """Receive."""
        assert self.peer  # noqa: S101 (`reply` has set it)
        self.seconds = self.peer.pull(order["count"])

    def do_answer(self, order: dict[str, Any]) -> None:
        """Answer."""
        assert self.peer  # noqa: S101
        self.peer.answer(bytes(order["size"]), order["count"])


def pattern_for(bound: str) -> str:
    """Return what endpoints beside this one are called; {} is for a number."""
    if bound.startswith("ipc://"):
        return bound.replace("{", "{{").replace("}", "}}") + "-{}"
    return bound.rpartition(":")[0] + ":*"


@contextlib.contextmanager
def listening(endpoint: str) -> Iterator[tuple[ZMQSocket, Far]]:
    """Bind the socket for orders."""
    ipv6 = endpoint.startswith("tcp://[")
    with zmqsocket.new("REP", ipv6=ipv6, linger=1, track_peers=True) as rep:
        far = Far(pattern_for(rep.bind(endpoint)))
        try:
            yield rep, far
        finally:
            far.close()
            far.runner.close()


def serve(endpoint: str) -> None:
    """Obey until Ctrl-C."""
    with listening(endpoint) as (rep, far):
        there = rep.last_endpoint
        if there.startswith("tcp://"):
            there = f"tcp://{platform.node()}:{there.rpartition(':')[2]}"
        ends.tell(f"bound to {rep.last_endpoint}; on the other machine: ratchet bench {there}")
        while True:
            far.obey(rep)


def local() -> None:
    """Obey the process that has started this one, until that ends."""
    threading.Thread(target=end_with_stdin, daemon=True).start()
    with listening("tcp://127.0.0.1:*") as (rep, far):
        print(rep.last_endpoint, flush=True)
        while True:
            far.obey(rep)


def end_with_stdin() -> None:
    """End this process when stdin is closed, also in the middle of a work that nobody wants."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    local()
