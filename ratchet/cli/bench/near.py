"""The side of a benchmark that asks and measures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import libzmq_version, zmqsocket
from ...errors import Timeout
from .. import terminal
from ..ends import Failure, tell
from .far import LIMIT, TooLong, about, within
from .libraries import LIBRARIES, Peer, hwm_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...zmqsocket import Monitor, ZMQSocket

__all__ = ["WORKS", "Bench", "Row", "connected"]

# A rate is guessed from runs that last at least so many seconds.
GUESS = 0.02
# Below so many seconds a sample is all start-up.
SHORTEST = 0.02
CONNECT = 10.0  # seconds within which the other side answers its first order

WORKS = {"rate": "messages a second", "trip": "round trip, µs"}


class Row(NamedTuple):
    """One line of the table."""

    work: str
    size: int


class FarSide:
    """The process on the other side."""

    def __init__(self, req: ZMQSocket, ends: Monitor, endpoint: str, local: bool) -> None:
        self.req = req
        self.ends = ends  # of its connections
        self.endpoint = endpoint
        self.local = local  # it was started here

    def ask(self, timeout: float = LIMIT + 5, **order: Any) -> Any:
        """Give an order and return the answer."""
        self.req.send(json.dumps(order).encode(), timeout=timeout)
        readable, _ = zmqsocket.select([self.req, self.ends], timeout=timeout)
        if self.ends in readable and self.req not in readable:
            raise Failure("the other side has ended, or its connection has")
        reply = json.loads(self.req.recv_all(timeout=0))
        if isinstance(reply, dict) and "error" in reply:
            raise Failure(f"the other side cannot obey: {reply['error']}")
        return reply

    def gone(self) -> bool:
        """Return whether the other side has ended, or the connection to it."""
        try:
            self.ends.recv(timeout=0)
        except Timeout:
            return False
        return True

    def greet(self) -> dict[str, Any]:
        """Give the first order; return what the other side says of itself."""
        if not self.local and terminal.is_terminal(sys.stderr):
            tell(f"asking {self.endpoint}")
        try:
            found = self.ask(CONNECT, do="facts")
        except Timeout:
            raise Failure(
                f"nobody answers at {self.endpoint}; start it on the other machine first, as in: "
                "ratchet bench 'tcp://*:5555'"
            ) from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or "libraries" not in found:
            raise Failure(f"what answers at {self.endpoint} is no ratchet bench")
        return found

    def there(self, bound: str) -> str:
        """Return where to connect for what it has bound: its own host, as we know it."""
        if bound.startswith("ipc:"):
            return bound
        return f"{self.endpoint.rpartition(':')[0]}:{bound.rpartition(':')[2]}"


@contextlib.contextmanager
def connected(endpoint: str | None) -> Iterator[tuple[FarSide, dict[str, Any]]]:
    """Connect to the other side, or start one here; yield it, and what it says of itself."""
    with contextlib.ExitStack() as stack:
        local = endpoint is None
        endpoint = endpoint or stack.enter_context(started())
        ipv6 = endpoint.startswith("tcp://[")
        req = stack.enter_context(zmqsocket.new("REQ", linger=0, ipv6=ipv6))
        ends = stack.enter_context(req.monitor("DISCONNECTED"))
        req.connect(endpoint)
        far = FarSide(req, ends, endpoint, local)
        yield far, far.greet()
        far.ask(do="close")


@contextlib.contextmanager
def started() -> Iterator[str]:
    """Start the other side here, and end it; yield its endpoint."""
    with subprocess.Popen(  # noqa: S603 (ourselves)
        [sys.executable, "-P", "-m", far_module()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout  # noqa: S101
            endpoint = process.stdout.readline().decode().strip()
            if not endpoint:
                raise Failure("the other process did not start")
            yield endpoint
        finally:
            process.kill()


def far_module() -> str:
    """Return the name of the module that the other process runs."""
    return f"{__package__}.far"


class Bench:
    """All that is measured: for each row a few samples of each library, in turn."""

    def __init__(
        self,
        far: FarSide,
        there: dict[str, Any],
        sizes: tuple[int, ...],
        seconds: float,
        rounds: int,
    ) -> None:
        self.far = far
        self.here, self.there = about(), there
        self.rounds = rounds
        self.libraries = [
            name
            for name in LIBRARIES
            if all(name in side["libraries"] for side in (about(), there))
        ]
        self.rows = [Row(work, size) for work in WORKS for size in sizes]
        self.samples: dict[tuple[Row, str], list[float]] = {}
        self.left = rounds * sum(len(self.measured(row)) for row in self.rows)  # samples
        self.began = time.time()
        self.until = time.monotonic() + seconds

    def versions(self) -> dict[str, str]:
        """Return the version of each package that is measured."""
        return {LIBRARIES[name].package: self.here["libraries"][name] for name in self.libraries}

    def measured(self, row: Row) -> list[str]:
        """Return the libraries of a row."""
        return [name for name in self.libraries if row.work == "rate" or not LIBRARIES[name].many]

    def length(self) -> float:
        """Return how many seconds the next sample shall take, so that all end in time."""
        # Some of it is for opening, closing and guessing rates.
        return max(0.7 * (self.until - time.monotonic()) / self.left, SHORTEST)

    def run(self, show: Callable[[Row, bool], None]) -> None:
        """Measure all, and show each sample; the flag says that its row is done."""
        with asyncio.Runner(debug=False) as runner:
            for row in self.rows:
                try:
                    self.measure(row, runner, show)
                except TooLong as error:
                    raise Failure(str(error)) from None

    def measure(self, row: Row, runner: asyncio.Runner, show: Callable[[Row, bool], None]) -> None:
        """Measure one row."""
        peers: dict[str, Peer] = {}
        types = {"rate": ("PUSH", "PULL"), "trip": ("REQ", "REP")}[row.work]
        try:
            for name in self.measured(row):
                hwm = hwm_for(row.size)
                bound = self.far.ask(do="open", library=name, type=types[1], hwm=hwm)
                peers[name] = Peer(LIBRARIES[name], types[0], hwm, runner)
                peers[name].connect(self.far.there(bound["endpoint"]))
            rates = {name: self.guess(row, peer) for name, peer in peers.items()}
            names = list(peers)
            for number in range(self.rounds):
                for name in names[number:] + names[:number]:  # nobody always goes first
                    count = max(1, int(rates[name] * self.length()))
                    rates[name] = count / self.once(row, peers[name], count)
                    value = rates[name] if row.work == "rate" else 1e6 / rates[name]
                    self.samples.setdefault((row, name), []).append(value)
                    self.left -= 1
                    show(row, False)
        finally:
            for peer in peers.values():
                peer.close()
        self.far.ask(do="close")
        show(row, True)

    def guess(self, row: Row, peer: Peer) -> float:
        """Return a first guess at how many there are in a second."""
        count = 4
        while (seconds := self.once(row, peer, count)) < GUESS:
            count *= 4
        return count / seconds

    def once(self, row: Row, peer: Peer, count: int) -> float:
        """Do it ``count`` times; return the seconds."""
        name, data = peer.library.name, bytes(row.size)
        does = "pull" if row.work == "rate" else "answer"
        self.far.ask(do=does, library=name, count=count, size=row.size)
        with within(LIMIT, self.far.gone):
            if row.work == "rate":
                peer.push(data, count)
            else:
                seconds = peer.ask(data, count)
        result = self.far.ask(do="result")
        return float(result["seconds"]) if row.work == "rate" else seconds

    def median(self, row: Row, name: str) -> float | None:
        """Return the figure of a cell, or None as long as there is none."""
        found = self.samples.get((row, name))
        return statistics.median(found) if found else None

    def report(self) -> dict[str, Any]:
        """Return all of it, for programs."""
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "libzmq": ".".join(map(str, libzmq_version())),
            "here": self.here,
            "there": self.there,
            "results": [
                {
                    "work": row.work,
                    "unit": WORKS[row.work],
                    "size": row.size,
                    "library": name,
                    "median": self.median(row, name),
                    "samples": found,
                }
                for (row, name), found in self.samples.items()
            ],
        }
