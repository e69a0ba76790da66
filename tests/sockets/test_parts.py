"""One caller: messages and their parts in every way out and in, iteration, timeouts."""

import gc
import math
import socket
import time
import weakref

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE, MIB, afill, recv_parts, send_parts
from harness.waiting import LONG, SHORT

from ratchet import Timeout

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


async def absent(rt, type, endpoint, **options):
    """A socket connected to an endpoint nobody is bound to, and that endpoint."""
    if endpoint.startswith("tcp:"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    zsock = rt.new(type, reconnect_ivl=SHORT, **options)
    zsock.connect(endpoint)
    return zsock, endpoint


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
async def test_many_after_all_was_taken(rt, endpoint):
    """What comes after a recv_many that took all is found, whatever has answered the bell."""
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    number = 0
    for answers in (None, pull.is_readable, lambda: pull.type, lambda: pull.events) * 3:
        await push.send(b"all")
        assert await pull.recv_many(9) == [b"all"]  # now it is empty
        sent = [b"%d" % (number + i) for i in range(4)]
        number += 4
        await push.send_many(sent)
        found = []
        while answers is not None and not pull.is_readable():
            await rt.sleep(0)
        if answers is not None:
            answers()
        while len(found) < len(sent):  # the bell rings no more for what is left behind
            found += await pull.recv_many(3, timeout=None)
        assert found == sent


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
            assert least <= time.monotonic() - began < LONG / 2
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
async def test_a_full_queue(rt, endpoint):
    """With no peer, sends pause at the high-water mark; what was taken arrives, and only that."""
    push, where = await absent(rt, "PUSH", endpoint, sndhwm=3)
    taken = await afill(push)
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
    taken = await afill(push)
    task = rt.spawn(push.send(b"paused"))
    await rt.paused(push, 1)
    pull = rt.new("PULL")
    pull.bind(where)
    assert await rt.join(task) is None
    assert [await pull.recv_all() for _ in range(taken + 1)][-1] == b"paused"
