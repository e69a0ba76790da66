"""Measures throughput and round trips of ratchet, pyzmq and C, round by round, side by side."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import cases, machine, report
from .adapters import ADAPTERS
from .workers import LIBRARIES, Team, WorkerError, workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from .cases import Case

DEFAULT_LIBRARIES = "ratchet,pyzmq,c"
# The warm-up's runs last about so many seconds, enough to guess a rate from.
GUESS_SECONDS = 0.02
# Below this a run is all start-up, so more --rounds in too few --seconds take longer.
SHORTEST_RUN = 0.02
# Beyond this, more rounds tell more than longer ones.
LONGEST_RUN = 2.0


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
            text = f"{100 * self.done // self.turns:3}%  {stage}  {case.work} {case.transport}"
            print(f"\r\x1b[K{text} {case.size_name} {library}", end="", file=sys.stderr, flush=True)

    def end(self, stage: str) -> None:
        """One round is over."""
        print("\r\x1b[K" if self.tty else f"{stage}: done\n", end="", file=sys.stderr, flush=True)


class Bench:
    """One run of the suite: every library does every case once a round, in rotating order."""

    def __init__(self, teams: dict[str, Team], chosen: list[Case], rounds: int) -> None:
        self.teams = teams
        self.chosen = chosen
        self.rounds = rounds
        self.turns = sum(len(self.doers(case)) for case in chosen)
        self.progress = Progress(self.turns * (rounds + 1))
        self.rates: dict[tuple[Case, str], float] = {}
        self.samples: report.Samples = {}

    def done_by(self, case: Case, library: str) -> Case:
        """The case whose figure is this one's: without batched calls, one-call says it already."""
        twin = case.plain_twin()
        batches = library in ADAPTERS and ADAPTERS[library].batches
        return case if batches or twin not in self.chosen else twin

    def doers(self, case: Case) -> list[str]:
        """The libraries that have to do this case themselves."""
        return [name for name in self.teams if self.done_by(case, name) == case]

    def schedule(self, number: int, stage: str) -> Iterator[tuple[Case, str]]:
        """Who does what in a round. Nobody always goes first."""
        for index, case in enumerate(self.chosen):
            doers = self.doers(case)
            shift = (number + index) % max(len(doers), 1)
            for name in doers[shift:] + doers[:shift]:
                self.progress.step(stage, case, name)
                yield case, name
        self.progress.end(stage)

    def run(self, deadline: float) -> report.Samples:
        """Do everything, by the deadline if it can be done."""
        began = time.monotonic()
        measured = self.warm_up()
        now = time.monotonic()
        overhead = (now - began - measured) / self.turns
        share = (deadline - now) / (self.turns * self.rounds) - overhead
        seconds = min(max(share, SHORTEST_RUN), LONGEST_RUN)
        for number in range(self.rounds):
            self.round(number, seconds)
        return {
            (case, name): self.samples[self.done_by(case, name), name]
            for case in self.chosen
            for name in self.teams
        }

    def warm_up(self) -> float:
        """The round that is dropped, but for a first guess at each rate; its measured seconds."""
        total = 0.0
        for case, name in self.schedule(0, "warm-up"):
            count = 2 * case.batch
            with self.teams[name].ready(case):
                while True:
                    seconds = max(self.teams[name].time(case, count), 1e-6)
                    total += seconds
                    if seconds >= GUESS_SECONDS / 2:
                        break
                    wanted = count * GUESS_SECONDS / seconds
                    count = whole_batches(case, min(1.2 * wanted, 16 * count))
            self.rates[case, name] = count / seconds
        return total

    def round(self, number: int, seconds: float) -> None:
        """One round that counts, each of its runs about so many seconds long."""
        for case, name in self.schedule(number, f"round {number + 1} of {self.rounds}"):
            count = whole_batches(case, self.rates[case, name] * seconds)
            with self.teams[name].ready(case):
                rate = count / self.teams[name].time(case, count)
            self.rates[case, name] = rate  # better than the warm-up's, so it sets the next count
            sample = 1e6 / rate if case.work == "round-trip" else rate
            self.samples.setdefault((case, name), []).append(sample)


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
    add("--seconds", type=float, default=90, help="about how long it may take (90)")
    add("--quick", action="store_true", help="two sizes, 3 rounds, 15 seconds: a first look")
    add("--json", type=Path, help="a file for every sample")
    args = parser.parse_args()
    words = [word for word in args.only.split(",") if word]
    if args.quick:
        args.rounds, args.seconds = min(args.rounds, 3), min(args.seconds, 15)
        if not any(word.upper() in cases.SIZES for word in words):
            words += ["16", "64K"]
    try:
        args.cases = cases.select(words)
    except ValueError as error:
        parser.error(f"--only: {error}")
    args.libraries = (args.libs or DEFAULT_LIBRARIES).split(",")
    if strange := set(args.libraries) - set(LIBRARIES):
        parser.error(f"--libs: {', '.join(strange)}: there are {known}")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def gather(args: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Team]:
    """Start the workers. What nobody asked for by name may be missing, but ratchet may not."""
    teams = {}
    for name in args.libraries:
        try:
            teams[name] = Team(name, folder)
        except WorkerError as error:
            if args.libs or name == "ratchet":
                raise
            print(f"left out: {name}: {error}", file=sys.stderr)
        else:
            stack.callback(teams[name].stop)
    return teams


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Make SIGTERM end the run as Ctrl-C does, workers and all."""
    raise KeyboardInterrupt


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
            print(machine.heading(about, facts), flush=True)
            samples = Bench(teams, args.cases, args.rounds).run(deadline)
    except (WorkerError, KeyboardInterrupt) as error:
        print(f"\nbenchmarks: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    print(report.tables(samples, args.cases, list(teams)))
    results = report.document(samples)
    report.write_json(args.json, machine=about, libraries=facts, results=results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
