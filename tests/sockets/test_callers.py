"""Several callers on one socket: who is served, whose message it is, and close among them."""

import contextlib
import time

import pytest
from harness.behaviour import behaviour
from harness.internals import paused_calls
from harness.sockets import LARGE, recv_parts
from harness.waiting import LONG

from ratchet import ClosedError, Timeout

# Several callers


@behaviour
async def test_first_come_first_served(rt, endpoint):
    receiver, sender = rt.new("PAIR"), rt.new("PAIR")
    receiver.bind(endpoint)
    tasks = []
    for n in range(6):
        tasks.append(rt.spawn(sender.send(b"%d" % n)))
        await rt.paused(sender, n + 1)
    sender.connect(receiver.last_endpoint)
    for n, task in enumerate(tasks):
        await rt.join(task)
        assert await receiver.recv() == (b"%d" % n, False)

    async def recv(n):
        return await [receiver.recv_all, receiver.recv_multipart, receiver.recv][n % 3]()

    tasks = []
    for n in range(6):
        tasks.append(rt.spawn(recv(n)))
        await rt.paused(receiver, n + 1)
    await sender.send_many([b"%d" % n for n in range(6)])
    for n, task in enumerate(tasks):
        data = b"%d" % n
        assert await rt.join(task) == [data, [data], (data, False)][n % 3]


@behaviour
async def test_who_gives_up_leaves_the_queue(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    first = rt.spawn(pull.recv(timeout=LONG / 10))  # seen to pause, on a busy machine too
    await rt.paused(pull, 1)
    second = rt.spawn(pull.recv())
    await rt.paused(pull, 2)
    with pytest.raises(Timeout):
        await rt.join(first)
    await push.send(b"for the second")
    assert await rt.join(second) == (b"for the second", False)


@behaviour
async def test_every_message_to_exactly_one_receiver(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    calls = [
        pull.recv_all,
        lambda: recv_parts(pull),
        pull.recv_multipart,
        lambda: pull.recv_many(5),
    ]
    got = []

    stopped = []

    async def receiver(call):
        while True:
            found = await call()
            found = found if isinstance(found, list) else [found]
            got.extend(found)
            if b"stop" in found:
                stopped.append(call)
                return

    async def sender(name):
        for n in range(300):
            await push.send(b"%d %d" % (name, n))

    receivers = [rt.spawn(receiver(call)) for call in calls]
    for task in [rt.spawn(sender(name)) for name in range(3)]:
        await rt.join(task)
    for n in range(len(receivers)):
        await push.send(b"stop")
        await rt.until(lambda n=n: len(stopped) > n, "a receiver to stop")
    for task in receivers:
        await rt.join(task)
    sent = [b"%d %d" % (name, n) for name in range(3) for n in range(300)]
    assert sorted(got) == sorted(sent + [b"stop"] * len(receivers))


@behaviour
async def test_parts_never_interleave(rt, endpoint, rng):
    """Senders and receivers by part, among others that send and receive whole messages."""
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    names, each = range(4), 60
    filling = [b"", b"x" * 100, LARGE]
    plans = {
        (name, n): rng.choices(filling, (20, 20, 1), k=rng.randint(1, 6))
        for name in names
        for n in range(each)
    }

    def parts_of(name, n):
        tails = plans[name, n]
        return [b"%d %d %d/%d " % (name, n, i, len(tails)) + x for i, x in enumerate(tails)]

    async def sender(name):
        for n in range(each):
            if name % 2:
                await push.send_multipart(parts_of(name, n))
                continue
            for i, part in enumerate(parts := parts_of(name, n)):
                await push.send(part, i < len(parts) - 1)
                await rt.turn()

    async def receiver(k, found):
        while True:
            parts = await (recv_parts(pull) if k % 2 else pull.recv_multipart())
            if parts == [b"stop"]:
                return
            found.append(parts)

    found = []
    receivers = [rt.spawn(receiver(k, found)) for k in range(3)]
    for task in [rt.spawn(sender(name)) for name in names]:
        await rt.join(task)
    await push.send_many([b"stop"] * len(receivers))
    for task in receivers:
        await rt.join(task)
    assert sorted(found) == sorted(parts_of(name, n) for name in names for n in range(each))


@behaviour
async def test_recv_many_leaves_others_their_parts(rt, inproc):
    """A batch of large messages lets other receivers in; what they have begun is theirs."""
    pull, push = await rt.link("PULL", "PUSH", inproc, {"rcvhwm": 0}, {"sndhwm": 0})
    batches, by_part, ended = [], [], []

    async def in_batches():
        while b"stop" not in batches:
            batches.extend(await pull.recv_many(1000))
        ended.append(1)

    async def part_by_part():
        while not by_part or by_part[-1][-1] != b"stop":
            by_part.append(await recv_parts(pull, rt.turn))
        ended.append(1)

    for n in range(40):
        await push.send(LARGE)
        await push.send_multipart([b"%03d" % n] * 3)
    tasks = [rt.spawn(in_batches()), rt.spawn(part_by_part())]
    for n in range(len(tasks)):
        await push.send(b"stop")
        await rt.until(lambda n=n: len(ended) > n, "a receiver to stop")
    for task in tasks:
        await rt.join(task)
    got = batches + [b"".join(parts) for parts in by_part if len(set(parts)) == 1]
    expected = [LARGE] * 40 + [b"%03d" % n * 3 for n in range(40)] + [b"stop"] * 2
    assert sorted(got) == sorted(expected)


@behaviour
async def test_a_message_in_the_making_makes_others_pause(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    await push.send(b"1", True)
    others = []
    for n, call in enumerate(
        [push.send(b"x"), push.send_multipart([b"y", b"y"]), push.send_many([b"z"])]
    ):
        others.append(rt.spawn(call))
        await rt.paused(push, n + 1)
    hasty = rt.spawn(push.send(b"hasty", timeout=0))
    with pytest.raises(Timeout):
        await rt.join(hasty)
    await push.send(b"2", True)
    await push.send(b"3")
    for task in others:
        await rt.join(task)
    expected = [[b"1", b"2", b"3"], [b"x"], [b"y", b"y"], [b"z"]]
    assert [await pull.recv_multipart() for _ in expected] == expected


@behaviour
async def test_a_message_in_the_taking_makes_others_pause(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    await push.send_multipart([b"1", b"2", b"3"])
    await push.send_many([b"x", b"y"])
    assert await pull.recv() == (b"1", True)
    first = rt.spawn(pull.recv())
    await rt.paused(pull, 1)
    second = rt.spawn(pull.recv_many(9))
    await rt.paused(pull, 2)
    assert await pull.recv() == (b"2", True)
    assert await pull.recv() == (b"3", False)
    assert await rt.join(first) == (b"x", False)
    assert await rt.join(second) == [b"y"]


@behaviour
async def test_who_ends_in_mid_message_blocks_nobody(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    for others_wait in (False, True):  # at the end, or come after it
        begun = []

        async def half_sent(begun=begun, wait=others_wait):
            await push.send(b"never", True)
            begun.append("send")
            if wait:
                await rt.paused(push, 1)

        async def half_received(begun=begun, wait=others_wait):
            assert await pull.recv() == (b"1", True)
            begun.append("receive")
            if wait:
                await rt.paused(pull, 1)

        half = rt.spawn(half_sent())
        await (rt.until(lambda begun=begun: begun) if others_wait else rt.join(half))
        await rt.join(rt.spawn(push.send_multipart([b"whole", b"message"])))
        await rt.join(half)
        assert await pull.recv_multipart() == [b"whole", b"message"]

        await push.send_multipart([b"1", b"2", b"3"])
        await push.send(b"next")
        half = rt.spawn(half_received())
        await (rt.until(lambda begun=begun: len(begun) == 2) if others_wait else rt.join(half))
        assert await rt.join(rt.spawn(pull.recv())) == (b"next", False)
        await rt.join(half)


@behaviour
async def test_now_or_never_after_who_ended_in_mid_message(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    await push.send_multipart([b"1", b"2"])
    await push.send(b"next")

    async def half():
        assert await pull.recv() == (b"1", True)

    await rt.join(rt.spawn(half()))
    got = []

    async def ask():
        with contextlib.suppress(Timeout):
            got.append(await pull.recv(timeout=0))

    deadline = time.monotonic() + LONG
    while not got:
        assert time.monotonic() < deadline
        await ask()
        await rt.turn()
    assert got == [(b"next", False)]


@behaviour
async def test_close_wakes_every_paused_caller(rt, endpoint):
    pair = rt.new("PAIR")
    pair.bind(endpoint)
    calls = [
        pair.recv(),
        pair.send(b"x"),
        pair.recv_all(),
        pair.recv_multipart(),
        pair.send_multipart([b"x", b"y"]),
        pair.recv_many(3),
        pair.send_many([b"x"] * 3),
        pair.send(bytearray(LARGE)),
    ]
    tasks = []
    for call in calls:
        tasks.append(rt.spawn(call))
        await rt.paused(pair, len(tasks))
    pair.close()
    for task in tasks:
        with pytest.raises(ClosedError):
            await rt.join(task)
    assert paused_calls(pair) == 0
