"""``ratchet request``: one question, its answer."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from . import output, sockets
from .ends import DONE, Failure, UsageError
from .formats import FORMATS, decoder
from .send import in_order

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["EXAMPLES", "HELP", "MORE", "add_arguments", "in_order", "run"]

HELP = "ask one question, and print its answer"
MORE = """\
The question is DATA, or without it all of stdin, and goes out over a REQ. --timeout is for each
try, and --retries says how many more there are. With --format hex or json, DATA is what "ratchet
recv" prints in that format, so that it may have several parts."""
EXAMPLES = (
    ("ask, and wait for the answer", "ratchet request req:tcp://host:5555 hello"),
    (
        "wait 2 seconds at most, and ask up to four times",
        "ratchet request req:tcp://host:5555 status --timeout 2 --retries 3",
    ),
    (
        "a question from a file, and an answer in JSON",
        "ratchet request req:tcp://host:5555 < question.json | jq .",
    ),
)


class Question(argparse.Action):
    """Takes DATA wherever it stands, once."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, _option: str | None = None
    ) -> None:
        """Keep the question; None: there is none beside the URI."""
        if values is not None:
            if namespace.data is not None:
                parser.error(f"unrecognized arguments: {values}")
            namespace.data = values


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    sockets.add_uri(parser)
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        nargs="?",
        action=Question,
        help="the question; without it, all of stdin",
    )
    add("--data", action=Question, help=argparse.SUPPRESS)  # of `in_order`
    sockets.add_timeout(parser, "end with status 124 if no answer came for so long, in each try")
    add("--retries", type=sockets.natural, default=0, metavar="N", help="ask so often again")
    add("--format", choices=FORMATS, default="text", help="of DATA and of the answer")
    sockets.add_options(parser)


def run(args: Namespace) -> int:
    """Ask, and print."""
    if not sockets.row_of(args.uri).requests:
        raise UsageError(f"a question goes out over a REQ, not over a {args.uri.type}")
    if args.retries and args.timeout is None:
        raise UsageError("--retries needs --timeout: it says when to ask again")
    question = decoder(args.format)(data_of(args))
    with sockets.opened(args.uri, args) as zsock, output.destination() as out:
        answer = zsock.request(question, retries=args.retries)
        out.writelines(output.encoder_for(args.format)(answer))
    return DONE


def data_of(args: Namespace) -> bytes:
    """Return the question as it was given."""
    if args.data is not None:
        return os.fsencode(args.data)
    if sys.stdin is None:
        raise Failure("stdin is closed: give DATA")
    data = sys.stdin.buffer.read()
    return data.removesuffix(b"\n") if args.format in ("hex", "json") else data
