"""From the arguments of a command to its socket, and to the socket's end."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING, Any

from .. import zmqsocket
from .._zmq import still_lingers
from ..errors import ClosedError, Error, Timeout, UriError
from ..options import KEYWORDS
from ..socket_types import OLD_NAMES, TYPES
from . import ends, security
from .handshakes import Handshakes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..socket_types import SocketType
    from ..uri import ZMQRecord
    from ..zmqsocket import ZMQSocket
    from .terminal import Meter

__all__ = ["add_options", "add_timeout", "add_uri", "opened", "row_of", "seconds"]

LINGER = 10.0  # seconds, as the library's own default
INTERRUPTED_LINGER = 0.5  # seconds for what was sent before a signal
TICK = 0.1  # seconds between two looks of progress


def uri(text: str) -> ZMQRecord:
    """Read an argument that is a URI."""
    try:
        record = zmqsocket.prepare_uri(text)
    except UriError as error:
        raise argparse.ArgumentTypeError(str(error.strerror)) from None
    if record.endpoint.startswith("inproc:"):
        raise argparse.ArgumentTypeError(f"{text}: inproc reaches nobody outside this process")
    return record


def seconds(text: str) -> float:
    """Read an argument that is a time."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def natural(text: str) -> int:
    """Read an argument that counts something."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def option(text: str) -> tuple[str, Any]:
    """Read an argument that is an option of a socket, such as ``rcvhwm=10``."""
    name, equals, value = text.partition("=")
    known = KEYWORDS.get(name.lower())
    if not equals or known is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no option of a socket, as in rcvhwm=10")
    return name.lower(), _value(known.takes, value)


def _value(takes: str, text: str) -> Any:
    """Return what a text on the command line means for an option that takes such a type."""
    if "bytes" in takes:
        return os.fsencode(text)
    words = {"true": True, "yes": True, "false": False, "no": False, "none": None}
    if "str" not in takes:
        if text.lower() in words:
            return words[text.lower()]
        for number in (int, float):
            with contextlib.suppress(ValueError):
                return number(text)
    return text


def add_uri(parser: argparse.ArgumentParser) -> None:
    """Let the command take a URI."""
    parser.add_argument("uri", metavar="URI", type=uri, help="such as pull:tcp://*:5555")


def add_timeout(parser: argparse.ArgumentParser, text: str) -> None:
    """Let the command take ``--timeout``."""
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the command take what decides how its sockets are made."""
    group = parser.add_argument_group("connections")
    add_sides(group)
    group.add_argument(
        "--option",
        action="append",
        default=[],
        type=option,
        metavar="NAME=VALUE",
        help="an option of the socket, such as rcvhwm=10 or ipv6=true; may be repeated",
    )
    security.add_options(parser.add_argument_group("security"))


def add_sides(group: argparse._ArgumentGroup) -> None:
    """Let the command take what decides whether an endpoint is bound."""
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--bind", action="store_true", help="bind the endpoint, though there is no * in it"
    )
    either.add_argument(
        "--connect", action="store_true", help="connect to the endpoint, though there is a * in it"
    )


def binds(endpoint: str, args: argparse.Namespace) -> bool:
    """Return whether an endpoint is bound, and not connected to."""
    return bool(args.bind or ("*" in endpoint and not args.connect))


def row_of(record: ZMQRecord) -> SocketType:
    """Return what the socket type of a URI can do."""
    return row_of_type(record.type)


def row_of_type(type: str) -> SocketType:
    """Return what a socket type can do."""
    return TYPES[OLD_NAMES.get(type, type)]


@contextlib.contextmanager
def opened(
    record: ZMQRecord,
    args: argparse.Namespace,
    *,
    before: Callable[[ZMQSocket], None] | None = None,
    meter: Meter | None = None,
) -> Iterator[ZMQSocket]:
    """Make the socket of a URI, bound or connected, and close it in the end.

    Args:
        record: the URI.
        args: of the command.
        before: is called with the socket before it is bound or connected, and then answers for its
            handshakes itself.
        meter: of a command that sends: at the end its peers must have taken all, or `Timeout` is
            raised. After an interrupt what was sent has just a moment to leave.
    """
    given = security.options_of(args) | dict(args.option)
    if wanted := getattr(args, "wait_peers", None):
        given["track_peers"] = True
    if record.endpoint.startswith("tcp://["):  # an IPv6 address
        given.setdefault("ipv6", True)
    with _made(record, given) as zsock:
        zsock.set_timeout(args.timeout)
        handshakes = None
        if before:
            before(zsock)
        elif not binds(record.endpoint, args):
            handshakes = Handshakes(zsock)
        _join(zsock, record.endpoint, args)
        try:
            if wanted:
                _wait_for_peers(zsock, wanted, meter)
            yield zsock
            if meter:
                _deliver(zsock, args, meter, handshakes)
        except ClosedError:
            if handshakes:
                handshakes.check()
            raise
        except KeyboardInterrupt:
            zsock.close(INTERRUPTED_LINGER)
            _wait_for_delivery(INTERRUPTED_LINGER)
            raise


def _wait_for_peers(zsock: ZMQSocket, count: int, meter: Meter | None) -> None:
    """Pause until so many are there; for what is published, until so many have subscribed."""
    if meter:
        meter.say("waiting for peers")
    if row_of_type(zsock.type).publishes:
        zsock.wait_subscribers(count=count)
    else:
        zsock.wait_peers(count)
    if meter:
        meter.say("sent")


def _join(zsock: ZMQSocket, endpoint: str, args: argparse.Namespace) -> None:
    """Bind or connect."""
    if not binds(endpoint, args):
        zsock.connect(endpoint)
        return
    bound = zsock.bind(endpoint)
    if _chosen(endpoint):
        ends.tell(f"bound to {bound}")


@contextlib.contextmanager
def _made(record: ZMQRecord, options: dict[str, Any]) -> Iterator[ZMQSocket]:
    """Make a socket, and close it in the end."""
    try:
        with ends.blocked():
            zsock = zmqsocket.new(record.type, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, Error):
            raise
        raise ends.UsageError(str(error)) from None
    try:
        yield zsock
    finally:
        zsock.close(0)


def _chosen(endpoint: str) -> bool:
    """Return True if a part of the endpoint is found by binding: the port, or a path."""
    return endpoint.startswith("ipc://*") or (
        endpoint.startswith("tcp://") and not endpoint.rpartition(":")[2].isdigit()
    )


def _deliver(
    zsock: ZMQSocket, args: argparse.Namespace, meter: Meter, handshakes: Handshakes | None
) -> None:
    """Close a socket when its peers have taken what it has sent.

    Raises:
        Timeout: they have not, ``--timeout`` or 10 seconds after the last message.
        Failure: the server has refused this socket.
    """
    until = time.monotonic() + (LINGER if args.timeout is None else args.timeout)
    meter.say("waiting for the peer")
    # A PUB drops what is for nobody, so there is nothing to wait for.
    if handshakes and row_of(args.uri).full_is_unwritable:
        while not handshakes.done.wait(TICK) and time.monotonic() < until:
            meter.add(0, 0)
        handshakes.check()
    limit = max(until - time.monotonic(), 0.0)
    zsock.close(limit)
    if not _wait_for_delivery(limit, meter) or time.monotonic() >= until:
        raise Timeout(
            errno.ETIMEDOUT,
            f"{args.uri.type} socket of {args.uri.endpoint}: its peer has not taken all that was "
            f"sent in time; is there one, and is it the right endpoint?",
        )


def _wait_for_delivery(limit: float, meter: Meter | None = None) -> bool:
    """Return whether closed sockets have delivered all within ``limit`` seconds."""
    until = time.monotonic() + limit
    pause = 0.0002  # seconds; usually all is gone by then
    while still_lingers() and time.monotonic() < until:
        time.sleep(pause)
        if meter:
            meter.add(0, 0)
        pause = min(2 * pause, 0.02)
    return time.monotonic() < until
