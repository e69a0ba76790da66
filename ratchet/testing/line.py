"""A connection that loses messages, delays them and is cut when a test says so: `Line`.

Theory of operation
-------------------
A line is a relay on loopback between sockets that connect to it and one endpoint. It reads ZMTP
(`way.py`), so it loses whole messages and leaves handshakes and heartbeats alone. It has an event
loop in an OS thread of its own; what a test asks for is done when the call returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

from .._closing import Closing
from .endpoints import free_port
from .pairs import TIMEOUT
from .way import Way, units

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Line"]

_TARGET = re.compile(r"tcp://(?:\[(.+)\]|([^\[\]:]+)):(\d+)")
_HELD = 1000  # messages that a direction holds while they are delayed; more wait at their sender
_RESET = struct.pack(
    "hh" if sys.platform == "win32" else "ii", 1, 0
)  # SO_LINGER: a close sends a reset and forgets what is unsent
_TOLD = {"both", "client", "server", "nobody"}


class _Connection:
    """One connection through a line: its two ends, and the task that passes on."""

    def __init__(self, client: asyncio.StreamWriter, task: asyncio.Task[Any]) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.task = task


class Line(Closing):
    """A connection to ``target`` that a test can disturb: connect to its ``endpoint`` instead.

    Any number of sockets may connect. "Server" is who has bound ``target``, "client" who connects,
    whatever their types. Use it in ``with``, or `close` it.

    Args:
        target: where the server is, ``tcp://HOST:PORT``.

    Attributes:
        endpoint (str): where clients connect.
        to_server (Way): what happens to messages from clients to the server.
        to_client (Way): what happens to messages from the server to clients.
        connections (int): how many connections have been made through it so far.

    Raises:
        ValueError: ``target`` is no endpoint of tcp with a port.
    """

    def __init__(self, target: str) -> None:
        found = _TARGET.fullmatch(target)
        if found is None:
            raise ValueError(f"a line leads to tcp://HOST:PORT, not to {target!r}")
        self._host, self._port = found[1] or found[2], int(found[3])
        self.to_server, self.to_client = Way(), Way()
        self.connections = 0
        self._live: set[_Connection] = set()
        self._silent: list[asyncio.StreamWriter] = []  # ends that were not told of a cut
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # one for each connection
        self._answers = True  # else what connects hears nothing
        self._made = contextlib.ExitStack()
        port = self._made.enter_context(free_port())
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._place = ("127.0.0.1", port)
        self._loop = asyncio.SelectorEventLoop()  # on Windows too: it has add_reader
        self._made.callback(self._loop.close)
        thread = threading.Thread(
            target=self._loop.run_forever, name=f"ratchet.testing.Line to {target}", daemon=True
        )
        thread.start()
        self._made.callback(thread.join)
        self._made.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        self._do(self._listen())

    def cut(self, tell: Literal["both", "client", "server", "nobody"] = "both") -> None:
        """End all connections, until `restore`. What is on its way in the line is lost.

        Args:
            tell: who hears of it. ``"both"``: both ends get a reset, and who connects again is
                refused. ``"client"``, ``"server"`` and ``"nobody"`` leave half-open connections:
                who is not told has one on which nothing comes any more, as if the other machine
                had lost power. A client that is not told can connect again, and hears nothing on
                that connection either.
        """
        if tell not in _TOLD:
            raise ValueError(f"tell must be one of {sorted(_TOLD)}, not {tell!r}")
        self._do(self._cut(tell))

    def restore(self) -> None:
        """Take connections again. Half-open ones that are left end with a reset."""
        self._do(self._restore())

    def close(self) -> None:
        """End all connections and give everything back. May be called again."""
        if not self._loop.is_closed():
            self._do(self._end())
            self._made.close()

    def __repr__(self) -> str:
        state = "closed" if self._loop.is_closed() else f"{len(self._live)} connections"
        return f"<Line from {self.endpoint} to tcp://{self._host}:{self._port}: {state}>"

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Have something done in the line's own thread."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT)

    # What follows runs in the line's own thread.

    async def _listen(self) -> None:
        # Not asyncio's server, which leaves connections open that it accepts while it is closed.
        self._listener = socket.create_server(self._place)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _cut(self, tell: str) -> None:
        if tell in {"both", "client"} and self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._answers = False
        tasks = [connection.task for connection in self._live]
        for connection in self._live:
            connection.task.cancel()
            for end, name in ((connection.client, "client"), (connection.server, "server")):
                if end is None:
                    continue
                if tell in {"both", name}:
                    _reset(end)
                else:
                    self._silent.append(end)
        self._live.clear()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tell == "both":
            self._reset_silent()
        await asyncio.sleep(0)  # so that what was reset is closed

    async def _end(self) -> None:
        await self._cut("both")
        if self._tasks:  # of what has just been accepted
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)

    async def _restore(self) -> None:
        self._reset_silent()
        await asyncio.sleep(0)
        self._answers = True
        if self._listener is None:
            await self._listen()

    def _reset_silent(self) -> None:
        while self._silent:
            _reset(self._silent.pop())

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it has gone again
            return
        client.setblocking(False)
        task = self._loop.create_task(self._pass_on(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, taken: socket.socket) -> None:
        """Pass on what one connection has to say, until either end is closed."""
        reader, client = await asyncio.open_connection(sock=taken)
        if self._listener is None:
            _reset(client)
            return
        if not self._answers:
            self._silent.append(client)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server has made it
        connection = _Connection(client, task)
        self._live.add(connection)
        try:
            there, server = await asyncio.open_connection(self._host, self._port)
            connection.server = server
            self.connections += 1
            ways = [
                asyncio.create_task(_carry(reader, server, self.to_server)),
                asyncio.create_task(_carry(there, client, self.to_client)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # nobody is at the target, or the line is cut
        if connection in self._live:
            self._live.discard(connection)
            for end in (connection.client, connection.server):
                if end is not None:
                    end.close()


def _reset(end: asyncio.StreamWriter) -> None:
    """End a connection at once."""
    with contextlib.suppress(OSError):  # its socket is closed
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
    """Pass on in one direction, until its sender closes or its receiver is gone."""
    held: asyncio.Queue[tuple[float, bytes, bool] | None] = asyncio.Queue(_HELD)
    clock = asyncio.get_running_loop().time

    async def take() -> None:
        try:
            async for data, message in units(reader):
                if not message or way._takes():
                    await held.put((clock() + way._seconds, data, message))
        except (OSError, asyncio.IncompleteReadError):
            pass
        await held.put(None)

    taking = asyncio.create_task(take())
    try:
        while (item := await held.get()) is not None:
            due, data, message = item
            if (rest := due - clock()) > 0:
                await asyncio.sleep(rest)
            way.passed += message  # before whoever receives it can look
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
