"""``ratchet info``: versions, what libzmq can, limits, what is installed beside it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from .. import __version__, has, libzmq_version
from . import terminal
from .ends import DONE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "show versions, what libzmq can, and limits"
MORE = "What to put into a report of a bug. With --json it is for programs."
EXAMPLES = (
    ("everything", "ratchet info"),
    ("which libzmq", "ratchet info --json | jq -r .versions.libzmq"),
)

# What zmq_has(3) knows.
CAPABILITIES = ("ipc", "curve", "gssapi", "pgm", "tipc", "norm", "vmci", "ws", "wss", "draft")
BESIDE = ("pyzmq", "uvloop", "trio", "anyio", "gevent", "rich", "shtab")


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--json", action="store_true", help="one object")


def run(args: Namespace) -> int:
    """Print what there is."""
    found = facts()
    if args.json:
        print(json.dumps(found, indent=2))
        return DONE
    screen = terminal.console(sys.stdout)
    width = max(len(name) for part in found.values() for name in part)
    for title, part in found.items():
        if screen:
            screen.print(f"[bold]{title}[/]")
        else:
            print(title)
        for name, value in part.items():
            print(f"  {name:<{width}}  {in_words(value)}")
    return DONE


def in_words(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not installed" if value is None else str(value)


def facts() -> dict[str, dict[str, Any]]:
    """Gather it all."""
    from .. import _zmq

    return {
        "versions": {
            "ratchet": __version__,
            "libzmq": ".".join(map(str, libzmq_version())),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "greenlet": version("greenlet"),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "libzmq has": {name: has(name) for name in CAPABILITIES},
        "limits": limits(),
        "beside it": {name: version(name) for name in BESIDE},
        "places": {"package": os.path.dirname(_zmq.__file__), "python": sys.executable},  # noqa: PTH120
    }


def version(name: str) -> str | None:
    """Return which version of a distribution is installed, without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def limits() -> dict[str, Any]:
    """Return what bounds how many sockets there can be, and how fast they are."""
    found: dict[str, Any] = {"processors": processors()}
    try:
        import resource
    except ImportError:  # Windows
        return found
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {**found, "descriptors": now, "descriptors at most (ulimit -Hn)": most}


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
