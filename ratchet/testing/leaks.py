"""Sockets that are left open, and where each was made: `no_leaks`."""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _awaited, _zmq, zmqsocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["left_open", "no_leaks"]

_GRACE = 1.0  # seconds; what another thread is about to close is no leak
_OWN = (str(Path(__file__).parents[1]), contextlib.__file__)  # whose lines tell nobody anything
_CLASSES: tuple[Any, ...] = (zmqsocket.ZMQSocket, _awaited.AwaitedSocket)

_places: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_watches = 0  # how many checks are active; only then is anything noted


@contextlib.contextmanager
def no_leaks() -> Iterator[None]:
    """Raise AssertionError if sockets that are made in the block are open at its end.

    The message has each socket and the line that made it; they are closed, without a linger. What
    another thread closes within a second is no leak, nor is a socket that is nobody's any more. If
    the block raises, the sockets are closed, and its error goes on.
    """
    with left_open() as left:
        yield
    if left:
        raise AssertionError(left[0])


@contextlib.contextmanager
def left_open() -> Iterator[list[str]]:
    """Close what sockets are left open by the block; a list that then has what there is to say."""
    before = weakref.WeakSet(_zmq.open_sockets)
    said: list[str] = []
    with _noting():
        try:
            yield said
        except BaseException:
            _close(before)
            raise
        if left := _left(before):
            lines = [
                f"{zsock!r}, made at {_places.get(zsock, 'a place unknown')}" for zsock in left
            ]
            said.append("\n  ".join([f"{len(left)} socket(s) left open:", *sorted(lines)]))
        del left
        _close(before)


def _close(before: weakref.WeakSet[Any]) -> None:
    for zsock in set(_zmq.open_sockets) - set(before):
        zsock.close(linger=0)


def _left(before: weakref.WeakSet[Any]) -> set[Any]:
    """Return the sockets that are new, and stay."""
    until = time.monotonic() + _GRACE
    while True:
        left = set(_zmq.open_sockets) - set(before)
        if not left or time.monotonic() > until:
            return left
        left.clear()
        gc.collect()  # those that only wait for it are nobody's
        time.sleep(0.001)


@contextlib.contextmanager
def _noting() -> Iterator[None]:
    """Note where each socket is made."""
    global _watches
    if _watches == 0:
        for kind in _CLASSES:
            kind.__init__ = _noted(kind.__init__)
    _watches += 1
    try:
        yield
    finally:
        _watches -= 1
        if _watches == 0:
            for kind in _CLASSES:
                kind.__init__ = kind.__init__.__wrapped__


def _noted(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def noted(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        _places[self] = _place()

    return noted


def _place() -> str:
    """Return the line of the program's own that makes a socket."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(_OWN) and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
