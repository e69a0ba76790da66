"""``python -m ratchet.pyzmq program.py …`` and ``-m package …``: run pyzmq's program on ratchet."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from . import load

_USAGE = """\
usage: python -m ratchet.pyzmq program.py [argument ...]
       python -m ratchet.pyzmq -m package [argument ...]

Run a program that uses pyzmq on ratchet's core, and its children too."""


def main() -> None:
    """Run the program that the command line names, as Python itself would."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if arguments else sys.stderr)
        sys.exit(0 if arguments else 2)
    load()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(_USAGE, file=sys.stderr)
            sys.exit(2)
        sys.argv = arguments[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
