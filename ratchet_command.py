"""Where the command ``ratchet`` begins: from here on, Ctrl-C ends it quietly.

It is no part of the package, because ``import ratchet`` takes a good part of the time of a short
command, and a Ctrl-C during that import would be shown as a traceback.
"""

import signal

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process, and return its exit status."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ratchet import cli

    return cli.main(heard=heard)
