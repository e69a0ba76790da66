"""Measures how the cost of a message grows with sockets, peers, threads and size, side by side.

Run as `python -m benchmarks.scale`. Every sample is a process of its own: it opens the sockets, has
each thread pause, measures for a fraction of a second, and ends. docs/benchmarks.md says what is
measured.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import sys
from math import log, nan
from pathlib import Path
from statistics import linear_regression, median
from typing import TYPE_CHECKING, Any, NamedTuple

from . import machine, plot, scale_loops
from .adapters import ADAPTERS, libzmq
from .cases import SIZES
from .report import align, cell, markdown, spread, write_json, write_page
from .workers import WorkerError, run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Key = tuple[str, str, int]  # work, library, N
Samples = dict[Key, list[float]]  # seconds, or bytes


class Work(NamedTuple):
    """What grows: its title, the libraries and the values of N."""

    title: str
    libraries: tuple[str, ...]
    numbers: tuple[int, ...]


MANY = ("ratchet-threads", "pyzmq-green", "ratchet-asyncio", "pyzmq-asyncio")
PLAIN = ("ratchet", "pyzmq")
WORKS = {
    "idle": Work(
        "A message to one of 10 threads, while N are paused, each on its own socket",
        MANY,
        (10, 100, 1000, 10_000),
    ),
    "paused": Work(
        "A message to one of N threads, each paused on its own socket",
        MANY,
        (1, 10, 100, 1000, 10_000),
    ),
    "fan-in": Work(
        "A message from one of N threads, each with its own socket, to one receiver",
        MANY,
        (1, 10, 100, 1000, 10_000),
    ),
    "switch": Work("A switch to the next of N threads", MANY, (2, 10, 100, 1000, 10_000)),
    "os-threads": Work(
        "A message to one of N OS threads, each paused on its own socket",
        ("ratchet-os", "pyzmq-os"),
        (1, 10, 50, 200),
    ),
    "peers-inproc": Work(
        "A message from one of N sockets connected to one, inproc", PLAIN, (1, 10, 100, 1000)
    ),
    "peers-tcp": Work(
        "A message from one of N sockets connected to one, tcp", PLAIN, (1, 10, 100, 1000)
    ),
    "size": Work(
        "One send and one recv of N bytes, inproc",
        ("ratchet", "ratchet-frames", "pyzmq", "pyzmq-frames"),
        tuple(SIZES.values()),
    ),
}
ALL = ",".join(dict.fromkeys(name for work in WORKS.values() for name in work.libraries))
MOST = 10_000
# From here on as many messages are on their way whatever N is, so that the slope is of one thing.
SLOPE_FROM = 10
# What the messages of "paused" cost without threads: libzmq, the kernel and the cache.
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
# Descriptors for everything but sockets, and for each socket and both ends of its connection.
SPARE, EACH = 100, 3


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
    descriptors((1 if work == "size" else EACH * number) + SPARE)
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


def keys(works: dict[str, Work], memory: int) -> Iterator[list[Key]]:
    """What is measured: in each list, the same thing for all libraries."""
    for name, work in works.items():
        for number in work.numbers:
            yield [(name, library, number) for library in work.libraries]
            if name == "paused":
                yield [(FLOOR, "ratchet", number)]
    if memory:
        yield from ([(what, "ratchet-threads", memory)] for what in MEMORY if what != "own")


def slope(line: list[tuple[int, float]]) -> float:
    """The exponent of the power of N that the cost grows with: the line through the logarithms."""
    line = [point for point in line if point[0] >= SLOPE_FROM]
    if len(line) < 2:
        return nan
    return linear_regression([log(x) for x, _ in line], [log(y) for _, y in line]).slope


def table(samples: Samples, name: str, work: Work) -> list[list[str]]:
    """The rows of one work for a reader."""
    columns = {library: (name, library) for library in work.libraries}
    if name == "paused":
        columns[FLOOR_NAME] = FLOOR, "ratchet"
    rows = [[name, *columns]]
    for number in work.numbers:
        found = [samples[*column, number] for column in columns.values()]
        mine, *others = (median(values) for values in found[: len(work.libraries)])
        compared = ["", *(f" {other / mine:.2f}x" for other in others), ""]
        cells = (cell([value * 1e6 for value in values]) for values in found)
        rows.append([f"N = {number:,}", *map("".join, zip(cells, compared, strict=False))])
    found = [
        [(number, median(samples[*column, number])) for number in work.numbers]
        for column in columns.values()
    ]
    low, high = work.numbers[0], work.numbers[-1]
    growth = [f"{line[-1][1] / line[0][1]:.2f}x" for line in found]
    rows.append([f"{high:,} against {low:,}", *growth])
    rows.append(["slope", *(f"{slope(line):.2f}" for line in found)])
    return rows


def tables(samples: Samples, works: dict[str, Work], memory: int) -> dict[str, list[list[str]]]:
    """All of it for a reader, by title."""
    found = {f"{work.title}, µs": table(samples, name, work) for name, work in works.items()}
    if memory:
        sizes = {key[0]: median(values) for key, values in samples.items() if key[0] in MEMORY}
        sizes["own"] = sizes["both"] - sizes["libzmq"]
        title = f"Resident memory of each of {memory:,} of ratchet's"
        rows = [[MEMORY[what], f"{value / 1024:.2f}"] for what, value in sizes.items()]
        found[title] = [["what", "KiB"], *rows]
    return found


NOTE = f"""\
Median (lowest-highest round), then how many times the first library is faster. Slope: the
exponent p if the cost grows as N to the power of p, from N = {SLOPE_FROM} on; 0 is no growth,
1 proportion."""


def plots(samples: Samples, works: dict[str, Work], folder: Path) -> list[str]:
    """What is drawn; the lines that show it in the page."""

    def line(name: str, library: str, unit: float) -> plot.Line:
        numbers = works["paused" if name == FLOOR else name].numbers
        found = ([value * unit for value in samples[name, library, n]] for n in numbers)
        return [(n, *spread(values)) for n, values in zip(numbers, found, strict=True)]

    lines = []
    for name, of in (("paused", "threads and sockets"), ("size", "bytes")):
        if work := works.get(name):
            drawn = {library: line(name, library, 1e6) for library in work.libraries}
            if name == "paused":
                drawn[FLOOR_NAME] = line(FLOOR, "ratchet", 1e6)
            ticks = {float(n): f"{n:,}" for n in work.numbers}
            path = folder / f"scale-{name}"
            lines += plot.draw(path, work.title, (f"N: {of}", "µs a message"), drawn, ticks)
    grown = {}
    for name, work in works.items():
        for library in work.libraries:
            if library.startswith("ratchet") and name != "size":
                points = [p for p in line(name, library, 1.0) if p[0] >= SLOPE_FROM]
                scaled = [(n, *(v / points[0][1] for v in values)) for n, *values in points]
                grown[f"{name}: {library}"] = scaled
    if grown:
        title = f"ratchet: the cost of a message or switch, beside that at N = {SLOPE_FROM}"
        ticks = {float(10**power): f"{10**power:,}" for power in range(1, 5)}
        lines += plot.draw(folder / "scale-growth", title, ("N", "times"), grown, ticks)
    return lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    add = parser.add_argument
    add("--libs", default=ALL, help="%(default)s")
    add("--most", type=int, default=MOST, help="the largest N, of all but size (10000)")
    add("--only", default="", help=f"of {', '.join([*WORKS, 'memory'])}")
    add("--rounds", type=int, default=3, help="how many rounds (3)")
    add("--seconds", type=float, default=0.3, help="about how long each sample measures (0.3)")
    add("--json", type=Path, help="a file for every sample")
    add("--write", type=Path, metavar="PAGE", help="refresh this page, its plots and JSON")
    add("--sample", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    libraries, words = args.libs.split(","), args.only.split(",") if args.only else []
    if strange := set(libraries) - set(ALL.split(",")):
        parser.error(f"--libs: {', '.join(strange)}: there are {ALL}")
    if strange := set(words) - {*WORKS, "memory"}:
        parser.error(f"--only: {', '.join(strange)}: there are {', '.join(WORKS)}, memory")
    args.libraries = libraries
    args.works = [name for name in WORKS if name in (words or WORKS)]
    args.memory = args.most if not words or "memory" in words else 0
    return args


def there(libraries: list[str]) -> dict[str, dict[str, str]]:
    """The facts of those that are installed."""
    facts = {}
    for name in libraries:
        try:
            facts[name] = ADAPTERS[name]().facts()
        except ImportError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    return facts


def chosen(args: argparse.Namespace, libraries: Collection[str]) -> dict[str, Work]:
    """The works with those libraries and values of N that can be had."""
    works = {}
    for name in args.works:
        work = WORKS[name]
        each = EACH if name == "peers-tcp" else 1
        most = (descriptors(max(work.numbers) * each + SPARE) - SPARE) // each
        most = max(work.numbers) if name == "size" else min(args.most, most)
        numbers = tuple(number for number in work.numbers if number <= most)
        if len(numbers) < len(work.numbers):
            print(f"left out: {name}: {work.numbers[len(numbers) :]}", file=sys.stderr)
        found = tuple(library for library in work.libraries if library in libraries)
        if found and numbers:
            works[name] = Work(work.title, found, numbers)
    return works


def main() -> int:
    """Measure, round by round; the exit status."""
    args = arguments()
    if args.sample:
        work, name, number, seconds = args.sample
        print(sample(work, name, int(number), float(seconds)), flush=True)
        os._exit(0)  # closing ten thousand sockets is not measured, and takes long
    about = machine.describe()
    samples: Samples = {}
    try:
        facts = there(args.libraries)
        works = chosen(args, facts)
        heading = machine.heading(about, facts)
        print(heading, flush=True)
        for turn in range(args.rounds):
            for group in keys(works, args.memory):
                shift = turn % len(group)
                for key in group[shift:] + group[:shift]:
                    samples.setdefault(key, []).append(measure(key, args.seconds))
            print(f"round {turn + 1} of {args.rounds}: done", file=sys.stderr)
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"benchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    found = tables(samples, works, args.memory)
    for title, rows in found.items():
        print("", title, *align(rows, left=1), sep="\n")
    print("", NOTE, sep="\n")
    results = [
        {"work": work, "library": library, "number": number, "seconds": values}
        for (work, library, number), values in samples.items()
    ]
    document = {"machine": about, "libraries": facts, "results": results}
    write_json(args.json, **document)
    everything = [args.libs, args.only, args.most] == [ALL, "", MOST]
    if args.write and not everything:
        print(f"{args.write} stays as it is: this was not all")
    elif args.write:
        beside = args.write.with_suffix("")
        write_json(beside / "scale.json", **document)
        page = [f"Rounds: {args.rounds}.", "", "```text", heading, "```", ""]
        page += plots(samples, works, beside)
        page += [NOTE]
        for title, rows in found.items():
            page += ["", f"**{title}**", "", *markdown(rows)]
        write_page(args.write, "scale", page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
