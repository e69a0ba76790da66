"""Teaches the suite to speak each library: one small class each.

A new library is a class with `new` (and `run`, where its calls must be made somewhere special) and
a line in ADAPTERS. C is not in it, for c_peer.c is a worker of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import re
import threading
import time
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import loops
from .cases import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cases import Case

LARGE = 65536  # from here on, what is copied and what is not makes a difference
LINGER = 0.0  # every message has been received before a socket is closed


class Parcel:
    """What one side sends over and over, and the different last message that proves the count."""

    def __init__(self, work: str, size: int, batch: int, goods: Callable[..., Any] = bytes) -> None:
        item, last = goods(content(size, b"r")), goods(content(size, b"z"))
        multipart = work == "multipart"
        self.item: Any = [item] * PARTS if multipart else item
        self.last: Any = [last] * PARTS if multipart else last
        self.batch = [self.item] * batch
        self.last_batch = [*self.batch[1:], self.last]


def content(size: int, mark: bytes) -> bytes:
    """A message that differs from another at both ends; c_peer.c builds the same."""
    return mark + bytes(size - 2) + mark


@cache
def fitted(source: ModuleType, awaits: bool, pairs: bool, now: str) -> ModuleType:
    """A module of loops for one kind of library: the same text, so that no loop is favoured."""
    path = str(source.__file__)
    text = Path(path).read_text(encoding="utf-8")
    if pairs:
        text = re.sub(r"\bdata = (await )", r"data, more = \1", text)
    if not awaits:
        text = text.replace("async def", "def").replace("await ", "")
    text = text.replace("recv(NOW)", f"recv({now})")
    module = ModuleType(f"fitted {source.__name__}")
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 (our own file)
    return module


class Library:
    """What the worker asks of any library, with the answers of a blocking one."""

    module = ""  # where `new` finds the library
    batches = False  # has send_many and recv_many
    awaits = False  # its calls are awaited
    now = ""  # what tells recv not to wait, as its user writes it
    pairs = False  # recv answers with the data and with whether more parts follow
    lacks: tuple[str, ...] = ()  # kinds of work that it cannot do
    least = 0  # the smallest message worth a look, where one-call is all that is asked
    goods: Callable[..., Any] = bytes  # what it is given to send

    def loop(
        self, name: str, pairs: bool = False, source: ModuleType = loops
    ) -> Callable[..., Any]:
        """One of the loops, fitted to this library and to what its receiving call gives."""
        function: Callable[..., Any] = getattr(fitted(source, self.awaits, pairs, self.now), name)
        return function

    @classmethod
    def takes(cls, case: Case) -> bool:
        """Whether it is measured in this case."""
        if cls.least:
            return case.work == "one-call" and case.size >= cls.least
        return case.work not in cls.lacks

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        raise NotImplementedError

    def ends(self, sock: Any, suffix: str) -> tuple[Any, Callable[..., Any]]:
        """The methods that send and receive."""
        return getattr(sock, f"send{suffix}"), getattr(sock, f"recv{suffix}")

    def nothing(self) -> Any:
        """What a receive that does not wait raises when nothing is there."""
        raise NotImplementedError

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function where this library's calls are allowed."""
        return function(*args)

    def facts(self) -> dict[str, str]:
        """The versions, for the heading."""
        top = importlib.import_module(self.module.partition(".")[0])
        return {"version": str(getattr(top, "__version__", "")), "libzmq": loaded_libzmq()}

    def join(self, sock: Any, endpoint: str, bind: bool) -> str:
        """Bind or connect; the endpoint to connect to."""
        if not bind:
            sock.connect(endpoint)
            return endpoint
        sock.bind(endpoint)
        bound = sock.last_endpoint
        return bound.decode().rstrip("\0") if isinstance(bound, bytes) else bound

    def open(self, kind: str, hwm: int, endpoint: str, bind: bool) -> tuple[Any, str]:
        """Make, and bind or connect, a socket; answer with the endpoint to connect to."""
        sock = self.new(kind, hwm)
        if kind == "SUB":
            sock.subscribe(b"")
        return sock, self.join(sock, endpoint, bind)

    def work(self, does: str, work: str, socks: list[Any], parcel: Parcel, count: int) -> float:
        """Run one of the loops and check what it received last; answer its seconds."""
        many = work == "batched" and self.batches
        suffix = "_many" if many else "_multipart" if work == "multipart" else ""
        if work == "empty":
            ends = [(self.nothing(), s.recv) for s in socks]
        elif work == "all":
            ends, suffix = [(s.send, s.recv_all) for s in socks], "_all"
        elif work == "iterated":
            ends, suffix, does = [(s.send, s.__iter__) for s in socks], "_iter", "burst_iterated"
        else:
            ends = [self.ends(s, suffix) for s in socks]
        if many and does in ("send", "recv", "burst"):
            does += "_many"
        elif does == "burst" and len(parcel.batch) == 1:
            does = "alternate"
        loop = self.loop(does, pairs=self.pairs and not suffix)
        seconds, last = self.run(loop, ends, parcel, count)
        if does != "pong" and getattr(last, "bytes", last) != parcel.last:
            raise SystemExit(f"the last message is not the one expected: {last!r:.80}")
        return float(seconds)


class Cooperative(Library):
    """What a library with many threads, or tasks, can be asked as well."""

    at_once = 10  # how many messages may be on their way to as many of them

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a thread or task."""
        raise NotImplementedError

    def give_way(self) -> Callable[[], Any]:
        """What a thread calls to let the others run."""
        raise NotImplementedError

    def bell(self) -> Any:
        """What one thread can `wait` for and another one `ring`."""
        raise NotImplementedError


class OSThreads(Cooperative):
    """What differs where they are OS threads: plain calls in each."""

    at_once = 1  # they count what has come, and nothing keeps two from doing that at once

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start an OS thread, which does not keep the process alive."""
        threading.Thread(target=function, args=args, daemon=True).start()

    def give_way(self) -> Callable[[], Any]:
        """What a thread calls to let the others run."""
        return partial(time.sleep, 0.01)

    def bell(self) -> Any:
        """One waiter waits, and is let go on."""

        class Bell(threading.Semaphore):
            wait, ring = threading.Semaphore.acquire, threading.Semaphore.release

        return Bell(0)


class Greenlets(Cooperative):
    """What differs in gevent's greenlets."""

    def __init__(self) -> None:
        self.gevent = importlib.import_module("gevent")

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in a greenlet of gevent's."""
        return self.spawn(function, *args).get()

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a greenlet."""
        return self.gevent.spawn(function, *args)

    def give_way(self) -> Callable[[], Any]:
        """What a greenlet calls to let the others run."""
        return partial(self.gevent.sleep, 0)

    def bell(self) -> Any:
        """An event that one waiter waits for, again and again."""
        event: Any = importlib.import_module("gevent.event").Event

        class Bell(event):  # type: ignore[misc]
            ring = event.set

            def wait(self) -> None:
                super().wait()
                self.clear()

        return Bell()


class Awaited(Cooperative):
    """What differs where calls are awaited."""

    awaits = True
    lacks = ("empty",)
    uvloop = False

    def __init__(self) -> None:
        factory = importlib.import_module("uvloop").new_event_loop if self.uvloop else None
        self.runner = asyncio.Runner(loop_factory=factory)
        self.tasks: list[Any] = []  # asyncio itself holds them weakly

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in the event loop, which stays the same from one call to the next."""
        results = []  # not the task's own, of which the runner makes a text, whatever its size

        async def inside() -> None:
            result = function(*args)
            results.append(await result if asyncio.iscoroutine(result) else result)

        self.runner.run(inside())
        return results[0]

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a task."""
        self.tasks.append(asyncio.get_running_loop().create_task(function(*args)))
        return self.tasks[-1]

    def give_way(self) -> Callable[[], Any]:
        """What a task awaits to let the others run."""
        return partial(asyncio.sleep, 0)

    def bell(self) -> Any:
        """An event that one waiter waits for, again and again."""

        class Bell(asyncio.Event):
            ring = asyncio.Event.set

            async def wait(self) -> Any:
                await super().wait()
                self.clear()

        return Bell()


class AwaitedInTrio(Cooperative):
    """What differs where calls are awaited in trio.

    One run of trio's goes through it all, for zmq-anyio closes a socket with the run. It is in a
    greenlet, and stands still while no function runs.
    """

    awaits = True
    lacks = ("empty",)

    def __init__(self) -> None:
        self.trio: Any = importlib.import_module("trio")
        self.nursery: Any = None
        self.greenlet: Any = importlib.import_module("greenlet").greenlet(self.begin)
        self.greenlet.switch()

    def begin(self) -> None:
        """Run trio: in the greenlet."""
        self.trio.run(self.main)

    async def main(self) -> None:
        """Call one function after the other."""
        result: Any = None
        async with self.trio.open_nursery() as self.nursery:
            while True:
                function, args = self.greenlet.parent.switch(result)
                try:
                    await self.before()
                    result = function(*args)
                    result = True, await result if asyncio.iscoroutine(result) else result
                except Exception as error:  # noqa: BLE001 (it is raised where it belongs)
                    result = False, error

    async def before(self) -> None:
        """What is awaited before each."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in a task."""
        well, result = self.greenlet.switch((function, args))
        if not well:
            raise result
        return result

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a task."""
        self.nursery.start_soon(function, *args)

    def give_way(self) -> Callable[[], Any]:
        """What a task awaits to let the others run."""
        checkpoint: Callable[[], Any] = self.trio.lowlevel.checkpoint
        return checkpoint

    def bell(self) -> Any:
        """One waiter waits, and is let go on."""
        trio = self.trio

        class Bell:
            def __init__(self) -> None:
                self.lot = trio.lowlevel.ParkingLot()

            async def wait(self) -> None:
                await self.lot.park()

            def ring(self) -> None:
                self.lot.unpark()

        return Bell()


class Pyzmq(Library):
    """pyzmq as its guide shows it: copying sends and receives."""

    module = "zmq"
    now = "1"  # zmq.NOBLOCK

    def context(self) -> Any:
        """What makes its sockets."""
        return importlib.import_module(self.module).Context.instance()

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        names = importlib.import_module(self.module.partition(".")[0])
        sock = self.context().socket(getattr(names, kind))
        sock.set_hwm(hwm)
        sock.linger = int(LINGER * 1000)
        return sock

    def nothing(self) -> Any:
        """What a receive that does not wait raises when nothing is there."""
        return importlib.import_module(self.module.partition(".")[0]).Again

    def facts(self) -> dict[str, str]:
        """The versions; pyzmq's wheels bundle a libzmq that only pyzmq knows."""
        zmq = importlib.import_module("zmq")
        return {"version": zmq.__version__, "libzmq": zmq.zmq_version()}


class PyzmqOS(OSThreads, Pyzmq):
    """pyzmq in many OS threads."""


class PyzmqFrames(Pyzmq):
    """pyzmq as its guide shows it for large messages."""

    least = LARGE

    def ends(self, sock: Any, _suffix: str) -> tuple[Any, Callable[..., Any]]:
        """The methods that send and receive."""
        return partial(sock.send, copy=False), partial(sock.recv, copy=False)


class PyzmqGreen(Greenlets, Pyzmq):
    """pyzmq for gevent."""

    module = "zmq.green"


class PyzmqAsyncio(Awaited, Pyzmq):
    """pyzmq for asyncio."""

    module = "zmq.asyncio"


class PyzmqUvloop(PyzmqAsyncio):
    """pyzmq for asyncio, on uvloop."""

    uvloop = True


class ZmqAnyioSocket:
    """A socket of pyzmq's, which becomes zmq-anyio's when it is first used in trio."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.inside: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside or self.sock, name)

    def send(self, data: Any) -> Any:
        """Awaited."""
        return self.inside.asend(data)

    def recv(self) -> Any:
        """Awaited."""
        return self.inside.arecv()

    def send_multipart(self, parts: Any) -> Any:
        """Awaited."""
        return self.inside.asend_multipart(parts)

    def recv_multipart(self) -> Any:
        """Awaited."""
        return self.inside.arecv_multipart()


class ZmqAnyioTrio(AwaitedInTrio, Pyzmq):
    """zmq-anyio on trio."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[ZmqAnyioSocket] = []

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        self.sockets.append(ZmqAnyioSocket(super().new(kind, hwm)))
        return self.sockets[-1]

    def facts(self) -> dict[str, str]:
        """The versions."""
        version = importlib.import_module("importlib.metadata").version("zmq-anyio")
        return {**super().facts(), "version": version}

    async def before(self) -> None:
        """Enter the new sockets, which starts their tasks."""
        zmq_anyio: Any = importlib.import_module("zmq_anyio")
        while self.sockets:
            sock = self.sockets.pop()
            sock.inside = zmq_anyio.Socket(sock.sock)
            self.nursery.start_soon(self.hold, sock.inside)
            await sock.inside.started.wait()

    async def hold(self, sock: Any) -> None:
        """Keep a socket entered."""
        async with sock:
            await self.trio.sleep_forever()


class Pyomq(Pyzmq):
    """pyomq: it has pyzmq's calls, and no libzmq."""

    module = "pyomq"
    lacks = ("fan-out",)  # its PUSH goes to whoever is ready

    def facts(self) -> dict[str, str]:
        """The versions."""
        return {"version": importlib.import_module("pyomq").version(), "libzmq": "none (omq.rs)"}


class PyomqAsyncio(PyzmqAsyncio):
    """pyomq for asyncio."""

    module = "pyomq.asyncio"
    lacks = ("fan-out", "empty")
    facts = Pyomq.facts


class PyomqUvloop(PyomqAsyncio):
    """pyomq for asyncio, on uvloop."""

    uvloop = True


MOST = 8192  # of nng's buffers; 0 is not to buffer at all


class Pynng(Library):
    """pynng: another protocol, with sockets that are much like ZeroMQ's."""

    module = "pynng"
    now = "block=False"
    # There are no multipart messages, and PUSH goes to whoever is ready.
    lacks = ("multipart", "fan-out")

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        pynng = importlib.import_module(self.module)
        size = min(hwm or MOST, MOST)
        made = getattr(pynng, f"{kind.capitalize()}0")
        return made(send_buffer_size=size, recv_buffer_size=size, recv_max_size=0)

    def join(self, sock: Any, endpoint: str, bind: bool) -> str:
        """Bind or connect; the endpoint to connect to."""
        if bind:
            return str(sock.listen(endpoint.replace(":*", ":0")).url)
        sock.dial(endpoint, block=True)
        return endpoint

    def nothing(self) -> Any:
        """What a receive that does not wait raises when nothing is there."""
        return importlib.import_module(self.module).TryAgain

    def facts(self) -> dict[str, str]:
        """The versions."""
        return {"version": metadata.version("pynng"), "libzmq": "none (nng)"}


class Ratchet(Library):
    """ratchet in the plain OS thread."""

    module = "ratchet.zmqsocket"
    now = "timeout=0"
    batches = True
    pairs = True

    def new(self, kind: str, hwm: int) -> Any:
        """Make a socket."""
        module = importlib.import_module(self.module)
        return module.new(kind, sndhwm=hwm, rcvhwm=hwm, linger=LINGER)

    def facts(self) -> dict[str, str]:
        """The versions; a libzmq that is linked statically can only be asked by ratchet."""
        ratchet = importlib.import_module("ratchet")
        drafts = " with drafts" if ratchet.has("draft") else ""
        libzmq = ".".join(map(str, ratchet.libzmq_version())) + drafts
        return {"version": ratchet.__version__, "libzmq": libzmq}

    def nothing(self) -> Any:
        """What a receive that does not wait raises when nothing is there."""
        return importlib.import_module("ratchet.errors").Timeout


class RatchetOS(OSThreads, Ratchet):
    """ratchet in many OS threads."""


class RatchetFrames(Ratchet):
    """ratchet as its guide shows it for large messages: nothing is copied."""

    least = LARGE
    pairs = False

    def ends(self, sock: Any, _suffix: str) -> tuple[Any, Callable[..., Any]]:
        """The methods that send and receive."""
        return sock.send, sock.recv_frame


class RatchetCopies(Ratchet):
    """ratchet where it has to copy: the buffer sent may change, and bytes are received."""

    least = LARGE
    goods = bytearray


class RatchetThreads(Cooperative, Ratchet):
    """ratchet in its own threads."""

    def __init__(self) -> None:
        self.thread = importlib.import_module("ratchet.thread")

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call the function in a kernel of its own."""
        return importlib.import_module("ratchet").run(function, *args)

    def spawn(self, function: Callable[..., Any], *args: Any) -> Any:
        """Start a ratchet thread."""
        return self.thread.attach_background(function, *args)

    def give_way(self) -> Callable[[], Any]:
        """What a ratchet thread calls to let the others run."""
        return partial(self.thread.timer, 0)

    def bell(self) -> Any:
        """One waiter pauses, and is resumed."""
        thread = self.thread

        class Bell:
            def wait(self) -> None:
                self.waiter = thread.self()
                thread.pause()

            def ring(self) -> None:
                thread.unpause(self.waiter)

        return Bell()


class RatchetGevent(Greenlets, Ratchet):
    """ratchet in gevent's greenlets."""


class RatchetAsyncio(Awaited, Ratchet):
    """ratchet in asyncio tasks."""

    module = "ratchet.asyncio"


class RatchetUvloop(RatchetAsyncio):
    """ratchet in asyncio tasks, on uvloop."""

    uvloop = True


class RatchetWatched(RatchetAsyncio):
    """ratchet in asyncio tasks, on a loop for which an OS thread watches."""

    def __init__(self) -> None:
        class Blind(asyncio.SelectorEventLoop):
            """It cannot watch descriptors, as Windows' Proactor loop."""

            def add_reader(self, *_: Any) -> None:
                raise NotImplementedError

            def remove_reader(self, *_: Any) -> bool:
                raise NotImplementedError

        super().__init__()
        self.runner = asyncio.Runner(loop_factory=Blind)


class RatchetTrio(AwaitedInTrio, Ratchet):
    """ratchet in trio tasks."""

    module = "ratchet.trio"


ADAPTERS: dict[str, type[Library]] = {
    "ratchet": Ratchet,
    "ratchet-own": Ratchet,  # built with a libzmq as in the wheels (`workers.command`)
    "ratchet-os": RatchetOS,
    "ratchet-frames": RatchetFrames,
    "ratchet-copies": RatchetCopies,
    "ratchet-threads": RatchetThreads,
    "ratchet-gevent": RatchetGevent,
    "ratchet-asyncio": RatchetAsyncio,
    "ratchet-uvloop": RatchetUvloop,
    "ratchet-watched": RatchetWatched,
    "ratchet-trio": RatchetTrio,
    "pyzmq": Pyzmq,
    "pyzmq-os": PyzmqOS,
    "pyzmq-frames": PyzmqFrames,
    "pyzmq-green": PyzmqGreen,
    "pyzmq-asyncio": PyzmqAsyncio,
    "pyzmq-uvloop": PyzmqUvloop,
    "zmq-anyio-trio": ZmqAnyioTrio,
    "pyomq": Pyomq,
    "pyomq-asyncio": PyomqAsyncio,
    "pyomq-uvloop": PyomqUvloop,
    "pynng": Pynng,
}


def loaded_libzmq() -> str:
    """The version of the libzmq that this process has loaded, asked of the library itself."""
    try:
        numbers = [ctypes.c_int() for _ in range(3)]
        libzmq().zmq_version(*map(ctypes.byref, numbers))
    except (OSError, AttributeError):
        return "unknown"
    return ".".join(str(number.value) for number in numbers)


def libzmq() -> ctypes.CDLL:
    """The libzmq that this process has loaded, and not the one in pyzmq's wheel."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    found = [path for path in re.findall(r"/.*/libzmq.*\.so.*", maps) if "pyzmq" not in path]
    return ctypes.CDLL(found[0] if found else None)


from . import others  # noqa: E402, F401 - it adds to ADAPTERS, and its base stands above
