"""``ratchet send``: arguments, lines of stdin or files as messages."""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import os
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from . import sockets, terminal
from .ends import DONE, Failure, UsageError
from .formats import FORMATS, decoder

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ..zmqsocket import ZMQSocket

HELP = "send arguments, lines of stdin, or files"
MORE = """\
Each DATA is a message, and so is each --file. Without any, each line of stdin is one, as soon as
it is there. A line may be of any bytes; with --format hex or json, lines are what "ratchet recv"
prints in that format, and with raw all of stdin is one message.

It ends when its peers have taken all, or with status 124 if they have not within --timeout, or
10 seconds after the last message. A PUB sends nothing to who is not there yet: see --wait-peers."""
EXAMPLES = (
    ("one message", "ratchet send push:tcp://host:5555 hello"),
    ("one message of two parts", "ratchet send push:tcp://host:5555 topic body --part"),
    ("publish each line, as it comes", "tail -f log | ratchet send 'pub:tcp://*:5555'"),
    ("publish when two have subscribed", "ratchet send 'pub:tcp://*:5555' hello --wait-peers 2"),
    ("a file as a message", "ratchet send push:tcp://host:5555 --file backup.tar"),
    ("twice a second, for ever", "ratchet send push:tcp://host:5555 tick --rate 2 --count 0"),
    (
        "what ratchet recv --format json has recorded",
        "ratchet send push:tcp://host:5555 --format json < tape",
    ),
)

Message = list[bytes | bytearray]

LARGE = 1 << 20  # bytes of a message, from which on it is lent to libzmq, and waited for
BLOCK = 1 << 20  # bytes that are read at a time


class Piece(NamedTuple):
    """Something to send: the text of an argument, or a file's path."""

    kind: str
    value: str


class Pieces(argparse.Action):
    """Notes what is to be sent in the order in which it stands on the command line."""

    def __call__(
        self, _parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        """Note DATA, ``--file`` or ``--part``."""
        found = namespace.pieces = namespace.pieces or []
        if option == "--part":
            namespace.part = True
            values = [] if values is None else [values]
        kind = "file" if option == "--file" else "text"
        for value in [values] if isinstance(values, str) else values or []:
            if isinstance(value, str):
                found.append(Piece(kind, value))


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    sockets.add_uri(parser)
    add = parser.add_argument
    add("pieces", metavar="DATA", nargs="*", action=Pieces, help="a message each")
    add("--data", dest="pieces", action=Pieces, help=argparse.SUPPRESS)  # of `in_order`
    parser.set_defaults(pieces=None, part=False)
    add(
        "--file",
        dest="pieces",
        metavar="FILE",
        action=Pieces,
        help="the bytes of a file as a message; -: all of stdin",
    )
    add(
        "--part",
        dest="pieces",
        metavar="DATA",
        nargs="?",
        action=Pieces,
        help="one more part; wherever it stands, all that is given is one message of several parts",
    )
    add("--format", choices=FORMATS, default="text", help="of stdin's lines and of DATA")
    add("--count", type=sockets.natural, metavar="N", help="so many messages, by repeating what is "
        "given, or of stdin just the first; 0: for ever")  # fmt: skip
    add("--wait-peers", type=sockets.natural, metavar="N", help="first wait until so many peers "
        "are there; of a PUB, so many subscribers")  # fmt: skip
    add("--rate", type=rate, metavar="N", help="at most so many messages a second")
    sockets.add_timeout(parser, "end with status 124 if a message could not go for so long")
    sockets.add_options(parser)


def rate(text: str) -> float:
    """Read an argument that is a rate."""
    with contextlib.suppress(ValueError):
        if 0 < (found := float(text)) <= 1e9:
            return found
    raise argparse.ArgumentTypeError(f"{text!r} is no number of messages a second")


def in_order(words: Sequence[str], options: Mapping[str, argparse.Action]) -> list[str]:
    """Return the words of a command with each DATA as a ``--data=…`` in its place.

    argparse takes all DATA at the first place where some stands, and before Python 3.13 gives up on
    what follows an option, so DATA beside ``--part`` and ``--file`` would lose its place.
    """
    found: list[str] = []
    positional = 0  # of which the first is URI
    left = collections.deque(words)
    while left:
        word = left.popleft()
        if word == "--":
            if left and not positional:
                found.append(left.popleft())
            found += [f"--data={data}" for data in left]
            break
        if word.startswith("-") and word != "-":
            found.append(word)
            takes = options.get(word)  # None: also for --option=value, which is one word
            needs = takes is not None and takes.nargs is None
            may = takes is not None and takes.nargs == "?"
            if left and (needs or (may and not left[0].startswith("-"))):
                found.append(left.popleft())
        else:
            found.append(f"--data={word}" if positional else word)
            positional += 1
    return found


def run(args: Namespace) -> int:
    """Send all that was given."""
    row = sockets.row_of(args.uri)
    if not row.sends or row.requests or row.replies:
        other = "; see ratchet request" if row.requests else ""
        other = "; see ratchet serve" if row.replies else other
        raise UsageError(f"a {row.name} socket does not just send{other}")
    files = [piece for piece in args.pieces or [] if piece.kind == "file"]
    total, size = args.count or None, None
    if files and args.count is None:
        size = sum(file_size(piece.value) for piece in files)
    on = bool(args.pieces) or not terminal.is_terminal(sys.stdin)  # nobody types
    with (
        terminal.Meter("sent", messages=total, size=size, on=on) as meter,
        sockets.opened(args.uri, args, meter=meter) as zsock,
    ):
        for message in paced(messages(args, meter), args.rate):
            send(zsock, message, args.timeout, meter)
    return DONE


def send(zsock: ZMQSocket, message: Message, timeout: float | None, meter: terminal.Meter) -> None:
    """Send one message. Of a large one wait until libzmq needs its memory no more."""
    if sum(map(len, message)) < LARGE:
        zsock.send_multipart(message)
    else:
        zsock.send_multipart(message, copy=False).wait(timeout)
    meter.add(1, 0)


def messages(args: Namespace, meter: terminal.Meter) -> Iterator[Message]:
    """Go through all messages that are to be sent."""
    if args.pieces:
        found = given(args, meter)
        if args.count is not None:
            found = itertools.chain.from_iterable(given(args, meter) for _ in itertools.repeat(0))
    else:
        found = typed(args, meter)
        if args.part:
            found = iter([[part for message in found for part in message]])
    return itertools.islice(found, args.count or None)


def given(args: Namespace, meter: terminal.Meter) -> Iterator[Message]:
    """Go through the messages of the command line."""
    decode = decoder(args.format)

    def parts_of(piece: Piece) -> Message:
        if piece.kind == "file":
            return [contents(piece.value, meter)]
        data = os.fsencode(piece.value)
        meter.add(0, len(data))
        return [*decode(data)]

    if args.part:
        yield [part for piece in args.pieces for part in parts_of(piece)]
    else:
        for piece in args.pieces:
            yield parts_of(piece)


def typed(args: Namespace, meter: terminal.Meter) -> Iterator[Message]:
    """Go through the lines of stdin; each may be of any bytes, and the last need not end."""
    if args.format == "raw":
        yield [all_of(standard_input(), meter)]
        return
    decode = decoder(args.format)
    for line in standard_input():
        meter.add(0, len(line))
        yield [*decode(line.removesuffix(b"\n"))]


def paced(found: Iterable[Message], a_second: float | None) -> Iterator[Message]:
    """Go through messages no faster than ``a_second``."""
    began = time.monotonic()
    for number, message in enumerate(found):
        if a_second:
            time.sleep(max(0.0, began + number / a_second - time.monotonic()))
        yield message


def standard_input() -> BinaryIO:
    """Return stdin, for bytes."""
    if sys.stdin is None:
        raise Failure("stdin is closed: give DATA or --file")
    return sys.stdin.buffer


def all_of(stdin: BinaryIO, meter: terminal.Meter) -> bytearray:
    """Read to the end, and show how far it is. `read` would hold it twice at the end."""
    data = bytearray()
    while block := stdin.read(BLOCK):
        data += block
        meter.add(0, len(block))
    return data


def file_size(path: str) -> int:
    """Return how many bytes a file has; 0 where only reading tells."""
    return 0 if path == "-" else os.stat(path).st_size  # noqa: PTH116 (as it was named)


def contents(path: str, meter: terminal.Meter) -> bytes | bytearray:
    """Read a whole file, and show how far it is."""
    if path == "-":
        return all_of(standard_input(), meter)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (as it was named)
        buffer = bytearray(os.fstat(file.fileno()).st_size)
        done = 0
        with memoryview(buffer) as view:
            while count := file.readinto(view[done : done + BLOCK]):
                done += count
                meter.add(0, count)
        del buffer[done:]  # it has become shorter
        rest = file.read()  # or longer, or has no size, as in /proc
        meter.add(0, len(rest))
        return buffer + rest if rest else buffer
