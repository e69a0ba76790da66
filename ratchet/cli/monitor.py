"""``ratchet monitor``: what happens on a connection, as it happens."""

from __future__ import annotations

import errno
import json
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import Timeout
from . import output, sockets
from .ends import DONE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..zmqsocket import Monitor, MonitorEvent, ZMQSocket

HELP = "show what happens on a connection, as it happens"
MORE = """\
A line an event: the time, its name (zmq_socket_monitor(3), without the prefix), where, and what it
tells. The socket is a peer as any other: a PULL is sent its share of the messages, which nobody
receives here. A SUB without subscriptions takes nothing."""
EXAMPLES = (
    ("is there anybody?", "ratchet monitor sub:tcp://host:5555"),
    ("who comes and goes", "ratchet monitor 'rep:tcp://*:5555'"),
    (
        "wait until the server refuses this client",
        "ratchet monitor sub:tcp://host:5555 --event HANDSHAKE_FAILED_AUTH --count 1",
    ),
    ("only the names of the events", "ratchet monitor sub:tcp://host:5555 --json | jq -r .name"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    sockets.add_uri(parser)
    add = parser.add_argument
    add("--event", action="append", default=[], metavar="NAME", type=str.upper,
        help="only these; may be repeated")  # fmt: skip
    add("--json", action="store_true", help="an object a line")
    add("--count", type=sockets.natural, metavar="N", help="end after so many events")
    sockets.add_timeout(parser, "end with status 124 if nothing happened for so long")
    sockets.add_options(parser)


def run(args: Namespace) -> int:
    """Print events until it is enough."""
    made: list[Monitor] = []

    def attach(zsock: ZMQSocket) -> None:
        made.append(zsock.monitor(*args.event))

    left = -1 if args.count is None else args.count
    line_of = as_json if args.json else as_text
    with (
        sockets.opened(args.uri, args, before=attach) as zsock,
        made[0] as monitor,
        output.destination() as out,
        output.until_unread(zsock, out),
    ):
        while left:
            event = next_event(monitor, args.timeout)
            out.write(line_of(event).encode() + b"\n")
            out.flush()
            left -= 1
    return DONE


def next_event(monitor: Monitor, timeout: float | None) -> MonitorEvent:
    """Wait for an event; say of a timeout what a person wants to know."""
    try:
        return monitor.recv(timeout=timeout)
    except Timeout:
        text = f"nothing happened within {timeout:g} s"
        raise Timeout(errno.ETIMEDOUT, text) from None


def as_text(event: MonitorEvent) -> str:
    """Return an event as a person reads it."""
    now = datetime.now().astimezone().time().isoformat("milliseconds")
    what = f"  {event.error}" if event.error else ""
    if not what and event.name in ("CONNECT_RETRIED", "LOST"):
        what = f"  in {event.value:g} s" if event.name == "CONNECT_RETRIED" else f"  {event.value}"
    return f"{now}  {event.name:<19}  {event.endpoint}{what}"


def as_json(event: MonitorEvent) -> str:
    """Return an event for programs."""
    now = datetime.now().astimezone().isoformat()
    error = str(event.error) if event.error else None
    return json.dumps({"time": now, **event._asdict(), "error": error}, ensure_ascii=False)
