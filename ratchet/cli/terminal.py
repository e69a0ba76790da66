"""What is only for people at a terminal: progress and colours, by rich if it is installed."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .._closing import Closing

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Meter", "console", "is_terminal"]

EVERY = 0.1  # seconds between two looks of progress
SHORT = 0.5  # seconds of work that need no progress
LARGE = 8 << 20  # bytes from which on it is expected to be long


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if a person reads ``stream``."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def console(stream: TextIO | None) -> Any:
    """Return rich's console for a terminal, or None: there is no rich, or no terminal."""
    if not is_terminal(stream) or os.environ.get("TERM") == "dumb":
        return None
    try:
        import rich.console
    except ImportError:
        return None
    return rich.console.Console(file=stream, highlight=False)


class Meter(Closing):
    """How far long work is: a line on stderr, for a person; nothing where nobody sees it.

    Args:
        title: what is done with them.
        messages, size: how many messages, or bytes, there will be, if that is known.
        on: whether it is to be shown at all.
        short: seconds of work without it.
    """

    def __init__(
        self,
        title: str,
        *,
        messages: int | None = None,
        size: int | None = None,
        on: bool = True,
        short: float = SHORT,
    ) -> None:
        self.messages = self.bytes = 0
        self._bar: Any = None
        self._by_size = size is not None
        self._began = time.monotonic()
        self._due = self._began + (short if (size or 0) < LARGE else 0)
        screen = console(sys.stderr) if on else None
        if screen is None:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=screen,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=size or messages, count="")

    def close(self) -> None:
        """Take it off the screen."""
        if self._bar:
            self._bar.stop()

    def add(self, messages: int, size: int) -> None:
        """Count messages and bytes that are done; with none, just show what is to be shown."""
        self.messages += messages
        self.bytes += size
        if self._bar and time.monotonic() >= self._due:
            self._show()

    def say(self, text: str) -> None:
        """Tell what is being done now."""
        if self._bar:
            self._bar.update(self._task, description=text)

    def _show(self) -> None:
        self._bar.start()  # nothing, if it has been
        now = time.monotonic()
        self._due = now + EVERY
        took = max(now - self._began, 1e-3)
        count = f"{self.messages:,} messages  {binary(self.bytes)}  {binary(self.bytes / took)}/s"
        done = self.bytes if self._by_size else self.messages
        self._bar.update(self._task, completed=done, count=count)


def binary(size: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError
