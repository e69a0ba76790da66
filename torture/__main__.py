"""Runs each scenario, in a process of its own, for each library and kind of thread.

python -m torture                         everything, in full
python -m torture --short --libs ratchet --only fork --seed 7
python -m torture --write docs/reliability.md     and refresh the table of that page
python -m torture --write docs/reliability.md --libs pyzmq-on-ratchet --only fork     a part
"""

import argparse
import sys
from pathlib import Path

from . import table
from .adapters import KINDS
from .runner import call_program, outcomes, run_here
from .scenario import LIBRARIES, SCENARIOS

ALL = ",".join(LIBRARIES), ",".join(KINDS)


def main():
    """Run what the arguments say; the status is that of the process."""
    if sys.argv[1:2] == ["--one"]:
        run_here(*sys.argv[2:])
    if sys.argv[1:2] == ["--program"]:
        call_program(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m torture",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
    )
    parser.add_argument("--short", action="store_true", help="as much as `make test` runs")
    parser.add_argument("--libs", default=ALL[0], help="%(default)s")
    parser.add_argument("--kinds", default=ALL[1], help="%(default)s")
    parser.add_argument("--only", default="", help="scenarios with one of these words in the name")
    parser.add_argument("--seed", type=int, help="of a run to repeat (default: a new one)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="refresh the table in this page")
    parser.add_argument("--list", action="store_true", help="say what is promised, and run nothing")
    args = parser.parse_args()
    words = [word for word in args.only.split(",") if word]
    chosen = [s for s in SCENARIOS.values() if not words or any(word in s.name for word in words)]
    if args.list:
        for one in chosen:
            print(f"{one.name} ({', '.join(one.kinds)}): {one.promise}")
        return 0
    found = {}
    whole = args.write and [args.short, args.kinds] == [False, ALL[1]]
    for outcome in outcomes(
        chosen, args.libs.split(","), args.kinds.split(","), full=not args.short, seed=args.seed
    ):
        print(outcome, flush=True)
        if whole and found and outcome.scenario != next(reversed(found))[0]:
            table.write(args.write, found)  # a run that is ended keeps what it has found
        found[outcome.key] = outcome
        if outcome.library != "pyzmq" and not outcome.well:
            print(outcome.details, file=sys.stderr)
    if whole:
        table.write(args.write, found)
    elif args.write:
        print(f"{args.write} stays as it is: these were not whole outcomes")
    broken = [o for o in found.values() if o.library != "pyzmq" and not o.well]
    print(f"{len(found)} outcomes; ratchet fails {len(broken)}, with pyzmq's API or its own")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
