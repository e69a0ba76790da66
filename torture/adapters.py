"""Teaches the scenarios to speak each library in each kind of thread: one small class for each.

A scenario is written once, as a coroutine. Where calls block, what it awaits has been done by the
time it is awaited, so the coroutine never suspends and one step runs it to its end.

    main(function, *args)       run `await function(self, *args)` where calls may be made
    new(type, **options)        a socket; options have ratchet's names, times are seconds
    send, recv, send_parts, recv_parts   awaited; past `timeout` they raise one of `timeouts`
    spawn(coroutine) -> task    run it beside the caller, in a thread of this kind
    join(task)                  await its result, or raise its error
    stop(task)                  end it from outside: cancel or kill; OS threads cannot
    sleep(seconds)              let the others run
    poll(sock, timeout)         wait until it is readable, by the library's poller if it has one
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LONG = 10.0  # seconds that nothing here takes unless it hangs
KINDS = ("threads", "cooperative", "asyncio")
ROOT = Path(__file__).parent.parent


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends, to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a call that should block has suspended")


class Thread(threading.Thread):
    """An OS thread whose outcome can be asked for; a daemon, so that a hang is no hang at exit."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__(daemon=True)
        self.coroutine = coroutine
        self.outcome: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Run the coroutine."""
        try:
            self.outcome = drive(self.coroutine)
        except BaseException as error:  # noqa: BLE001 - it goes to who joins
            self.error = error


class Threads:
    """Every task is an OS thread."""

    kind = "threads"

    def main(self, function: Callable[..., Any], *args: Any) -> Any:
        return drive(function(self, *args))

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return Thread(coroutine)

    async def join(self, task: Any, limit: float = LONG) -> Any:
        task.join(limit)
        assert not task.is_alive(), "hangs"
        if task.error is not None:
            raise task.error
        return task.outcome

    def ended(self, task: Any) -> bool:
        return not task.is_alive()

    async def sleep(self, seconds: float = 0) -> None:
        time.sleep(seconds)


class Cooperative:
    """Every task is a greenlet of one OS thread."""

    kind = "cooperative"


class Tasks:
    """Every task is one of asyncio."""

    kind = "asyncio"

    def main(self, function: Callable[..., Any], *args: Any) -> Any:
        async def inside() -> Any:
            return await function(self, *args)

        return asyncio.run(inside())

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.create_task(coroutine)

    async def join(self, task: Any, limit: float = LONG) -> Any:
        await asyncio.wait([task], timeout=limit)
        assert task.done(), "hangs"
        return task.result()

    def ended(self, task: Any) -> bool:
        return bool(task.done())

    async def stop(self, task: Any) -> None:
        task.cancel()
        await asyncio.wait([task], timeout=LONG)
        assert task.done(), "hangs"

    async def sleep(self, seconds: float = 0) -> None:
        await asyncio.sleep(seconds)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """No linger, unless another is given; `...` is the library's default."""
    merged = {"linger": 0.0, **options}
    return {name: value for name, value in merged.items() if value is not ...}


class Library:
    """What is the same in every kind of thread."""

    library = ""
    kind = ""
    timeouts: tuple[type[BaseException], ...] = ()
    errors: tuple[type[BaseException], ...] = ()  # a clean refusal

    def program(self, where: str, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start `function(runtime, *args)`, given as "module:function", in a process of its own."""
        command = [sys.executable, "-X", "faulthandler", "-m", "torture", "--program", where]
        return subprocess.Popen(
            [*command, self.library, self.kind, *args], cwd=ROOT, text=True, **options
        )

    def fork(self) -> int:
        """As os.fork, the way the library wants it."""
        return os.fork()

    def pair(
        self, left: str, right: str, endpoint: str = "tcp://127.0.0.1:*", **options: Any
    ) -> tuple[Any, Any]:
        """Two sockets: the left one is bound, the right one connected to it."""
        bound, other = self.new(left, **options), self.new(right, **options)
        other.connect(self.bind(bound, endpoint))
        return bound, other

    def new(self, kind: str, **options: Any) -> Any:
        raise NotImplementedError

    def bind(self, sock: Any, endpoint: str) -> str:
        raise NotImplementedError


class Ratchet(Library):
    """ratchet's calls, where they block."""

    library = "ratchet"
    module = "ratchet.zmqsocket"

    def __init__(self) -> None:
        import ratchet

        self.timeouts = (ratchet.Timeout,)
        self.errors = (ratchet.Error,)
        self.ratchet = ratchet
        self.make = importlib.import_module(self.module).new

    def new(self, kind: str, **options: Any) -> Any:
        return self.make(kind, **given(options))

    def bind(self, sock: Any, endpoint: str) -> str:
        return str(sock.bind(endpoint))

    async def send(self, sock: Any, data: Any, timeout: float | None = None) -> None:
        sock.send(data, timeout=timeout)

    async def recv(self, sock: Any, timeout: float | None = None) -> bytes:
        return sock.recv(timeout=timeout)[0]  # type: ignore[no-any-return]

    async def send_parts(self, sock: Any, parts: Any, timeout: float | None = None) -> None:
        sock.send_multipart(parts, timeout=timeout)

    async def recv_parts(self, sock: Any, timeout: float | None = None) -> list[bytes]:
        return sock.recv_multipart(timeout=timeout)  # type: ignore[no-any-return]

    async def poll(self, sock: Any, timeout: float) -> bool:
        try:  # it has no poller here: a receive waits
            await self.recv(sock, timeout)
        except self.ratchet.Timeout:
            return False
        return True

    async def paused(self, sock: Any, count: int = 1) -> None:
        """Wait until so many calls are paused in the socket."""
        deadline = time.monotonic() + LONG
        while sock.waiting < count:
            assert time.monotonic() < deadline, "hangs"
            await self.sleep(0.001)

    async def sleep(self, seconds: float = 0) -> None:
        raise NotImplementedError


class RatchetThreads(Threads, Ratchet):
    """ratchet in OS threads."""


class RatchetCooperative(Cooperative, Ratchet):
    """ratchet in its own threads."""

    def main(self, function: Callable[..., Any], *args: Any) -> Any:
        outcome: list[Any] = []
        errors: list[BaseException] = []

        def entry() -> None:
            try:
                outcome.append(drive(function(self, *args)))
            except BaseException as error:  # noqa: BLE001 - it goes to the caller
                errors.append(error)

        # The errors of the others are raised where their results are asked for.
        with self.ratchet.new(entry, on_error=lambda _error, _thread: None) as kernel:
            kernel.loop()
        if errors:
            raise errors.pop()
        return outcome.pop()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.ratchet.thread.attach_background(drive, coroutine)

    async def join(self, task: Any, limit: float = LONG) -> Any:
        try:
            return task.result(limit)
        except self.ratchet.Timeout:
            assert task.done, "hangs"
            raise

    def ended(self, task: Any) -> bool:
        return bool(task.done)

    async def stop(self, task: Any) -> None:
        self.ratchet.thread.kill(task)
        self.ratchet.thread.wait_all([task])

    async def sleep(self, seconds: float = 0) -> None:
        self.ratchet.thread.timer(seconds)

    async def poll(self, sock: Any, timeout: float) -> bool:
        return self.ratchet.thread.block_on([sock], timeout=timeout) is not None


class RatchetAsyncio(Tasks, Ratchet):
    """ratchet in asyncio tasks."""

    module = "ratchet.asyncio"

    async def send(self, sock: Any, data: Any, timeout: float | None = None) -> None:
        await sock.send(data, timeout=timeout)

    async def recv(self, sock: Any, timeout: float | None = None) -> bytes:
        return (await sock.recv(timeout=timeout))[0]  # type: ignore[no-any-return]

    async def send_parts(self, sock: Any, parts: Any, timeout: float | None = None) -> None:
        await sock.send_multipart(parts, timeout=timeout)

    async def recv_parts(self, sock: Any, timeout: float | None = None) -> list[bytes]:
        return await sock.recv_multipart(timeout=timeout)  # type: ignore[no-any-return]


MILLISECONDS = ("linger", "heartbeat_ivl", "heartbeat_timeout", "heartbeat_ttl", "reconnect_ivl")


class Pyzmq(Library):
    """pyzmq's calls, where they block; a timeout is RCVTIMEO and SNDTIMEO."""

    library = "pyzmq"
    module = "zmq"

    def __init__(self) -> None:
        import zmq

        self.zmq = zmq
        self.timeouts = (zmq.Again,)
        self.errors = (zmq.ZMQError,)
        self.home = importlib.import_module(self.module)

    def new(self, kind: str, **options: Any) -> Any:
        sock = self.home.Context.instance().socket(getattr(self.zmq, kind))
        for name, value in given(options).items():
            setattr(sock, name, int(value * 1000) if name in MILLISECONDS else value)
        return sock

    def bind(self, sock: Any, endpoint: str) -> str:
        sock.bind(endpoint)
        return str(sock.last_endpoint.decode().rstrip("\0"))

    def limit(self, sock: Any, option: str, timeout: float | None) -> int:
        """Set the timeout for this call; answer the flags it needs."""
        if timeout == 0:
            return int(self.zmq.NOBLOCK)
        setattr(sock, option, -1 if timeout is None else max(1, int(timeout * 1000)))
        return 0

    async def send(self, sock: Any, data: Any, timeout: float | None = None) -> None:
        sock.send(data, self.limit(sock, "sndtimeo", timeout))

    async def recv(self, sock: Any, timeout: float | None = None) -> bytes:
        return sock.recv(self.limit(sock, "rcvtimeo", timeout))  # type: ignore[no-any-return]

    async def send_parts(self, sock: Any, parts: Any, timeout: float | None = None) -> None:
        sock.send_multipart(parts, self.limit(sock, "sndtimeo", timeout))

    async def recv_parts(self, sock: Any, timeout: float | None = None) -> list[bytes]:
        flags = self.limit(sock, "rcvtimeo", timeout)
        return sock.recv_multipart(flags)  # type: ignore[no-any-return]

    async def poll(self, sock: Any, timeout: float) -> bool:
        return bool(sock.poll(int(timeout * 1000)))

    async def paused(self, _sock: Any, _count: int = 1) -> None:
        """Nothing tells how many wait; by then they do."""
        await self.sleep(0.2)

    async def sleep(self, seconds: float = 0) -> None:
        raise NotImplementedError


class PyzmqThreads(Threads, Pyzmq):
    """pyzmq in OS threads."""


class PyzmqCooperative(Cooperative, Pyzmq):
    """pyzmq in gevent's greenlets; RCVTIMEO has no effect there, so a timeout is a poll before."""

    module = "zmq.green"

    def __init__(self) -> None:
        super().__init__()
        self.gevent = importlib.import_module("gevent")
        hub = self.gevent.get_hub()
        hub.exception_stream = None  # errors are raised where results are asked for

    def main(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.gevent.spawn(drive, function(self, *args)).get()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.gevent.spawn(drive, coroutine)

    async def join(self, task: Any, limit: float = LONG) -> Any:
        task.join(limit)
        assert task.ready(), "hangs"
        return task.get()

    def ended(self, task: Any) -> bool:
        return bool(task.ready())

    async def stop(self, task: Any) -> None:
        task.kill()

    async def sleep(self, seconds: float = 0) -> None:
        self.gevent.sleep(seconds)

    def fork(self) -> int:
        return int(importlib.import_module("gevent.os").fork())

    def await_event(self, sock: Any, event: int, timeout: float | None) -> int:
        if timeout is None:
            return 0
        if timeout > 0:
            sock.poll(max(1, int(timeout * 1000)), event)
        return int(self.zmq.NOBLOCK)

    async def send(self, sock: Any, data: Any, timeout: float | None = None) -> None:
        sock.send(data, self.await_event(sock, self.zmq.POLLOUT, timeout))

    async def recv(self, sock: Any, timeout: float | None = None) -> bytes:
        flags = self.await_event(sock, self.zmq.POLLIN, timeout)
        return sock.recv(flags)  # type: ignore[no-any-return]

    async def send_parts(self, sock: Any, parts: Any, timeout: float | None = None) -> None:
        sock.send_multipart(parts, self.await_event(sock, self.zmq.POLLOUT, timeout))

    async def recv_parts(self, sock: Any, timeout: float | None = None) -> list[bytes]:
        flags = self.await_event(sock, self.zmq.POLLIN, timeout)
        return sock.recv_multipart(flags)  # type: ignore[no-any-return]


class PyzmqAsyncio(Tasks, Pyzmq):
    """pyzmq in asyncio tasks."""

    module = "zmq.asyncio"

    async def send(self, sock: Any, data: Any, timeout: float | None = None) -> None:
        await sock.send(data, self.limit(sock, "sndtimeo", timeout))

    async def recv(self, sock: Any, timeout: float | None = None) -> bytes:
        return await sock.recv(self.limit(sock, "rcvtimeo", timeout))  # type: ignore[no-any-return]

    async def send_parts(self, sock: Any, parts: Any, timeout: float | None = None) -> None:
        await sock.send_multipart(parts, self.limit(sock, "sndtimeo", timeout))

    async def recv_parts(self, sock: Any, timeout: float | None = None) -> list[bytes]:
        flags = self.limit(sock, "rcvtimeo", timeout)
        return await sock.recv_multipart(flags)  # type: ignore[no-any-return]

    async def poll(self, sock: Any, timeout: float) -> bool:
        return bool(await sock.poll(int(timeout * 1000)))


ADAPTERS: dict[tuple[str, str], Callable[[], Any]] = {
    (cls.library, cls.kind): cls
    for cls in (
        *(RatchetThreads, RatchetCooperative, RatchetAsyncio),
        *(PyzmqThreads, PyzmqCooperative, PyzmqAsyncio),
    )
}
