"""What sockets do, written once for every kind of thread (see `runtimes.py`)."""

import contextlib
import gc
import math
import re
import select
import socket
import threading
import time
import weakref
from pathlib import Path

import pytest
from runtimes import LONG, behaviour

import ratchet
from ratchet import ClosedError, Error, StateError, Timeout, zmqsocket

MIB = bytes(range(256)) * 4096
LARGE = MIB[:200_000]  # beyond what is copied with the GIL held
SHORT = 0.01  # seconds, for timeouts that are to pass
MESSAGES = [
    [b"one"],
    [b""],
    [b"a", b"b", b"c"],
    [b"", b"", b""],
    [str(n).encode() for n in range(200)],
    [MIB],
    [MIB, b"", LARGE, b"small", MIB],
    [b"small", LARGE],
]


async def recv_parts(zsock, between=None):
    """One message, part by part."""
    parts, more = [], True
    while more:
        if parts and between:
            await between()
        data, more = await zsock.recv()
        assert type(data) is bytes
        assert zsock.is_rcvmore() is more
        parts.append(data)
    return parts


async def send_parts(zsock, parts):
    for part in parts[:-1]:
        assert await zsock.send(part, True) is None
    await zsock.send(parts[-1])


async def absent(rt, type, endpoint, **options):
    """A socket connected to an endpoint nobody is bound to, and that endpoint."""
    if endpoint.startswith("tcp:"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    zsock = rt.new(type, reconnect_ivl=SHORT, **options)
    zsock.connect(endpoint)
    return zsock, endpoint


async def fill(zsock, data=b"%d"):
    """Send until the queue is full; how many went."""
    sent = 0
    while True:
        try:
            await zsock.send(data % sent, timeout=0)
        except Timeout:
            return sent
        sent += 1


# One caller


@behaviour
async def test_parts_in_every_way_out_and_in(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    for parts in MESSAGES:
        for send in (send_parts(push, parts), push.send_multipart(iter(parts))):
            await send
            assert await recv_parts(pull) == parts
            await push.send_multipart(tuple(parts))
            assert await pull.recv_multipart() == parts
            await send_parts(push, parts)
            assert await pull.recv_all() == b"".join(parts)
            await push.send_multipart(parts)
            first, more = await pull.recv()
            assert (first, more) == (parts[0], len(parts) > 1)
            if more:  # in mid-message the rest comes
                assert await pull.recv_multipart() == parts[1:]
                await push.send_multipart(parts)
                await pull.recv()
                assert await pull.recv_all() == b"".join(parts[1:])
    assert not pull.is_rcvmore()


@behaviour
async def test_held_parts_are_finished_by_send_multipart(rt, inproc):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    await push.send(b"1", more=True)
    assert not pull.is_readable()
    await push.send_multipart([b"2", b"3"])
    assert await pull.recv_multipart() == [b"1", b"2", b"3"]


@behaviour
async def test_many(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint, {"rcvhwm": 0}, {"sndhwm": 0})
    assert await push.send_many([]) == 0
    sent = [b"%d" % n for n in range(1000)] + [b"", LARGE, MIB, b"end"]
    assert await push.send_many(iter(sent)) == len(sent)
    got = []
    while len(got) < len(sent):
        some = await pull.recv_many(300)
        assert 1 <= len(some) <= 300
        got += some
    assert got == sent
    await push.send_multipart([b"joined ", b"parts"])
    assert await pull.recv_many(5) == [b"joined parts"]
    if endpoint.startswith("inproc:"):  # there all that was sent is there
        await push.send_many([b"1", b"2", b"3"])
        assert await pull.recv_many(2) == [b"1", b"2"]
        assert await pull.recv_many(2) == [b"3"]


@behaviour
async def test_iteration_until_close(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    got = []

    async def collect():
        async for data in pull:
            got.append(data)  # noqa: PERF401 - seen from outside while it grows
        return "ended"

    task = rt.spawn(collect())
    await rt.paused(pull, 1)
    await push.send_many([b"1", b""])
    await push.send_multipart([b"3", b"4"])
    await rt.until(lambda: len(got) == 3, "three messages")
    await rt.paused(pull, 1)
    pull.close()
    assert await rt.join(task) == "ended"
    assert got == [b"1", b"", b"34"]
    assert [data async for data in pull] == []


@behaviour
async def test_iteration_until_timeout(rt, inproc):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    pull.set_timeout(SHORT)
    await push.send_many([b"1", b"2"])
    got = []
    with pytest.raises(Timeout):  # noqa: PT012
        async for data in pull:
            got.append(data)  # noqa: PERF401 - a comprehension would lose them
    assert got == [b"1", b"2"]


@behaviour
async def test_with_closes_and_repr_tells(rt, inproc):
    async with rt.new("PUSH") as push:
        push.bind(inproc)
        assert all(word in repr(push) for word in ("PUSH", inproc, "open"))
        assert (push.type, push.closed, push.last_endpoint) == ("PUSH", False, inproc)
    assert push.closed
    assert all(word in repr(push) for word in ("PUSH", "closed"))
    push.close()
    push.close(linger=0)


@behaviour
async def test_a_socket_is_let_go(rt, inproc):
    """Who waited for whose message is forgotten with the message: a closed socket can be freed."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    await push.send_multipart([b"1", b"2"])
    await pull.recv()
    zsock = weakref.ref(pull)

    async def now():
        with pytest.raises(Timeout):
            await zsock().recv(timeout=0)

    await rt.join(rt.spawn(now()))
    await pull.recv()
    gone = weakref.ref(getattr(pull, "zsock", pull))
    pull.close()
    rt.sockets.remove(pull)
    rt.tasks.clear()
    del pull
    gc.collect()
    assert gone() is None


# Timeouts


@behaviour
async def test_timeout_of_the_socket_and_of_the_call(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    calls = [pull.recv, pull.recv_all, pull.recv_multipart, lambda **k: pull.recv_many(9, **k)]
    for call in calls:
        for own, given, least in ((SHORT, {}, SHORT), (LONG, {"timeout": SHORT}, SHORT)):
            pull.set_timeout(own)
            assert pull.get_timeout() == own
            began = time.monotonic()
            with pytest.raises(Timeout) as caught:
                await call(**given)
            assert least <= time.monotonic() - began < least + 1
            assert caught.value.code == "ETIMEDOUT"
            assert isinstance(caught.value, TimeoutError)
        with pytest.raises(Timeout):
            await call(timeout=0)
        await push.send(b"still works")
        assert b"still works" in str(await call()).encode()
    # Now or never takes what is there.
    await push.send(b"now")
    await rt.until(pull.is_readable)
    assert await pull.recv(timeout=0) == (b"now", False)


@behaviour
async def test_no_timeout(rt, inproc):
    """None, negative and infinite mean for ever, on the socket and on the call."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    for forever in (None, -1, -0.5, math.inf):
        for own, given in ((SHORT, {"timeout": forever}), (forever, {})):
            pull.set_timeout(own)
            assert pull.get_timeout() == (own if own == SHORT else None)
            task = rt.spawn(pull.recv(**given))
            await rt.paused(pull, 1)
            began = time.monotonic()
            await rt.until(lambda since=began: time.monotonic() > since + 2 * SHORT)
            await push.send(b"late")
            assert await rt.join(task) == (b"late", False)


@behaviour
async def test_nothing_is_lost_to_timeouts(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    sent = [b"%d" % n for n in range(200)]

    async def sender():
        for n, data in enumerate(sent):
            await (push.send(data) if n % 3 else push.send_multipart([data, b""]))
            for _ in range(n % 4):  # sometimes it is late
                await rt.turn()

    task = rt.spawn(sender())
    got, timeouts = [], 0
    while len(got) < len(sent):
        try:
            got.append(await pull.recv_all(timeout=0 if len(got) % 2 else 0.0002))
        except Timeout:
            timeouts += 1
            await rt.turn()
    await rt.join(task)
    assert got == sent
    assert timeouts


@behaviour
async def test_a_full_queue(rt, endpoint):
    """With no peer, sends pause at the high-water mark; what was taken arrives, and only that."""
    push, where = await absent(rt, "PUSH", endpoint, sndhwm=3)
    taken = await fill(push)
    assert taken >= 1
    assert not push.is_writable()
    for call, data, timeout in (
        (push.send, b"x", SHORT),
        (push.send, LARGE, SHORT),
        (push.send, bytearray(b"x"), SHORT),
        (push.send_multipart, [b"x", LARGE], SHORT),
        (push.send_many, [b"x"], SHORT),
        (push.send, b"x", 0),
    ):
        with pytest.raises(Timeout) as caught:
            await call(data, timeout=timeout)
        assert caught.value.taken == 0
    push.set_timeout(SHORT)
    with pytest.raises(Timeout):
        await push.send(b"x")
    await push.send(b"first part", True)
    with pytest.raises(Timeout):
        await push.send(b"second part")  # the first is still kept
    pull = rt.new("PULL")
    pull.bind(where)
    await push.send(b"second part", timeout=LONG)
    assert [await pull.recv_all() for _ in range(taken)] == [b"%d" % n for n in range(taken)]
    assert await pull.recv_multipart() == [b"first part", b"second part"]
    with pytest.raises(Timeout):
        await pull.recv(timeout=SHORT)


@pytest.mark.parametrize("limit", [0, SHORT])
@behaviour
async def test_taken_of_send_many(rt, endpoint, limit):
    push, where = await absent(rt, "PUSH", endpoint, sndhwm=3)
    with pytest.raises(Timeout) as caught:
        await push.send_many([b"%d" % n for n in range(2000)], timeout=limit)
    taken = caught.value.taken
    assert 1 <= taken < 2000
    pull = rt.new("PULL")
    pull.bind(where)
    assert [await pull.recv_all() for _ in range(taken)] == [b"%d" % n for n in range(taken)]
    with pytest.raises(Timeout):
        await pull.recv(timeout=SHORT)


@behaviour
async def test_send_many_through_a_small_queue(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint, {"rcvhwm": 2}, {"sndhwm": 2})
    sent = [b"%d" % n * 100 for n in range(1500)]
    task = rt.spawn(push.send_many(sent))
    got = []
    while len(got) < len(sent):
        got += await pull.recv_many(7)
    assert got == sent
    assert await rt.join(task) == len(sent)


@behaviour
async def test_a_paused_send_goes_on_when_there_is_room(rt, endpoint):
    push, where = await absent(rt, "PUSH", endpoint, sndhwm=2)
    taken = await fill(push)
    task = rt.spawn(push.send(b"paused"))
    await rt.paused(push, 1)
    pull = rt.new("PULL")
    pull.bind(where)
    assert await rt.join(task) is None
    assert [await pull.recv_all() for _ in range(taken + 1)][-1] == b"paused"


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
    first = rt.spawn(pull.recv(timeout=5 * SHORT))
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
async def test_senders_and_receivers_both_ways(rt, endpoint):
    """A sender on a socket answers its bell: the receivers beside it must still be woken."""
    one, two = await rt.link("DEALER", "DEALER", endpoint)
    each, names = 400, range(2)

    async def send(zsock, name):
        for n in range(each):
            await zsock.send(b"%d %d" % (name, n))

    async def recv(zsock):
        return [await zsock.recv_all() for _ in range(each)]

    tasks = [rt.spawn(recv(zsock)) for zsock in (one, two) for _ in names]
    senders = [rt.spawn(send(zsock, name)) for name in names for zsock in (two, one)]
    for task in senders:
        await rt.join(task)
    got = [await rt.join(task) for task in tasks]
    for pair in (got[:2], got[2:]):
        assert sorted(pair[0] + pair[1]) == sorted(
            b"%d %d" % (k, n) for k in names for n in range(each)
        )


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
    assert pair.waiting == 0


@behaviour
async def test_close_from_among_the_users(rt, endpoint):
    """Senders, receivers and a closer at work at the same time: an error for each, and no crash."""
    for n in range(5):  # an ipc endpoint is free again only when libzmq gets to it
        fresh = endpoint.replace("inproc://", f"inproc://{n}").replace("/s", f"/s{n}")
        pull, push = await rt.link("PULL", "PUSH", fresh)

        async def forever(call):
            with pytest.raises(ClosedError):  # noqa: PT012
                while True:
                    await call()
                    await rt.turn()

        calls = [
            pull.recv,
            lambda pull=pull: pull.recv_many(10),
            lambda push=push: push.send(LARGE),
            lambda push=push: push.send_multipart([b"x", LARGE]),
            lambda push=push: push.send_many([b"x"] * 10),
        ]
        tasks = [rt.spawn(forever(call)) for call in calls]
        await pull.recv()
        for zsock in (pull, push):
            zsock.close(linger=0)
        for task in tasks:
            await rt.join(task)


# Socket types


@behaviour
async def test_req_and_rep_out_of_turn(rt, endpoint):
    rep, req = await rt.link("REP", "REQ", endpoint)

    async def refused(zsock, name, *args):
        with pytest.raises(StateError, match=r"REQ.*req_relaxed") as caught:
            await getattr(zsock, name)(*args, timeout=1)
        assert caught.value.code == "EFSM"

    async def refuses_to_send(zsock):
        for data in (b"x", bytearray(b"x"), LARGE, bytearray(LARGE)):
            await refused(zsock, "send", data)
            await refused(zsock, "send_multipart", [b"x", data])
        await refused(zsock, "send_many", [b"x"])

    async def refuses_to_receive(zsock):
        for name in ("recv", "recv_all", "recv_multipart"):
            await refused(zsock, name)
        await refused(zsock, "recv_many", 2)

    for n in range(2):
        question, answer = [b"q%d" % n, b"?"], [b"a%d" % n]
        await refuses_to_receive(req)
        await refuses_to_send(rep)
        await send_parts(req, question)
        await refuses_to_send(req)
        assert await rep.recv_multipart() == question
        await refuses_to_receive(rep)
        await rep.send_multipart(answer)
        assert await recv_parts(req) == answer


@behaviour
async def test_recv_many_of_req_and_rep(rt, endpoint):
    """A second receive is out of turn: there is never more than one to take, and it is not lost."""
    rep, req = await rt.link("REP", "REQ", endpoint)
    await req.send(b"question")
    assert await rep.recv_many(5) == [b"question"]
    await rep.send(b"answer")
    assert await req.recv_many(5) == [b"answer"]


@behaviour
async def test_send_many_of_req(rt, endpoint):
    rep, req = await rt.link("REP", "REQ", endpoint)
    with pytest.raises(StateError) as caught:
        await req.send_many([b"1", b"2"])
    assert caught.value.taken == 1
    assert await rep.recv() == (b"1", False)


@behaviour
async def test_req_relaxed(rt, endpoint):
    options = {"req_relaxed": True, "req_correlate": True}
    rep, req = await rt.link("REP", "REQ", endpoint, {}, options)
    await req.send(b"1")
    assert await rep.recv() == (b"1", False)
    await req.send(b"2")
    await rep.send(b"answer to 1")
    assert await rep.recv() == (b"2", False)
    await rep.send(b"answer to 2")
    assert await req.recv() == (b"answer to 2", False)


@behaviour
async def test_pub_and_sub(rt, endpoint):
    xpub, sub = await rt.link("XPUB", "SUB", endpoint)
    sub.subscribe(b"a")
    sub.subscribe(bytearray(b"b"))
    assert {await xpub.recv_all(), await xpub.recv_all()} == {b"\1a", b"\1b"}
    await xpub.send_many([b"abc", b"cab", b"b"])
    assert [await sub.recv_all(), await sub.recv_all()] == [b"abc", b"b"]
    sub.unsubscribe(b"a")
    assert await xpub.recv() == (b"\0a", False)
    await xpub.send_many([b"abc", b"bcd"])
    assert await sub.recv() == (b"bcd", False)
    with pytest.raises(Timeout):
        await sub.recv(timeout=0)


@behaviour
async def test_pub_and_xsub(rt, endpoint):
    xpub, xsub = await rt.link("XPUB", "XSUB", endpoint)
    xsub.subscribe(b"a")
    assert await xpub.recv() == (b"\1a", False)
    await xpub.send_multipart([b"a", b"b"])
    assert await xsub.recv_multipart() == [b"a", b"b"]
    xsub.unsubscribe(b"a")
    assert await xpub.recv() == (b"\0a", False)
    pub, sub = rt.new("PUB"), rt.new("SUB", subscribe=[b"news", b"end"])
    pub.bind(endpoint.replace("inproc://", "inproc://2").replace("/s", "/s2"))
    sub.connect(pub.last_endpoint)
    while True:  # no event tells a PUB that someone has subscribed
        await pub.send_many([b"weather", b"news"])
        try:
            assert await sub.recv(timeout=SHORT) == (b"news", False)
        except Timeout:
            continue
        break
    await pub.send(b"end")
    assert {data async for data in until_end(sub)} <= {b"news"}


async def until_end(zsock):
    while (data := await zsock.recv_all()) != b"end":
        yield data


@behaviour
async def test_router_and_dealer(rt, endpoint):
    router = rt.new("ROUTER")
    router.bind(endpoint)
    dealers = {name: rt.new("DEALER", routing_id=name) for name in (b"left", b"right")}
    for name, dealer in dealers.items():
        dealer.connect(router.last_endpoint)
        await dealer.send_multipart([b"hello from", name])
        assert await router.recv_multipart() == [name, b"hello from", name]
    for name, dealer in dealers.items():
        await send_parts(router, [name, b"to", name])
        assert await dealer.recv_multipart() == [b"to", name]
    # Without a name the router makes one up, which begins with a zero byte.
    req = rt.new("REQ")
    req.connect(router.last_endpoint)
    await req.send(b"?")
    name, empty, question = await router.recv_multipart()
    assert (name[0], empty, question) == (0, b"", b"?")
    await router.send_multipart([name, b"", b"!"])
    assert await req.recv() == (b"!", False)


@behaviour
async def test_router_to_nobody(rt, endpoint):
    router, dealer = await rt.link("ROUTER", "DEALER", endpoint, {}, {"routing_id": b"here"})
    await dealer.send(b"hello")
    assert await recv_parts(router) == [b"here", b"hello"]
    for send in (send_parts, lambda zsock, parts: zsock.send_multipart(parts)):
        for data in (b"lost", LARGE):
            with pytest.raises(Error) as caught:
                await send(router, [b"nobody", data, b"lost"])
            assert caught.value.code == "EHOSTUNREACH"
            assert not isinstance(caught.value, Timeout)
            await send(router, [b"here", data])
            assert await dealer.recv() == (data, False)
    router.router_mandatory = False
    await router.send_multipart([b"nobody", b"dropped"])
    await router.send_multipart([b"here", b"last"])
    assert await dealer.recv() == (b"last", False)


@behaviour
async def test_stream_and_a_plain_socket(rt, tcp):
    stream = rt.new("STREAM")
    stream.bind(tcp)
    port = int(stream.last_endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), LONG) as plain:
        name, nothing = await stream.recv_multipart()
        assert nothing == b""
        plain.sendall(b"GET /")
        assert await recv_parts(stream) == [name, b"GET /"]
        await stream.send_multipart([name, b"200 "])
        await send_parts(stream, [name, b"OK"])
        assert plain.makefile("rb").read(6) == b"200 OK"
    assert await stream.recv_multipart() == [name, b""]  # it has gone


@behaviour
async def test_a_message_of_a_stream_has_two_parts(rt, tcp):
    """libzmq takes others, and from one part on it misreads all that follow."""
    stream = rt.new("STREAM")
    stream.bind(tcp)
    port = int(stream.last_endpoint.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), LONG) as plain:
        name, _ = await stream.recv_multipart()
        wrong = [
            lambda: stream.send(name),
            lambda: stream.send(name, timeout=0),
            lambda: stream.send(bytearray(LARGE)),
            lambda: stream.send(name, copy=False),
            lambda: stream.send_multipart([name]),
            lambda: stream.send_multipart([name, b"two", b"three"]),
            lambda: stream.send_multipart([name, b"two", b"three"], copy=False),
            lambda: stream.send_many([name, b"two"]),
            lambda: send_parts(stream, [name, b"two", b"three"]),
        ]
        for number, send in enumerate(wrong):
            with pytest.raises(ValueError, match="it is two, the peer's routing id and the bytes"):
                await send()
            await stream.send_multipart([name, b"%d" % number], timeout=0)
            assert plain.recv(100) == b"%d" % number
        await stream.send(name, True)
        with pytest.raises(ValueError, match="3 parts"):
            await stream.send_multipart([b"two", b"three"])
        await send_parts(stream, [name, b"end"])
        assert plain.recv(100) == b"end"


@behaviour
async def test_pair(rt, endpoint):
    one, two = await rt.link("PAIR", "PAIR", endpoint)
    for here, there in ((one, two), (two, one)):
        await here.send_multipart([b"a", LARGE])
        assert await there.recv_multipart() == [b"a", LARGE]


# Endpoints and state


@behaviour
async def test_wildcard_port_and_several_endpoints(rt, tcp, ipc, inproc):
    pull = rt.new("PULL")
    last = []
    for endpoint in (tcp, tcp, ipc, inproc):
        pull.bind(endpoint)
        last.append(pull.last_endpoint)
    assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d{3,4}", last[0])
    assert last[0] != last[1]
    assert last[2:] == [ipc, inproc]
    for endpoint in last:
        push = rt.new("PUSH")
        assert push.connect(endpoint) is True
        assert push.last_endpoint == endpoint
        await push.send(endpoint.encode())
        assert await pull.recv_all() == endpoint.encode()


@behaviour
async def test_unbind(rt, endpoint):
    one, other = rt.new("PULL"), rt.new("PULL")
    one.bind(endpoint)
    where = one.last_endpoint
    one.unbind(where)
    assert where not in repr(one)
    with pytest.raises(Error) as caught:
        one.unbind(where)
    assert caught.value.code == "ENOENT"

    def free():
        try:
            other.bind(where)
        except Error as error:
            assert error.code == "EADDRINUSE"  # noqa: PT017 - libzmq closes in the background
            return False
        return True

    await rt.until(free, "the endpoint to be free")
    push = rt.new("PUSH")
    push.connect(where)
    await push.send(b"for the other")
    assert await other.recv() == (b"for the other", False)


@behaviour
async def test_unbind_as_it_was_given_to_bind(rt):
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://*:{server.getsockname()[1]}"
    pull = rt.new("PULL")
    pull.bind(endpoint)
    pull.unbind(endpoint)
    assert "bound" not in repr(pull)


@behaviour
async def test_disconnect(rt, endpoint):
    one, push = await rt.link("PULL", "PUSH", endpoint)
    other = rt.new("PULL")
    other.bind(endpoint.replace("inproc://", "inproc://2").replace("/s", "/s2"))
    push.connect(other.last_endpoint)
    await push.send_many([b"1", b"2"])  # round robin
    for zsock in (one, other):
        await zsock.recv()
    push.disconnect(other.last_endpoint)
    assert other.last_endpoint not in repr(push)
    await push.send_many([b"%d" % n for n in range(10)])
    assert [await one.recv_all() for _ in range(10)] == [b"%d" % n for n in range(10)]
    with pytest.raises(Error) as caught:
        push.disconnect(other.last_endpoint)
    assert caught.value.code == "ENOENT"


# What a look reads ahead in, who sends to it, and how many parts are the sender's address.
READ_AHEAD = {"SUB": ("XPUB", 0), "XSUB": ("XPUB", 0), "ROUTER": ("DEALER", 1), "REP": ("REQ", 0)}


async def one_that_reads_ahead(rt, kind, endpoint, n):
    """It, connected to ``n`` that send to it, and those."""
    zsock = rt.new(kind)
    senders = [rt.new(READ_AHEAD[kind][0]) for _ in range(n)]
    for number, sender in enumerate(senders):
        sender.bind(endpoint if n == 1 else f"{endpoint}{number}")
        zsock.connect(sender.last_endpoint)
    if kind in ("SUB", "XSUB"):
        zsock.subscribe(b"")
        for sender in senders:
            await sender.recv()
    return zsock, senders


@pytest.mark.parametrize("kind", READ_AHEAD)
@behaviour
async def test_disconnect_keeps_the_message_that_was_read_ahead(rt, kind, endpoint):
    zsock, (sender,) = await one_that_reads_ahead(rt, kind, endpoint, 1)
    await sender.send_multipart([b"0", LARGE, b"three"])
    await rt.until(zsock.is_readable)
    zsock.disconnect(sender.last_endpoint)
    assert zsock.is_readable()
    if kind == "REP":
        assert not zsock.is_writable()
        with pytest.raises(StateError):  # nobody has received the request
            await zsock.send(b"reply")
    got = await zsock.recv_multipart(timeout=0)
    assert got[READ_AHEAD[kind][1] :] == [b"0", LARGE, b"three"]
    assert not zsock.is_readable()
    with pytest.raises(StateError if kind == "REP" else Timeout):  # that one must reply
        await zsock.recv(timeout=0)


@pytest.mark.parametrize("kind", ["XSUB", "ROUTER"])
@behaviour
async def test_disconnect_in_mid_message_keeps_the_order(rt, kind, inproc):
    zsock, senders = await one_that_reads_ahead(rt, kind, inproc, 5)
    for sender in senders:
        await sender.send_multipart([b"%d" % senders.index(sender), b"end"])
    parts = await recv_some(zsock, READ_AHEAD[kind][1] + 1)
    for sender in senders[:3]:
        assert zsock.is_readable()  # reads the next ahead
        zsock.disconnect(sender.last_endpoint)
    assert parts[-1] + await zsock.recv_all(timeout=0) == b"0end"
    rest = [(await zsock.recv_many(9, timeout=0))[0] for _ in range(2)]
    rest.append(b"".join(frame.bytes for frame in await zsock.recv_frames(timeout=0)))
    rest.append(await zsock.recv_all(timeout=0))
    assert [data[-4:] for data in rest] == [b"1end", b"2end", b"3end", b"4end"]


async def recv_some(zsock, n):
    return [(await zsock.recv())[0] for _ in range(n)]


@pytest.mark.parametrize("hwm", [1, 30])
@behaviour
async def test_a_rep_drops_no_reply_for_which_there_is_room(rt, hwm, inproc):
    rep, req = await rt.link("REP", "REQ", inproc, {"sndhwm": hwm}, {"rcvhwm": 1})
    for n in range(200):
        await req.send(b"%d" % n)
        await rep.send((await rep.recv(timeout=LONG))[0])
        assert await req.recv(timeout=LONG) == (b"%d" % n, False)


@behaviour
async def test_an_identity_is_given_once(rt, endpoint):
    """libzmq aborts while it has not let go of the first connection, and nobody tells when."""
    router, dealer = rt.new("ROUTER"), rt.new("DEALER")
    where = dealer.bind(endpoint)
    for number in range(2):
        router.connect_routing_id = b"%d" % number
        router.connect(where)
        router.connect_routing_id = b"%d" % number
        with pytest.raises(Error, match="is taken"):
            router.connect(where)
        router.disconnect(where)
        with pytest.raises(Error, match="is taken"):
            router.connect(where)


@pytest.mark.parametrize("mandatory", [True, False])
@behaviour
async def test_an_identity_that_a_peer_has_given_itself_is_refused(rt, mandatory, tcp):
    """libzmq aborts on it (router.cpp)."""
    options = {"router_mandatory": mandatory}
    router, dealer = await rt.link("ROUTER", "DEALER", tcp, options, {"routing_id": b"same"})
    await dealer.send(b"here I am")
    assert await router.recv_multipart() == [b"same", b"here I am"]
    other = rt.new("DEALER")
    where = other.bind(tcp)
    router.connect_routing_id = b"same"
    with pytest.raises(Error, match="b'same' is taken"):
        router.connect(where)
    router.connect_routing_id = b"another"
    router.connect(where)
    await router.send_multipart([b"another", b"hello"])
    assert await other.recv() == (b"hello", False)
    with pytest.raises(Error, match="EHOSTUNREACH") if mandatory else contextlib.nullcontext():
        await router.send_multipart([b"nobody", b""])


@pytest.mark.parametrize("name", ["recv", "recv_all"])
def test_a_receive_that_finds_nothing_builds_no_traceback_of_its_own(name):
    with zmqsocket.new("PULL") as pull:
        for _ in range(2):  # the second knows what to say
            with pytest.raises(Timeout) as caught:
                getattr(pull, name)(timeout=0)
            assert len(caught.traceback) == 1


@behaviour
async def test_readable_and_writable(rt, endpoint):
    pull, push = rt.new("PULL"), rt.new("PUSH", sndhwm=1)
    pull.bind(endpoint)
    for zsock in (pull, push):
        assert (zsock.is_readable(), zsock.is_writable(), zsock.is_rcvmore()) == (False,) * 3
    push.connect(pull.last_endpoint)
    await rt.until(push.is_writable)
    await push.send_multipart([b"1", b"2"])
    await rt.until(pull.is_readable)
    await pull.recv()
    assert pull.is_readable()
    assert pull.is_rcvmore()
    await pull.recv()
    assert (pull.is_readable(), pull.is_rcvmore()) == (False, False)


@pytest.mark.parametrize("how", [how for how in ("select", "poll") if hasattr(select, how)])
@behaviour
async def test_the_descriptor(rt, endpoint, how):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    assert pull.get_fd() == pull.fileno()

    def ready():
        if how == "select":
            return select.select([pull.zsock], [], [], LONG)[0]
        poller = select.poll()
        poller.register(pull.zsock, select.POLLIN)
        return poller.poll(LONG * 1000)

    for n in range(20):
        while pull.is_readable():
            await pull.recv()
        await push.send(b"%d" % n)
        while not pull.is_readable():  # looking answers the signal, so the next is for the message
            assert ready(), "the descriptor did not tell"
        assert await pull.recv(timeout=0) == (b"%d" % n, False)


# What is so in OS threads only


def test_the_default_is_for_ever():
    with zmqsocket.new() as zsock:
        assert zsock.get_timeout() is None
        assert zsock.type == "PAIR"


def test_a_thread_that_ends_gives_its_descriptor_back():
    """At once: waiting for the garbage collector, short-lived threads would use them all up."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("counts descriptors in /proc")

    def pause():
        with pytest.raises(Timeout):
            pull.recv(timeout=0.001)

    with zmqsocket.new("PULL") as pull:
        before = len(list(descriptors.iterdir()))
        gc.disable()
        try:
            for _ in range(20):
                thread = threading.Thread(target=pause)
                thread.start()
                thread.join()
            assert len(list(descriptors.iterdir())) <= before + 1
        finally:
            gc.enable()


def test_import_alone_is_enough():
    assert ratchet.zmqsocket is zmqsocket


# What is known to be empty is not asked again, until something may have changed.


@behaviour
async def test_timeout_0_finds_what_came_although_its_ring_was_answered(rt):
    x, y = await rt.link("DEALER", "DEALER", "inproc://now")
    answers = [
        x.is_writable,
        x.is_readable,
        lambda: x.getsockopt("RCVMORE"),
        lambda: x.send(b"anything", timeout=0),
        lambda: None,
    ]
    for number, answer in enumerate(answers):
        for receive in (x.recv, x.recv_all):
            for _ in range(3):
                with pytest.raises(Timeout):
                    await receive(timeout=0)
            await y.send(b"%d" % number)
            if (pausing := answer()) is not None and hasattr(pausing, "__await__"):
                await pausing
            assert b"%d" % number in (got := await receive(timeout=0)) or got == b"%d" % number


@behaviour
async def test_timeout_0_says_which_socket_it_was(rt):
    x = rt.new("PULL")
    with pytest.raises(Timeout, match="PULL socket: nothing came within 0 s") as first:
        await x.recv(timeout=0)
    x.bind("inproc://a")
    with pytest.raises(Timeout, match="PULL socket bound to inproc://a: nothing") as second:
        await x.recv(timeout=0)
    rt.new("PUSH").bind("inproc://b")
    x.connect("inproc://b")
    with pytest.raises(Timeout, match="bound to inproc://a, connected to inproc://b: nothing"):
        await x.recv_all(timeout=0)
    x.unbind("inproc://a")
    with pytest.raises(Timeout, match="PULL socket connected to inproc://b: nothing"):
        await x.recv(timeout=0.0)
    assert second.value is not first.value
    assert second.value.args == (second.value.errno, second.value.strerror)
    assert second.value.code == "ETIMEDOUT"
