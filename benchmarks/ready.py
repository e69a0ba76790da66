"""Measures a `recv` that finds a message waiting: called plainly, in a thread, awaited.

Run as `python -m benchmarks.ready`. One process and one OS thread for all, inproc, a hundred
messages at a time; only receiving is timed.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

from . import machine
from .adapters import ADAPTERS, Parcel
from .report import align, figure, spread

LIBRARIES = "ratchet,ratchet-threads,ratchet-asyncio,ratchet-uvloop,pyzmq,pyzmq-asyncio"
SIZE = 16
BATCH = 100


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ready", description=__doc__)
    parser.add_argument("--libs", default=LIBRARIES, help=f"of {', '.join(ADAPTERS)}")
    parser.add_argument("--rounds", type=int, default=25, help="how many rounds count (25)")
    args = parser.parse_args()
    libraries = {name: ADAPTERS[name]() for name in args.libs.split(",")}
    parcel = Parcel("ready", SIZE, BATCH)
    facts = {name: library.facts() for name, library in libraries.items()}
    print(machine.heading(machine.describe(), facts), flush=True)
    ends, samples = {}, {}
    for name, library in libraries.items():
        far, endpoint = library.run(library.open, "PULL", 1000, f"inproc://ready-{name}", True)
        ends[name] = [library.run(library.open, "PUSH", 1000, endpoint, False)[0], far]
        samples[name] = [0.0] * 0
    for turn in range(args.rounds + 1):
        for name, library in libraries.items():
            count = BATCH * (200 if name.startswith("ratchet") else 20)
            seconds = library.work("ready", "ready", ends[name], parcel, count)
            if turn:  # the first round warms up
                samples[name].append(seconds / count * 1e9)
    first = next(iter(samples.values()))
    rows = [["A recv of a message that is there, ns", "median", "lowest", "highest", "times"]]
    for name, values in samples.items():
        times = f"{median(values) / median(first):.2f}"
        rows.append([name, *map(figure, spread(values)), times])
    print("", *align(rows, left=1), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
