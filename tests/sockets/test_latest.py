"""recv_latest and recv_latest_multipart, in every kind of thread."""

import asyncio

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE, MIB, recv_parts
from harness.waiting import LONG, Task

import ratchet
import ratchet.asyncio
from ratchet import Timeout, zmqsocket

FORMS = {
    "joined": (lambda zsock, **given: zsock.recv_latest(**given), b"".join),
    "parts": (lambda zsock, **given: zsock.recv_latest_multipart(**given), list),
}


def every_form(function):
    return pytest.mark.parametrize(("latest", "made"), FORMS.values(), ids=FORMS)(function)


async def there(rt, zsock):
    await rt.until(zsock.is_readable, "a message")


@every_form
@behaviour
async def test_the_newest_of_many(rt, endpoint, latest, made):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    for count in (1, 2, 100):
        for n in range(count):
            await push.send(b"%d" % n)
        found = made([b""])
        while found != made([b"%d" % (count - 1)]):
            found = await latest(pull)  # what was still on its way counts for the next call
        with pytest.raises(Timeout):
            await latest(pull, timeout=0)


@every_form
@behaviour
async def test_over_inproc_one_call_finds_all(rt, inproc, latest, made):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    for n in range(500):
        await push.send_multipart([b"%d" % n, b"", b"x"])
    assert await latest(pull) == made([b"499", b"", b"x"])
    assert not pull.is_rcvmore()
    with pytest.raises(Timeout):
        await pull.recv(timeout=0)


@every_form
@behaviour
async def test_nothing_there(rt, inproc, latest, made):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    with pytest.raises(Timeout):
        await latest(pull, timeout=0)
    with pytest.raises(Timeout):
        await latest(pull, timeout=0.001)

    async def receive():
        return await latest(pull)

    task = rt.spawn(receive())
    await rt.paused(pull, 1)
    await push.send_multipart([b"a", b"b"])
    assert await rt.join(task) == made([b"a", b"b"])


@every_form
@behaviour
async def test_the_sockets_own_timeout(rt, inproc, latest, made):
    pull, _ = await rt.link("PULL", "PUSH", inproc)
    pull.set_timeout(0.001)
    with pytest.raises(Timeout):
        await latest(pull)


@every_form
@behaviour
async def test_in_mid_message(rt, inproc, latest, made):
    """What is left of a message that was begun is a message as well; a newer one goes before."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    await push.send_multipart([b"1", b"2", b"3"])
    assert await pull.recv() == (b"1", True)
    assert await latest(pull) == made([b"2", b"3"])
    assert not pull.is_rcvmore()
    await push.send_multipart([b"1", b"2"])
    assert await pull.recv() == (b"1", True)
    await push.send_multipart([b"3", b"4"])
    assert await latest(pull) == made([b"3", b"4"])
    await push.send_multipart([b"5", b"6"])
    assert await recv_parts(pull) == [b"5", b"6"]


@every_form
@behaviour
async def test_another_callers_message_is_not_touched(rt, inproc, latest, made):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    await push.send_multipart([b"1", b"2"])
    await push.send(b"newest")
    assert await pull.recv() == (b"1", True)

    async def receive():
        return await latest(pull)

    task = rt.spawn(receive())
    await rt.paused(pull, 1)
    assert await pull.recv() == (b"2", False)
    assert await rt.join(task) == made([b"newest"])


@every_form
@behaviour
async def test_large_messages(rt, endpoint, latest, made):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    for parts in ([MIB], [LARGE, b"x", MIB], [b"x", LARGE]):
        await push.send_multipart([b"old"])
        await push.send_multipart(parts)
        found = made([b"old"])
        while found == made([b"old"]):
            found = await latest(pull)
        assert found == made(parts)


@every_form
@behaviour
async def test_what_was_prefetched_before_a_disconnect(rt, tcp, latest, made):
    """disconnect takes in a message whose first part a look has taken, for it would be torn."""
    router, dealer = rt.new("ROUTER"), rt.new("DEALER", routing_id=b"me")
    endpoint = dealer.bind(tcp)
    router.connect(endpoint)
    await dealer.send_multipart([b"a", b"b"])
    await there(rt, router)
    router.disconnect(endpoint)
    assert await latest(router) == made([b"me", b"a", b"b"])
    with pytest.raises(Timeout):
        await latest(router, timeout=0)


@every_form
@behaviour
async def test_a_newer_one_after_the_prefetched(rt, tcp, inproc, latest, made):
    router = rt.new("ROUTER")
    dealer, other = rt.new("DEALER", routing_id=b"me"), rt.new("DEALER", routing_id=b"other")
    endpoint = dealer.bind(tcp)
    other.bind(inproc)
    router.connect(endpoint)
    await dealer.send(b"old")
    await there(rt, router)
    router.disconnect(endpoint)
    router.connect(inproc)
    await other.send(b"new")
    assert await latest(router) == made([b"other", b"new"])


@every_form
@behaviour
async def test_beside_a_sender_that_never_rests(rt, inproc, latest, made):
    """It ends; and each call finds something newer than the one before."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    # An ordinary socket in an OS thread, whatever the runtime: it sends while a call receives.
    plain = getattr(push, "zsock", push)
    blocking = getattr(plain, "sync", plain)
    stop = []

    def send():
        n = 0
        while not stop:
            n += 1
            try:
                blocking.send(b"%d" % n, timeout=0.01)
            except Timeout:
                n -= 1

    sender = Task(send)
    try:
        last = 0
        for _ in range(20):
            found = await latest(pull)
            newer = int(found[0] if made is list else found)
            assert newer > last
            last = newer
            await rt.turn()
    finally:
        stop.append(True)
        sender.value()


@every_form
@behaviour
async def test_request_and_reply_are_refused(rt, inproc, latest, made):
    rep, req = await rt.link("REP", "REQ", inproc)
    for zsock in (rep, req):
        with pytest.raises(ratchet.Error, match="DEALER or ROUTER") as caught:
            await latest(zsock, timeout=0)
        assert caught.value.code == "ENOTSUP"
    await req.send(b"q")
    assert await rep.recv_all() == b"q"


@every_form
@behaviour
async def test_a_socket_that_only_sends(rt, inproc, latest, made):
    _, push = await rt.link("PULL", "PUSH", inproc)
    with pytest.raises(ratchet.Error):
        await latest(push, timeout=0)


@every_form
@behaviour
async def test_conflate(rt, inproc, latest, made):
    """libzmq has dropped the older ones then."""
    pull, push = await rt.link("PULL", "PUSH", inproc, {"conflate": True}, {"conflate": True})
    for n in range(10):
        await push.send(b"%d" % n)
    await there(rt, pull)
    assert await latest(pull) == made([b"9"])


@every_form
@behaviour
async def test_router_and_sub(rt, inproc, latest, made):
    """The parts of the last message, and none of an older one."""
    router, dealer = await rt.link("ROUTER", "DEALER", inproc, {}, {"routing_id": b"me"})
    for n in range(5):
        await dealer.send_multipart([b"%d" % n] * (5 - n))
    assert await latest(router) == made([b"me", b"4"])
    pub, sub = await rt.link("PUB", "SUB", inproc + "2", {}, {"subscribe": b""})
    found = None
    while found is None:
        await pub.send(b"first")
        try:
            found = await latest(sub, timeout=0.001)
        except Timeout:
            pass
    await pub.send(b"old")
    await pub.send(b"new")
    assert await latest(sub) == made([b"new"])


@every_form
@behaviour
async def test_closed(rt, inproc, latest, made):
    pull, _ = await rt.link("PULL", "PUSH", inproc)

    async def receive():
        await latest(pull)

    task = rt.spawn(receive())
    await rt.paused(pull, 1)
    pull.close()
    with pytest.raises(ratchet.ClosedError):
        await rt.join(task)
    with pytest.raises(ratchet.ClosedError):
        await latest(pull)


@every_form
@behaviour
async def test_who_is_stopped_has_taken_nothing(rt, inproc, latest, made):
    if not rt.stops:
        pytest.skip("nothing ends an OS thread from outside")
    pull, push = await rt.link("PULL", "PUSH", inproc)

    got = []

    async def receive():
        got.append(await latest(pull))

    task = rt.spawn(receive())
    await rt.paused(pull, 1)
    await push.send(b"kept")
    await rt.stop(task)
    if not got:  # trio's cancel is too late for a task that has been woken: it has its message
        got.append(await latest(pull, timeout=LONG))
    assert got == [made([b"kept"])]


def test_the_order_of_calls(inproc):
    """A call that waits has its turn before one that comes later, though that wants the newest."""

    async def main():
        with ratchet.asyncio.new("PULL") as pull, zmqsocket.new("PUSH") as push:
            pull.bind(inproc)
            push.connect(inproc)
            tasks = [asyncio.create_task(make()) for make in (pull.recv_all, pull.recv_latest)]
            await asyncio.sleep(0)
            for n in range(5):
                push.send(b"%d" % n)
            assert await asyncio.gather(*tasks) == [b"0", b"4"]

    asyncio.run(main())
