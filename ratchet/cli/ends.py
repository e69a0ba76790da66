"""How a command ends: the exit status, one line for an error, quietly for a signal or a pipe.

Ctrl-C and SIGTERM end the process by that signal, when all has been cleaned up: a shell shows 130
or 143, and ends the loop or script in which the command stood. After ``sys.exit(130)`` bash goes on
with the loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from ..errors import ArgumentError, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, NoReturn

__all__ = [
    "DONE",
    "FAILURE",
    "TIMED_OUT",
    "USAGE",
    "Failure",
    "UsageError",
    "blocked",
    "run",
    "tell",
    "uninterrupted",
]

DONE, FAILURE, USAGE = 0, 1, 2
TIMED_OUT = 124  # as timeout(1) has it

_name = "ratchet"  # of the program and, as soon as it is known, the command


class Failure(Exception):
    """Ends the command with status 1 and this line."""


class UsageError(Exception):
    """Ends the command with status 2 and this line: what was asked for cannot be."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def set_name(name: str) -> None:
    """Say which command speaks in what is told from now on."""
    global _name
    _name = name


def tell(text: str) -> None:
    """Write one line to stderr, if there is one. Line ends within the text become spaces."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"{_name}: {' '.join(text.split())}", file=sys.stderr, flush=True)


def run(command: Callable[[], int], interrupt: Any = signal.default_int_handler) -> int:
    """Run ``command`` and return the exit status of what became of it.

    ``interrupt`` is what shall handle SIGINT.
    """
    try:
        signal.signal(signal.SIGINT, interrupt)
        # Ignored signals stay so, as for the background job of a script.
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        status = _written(_outcome(command))
        if interrupt is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on it ends the process at once
    except KeyboardInterrupt as found:
        _end_by(signal.SIGTERM if isinstance(found, Terminated) else signal.SIGINT)
    return status


def _written(status: int | None) -> int:
    """Write what is left in stdout's buffer; return the status that the command has then."""
    try:
        if status is None:  # the reader of a pipe has gone
            _discard_stdout()
            return DONE
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_stdout()
        return DONE
    except OSError as error:  # the disk is full
        _discard_stdout()
        if status != FAILURE:  # else it has been said
            tell(words(error))
        return FAILURE


def _outcome(command: Callable[[], int]) -> int | None:
    """Run the command; say its error in one line. None: whoever reads has had enough (| head)."""
    try:
        return command()
    except (UsageError, ArgumentError) as error:
        tell(str(error))
        return USAGE
    except Timeout as error:
        tell(str(error))
        return TIMED_OUT
    except BrokenPipeError:
        return None
    except (Failure, OSError) as error:
        tell(words(error))
        return FAILURE


def words(error: Exception) -> str:
    """Return what an error says; of the system's own, without its number."""
    if type(error).__module__ != "builtins" or not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Within, no thread of this process gets a signal, and threads that begin here never do.

    libzmq's threads begin with the first socket, and block signals a moment later. Python 3.11
    forgets a signal that another thread than the main one got, until its main thread happens to
    wait: a Ctrl-C in the first millisecond of a busy loop was lost in 7 of 1125 runs.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within, signals wait: for what must be known before it can be cleaned up."""
    noted: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, lambda got, _: noted.append(got))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _discard_stdout() -> None:
    """Have what is still in stdout's buffer go nowhere, since Python writes it at its exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _end_by(number: int) -> NoReturn:
    """Write what is in stdout's buffer, and end this process by a signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if os.name != "nt":
        os.kill(os.getpid(), number)
    os._exit(128 + number)
