"""Socket types: their names, the old ones, and what each type promises."""

import socket

import pytest
from harness.behaviour import behaviour
from harness.sockets import LARGE, place_of, recv_parts, send_parts
from harness.waiting import LONG, SHORT

from ratchet import Error, StateError, Timeout, zmqsocket

TYPES = [
    *("PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH"),
    *("XPUB", "XSUB", "STREAM"),
]


@pytest.mark.parametrize("type", TYPES)
def test_type(type):
    with zmqsocket.new(type) as zsock:
        assert isinstance(zsock, zmqsocket.ZMQSocket)
        assert zsock.type == zsock.getsockopt("TYPE") == type
        assert type in repr(zsock)
    assert zsock.type == type


@pytest.mark.parametrize(("old", "type"), [("XREQ", "DEALER"), ("XREP", "ROUTER")])
def test_old_names(old, type):
    with zmqsocket.new(old) as zsock:
        assert zsock.type == type


def test_default():
    with zmqsocket.new() as zsock, zmqsocket.ZMQSocket() as other:
        assert (zsock.type, other.type) == ("PAIR", "PAIR")


@pytest.mark.parametrize(
    "wrong", ["pull", "", "PULLER", "SERVER", "ZMQ_PULL", "tcp://*:1", None, 7, b"PULL"]
)
def test_unknown(wrong):
    with pytest.raises(ValueError, match="socket type") as caught:
        zmqsocket.new(wrong)
    assert repr(wrong) in str(caught.value)
    assert all(name in str(caught.value) for name in [*TYPES, "XREQ", "XREP"])


@pytest.mark.parametrize("wrong", [[], {}, bytearray(b"PULL")])
def test_not_even_a_name(wrong):
    with pytest.raises((TypeError, ValueError), match="socket type"):
        zmqsocket.new(wrong)


@pytest.mark.parametrize("type", TYPES)
def test_which_types_only_send_or_receive(type, tcp):
    mute = {"PUSH": "recv", "PUB": "recv", "PULL": "send", "SUB": "send"}.get(type)
    with zmqsocket.new(type) as zsock:
        zsock.bind(tcp)
        for name, args in (("send", [b""]), ("recv", [])):
            code = None
            try:
                getattr(zsock, name)(*args, timeout=0)
            except OSError as error:
                code = error.code
            assert (code == "ENOTSUP") is (name == mute)


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
    with socket.create_connection(place_of(stream.last_endpoint), LONG) as plain:
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
    with socket.create_connection(place_of(stream.last_endpoint), LONG) as plain:
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
