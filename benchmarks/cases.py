"""Says what is measured: kinds of work, transports and sizes, and how much may be queued."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple


class Work(NamedTuple):
    """A kind of work, of a side that starts and a side that answers."""

    title: str
    types: tuple[str, str] = ("PUSH", "PULL")
    # What each side does when they are two processes, and who holds the clock that counts.
    does: tuple[str, str] = ("send", "recv")
    starter_times: bool = False
    inproc: str = "burst"  # what one thread does that is both sides
    sockets: tuple[int, int] = (1, 1)
    back: bool = False  # a PUSH and a PULL more, from the side that answers to the other
    copies: int = 1  # how many receive each message that is sent


def scatter(title: str, near: int, far: int, **more: int) -> Work:
    """A work of many sockets, with word coming back of each batch that has arrived."""
    types = ("PUB", "SUB") if more else ("PUSH", "PULL")
    does = ("scatter", "gather")
    return Work(title, types, does=does, sockets=(near, far), back=True, **more)


WORKS: dict[str, Work] = {
    "one-call": Work("One send and one recv per message"),
    "batched": Work("send_many and recv_many (a plain loop where there are none)"),
    "round-trip": Work(
        "Round trip, REQ to REP and back",
        ("REQ", "REP"),
        ("ping", "pong"),
        starter_times=True,
        inproc="bounce",
    ),
    "multipart": Work("Three-part messages, each part of the size given"),
    "fan-in": scatter("Fan-in, 10 PUSH to one PULL", 10, 1),
    "fan-out": scatter("Fan-out, one PUSH to 10 PULL", 1, 10),
    "pub-sub-1": scatter("One PUB to one SUB", 1, 1, copies=1),
    "pub-sub-10": scatter("One PUB to 10 SUB, counted as received", 1, 10, copies=10),
    "pub-sub-100": scatter("One PUB to 100 SUB, counted as received", 1, 100, copies=100),
    "proxy": Work(
        "Through another process, which receives and sends on",
        does=("flow", "forward"),
        starter_times=True,
        back=True,
    ),
    "empty": Work("A recv that finds nothing and does not wait", inproc="empty"),
}
SIZES = {"16": 16, "1K": 1 << 10, "4K": 1 << 12, "64K": 1 << 16, "1M": 1 << 20, "16M": 1 << 24}
TRANSPORTS = ("inproc", "ipc", "tcp")
PARTS = 3

# What is measured by default, and with --full: works, transports and sizes, all with all.
BASIC = (("one-call batched round-trip multipart", "inproc ipc tcp", "16 1K 64K 1M"),)
FULL = (
    ("one-call", "inproc tcp", "16 1K 64K 1M"),
    ("one-call", "tcp", "4K"),  # where libzmq's batches tell most
    ("one-call", "ipc", "16 64K"),
    ("batched", "tcp", "16"),
    ("round-trip", "tcp", "16 64K"),
    ("multipart", "inproc tcp", "16"),
    ("fan-in fan-out pub-sub-1 pub-sub-10 pub-sub-100", "tcp", "16"),
    ("proxy", "tcp", "16"),
    ("empty", "inproc", "16"),
)
# Whose memory is looked at in the full report.
MEMORY = (("one-call", "tcp", "16 1M"), ("pub-sub-100", "tcp", "16"))

# The most bytes that one side may queue. Without it a thousand 1 MiB messages wait on each side,
# and what is measured is the allocator.
QUEUED_BYTES = 32 << 20
# libzmq's own default, so that nobody is tuned.
HIGH_WATER_MARK = 1000
# Runs of a round, each so much shorter, of what is a matter of luck between two processes: which of
# their threads share a core. It is decided anew in each run, for its whole length, and makes a
# factor of two.
LOTS = 5
# Well under the high-water mark, so that one thread can send a whole batch before it receives it.
BATCH = 100


@dataclass(frozen=True)
class Case:
    """One line of the result: a kind of work, a transport and the size of a part."""

    work: str
    transport: str
    size_name: str

    def __str__(self) -> str:
        return f"{self.work} {self.transport} {self.size_name}"

    @property
    def kind(self) -> Work:
        """All about the work."""
        return WORKS[self.work]

    @property
    def size(self) -> int:
        """Bytes in a part."""
        return SIZES[self.size_name]

    @property
    def hwm(self) -> int:
        """The high-water mark of both sockets; 0 is none."""
        # A PUB drops what is beyond it, and learns what has been read only once in a millisecond.
        # That no more than two batches are on their way is the bound.
        if self.kind.types[0] == "PUB":
            return 0
        return min(HIGH_WATER_MARK, QUEUED_BYTES // self.size)

    @property
    def batch(self) -> int:
        """Messages in a batched call, in a burst of one thread, and on their way in a proxy."""
        return 1 if self.work == "round-trip" else min(BATCH, QUEUED_BYTES // self.size // 2)

    @property
    def runs(self) -> int:
        """How many runs a round has."""
        lucky = self.transport != "inproc" and self.kind.sockets == (1, 1) and self.size <= 1 << 10
        return LOTS if lucky else 1

    @property
    def unclocked(self) -> int:
        """Messages that pass before the clock starts."""
        if self.transport == "inproc":
            return 0
        return self.batch if "scatter" in self.kind.does else 1

    def order(self, does: str, count: int, sockets: int = 1) -> dict[str, object]:
        """The order to a worker to do its side of this case `count` times.

        One with several sockets is told its share for each.
        """
        share = sockets if self.kind.types[0] == "PUSH" else 1
        return {
            "do": does,
            "work": self.work,
            "size": self.size,
            "batch": self.batch // share,
            "count": count // share,
        }

    def plain_twin(self) -> Case:
        """The same case for a library without batched calls."""
        work = "one-call" if self.work == "batched" else self.work
        return Case(work, self.transport, self.size_name)


def expand(matrix: tuple[tuple[str, str, str], ...]) -> list[Case]:
    """The cases of a matrix, by kind of work."""
    found = {Case(*words) for row in matrix for words in product(*(text.split() for text in row))}
    return [case for words in product(WORKS, TRANSPORTS, SIZES) if (case := Case(*words)) in found]


def select(words: list[str], full: bool = False) -> list[Case]:
    """The cases that fit the words: one of the words given for a column, in each column."""
    words = [word.upper() if word.upper() in SIZES else word for word in words]
    columns = [set(words) & set(known) for known in (WORKS, TRANSPORTS, SIZES)]
    if strange := set(words).difference(*columns):
        known = ", ".join([*WORKS, *TRANSPORTS, *SIZES])
        raise ValueError(f"nothing here is called {', '.join(strange)}; there are {known}")
    basic = expand(BASIC)
    return [
        case
        for case in expand(FULL if full else BASIC + FULL)
        if (full or case in basic or case.work in words or case.size_name in words)
        and case.work in (columns[0] or WORKS)
        and case.transport in (columns[1] or TRANSPORTS)
        and case.size_name in (columns[2] or SIZES)
    ]
