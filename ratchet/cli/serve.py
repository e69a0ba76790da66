"""``ratchet serve``: answer each request by a command."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from . import sockets, terminal
from .ends import DONE, UsageError, tell, uninterrupted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "answer each request by a command"
MORE = """\
The command is started for each request, one after another. It gets the request on its stdin (parts
joined), and what it writes to its stdout is the answer. A command that ends with another status
than 0 is reported on stderr; what it has written is the answer all the same. The URI is one of a
REP."""
EXAMPLES = (
    ("answer in capitals", "ratchet serve 'rep:tcp://*:5555' -- tr a-z A-Z"),
    (
        "answer with the page at a URL",
        "ratchet serve 'rep:tcp://*:5555' -- sh -c 'read url; curl -s \"$url\"'",
    ),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    sockets.add_uri(parser)
    parser.add_argument(
        "command", nargs="+", metavar="COMMAND", help="after --, with its arguments"
    )
    parser.add_argument(
        "--count", type=sockets.natural, metavar="N", help="end after so many requests"
    )
    sockets.add_timeout(parser, "end with status 124 if no request came for so long")
    sockets.add_options(parser)


def run(args: Namespace) -> int:
    """Answer until it is enough."""
    if not sockets.row_of(args.uri).replies:
        raise UsageError(f"requests are answered by a REP, not by a {args.uri.type}")
    if shutil.which(args.command[0]) is None:
        raise UsageError(f"there is no command {args.command[0]!r}")
    left = -1 if args.count is None else args.count
    unseen = terminal.Meter("answered", on=False)
    with sockets.opened(args.uri, args, meter=unseen) as zsock:
        while left:
            zsock.send(answer(args.command, zsock.recv_all()), timeout=None)
            left -= 1
    return DONE


def answer(command: list[str], request: bytes) -> bytes:
    """Run the command for one request."""
    process = None
    try:
        with uninterrupted():  # a command that nobody knows would go on
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        found, _ = process.communicate(request)
    except BaseException:
        if process:
            with process:
                process.kill()
        raise
    if status := process.returncode:
        tell(f"{command[0]} ended with {f'status {status}' if status > 0 else f'signal {-status}'}")
    return found
