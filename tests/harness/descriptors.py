"""Which descriptors this process has open."""

import contextlib
import os

FOLDER = "/proc/self/fd"  # of Linux only


def open_descriptors():
    """Each number, as a str, and what it is: a number used anew is seen as another."""
    found = {}
    # Not by pathlib, which interns names: Python's table of those grows by 1 MB at a time.
    for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else ():  # noqa: PTH112, PTH208
        with contextlib.suppress(OSError):  # it was closed meanwhile, as the folder's own is
            found[name] = os.readlink(f"{FOLDER}/{name}")  # noqa: PTH115
    return found
