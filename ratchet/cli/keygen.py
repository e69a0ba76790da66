"""``ratchet keygen``: a pair of CURVE certificates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .ends import DONE, Failure, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "make a pair of keys for encrypted connections"
MORE = """\
Writes NAME.key, which the other side gets, and NAME.key_secret, which only its owner may read and
which stays. Prints the public key. NAME may be a path; folders that are missing are made."""
EXAMPLES = (
    ("make server.key and server.key_secret", "ratchet keygen server"),
    ("make the keys of a client that the server lets in", "ratchet keygen clients/alice"),
    (
        "the server: only for the clients of the folder",
        "ratchet recv 'pull:tcp://*:5555' --curve server.key_secret --clients clients",
    ),
    (
        "the client: only to that server",
        "ratchet send push:tcp://host:5555 --curve alice.key_secret --server server.key hello",
    ),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("name", metavar="NAME", help="of the certificates")
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace certificates of that name; their keys are lost",
    )


def run(args: Namespace) -> int:
    """Make them."""
    from .. import auth

    path = Path(args.name)
    if path.name in ("", ".."):
        raise UsageError(f"{args.name!r} names no file")
    for suffix in ("key", "key_secret"):
        there = path.with_name(f"{path.name}.{suffix}")
        if there.exists() and not args.force:
            raise Failure(f"{there} exists; --force replaces it, and its keys are lost")
    keys = auth.generate()
    auth.save(path.parent, path.name, keys)
    print(keys.public)
    return DONE
