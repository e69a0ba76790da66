"""The table of a benchmark: alive at a terminal with rich, else each row as it is done."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from .. import terminal
from .near import WORKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .near import Bench, Row

__all__ = ["figure", "heading", "shown", "size_name", "summary"]

FIRST = 10  # columns for the size


@contextlib.contextmanager
def shown(bench: Bench, *, quiet: bool) -> Iterator[Callable[[Row, bool], None]]:
    """Yield what shows a new sample; show what is left at the end."""
    screen = terminal.console(sys.stderr)
    if screen:
        from rich.live import Live

        with Live(console=screen, auto_refresh=False, transient=True) as live:
            yield lambda _row, _done: live.update(whole(bench), refresh=True)
        if quiet:
            return
        end = terminal.console(sys.stdout)
        if end:
            end.print(whole(bench), end="")
        else:
            print(whole(bench).plain, end="")
    elif quiet:
        yield lambda _row, _done: None
        return
    else:
        print(heading(bench), flush=True)

        def show(row: Row, done: bool) -> None:
            if done:
                if row == next(other for other in bench.rows if other.work == row.work):
                    print("\n" + head(bench, row.work), flush=True)
                print(line_of(bench, row), flush=True)

        yield show
    print("\n" + summary(bench))
    if text := warning(bench):
        print(text)


def heading(bench: Bench) -> str:
    """Return what the figures depend on, in two lines."""
    which = ", ".join(f"{name} {version}" for name, version in bench.versions().items())
    here, there = bench.here, bench.there
    where = f"two processes on {here['host']}, {here['processors']} processors, tcp"
    if not bench.far.local:
        where = f"{here['host']} to {there['host']}, {bench.far.endpoint}"
    return f"{which}, Python {here['python']}\n{where}; medians of {bench.rounds} runs"


def head(bench: Bench, work: str) -> str:
    """Return the line above the figures of a work."""
    names = "".join(f"  {name:>{width(name)}}" for name in bench.libraries)
    return f"{WORKS[work]}\n{'':{FIRST}}{names}"


def width(name: str) -> int:
    """Return the width of a library's column."""
    return max(9, len(name))


def line_of(bench: Bench, row: Row) -> str:
    """Return a row of figures."""
    return f"{size_name(row.size):>{FIRST}}{''.join(cell for cell, _ in cells(bench, row))}"


def cells(bench: Bench, row: Row) -> Iterator[tuple[str, bool]]:
    """Go through the cells of a row; of the best figure the flag is true."""
    found = [value for name in bench.libraries if (value := bench.median(row, name)) is not None]
    best = (max if row.work == "rate" else min)(found, default=None)
    for name in bench.libraries:
        value = bench.median(row, name)
        cell = f"  {figure(bench, row, name):>{width(name)}}"
        yield cell, value is not None and value == best


def figure(bench: Bench, row: Row, name: str) -> str:
    """Return the text of a cell."""
    value = bench.median(row, name)
    if value is None:
        return "" if name in bench.measured(row) else "-"
    if row.work == "trip":
        return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"
    return f"{round(value, -3):,.0f}" if value >= 100_000 else f"{value:,.0f}"


def size_name(size: int) -> str:
    """Return a size in words, as short as can be."""
    return terminal.binary(size).replace(".0 ", " ")


def summary(bench: Bench) -> str:
    """Say in a sentence how ratchet stands to pyzmq."""
    smallest = next(row for row in bench.rows if row.work == "rate")
    times = []
    for kind in ("", " asyncio"):
        ours = bench.median(smallest, f"ratchet{kind}")
        theirs = bench.median(smallest, f"pyzmq{kind}")
        if not ours or not theirs:
            return "To see pyzmq beside it, install it on both sides: pip install pyzmq"
        times.append(f"{ours / theirs:.1f} times as many")
    size = size_name(smallest.size)
    return (
        f"With {size}, ratchet moved {times[0]} messages a second as pyzmq;\n"
        f"in asyncio, {times[1]}."
    )


def warning(bench: Bench) -> str:
    """Say that figures cannot be trusted, if so; else nothing."""
    load = bench.here["load"]
    if load is None or load <= bench.here["processors"]:
        return ""
    return f"This machine was busy (load {load:.1f}): figures are low, and differ between runs."


def whole(bench: Bench) -> Any:
    """Return the table as far as it is, for rich: the best figure of each row in green."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop")
    text.append(heading(bench) + "\n")
    for work in WORKS:
        title, names = head(bench, work).split("\n")
        text.append(f"\n{title}\n", "bold").append(f"{names}\n")
        for row in bench.rows:
            if row.work == work:
                text.append(f"{size_name(row.size):>{FIRST}}")
                for cell, best in cells(bench, row):
                    text.append(cell, "green" if best else "")
                text.append("\n")
    return text
