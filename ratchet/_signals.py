"""The signals for which the threads of one kernel wait with `ratchet.thread.sigwait`."""

from __future__ import annotations

import errno
import math
import signal
from typing import TYPE_CHECKING, Any

from . import errors
from ._zmq import thread_is_main

if TYPE_CHECKING:
    from ._threads import Thread
    from .kernel import Kernel

__all__ = ["Signals"]


class Signals:
    """The signals that one kernel has taken over, and the threads that wait for them."""

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}  # the handlers of before, to put back at the end
        self._waiting: dict[int, list[list[Any]]] = {}  # number -> lists of [thread, has it come?]
        self._pending: set[int] = set()  # signals that came while nobody waited for them

    def wait(self, kernel: Kernel, thread: Thread, number: int) -> None:
        """Pause ``thread`` until the process gets the signal.

        A signal that has come since the first wait for it, while nobody waited, counts as well.
        """
        if number not in self._handlers:
            self._take_over(kernel, number)
        if number in self._pending:
            self._pending.discard(number)
            return
        entry = [thread, False]
        self._waiting[number].append(entry)
        try:
            while not entry[1]:
                kernel.pause_until(f"signal {name_of(number)}", math.inf)
        finally:
            self._waiting[number].remove(entry)

    def _take_over(self, kernel: Kernel, number: int) -> None:
        if not thread_is_main():
            raise errors.StateError(
                errno.EPERM, "sigwait() works in kernels of the main thread, as signals do"
            )

        def handler(number: int, _frame: object) -> None:
            if not self._waiting[number]:
                self._pending.add(number)
            for entry in self._waiting[number]:
                entry[1] = True
                kernel.resume(entry[0])

        self._waiting[number] = []
        try:
            self._handlers[number] = signal.signal(number, handler)
        except (OSError, ValueError):  # ValueError on Windows
            raise errors.argument_error(f"nobody can wait for {name_of(number)}") from None

    def give_back(self) -> None:
        """Put the handlers back that were there before."""
        for number, before in self._handlers.items():
            signal.signal(number, before)
        self._handlers.clear()


def number_of(given: object) -> int:
    """Return the number of a signal that is given by its number or name.

    Raises:
        ArgumentError: there is no such signal.
        TypeError: it is neither.
    """
    number: int | None
    if isinstance(given, str):
        number = signal.Signals.__members__.get(given)
    elif type(given) is not bool and isinstance(given, int):
        number = given if given in signal.valid_signals() else None
    else:
        raise TypeError(f"a signal is a number or a name, not {type(given).__name__}")
    if number is None:
        names = ", ".join(sorted(signal.Signals.__members__))
        raise errors.argument_error(f"unknown signal {given!r}; it is one of {names}")
    return int(number)


def name_of(number: int) -> str:
    """Return a signal's name; most of the real-time signals have none but their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
