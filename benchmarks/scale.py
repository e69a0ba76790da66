"""Measures what many paused threads and sockets cost in one OS thread, library beside library.

Run as `python -m benchmarks.scale`. Every sample is a process of its own: it opens the sockets, has
each thread pause, measures for a fraction of a second, and ends. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from . import machine, plot, scale_loops
from .adapters import ADAPTERS, Cooperative, libzmq
from .report import align, cell, write_json
from .workers import WorkerError, run

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[str, str, int]  # work, library, number of sockets

LIBRARIES = [name for name, kind in ADAPTERS.items() if issubclass(kind, Cooperative)]
DEFAULT_LIBRARIES = "ratchet-threads,pyzmq-green,ratchet-asyncio,pyzmq-asyncio"
NUMBERS = "10,100,1000,10000"
WORKS = {
    "idle": "A message to one of 10 threads, while N are paused, each on its own socket",
    "paused": "A message to one of N threads, each paused on its own socket",
    "fan-in": "A message from one of N threads, each with its own socket, to one receiver",
    "switch": "A switch from one of two threads to the other",
}
# What the messages of the first kind cost without threads: libzmq, the kernel and the cache.
FLOOR = "floor"
FLOOR_NAME = "one epoll loop"
MEMORY = {
    "threads": "a thread paused in pause()",
    "sockets": "a socket without a thread",
    "both": "a thread paused in recv() of its own socket",
    "libzmq": "libzmq's part of a socket: zmq_socket without Python",
    "own": "so the thread paused in recv(), without libzmq's part",
}
LIMIT = 60  # seconds for one process
PAGE = os.sysconf("SC_PAGE_SIZE")
SPARE = 100  # descriptors for everything but sockets


def descriptors(wanted: int) -> int:
    """Raise the limit of open descriptors as far as wanted and allowed; what it then is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def memory(what: str, number: int) -> float:
    """Bytes that each of so many takes, in ratchet."""
    import ratchet
    from ratchet import thread, zmqsocket

    keep: list[Any] = [None] * number

    def sock(index: int) -> Any:
        zsock = zmqsocket.new("PULL")
        zsock.bind(f"inproc://memory-{index}")
        return zsock

    def serve(index: int) -> None:
        with sock(index) as zsock:
            zsock.recv()

    def raw(index: int) -> Any:
        made = lib.zmq_socket(context, 7)  # ZMQ_PULL
        if not made or lib.zmq_bind(made, b"inproc://memory-%d" % index):
            raise OSError("libzmq has no more sockets")
        return made

    def main() -> float:
        make = {
            "threads": lambda _: thread.attach_background(thread.pause),
            "sockets": sock,
            "both": lambda index: thread.attach_background(serve, index),
            "libzmq": raw,
        }[what]
        keep[0] = make(0)  # what is made with the first one only is not counted
        thread.timer(0.01)
        before = resident()
        for index in range(1, number):
            keep[index] = make(index)
        thread.timer(0.01)
        return (resident() - before) / (number - 1)

    lib = libzmq()
    lib.zmq_ctx_new.restype = lib.zmq_socket.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.zmq_ctx_new())
    lib.zmq_ctx_set(context, 2, 65535)  # ZMQ_MAX_SOCKETS
    lib.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.zmq_bind.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return ratchet.run(main)


def sample(work: str, name: str, number: int, seconds: float) -> float:
    """Measure in this process."""
    descriptors(number + SPARE)
    if work in MEMORY:
        return memory(work, number)
    library = ADAPTERS[name]()
    if name.startswith("pyzmq"):
        library.context().max_sockets = 65535
    loop = library.loop(work.replace("-", "_"), pairs=library.pairs, source=scale_loops)
    return float(library.run(loop, library, number, seconds))


def measure(key: Key, seconds: float) -> float:
    """Measure in a process of its own."""
    work, library, number = key
    words = [work, library, str(number), str(seconds)]
    return float(run([sys.executable, "-m", f"{__package__}.scale", "--sample", *words], LIMIT))


def keys(libraries: list[str], numbers: list[int], works: list[str]) -> Iterator[list[Key]]:
    """What is measured: in each list, the same thing for all libraries."""
    for work in works:
        if work == "memory":
            yield from (
                [(what, "ratchet-threads", max(numbers))] for what in MEMORY if what != "own"
            )
        elif work == "switch":
            yield [(work, library, 2) for library in libraries]
        else:
            floor = [FLOOR] * (work == "paused")
            for number in numbers:
                yield [(work, library, number) for library in libraries]
                yield from ([(work, "ratchet", number)] for work in floor)


def tables(samples: dict[Key, list[float]], libraries: list[str], numbers: list[int]) -> str:
    """All of it for a reader."""
    lines = []
    for work, title in WORKS.items():
        if not any(key[0] == work for key in samples):
            continue
        columns = {name: (work, name) for name in libraries}
        if work == "paused":
            columns[FLOOR_NAME] = FLOOR, "ratchet"
        rows = [[work, *columns, *(f"against {name}" for name in libraries[1:])]]
        for number in [2] if work == "switch" else numbers:
            found = [samples[*column, number] for column in columns.values()]
            mine, *others = (median(values) for values in found[: len(libraries)])
            cells = [cell([value * 1e6 for value in values]) for values in found]
            rows.append([f"N = {number:,}", *cells, *(f"{other / mine:.2f}x" for other in others)])
        if work != "switch" and len(numbers) > 1:
            low, high = min(numbers), max(numbers)
            growth = [
                median(samples[*column, high]) / median(samples[*column, low])
                for column in columns.values()
            ]
            cells = [f"{value:.2f}x" for value in growth]
            rows.append([f"{high:,} against {low:,}", *cells, *[""] * len(libraries[1:])])
        lines += ["", f"{title}, µs", *align(rows, left=1)]
    lines += ["", "Median (lowest-highest round). Against: how many times the first is faster."]
    if found := {key[0]: median(values) for key, values in samples.items() if key[0] in MEMORY}:
        found["own"] = found["both"] - found["libzmq"]
        rows = [[MEMORY[what], f"{value / 1024:.2f}"] for what, value in found.items()]
        title = f"Resident memory of each of {max(numbers):,} of ratchet's, KiB"
        lines += ["", title, *align(rows, left=1)]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    add = parser.add_argument
    known = ", ".join(LIBRARIES)
    add("--libs", default=DEFAULT_LIBRARIES, help=f"of {known} ({DEFAULT_LIBRARIES})")
    add("--numbers", default=NUMBERS, help=f"how many sockets ({NUMBERS})")
    add("--only", default="", help=f"of {', '.join([*WORKS, 'memory'])}")
    add("--rounds", type=int, default=5, help="how many rounds (5)")
    add("--seconds", type=float, default=0.3, help="about how long each sample measures (0.3)")
    add("--json", type=Path, help="a file for every sample")
    add("--plot", type=Path, help="a file for the plot, an SVG")
    add("--sample", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.libs = args.libs.split(",")
    args.only = args.only.split(",") if args.only else [*WORKS, "memory"]
    args.numbers = sorted(map(int, args.numbers.split(",")))
    if strange := set(args.libs) - set(LIBRARIES):
        parser.error(f"--libs: {', '.join(strange)}: there are {known}")
    if strange := set(args.only) - {*WORKS, "memory"}:
        parser.error(f"--only: {', '.join(strange)}: there are {', '.join(WORKS)}, memory")
    return args


def main() -> int:
    """Measure, round by round; the exit status."""
    args = arguments()
    if args.sample:
        work, name, number, seconds = args.sample
        print(sample(work, name, int(number), float(seconds)), flush=True)
        os._exit(0)  # closing ten thousand sockets is not measured, and takes long
    most = descriptors(max(args.numbers) + SPARE) - SPARE
    if too_many := [number for number in args.numbers if number > most]:
        print(f"left out: {too_many}: only {most} descriptors are allowed", file=sys.stderr)
        args.numbers = [number for number in args.numbers if number <= most]
    about = machine.describe()
    samples: dict[Key, list[float]] = {}
    try:
        facts = {name: ADAPTERS[name]().facts() for name in args.libs}
        print(machine.heading(about, facts), flush=True)
        for turn in range(args.rounds):
            for group in keys(args.libs, args.numbers, args.only):
                shift = turn % len(group)
                for key in group[shift:] + group[:shift]:
                    samples.setdefault(key, []).append(measure(key, args.seconds))
            print(f"round {turn + 1} of {args.rounds}: done", file=sys.stderr)
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"benchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    print(tables(samples, args.libs, args.numbers))
    if args.plot and "paused" in args.only:
        columns = {name: ("paused", name) for name in args.libs} | {FLOOR_NAME: (FLOOR, "ratchet")}
        lines = {
            name: [(number, median(samples[*column, number]) * 1e6) for number in args.numbers]
            for name, column in columns.items()
        }
        text = plot.svg(lines, f"{WORKS['paused']}, µs", "N")
        args.plot.write_text(text, encoding="utf-8")
    results = [
        {"work": work, "library": library, "number": number, "samples": values}
        for (work, library, number), values in samples.items()
    ]
    write_json(args.json, machine=about, libraries=facts, results=results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
