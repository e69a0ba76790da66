"""Signals neither stretch a timeout nor are slept through."""

import contextlib
import os
import signal
import socket
import threading
import time
from functools import partial

from .scenario import fill, scenario

WAITS = 0.005, 0.03, 0.3, 1.1  # seconds
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
            (receive, send), scale.of(((0.3,), (0.03,)), (WAITS, WAITS)), strict=True
        ):
            for seconds in waits:
                await exact(call, seconds)
        for call in other_waits(rt, other):
            for seconds in scale.of((0.03,), WAITS):
                await exact(call, seconds)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    rt.main(wait)
    signal.setitimer(signal.ITIMER_REAL, 0)


def other_waits(rt, sock):
    """All else that takes a timeout; what each awaits is false when the time is up."""
    yield partial(rt.poll, sock)
    yield rt.sleep
    if rt.library != "ratchet" or rt.kind == "asyncio":
        return  # there, asyncio's own timeouts go with a tracker
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


async def in_recv(rt, _full, empty):
    await rt.recv(empty)


async def in_send(rt, full, _empty):
    await rt.send(full, b"x")


async def in_recv_parts(rt, _full, empty):
    await rt.recv_parts(empty)


async def in_send_parts(rt, full, _empty):
    await rt.send_parts(full, [b"x", b"y"])


async def in_poll(rt, _full, empty):
    await rt.poll(empty, 60)


# Only ratchet has these.


async def in_recv_all(rt, _full, empty):
    await rt.finished(empty.recv_all())


async def in_recv_many(rt, _full, empty):
    await rt.finished(empty.recv_many(10))


async def in_recv_frame(rt, _full, empty):
    await rt.finished(empty.recv_frame())


async def in_recv_frames(rt, _full, empty):
    await rt.finished(empty.recv_frames())


async def in_recv_into(rt, _full, empty):
    await rt.finished(empty.recv_into(bytearray(9)))


async def in_iteration(rt, _full, empty):
    await (anext(empty) if rt.kind == "asyncio" else rt.finished(next(empty)))


async def in_send_many(rt, full, _empty):
    await rt.finished(full.send_many([b"x"] * 10))


async def in_a_tracker(rt, _full, _empty):
    left, _right = rt.pair("PAIR", "PAIR", "inproc://lent")
    tracker = await rt.finished(left.send(bytearray(9), copy=False))
    await (tracker if rt.kind == "asyncio" else rt.finished(tracker.wait()))


async def in_pause(rt, _full, _empty):
    rt.ratchet.thread.pause()


async def in_timer(rt, _full, _empty):
    rt.ratchet.thread.timer(60)


async def in_block_on_a_descriptor(rt, _full, _empty):
    left, _right = socket.socketpair()
    rt.ratchet.thread.block_on([left])


async def in_wait_all(rt, _full, _empty):
    rt.ratchet.thread.wait_all([rt.spawn(rt.sleep(60))])


async def in_sigwait(rt, _full, _empty):
    rt.ratchet.thread.sigwait("SIGUSR1")


async def in_offload(rt, _full, _empty):
    rt.ratchet.thread.offload(time.sleep, 60)


async def in_a_result(rt, _full, _empty):
    """Of a ratchet thread, in another OS thread."""
    kernel = rt.ratchet.new(lambda: None)
    thread = kernel.attach(lambda: rt.ratchet.thread.timer(60))
    threading.Thread(target=kernel.loop, daemon=True).start()
    thread.result()


async def in_a_loop_of_ready_calls(rt, _full, _empty):
    left, right = rt.pair("PAIR", "PAIR", "inproc://busy")
    while True:
        await rt.send(left, b"x")
        await rt.recv(right)


@scenario()
def control_c(rt, _scale):
    """Ctrl-C leaves every wait with KeyboardInterrupt, and the sockets can be used again."""
    waits = [in_recv, in_send, in_recv_parts, in_send_parts, in_poll, in_a_loop_of_ready_calls]
    if rt.library == "ratchet":
        waits += [in_recv_all, in_recv_many, in_recv_frame, in_recv_frames, in_recv_into]
        waits += [in_iteration, in_send_many, in_a_tracker]
        if rt.kind == "cooperative":
            waits += [in_pause, in_timer, in_block_on_a_descriptor, in_wait_all, in_sigwait]
            waits.append(in_offload)
        if rt.kind == "threads":
            waits.append(in_a_result)
    for wait in waits:
        interrupt(rt, wait)


def interrupt(rt, wait):
    """Send this process SIGINT while it waits, from a thread: it may be given to any thread."""
    name = wait.__name__
    socks = []

    async def main(rt):
        full, sink = rt.pair("PUSH", "PULL", f"inproc://{name}", sndhwm=1, rcvhwm=1)
        empty = rt.new("PULL")
        socks.extend((full, sink, empty))
        await fill(rt, full)
        started.start()
        await wait(rt, full, empty)

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
    print(f"outcome: hangs {name.replace('_', ' ')}", flush=True)
    os._exit(1)
