"""Says what is measured: kinds of work, transports and sizes, and how much may be queued."""

from __future__ import annotations

from dataclasses import dataclass

PUSH_PULL = ("PUSH", "PULL")

# Work: its heading, and the socket types of the side that starts and the side that answers.
WORKS: dict[str, tuple[str, tuple[str, str]]] = {
    "one-call": ("One send and one recv per message", PUSH_PULL),
    "batched": ("send_many and recv_many (a plain loop where there are none)", PUSH_PULL),
    "round-trip": ("Round trip, REQ to REP and back", ("REQ", "REP")),
    "multipart": ("Three-part messages, each part of the size given", PUSH_PULL),
}
TRANSPORTS = ("inproc", "ipc", "tcp")
SIZES = {"16": 16, "1K": 1024, "64K": 65536, "1M": 1048576}
PARTS = 3

# The most bytes that one side may queue. Without it a thousand 1 MiB messages wait on each side,
# and what is measured is the allocator.
QUEUED_BYTES = 32 << 20
# libzmq's own default, so that nobody is tuned.
HIGH_WATER_MARK = 1000
# Well under the high-water mark, so that one thread can send a whole batch before it receives it.
BATCH = 100


@dataclass(frozen=True)
class Case:
    """One line of the result: a kind of work, a transport and the size of a part."""

    work: str
    transport: str
    size_name: str

    @property
    def size(self) -> int:
        """Bytes in a part."""
        return SIZES[self.size_name]

    @property
    def types(self) -> tuple[str, str]:
        """The socket types: of the side that starts, and of the other."""
        return WORKS[self.work][1]

    @property
    def hwm(self) -> int:
        """The high-water mark of both sockets."""
        return min(HIGH_WATER_MARK, QUEUED_BYTES // self.size)

    @property
    def batch(self) -> int:
        """Messages in a batched call, and in a burst of one thread."""
        return 1 if self.work == "round-trip" else min(BATCH, self.hwm // 2)

    def order(self, does: str, count: int) -> dict[str, object]:
        """The order to a worker to do its side of this case `count` times."""
        return {
            "do": does,
            "work": self.work,
            "size": self.size,
            "batch": self.batch,
            "count": count,
        }

    def plain_twin(self) -> Case:
        """The same case for a library without batched calls."""
        work = "one-call" if self.work == "batched" else self.work
        return Case(work, self.transport, self.size_name)


def select(words: list[str]) -> list[Case]:
    """The cases that fit the words: one of the words given for a column, in each column."""
    chosen: dict[str, set[str]] = {"work": set(), "transport": set(), "size": set()}
    for word in words:
        if word in WORKS:
            chosen["work"].add(word)
        elif word in TRANSPORTS:
            chosen["transport"].add(word)
        elif word.upper() in SIZES:
            chosen["size"].add(word.upper())
        else:
            known = ", ".join([*WORKS, *TRANSPORTS, *SIZES])
            raise ValueError(f"nothing here is called {word!r}; there are {known}")
    return [
        Case(work, transport, size)
        for work in WORKS
        for transport in TRANSPORTS
        for size in SIZES
        if work in (chosen["work"] or WORKS)
        and transport in (chosen["transport"] or TRANSPORTS)
        and size in (chosen["size"] or SIZES)
    ]
