"""The command ``ratchet``: sockets on a terminal and in pipes, without a program.

One module a command, and one for each subject that commands share: `parser` (what may be written),
`ends` (how a command ends), `sockets` (from the arguments to a socket), `formats` (from messages to
lines and back), `output` (where they go), `terminal` (progress and colours). Nothing here is
imported by ``import ratchet``.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default the process's own, and return its exit status.

    The process ends inside this call where a signal asks for it.
    """
    # Until there is anything to clean up, Ctrl-C ends the process at once, and quietly: the imports
    # take most of the time of a short command.
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from . import ends, parser

    return ends.run(lambda: parser.command(argv), heard)
