"""request: in turn, tried again, and answered by nothing but its own answer."""

import asyncio
import os
import signal
import threading

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE, MIB
from harness.waiting import LONG, SHORT, Task

import ratchet
import ratchet.asyncio
from ratchet import StateError, Timeout, zmqsocket

AGAIN = 0.1  # seconds of a try that is to be in vain


async def serve(rep, count):
    """Answer so many requests, each with what it was."""
    for _ in range(count):
        await rep.send_multipart(await rep.recv_multipart())


def asking(rt, req, *args, **given):
    async def ask():
        return await req.request(*args, **given)

    return rt.spawn(ask())


async def pair(rt, endpoint, other="ROUTER"):
    """Return (server, REQ)."""
    return await rt.link(other, "REQ", endpoint)


async def heard(router):
    """Take the next request at a ROUTER: return the envelope to answer with, and the data."""
    *envelope, data = await router.recv_multipart()
    assert envelope[-1] == b""
    return envelope, data


@behaviour
async def test_bytes_for_bytes_and_a_list_for_a_list(rt, endpoint):
    rep, req = await pair(rt, endpoint, "REP")
    server = rt.spawn(serve(rep, 6))
    assert await req.request(b"one") == b"one"
    assert await req.request([b"a", b"", b"b"]) == [b"a", b"", b"b"]
    assert await req.request((b"a", bytearray(b"b"))) == [b"a", b"b"]
    assert await req.request(memoryview(b"view"), timeout=None) == b"view"
    assert await req.request(MIB) == MIB
    assert await req.request([b"x", LARGE]) == [b"x", LARGE]
    await rt.join(server)


@behaviour
async def test_an_answer_of_many_parts_is_joined_for_bytes(rt, inproc):
    rep, req = await pair(rt, inproc, "REP")

    async def answer():
        await rep.recv_all()
        await rep.send_multipart([b"a", b"b", LARGE])

    server = rt.spawn(answer())
    assert await req.request(b"?") == b"ab" + LARGE
    await rt.join(server)


@behaviour
async def test_it_is_sent_again(rt, endpoint):
    router, req = await pair(rt, endpoint)
    router.set_timeout(1.0)
    task = asking(rt, req, b"q", timeout=AGAIN, retries=100)
    names = set()
    for _ in range(3):
        envelope, data = await heard(router)
        assert data == b"q"
        names.add(envelope[1])
    assert len(names) == 3, "each try has a name of its own"
    while not rt.ended(task):  # the one that is answered in time; on a slow machine, a later one
        await router.send_multipart([*envelope, b"a"])
        try:
            envelope, _ = await heard(router)
        except Timeout:
            break
    assert await rt.join(task) == b"a"


@behaviour
async def test_late_and_doubled_answers_are_never_taken(rt, endpoint):
    router, req = await pair(rt, endpoint)
    router.set_timeout(1.0)
    task = asking(rt, req, b"q", timeout=AGAIN, retries=100)
    old = [await heard(router)]
    stale = await answer_late(rt, router, task, old)
    assert await rt.join(task) == b"new"
    # Whatever else is on its way answers nothing that is asked from now on.
    task = asking(rt, req, b"next", timeout=LONG)
    while True:
        envelope, data = await heard(router)
        if data == b"next":
            break
    for late in stale:
        await router.send_multipart([*late, b"late"])
    await router.send_multipart([*envelope, b"right"])
    assert await rt.join(task) == b"right"


async def answer_late(rt, router, task, old):
    """Answer each request after the first twice, and each time an older one before."""
    stale = [envelope for envelope, _ in old]
    while not rt.ended(task):
        try:
            envelope, _ = await heard(router)
        except Timeout:
            continue
        for late in stale:
            await router.send_multipart([*late, b"late"])
        for _ in range(2):
            await router.send_multipart([*envelope, b"new"])
        stale.append(envelope)
        await rt.wait(task, AGAIN / 2)
    return stale


@behaviour
async def test_a_timeout_and_then_it_works(rt, endpoint):
    router, req = await pair(rt, endpoint)
    with pytest.raises(Timeout, match=r"no answer to a request that was sent 3 times.*0.01 s"):
        await req.request(b"first", timeout=SHORT, retries=2)
    with pytest.raises(Timeout, match="sent once"):
        await req.request(b"second", timeout=SHORT)
    # Each of them is answered, now that nobody wants that any more.
    for expected in (b"first", b"first", b"first", b"second"):
        envelope, data = await heard(router)
        assert data == expected
        await router.send_multipart([*envelope, b"late"])
    task = asking(rt, req, b"third")
    envelope, data = await heard(router)
    assert data == b"third"
    await router.send_multipart([*envelope, b"answer"])
    assert await rt.join(task) == b"answer"


@behaviour
async def test_a_plain_send_after_a_timeout(rt, endpoint):
    router, req = await pair(rt, endpoint)
    with pytest.raises(Timeout):
        await req.request(b"in vain", timeout=SHORT)
    await router.send_multipart([*(await heard(router))[0], b"late"])
    await req.send(b"plain")
    await router.send_multipart([*(await heard(router))[0], b"answer"])
    assert await req.recv_all() == b"answer"


@behaviour
async def test_no_peer(rt, inproc):
    req = rt.new("REQ")
    with pytest.raises(Timeout, match="no peer could take the request"):
        await req.request(b"x", timeout=SHORT, retries=2)
    with pytest.raises(Timeout):
        await req.request(b"x", timeout=0)
    task = asking(rt, req, b"x")
    await rt.paused(req, 1)
    rep = rt.new("REP")
    rep.bind(inproc)
    req.connect(inproc)
    await serve(rep, 1)
    assert await rt.join(task) == b"x"


@behaviour
async def test_a_server_that_dies_and_comes_back(rt, tcp):
    rep, req = await pair(rt, tcp, "REP")
    place = rep.last_endpoint
    task = asking(rt, req, b"q", timeout=AGAIN, retries=1000)
    for _ in range(3):
        assert await rep.recv_all() == b"q"
        rep.close(linger=0)
        rep = rt.new("REP")
        rep.bind(place)
    while not rt.ended(task):
        try:
            question = await rep.recv_all(timeout=AGAIN)
        except Timeout:
            continue
        await rep.send(question)
    assert await rt.join(task) == b"q"


@behaviour
async def test_two_servers_of_which_one_is_silent(rt, inproc):
    """Tries go round: each is sent to the next peer."""
    silent, rep, req = rt.new("ROUTER"), rt.new("REP"), rt.new("REQ")
    silent.bind(inproc)
    rep.bind(inproc + "2")
    req.connect(inproc)
    req.connect(inproc + "2")
    for n in range(3):
        task = asking(rt, req, b"%d" % n, timeout=AGAIN, retries=100)
        while not rt.ended(task):
            try:
                await rep.send(await rep.recv_all(timeout=SHORT))
            except Timeout:
                continue
        assert await rt.join(task) == b"%d" % n


@behaviour
async def test_several_threads_take_turns(rt, endpoint):
    """Each gets the answer to its own request, and the server never has two at a time."""
    router, req = await pair(rt, endpoint)
    callers, rounds = 4, 15

    async def ask(name):
        for n in range(rounds):
            data = b"%d %d" % (name, n)
            assert await req.request([b"x", data]) == [data]

    tasks = [rt.spawn(ask(name)) for name in range(callers)]
    for _ in range(callers * rounds):
        *envelope, _, data = await router.recv_multipart()
        with pytest.raises(Timeout):
            await router.recv(timeout=0)
        await router.send_multipart([*envelope, data])
    for task in tasks:
        await rt.join(task)


@behaviour
async def test_waiting_for_the_turn_does_not_count(rt, inproc):
    router, req = await pair(rt, inproc)
    first = asking(rt, req, b"first", timeout=LONG)
    envelope, _ = await heard(router)
    second = asking(rt, req, b"second", timeout=0.5, retries=1)
    await rt.paused(req, 2)
    await rt.sleep(1.2)
    assert not rt.ended(second)
    await router.send_multipart([*envelope, b"1"])
    assert await rt.join(first) == b"1"
    envelope, data = await heard(router)
    assert data == b"second"
    await router.send_multipart([*envelope, b"2"])
    assert await rt.join(second) == b"2"


@behaviour
async def test_the_next_one_begins_where_no_peer_is(rt, inproc):
    """A turn needs no room to send: who waits behind one that gave up gives up as well."""
    req = rt.new("REQ")
    tasks = [asking(rt, req, b"x", timeout=AGAIN) for _ in range(3)]
    for task in tasks:
        with pytest.raises(Timeout, match="no peer"):
            await rt.join(task)

    async def send():
        await req.send(b"x", timeout=AGAIN * 3)

    before = rt.spawn(send())
    await rt.paused(req, 1)
    behind = asking(rt, req, b"x", timeout=SHORT)
    with pytest.raises(Timeout):
        await rt.join(before)
    with pytest.raises(Timeout, match="no peer"):
        await rt.join(behind)


@behaviour
async def test_plain_calls_of_others_wait_meanwhile(rt, inproc):
    router, req = await pair(rt, inproc)
    task = asking(rt, req, b"q")
    envelope, _ = await heard(router)
    got = []

    async def receive():
        got.append(await req.recv_all())

    async def send():
        await req.send(b"plain")

    others = [rt.spawn(receive()), rt.spawn(send())]
    await rt.paused(req, 3)
    await router.send_multipart([*envelope, b"answer"])
    assert await rt.join(task) == b"answer"
    envelope, data = await heard(router)
    assert data == b"plain"
    await router.send_multipart([*envelope, b"to the plain one"])
    await rt.until(lambda: got or rt.ended(others[0]), "the answer")
    if not got:  # its turn came before the send's: out of turn, as without a request
        with pytest.raises(StateError):
            await rt.join(others[0])
        got.append(await req.recv_all())
    assert got == [b"to the plain one"]
    await rt.join(others[1])


@behaviour
async def test_after_a_plain_send_it_is_refused(rt, endpoint):
    router, req = await pair(rt, endpoint)
    for _ in range(2):  # the first time in the strict state, then in the relaxed one
        await req.send(b"plain")
        envelope, _ = await heard(router)
        with pytest.raises(StateError, match=r"still due: recv\(\) it first"):
            await req.request(b"x", timeout=SHORT)
        await router.send_multipart([*envelope, b"answer"])
        await rt.until(req.is_readable, "the answer")
        with pytest.raises(StateError, match="still due"):
            await req.request(b"x", timeout=SHORT)
        with pytest.raises(StateError):
            await req.send(b"y", timeout=SHORT)
        assert await req.recv_all() == b"answer"
        task = asking(rt, req, b"x")
        envelope, data = await heard(router)
        assert data == b"x"
        await router.send_multipart([*envelope, b"z"])
        assert await rt.join(task) == b"z"


@behaviour
async def test_in_mid_message_it_is_refused(rt, inproc):
    rep, req = await pair(rt, inproc, "REP")
    await req.send(b"a", True)
    with pytest.raises(StateError, match="half sent"):
        await req.request(b"x", timeout=SHORT)
    await req.send(b"b")
    await serve(rep, 1)
    assert await req.recv() == (b"a", True)
    with pytest.raises(StateError, match="the rest of an answer"):
        await req.request(b"x", timeout=SHORT)
    assert await req.recv() == (b"b", False)
    task = asking(rt, req, b"x")
    await serve(rep, 1)
    assert await rt.join(task) == b"x"


@behaviour
async def test_another_is_in_mid_message(rt, inproc):
    """A request waits for who receives an answer by parts."""
    rep, req = await pair(rt, inproc, "REP")
    await req.send_multipart([b"a", b"b"])
    await serve(rep, 1)
    assert await req.recv() == (b"a", True)
    task = asking(rt, req, b"x", timeout=LONG)
    await rt.paused(req, 1)
    assert await req.recv() == (b"b", False)
    await serve(rep, 1)
    assert await rt.join(task) == b"x"


@behaviour
async def test_who_is_stopped_leaves_the_socket_usable(rt, endpoint):
    if not rt.stops:
        pytest.skip("nothing ends an OS thread from outside")
    router, req = await pair(rt, endpoint)
    for n in range(3):
        task = asking(rt, req, b"gone", timeout=LONG)
        old, _ = await heard(router)
        await rt.stop(task)
        task = asking(rt, req, b"%d" % n, timeout=LONG)
        envelope, data = await heard(router)
        assert data == b"%d" % n
        await router.send_multipart([*old, b"late"])
        await router.send_multipart([*envelope, b"answer"])
        assert await rt.join(task) == b"answer"


@behaviour
async def test_who_is_stopped_hands_on_the_turn(rt, inproc):
    if not rt.stops:
        pytest.skip("nothing ends an OS thread from outside")
    router, req = await pair(rt, inproc)
    tasks = []
    for n in range(3):  # trio begins in any order those that are spawned at once
        tasks.append(asking(rt, req, b"%d" % n, timeout=LONG))
        await rt.paused(req, n + 1)
    old, data = await heard(router)
    assert data == b"0"
    await rt.stop(tasks[1])
    await rt.stop(tasks[0])
    await router.send_multipart([*old, b"late"])
    envelope, data = await heard(router)
    assert data == b"2"
    await router.send_multipart([*envelope, b"answer"])
    assert await rt.join(tasks[2]) == b"answer"


@behaviour
async def test_closed(rt, inproc):
    router, req = await pair(rt, inproc)
    tasks = [asking(rt, req, b"x") for _ in range(2)]
    await heard(router)
    await rt.paused(req, 2)
    req.close()
    for task in tasks:
        with pytest.raises(ratchet.ClosedError):
            await rt.join(task)
    with pytest.raises(ratchet.ClosedError):
        await req.request(b"x")


@behaviour
async def test_arguments(rt, inproc):
    rep, req = await pair(rt, inproc, "REP")
    req.set_timeout(None)
    with pytest.raises(ValueError, match="retries without a timeout"):
        await req.request(b"x", retries=1)
    with pytest.raises(ValueError, match="retries without a timeout"):
        await req.request(b"x", retries=1, timeout=None)
    with pytest.raises(ValueError, match="0 up"):
        await req.request(b"x", retries=-1, timeout=1)
    for wrong in (1.5, True, "1"):
        with pytest.raises(TypeError, match="number of tries"):
            await req.request(b"x", retries=wrong, timeout=1)
    with pytest.raises(TypeError, match="encode"):
        await req.request("x")
    with pytest.raises(TypeError, match="encode"):
        await req.request([b"x", "y"])
    with pytest.raises(ValueError, match="at least one part"):
        await req.request([])
    with pytest.raises(ratchet.Error, match="only a REQ") as caught:
        await rep.request(b"x")
    assert caught.value.code == "ENOTSUP"
    req.set_timeout(SHORT)
    with pytest.raises(Timeout):
        await req.request(b"x", retries=1)
    assert req.req_relaxed
    assert req.req_correlate


@behaviour
async def test_options_that_were_set_back(rt, inproc):
    """A program that turns correlation off between two requests still gets the right answer."""
    router, req = await pair(rt, inproc)
    with pytest.raises(Timeout):
        await req.request(b"old", timeout=SHORT)
    old, _ = await heard(router)
    req.req_correlate = False
    task = asking(rt, req, b"new")
    envelope, _ = await heard(router)
    await router.send_multipart([*old, b"late"])
    await router.send_multipart([*envelope, b"answer"])
    assert await rt.join(task) == b"answer"


def test_a_loop_that_stops_loses_its_turn_and_gets_it_again(inproc):
    """Others go first while it stands still; then its request is sent once more."""
    with ratchet.asyncio.new("REQ") as req, zmqsocket.new("ROUTER") as router:
        router.set_timeout(LONG)
        router.bind(inproc)
        req.connect(inproc)
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            task = loop.create_task(req.request(b"of the loop"))

            async def first_try():
                await ratchet.asyncio.select([router])

            runner.run(first_try())
            old = router.recv_multipart()[:-1]
            other = Task(req.sync.request, b"of a thread", timeout=LONG)
            envelope = router.recv_multipart()
            assert envelope[-1] == b"of a thread"
            router.send_multipart([*old, b"late"])
            router.send_multipart([*envelope[:-1], b"1"])
            assert other.value() == b"1"

            async def second_try():
                await ratchet.asyncio.select([router])
                envelope = router.recv_multipart()
                assert envelope[-1] == b"of the loop"
                router.send_multipart([*envelope[:-1], b"2"])
                return await task

            assert runner.run(second_try()) == b"2"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals here")
def test_a_signal_handler_that_asks(inproc):
    """It cannot wait for the call that it interrupts, so it goes first."""
    got = []

    def handler(_number, _frame):
        got.append(req.request(b"of the handler", timeout=LONG))

    def answer():
        with zmqsocket.new("ROUTER") as router:
            router.set_timeout(LONG)
            router.bind(inproc)
            ready.set()
            old = router.recv_multipart()
            assert old[-1] == b"interrupted"
            os.kill(os.getpid(), signal.SIGUSR1)
            envelope = router.recv_multipart()
            assert envelope[-1] == b"of the handler"
            router.send_multipart([*old[:-1], b"late"])
            router.send_multipart([*envelope[:-1], b"1"])
            envelope = router.recv_multipart()
            assert envelope[-1] == b"interrupted"
            router.send_multipart([*envelope[:-1], b"2"])

    before = signal.signal(signal.SIGUSR1, handler)
    ready = threading.Event()
    try:
        with zmqsocket.new("REQ") as req:
            server = Task(answer)
            assert ready.wait(LONG)
            req.connect(inproc)
            assert req.request(b"interrupted", timeout=None) == b"2"
            assert got == [b"1"]
            server.value()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_request_of_several_kinds_of_threads_at_once(inproc):
    """OS threads beside tasks, on one REQ."""
    with ratchet.asyncio.new("REQ") as req, zmqsocket.new("REP") as rep:
        rep.set_timeout(LONG)
        rep.bind(inproc)
        req.connect(inproc)

        def answer():
            for _ in range(60):
                rep.send(rep.recv_all())

        def ask(name):
            for n in range(10):
                data = b"%d %d" % (name, n)
                assert req.sync.request(data, timeout=LONG) == data

        async def main():
            async def ask(name):
                for n in range(10):
                    data = b"%d %d" % (name, n)
                    assert await req.request(data, timeout=LONG) == data

            async with asyncio.TaskGroup() as group:
                for name in range(3):
                    group.create_task(ask(name))

        server = Task(answer)
        threads = [Task(ask, name + 10) for name in range(3)]
        asyncio.run(main())
        for thread in threads:
            thread.value()
        server.value()
