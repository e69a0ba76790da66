"""``--curve``, ``--server`` and ``--clients``: who a socket is, and with whom it speaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .ends import UsageError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_options", "options_of"]


def add_options(group: argparse._ArgumentGroup) -> None:
    """Let the command take them."""
    add = group.add_argument
    add(
        "--curve",
        metavar="KEYFILE",
        help="encrypt, with the keys of this certificate (NAME.key_secret, see ratchet keygen)",
    )
    add("--server", metavar="KEY", help="as a client of the server with this public key, or .key")
    add(
        "--clients",
        metavar="FOLDER",
        action="append",
        help="as a server, for clients whose certificates are here; any: for all. May be repeated",
    )


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of sockets that were asked for."""
    if not args.curve:
        if args.server or args.clients:
            raise UsageError("--server and --clients need --curve, with one's own keys")
        return {}
    if bool(args.server) == bool(args.clients):
        raise UsageError("--curve needs --server, to be a client, or --clients, to be a server")
    from .. import auth

    keys = auth.load(args.curve)
    if keys.secret is None:
        raise UsageError(f"{args.curve} has no secret key; its other half is NAME.key_secret")
    if args.server:
        known = Path(args.server)  # of a certificate, or else it is the key itself
        server = auth.load(known).public if known.is_file() else args.server
        return {"curve": keys, "server": server}
    if args.clients == ["any"]:
        return {"curve": keys, "clients": auth.ANY}
    for folder in args.clients:
        if not Path(folder).is_dir():
            raise UsageError(f"--clients {folder}: there is no such folder")
    return {"curve": keys, "clients": [Path(folder) for folder in args.clients]}
