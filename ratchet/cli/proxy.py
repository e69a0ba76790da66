"""``ratchet proxy``: a broker between two sockets, with live figures."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from . import sockets, terminal
from .ends import DONE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

    from .. import ProxyStats

HELP = "pass messages on between two sockets"
MORE = """\
Clients connect to the first, workers to the second: ROUTER and DEALER for requests, XSUB and XPUB
for what is published, PULL and PUSH for jobs. --capture gets a copy of each message. At a terminal
it shows what passes; it ends with Ctrl-C."""
EXAMPLES = (
    (
        "requests of many clients to many workers",
        "ratchet proxy 'router:tcp://*:5555' 'dealer:tcp://*:5556'",
    ),
    ("publishers and subscribers", "ratchet proxy 'xsub:tcp://*:5555' 'xpub:tcp://*:5556'"),
    (
        "jobs to workers, and a copy of each to who subscribes",
        "ratchet proxy 'pull:tcp://*:5555' 'push:tcp://*:5556' --capture 'pub:tcp://*:5557'",
    ),
)

EVERY = 0.25  # seconds between two looks at the figures
STOP = 0.5  # seconds to pass on what was taken when it ends


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add = parser.add_argument
    add("uri", metavar="URI", type=sockets.uri, help="the side of the clients")
    add("backend", metavar="URI", type=sockets.uri, help="the side of the workers")
    add("--capture", metavar="URI", type=sockets.uri, help="a PUB, PUSH, DEALER or PAIR for copies")
    parser.set_defaults(timeout=None)
    sockets.add_options(parser)


def run(args: Namespace) -> int:
    """Pass on until a signal."""
    from .. import Proxy

    with contextlib.ExitStack() as stack:
        uris = [args.uri, args.backend, *([args.capture] if args.capture else [])]
        zsocks = [stack.enter_context(sockets.opened(uri, args)) for uri in uris]
        proxy = Proxy(*zsocks)
        stack.callback(proxy.stop, STOP)
        show = stack.enter_context(figures())
        while proxy._thread.is_alive():  # else something has ended it, which `stop` raises
            proxy._thread.join(EVERY)
            show(proxy.stats)
    return DONE


@contextlib.contextmanager
def figures() -> Iterator[Callable[[ProxyStats], None]]:
    """Yield what shows the figures, at a terminal with rich; elsewhere nothing is shown."""
    screen = terminal.console(sys.stderr)
    if screen is None:
        yield lambda _stats: None
        return
    from rich.live import Live

    with Live(console=screen, auto_refresh=False, transient=True) as live:
        yield lambda stats: live.update(words(stats), refresh=True)


def words(stats: ProxyStats) -> str:
    """Return the figures as a person reads them."""
    return (
        f"from the first {stats.frontend_messages:,} messages, "
        f"{terminal.binary(stats.frontend_bytes)}; "
        f"from the second {stats.backend_messages:,}, {terminal.binary(stats.backend_bytes)}"
        + (f"; {stats.dropped:,} dropped" if stats.dropped else "")
    )
