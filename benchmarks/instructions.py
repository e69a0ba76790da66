"""Counts the instructions that one message costs, under callgrind, where timing is too noisy.

Run as `python -m benchmarks.instructions`. A worker sends and receives inproc in one thread, once
N and once 2N times; the difference over N is the cost of one, for start-up cancels. All threads are
counted: inproc the I/O thread only idles, and what little it does cancels too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import machine
from .report import align
from .workers import HERE, LIBRARIES, WorkerError, command, encode, workshop

SIZE = 16
# Warmed-up code takes the same path each time, so that few turns are enough: the result varies by
# about one instruction from run to run.
TURNS = 4000
# Seconds. Under callgrind everything is about fifty times slower.
LIMIT = 300

# Name: the kind of work and how many messages are sent before they are received.
WORKS = {
    "send, recv": ("one-call", 1),
    "100 send, 100 recv": ("one-call", 100),
    "send_many(100), recv_many(100)": ("batched", 100),
    "three-part multipart": ("multipart", 1),
}

Counts = dict[str, dict[str, float]]


def orders(work: str, batch: int, count: int) -> bytes:
    """What the worker is to do, from start to end."""
    opening = {"do": "open", "endpoint": "inproc://count", "hwm": 1000}
    burst = {"do": "burst", "work": work, "size": SIZE, "batch": batch, "count": count}
    return b"".join(
        encode(order, LIMIT)
        for order in (
            {"do": "facts"},
            opening | {"slot": 1, "type": "PULL", "bind": 1},
            opening | {"slot": 0, "type": "PUSH", "bind": 0},
            burst,
            {"do": "close"},
        )
    )


def obey(line: list[str], script: bytes) -> str:
    """Run a worker on orders from a file; its answers."""
    # A fixed hash seed makes sets and dicts of strings cost the same every time.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            line, input=script, capture_output=True, cwd=HERE.parent, env=environment,
            timeout=LIMIT, check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace")
        raise WorkerError(f"{' '.join(line)} failed:\n{said}") from None
    except subprocess.TimeoutExpired:
        raise WorkerError(f"{' '.join(line)}: not done after {LIMIT} s") from None
    return done.stdout.decode()


def total(library: str, work: str, batch: int, count: int, folder: Path) -> int:
    """The instructions of a whole process that does the work `count` times."""
    out = folder / f"{library}-{work}-{batch}-{count}"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    obey([*valgrind, *command(library, folder)], orders(work, batch, count))
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"no sum in {out}"
    return int(found[1])


def count(libraries: list[str], works: list[str] | None = None) -> tuple[Counts, dict[str, dict[str, str]]]:
    """Instructions by work and library, and each library's versions."""
    if not shutil.which("valgrind"):
        raise WorkerError("there is no valgrind: install it (apt-get install valgrind)")
    with workshop() as folder, ThreadPoolExecutor(machine.cores()) as pool:
        facts = {}
        for library in libraries:
            # Also compiles what there is to compile, so that no counted process has to.
            answers = obey(command(library, folder), orders("one-call", 1, 2))
            facts[library] = json.loads(answers.splitlines()[0])
        totals = {
            (name, library, turns): pool.submit(total, library, *WORKS[name], turns, folder)
            for name in works or WORKS
            for library in libraries
            for turns in (TURNS, 2 * TURNS)
        }
        counts = {
            name: {
                library: (
                    totals[name, library, 2 * TURNS].result()
                    - totals[name, library, TURNS].result()
                )
                / TURNS
                for library in libraries
            }
            for name in works or WORKS
        }
    return counts, facts


def main() -> int:
    """Count and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--libs", default="ratchet,pyzmq,c", help=f"of {', '.join(LIBRARIES)}")
    parser.add_argument("--json", type=Path, help="a file for the counts")
    args = parser.parse_args()
    libraries = args.libs.split(",")
    try:
        counts, facts = count(libraries)
    except WorkerError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    about = machine.describe()
    print(machine.heading(about, facts), end="\n\n")
    rows = [[f"instructions a message of {SIZE} bytes", *libraries]]
    rows += [[name, *(f"{row[lib]:,.0f}" for lib in libraries)] for name, row in counts.items()]
    print(*align(rows, left=1), sep="\n")
    if args.json:
        text = json.dumps({"machine": about, "libraries": facts, "counts": counts}, indent=1)
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
