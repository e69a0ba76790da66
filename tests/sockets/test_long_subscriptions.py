"""Long subscriptions: a limit that depends on nothing, and strangers whom none holds back.

libzmq's trie of a SUB's or XSUB's own subscriptions recurses for each byte, so a long one overflows
the stack of whoever's thread it is. A publisher's table of what others want does not (from 4.3.3).
"""

import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from harness.behaviour import behaviour
from harness.waiting import LONG, Task

from ratchet import ArgumentError, Timeout, zmqsocket

LIMIT = 200
LONGEST, TOO_LONG = b"L" * LIMIT, b"L" * (LIMIT + 1)
NAMES_IT = rf"{LIMIT + 1} bytes: at most {LIMIT} are accepted"
SMALLEST_STACK = 32 * 1024  # bytes; the least that threading.stack_size() takes
here = Path(__file__).parents[1]  # where the harness is
# A sanitizer's frames are larger; another system's libc has other needs.
small_stacks = pytest.mark.skipif(
    sys.platform != "linux" or "ASAN_OPTIONS" in os.environ,
    reason="what a small stack has room for differs",
)


def run(program, *args):
    """Run a program in a process of its own, as it may end by a signal."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=here,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
def test_the_limit_is_one_everywhere(kind, inproc):
    with zmqsocket.new("XPUB", xpub_verboser=True) as xpub, zmqsocket.new(kind) as zsock:
        xpub.bind(inproc)
        zsock.connect(inproc)
        zsock.subscribe(LONGEST)
        assert xpub.recv_all(timeout=LONG) == b"\1" + LONGEST
        for refused in (
            lambda: zsock.subscribe(TOO_LONG),
            lambda: zsock.unsubscribe(TOO_LONG),
            lambda: zsock.setsockopt("SUBSCRIBE", TOO_LONG),
            lambda: zsock.setsockopt("UNSUBSCRIBE", [TOO_LONG]),
            lambda: zmqsocket.new(kind, subscribe=TOO_LONG),
            lambda: zmqsocket.new(kind, subscribe=[b"a", bytearray(TOO_LONG)]),
        ):
            with pytest.raises(ArgumentError, match=NAMES_IT):
                refused()
        zsock.unsubscribe(LONGEST)
        assert xpub.recv_all(timeout=LONG) == b"\0" + LONGEST
        zsock.subscribe(b"after")
        assert xpub.recv_all(timeout=LONG) == b"\1after"


def raw_sends(zsock, part):
    """Every way of sending a part: a name and a coroutine function each."""

    async def in_parts():
        await zsock.send(b"head", True)
        await zsock.send(part)

    async def at_last():
        await zsock.send(b"head", True)
        await zsock.send(part, True)
        await zsock.send(b"tail")

    return {
        "send": lambda: zsock.send(part),
        "send now": lambda: zsock.send(part, timeout=0),
        "send a bytearray": lambda: zsock.send(bytearray(part)),
        "send without a copy": lambda: zsock.send(memoryview(part), copy=False),
        "send in parts": in_parts,
        "send in parts, in the middle": at_last,
        "send with more": lambda: zsock.send(part, True),
        "send_multipart": lambda: zsock.send_multipart([b"head", part]),
        "send_multipart without a copy": lambda: zsock.send_multipart([b"a", part], copy=False),
        "send_many": lambda: zsock.send_many([b"one", part, b"three"]),
    }


@behaviour
async def test_the_raw_form_of_an_xsub(rt, inproc):
    xpub, xsub = await rt.link("XPUB", "XSUB", inproc, {"xpub_verboser": True})
    for sign in (b"\1", b"\0"):
        for name, send in raw_sends(xsub, sign + TOO_LONG).items():
            with pytest.raises(ArgumentError, match=NAMES_IT):
                await send()
            await xsub.send(b"nothing of it was sent")
            assert await xpub.recv_multipart() == [b"nothing of it was sent"], name
    await xsub.send(b"\1" + LONGEST)
    assert await xpub.recv_multipart() == [b"\1" + LONGEST]
    await xsub.send_many([b"\0" + LONGEST, b"\2" + TOO_LONG])  # the second is no subscription
    assert await xpub.recv_multipart() == [b"\0" + LONGEST]
    assert await xpub.recv_multipart() == [b"\2" + TOO_LONG]
    assert await xsub.send_many([b"x"] * 3000) == 3000
    assert len(await xpub.recv_multipart()) == 1


@behaviour
async def test_an_xsub_sends_while_messages_were_taken_ahead(rt, inproc):
    """`disconnect` has taken one in; that must not stand in the way of sending."""
    xpub, xsub = await rt.link("XPUB", "XSUB", inproc)
    await xsub.send(b"\1")
    assert await xpub.recv_all() == b"\1"
    await xpub.send_multipart([b"a", b"b"])
    await rt.until(xsub.is_readable, "the message")
    xsub.disconnect(inproc)
    xsub.connect(inproc)
    await xsub.send(b"\1more")
    await rt.until(xpub.is_readable, "the subscription")
    assert await xsub.recv_multipart() == [b"a", b"b"]


PROGRAM = """
    import asyncio, sys, threading
    import ratchet, ratchet.asyncio
    from harness.waiting import LONG
    from harness.behaviour import OSThreads, RatchetThreads, Tasks
    from ratchet import zmqsocket

    runtime, longest = sys.argv[1], b"L" * int(sys.argv[2])
    # A trie that branches at each byte takes the most: nothing of it is a tail call.
    many = [longest[:size] + b"M" for size in range(len(longest))] + [longest]
    more = [b"\\1" + longest, b"\\0" + longest]

    async def use(rt):
        xpub, sub, xsub = rt.new("XPUB"), rt.new("SUB", subscribe=many), rt.new("XSUB")
        xpub.bind("inproc://long")
        sub.connect("inproc://long")
        for part in more:
            await xsub.send(part)
        await xsub.send_many([b"\\1" + prefix for prefix in many])
        await xsub.send_multipart(more)
        xsub.connect("inproc://long")
        await xpub.recv_many(1000)
        for prefix in reversed(many):
            sub.unsubscribe(prefix)
        await xsub.send_many([b"\\0" + prefix for prefix in many])
        sub.subscribe(longest)
        await xsub.send(more[0])  # for close

    kind = {kind.name: kind for kind in (OSThreads, RatchetThreads, Tasks)}[runtime]
    zmqsocket.new("PAIR").close()
    errors = []

    def main():
        try:
            kind().run(use)
        except BaseException as error:
            errors.append(error)

    if len(sys.argv) > 3:
        threading.stack_size(int(sys.argv[3]))
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
"""


@small_stacks
@pytest.mark.parametrize("runtime", ["threads", "ratchet", "asyncio"])
def test_what_is_accepted_fits_on_the_smallest_stack(runtime):
    run(PROGRAM, runtime, LIMIT, SMALLEST_STACK)


@small_stacks
@pytest.mark.parametrize("act", ["unsubscribe", "close", "raw"])
@pytest.mark.parametrize("size", [2_048, 200_000])
def test_no_length_ends_the_process(act, size):
    run(
        """
        import sys, threading
        from ratchet import ArgumentError, zmqsocket

        act, size, small = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        prefix = b"L" * size

        def main():
            with zmqsocket.new("XSUB" if act == "raw" else "SUB") as zsock:
                if act == "raw":
                    zsock.send(b"\\1" + prefix)
                else:
                    zsock.subscribe(prefix)
                if act == "unsubscribe":
                    zsock.unsubscribe(prefix)
                if act == "raw":
                    zsock.send(b"\\0" + prefix)

        if small:
            threading.stack_size(small)
        outcome = []
        def attempt():
            try:
                main()
            except ArgumentError as error:
                outcome.append(error)
        thread = threading.Thread(target=attempt)
        zmqsocket.new("PAIR").close()
        thread.start()
        thread.join()
        assert len(outcome) == 1
        """,
        act,
        size,
        SMALLEST_STACK if size < 10_000 else 0,
    )


# What others subscribe to


class Stranger:
    """A subscriber that speaks ZMTP 3.0 by hand, and so has no limit of ratchet's."""

    def __init__(self, endpoint):
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=LONG)
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
        self.socket.sendall(greeting)
        self.read(64)
        ready = b"\5READY\x0bSocket-Type" + struct.pack(">I", 3) + b"SUB"
        self.socket.sendall(bytes([4, len(ready)]) + ready)
        self.read(self.read(2)[1])

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "it hung up"
            data += more
        return data

    def frame(self, data):
        self.socket.sendall(b"\2" + struct.pack(">Q", len(data)) + data)


@small_stacks
@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stays"])
@pytest.mark.parametrize("kind", ["PUB", "XPUB", "XPUB manual"])
def test_a_stranger_with_a_long_subscription_harms_no_publisher(kind, leaves):
    prefix = b"L" * 100_000
    options = {"xpub_manual": True} if kind == "XPUB manual" else {}
    with zmqsocket.new(kind.split()[0], linger=0, **options) as pub:
        stranger = Stranger(pub.bind("tcp://127.0.0.1:*"))

        def serve():
            task = Task(stranger.frame, b"\1" + prefix)
            if kind == "PUB":
                end = time.monotonic() + LONG
                stranger.socket.setblocking(False)
                task.value()
                while time.monotonic() < end:
                    pub.send(prefix + b"it is known")
                    try:
                        if stranger.socket.recv(1):
                            break
                    except BlockingIOError:
                        time.sleep(0.001)
                return
            assert pub.recv_all(timeout=LONG) == b"\1" + prefix
            if options:
                pub.subscribe(prefix)  # no limit: this table is not a stack's
            task.value()

        def end():
            if leaves:
                stranger.socket.close()
                if kind != "PUB":
                    assert pub.recv_all(timeout=LONG) == b"\0" + prefix
            pub.close()

        size = threading.stack_size(SMALLEST_STACK)
        try:
            task = Task(lambda: (serve(), end()))
        finally:
            threading.stack_size(size)
        task.value()
        stranger.socket.close()


def test_maxmsgsize_bounds_what_strangers_subscribe_to():
    with zmqsocket.new("XPUB", maxmsgsize=1000) as xpub:
        stranger = Stranger(xpub.bind("tcp://127.0.0.1:*"))
        stranger.frame(b"\1" + b"L" * 999)
        assert len(xpub.recv_all(timeout=LONG)) == 1000
        try:
            stranger.frame(b"\1" + b"L" * 100_000)
            while stranger.socket.recv(1000):
                pass
        except OSError:
            pass  # reset
        assert xpub.recv_all(timeout=LONG) == b"\0" + b"L" * 999
        with pytest.raises(Timeout):
            xpub.recv(timeout=0)
        stranger.socket.close()
