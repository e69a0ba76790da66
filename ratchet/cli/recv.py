"""``ratchet recv``: print what comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from ..errors import Timeout
from . import output, sockets, terminal
from .ends import DONE, UsageError
from .formats import FORMATS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..zmqsocket import ZMQSocket
    from .formats import Encoder

HELP = "print what comes, a line a message"
MORE = """\
Text: parts stand beside each other with a tab between them; what would leave the line, or command a
terminal, is escaped (\\n, \\x1b). Hex: parts have a space between them. Json: one object a line,
{"parts": ["text", {"base64": "AAE="}]}. Raw: just the bytes, with nothing between them."""
EXAMPLES = (
    ("listen, and print", "ratchet recv 'pull:tcp://*:5555'"),
    (
        "what a publisher says about the weather",
        "ratchet recv sub:tcp://host:5555 --subscribe weather",
    ),
    ("in a pipe, line by line", "ratchet recv sub:tcp://host:5555 | grep alarm"),
    (
        "only the first part of each message",
        "ratchet recv sub:tcp://host:5555 --format json | jq '.parts[0]'",
    ),
    (
        "save a file that somebody sends",
        "ratchet recv 'pull:tcp://*:5555' --count 1 --format raw --output backup.tar",
    ),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    sockets.add_uri(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="text, if not given")
    parser.add_argument(
        "--count", type=sockets.natural, metavar="N", help="end after so many messages"
    )
    sockets.add_timeout(parser, "end with status 124 if nothing came for so long")
    parser.add_argument(
        "--subscribe",
        action="append",
        metavar="PREFIX",
        help="for SUB and XSUB: only messages that begin so; may be repeated (everything)",
    )
    parser.add_argument("--output", metavar="FILE", help="write there, and not to stdout")
    sockets.add_options(parser)


def run(args: Namespace) -> int:
    """Receive until it is enough."""
    row = sockets.row_of(args.uri)
    if not row.receives or row.requests or row.replies:
        other = {True: "; see ratchet request", False: ""}[row.requests]
        other = "; see ratchet serve" if row.replies else other
        raise UsageError(f"a {row.name} socket does not just receive{other}")
    if args.subscribe and not row.subscribes:
        raise UsageError(f"--subscribe is for SUB and XSUB, not for {row.name}")
    with sockets.opened(args.uri, args) as zsock, output.destination(args.output) as out:
        for prefix in args.subscribe or ([""] if row.subscribes else []):
            zsock.subscribe(os.fsencode(prefix))
        on = args.output is not None
        with terminal.Meter("received", messages=args.count, on=on, short=0) as meter:
            # Raw is written from libzmq's memory, so a file of 1 GiB takes 1 GiB here.
            take = zsock.recv_frames if args.format == "raw" else zsock.recv_multipart
            encode = output.encoder_for(args.format, args.output)
            receive(zsock, args.count, out, take, encode, meter)
    return DONE


def receive(
    zsock: ZMQSocket,
    count: int | None,
    out: BinaryIO,
    take: Callable[..., Sequence[Any]],
    encode: Encoder,
    meter: terminal.Meter,
) -> None:
    """Write messages as they come; what is written is flushed before each wait."""
    left = -1 if count is None else count
    with output.until_unread(zsock, out):
        while left:
            try:
                parts = take(timeout=0)
            except Timeout:
                out.flush()
                parts = take()
            out.writelines(encode(parts))
            meter.add(1, sum(map(len, parts)))
            left -= 1
            del parts  # a large one is not kept beside the next
        out.flush()
