"""A peer in a process of its own, with a socket: `Peer`."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from .._closing import Closing
from .pairs import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Peer", "PeerError"]

_START = 30.0  # seconds in which a Python starts and imports what it needs, on a busy machine


class PeerError(RuntimeError):
    """A peer has ended by an error; the text has its traceback and what it printed."""


class Peer(Closing):
    """A function or a text that runs in a Python of its own, with a socket. Use it in ``with``.

    When this returns, the peer has bound or connected its socket. At the end it is killed; it also
    ends when the process that made it does. If it has ended by an error that nobody was told of,
    the end of ``with`` raises that.

    Args:
        work: a function at the top of a module (its module is imported there), called as
            ``work(zsock, *args)``; a coroutine function runs in asyncio, with a socket of
            ``ratchet.asyncio``. Or a program's text, with the names ``zsock``, ``args``,
            ``ratchet`` and ``zmqsocket``.
        type: the type of its socket.
        args: further arguments, which can be pickled.
        connect: the endpoint to connect to.
        bind: the endpoint to bind to; without either, a free port of loopback.
        options: of the socket.

    Attributes:
        endpoint (str): what the socket is bound or connected to.
        pid (int): the number of its process.

    Raises:
        PeerError: it ended before its socket was there.
        ValueError: ``connect`` and ``bind``, or a function that is not at the top of a module.
    """

    def __init__(
        self,
        work: Callable[..., Any] | str,
        type: str = "PAIR",
        args: Sequence[Any] = (),
        *,
        connect: str | None = None,
        bind: str | None = None,
        **options: Any,
    ) -> None:
        if connect and bind:
            raise ValueError("a peer binds or connects its socket, not both")
        job = {
            "work": work if isinstance(work, str) else _reference(work),
            "args": pickle.dumps(tuple(args)),  # which may need the function's module
            "type": type,
            "options": options,
            "connect": connect,
            "bind": bind or "tcp://127.0.0.1:*",
        }
        self._told = False  # has somebody been told how it ended?
        self._folder = Path(tempfile.mkdtemp(prefix="ratchet-peer-"))
        job["result"] = str(self._folder / "result")
        path = os.pathsep.join(place for place in sys.path if place)
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ratchet.testing.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,  # for one line, the endpoint
                stderr=output,
                env={**os.environ, "PYTHONPATH": path},
            )
        self.pid = self._process.pid
        try:
            self.endpoint = self._begin(job)
        except BaseException:
            self.kill()
            self._clean()
            raise

    def _begin(self, job: dict[str, Any]) -> str:
        """Tell the child what to do; return the endpoint of its socket."""
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None  # noqa: S101 - PIPE
        assert pipes[1] is not None  # noqa: S101 - PIPE
        late = threading.Timer(_START, self._process.kill)
        late.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it is dead, as the next line finds
                pickle.dump(job, pipes[0])
                pipes[0].flush()  # and it stays open: its end ends the child
            line = pipes[1].readline().decode()
        finally:
            late.cancel()
            late.join()
            pipes[1].close()
        if not line:
            self.result()
            raise PeerError("the peer ended before its socket was there")
        return line.strip()

    @property
    def running(self) -> bool:
        """Does it run?"""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has printed so far, to stdout and stderr."""
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace")

    def result(self, timeout: float | None = TIMEOUT) -> Any:
        """Wait for its end, and return what the function returned (None of a text).

        Raises:
            PeerError: it ended by an error, or by a signal that was not `kill`'s.
            Timeout: it still runs after ``timeout`` seconds.
        """
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise errors.Timeout(
                errno.ETIMEDOUT, f"{self!r} still runs after {timeout} s{self._said()}"
            ) from None
        self._told = True
        path = self._folder / "result"
        error, value = None, None
        if path.exists():
            error, value = pickle.loads(path.read_bytes())  # noqa: S301 - by the child
        if error is not None:
            raise PeerError(f"{self!r} raised:\n{error}{self._said()}")
        if status != 0:
            raise PeerError(f"{self!r} ended{self._said()}")
        return value

    def kill(self) -> None:
        """End it at once, as SIGKILL does, and wait until it is gone. It may be gone already."""
        if self.running:
            self._told = True
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it if it runs, and give everything back. May be called again.

        Raises:
            PeerError: it had ended by an error, and `result` has not told so.
        """
        if not self._folder.exists():
            return
        self.kill()
        try:
            if not self._told:
                self.result()
        finally:
            self._clean()

    def __repr__(self) -> str:
        status = self._process.poll()
        state = "running" if status is None else f"exit status {status}"
        return f"<Peer {self.pid}: {state}>"

    def _said(self) -> str:
        said = self.output
        return f"\nIt printed:\n{said}" if said else ""

    def _clean(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what could not be written any more
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _reference(work: Callable[..., Any]) -> tuple[str, str | None, str]:
    """Return a function's module, the file of that, and its name there."""
    module, name = work.__module__, work.__qualname__
    if "<" in name:
        raise ValueError(
            f"{name} is no function at the top of a module, and another process cannot find it; "
            "move it there, or pass the text of a program"
        )
    return module, getattr(sys.modules.get(module), "__file__", None), name
