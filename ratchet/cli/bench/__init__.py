"""``ratchet bench``: messages a second and round trips, here or between two machines.

`libraries` has what is measured, and its loops; `far` is the process on the other side, which
obeys; `near` asks it and measures; `table` and `plot` show what was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UriError
from ...uri import prepare_uri
from .. import sockets
from ..ends import DONE, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "measure messages a second and round trips"
MORE = """\
Without a URI between two processes on this machine, over tcp. Between two machines: on one with an
endpoint to bind (it obeys until Ctrl-C), on the other with the endpoint to connect to. Messages go
through further ports, which the system picks. A URI's TYPE does not matter, and may be left out.

Beside ratchet stands pyzmq, where it is installed on both sides. Figures are medians; what else the
machine does changes them, so compare what stands in one table."""
EXAMPLES = (
    ("this machine, in about 15 seconds", "ratchet bench"),
    ("the same, and a picture of it", "ratchet bench --plot bench.svg"),
    ("between two machines: first on one of them, which waits", "ratchet bench 'tcp://*:5555'"),
    ("then on the other, which measures", "ratchet bench tcp://one:5555"),
    ("other sizes, for a program", "ratchet bench --sizes 100,10000 --json > bench.json"),
)

SIZES = (16, 1 << 10, 1 << 16, 1 << 20)
SECONDS = 15.0
ROUNDS = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add = parser.add_argument
    add("endpoint", metavar="URI", nargs="?", type=endpoint, help="where the other machine is")
    add("--plot", metavar="FILE", type=picture, help="draw it, as SVG")
    add("--json", action="store_true", help="print all samples as one object, instead of a table")
    add("--sizes", metavar="BYTES,…", type=sizes, default=SIZES, help="16,1024,65536,1048576")
    add(
        "--seconds",
        metavar="SECONDS",
        type=sockets.seconds,
        default=SECONDS,
        help=f"about how long it may take ({SECONDS:g})",
    )
    sockets.add_sides(parser.add_argument_group("connections"))


def endpoint(text: str) -> str:
    """Read the argument that is a URI, or just its endpoint."""
    try:
        text = prepare_uri(text).endpoint
    except UriError:
        pass
    if not text.startswith(("tcp://", "ipc://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no endpoint over tcp or ipc")
    return text


def sizes(text: str) -> tuple[int, ...]:
    """Read the argument that lists sizes."""
    found = tuple(sockets.natural(word) for word in text.split(","))
    if not all(1 <= size <= 1 << 28 for size in found):
        raise argparse.ArgumentTypeError(f"{text!r}: sizes are from 1 to {1 << 28} bytes")
    return found


def picture(text: str) -> Path:
    """Read the argument that names the picture."""
    if not text.endswith(".svg"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .svg")
    path = Path(text)
    if not path.parent.is_dir():  # before it measures
        raise argparse.ArgumentTypeError(f"{text!r}: there is no folder {str(path.parent)!r}")
    return path


def run(args: Namespace) -> int:
    """Obey, or measure and show."""
    from . import far, near, plot, table

    if args.endpoint and sockets.binds(args.endpoint, args):
        if args.json or args.plot:
            raise UsageError("the other machine has the figures: give --json and --plot there")
        far.serve(args.endpoint)
        return DONE
    with near.connected(args.endpoint) as (far_side, about):
        bench = near.Bench(far_side, about, args.sizes, args.seconds, ROUNDS)
        with table.shown(bench, quiet=args.json) as show:
            bench.run(show)
    if args.json:
        print(json.dumps(bench.report(), indent=2))
    if args.plot:
        args.plot.write_text(plot.svg(bench), encoding="utf-8")
        if not args.json:
            print(f"\ndrawn: {args.plot}")
    sys.stdout.flush()
    return DONE
