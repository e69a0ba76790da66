"""proxy: whole messages both ways, none lost whatever ends it, in every kind of thread."""

import importlib
import socket
import threading

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE, MIB, afill
from harness.waiting import LONG, SHORT, Task

import ratchet
import ratchet.asyncio
from ratchet import ProxyStats, Timeout


def plain(zsock):
    """The socket of ratchet's, of one of the harness's own."""
    return getattr(zsock, "zsock", zsock)


def proxying(rt, *sockets):
    """Run a proxy in a thread of this runtime; returns its task."""
    sockets = [plain(zsock) for zsock in sockets]
    module = ratchet if not rt.awaits else importlib.import_module(rt.module)

    async def run():
        found = module.proxy(*sockets)
        return await found if rt.awaits else found

    return rt.spawn(run())


async def sides(rt, front, back, inproc, **options):
    """Make the two sockets of a proxy and bind them; returns both, and their endpoints."""
    made = rt.new(front, **options), rt.new(back)
    ends = inproc + "/front", inproc + "/back"
    for zsock, endpoint in zip(made, ends, strict=True):
        zsock.bind(endpoint)
    return *made, *ends


async def peer(rt, type, endpoint, **options):
    zsock = rt.new(type, **options)
    zsock.connect(endpoint)
    return zsock


@behaviour
async def test_router_and_dealer(rt, endpoint):
    front, back = rt.new("ROUTER"), rt.new("DEALER")
    front.bind(endpoint)
    back.bind("tcp://127.0.0.1:*")
    task = proxying(rt, front, back)
    clients = [await peer(rt, "REQ", front.last_endpoint) for _ in range(3)]
    rep = await peer(rt, "REP", back.last_endpoint)

    async def serve():
        for _ in range(30):
            await rep.send_multipart([b"re", *await rep.recv_multipart()])

    server = rt.spawn(serve())
    for n in range(10):
        for client in clients:
            await client.send_multipart([b"%d" % n, LARGE if n == 5 else b"x"])
        for client in clients:
            assert (await client.recv_multipart())[:2] == [b"re", b"%d" % n]
    await rt.join(server)
    front.close()
    stats = await rt.join(task)
    assert isinstance(stats, ProxyStats)
    assert stats.frontend_messages == stats.backend_messages == 30
    assert stats.backend_bytes == stats.frontend_bytes + 2 * 30
    assert stats.dropped == 0


@behaviour
async def test_push_and_pull_in_order(rt, inproc):
    front, back, here, there = await sides(rt, "PULL", "PUSH", inproc)
    push, pull = await peer(rt, "PUSH", here), await peer(rt, "PULL", there)
    task = proxying(rt, front, back)
    sent = [[b"%d" % n] * (1 + n % 12) for n in range(1000)]

    async def send():
        for parts in sent:
            await push.send_multipart(parts)

    sender = rt.spawn(send())
    for parts in sent:
        assert await pull.recv_multipart() == parts
    await rt.join(sender)
    back.close()
    stats = await rt.join(task)
    size = sum(len(part) for parts in sent for part in parts)
    assert stats == (1000, size, 0, 0, 0)


@behaviour
async def test_publishers_and_subscribers(rt, inproc):
    """Subscriptions go one way, what is published the other."""
    front, back, here, there = await sides(rt, "XSUB", "XPUB", inproc)
    task = proxying(rt, front, back)
    pub, sub = await peer(rt, "XPUB", here), await peer(rt, "SUB", there, subscribe=b"a")
    assert await pub.recv_all() == b"\x01a"
    for word in (b"b1", b"a1", b"a2"):
        await pub.send(word)
    assert await sub.recv_all() == b"a1"
    assert await sub.recv_all() == b"a2"
    sub.unsubscribe(b"a")
    assert await pub.recv_all() == b"\x00a"
    front.close()
    assert (await rt.join(task))[:4] == (2, 4, 2, 4)


@behaviour
async def test_other_pairs(rt, inproc):
    cases = [
        ("PAIR", "PAIR", "PAIR", "PAIR"),
        ("DEALER", "DEALER", "DEALER", "DEALER"),
        ("REP", "REQ", "REQ", "REP"),
        ("SUB", "PUB", "XPUB", "SUB"),
        ("PULL", "PUB", "PUSH", "SUB"),
        ("SUB", "PUSH", "XPUB", "PULL"),
        ("DEALER", "PAIR", "PAIR", "DEALER"),
    ]
    everything = {"subscribe": b""}
    for n, types in enumerate(cases):
        options = everything if types[0] == "SUB" else {}
        front, back, here, there = await sides(rt, *types[:2], f"{inproc}/{n}", **options)
        near = await peer(rt, types[2], here)
        far = await peer(rt, types[3], there, **(everything if types[3] == "SUB" else {}))
        task = proxying(rt, front, back)
        if near.type == "XPUB":
            assert await near.recv_all() == b"\x01"
        await near.send_multipart([b"ask", MIB])
        assert await far.recv_multipart() == [b"ask", MIB]
        if far.type in ("PAIR", "DEALER", "REP"):
            await far.send_multipart([b"answer", b""])
            assert await near.recv_multipart() == [b"answer", b""]
        front.close()
        await rt.join(task)


@behaviour
async def test_an_echo(rt, inproc):
    front, dealer = await rt.link("ROUTER", "DEALER", inproc)
    task = proxying(rt, front, front)
    for n in range(300):
        await dealer.send_multipart([b"%d" % n, b"x"])
    for n in range(300):
        assert await dealer.recv_multipart() == [b"%d" % n, b"x"]
    front.close()
    assert (await rt.join(task)).frontend_messages == 300


@behaviour
async def test_an_echo_of_plain_tcp(rt):
    """A STREAM's notices that a client came or left are not sent back: that would disconnect it."""
    stream = rt.new("STREAM")
    host, _, port = stream.bind("tcp://127.0.0.1:*").removeprefix("tcp://").rpartition(":")
    task = proxying(rt, stream, stream)

    def client():
        with socket.create_connection((host, int(port)), timeout=LONG) as connection:
            for word in (b"one", b"two"):
                connection.sendall(word)
                got = b""
                while len(got) < len(word):
                    more = connection.recv(100)
                    assert more, "the proxy has disconnected it"
                    got += more
                assert got == word

    for _ in range(2):
        talk = Task(client)
        await rt.until(lambda talk=talk: not talk.is_alive())
        talk.value()
    stream.close()
    assert (await rt.join(task)).dropped == 0


@behaviour
async def test_an_echo_of_requests(rt, endpoint):
    """A REP has no room before it has received, and always after."""
    rep = rt.new("REP")
    rep.bind(endpoint)
    task = proxying(rt, rep, rep)
    clients = [await peer(rt, "REQ", rep.last_endpoint) for _ in range(2)]
    for _ in range(3):
        for client in clients:
            await client.send_multipart([b"a", b"b"])
        for client in clients:
            assert await client.recv_multipart() == [b"a", b"b"]
    rep.close()
    assert (await rt.join(task)).frontend_messages == 6


@behaviour
async def test_stream_before_dealer(rt, inproc):
    stream, back = rt.new("STREAM"), rt.new("DEALER")
    host, _, port = stream.bind("tcp://127.0.0.1:*").removeprefix("tcp://").rpartition(":")
    back.bind(inproc)
    server = await peer(rt, "DEALER", inproc)
    task = proxying(rt, stream, back)
    with socket.create_connection((host, int(port)), timeout=LONG) as connection:
        connection.sendall(b"hello")
        name, notice = await server.recv_multipart()
        assert notice == b""
        assert await server.recv_multipart() == [name, b"hello"]
        await server.send_multipart([name, b"bye"])
        await server.send_multipart([name, b"of", b"three parts: dropped"])
        got = Task(connection.recv, 3)
        await rt.until(lambda: not got.is_alive())
        assert got.value() == b"bye"
    assert (await server.recv_multipart())[1] == b""
    stream.close()
    assert (await rt.join(task)).dropped == 1


@behaviour
async def test_a_side_is_read_only_when_the_other_has_room(rt, inproc):
    front, back, here, there = await sides(rt, "PULL", "PUSH", inproc)
    push = await peer(rt, "PUSH", here)
    await push.send(b"first")
    task = proxying(rt, front, back)
    await rt.sleep(0.02)
    assert front.is_readable(), "it was taken although nobody could have it"
    pull = await peer(rt, "PULL", there)
    assert await pull.recv_all() == b"first"
    back.close()
    assert await rt.join(task) == (1, 5, 0, 0, 0)


@behaviour
async def test_pressure_from_behind(rt, inproc):
    """A receiver that does not receive holds its sender up, and nothing is lost."""
    front, back = rt.new("PULL", rcvhwm=2), rt.new("PUSH", sndhwm=2)
    front.bind(inproc)
    back.bind(inproc + "2")
    push = await peer(rt, "PUSH", inproc, sndhwm=2)
    pull = await peer(rt, "PULL", inproc + "2", rcvhwm=2)
    task = proxying(rt, front, back)
    sent = await afill(push)
    while True:  # what the proxy has moved meanwhile has made room
        await rt.sleep(0.02)
        try:
            await push.send(b"%d" % sent, timeout=0)
        except Timeout:
            break
        sent += 1
    assert sent < 30
    for n in range(sent):
        assert await pull.recv_all() == b"%d" % n
    front.close()
    assert (await rt.join(task)).frontend_messages == sent


@behaviour
async def test_both_ways_one_of_them_full(rt, inproc):
    """What is full one way holds up nothing the other way."""
    front, back, here, there = await sides(rt, "DEALER", "DEALER", inproc)
    near = await peer(rt, "DEALER", here, sndhwm=5)
    far = await peer(rt, "DEALER", there, rcvhwm=5)
    task = proxying(rt, front, back)
    sent = await afill(near)
    for n in range(500):
        await far.send(b"%d" % n)
        assert await near.recv_all() == b"%d" % n
    for n in range(sent):
        assert await far.recv_all() == b"%d" % n
    front.close()
    await rt.join(task)


@behaviour
async def test_a_client_that_has_left(rt, inproc):
    """Its answer is dropped and counted; a ROUTER that would raise does not end the proxy."""
    front, back, here, there = await sides(rt, "ROUTER", "DEALER", inproc)
    assert front.router_mandatory
    worker = await peer(rt, "DEALER", there)
    client = await peer(rt, "DEALER", here)
    task = proxying(rt, front, back)
    await worker.send_multipart([b"nobody", b"x"])
    await worker.send(b"of one part")
    await client.send(b"ask")
    name, data = await worker.recv_multipart()
    assert data == b"ask"
    await worker.send_multipart([name, b"answer"])
    assert await client.recv_all() == b"answer"
    back.close()
    stats = await rt.join(task)
    assert stats.dropped == 2
    assert stats.backend_messages == 3


@behaviour
async def test_a_full_client_that_receives_again_or_leaves(rt, inproc):
    front, back = rt.new("ROUTER", sndhwm=2), rt.new("DEALER")
    front.bind(inproc)
    back.bind(inproc + "2")
    worker = await peer(rt, "DEALER", inproc + "2")
    slow = await peer(rt, "DEALER", inproc, routing_id=b"slow", rcvhwm=2)
    quick = await peer(rt, "DEALER", inproc, routing_id=b"quick")
    task = proxying(rt, front, back)
    for n in range(10):
        await worker.send_multipart([b"slow", b"%d" % n])
    await worker.send_multipart([b"quick", b"1"])
    for n in range(10):
        assert await slow.recv_all() == b"%d" % n
    assert await quick.recv_all() == b"1"
    for n in range(10):
        await worker.send_multipart([b"slow", b"%d" % n])
    await worker.send_multipart([b"quick", b"2"])
    slow.close(linger=0)
    assert await quick.recv_all() == b"2"
    front.close()
    assert (await rt.join(task)).dropped > 0


@behaviour
async def test_a_capture(rt, inproc):
    front, back, here, there = await sides(rt, "ROUTER", "DEALER", inproc)
    capture = rt.new("PUSH", sndhwm=10)
    capture.bind(inproc + "/capture")
    client = await peer(rt, "DEALER", here, routing_id=b"me")
    worker = await peer(rt, "DEALER", there)
    task = proxying(rt, front, back, capture)
    await client.send(b"not seen")  # nobody takes the copies yet
    await worker.recv_multipart()
    spy = await peer(rt, "PULL", inproc + "/capture", rcvhwm=10)
    await client.send_multipart([b"ask", LARGE])
    assert await worker.recv_multipart() == [b"me", b"ask", LARGE]
    await worker.send_multipart([b"me", b"answer"])
    assert await client.recv_all() == b"answer"
    assert await spy.recv_multipart() == [b"me", b"ask", LARGE]
    assert await spy.recv_multipart() == [b"me", b"answer"]
    for n in range(100):
        await client.send(b"%d" % n)
        assert await worker.recv_multipart() == [b"me", b"%d" % n]
    for n in range(10):
        assert await spy.recv_multipart() == [b"me", b"%d" % n]
    front.close()
    await rt.join(task)


@behaviour
async def test_close_of_any_of_them_ends_it(rt, inproc):
    for n in range(3):
        front, back, here, there = await sides(rt, "PULL", "PUSH", f"{inproc}/{n}")
        capture = rt.new("PUB")
        task = proxying(rt, front, back, capture)
        push, pull = await peer(rt, "PUSH", here), await peer(rt, "PULL", there)
        await push.send(b"x")
        assert await pull.recv_all() == b"x"
        (front, back, capture)[n].close()
        assert await rt.join(task) == (1, 1, 0, 0, 0)
    with pytest.raises(ratchet.ClosedError):
        await rt.join(proxying(rt, front, capture))


@behaviour
async def test_who_is_stopped_hands_back_what_it_took(rt, inproc):
    """Killed or cancelled with a message in hand, it leaves it to the next that receives there."""
    if not rt.stops:
        pytest.skip("nothing ends an OS thread from outside")
    front, back = rt.new("DEALER"), rt.new("ROUTER", sndhwm=1)
    front.bind(inproc)
    back.bind(inproc + "2")
    near = await peer(rt, "DEALER", inproc)
    far = await peer(rt, "DEALER", inproc + "2", routing_id=b"far", rcvhwm=1)
    task = proxying(rt, front, back)
    for n in range(20):
        await near.send_multipart([b"far", b"%d" % n])
    await rt.sleep(0.02)
    await rt.stop(task)
    got = []
    while True:
        try:
            got.append(await far.recv_all(timeout=0.1))
        except Timeout:
            break
    while len(got) < 20:
        got.append((await front.recv_multipart())[1])
    assert got == [b"%d" % n for n in range(20)]


@behaviour
async def test_other_threads_run_beside_a_busy_one(rt, inproc):
    front, back, here, there = await sides(rt, "PULL", "PUSH", inproc)
    push, pull = await peer(rt, "PUSH", here), await peer(rt, "PULL", there)
    sending, receiving = plain(push), plain(pull)
    task = proxying(rt, front, back)
    over = threading.Event()

    def send():
        while not over.is_set():
            try:
                getattr(sending, "sync", sending).send_many([b"x"] * 100, timeout=SHORT)
            except Timeout:
                pass

    def receive():
        while not over.is_set():
            try:
                getattr(receiving, "sync", receiving).recv_many(100, timeout=SHORT)
            except Timeout:
                pass

    threads = [Task(send), Task(receive)]
    try:
        for _ in range(20):
            await rt.sleep(0.001)
    finally:
        over.set()
        for thread in threads:
            thread.value()
    front.close()
    assert (await rt.join(task)).frontend_messages > 0


@behaviour
async def test_refused(rt, inproc):
    pull, push = rt.new("PULL"), rt.new("PUSH")
    for sockets, words in (
        ((push, push), "of neither"),
        ((pull, pull), "of neither"),
        ((pull, push, pull), "one of the two"),
        ((pull, push, rt.new("ROUTER")), "cannot be the capture"),
        ((pull, push, rt.new("SUB")), "cannot be the capture"),
    ):
        with pytest.raises(ValueError, match=words):
            await rt.join(proxying(rt, *sockets))
    with pytest.raises(TypeError, match="the backend of a proxy"):
        await rt.join(proxying(rt, pull, None))
    with pytest.raises(TypeError, match="the capture of a proxy"):
        await rt.join(proxying(rt, pull, push, 3))
