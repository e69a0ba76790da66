"""Messages whose parts libzmq would tear, mix up or drop: refused by name before it has them."""

import contextlib
import functools

import pytest
from harness.behaviour import behaviour
from harness.internals import half_sent, shut
from harness.waiting import LONG

from ratchet import Error, StateError, Timeout, zmqsocket

CONFLATING = {"PUSH": "PULL", "PUB": "SUB", "DEALER": "DEALER"}
everything = {"SUB": {"subscribe": b""}}


# conflate: one part


@pytest.mark.parametrize("kind", CONFLATING)
@behaviour
async def test_a_conflating_socket_sends_one_part_and_no_other_number(rt, tcp, kind):
    out = rt.new(kind, conflate=True)
    out.bind(tcp)
    peer = rt.new(CONFLATING[kind], conflate=True, **everything.get(CONFLATING[kind], {}))
    peer.connect(out.last_endpoint)
    for wrong in ([b"1", b"2"], [b"1", b"2", b"3"], [b"", b""]):
        with pytest.raises(ValueError, match=f"{len(wrong)} parts with conflate") as caught:
            await out.send_multipart(wrong)
        assert caught.value.code == "EINVAL"
        with pytest.raises(ValueError, match="one part"):
            await out.send_multipart([bytearray(part) for part in wrong], copy=False)
    for copy in (True, False):
        with pytest.raises(ValueError, match="more=True with conflate"):
            await out.send(b"1", True, copy=copy)
    assert not half_sent(out)
    got = None
    while got is None:  # a PUB drops what it sends before somebody has subscribed
        await out.send_multipart([b"whole"])
        with contextlib.suppress(Timeout):
            got = await peer.recv(timeout=0.05)
    assert got == (b"whole", False)
    assert await out.send_many([b"1", b"2", b"last"]) == 3
    while got != (b"last", False):
        got = await peer.recv()


@behaviour
async def test_a_conflating_socket_keeps_the_newest(rt, inproc):
    pull = rt.new("PULL", conflate=True)
    pull.bind(inproc)
    push = rt.new("PUSH", conflate=True)
    push.connect(inproc)
    for last in (b"3", b"6"):
        assert await push.send_many([b"1", b"2", last]) == 3
        assert await pull.recv() == (last, False)
        with pytest.raises(Timeout):
            await pull.recv(timeout=0)
        await push.send(b"7")
        assert await pull.recv_all() == b"7"
        await push.send(b"8", timeout=0)
        assert await pull.recv_multipart(timeout=0) == [b"8"]
        await push.send(b"9")
        assert await pull.recv_many(5) == [b"9"]


@pytest.mark.parametrize("act", ["bind", "connect"])
@pytest.mark.parametrize("value", [True, False])
@behaviour
async def test_conflate_is_refused_where_it_would_do_nothing(rt, inproc, act, value):
    push = rt.new("PUSH")
    push.conflate = value
    push.conflate = False
    getattr(push, act)(inproc)
    for call in (
        lambda: setattr(push, "conflate", value),
        lambda: push.setsockopt("CONFLATE", value),
    ):
        with pytest.raises(StateError, match="before bind and connect") as caught:
            call()
        assert caught.value.code == "EBUSY"
    assert push.conflate is False
    pull = rt.new("PULL")
    getattr(pull, "connect" if act == "bind" else "bind")(inproc)
    await push.send_multipart([b"1", b"2"])
    assert await pull.recv_multipart() == [b"1", b"2"]


@pytest.mark.parametrize("kind", ["PULL", "SUB", "DEALER"])
@behaviour
async def test_several_parts_for_a_conflating_receiver_end_neither_the_process_nor_a_message(
    rt, tcp, kind
):
    """libzmq aborts when it is asked for a part that has not come yet; half a message is none."""
    pairs = {"PULL": "PUSH", "SUB": "XPUB", "DEALER": "DEALER"}
    peer = rt.new(pairs[kind])
    peer.bind(tcp)
    zsock = rt.new(kind, conflate=True, **everything.get(kind, {}))
    zsock.connect(peer.last_endpoint)
    if kind == "SUB":
        await peer.recv()
    with pytest.raises(Error, match="several parts, of which conflate=True keeps") as caught:  # noqa: PT012
        for _ in range(1000):  # the first part is seen before the second has come, sooner or later
            await peer.send_multipart([b"a" * 300_000, b"b" * 300_000])
            with contextlib.suppress(Timeout):
                data, more = await zsock.recv(timeout=0.02)
                assert (data, more) == (b"b" * 300_000, False)
    assert caught.value.code == "EPROTO"
    for call in (
        lambda: zsock.recv(),  # noqa: PLW0108
        lambda: zsock.recv(timeout=0),
        lambda: zsock.recv_all(),  # noqa: PLW0108
        lambda: zsock.recv_multipart(),  # noqa: PLW0108
        lambda: zsock.recv_many(3),
        lambda: zsock.recv_frame(),  # noqa: PLW0108
        lambda: zsock.recv_frames(),  # noqa: PLW0108
        lambda: zsock.recv_into(bytearray(10**6)),
    ):
        with pytest.raises(Error, match="receives no more"):
            await call()
    assert zsock.is_readable()  # there is something to be told
    zsock.disconnect(peer.last_endpoint)


# ROUTER: who it is for


@pytest.mark.parametrize("copy", [True, False])
@behaviour
async def test_a_router_sends_to_somebody(rt, inproc, copy):
    router, dealer = await rt.link("ROUTER", "DEALER", inproc, {}, {"routing_id": b"here"})
    for call in (
        lambda: router.send(b"here", copy=copy),
        lambda: router.send(b"here", timeout=0, copy=copy),
        lambda: router.send_multipart([b"here"], copy=copy),
        lambda: router.send_many([b"here", b"data"]),
        lambda: router.send_many([b"here"], timeout=0),
    ):
        with pytest.raises(ValueError, match="1 part: the first part names the peer") as caught:
            await call()
        assert caught.value.code == "EINVAL"
        assert caught.value.taken == 0
    assert await router.send_many([]) == 0
    await router.send_multipart([b"here", b"1"], copy=copy)
    await router.send(b"here", True, copy=copy)
    await router.send(b"2", copy=copy)
    await router.send(b"here", True, copy=copy)
    await router.send_multipart([b"3", b"", b"4"], copy=copy)
    await router.send_multipart([b"here", b"5"], timeout=0)
    assert [await dealer.recv_multipart() for _ in range(4)] == [
        [b"1"], [b"2"], [b"3", b"", b"4"], [b"5"],
    ]  # fmt: skip
    with pytest.raises(Error) as caught:  # an empty name is nobody's
        await router.send_multipart([b"", b"data"])
    assert caught.value.code == "EHOSTUNREACH"
    await dealer.send(b"asks")
    assert await router.recv_multipart() == [b"here", b"asks"]


@behaviour
async def test_a_router_that_is_to_drop_drops(rt, inproc):
    """As a broker's, which must not end because a stranger left its answer's name out."""
    options = {"router_mandatory": False}
    router, dealer = await rt.link("ROUTER", "DEALER", inproc, options, {"routing_id": b"here"})
    await router.send(b"here")
    await router.send_multipart([b"here"])
    assert await router.send_many([b"1", b"2"]) == 2
    await router.send_multipart([b"nobody", b"data"])
    await router.send_multipart([b"here", b"data"])
    assert await dealer.recv() == (b"data", False)
    router.router_mandatory = True
    with pytest.raises(ValueError, match="names the peer"):
        await router.send(b"here")
    router.setsockopt("ROUTER_MANDATORY", False)
    await router.send(b"here")


@pytest.mark.parametrize("mandatory", [True, False])
@behaviour
async def test_a_raw_router_sends_two_parts(rt, tcp, mandatory):
    """As a STREAM: of three parts libzmq would send two and lose the third."""
    raw = rt.new("ROUTER", router_raw=True, router_mandatory=mandatory)
    raw.bind(tcp)
    stream = rt.new("STREAM")
    stream.connect(raw.last_endpoint)
    me, _ = await stream.recv_multipart()
    await stream.send_multipart([me, b"hello"])
    name, data = await raw.recv_multipart()
    while not data:  # that somebody has connected
        name, data = await raw.recv_multipart()
    for wrong in ([name], [name, b"1", b"2"]):
        with pytest.raises(ValueError, match="it is two"):
            await raw.send_multipart(wrong)
    await raw.send_multipart([name, b"answer"])
    assert await stream.recv_multipart() == [me, b"answer"]


@behaviour
async def test_waiting_routers_are_asked_in_turn(rt, tcp):
    """A call that has more to do than others still waits its turn, and takes its time."""
    router = rt.new("ROUTER", sndhwm=1, sndbuf=4096)
    router.bind(tcp)
    dealer = rt.new("DEALER", routing_id=b"here", rcvhwm=1, rcvbuf=4096)
    dealer.connect(router.last_endpoint)
    await dealer.send(b"known")
    await router.recv_multipart()
    sent = 0
    with pytest.raises(Timeout, match=r"within 0\.05 s"):  # noqa: PT012
        while True:
            await router.send_multipart([b"here", b"%d" % sent + b"x" * 20_000], timeout=0.05)
            sent += 1
    with pytest.raises(Timeout):
        await router.send_multipart([b"here", b"x"], timeout=0)

    async def send(number):
        await router.send_multipart([b"here", b"%d" % number + b"x" * 20_000])

    tasks = []
    for number in range(sent, sent + 3):
        tasks.append(rt.spawn(send(number)))
        await rt.paused(router, number - sent + 1)
    with pytest.raises(ValueError, match="names the peer"):  # refused, once it is its turn  # noqa: PT012
        late = rt.spawn(refused(router))
        for number in range(sent + 3):
            assert (await dealer.recv_all()).rstrip(b"x") == b"%d" % number
        await rt.join(late)
    for task in tasks:
        await rt.join(task)


async def refused(router):
    await router.send(b"alone", timeout=LONG)


# STREAM


def test_a_stream_sends_after_a_receive_without_memory(tcp):
    """What recv_many keeps for the next receive says nothing of a STREAM's sends."""
    testcapi = pytest.importorskip("_testcapi")
    # What is still under way at the end keeps nothing open.
    new = functools.partial(zmqsocket.new, "STREAM", linger=0)
    with new() as stream, new() as other:
        for zsock in (stream, other):
            zsock.set_timeout(LONG)
        stream.bind(tcp)
        other.connect(stream.last_endpoint)
        me, _ = other.recv_multipart()
        name, _ = stream.recv_multipart()
        for allowed in range(200):
            other.send_multipart([me, b"x" * 50_000])  # is received as several messages
            while not stream.is_readable():
                pass
            with contextlib.suppress(MemoryError, Timeout):
                testcapi.set_nomemory(allowed, allowed + 1)
                try:
                    stream.recv_many(1000, timeout=0)
                finally:
                    testcapi.remove_mem_hooks()
            if shut(stream)[0]:  # something is kept for the next receive
                break
        else:
            pytest.skip("memory never ran out between two messages")
        stream.send_multipart([name, b"answer"])
        assert other.recv_multipart() == [me, b"answer"]
        assert stream.recv_all().startswith(name)
