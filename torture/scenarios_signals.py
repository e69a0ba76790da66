"""Signals neither stretch a timeout nor are slept through."""

import contextlib
import os
import signal
import socket
import threading
import time
from functools import partial

from .scenario import fill, scenario

TIMEOUTS = 0.005, 0.03, 0.3, 1.1  # seconds
LATE = 0.5  # seconds; machines are busy


@scenario()
def timeouts_under_signals(rt, scale):
    """A timeout is neither early nor stretched, with a signal every millisecond."""
    hits = 0

    def handler(_number, _frame):
        nonlocal hits
        hits += 1

    async def exact(call, seconds):
        if seconds > 0.1:  # beyond the full second, where clocks of two fields carry over
            time.sleep((1 - seconds / 2 - time.time()) % 1)
        before, began = hits, time.monotonic()
        with contextlib.suppress(*rt.timeouts):
            assert not await call(seconds), "wrong: no timeout"
        took = time.monotonic() - began
        assert took >= seconds - 0.001, f"early: {took:.3f} s for {seconds}"
        assert took < seconds + LATE, f"late: {took:.1f} s for {seconds}"
        assert hits > before, "wrong: no signal came"

    async def wait(rt):
        source, _sink = rt.pair("PUSH", "PULL", "inproc://torture", sndhwm=1, rcvhwm=1)
        other = rt.new("PULL")
        await fill(rt, source)
        receive, send = partial(rt.recv, other), partial(rt.send, source, b"x")
        for call, waits in zip(
            (receive, send), scale.of(((0.3,), (0.03,)), (TIMEOUTS, TIMEOUTS)), strict=True
        ):
            for seconds in waits:
                await exact(call, seconds)
        for call in other_waits(rt, other):
            for seconds in scale.of((0.03,), TIMEOUTS):
                await exact(call, seconds)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    rt.main(wait)
    signal.setitimer(signal.ITIMER_REAL, 0)


def other_waits(rt, sock):
    """All else that takes a timeout; what each awaits is false when the time is up."""
    yield partial(rt.poll, sock)
    yield rt.sleep
    if rt.library != "ratchet" or rt.awaits:
        return  # there, the loop's own timeouts go with a tracker
    left, _right = rt.pair("PAIR", "PAIR", "inproc://lent")
    yield partial(at_once, left.send(bytearray(9), copy=False).wait)
    if rt.kind == "cooperative":
        thread = rt.ratchet.thread
        yield partial(at_once, rt.spawn(rt.sleep(60)).result)
        plain, _other = socket.socketpair()
        yield partial(at_once, partial(thread.block_on, [plain], ()))
        yield partial(alarmed, rt)


async def at_once(call, seconds):
    """A call that has paused by the time it returns."""
    return call(seconds)


async def alarmed(rt, seconds):
    """An alarm ends a pause."""
    rt.ratchet.thread.alarm(seconds)
    with contextlib.suppress(rt.ratchet.Alarm):
        rt.ratchet.thread.pause()


# Where Ctrl-C finds a program, beside a full PUSH and an empty PULL.
WAITS = {
    "recv": lambda rt, _full, empty: rt.recv(empty),
    "send": lambda rt, full, _empty: rt.send(full, b"x"),
    "recv_parts": lambda rt, _full, empty: rt.recv_parts(empty),
    "send_parts": lambda rt, full, _empty: rt.send_parts(full, [b"x", b"y"]),
    "poll": lambda rt, _full, empty: rt.poll(empty, 60),
    "a loop of ready calls": lambda rt, _full, _empty: ready_calls(rt),
}
OF_RATCHET = {
    "recv_all": lambda rt, _full, empty: rt.finished(empty.recv_all()),
    "recv_many": lambda rt, _full, empty: rt.finished(empty.recv_many(10)),
    "recv_frame": lambda rt, _full, empty: rt.finished(empty.recv_frame()),
    "recv_frames": lambda rt, _full, empty: rt.finished(empty.recv_frames()),
    "recv_into": lambda rt, _full, empty: rt.finished(empty.recv_into(bytearray(9))),
    "iteration": lambda rt, _full, empty: anext(empty) if rt.awaits else rt.finished(next(empty)),
    "send_many": lambda rt, full, _empty: rt.finished(full.send_many([b"x"] * 10)),
    "a tracker": lambda rt, _full, _empty: tracked(rt),
}
OF_ITS_THREADS = {
    "pause": lambda rt, _full, _empty: rt.thread.pause(),
    "timer": lambda rt, _full, _empty: rt.thread.timer(60),
    "block_on a descriptor": lambda rt, _full, _empty: on_a_descriptor(rt),
    "wait_all": lambda rt, _full, _empty: rt.thread.wait_all([rt.spawn(rt.sleep(60))]),
    "sigwait": lambda rt, _full, _empty: rt.thread.sigwait("SIGUSR1"),
    "offload": lambda rt, _full, _empty: rt.thread.offload(time.sleep, 60),
}


async def ready_calls(rt):
    left, right = rt.pair("PAIR", "PAIR", "inproc://busy")
    while True:
        await rt.send(left, b"x")
        await rt.recv(right)


async def tracked(rt):
    left, _right = rt.pair("PAIR", "PAIR", "inproc://lent")
    tracker = await rt.finished(left.send(bytearray(9), copy=False))
    await (tracker if rt.awaits else rt.finished(tracker.wait()))


def on_a_descriptor(rt):
    left, _right = socket.socketpair()
    rt.thread.block_on([left])


def a_result(rt, _full, _empty):
    """Of a ratchet thread, in another OS thread."""
    kernel = rt.ratchet.new(lambda: None)
    thread = kernel.attach(lambda: rt.ratchet.thread.timer(60))
    threading.Thread(target=kernel.loop, daemon=True).start()
    thread.result()


@scenario()
def control_c(rt, _scale):
    """Ctrl-C leaves every wait with KeyboardInterrupt, and the sockets can be used again."""
    waits = WAITS
    if rt.library == "ratchet":
        of_kind = {"cooperative": OF_ITS_THREADS, "threads": {"a result": a_result}}
        waits = {**WAITS, **OF_RATCHET, **of_kind.get(rt.kind, {})}
    for name, wait in waits.items():
        interrupt(rt, name, wait)


def interrupt(rt, name, wait):
    """Send this process SIGINT while it waits, from a thread: it may be given to any thread."""
    socks = []

    async def main(rt):
        full, sink = rt.pair("PUSH", "PULL", f"inproc://{name}", sndhwm=1, rcvhwm=1)
        empty = rt.new("PULL")
        socks.extend((full, sink, empty))
        await fill(rt, full)
        started.start()
        outcome = wait(rt, full, empty)  # where calls block, it has waited by now
        if outcome is not None:
            await outcome

    async def again(rt):
        full, sink, _empty = socks
        while True:
            try:
                await rt.recv(sink, 0.05)
            except rt.timeouts:
                break
        await rt.send(full, b"after", 5)
        assert await rt.recv(sink, 5) == b"after", "wrong: another message"

    started = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    started.daemon = True
    watchdog = threading.Timer(5, give_up, (name,))
    watchdog.daemon = True
    watchdog.start()
    try:
        rt.main(main)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError(f"wrong: {name} returned")
    finally:
        watchdog.cancel()
    if rt.kind != "asyncio" or rt.library == "ratchet":  # its sockets belong to one event loop
        rt.main(again)
    for sock in socks:
        sock.close()


def give_up(name):
    """Nobody heard it."""
    print(f"outcome: hangs in {name}", flush=True)
    os._exit(1)
