"""Endpoints: bind, unbind, disconnect, identities; and what a socket tells of its state."""

import contextlib
import gc
import re
import select
import sys
import threading
import time
from pathlib import Path

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE
from harness.waiting import LONG

import ratchet
from ratchet import Error, StateError, Timeout, zmqsocket

# Endpoints and state


@behaviour
async def test_wildcard_port_and_several_endpoints(rt, tcp, ipc, inproc):
    pull = rt.new("PULL")
    last = []
    for endpoint in (tcp, tcp, ipc, inproc):
        pull.bind(endpoint)
        last.append(pull.last_endpoint)
    assert re.fullmatch(r"tcp://127\.0\.0\.\d+:[1-9]\d{3,4}", last[0])
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
    pull = rt.new("PULL")
    assert pull.bind("tcp://*:*") != "tcp://*:*"
    pull.unbind("tcp://*:*")
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


@behaviour
async def test_disconnect_ends_all_connections_to_the_endpoint(rt, endpoint):
    pull, push = await rt.link("PULL", "PUSH", endpoint)
    push.connect(pull.last_endpoint)
    push.disconnect(pull.last_endpoint)
    assert "connected" not in repr(push)
    with pytest.raises(Error) as caught:
        push.disconnect(pull.last_endpoint)
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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere fewer descriptors are allowed")
def test_an_unbind_beside_many_that_send_is_short(new, tcp, script):
    """Each of 300 rings before 0.2 ms without a ring are over, so another limit ends the wait."""
    pull = new("PULL")
    sender = script(
        """
        zsocks = [zmqsocket.new("PUSH", linger=0) for _ in range(300)]
        for zsock in zsocks:
            zsock.connect(sys.argv[1])
            zsock.send(b"x")
        print("sends", flush=True)
        due = time.monotonic()
        while True:
            for zsock in zsocks:
                while time.monotonic() < due:
                    pass
                due = max(due + 0.00012, time.monotonic())
                zsock.send(b"x", timeout=0)
        """,
        pull.bind(tcp),
    )
    sender.said("sends")
    most, end = 0.0, time.monotonic() + 2
    while time.monotonic() < end:
        endpoint = pull.bind(tcp)
        while pull.is_readable():
            pull.recv_many(1000)
        began = time.thread_time()
        pull.unbind(endpoint)
        most = max(most, time.thread_time() - began)
    assert most < 0.025  # of CPU time; without the limit 0.031 to 0.036
