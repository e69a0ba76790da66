"""The table that the page of results begins with: what ratchet does, and how much better."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from .cases import Case
from .report import Samples, figure, markdown, ratios, timed

# What ratchet is called with: as the wheels have it, if that was measured.
PLAIN = ("ratchet-own", "ratchet")
COLUMNS = ("", "ratchet", "pyzmq", "pyomq", "zenoh, iceoryx2", "C")


class Row(NamedTuple):
    """One line: its title, the case, ratchet's ways to do it, and who does it in each column."""

    title: str
    case: Case
    mine: tuple[str, ...]
    others: tuple[str, ...]


def plain(title: str, work: str, transport: str, size: str) -> Row:
    """A work of one OS thread on each side."""
    other = "iceoryx2" if transport == "ipc" else "zenoh"
    return Row(title, Case(work, transport, size), PLAIN, ("pyzmq", "pyomq", other, "c"))


def many(title: str, work: str, mine: str, *others: str) -> Row:
    """A work of tasks or threads in one OS thread."""
    return Row(title, Case(work, "tcp", "16"), (mine,), others)


ROWS = (
    plain("16 bytes, tcp", "one-call", "tcp", "16"),
    plain("1 KiB, tcp", "one-call", "tcp", "1K"),
    plain("4 KiB, tcp", "one-call", "tcp", "4K"),
    plain("64 KiB, ipc", "one-call", "ipc", "64K"),
    plain("16 bytes within a process", "one-call", "inproc", "16"),
    plain("three parts within a process", "multipart", "inproc", "16"),
    plain("round trip, tcp", "round-trip", "tcp", "16"),
    plain("one PUB to 100 SUB, tcp", "pub-sub-100", "tcp", "16"),
    many("asyncio, tcp", "one-call", "ratchet-asyncio", "pyzmq-asyncio", "pyomq-asyncio"),
    many("asyncio, round trip", "round-trip", "ratchet-asyncio", "pyzmq-asyncio", "pyomq-asyncio"),
    many("cooperative threads, tcp", "one-call", "ratchet-threads", "pyzmq-green"),
    many("cooperative threads, round trip", "round-trip", "ratchet-threads", "pyzmq-green"),
)


def ratio(samples: Samples, case: Case, mine: str, other: str) -> str:
    """How many times better mine is in the figure and in CPU time, by the medians, if both exist.

    On a busy machine the second says more.
    """
    if not other or (case, other) not in samples:
        return "–"
    pair = samples[case, mine], samples[case, other]
    return " / ".join(f"{ratios(case, *pair, cpu)[0]:.2g}" for cpu in (False, True))


def cells(samples: Samples, row: Row) -> list[str]:
    """One line of the table; none where ratchet was not measured."""
    mine = next((name for name in row.mine if (row.case, name) in samples), None)
    if mine is None:
        return []
    value = median(one.figure for one in samples[row.case, mine])
    shown = f"{value:.3g} µs" if timed(row.case) else f"{figure(value)}/s"
    # Of the same libzmq.
    others = ["c-own" if (name, mine) == ("c", "ratchet-own") else name for name in row.others]
    found = [ratio(samples, row.case, mine, name) for name in others]
    return [row.title, shown, *found, *["–"] * (len(COLUMNS) - 2 - len(found))]


def table(samples: Samples) -> list[str]:
    """The lines of a table in Markdown."""
    rows = [found for row in ROWS if (found := cells(samples, row))]
    return markdown([[*COLUMNS], *rows])
