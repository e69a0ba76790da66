"""Where the command ``ratchet`` begins: from here on, Ctrl-C ends it quietly.

It is no part of the package, because ``import ratchet`` takes a good part of the time of a short
command, and a Ctrl-C during that import would be shown as a traceback.
"""

import _signal  # type: ignore[import-not-found]  # in C: `signal` would import enum first

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process, and return its exit status."""
    heard = _signal.getsignal(_signal.SIGINT)
    if heard is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from ratchet import cli

    return cli.main(heard=heard)
