"""Counts the instructions that one message costs, under callgrind, where a clock is too noisy.

Run as `python -m benchmarks.instructions`. A worker sends and receives inproc in one thread, N
messages and in another process 2N; the difference over N is the cost of one, for start-up cancels.
All threads are counted: inproc the I/O thread idles, and what little it does cancels too.

With --check it fails when ratchet needs 3 % more than budgets.json allows. What Python itself does
for a call is counted too, so the budgets are of one version of Python and of libzmq.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from . import machine
from .report import align, write_json
from .workers import LIBRARIES, Worker, WorkerError, workshop

SIZE = 16
# Code that is warm takes the same path each time, so few messages are enough: from run to run the
# result differs by less than one percent.
MESSAGES = 4000
# Seconds for one process. Under callgrind everything is about fifty times slower.
LIMIT = 300

# Of each figure: the kind of work, and how many messages are sent before they are received.
WORKS = {
    "send, recv": ("one-call", 1),
    "100 send, 100 recv": ("one-call", 100),
    "100 send, 100 recv_all": ("all", 100),
    "100 send, 100 by iteration": ("iterated", 100),
    "send_many, recv_many of 100": ("batched", 100),
    "send_multipart, recv_multipart of 3": ("multipart", 1),
}
# What only some have.
OWN = {"all": ("ratchet", "ratchet-threads"), "iterated": ("ratchet", "ratchet-threads")}
BUDGETS = Path(__file__).with_name("budgets.json")
# What the same code may need more from one run to the next, or is not worth a look.
SLACK = 1.03


def orders(work: str, batch: int, count: int) -> list[dict[str, object]]:
    """What a worker is to do."""
    opening: dict[str, object] = {"do": "open", "endpoint": "inproc://count", "hwm": 1000}
    burst = {"do": "burst", "work": work, "size": SIZE, "batch": batch, "count": count}
    return [
        opening | {"slot": 1, "type": "PULL", "bind": 1},
        opening | {"slot": 0, "type": "PUSH", "bind": 0},
        burst,
        {"do": "close"},
    ]


def facts(library: str) -> dict[str, str]:
    """The versions. Also compiles what there is to compile, so that no counted process has to."""
    with workshop() as folder, ExitStack() as stack:
        worker = Worker(library, folder)
        stack.callback(worker.stop)
        for order in orders("one-call", 1, 2):
            worker.ask(order)
        return worker.ask({"do": "facts"})


def count(library: str, work: str) -> float:
    """The instructions of one message."""
    if not shutil.which("valgrind"):
        raise WorkerError("this needs valgrind (apt-get install valgrind)")
    script = [orders(*WORKS[work], many) for many in (MESSAGES, 2 * MESSAGES)]
    totals = []
    with workshop() as folder, ExitStack() as stack:
        outs = [folder / "once", folder / "twice"]
        workers = []
        for out in outs:
            tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
            workers.append(Worker(library, folder, tool))
            stack.callback(workers[-1].stop)
        # Both have all their orders before the first is awaited, so that they run side by side.
        for worker, what in zip(workers, script, strict=True):
            for order in what:
                worker.tell(order, LIMIT)
        for worker, what, out in zip(workers, script, outs, strict=True):
            for _ in what:
                worker.hear()
            worker.finish()
            found = re.search(r"^(?:summary|totals): (\d+)", out.read_text("utf-8"), re.MULTILINE)
            assert found, "callgrind wrote no sum"
            totals.append(int(found[1]))
    return (totals[1] - totals[0]) / MESSAGES


def over_budget(counts: dict[str, dict[str, float]], libzmq: str) -> list[str]:
    """What needs more than it may, in words."""
    build = f"Python {platform.python_version()}, libzmq {libzmq}"
    budgets: dict[str, dict[str, int]] = json.loads(BUDGETS.read_text("utf-8")).get(build)
    if budgets is None:
        print(f"No budget is known for {build}; {BUDGETS.name} has others.")
        return []
    return [
        f"{name}: {work}: {counts[work][name]:,.0f} instructions, of {allowed:,} allowed"
        for name, works in budgets.items()
        for work, allowed in works.items()
        if counts.get(work, {}).get(name, 0) > allowed * SLACK
    ]


def main() -> int:
    """Count and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--libs", default="ratchet,pyzmq,c", help=f"of {', '.join(LIBRARIES)}")
    parser.add_argument("--json", type=Path, help="a file for the counts")
    parser.add_argument("--check", action="store_true", help="fail when over budget")
    args = parser.parse_args()
    libraries = args.libs.split(",")
    about = machine.describe()
    try:
        known = {library: facts(library) for library in libraries}
        print(machine.heading(about, known), flush=True)
        counts = {
            work: {
                name: count(name, work) for name in libraries if name in OWN.get(kind, libraries)
            }
            for work, (kind, _) in WORKS.items()
        }
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"benchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    rows = [[f"Instructions for a message of {SIZE} bytes", *libraries]]
    rows += [
        [work, *(f"{row[name]:,.0f}" if name in row else "" for name in libraries)]
        for work, row in counts.items()
        if row
    ]
    print("", *align(rows, left=1), sep="\n")
    write_json(args.json, machine=about, libraries=known, counts=counts)
    if args.check:
        found = over_budget(counts, known[libraries[0]]["libzmq"])
        print("", *found or ["Within the budget."], sep="\n")
        return bool(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
