"""Teaches the scenarios to speak each library; the kinds of threads are the tests' (`harness`).

A scenario is written once, as a coroutine. Beside what each runtime of `harness/runtimes.py` has,
``rt`` has

    new(type, **options)        a socket; options have ratchet's names, times are seconds
    send, recv, send_parts, recv_parts   awaited; past `timeout` they raise one of `timeouts`
    finished(outcome)           awaited: what a call of the library's own has returned
    stop(task)                  awaited: end it from outside: cancel or kill; OS threads cannot
    poll(sock, timeout)         awaited: is it readable by then? By the library's poller, if any
"""

import importlib
import os
import subprocess
import sys
import time

from harness.runtimes import (
    Greenlets,
    OSThreads,
    RatchetThreads,
    Stoppable,
    Tasks,
    TrioTasks,
    drive,
    installed,
)
from harness.waiting import LONG

from . import ROOT


class OneHub(Greenlets):
    """One hub for all of a process: what it imports may be out of reach under a limit."""

    def __init__(self):
        super().__init__()
        self.gevent.get_hub()


TRIO = [TrioTasks] if installed("trio") else []
GEVENT = [OneHub] if installed("gevent") else []
KINDS = ("threads", "cooperative", "asyncio", *(kind.kind for kind in (*TRIO, *GEVENT)))
MILLISECONDS = ("linger", "heartbeat_ivl", "heartbeat_timeout", "heartbeat_ttl", "reconnect_ivl")


def given(options):
    """No linger, unless another is given; `...` is the library's default."""
    merged = {"linger": 0.0, **options}
    return {name: value for name, value in merged.items() if value is not ...}


class Library:
    """What is the same in every kind of thread."""

    library = ""
    kind = ""
    timeouts: tuple[type[BaseException], ...] = ()
    errors: tuple[type[BaseException], ...] = ()  # a clean refusal

    def program(self, where, *args, **options):
        """Start `function(runtime, *args)`, given as "module:function", in a process of its own."""
        command = [sys.executable, "-X", "faulthandler", "-m", "torture", "--program", where]
        return subprocess.Popen(
            [*command, self.library, self.kind, *args], cwd=ROOT, text=True, **options
        )

    def fork(self):
        """As os.fork, the way the library wants it."""
        return os.fork()

    async def finished(self, outcome):
        """Where calls block, it is over already."""
        return await outcome if self.awaits else outcome

    def pair(self, left, right, endpoint="tcp://127.0.0.1:*", **options):
        """Two sockets: the left one is bound, the right one connected to it."""
        bound, other = self.new(left, **options), self.new(right, **options)
        other.connect(self.bind(bound, endpoint))
        return bound, other

    def new(self, kind, **options):
        raise NotImplementedError

    def bind(self, sock, endpoint):
        raise NotImplementedError

    async def sleep(self, seconds=0):
        raise NotImplementedError


class Ratchet(Library):
    """ratchet's calls."""

    library = "ratchet"

    def __init__(self):
        super().__init__()
        import ratchet

        self.ratchet = ratchet
        self.timeouts = (ratchet.Timeout,)
        self.errors = (ratchet.Error,)

    def new(self, kind, **options):
        return self.make(kind, **given(options))

    def bind(self, sock, endpoint):
        return str(sock.bind(endpoint))

    # Not by finished(): where a call blocks, making that coroutine could fail after the call, and a
    # scenario in which memory runs out would lose what the call has done.

    async def send(self, sock, data, timeout=None):
        outcome = sock.send(data, timeout=timeout)
        if self.awaits:
            await outcome

    async def recv(self, sock, timeout=None):
        outcome = sock.recv(timeout=timeout)
        return (await outcome if self.awaits else outcome)[0]

    async def send_parts(self, sock, parts, timeout=None):
        outcome = sock.send_multipart(parts, timeout=timeout)
        if self.awaits:
            await outcome

    async def recv_parts(self, sock, timeout=None):
        outcome = sock.recv_multipart(timeout=timeout)
        return await outcome if self.awaits else outcome

    async def poll(self, sock, timeout):
        if self.kind == "cooperative":
            return self.ratchet.thread.block_on([sock], timeout=timeout) is not None
        try:  # it has no poller here: a receive waits
            await self.recv(sock, timeout)
        except self.ratchet.Timeout:
            return False
        return True

    async def paused(self, sock, count=1):
        """Wait until so many calls are paused in the socket."""
        from harness.internals import paused_calls

        deadline = time.monotonic() + LONG
        while paused_calls(sock) < count:
            assert time.monotonic() < deadline, "hangs"
            await self.sleep(0.001)


class Pyzmq(Library):
    """pyzmq's calls; a timeout is RCVTIMEO and SNDTIMEO."""

    library = "pyzmq"
    home = "zmq"

    def __init__(self):
        super().__init__()
        import zmq

        self.zmq = zmq
        self.timeouts = (zmq.Again,)
        self.errors = (zmq.ZMQError,)
        self.context = importlib.import_module(self.home).Context.instance

    def new(self, kind, **options):
        sock = self.context().socket(getattr(self.zmq, kind))
        for name, value in given(options).items():
            setattr(sock, name, int(value * 1000) if name in MILLISECONDS else value)
        return sock

    def bind(self, sock, endpoint):
        sock.bind(endpoint)
        return str(sock.last_endpoint.decode().rstrip("\0"))

    def limit(self, sock, option, timeout):
        """Set the timeout for this call; answer the flags it needs."""
        if timeout == 0:
            return int(self.zmq.NOBLOCK)
        setattr(sock, option, -1 if timeout is None else max(1, int(timeout * 1000)))
        return 0

    # Not by finished(), as above.

    async def send(self, sock, data, timeout=None):
        outcome = sock.send(data, self.limit(sock, "sndtimeo", timeout))
        if self.awaits:
            await outcome

    async def recv(self, sock, timeout=None):
        outcome = sock.recv(self.limit(sock, "rcvtimeo", timeout))
        return await outcome if self.awaits else outcome

    async def send_parts(self, sock, parts, timeout=None):
        outcome = sock.send_multipart(parts, self.limit(sock, "sndtimeo", timeout))
        if self.awaits:
            await outcome

    async def recv_parts(self, sock, timeout=None):
        outcome = sock.recv_multipart(self.limit(sock, "rcvtimeo", timeout))
        return await outcome if self.awaits else outcome

    async def poll(self, sock, timeout):
        return bool(await self.finished(sock.poll(int(timeout * 1000))))

    async def paused(self, _sock, _count=1):
        """Nothing tells how many wait; by then they do."""
        await self.sleep(0.2)


class Gevent(Stoppable):
    """Every task is a greenlet of gevent's."""

    kind = "cooperative"

    def __init__(self):
        super().__init__()
        self.gevent = importlib.import_module("gevent")
        hub = self.gevent.get_hub()
        hub.exception_stream = None  # errors are raised where results are asked for

    def main(self, function, *args):
        return self.gevent.spawn(drive, function(self, *args)).get()

    def spawn(self, coroutine):
        return self.gevent.spawn(drive, coroutine)

    async def wait(self, task, seconds=LONG):
        task.join(seconds)
        return self.ended(task)

    async def join(self, task, limit=LONG):
        assert await self.wait(task, limit), "hangs"
        return task.get()

    def ended(self, task):
        return bool(task.ready())

    def cancel(self, task):
        task.kill()

    async def sleep(self, seconds=0):
        self.gevent.sleep(seconds)


class PyzmqThreads(OSThreads, Pyzmq):
    """pyzmq in OS threads."""


class PyzmqCooperative(Gevent, Pyzmq):
    """pyzmq in gevent's greenlets; RCVTIMEO has no effect there, so a timeout is a poll before."""

    home = "zmq.green"

    def fork(self):
        return int(importlib.import_module("gevent.os").fork())

    def limit(self, sock, option, timeout):
        if timeout is None:
            return 0
        if timeout > 0:
            event = self.zmq.POLLIN if option == "rcvtimeo" else self.zmq.POLLOUT
            sock.poll(max(1, int(timeout * 1000)), event)
        return int(self.zmq.NOBLOCK)


class PyzmqAsyncio(Tasks, Pyzmq):
    """pyzmq in asyncio tasks."""

    home = "zmq.asyncio"


class HostedCooperative(PyzmqCooperative):
    """pyzmq on ratchet, in gevent's greenlets, where its timeouts have an effect."""

    limit = Pyzmq.limit


# Of which library a process of a scenario is: what the environment of pyzmq says (runner.py).
BACKENDS = {"pyzmq-on-ratchet": "ratchet.pyzmq.backend"}

ADAPTERS = {
    ("ratchet", kind.kind): type(f"Ratchet{kind.__name__}", (kind, Ratchet), {})
    for kind in (OSThreads, RatchetThreads, Tasks, *TRIO, *GEVENT)
}
ADAPTERS |= {("pyzmq", cls.kind): cls for cls in (PyzmqThreads, PyzmqCooperative, PyzmqAsyncio)}
ADAPTERS |= {
    ("pyzmq-on-ratchet", cls.kind): cls for cls in (PyzmqThreads, HostedCooperative, PyzmqAsyncio)
}
