"""What a program holds of a kernel: `Ratchet`, and `new` and `run`, which make one."""

from __future__ import annotations

import errno
import functools
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn, Self, TextIO, TypeVar

from . import errors
from ._zmq import current_thread
from .kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._threads import Thread

__all__ = ["Ratchet", "new", "run"]

T = TypeVar("T")


class Ratchet:
    """A kernel, which runs many ratchet threads in one OS thread. `ratchet.new` makes one.

    Args:
        entry: the function that its first thread calls, without arguments.
        on_error: called as ``on_error(exception, thread)`` for an exception that a thread does
            not catch. Without it, the exception leaves `loop`, which may be called again.

    When it is dropped, the threads that are still alive are killed, so that their ``finally``
    blocks run.
    """

    def __init__(
        self,
        entry: Callable[[], object],
        on_error: Callable[[BaseException, Thread], object] | None = None,
    ) -> None:
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error is a function, not {type(on_error).__name__}")
        if not callable(entry):
            raise TypeError(f"entry is a function, not {type(entry).__name__}")
        self._kernel = Kernel(on_error)
        self._first = self._kernel.attach(entry, (), {})

    def loop(self) -> None:
        """Run until every attached thread has ended; background threads are then killed.

        Raises:
            DeadlockError: every thread waits for another.
            StateError: this OS thread runs a kernel already.
            BaseException: a thread raised it and nobody caught it; call `loop` again to go on.
        """
        self._kernel.loop()

    def loop_once(self, noblock: bool = False) -> bool:
        """Run each ready thread once, then wait for events, unless ``noblock``.

        Returns:
            bool: True if any attached thread is left.
        """
        return self._kernel.loop_once(noblock)

    def stop(self) -> None:
        """Leave `loop` after the current turn. From any thread."""
        self._kernel.stopping = True
        self._kernel.wake_up()

    def attach(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """Make a thread, which starts on the next turn of the loop."""
        return self._kernel.attach(func, args, kwargs)

    def attach_background(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """Make a thread for which `loop` does not wait."""
        return self._kernel.attach(func, args, kwargs, background=True)

    def get_num_threads(self) -> int:
        """Return how many threads have not ended, background threads included."""
        return len(self._kernel.threads)

    def get_space(self, thread: Thread, default: T | None = None) -> Any | T | None:
        """Return the scratch namespace of ``thread``, or ``default`` if it has none."""
        return default if thread.scratch is None else thread.scratch

    def get_method(self) -> str:
        """Return the means of watching descriptors: ``"epoll"``, ``"kqueue"`` or ``"select"``."""
        return self._kernel.descriptors.method

    def dump(self, file: TextIO | None = None) -> None:
        """Print every thread and its stack, to ``sys.stderr`` if ``file`` is None."""
        file = sys.stderr if file is None else file
        for thread in sorted(self._kernel.threads, key=id):
            print(repr(thread), file=file)
            frame = None if thread.glet is None else thread.glet.gr_frame
            if thread is current_thread():
                frame = sys._getframe(1)
            print("".join(traceback.format_stack(frame)) if frame else "", end="", file=file)

    def close(self) -> None:
        """Kill the threads that are left. Idempotent; called at the end of ``with``, too.

        Raises:
            StateError: the kernel runs; `stop` it first.
        """
        if self._kernel.owner is not None:
            raise errors.StateError(errno.EBUSY, "this kernel runs: stop() it before close()")
        self._kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        kernel = getattr(self, "_kernel", None)
        if kernel is not None:
            kernel.close()

    def __reduce__(self) -> NoReturn:
        # Whichever of two were dropped first would kill the threads of both.
        raise TypeError(f"{self!r} cannot be copied or pickled; make a new one where it is needed")

    def __repr__(self) -> str:
        return f"<ratchet.Ratchet of {self.get_num_threads()} threads>"


def new(
    entry: Callable[[], object],
    on_error: Callable[[BaseException, Thread], object] | None = None,
) -> Ratchet:
    """Make a kernel whose first thread calls ``entry``: see `Ratchet`."""
    return Ratchet(entry, on_error)


def run(entry: Callable[..., T], *args: Any) -> T:
    """Run ``entry(*args)`` as the first thread of a kernel until every thread has ended.

    Returns:
        the value that ``entry`` returned.
    """
    with Ratchet(functools.partial(entry, *args) if args else entry) as ratchet:
        ratchet.loop()
        value: T = ratchet._first.value
        return value
