"""Out of descriptors, threads or memory, or misused: an exception, and all is well afterwards."""

import contextlib
import errno
import importlib
import mmap
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path

from .scenario import Skip, fork, limit_to, reap, scenario

REFUSED, ANOTHER = 7, 8  # a child's statuses
WORDS = {0: "", 1: "unusable afterwards", REFUSED: "refused", ANOTHER: "another error"}


async def everything(rt):
    """Every constructor, and a message through what they made."""
    with contextlib.ExitStack() as stack:
        left, right = (stack.enter_context(contextlib.closing(rt.new("DEALER"))) for _ in range(2))
        left.connect(rt.bind(right, "tcp://127.0.0.1:*"))
        left.connect(rt.bind(right, f"inproc://{time.monotonic_ns()}"))
        # Not ipc, whose listener aborts when it accepts and none is left (docs/reliability.md).
        await rt.send(left, b"x", 5)
        await rt.recv(right, 5)
        with contextlib.suppress(*rt.timeouts):
            await rt.recv(right, 0.01)
        for kind in TYPES:
            rt.new(kind).close()


# Those of every version.
TYPES = (
    *("PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"),
    "STREAM",
)


@scenario("threads", "cooperative", "asyncio", "trio")  # libev ends the process itself
def descriptors(rt, scale):
    """Out of descriptors, at any point, is an error and never an abort; with some, all works."""
    used = len(list(Path("/dev/fd").iterdir()))
    enough = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def attempt(extra):
        limit_to(resource.RLIMIT_NOFILE, used + extra)
        status = 0
        try:
            rt.main(everything)
        except Exception as error:  # noqa: BLE001 - of the library, of asyncio or of greenlets
            status = REFUSED if getattr(error, "errno", 0) == errno.EMFILE else ANOTHER
        limit_to(resource.RLIMIT_NOFILE, enough)
        rt.main(everything)
        return status

    sweep(rt, range(0, 40, scale.of(3, 1)), attempt)


def sweep(rt, limits, attempt):
    """Try under each limit, from too little for anything on, in a process of its own."""
    ends = {}
    for limit in limits:
        end = reap(fork(rt, partial(attempt, limit)))
        ends[limit] = WORDS.get(-1 if end.status is None else end.status, end.fault)
    faults = {limit: text for limit, text in ends.items() if text not in ("", "refused")}
    worst = ", ".join(sorted(set(faults.values())))
    assert not faults, f"{worst} with {len(faults)} of {len(ends)} limits"
    if "refused" not in ends.values():
        raise Skip("the limit has no effect")


@scenario()
def threads_exhausted(rt, _scale):
    """When the system gives no more threads the first socket is an error and never an abort."""
    if not sys.platform.startswith("linux"):
        raise Skip("RLIMIT_NPROC counts processes here")

    def attempt(limit):
        "x".encode("idna")  # Python loads this when it is first asked for: nobody may not read it
        if os.getuid() == 0:  # to whom the limit does not apply
            nobody = 1_000_000 + os.getpid()  # all processes of one user count
            os.setresgid(nobody, nobody, nobody)
            os.setresuid(nobody, nobody, nobody)
        enough = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        limit_to(resource.RLIMIT_NPROC, limit)
        status = 0
        try:
            rt.main(everything)
        except Exception as error:  # noqa: BLE001
            right = getattr(error, "errno", 0) in (errno.EAGAIN, errno.EMFILE)
            status = REFUSED if right else ANOTHER
        limit_to(resource.RLIMIT_NPROC, enough)
        rt.main(everything)
        return status

    sweep(rt, range(1, 9), attempt)


@scenario()
async def large_without_memory(rt, _scale):
    """A message for which there is no memory is a MemoryError; the socket goes on."""
    if not Path("/proc/self/statm").exists():
        raise Skip("it asks Linux how much memory is in use")
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture")
    size = 64 << 20
    enough = resource.getrlimit(resource.RLIMIT_AS)[0]
    data = mmap.mmap(-1, size)

    def spare(room):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit_to(resource.RLIMIT_AS, pages * mmap.PAGESIZE + room)

    spare(size // 2)
    try:
        await rt.send(source, data)
        raise AssertionError("wrong: it was sent")
    except (MemoryError, *rt.errors):
        pass
    await rt.send(source, b"small", 5)
    assert await rt.recv(sink, 5) == b"small", "wrong: another message"
    limit_to(resource.RLIMIT_AS, enough)
    await rt.send(source, data, 5)
    await rt.send(source, b"after", 5)
    spare(size // 2)
    try:
        await rt.recv(sink, 5)
        raise AssertionError("wrong: it was received")
    except (MemoryError, *rt.errors):
        pass
    assert await rt.recv(sink, 5) == b"after", "wrong: another message"
    limit_to(resource.RLIMIT_AS, enough)


MORE = 2  # pyzmq's SNDMORE; ratchet asks only whether it is true


# trio has no tasks stepped by hand; gevent's own sleep(0) ends the process without memory.
@scenario("threads", "cooperative", "asyncio")
async def python_without_memory(rt, scale):
    """Where Python's memory runs out in a call: MemoryError, no torn message, and on it goes."""
    try:
        fail = importlib.import_module("_testcapi")
    except ImportError:
        raise Skip("this Python has no _testcapi") from None
    if rt.kind == "asyncio" and "PYZMQ_BACKEND" in os.environ:
        raise Skip("a call of zmq.asyncio's has acted before its await, which may find no memory")
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture")
    parts = [b"a" * 100, b"b" * 10_000, b"c" * 200_000]
    whole = b"".join(parts)
    failed = 0

    async def direct(method, *args, **options):
        # Not by rt.finished(): making that coroutine could fail after a call that blocks.
        outcome = method(*args, **options)
        return await outcome if rt.awaits else outcome

    async def within(start, stop, call):
        """Make one call that is ready, and nothing else, while memory fails: did it raise?"""
        nonlocal failed
        nothing = object()
        got = [nothing]
        waits = False

        async def keep():
            got[0] = await call()

        step = keep()
        await rt.sleep(0)  # so that it is not this call's turn to let others run
        fail.set_nomemory(start, stop)
        try:
            while step.send(None) is None:  # asyncio's: it would go on in the next turn
                pass
            waits = True
        except (StopIteration, MemoryError):
            pass
        finally:
            fail.remove_mem_hooks()
        assert not waits, "wrong: it waits, although it is ready"
        refused = got[0] is nothing
        failed += refused
        return refused, got[0]

    async def until(last):
        """What is received up to that message, part by part."""
        data = b""
        while not data.endswith(last):
            data += await rt.recv(sink, 5)
        return data

    sends = [
        partial(rt.send_parts, source, parts, 0),
        partial(direct, source.send_multipart, parts, copy=False),
        partial(direct, source.send, parts[0], MORE),
    ]
    receives = [partial(rt.recv_parts, sink, 0), partial(rt.recv, sink, 0)]
    if rt.library == "ratchet":
        receives += [
            partial(direct, sink.recv_all),
            partial(direct, sink.recv_many, 2),
            partial(direct, sink.recv_frame),
            partial(direct, sink.recv_frames),
            partial(direct, sink.recv_into, bytearray(parts[0])),
        ]
    else:
        receives.append(partial(direct, sink.recv_multipart, copy=False))

    async def attempt(start, stop):
        for send in sends:
            refused, _ = await within(start, stop, send)
            if send is sends[-1] and not refused:
                await rt.send_parts(source, parts[1:], 5)
            # Of another caller: the line must be free.
            await rt.join(rt.spawn(rt.send_parts(source, [b"1"], 5)))
            right = (whole + b"1", b"1") if refused else (whole + b"1",)
            assert await until(b"1") in right, "torn"
        for receive in receives:
            for message in (parts, [b"1"], [b"2"]):
                await rt.send_parts(source, message, 5)
            refused, got = await within(start, stop, receive)
            if isinstance(got, int):
                got = parts[0][:got]
            elif refused:
                got = b""
            elif isinstance(got, list):
                got = b"".join(map(bytes, got))
            got = bytes(got) + await until(b"2")
            right = (whole + b"12", b"12") if refused else (whole + b"12",)
            assert got in right, "torn"

    for start in range(scale.of(30, 120)):
        for stop in (0, start + 1):  # none from then on, or only this time
            await attempt(start, stop)
    assert failed > 3, f"wrong: only {failed} calls failed"


@scenario()
async def identity_given_twice(rt, _scale):
    """A ROUTER refuses to give two connections one identity, and goes on."""
    router = rt.new("ROUTER")
    peers = [rt.new("DEALER") for _ in range(2)]
    for peer in peers:
        where = rt.bind(peer, "tcp://127.0.0.1:*")
        with contextlib.suppress(*rt.errors):
            router.connect_routing_id = b"same"
            router.connect(where)
    await rt.send_parts(router, [b"same", b"question"], 5)
    assert await rt.recv(peers[0], 5) == b"question", "wrong: another message"


@scenario()
async def wrong_use(rt, _scale):
    """Calls out of turn, with wrong arguments, or on a closed socket raise; the socket goes on."""
    left, right = rt.pair("REQ", "REP", "inproc://torture")
    wrong = [
        lambda: rt.recv(left, 1),
        lambda: rt.send(right, b"x", 1),
        lambda: rt.send(left, "text", 1),
        lambda: rt.send(left, None, 1),
        lambda: rt.send_parts(left, [b"x", 1], 1),
    ]
    for number, call in enumerate(wrong):
        try:
            await call()
        except Exception:  # noqa: BLE001, S110 - any error is right
            pass
        else:
            raise AssertionError(f"wrong: call {number} was taken")
    await rt.send(left, b"question", 5)
    assert await rt.recv(right, 5) == b"question", "wrong: another message"
    await rt.send(right, b"answer", 5)
    assert await rt.recv(left, 5) == b"answer", "wrong: another message"
    left.close()
    for call in (lambda: rt.send(left, b"x", 1), lambda: rt.recv(left, 1)):
        try:
            await call()
        except Exception:  # noqa: BLE001, S110 - the same
            pass
        else:
            raise AssertionError("wrong: a closed socket was used")
