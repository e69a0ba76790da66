"""Measures what 10,000 connections cost: a socket, its connect, its first message and its close.

Run as `python -m benchmarks.connections`. Every sample is a process of its own, in which one thread
does each of the four for all of its sockets before it comes to the next. They are PUSH sockets; the
PULL that they connect to is in C and in another process (c_connections.c), the same for all.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from . import machine
from .adapters import ADAPTERS
from .report import align, cell, write_json
from .scale import SPARE, descriptors
from .workers import (
    ENVIRONMENT,
    HERE,
    OWN,
    WorkerError,
    own_site,
    run,
    static_flags,
    workshop,
    zmq_flags,
)

PHASES = ("new", "connect", "first message", "close")
NUMBER = 10_000
LIBRARIES = ("ratchet", "ratchet-own", "pyzmq", "c", "c-own")
# Descriptors for each socket at the near end: its doorbell and its connection.
EACH = 2
# Seconds until what was begun has to be done.
LIMIT = 60
OWN_NEAR = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("benchmarks.connections", run_name="__main__", alter_sys=True)
"""


class Phase(NamedTuple):
    """What one phase took, for each socket."""

    wall: float  # µs until all of it was done, in the background too
    cpu: float  # µs of CPU time of the process, with libzmq's threads
    calls: float  # µs of wall time in the calls alone
    memory: float  # bytes by which the process has grown


Samples = dict[str, list[dict[str, Phase]]]


def say(phase: str) -> None:
    """Tell the parent that a phase is done, and wait until it has measured."""
    print(phase, flush=True)
    if not sys.stdin.readline():
        os._exit(0)


def near(name: str, endpoint: str, number: int) -> None:
    """Do all phases in this process with one library in Python."""
    library = ADAPTERS[name]()
    if name == "pyzmq":
        library.context().max_sockets = 65535
    new, join = library.new, library.join
    say("ready")
    sockets = [new("PUSH", 1000) for _ in range(number)]
    say("new")
    for sock in sockets:
        join(sock, endpoint, False)
    say("connect")
    for sock in sockets:
        sock.send(b"x")
    say("first message")
    for sock in sockets:
        sock.close()
    say("close")
    os._exit(0)


def compiled(folder: Path, name: str) -> Path:
    """The program in C, on the distribution's libzmq or on one as in the wheels."""
    program = folder / f"connections-{name}"
    if not program.exists():
        flags = static_flags(OWN) if name == "c-own" else zmq_flags()
        compiler = shlex.split(os.environ.get("CC", "cc"))
        source = str(HERE / "c_connections.c")
        run([*compiler, "-O2", "-o", str(program), source, *flags])
    return program


def command(name: str, folder: Path, endpoint: str, number: int) -> list[str]:
    """What starts the near end."""
    if name in ("c", "c-own"):
        return [str(compiled(folder, name)), "near", endpoint, str(number)]
    words = ["--near", name, endpoint, str(number)]
    if name == "ratchet-own":
        return [sys.executable, "-c", OWN_NEAR, str(own_site()), *words]
    return [sys.executable, "-m", f"{__package__}.connections", *words]


class Process:
    """One end, which is told to go on line by line."""

    def __init__(self, line: list[str], clean: bool) -> None:
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=HERE.parent,
            # The near end as a program starts it: what malloc gives back counts.
            env={**os.environ, "PYTHONHASHSEED": "0"} if clean else ENVIRONMENT | os.environ,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def hear(self) -> str:
        """The next line."""
        line = self.stdout.readline()
        if not line:
            raise WorkerError(f"{shlex.join(self.process.args)} has ended")  # type: ignore[arg-type]
        return line.strip()

    def tell(self, line: str) -> None:
        """Have it go on."""
        self.stdin.write(f"{line}\n")

    def cpu(self) -> float:
        """The seconds of CPU time that it has used."""
        clock = (~self.process.pid << 3) | 2  # CPUCLOCK_SCHED of the process (linux/posix-timers.h)
        return time.clock_gettime(clock)

    def memory(self) -> int:
        """The bytes that it has resident."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - many, and often

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def sample(name: str, folder: Path, number: int) -> dict[str, Phase]:
    """Measure one library once."""
    ends = []
    try:
        ends.append(Process([str(compiled(folder, "c")), "far"], clean=False))
        far = ends[0]
        ends.append(Process(command(name, folder, far.hear(), number), clean=True))
        near_end = ends[1]
        near_end.hear()
        idle = near_end.open_descriptors()
        found = {}
        for phase in PHASES:
            cpu, memory, began = near_end.cpu(), near_end.memory(), time.perf_counter()
            near_end.tell("go on")
            near_end.hear()
            called = time.perf_counter()
            finish(phase, near_end, far, idle, number)
            found[phase] = Phase(
                1e6 * (time.perf_counter() - began) / number,
                1e6 * (near_end.cpu() - cpu) / number,
                1e6 * (called - began) / number,
                (near_end.memory() - memory) / number,
            )
        return found
    finally:
        for end in ends:
            end.stop()


def finish(phase: str, near_end: Process, far: Process, idle: int, number: int) -> None:
    """Wait until what the calls began is done."""
    if phase == "first message":
        far.tell(str(number))
        far.hear()
    elif phase != "new":
        wanted = idle + EACH * number if phase == "connect" else idle + SPARE // 2
        deadline = time.monotonic() + LIMIT
        while (near_end.open_descriptors() < wanted) == (phase == "connect"):
            if time.monotonic() > deadline:
                raise WorkerError(f"{phase}: not done after {LIMIT} s")
            time.sleep(0.005)


def tables(samples: Samples, number: int) -> list[str]:
    """All of it for a reader."""
    first = next(iter(samples))
    lines = []
    for title, field, unit in (
        ("CPU time of the process, µs a socket", "cpu", 1.0),
        ("Time until all of it is done, µs a socket", "wall", 1.0),
        ("Time in the calls, µs a socket", "calls", 1.0),
        ("Growth of the process, KiB a socket", "memory", 1 / 1024),
    ):
        rows = [[f"{number:,} sockets", *PHASES, "all"]]
        sums = {}
        for name, found in samples.items():
            columns = [[unit * getattr(one[phase], field) for one in found] for phase in PHASES]
            whole = [sum(values) for values in zip(*columns, strict=True)]
            if field == "memory":  # what is there at the most, before the close
                whole = [sum(values[:-1]) for values in zip(*columns, strict=True)]
            sums[name] = median(whole)
            against = f"{sums[name] / sums[first]:.2f}x" if name != first else ""
            shown = [
                cell(values) if min(values) > 0 else f"{median(values):.2f}" for values in columns
            ]
            rows.append([name, *shown, f"{cell(whole)} {against}".strip()])
        lines += ["", title, *align(rows, left=1)]
    return lines


def main() -> int:
    """Measure everything; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections", description=__doc__)
    add = parser.add_argument
    add("--near", nargs=3, metavar=("LIBRARY", "ENDPOINT", "NUMBER"), help=argparse.SUPPRESS)
    add("--number", type=int, default=NUMBER, help="sockets (10000)")
    add("--rounds", type=int, default=3, help="how many rounds (3)")
    add("--libs", help=f"of {', '.join(LIBRARIES)}: those that are there")
    add("--json", type=Path, help="a file for every sample")
    args = parser.parse_args()
    if args.near:
        name, endpoint, number = args.near
        near(name, endpoint, int(number))
    number = min(args.number, (descriptors(EACH * args.number + SPARE) - SPARE) // EACH)
    if number < args.number:
        print(
            f"{number} sockets: this system allows a process no more descriptors", file=sys.stderr
        )
    about = machine.describe()
    samples: Samples = {}
    missing = set()
    with workshop() as folder:
        names = args.libs.split(",") if args.libs else list(LIBRARIES)
        for turn in range(-1, args.rounds):  # the first round finds out what is there
            shift = max(turn, 0) % len(names)
            for name in names[shift:] + names[:shift]:
                if name in missing:
                    continue
                try:
                    found = sample(name, folder, number if turn >= 0 else 10)
                except WorkerError as error:
                    if turn >= 0 or args.libs or name == "ratchet":
                        raise
                    missing.add(name)
                    print(f"left out: {name}: {str(error).splitlines()[-1]}", file=sys.stderr)
                else:
                    if turn >= 0:
                        samples.setdefault(name, []).append(found)
    samples = {name: samples[name] for name in names if name in samples}
    print(machine.heading(about, {}), *tables(samples, number), sep="\n")
    write_json(
        args.json,
        machine=about,
        number=number,
        samples={
            name: [{phase: one._asdict() for phase, one in sample.items()} for sample in found]
            for name, found in samples.items()
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
