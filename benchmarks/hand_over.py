"""Measures how OS threads of one process share the GIL: two that talk, and one beside a busy one.

Run as `python -m benchmarks.hand_over`. Each figure is from a process of its own. What comes from
another process comes from ratchet, for every library, so that the supply is the same. The busy
thread counts in pure Python as fast as it can; its share is of its speed alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

from . import machine
from .adapters import ADAPTERS
from .report import align, figure, spread, write_json
from .workers import WorkerError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .adapters import Library

MESSAGE = bytes(16)
HWM = 1000
# What is measured, and of each figure whether more is better.
FIGURES = {
    "pipeline": {"messages/s": True},
    "ping": {"round trip, µs": False},
    "stream": {"messages/s": True, "busy thread's share": True},
    "call": {"round trip, µs": False, "longest, ms": False, "busy thread's share": True},
}
TITLES = {
    "pipeline": "PUSH to PULL, inproc, two threads",
    "ping": "PAIR and PAIR, inproc, two threads",
    "stream": "PULL beside a busy thread, tcp, from another process",
    "call": "PAIR beside a busy thread, tcp, answered by another process",
}


def pair(library: Library, kinds: str) -> list[Any]:
    """Two sockets that are connected over inproc."""
    left, right = kinds.split()
    bound, endpoint = library.open(left, HWM, "inproc://hand-over", True)
    return [bound, library.open(right, HWM, endpoint, False)[0]]


def pipeline(library: Library, seconds: float) -> list[float]:
    pull, push = pair(library, "PULL PUSH")
    send, recv = push.send, pull.recv
    end = b"end", (b"end", False)

    def feed() -> None:
        until = perf_counter() + seconds
        while perf_counter() < until:
            for _ in range(100):
                send(MESSAGE)
        send(b"end")

    feeder = Thread(target=feed)
    began = perf_counter()
    feeder.start()
    count = 0
    while recv() not in end:
        count += 1
    spent = perf_counter() - began
    feeder.join()
    close(pull, push)
    return [count / spent]


def ping(library: Library, seconds: float) -> list[float]:
    near, far = pair(library, "PAIR PAIR")
    end = b"end", (b"end", False)

    def answer() -> None:
        while far.recv() not in end:
            far.send(MESSAGE)

    other = Thread(target=answer)
    other.start()
    times, _ = trips(near, seconds)
    near.send(b"end")
    other.join()
    close(near, far)
    return [sum(times) / len(times) * 1e6]


def trips(sock: Any, seconds: float, stop: list[bool] | None = None) -> tuple[list[float], float]:
    """Round trips, and when the last was over."""
    times, now = [], perf_counter()
    until = now + seconds
    while not stop and (stop is not None or now < until):
        before = now
        sock.send(MESSAGE)
        sock.recv()
        now = perf_counter()
        times.append(now - before)
    return times, now


def stream(library: Library, seconds: float) -> list[float]:
    pull, endpoint = library.open("PULL", HWM, "tcp://127.0.0.1:*", True)
    recv = pull.recv
    counts = []

    def take(stop: list[bool]) -> None:
        count = 0
        while not stop:
            recv()
            count += 1
        counts.append(count)

    with peer("feed", endpoint):
        recv()
        spent, share = beside(take, seconds)
    close(pull)
    return [counts[0] / spent, share]


def call(library: Library, seconds: float) -> list[float]:
    sock, endpoint = library.open("PAIR", HWM, "tcp://127.0.0.1:*", True)
    found = []

    def ask(stop: list[bool]) -> None:
        found.extend(trips(sock, 0, stop)[0])

    with peer("echo", endpoint):
        trips(sock, 0.1)
        _, share = beside(ask, seconds)
    close(sock)
    return [sum(found) / len(found) * 1e6, max(found) * 1e3, share]


def beside(work: Callable[[list[bool]], None], seconds: float) -> tuple[float, float]:
    """Count beside a thread that works: for how long, and the share of the speed alone."""
    alone = count_up(seconds / 2)
    stop: list[bool] = []
    worker = Thread(target=work, args=(stop,))
    began = perf_counter()
    worker.start()
    together = count_up(seconds)
    stop.append(True)
    worker.join()
    return perf_counter() - began, together / alone


def count_up(seconds: float) -> float:
    """Counts a second."""
    began = now = perf_counter()
    count = 0
    while now - began < seconds:
        for _ in range(1000):
            count += 1
        now = perf_counter()
    return count / (now - began)


@contextmanager
def peer(does: str, endpoint: str) -> Iterator[None]:
    """A process that feeds or answers, until it is ended."""
    with subprocess.Popen([*ME, "--peer", does, endpoint]) as process:
        try:
            yield
        finally:
            process.kill()


def close(*socks: Any) -> None:
    for sock in socks:
        sock.close(linger=0)


def serve(does: str, endpoint: str) -> None:
    """What the other process does."""
    kind = "PUSH" if does == "feed" else "PAIR"
    sock = ADAPTERS["ratchet"]().open(kind, HWM, endpoint, False)[0]
    batch = [MESSAGE] * 100
    while does == "feed":
        sock.send_many(batch)
    while True:
        sock.send(sock.recv_all())


ME = [sys.executable, "-m", f"{__package__}.hand_over"]
WORKS = {"pipeline": pipeline, "ping": ping, "stream": stream, "call": call}


def measure(work: str, library: str, seconds: float) -> list[float]:
    """One round of one work, in a process of its own."""
    return list(json.loads(run([*ME, "--seconds", str(seconds), "--one", work, library], 60)))


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hand_over", description=__doc__)
    parser.add_argument("--libs", default="ratchet,pyzmq", help="of ratchet, pyzmq")
    parser.add_argument("--only", default=",".join(WORKS), help=f"of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=15, help="how many rounds (15)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is (1)")
    parser.add_argument("--json", type=Path, help="a file for the samples")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        serve(*args.peer)
    if args.one:
        work, library = args.one
        print(json.dumps(WORKS[work](ADAPTERS[library](), args.seconds)))
        return 0
    libraries, works = args.libs.split(","), args.only.split(",")
    facts = {name: ADAPTERS[name]().facts() for name in libraries}
    about = machine.describe()
    print(machine.heading(about, facts), flush=True)
    samples: dict[str, dict[str, list[list[float]]]] = {
        work: {name: [] for name in libraries} for work in works
    }
    try:
        for _ in range(args.rounds):
            for work in works:
                for name in libraries:
                    samples[work][name].append(measure(work, name, args.seconds))
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"benchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    for work in works:
        print("", *align(rows(work, samples[work]), left=1), sep="\n")
    write_json(args.json, machine=about, libraries=facts, samples=samples)
    return 0


def rows(work: str, samples: dict[str, list[list[float]]]) -> list[list[str]]:
    """A table: of each library the median and the range, and the ratio to the first by round."""
    first = next(iter(samples.values()))
    found = [[TITLES[work], "", "median", "lowest", "highest", "times better"]]
    for index, (unit, more) in enumerate(FIGURES[work].items()):
        for name, rounds in samples.items():
            values = [values[index] for values in rounds]
            pairs = [(mine[index], other[index]) for mine, other in zip(first, rounds, strict=True)]
            ratio = median(mine / other if more else other / mine for mine, other in pairs)
            compared = "" if rounds is first else f"{ratio:.2f}"
            found.append([unit, name, *map(figure, spread(values)), compared])
    return found


if __name__ == "__main__":
    sys.exit(main())
