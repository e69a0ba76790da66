"""Checks that memory and descriptors do not grow with the messages sent or the sockets opened.

Run as `python -m benchmarks.memory`. Ends with status 1 if ratchet, or the first library named,
grew by more than the bounds below; the others are beside it for comparison.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from . import machine
from .adapters import ADAPTERS
from .instructions import orders
from .report import align, write_json
from .workers import Worker, WorkerError, workshop

MESSAGES = 1_000_000
CYCLES = 10_000
# What a heap may grow by without a leak, as its free pieces settle. A leak of four bytes a message,
# or of 210 bytes each time a socket is opened, is more.
BOUND = {"resident": 4 << 20, "descriptors": 0}
# Seconds for one order.
LIMIT = 120
# libzmq closes sockets in the background, slower than they can be opened. So a worker does a few,
# and has so many seconds until its descriptors are back; without this, sockets still on their way
# out are counted as a leak.
CYCLES_AT_ONCE = 100
SETTLE = 5.0


def cycles(worker: Worker, count: int) -> None:
    """Have sockets opened and closed, and wait until they are."""
    before = worker.ask({"do": "usage"})["descriptors"]
    for _ in range(count // CYCLES_AT_ONCE):
        worker.ask({"do": "cycle", "count": CYCLES_AT_ONCE}, LIMIT)
        deadline = time.monotonic() + SETTLE
        while worker.ask({"do": "usage"})["descriptors"] > before:
            if time.monotonic() > deadline:
                return  # the measurement will say how many are left
            time.sleep(0.001)


def growth(library: str) -> dict[str, dict[str, int]]:
    """What came on top, for messages and for sockets, after a tenth of each to warm up."""
    *opening, burst, close = orders("one-call", 100, MESSAGES)
    with workshop() as folder, ExitStack() as stack:
        worker = Worker(library, folder)
        stack.callback(worker.stop)
        for order in opening:
            worker.ask(order)
        worker.ask(burst | {"count": MESSAGES // 10}, LIMIT)
        usages = [worker.ask({"do": "usage"})]
        worker.ask(burst, LIMIT)
        usages.append(worker.ask({"do": "usage"}))
        cycles(worker, CYCLES // 10)
        usages.append(worker.ask({"do": "usage"}))
        cycles(worker, CYCLES)
        usages.append(worker.ask({"do": "usage"}))
        worker.ask(close)
    return {
        "messages": {key: usages[1][key] - usages[0][key] for key in BOUND},
        "sockets": {key: usages[3][key] - usages[2][key] for key in BOUND},
    }


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--libs", default="ratchet,pyzmq", help=f"of {', '.join(ADAPTERS)}")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    args = parser.parse_args()
    libraries = args.libs.split(",")
    about = machine.describe()
    try:
        grown = {library: growth(library) for library in libraries}
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"benchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    rows = [["growth after", f"{MESSAGES:,} messages", "", f"{CYCLES:,} pairs of sockets", ""]]
    for library, works in grown.items():
        cells = [(f"{w['resident'] >> 10} KiB", f"{w['descriptors']} fd") for w in works.values()]
        rows.append([library, *cells[0], *cells[1]])
    print(*align(rows, left=1), sep="\n")
    subject = libraries[0]
    over = [
        f"{work}: {key} grew by {figures[key]}, more than {bound}"
        for work, figures in grown[subject].items()
        for key, bound in BOUND.items()
        if figures[key] > bound
    ]
    print(f"{subject}: {'; '.join(over) or 'within the bounds'}")
    write_json(args.json, machine=about, growth=grown, bound=BOUND)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
