"""One direction of a `Line`: which messages pass, which are lost, and how long they take."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

__all__ = ["Way", "units"]

_MORE, _LONG, _COMMAND = 1, 2, 4  # a frame's flags (ZMTP 3.1, section 3.2)
_SIGNATURE = 10  # bytes of a greeting that each side sends before it reads
_GREETING = 64  # bytes of all of it, from version 3 on


class Way:
    """What happens to the messages that pass in one direction.

    Attributes:
        passed (int): messages that have been passed on.
        dropped (int): messages that have been lost.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.dropped = 0
        self._seconds = 0.0  # that each message takes
        self._lock = threading.Lock()
        self._after = self._count = 0
        self._rate = 0.0
        self._random = random.Random(0)  # noqa: S311 - to be had again

    def drop(self, count: int = 1, *, after: int = 0) -> None:
        """Lose the next ``count`` messages, after ``after`` others. The last call holds."""
        if count < 0 or after < 0:
            raise ValueError(f"count and after must be 0 or more, not {count!r} and {after!r}")
        with self._lock:
            self._count, self._after = count, after

    def lose(self, rate: float, *, seed: int = 0) -> None:
        """Lose each message with a probability of ``rate``; which ones, ``seed`` decides."""
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be from 0 to 1, not {rate!r}")
        with self._lock:
            self._rate, self._random = rate, random.Random(seed)  # noqa: S311 - the same

    def delay(self, seconds: float) -> None:
        """Have each message from now on take so many seconds longer; their order stays."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        self._seconds = seconds

    def _takes(self) -> bool:
        """Decide whether the next message passes."""
        with self._lock:
            if self._after:
                self._after -= 1
                lost = False
            elif self._count:
                self._count -= 1
                lost = True
            else:
                lost = False
            # A number for each message, so that what `drop` takes shifts nothing.
            lost = self._random.random() < self._rate or lost
            self.dropped += lost
        return not lost


async def units(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bool]]:
    """Cut a connection's bytes into what may be lost as a whole, and what may not.

    Yields:
        bytes, and whether they are a message: all frames of one, with their heads. Greetings and
        commands (handshakes, subscriptions of ZMTP 3.1, heartbeats) are none. What does not speak
        ZMTP 3 comes as it is read.
    """
    first = await reader.readexactly(1)
    if first == b"\xff":
        first += await reader.readexactly(_SIGNATURE - 1)
        yield first, False
        version = await reader.readexactly(1)
        yield version, False
        if version[0] >= 3:
            yield await reader.readexactly(_GREETING - _SIGNATURE - 1), False
            message = b""
            while True:
                flags, frame = await _frame(reader)
                if flags & _COMMAND:
                    yield frame, False
                    continue
                message += frame
                if not flags & _MORE:
                    yield message, True
                    message = b""
    else:
        yield first, False
    while data := await reader.read(1 << 16):
        yield data, False


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one frame: its flags, and all of its bytes."""
    flags = await reader.readexactly(1)
    size = await reader.readexactly(8 if flags[0] & _LONG else 1)
    return flags[0], flags + size + await reader.readexactly(int.from_bytes(size, "big"))
