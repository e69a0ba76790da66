"""OS threads of ratchet's own, also where gevent has put greenlets in the place of threads."""

from __future__ import annotations

import _thread
import threading
from typing import TYPE_CHECKING

from ._platform import is_patched, original

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RealThread", "start_thread"]


class RealThread:
    """An OS thread where gevent has put greenlets in the place of Python's threads."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._runs = True
        self._ended = original(_thread, "allocate_lock")()
        self._ended.acquire()
        original(_thread, "start_new_thread")(self._run, (function,))

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        finally:
            self._runs = False
            self._ended.release()

    def is_alive(self) -> bool:
        """Return True until its function has ended."""
        return self._runs

    def join(self, timeout: float = -1) -> None:
        """Sleep until its function has ended, for so many seconds at most; no greenlet runs."""
        if self._ended.acquire(timeout=timeout):
            self._ended.release()


def start_thread(function: Callable[[], None], name: str) -> threading.Thread | RealThread:
    """Start a daemon OS thread: the exit does not wait for it."""
    if is_patched("threading"):
        return RealThread(function)
    thread = threading.Thread(target=function, name=name, daemon=True)
    thread.start()
    return thread
