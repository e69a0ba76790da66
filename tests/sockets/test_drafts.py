"""Draft options: what they do where libzmq has them, what is refused, and what is said where not.

libzmq ends the process over some of them (each was seen to in 4.3.4 or 4.3.5), or loses a peer for
good; those are refused before it gets there.
"""

import socket

import pytest
from harness.waiting import LONG, until

import ratchet
from ratchet import Timeout, _zmq, options
from ratchet.errors import ArgumentError

VERSION = ratchet.libzmq_version()
DRAFTS = ratchet.has("draft") and VERSION[:2] == (4, 3)

with_drafts = pytest.mark.skipif(not DRAFTS, reason="this libzmq has no drafts")
with_435 = pytest.mark.skipif(not DRAFTS or VERSION < (4, 3, 5), reason="of libzmq 4.3.5")


def pair(new, left, right, endpoint="tcp://127.0.0.1:*", more=None, **given):
    """Two sockets that are connected: one with the options, and its peer."""
    bound = new(left, **given)
    bound.bind(endpoint)
    other = new(right, **(more or {}))
    other.connect(bound.last_endpoint)
    return bound, other


# Where libzmq has them not


@pytest.mark.skipif(DRAFTS, reason="this libzmq has them")
def test_an_error_says_what_is_missing_and_what_to_do(new):
    zsock = new("PUSH")
    for act in (
        lambda: new("PUSH", in_batch_size=65536),
        lambda: setattr(zsock, "out_batch_size", 65536),
        lambda: zsock.setsockopt("IN_BATCH_SIZE", 65536),
        lambda: zsock.in_batch_size,
    ):
        with pytest.raises(ArgumentError, match=r"BATCH_SIZE is a draft option .*ratchet's wheels"):
            act()


def test_has_in_any_case():
    assert ratchet.has("draft") is ratchet.has("DRAFT") is _zmq.has("Draft")
    assert ratchet.has("ipc") is True
    assert ratchet.has("nonsense") is False


# Batches


@with_drafts
def test_batches_are_as_the_table_says(new):
    zsock = new("PUSH")
    assert zsock.in_batch_size == options.TABLE["IN_BATCH_SIZE"].default
    assert zsock.out_batch_size == options.TABLE["OUT_BATCH_SIZE"].default


@with_drafts
def test_batches_are_the_same_in_contexts_of_a_programs_own():
    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, 8)
    try:
        for name in ("IN_BATCH_SIZE", "OUT_BATCH_SIZE"):
            row = options.TABLE[name]
            assert zsock.get_int(row.number) == row.default
    finally:
        zsock.close(0)
        context.term()


@with_drafts
@pytest.mark.parametrize("size", [256, 257, 8192, 2**20])
def test_messages_of_any_length_through_batches(new, size):
    batches = {"in_batch_size": size, "out_batch_size": size}
    pull, push = pair(new, "PULL", "PUSH", more={**batches, "sndhwm": 0}, rcvhwm=0, **batches)
    lengths = [0, 1, 32, 33, 34, 254, 255, 256, size - 10, size - 9, size - 1, size, size + 1]
    sent = [bytes([at % 251]) * length for at, length in enumerate(lengths * 5)]
    assert push.send_many(sent, timeout=LONG) == len(sent)
    got = []
    while len(got) < len(sent):
        got += pull.recv_many(len(sent), timeout=LONG)
    assert got == sent


def test_a_batch_that_libzmq_would_read_past_is_refused(new):
    # With 1 byte 4.3.4 and 4.3.5 abort (msg.cpp, check ()).
    for option in ("in_batch_size", "out_batch_size"):
        for value in (0, 1, 8, 255):
            with pytest.raises(ArgumentError, match="from 256 to"):
                new("PULL", **{option: value})


# What peers are told


def test_metadata_is_read_from_a_frame(new):
    told = {"X-Name": "lathe: 3", "X-Ort": "Köln"}
    pull, push = pair(new, "PULL", "PUSH", more={"metadata": told})
    push.metadata = {"X-More": "yes"}  # too late for this connection
    push.send(b"x")
    frame = pull.recv_frame(timeout=LONG)
    assert {name: frame.get(name) for name in told} == told
    assert frame.get("X-More") is None
    assert frame.get("Socket-Type") == "PUSH"
    assert push.metadata == {**told, "X-More": "yes"}


def test_metadata_that_libzmq_would_not_take_or_send(new):
    zsock = new("PUSH", metadata={"X-a": "1"})
    for wrong in ({"Name": "1"}, {"X-": "1"}, {"X-a:b": "1"}, {"X-b": ""}, {"X-b": "a\0b"}):
        with pytest.raises(ArgumentError, match="begin with X-"):
            zsock.metadata = wrong
    with pytest.raises(ArgumentError, match="X-a has a value already"):
        zsock.metadata = {"X-a": "2"}
    zsock.metadata = {"X-a": "1", "X-" + "k" * 253: "v" * 65535}


@with_drafts
def test_a_greeting_comes_first_and_again_on_each_connection(new):
    router, dealer = pair(new, "ROUTER", "DEALER", hello_msg=b"hi", more={"hello_msg": b"yo"})
    dealer.send(b"work")
    assert dealer.recv(timeout=LONG) == (b"hi", False)
    assert router.recv_multipart(timeout=LONG)[1:] == [b"yo"]
    assert router.recv_multipart(timeout=LONG)[1:] == [b"work"]


@with_drafts
def test_a_greeting_over_inproc(new, inproc):
    router = new("ROUTER")
    router.bind(inproc)
    dealer = new("DEALER", hello_msg=b"yo", routing_id=b"me")
    dealer.connect(inproc)
    assert router.recv_multipart(timeout=LONG) == [b"me", b"yo"]


@with_drafts
def test_a_greeting_of_what_binds_to_inproc_is_refused(new, inproc):
    # libzmq aborts (pipe.cpp, written) when one that has connected there is closed already.
    with new("DEALER", linger=0) as gone:
        gone.connect(inproc)
    router = new("ROUTER", hello_msg=b"hi")
    with pytest.raises(ratchet.Error, match="hello_msg is set, and libzmq ends the process"):
        router.bind(inproc)
    router.hello_msg = b""
    router.bind(inproc)


# Notices


@with_drafts
@pytest.mark.parametrize("asked", [0, 1, 2, 3])
def test_notices_of_peers_that_come_and_go(new, asked):
    router, dealer = pair(
        new, "ROUTER", "DEALER", router_notify=asked, more={"routing_id": b"me", "linger": LONG}
    )
    dealer.send_multipart([b"one", b"two"])
    expected = [[b"me", b""]] * (asked & 1) + [[b"me", b"one", b"two"]]
    assert [router.recv_multipart(timeout=LONG) for _ in expected] == expected
    dealer.close()
    if asked & 2:
        assert router.recv_multipart(timeout=LONG) == [b"me", b""]
    with pytest.raises(Timeout):
        router.recv(timeout=0.02)


@with_drafts
def test_notices_lose_no_message_and_tear_none(new):
    router = new("ROUTER", router_notify=3, rcvhwm=5)
    router.bind("tcp://127.0.0.1:*")
    for peer in range(5):
        with new("DEALER", routing_id=b"%d" % peer, linger=LONG) as dealer:
            dealer.connect(router.last_endpoint)
            for number in range(40):
                dealer.send_multipart([b"%d" % number, b"end"])
    got, notices = {}, 0
    while sum(map(len, got.values())) < 200:
        peer, *parts = router.recv_multipart(timeout=LONG)
        if parts == [b""]:
            notices += 1
        else:
            got.setdefault(peer, []).append(parts)
    assert got == {b"%d" % p: [[b"%d" % n, b"end"] for n in range(40)] for p in range(5)}
    assert notices >= 5


@with_drafts
def test_notices_of_peers_that_leave_are_refused_where_a_router_connects(new):
    router = new("ROUTER", router_notify=3)
    with pytest.raises(ratchet.Error, match="router_notify asks for notices of peers that leave"):
        router.connect("tcp://127.0.0.1:1")
    router.bind("tcp://127.0.0.1:*")
    router.router_notify = 1
    with new("DEALER", routing_id=b"server") as dealer:
        dealer.bind("tcp://127.0.0.1:*")
        router.connect(dealer.last_endpoint)
        assert router.recv_multipart(timeout=LONG) == [b"server", b""]


@with_435
@pytest.mark.parametrize("transport", ["tcp", "inproc"])
def test_a_last_message_of_peers_that_leave(new, transport, inproc):
    endpoint = inproc if transport == "inproc" else "tcp://127.0.0.1:*"
    router, dealer = pair(
        new, "ROUTER", "DEALER", endpoint, disconnect_msg=b"bye",
        more={"routing_id": b"me", "linger": LONG},
    )  # fmt: skip
    dealer.send(b"x")
    assert router.recv_multipart(timeout=LONG) == [b"me", b"x"]
    dealer.close()
    assert router.recv_multipart(timeout=LONG) == [b"me", b"bye"]


@with_435
def test_peers_and_router_that_leave_at_once(new, inproc):
    for at in range(30):
        router = new("ROUTER", disconnect_msg=b"bye", linger=0)
        router.bind("tcp://127.0.0.1:*")
        router.bind(f"{inproc}-{at}")
        dealers = [new("DEALER", linger=0) for _ in range(4)]
        for dealer, endpoint in zip(
            dealers, [router.last_endpoint, f"{inproc}-{at}"] * 2, strict=True
        ):
            dealer.connect(endpoint)
            dealer.send(b"x")
        router.recv_multipart(timeout=LONG)
        for zsock in [*dealers[:2], router, *dealers[2:]][:: 1 if at % 2 else -1]:
            zsock.close()


@pytest.mark.skipif(not DRAFTS or VERSION >= (4, 3, 5), reason="of libzmq before 4.3.5")
def test_what_crashes_before_435_is_refused_there(new):
    with pytest.raises(ArgumentError, match=r"DISCONNECT_MSG is a draft option of libzmq 4\.3\.5"):
        new("ROUTER", disconnect_msg=b"bye")


@with_435
def test_a_message_when_a_connection_is_lost(new):
    router, dealer = pair(
        new, "ROUTER", "DEALER", more={"hiccup_msg": b"lost", "routing_id": b"me"}
    )
    dealer.send(b"x")
    router.recv_multipart(timeout=LONG)
    router.send_multipart([b"me", b"a", b"b"])
    assert dealer.recv_multipart(timeout=LONG) == [b"a", b"b"]
    router.close()
    assert dealer.recv_multipart(timeout=LONG) == [b"lost"]


# Publishers


def test_the_last_value_goes_to_the_last_subscriber(new):
    publisher = new("XPUB", xpub_manual_last_value=True)
    assert publisher.xpub_manual is True
    publisher.bind("tcp://127.0.0.1:*")
    subscribers = []
    for _ in range(2):
        subscribers.append(new("SUB", subscribe=b"a"))
        subscribers[-1].connect(publisher.last_endpoint)
        assert publisher.recv_all(timeout=LONG) == b"\1a"
        publisher.subscribe(b"a")
        publisher.send(b"a for number %d" % len(subscribers))
    publisher.send(b"a for all")
    assert [zsock.recv_all(timeout=LONG) for zsock in subscribers] == [
        b"a for number 1",
        b"a for number 2",
    ]
    assert [zsock.recv_all(timeout=LONG) for zsock in subscribers] == [b"a for all"] * 2


def test_the_last_value_of_subscribers_that_have_left(new):
    publisher = new("XPUB", xpub_manual_last_value=True)
    publisher.bind("tcp://127.0.0.1:*")
    for _ in range(10):
        with new("SUB", subscribe=b"a") as subscriber:
            subscriber.connect(publisher.last_endpoint)
            assert publisher.recv_all(timeout=LONG) == b"\1a"
        assert publisher.recv_all(timeout=LONG) == b"\0a"
        publisher.subscribe(b"a")
        publisher.send(b"a for nobody")


def test_subscriptions_by_hand_are_not_counted(new):
    with pytest.raises(ArgumentError, match="XPUB_MANUAL_LAST_VALUE: with track_peers"):
        new("XPUB", track_peers=True, xpub_manual_last_value=True)


def test_only_the_first_part_is_a_subscription(new):
    publisher, subscriber = pair(
        new, "XPUB", "XSUB", only_first_subscribe=True, more={"only_first_subscribe": True}
    )
    subscriber.send_multipart([b"news", b"\1no subscription"])
    assert publisher.recv_multipart(timeout=LONG) == [b"news", b"\1no subscription"]
    subscriber.subscribe(b"a")
    assert publisher.recv_multipart(timeout=LONG) == [b"\1a"]
    publisher.send_many([b"no", b"a"])
    assert subscriber.recv_all(timeout=LONG) == b"a"


@pytest.mark.skipif(VERSION < (4, 3, 5), reason="of libzmq 4.3.5")
def test_how_many_prefixes_are_subscribed_to(new):
    subscriber = new("SUB", subscribe=[b"a", b"b"])
    assert subscriber.topics_count == 2
    assert subscriber.getsockopt("TOPICS_COUNT") == 2


# Connections


def refusing():
    """An endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_refused_connect_is_given_up(new):
    endpoint = refusing()
    zsock = new("PUSH", reconnect_stop=1, reconnect_ivl=0.01, linger=None)
    monitor = zsock.monitor("CLOSED", "CONNECT_RETRIED", "CONNECTED")
    zsock.connect(endpoint)
    until(lambda: not zsock.is_writable())
    with pytest.raises(Timeout):
        zsock.send(b"x", timeout=0)
    with new("PULL") as pull:
        pull.bind(endpoint)
        with pytest.raises(Timeout):
            pull.recv(timeout=0.1)
    assert {event.name for event in iter_now(monitor)} <= {"CLOSED"}
    with pytest.raises(ratchet.Error):
        zsock.disconnect(endpoint)
    with new("PULL") as pull:
        pull.bind("tcp://127.0.0.1:*")
        zsock.connect(pull.last_endpoint)  # of another endpoint nothing is given up
        zsock.send(b"on", timeout=LONG)
        assert pull.recv(timeout=LONG) == (b"on", False)
    zsock.close()
    monitor.close()


def iter_now(monitor):
    while True:
        try:
            yield monitor.recv(timeout=0)
        except Timeout:
            return


@with_drafts
def test_a_priority_that_libzmq_may_die_of_is_refused(new):
    # Without CAP_NET_ADMIN libzmq aborts (ip.cpp, set_socket_priority), at each new connection.
    with pytest.raises(ArgumentError, match="from 0 to 6"):
        new("PUSH", priority=7)
    pull, push = pair(new, "PULL", "PUSH", priority=6, more={"priority": 6})
    push.send(b"x")
    assert pull.recv(timeout=LONG) == (b"x", False)


@with_435
def test_busy_polling_is_harmless_without_the_right_to_it(new):
    pull, push = pair(new, "PULL", "PUSH", busy_poll=50e-6, more={"busy_poll": 50e-6})
    push.send(b"x")
    assert pull.recv(timeout=LONG) == (b"x", False)
    assert pull.busy_poll == 50e-6


# Security


def test_an_enforced_domain_refuses_plain_without_one(new):
    # libzmq aborts when a peer comes (plain_server.cpp).
    server = new("PULL", plain_server=True, zap_enforce_domain=True)
    for call in (server.bind, server.connect):
        with pytest.raises(ratchet.Error, match="zap_enforce_domain is set"):
            call("tcp://127.0.0.1:5555")
    server = new("PULL", users={"me": "pw"}, zap_enforce_domain=True)
    with pytest.raises(ratchet.Error):
        server.connect("tcp://127.0.0.1:5555")
    server.bind("tcp://127.0.0.1:*")
    client = new("PUSH", plain_username="me", plain_password="pw")
    client.connect(server.last_endpoint)
    client.send(b"x", timeout=LONG)
    assert server.recv(timeout=LONG) == (b"x", False)


def test_what_a_proxy_asks_for_changes_nothing_of_the_refusal(new):
    zsock = new("PUSH", socks_proxy="127.0.0.1:1", socks_username="me", socks_password="pw")
    zsock.socks_username = None
    with pytest.raises(ratchet.Error, match="socks_proxy is set"):
        zsock.connect("tcp://127.0.0.1:1")
    zsock.socks_proxy = None
    zsock.connect("tcp://127.0.0.1:1")


@pytest.mark.parametrize("name", ["WSS_KEY_PEM", "NORM_MODE", "zmq_norm_push"])
def test_options_of_transports_that_are_refused(new, name):
    zsock = new("PUSH")
    for call in (lambda: zsock.setsockopt(name, 1), lambda: zsock.getsockopt(name)):
        with pytest.raises(ArgumentError, match="ratchet does not use"):
            call()


# In a program's own context, by number


def test_programs_contexts_refuse_what_libzmq_would_die_of(inproc):
    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, 6)
    try:
        for number, value in ((101, 1), (102, 1), (112, 7)):
            with pytest.raises(ArgumentError, match="libzmq"):
                zsock.set_int(number, value)
        if VERSION < (4, 3, 5):
            with pytest.raises(ArgumentError, match=r"before 4\.3\.5"):
                zsock.set_bytes(111, b"bye")
        if DRAFTS:
            zsock.set_bytes(110, b"hi")
            with pytest.raises(ArgumentError, match="HELLO_MSG"):
                zsock.bind(inproc)
        zsock.set_int(93, 1)
        zsock.set_int(44, 1)
        with pytest.raises(ArgumentError, match="ZAP_ENFORCE_DOMAIN"):
            zsock.bind("tcp://127.0.0.1:*")
        zsock.set_bytes(55, b"domain")
        zsock.bind("tcp://127.0.0.1:*")
    finally:
        zsock.close(linger=0)
        context.term()
