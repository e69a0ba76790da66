"""Where lines go, and the end of it: a file or stdout, and a pipe that nobody reads any more."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import ClosedError
from . import terminal
from .ends import Failure
from .formats import encoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..zmqsocket import ZMQSocket
    from .formats import Encoder

__all__ = ["destination", "encoder_for", "until_unread"]


def encoder_for(name: str, path: str | None = None) -> Encoder:
    """Return what makes lines of messages; for a person, with a visible line between parts.

    Args:
        name: of the format.
        path: the file that they are for, if it is not stdout.
    """
    seen = path is None and terminal.console(sys.stdout) is not None
    return encoder(name, "\x1b[2m│\x1b[0m" if seen else "\t")


@contextlib.contextmanager
def destination(path: str | None = None) -> Iterator[BinaryIO]:
    """Open the file, or stdout, for bytes."""
    if path is not None:
        with open(path, "wb") as file:  # noqa: PTH123 (its error names what was asked for)
            yield file
    elif sys.stdout is None:
        raise Failure("stdout is closed")
    else:
        yield sys.stdout.buffer


@contextlib.contextmanager
def until_unread(zsock: ZMQSocket, out: BinaryIO) -> Iterator[None]:
    """Within, end at once if ``out`` is a pipe that nobody reads any more, as tail -f does.

    A write would tell as well, but not before the next message. The socket is closed, which ends
    whatever waits for it.

    Raises:
        BrokenPipeError: nobody reads.
    """
    gone = threading.Event()
    if sys.platform != "win32" and stat.S_ISFIFO(os.fstat(out.fileno()).st_mode):
        threading.Thread(target=_close_unread, args=(zsock, out, gone), daemon=True).start()
    try:
        yield
    except ClosedError:
        if not gone.is_set():
            raise
    if gone.is_set():
        raise BrokenPipeError


def _close_unread(zsock: ZMQSocket, out: Any, gone: threading.Event) -> None:
    """Wait until nobody reads ``out``, which poll(2) tells unasked; then close the socket."""
    poll = select.poll()
    poll.register(out.fileno(), 0)
    poll.poll()
    gone.set()
    zsock.close(0)
