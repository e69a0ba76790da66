"""Measures throughput, round trips and CPU time of libraries, round by round, side by side.

With --full it measures what docs/benchmarks.md shows, and with --write refreshes that page.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import cases, machine, plot, report, summary
from .adapters import ADAPTERS
from .workers import LIBRARIES, Team, WorkerError, workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from .cases import Case

DEFAULT_LIBRARIES = "ratchet,pyzmq,c"
# The tables of the full report; in each the first is compared with the others.
GROUPS = {
    "Plain calls": "ratchet,ratchet-own,pyzmq,pyomq,zenoh,iceoryx2,pynng,c,c-own",
    "Calls of many threads in one OS thread": "ratchet-threads,ratchet-gevent,pyzmq-green",
    "Calls awaited in asyncio": "ratchet-asyncio,pyzmq-asyncio,pyomq-asyncio",
    "Large messages, plain calls, without copies and with": (
        "ratchet-frames,ratchet,ratchet-copies,pyzmq,pyzmq-frames,pyomq,pynng,c"
    ),
}
FULL_SECONDS = 480
# The warm-up's runs last about so many seconds, enough to guess a rate from.
GUESS_SECONDS = 0.02
# Below this a run is all start-up, so more --rounds in too few --seconds take longer.
SHORTEST_RUN = 0.02
# Beyond this, more rounds tell more than longer ones.
LONGEST_RUN = 2.0
# Of the processes whose memory is looked at: how long they run, and about how long each takes.
MEMORY_RUN = 0.2
MEMORY_TURN = 1.0


class Progress:
    """Where the run is, on stderr: one line redrawn on a terminal, one line a round elsewhere."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.done = 0
        self.tty = sys.stderr.isatty()

    def step(self, stage: str, case: Case, library: str) -> None:
        """One library starts one case."""
        self.done += 1
        if self.tty:
            text = f"{100 * self.done // self.turns:3}%  {stage}  {case}"
            print(f"\r\x1b[K{text} {library}", end="", file=sys.stderr, flush=True)

    def end(self, stage: str) -> None:
        """One round is over."""
        print("\r\x1b[K" if self.tty else f"{stage}: done\n", end="", file=sys.stderr, flush=True)


class Bench:
    """One run of the suite: every library does every case once a round, in rotating order."""

    def __init__(
        self, teams: dict[str, Team], chosen: list[Case], args: argparse.Namespace
    ) -> None:
        self.teams = teams
        self.chosen = chosen
        self.rounds: int = args.rounds
        looked_at = cases.expand(cases.MEMORY) if args.full else []
        self.memory_cases = [case for case in chosen if case in looked_at]
        self.turns = sum(len(self.doers(case)) for case in chosen)
        self.runs = sum(len(self.doers(case)) * case.runs for case in chosen)
        self.progress = Progress(self.turns + self.runs * self.rounds)
        self.rates: dict[tuple[Case, str], float] = {}
        self.samples: report.Samples = {}
        self.peaks: dict[tuple[str, str], int] = {}
        # What a library could not do. Of a long run it costs that case only, unless it is ratchet.
        self.forgiving: bool = args.full
        self.failed: dict[tuple[Case, str], str] = {}

    def done_by(self, case: Case, library: str) -> Case:
        """The case whose figure is this one's: without batched calls, one-call says it already."""
        twin = case.plain_twin()
        batches = library in ADAPTERS and ADAPTERS[library].batches
        return case if batches or twin not in self.chosen else twin

    def doers(self, case: Case) -> list[str]:
        """The libraries that have to do this case themselves."""
        return [
            name
            for name in self.teams
            if self.done_by(case, name) == case
            and (name not in ADAPTERS or ADAPTERS[name].takes(case))
        ]

    def schedule(self, number: int, stage: str, once: bool = False) -> Iterator[tuple[Case, str]]:
        """Who does what in a round. Nobody always goes first."""
        for index, case in enumerate(self.chosen):
            doers = self.doers(case)
            for run in range(1 if once else case.runs):
                shift = (number + index + run) % max(len(doers), 1)
                for name in doers[shift:] + doers[:shift]:
                    self.progress.step(stage, case, name)
                    if (case, name) not in self.failed:
                        yield case, name
        self.progress.end(stage)

    @contextmanager
    def attempt(self, case: Case, name: str) -> Iterator[Team]:
        """The library's workers, which are replaced if they fail."""
        try:
            with self.teams[name].ready(case):
                yield self.teams[name]
        except WorkerError as error:
            if not self.forgiving or name.startswith("ratchet"):
                raise
            self.failed[case, name] = last_line(error)
            print(f"\n{name}: {case}: {error}", file=sys.stderr)
            self.teams[name].restart()

    def run(self, deadline: float) -> None:
        """Do everything, by the deadline if it can be done."""
        began = time.monotonic()
        measured = self.warm_up()
        now = time.monotonic()
        overhead = (now - began - measured) / self.turns
        memory_turns = sum(len(self.doers(case)) for case in self.memory_cases)
        left = deadline - now - MEMORY_TURN * memory_turns
        seconds = min((left / self.rounds - self.runs * overhead) / self.turns, LONGEST_RUN)
        for number in range(self.rounds):
            self.round(number, seconds)
        for case in self.memory_cases:
            for name in self.doers(case):
                if (case, name) not in self.failed:
                    self.look_at_memory(case, name)
        self.samples = {
            (case, name): self.samples[found]
            for case in self.chosen
            for name in self.teams
            if (found := (self.done_by(case, name), name)) in self.samples
            and found not in self.failed
        }

    def warm_up(self) -> float:
        """The round that is dropped, but for a first guess at each rate; its measured seconds."""
        total = 0.0
        for case, name in self.schedule(0, "warm-up", once=True):
            count = 2 * case.batch
            with self.attempt(case, name) as team:
                while True:
                    seconds = max(team.time(case, count)[0], 1e-6)
                    total += seconds
                    if seconds >= GUESS_SECONDS / 2:
                        break
                    wanted = count * GUESS_SECONDS / seconds
                    count = whole_batches(case, min(1.2 * wanted, 16 * count))
                self.rates[case, name] = count / seconds
        return total

    def round(self, number: int, seconds: float) -> None:
        """One round that counts, of about so many seconds for each library in each case."""
        for case, name in self.schedule(number, f"round {number + 1} of {self.rounds}"):
            length = max(seconds / case.runs, SHORTEST_RUN)
            count = whole_batches(case, self.rates[case, name] * length)
            with self.attempt(case, name) as team:
                took, cpu = team.time(case, count)
                # Better than the warm-up's, so it sets the next count.
                rate = self.rates[case, name] = count / took
                copies = case.kind.copies
                sample = report.Sample(
                    1e6 / rate if report.timed(case) else rate * copies,
                    1e6 * cpu / (count + case.unclocked) / copies,
                )
                self.samples.setdefault((case, name), []).append(sample)

    def look_at_memory(self, case: Case, name: str) -> None:
        """The most memory that new processes, which did nothing else, have had."""
        count = whole_batches(case, self.rates[case, name] * MEMORY_RUN)
        team = Team(name, self.teams[name].folder)
        try:
            self.peaks["idle", name] = sum(worker.peak() for worker in team.workers)
            with team.ready(case):
                team.time(case, count)
                self.peaks[str(case), name] = sum(worker.peak() for worker in team.workers)
        finally:
            team.stop()


def whole_batches(case: Case, count: float) -> int:
    """About so many messages, but at least two batches."""
    return max(round(count / case.batch), 2) * case.batch


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    known = ", ".join(LIBRARIES)
    add("--libs", help=f"of {known}; the first is compared with the others ({DEFAULT_LIBRARIES})")
    add("--only", default="", help="kinds of work, transports, sizes: tcp,16,one-call")
    add("--rounds", type=int, default=5, help="how many rounds count (5)")
    add("--seconds", type=float, help=f"about how long it may take (90; --full: {FULL_SECONDS})")
    add("--quick", action="store_true", help="two sizes, 3 rounds, 15 seconds: a first look")
    add("--full", action="store_true", help="all libraries, more works, CPU time and memory")
    add("--json", type=Path, help="a file for every sample")
    add("--write", type=Path, metavar="PAGE", help="refresh this page, its plots and JSON")
    args = parser.parse_args()
    words = [word for word in args.only.split(",") if word]
    args.seconds = args.seconds or (FULL_SECONDS if args.full else 90)
    if args.quick:
        args.rounds, args.seconds = min(args.rounds, 3), min(args.seconds, 15)
        if not any(word.upper() in cases.SIZES for word in words):
            words += ["16", "64K"]
    try:
        args.cases = cases.select(words, args.full)
    except ValueError as error:
        parser.error(f"--only: {error}")
    if args.libs or not args.full:
        args.groups = {"": args.libs or DEFAULT_LIBRARIES}
    else:
        args.groups = GROUPS
    args.groups = {title: names.split(",") for title, names in args.groups.items()}
    args.libraries = list(dict.fromkeys(name for names in args.groups.values() for name in names))
    if strange := set(args.libraries) - set(LIBRARIES):
        parser.error(f"--libs: {', '.join(strange)}: there are {known}")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    if args.write and (not args.full or args.libs):
        parser.error("--write: the page shows --full, with all libraries")
    return args


def last_line(error: WorkerError) -> str:
    """What matters of a worker's end."""
    return str(error).strip().splitlines()[-1]


def gather(args: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Team]:
    """Start the workers. What nobody asked for by name may be missing, but ratchet may not."""
    teams = {}
    for name in args.libraries:
        try:
            teams[name] = Team(name, folder)
        except WorkerError as error:
            if args.libs or name == "ratchet":
                raise
            print(f"left out: {name}: {last_line(error)}", file=sys.stderr)
        else:
            stack.callback(teams[name].stop)
    return teams


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Make SIGTERM end the run as Ctrl-C does, workers and all."""
    raise KeyboardInterrupt


def results(bench: Bench, groups: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """Titles, with the tables below them."""
    parts = []
    for title, names in groups.items():
        if present := [name for name in names if name in bench.teams]:
            parts.append((title, report.tables(bench.samples, bench.chosen, present)))
    if bench.peaks:
        works = ["idle", *map(str, bench.memory_cases)]
        rows = [["MiB", *works]]
        for name in bench.teams:
            found = [bench.peaks.get((work, name)) for work in works]
            rows.append([name, *("-" if peak is None else f"{peak / 2**20:.1f}" for peak in found)])
        parts.append((SHOWN[0], report.align(rows, left=1)))
    if bench.failed:
        lines = [f"{name}: {case}: {error}" for (case, name), error in bench.failed.items()]
        parts.append((SHOWN[1], lines))
    return [(title, lines) for title, lines in parts if lines]


# The tables that the page shows; the others are in a file beside it.
SHOWN = ("Resident memory at its peak, both processes", "What failed")
NOTE = """\
Median (lowest-highest run). Against it: how many times better the first library of the table is
(more messages, less time), of the medians and in the worst and the best pair of runs that followed
each other. CPU time is of both processes, in the program and in the kernel."""


def write(
    page: Path, bench: Bench, heading: str, parts: list[tuple[str, list[str]]], rounds: int
) -> None:
    """Refresh the made parts of the page, and the file beside it that has all tables."""
    beside = page.with_suffix("")
    report.write_page(page, "bench-full, in short", summary.table(bench.samples))
    texts = [heading, "", NOTE]
    for title, lines in parts:
        texts += ["", "", title, "=" * len(title), *lines]
    (beside / "results.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    shown = [
        f"{rounds} rounds.",
        "",
        "```text",
        heading,
        "```",
        "",
        *plot.report(bench.samples, beside),
    ]
    for title, lines in parts:
        if title in SHOWN:
            shown += [f"### {title}", "", "```text", *lines[not lines[0] :], "```", ""]
    report.write_page(page, "bench-full", shown[:-1])


def main() -> int:
    """Run the suite; the exit status."""
    args = arguments()
    deadline = time.monotonic() + args.seconds
    signal.signal(signal.SIGTERM, interrupt)
    about = machine.describe()
    try:
        with workshop() as folder, ExitStack() as stack:
            teams = gather(args, folder, stack)
            facts = {name: team.facts for name, team in teams.items()}
            heading = machine.heading(about, facts)
            print(heading, flush=True)
            bench = Bench(teams, args.cases, args)
            bench.run(deadline)
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"\nbenchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    parts = results(bench, args.groups)
    for title, lines in parts:
        print(*["", title] * bool(title), *lines, sep="\n")
    print(f"\n{NOTE}")
    document = {
        "machine": about,
        "libraries": facts,
        "results": report.document(bench.samples),
        "memory": [
            {"case": case, "library": name, "peak": peak}
            for (case, name), peak in bench.peaks.items()
        ],
        "failed": [
            {"case": str(case), "library": name, "error": error}
            for (case, name), error in bench.failed.items()
        ],
    }
    report.write_json(args.json, **document)
    if args.write and args.only:
        print(f"{args.write} stays as it is: this was not all")
    elif args.write:
        beside = args.write.with_suffix("")
        report.write_json(beside / "results.json", **document)
        write(args.write, bench, heading, parts, args.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
