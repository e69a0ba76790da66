"""Measures one wait for several sockets of which one is ready: a select, a poller, a selector.

Run as `python -m benchmarks.waits`. One process and one OS thread for all, inproc, round by round;
which of the sockets is ready differs from one round to the next.
"""

from __future__ import annotations

import argparse
import selectors
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from . import machine
from .adapters import ADAPTERS, Library
from .report import align, figure, spread
from .scale import SPARE, descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 10, 10_000
READ = selectors.EVENT_READ


class Subject:
    """One way to wait, over sockets of its own."""

    def __init__(self, library: Library, name: str, count: int, stack: ExitStack) -> None:
        self.pairs = []
        for number in range(count):
            far, endpoint = library.open("PULL", 1000, f"inproc://waits-{name}-{number}", True)
            self.pairs.append((library.open("PUSH", 1000, endpoint, False)[0], far))
        for sock in (sock for pair in self.pairs for sock in pair):
            stack.callback(sock.close)
        self.wait: Callable[[], Any]
        self.samples: list[float] = []

    def round(self, calls: int, turn: int) -> None:
        """Take the CPU time of so many waits that find one socket ready: none of them sleeps."""
        push, pull = self.pairs[turn * 7919 % len(self.pairs)]  # any of them, in no order
        push.send(b"x")
        wait = self.wait
        began = time.thread_time()
        for _ in range(calls):
            found = wait()
        seconds = time.thread_time() - began
        if len(found) != 1:
            raise SystemExit(f"not one was ready, but {found!r:.200}")
        pull.recv()
        if turn:  # the first warms up
            self.samples.append(seconds / calls * 1e9)


def subjects(many: int, stack: ExitStack) -> dict[str, Subject]:
    """All that is measured, by what the table calls it."""
    from ratchet import zmqsocket

    found = {}

    def add(title: str, library: Library, count: int) -> Subject:
        found[title] = Subject(library, str(len(found)), count, stack)
        return found[title]

    def registered(selector: Any, one: Subject) -> None:
        for _, pull in one.pairs:
            selector.register(pull, READ)

    ours = ADAPTERS["ratchet"]()
    select = add(f"zmqsocket.select of {FEW}", ours, FEW)
    pulls = [pull for _, pull in select.pairs]
    select.wait = lambda: zmqsocket.select(pulls, timeout=10)[0]
    try:
        theirs: Library | None = ADAPTERS["pyzmq"]()
    except ImportError:
        theirs = None
    if theirs is not None:
        import zmq

        polled, poller = add(f"pyzmq's Poller.poll of {FEW}", theirs, FEW), zmq.Poller()
        registered(poller, polled)
        polled.wait = lambda: poller.poll(10_000)
    for count in (FEW, many):
        selected = add(f"Selector.select of {count:,}", ours, count)
        selector = stack.enter_context(zmqsocket.Selector())
        registered(selector, selected)
        selected.wait = lambda selector=selector: selector.select(10)  # type: ignore[misc]
    return found


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="how many rounds count (25)")
    parser.add_argument("--calls", type=int, default=1000, help="waits of a round (1000)")
    parser.add_argument("--many", type=int, default=MANY, help="sockets of the selector (10000)")
    args = parser.parse_args()
    many = min(args.many, (descriptors(2 * args.many + SPARE) - SPARE) // 2)
    with ExitStack() as stack:
        libraries = {name: ADAPTERS[name]().facts() for name in ("ratchet",)}
        print(machine.heading(machine.describe(), libraries), flush=True)
        found = subjects(many, stack)
        order = list(found.values())
        for turn in range(args.rounds + 1):
            for one in order:
                one.round(args.calls, turn)
            order.append(order.pop(0))
    first = next(iter(found.values()))
    rows = [["One wait that finds one ready, ns", "median", "lowest", "highest", "times"]]
    for title, one in found.items():
        times = f"{median(one.samples) / median(first.samples):.2f}"
        rows.append([title, *map(figure, spread(one.samples)), times])
    print("", *align(rows, left=1), sep="\n")
    few, large = (median(one.samples) for one in list(found.values())[-2:])
    print(f"\nSelector, {many:,} sockets against {FEW}: {large / few:.2f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
