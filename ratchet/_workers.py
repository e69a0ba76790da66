"""The worker OS threads of one kernel, which run what `ratchet.thread.offload` is given."""

from __future__ import annotations

import contextvars
import errno
import math
from typing import TYPE_CHECKING, Any, TypeVar

from . import errors
from ._zmq import process_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import ThreadPoolExecutor
    from threading import Thread as OSThread

    from ._threads import Thread
    from .kernel import Kernel

__all__ = ["Workers"]

T = TypeVar("T")

# Worker OS threads of one kernel at most.
MOST = 32


class Workers:
    """A pool of OS threads, which is made when the first function is offloaded."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def run(
        self, kernel: Kernel, thread: Thread, func: Callable[..., T], args: tuple[Any, ...]
    ) -> T:
        """Run ``func`` in a worker, and pause ``thread`` until its result is there."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(MOST, "ratchet-offload")
        born = process_generation()
        future = self._pool.submit(contextvars.copy_context().run, func, *args)
        future.add_done_callback(lambda _: kernel.resume(thread))
        name = getattr(func, "__qualname__", func)
        try:
            while not future.done():
                kernel.pause_until(f"{name} in a worker", math.inf)
                if born != process_generation():  # a lock of the future may be held for ever
                    raise errors.ForkedError(
                        errno.EBADF, f"{name} runs in a worker of the parent process: call it again"
                    )
        finally:
            if born == process_generation():
                future.cancel()
        return future.result()

    def threads(self) -> Collection[OSThread]:
        """Return the workers that there are."""
        return () if self._pool is None else self._pool._threads

    def forked(self) -> None:
        """Forget the pool in a forked child, where its threads are not."""
        self._pool = None

    def close(self) -> None:
        """Start nothing any more, and do not wait for what runs."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
