"""The worker OS threads of one kernel, which run what `ratchet.thread.offload` is given."""

from __future__ import annotations

import _queue
import _thread
import contextvars
import errno
import math
from typing import TYPE_CHECKING, Any, TypeVar

from . import errors
from ._platform import is_patched, original
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


class Job:
    """One function for a worker of an `OSThreadPool`, as far as a future is needed."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._call: tuple[Callable[..., Any], tuple[Any, ...]] | None = (func, args)
        self._value: Any = None
        self._error: BaseException | None = None
        self._ended: Callable[[Job], object] | None = None
        self._done = False

    def run(self) -> None:
        """Call the function, unless nobody wants its result any more. In the worker."""
        call, self._call = self._call, None
        if call is None:
            return
        try:
            self._value = call[0](*call[1])
        except BaseException as error:  # noqa: BLE001 (raised where the result is asked for)
            self._error = error
        self._done = True
        if self._ended is not None:
            self._ended(self)

    def add_done_callback(self, ended: Callable[[Job], object]) -> None:
        """Have ``ended(self)`` called at the end, perhaps at once."""
        self._ended = ended
        if self._done:
            ended(self)

    def done(self) -> bool:
        """Return True if the function has ended."""
        return self._done

    def cancel(self) -> None:
        """Do not begin any more."""
        self._call = None

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class OSThreadPool:
    """Workers where gevent has put greenlets in the place of Python's threads: real OS threads."""

    def __init__(self) -> None:
        self._jobs: _queue.SimpleQueue[Job | None] = _queue.SimpleQueue()
        self._count = self._idle = 0
        self._begin = original(_thread, "start_new_thread")

    def submit(self, func: Callable[..., Any], *args: Any) -> Job:
        """Have a worker call the function."""
        job = Job(func, args)
        if self._idle <= self._jobs.qsize() and self._count < MOST:
            self._count += 1
            self._begin(self._work, ())
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while True:
            self._idle += 1
            job = self._jobs.get()
            self._idle -= 1
            if job is None:
                return
            job.run()
            del job

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:  # noqa: ARG002 (a pool's)
        """Have the workers end; nobody waits for what has not begun."""
        for _ in range(self._count):
            self._jobs.put(None)


def _new_pool() -> ThreadPoolExecutor | OSThreadPool:
    if is_patched("threading"):
        return OSThreadPool()
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(MOST, "ratchet-offload")


class Workers:
    """A pool of OS threads, which is made when the first function is offloaded."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | OSThreadPool | None = None

    def run(
        self, kernel: Kernel, thread: Thread, func: Callable[..., T], args: tuple[Any, ...]
    ) -> T:
        """Run ``func`` in a worker, and pause ``thread`` until its result is there."""
        if self._pool is None:
            self._pool = _new_pool()
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
        return getattr(self._pool, "_threads", ())

    def forked(self) -> None:
        """Forget the pool in a forked child, where its threads are not."""
        self._pool = None

    def close(self) -> None:
        """Start nothing any more, and do not wait for what runs."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
