"""Large messages without copies: what is lent to libzmq, and what is received in its memory."""

import asyncio
import gc
import select
import sys
import warnings

import pytest
from harness.behaviour import behaviour
from harness.internals import around_wakeup
from harness.sockets import place_of
from harness.waiting import LONG

import ratchet.asyncio
from ratchet import Error, Timeout, zmqsocket

LARGE = 300_000


async def left(rt, tracker):
    """Wait for a tracker as this runtime does."""
    if rt.awaits:
        async with rt.timeout(LONG):
            await tracker
    else:
        tracker.wait(LONG)


@pytest.mark.parametrize("transport", ["inproc", "tcp"])
@behaviour
async def test_bytes_are_lent_and_given_back(rt, request, transport):
    push, pull = await rt.link("PUSH", "PULL", request.getfixturevalue(transport))
    data = bytes(LARGE)
    before = references(data)
    await push.send(data)
    await push.send_multipart([data, b"small", data])
    await push.send_many([data, data])
    assert transport == "tcp" or references(data) > before  # tcp may be done with them already
    assert await pull.recv_all() == data
    assert await pull.recv_multipart() == [data, b"small", data]
    assert await pull.recv_all() == await pull.recv_all() == data
    await rt.until(lambda: references(data) == before, "the references to come back")


def references(data):
    """How many there are, when all that libzmq has given back is dropped."""
    assert zmqsocket.Tracker().done  # to ask is to collect
    return sys.getrefcount(data)


@behaviour
async def test_what_could_not_be_sent_is_given_back_at_once(rt):
    push = rt.new("PUSH")
    data, buffer = bytes(LARGE), bytearray(LARGE)
    before = references(data)
    for call in (
        lambda: push.send(data, timeout=0),
        lambda: push.send_multipart([data, data], timeout=0),
        lambda: push.send_many([data], timeout=0),
        lambda: push.send(buffer, timeout=0, copy=False),
        lambda: push.send(buffer, timeout=0.001, copy=False),
        lambda: push.send_multipart([buffer, buffer], timeout=0, copy=False),
    ):
        with pytest.raises(Timeout):
            await call()
    assert references(data) == before
    gc.collect()
    buffer.append(1)  # nobody holds it


@behaviour
async def test_the_tracker_of_a_part_that_is_kept(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://kept")
    buffer = bytearray(b"first")
    tracker = await push.send(buffer, True, copy=False)
    assert not tracker.done
    with pytest.raises(BufferError):
        buffer.pop()
    last = await push.send(b"last", copy=False)
    assert await pull.recv_multipart() == [b"first", b"last"]
    await left(rt, tracker)
    await left(rt, last)
    buffer.pop()


@pytest.mark.parametrize("size", [0, 5, 32, 33, 64, 9000, LARGE])
@behaviour
async def test_every_way_to_receive_lets_go_of_what_was_lent(rt, size):
    push, pull = await rt.link("PUSH", "PULL", "inproc://ways")
    into = bytearray(LARGE)
    for receive in (
        pull.recv,
        pull.recv_all,
        pull.recv_multipart,
        lambda: pull.recv_many(1),
        pull.recv_frame,
        pull.recv_frames,
        lambda: pull.recv_into(into),
    ):
        buffer = bytearray(size)
        tracker = await push.send(buffer, copy=False)
        await receive()
        assert tracker.done
        buffer.append(1)  # nobody holds it


@behaviour
async def test_several_wait_for_one_tracker(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://several")
    tracker = await push.send(bytearray(LARGE), copy=False)
    started = []

    async def waiter():
        started.append(True)
        await left(rt, tracker)
        assert tracker.done

    tasks = [rt.spawn(waiter()) for _ in range(3)]
    await rt.until(lambda: len(started) == 3, "all to wait")
    for _ in range(5):
        await rt.turn()
    assert not tracker.done
    await pull.recv_all()
    for task in tasks:
        await rt.join(task)


@pytest.mark.parametrize("where", ["__init__", "detach"])
def test_who_waits_while_another_begins_to_wait_uses_the_same_descriptor(monkeypatch, where):
    tracker = zmqsocket.Tracker()
    fds = []

    def make(real):
        class Wakeup(real):
            """To make one, or to take its descriptors, lets other threads run."""

            def __init__(self):
                super().__init__()
                fds.append(self.fileno())
                self.others_run("__init__")

            def detach(self):
                self.others_run("detach")
                return super().detach()

            def others_run(self, here):
                if here == where and len(fds) == 1:
                    assert tracker.fileno() == fds[1]

        return Wakeup

    around_wakeup(monkeypatch, make)
    assert tracker.fileno() == fds[1]
    assert select.select([tracker], [], [], 0)[0]  # nothing is lent


@behaviour
async def test_a_dropped_socket_gives_back_what_it_was_lent(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://dropped", {"linger": 0})
    buffer = bytearray(LARGE)
    tracker = await push.send(buffer, copy=False)
    kept = await push.send(bytearray(b"never the last"), True, copy=False)
    push.close(0)
    pull.close(0)
    await left(rt, tracker)
    await left(rt, kept)
    buffer.pop()


def test_a_call_that_the_collector_finds_gives_back_what_it_was_lent(inproc):
    with ratchet.asyncio.new("PUSH") as push, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it was never awaited
        for lend in (
            lambda buffer: push.send(buffer, copy=False),
            lambda buffer: push.send_multipart([b"first", buffer], copy=False),
            push.recv_into,
        ):
            buffer = bytearray(LARGE)
            cycle = [asyncio.run(made(lend, buffer))]
            cycle.append(cycle)
            del cycle
            gc.collect()
            buffer.append(1)  # nobody holds it


async def made(call, *args):
    return [call(*args)]


@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
@behaviour
async def test_frames(rt, request, transport):
    push, pull = await rt.link("PUSH", "PULL", request.getfixturevalue(transport))
    for size in (0, 5, 33, 1000, 50_000, LARGE):
        data = bytes(range(256)) * (size // 256 + 1)
        await push.send(data[:size])
        frame = await pull.recv_frame()
        view = memoryview(frame)
        assert view.readonly
        assert view == data[:size] == frame.bytes == bytes(frame)
        assert len(frame) == size
        assert not frame.more
        assert f"of {size} bytes>" in repr(frame)
        if transport == "tcp":
            assert (frame.peer_address, frame.socket_type) == (
                place_of(push.last_endpoint)[0],
                "PUSH",
            )
        if transport == "inproc":
            assert (frame.peer_address, frame.socket_type) == (None, None)
        assert frame.user_id is None
        del frame
        assert view == data[:size]  # the view keeps it


@behaviour
async def test_all_ways_to_receive_share_one_message(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://ways")
    large = bytes(LARGE)
    for _ in range(3):
        await push.send_multipart([b"a", large, b"c", large, b"e"])
    frame = await pull.recv_frame()
    assert (frame.bytes, frame.more) == (b"a", True)
    assert await pull.recv() == (large, True)
    into = bytearray(5)
    assert await pull.recv_into(into) == 1
    assert into == b"c\0\0\0\0"
    assert pull.is_rcvmore()
    rest = await pull.recv_frames()
    assert [(frame.bytes, frame.more) for frame in rest] == [(large, True), (b"e", False)]
    assert not pull.is_rcvmore()
    assert await pull.recv() == (b"a", True)
    frame = await pull.recv_frame()
    assert (frame.bytes, frame.more) == (large, True)
    assert await pull.recv_multipart() == [b"c", large, b"e"]
    assert await pull.recv_into(into) == 1
    assert await pull.recv_all() == large + b"c" + large + b"e"


@behaviour
async def test_a_buffer_too_small_loses_nothing(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://small")
    await push.send(b"four")
    await push.send_multipart([b"first", b"second"])
    with pytest.raises(ValueError, match="a buffer of 3 bytes, and the next part has 4"):
        await pull.recv_into(bytearray(3))
    buffer = bytearray(4)
    assert await pull.recv_into(buffer) == 4
    assert buffer == b"four"
    with pytest.raises(ValueError, match="the next part has 5"):
        await pull.recv_into(bytearray(4))
    assert pull.is_rcvmore()
    assert await pull.recv() == (b"first", True)
    with pytest.raises(ValueError, match="the next part has 6"):
        await pull.recv_into(bytearray(0))
    assert await pull.recv_all() == b"second"


@behaviour
async def test_what_cannot_be_received_into(rt):
    pull = rt.new("PULL")
    for wrong, error in (
        (b"bytes", BufferError),
        ("text", TypeError),
        (5, TypeError),
        (memoryview(bytearray(8))[::2], BufferError),
    ):
        with pytest.raises(error):
            await pull.recv_into(wrong)
    buffer = bytearray(8)
    with pytest.raises(Timeout):
        await pull.recv_into(buffer, timeout=0)
    with pytest.raises(Timeout):
        await pull.recv_frame(timeout=0.001)
    with pytest.raises(Timeout):
        await pull.recv_frames(timeout=0)
    gc.collect()
    buffer.append(1)  # nobody holds it


@behaviour
async def test_what_cannot_be_lent(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://lent")
    for wrong, error in (
        ("text", TypeError),
        (5, TypeError),
        (memoryview(bytearray(8))[::2], BufferError),
    ):
        with pytest.raises(error):
            await push.send(wrong, copy=False)
        with pytest.raises(error):
            await push.send_multipart([b"ok", wrong], copy=False)
    with pytest.raises(Error, match="only receives"):
        await pull.send(bytearray(LARGE), copy=False)
    with pytest.raises(Timeout):
        await pull.recv(timeout=0)


@behaviour
async def test_a_frame_is_sent_on_without_a_copy(rt):
    push, pull = await rt.link("PUSH", "PULL", "inproc://on")
    data = bytes(LARGE)
    await push.send(data)
    frame = await pull.recv_frame()
    tracker = await push.send(frame, copy=False)
    del frame
    assert await pull.recv_all() == data
    await left(rt, tracker)
