"""Publishers that know their subscribers: `subscribers`, `wait_subscribers`; no message is lost."""

import contextlib
import socket
import struct
import threading

import pytest
from harness.behaviour import behaviour
from harness.internals import paused_calls, peers_of
from harness.sockets import place_of
from harness.waiting import LONG, until

import ratchet
from ratchet import Timeout, zmqsocket
from ratchet.peers import Peers

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"


def stranger(address):
    """A plain connection that has said what a SUB says."""
    plain = socket.create_connection(place_of(address), LONG)
    plain.sendall(GREETING)
    left = 64
    while left:
        left -= len(plain.recv(left))
    plain.sendall(bytes([4, len(READY)]) + READY)
    return plain


def frame(data):
    return (
        bytes([0, len(data)]) if len(data) < 256 else b"\2" + struct.pack(">Q", len(data))
    ) + data


@behaviour
async def test_the_first_message_is_not_lost(rt, endpoint):
    pub, sub = rt.new("PUB", track_peers=True), rt.new("SUB", subscribe=b"a")
    address = pub.bind(endpoint)
    waiting = rt.spawn(pub.wait_subscribers(b"abc"))
    await rt.until(lambda: paused_calls(peers_of(pub)) == 1)
    sub.connect(address)
    assert await rt.join(waiting) == 1
    await pub.send(b"abc")
    assert (await sub.recv())[0] == b"abc"
    assert pub.subscribers() == pub.subscribers(b"a") == 1
    assert pub.subscribers(b"") == pub.subscribers(b"b") == 0
    sub.subscribe(b"")
    assert await pub.wait_subscribers(b"b") == 1
    sub.unsubscribe(b"")
    sub.unsubscribe(b"a")
    await rt.until(lambda: pub.subscribers() == 0)
    with pytest.raises(Timeout, match="0 of 1 subscribers were there within 0"):
        await pub.wait_subscribers(timeout=0)


@behaviour
async def test_a_publisher_that_connects(rt, endpoint):
    pub, sub = rt.new("PUB", track_peers=True), rt.new("SUB", subscribe=b"")
    pub.connect(sub.bind(endpoint))
    receiving = rt.spawn(sub.recv())  # libzmq's SUB tells what it wants in a call on it
    assert await pub.wait_subscribers() == 1
    await pub.send(b"first")
    assert (await rt.join(receiving))[0] == b"first"
    sub.close()
    await rt.until(lambda: pub.subscribers() == 0)


@pytest.mark.parametrize("kind", ["PUB", "XPUB"])
@behaviour
async def test_a_storm_of_subscribers(rt, tcp, kind):
    """They come, subscribe twice, leave with and without a word; the counts are right after it."""
    pub = rt.new(kind, track_peers=True)
    address = pub.bind(tcp)
    subs = []
    for number in range(60):
        sub = rt.new("SUB", subscribe=[b"a", b"a", b"ab"])
        sub.connect(address)
        if number % 3 == 0:
            # What comes and goes between two looks is not counted for certain (decision 036).
            await pub.wait_subscribers(b"a", len(subs) + 1)
            sub.close(linger=0)
            await rt.until(lambda: pub.subscribers(b"a") <= len(subs))
        else:
            subs.append(sub)
        if number % 7 == 0:
            await rt.turn()
    await rt.until(lambda: pub.subscribers(b"a") == 40)
    await rt.until(lambda: pub.subscribers(b"abc") == 40)
    for sub in subs[:20]:
        sub.unsubscribe(b"a")  # once of twice
        sub.unsubscribe(b"ab")
    await rt.until(lambda: len(pub.peers) == 40)
    assert await pub.wait_subscribers(b"ab", 40) == 40
    for sub in subs[:20]:
        sub.unsubscribe(b"a")
    await rt.until(lambda: pub.subscribers() == 20)
    for sub in subs:
        sub.close(linger=0)
    await rt.until(lambda: pub.subscribers() == 0)
    await rt.until(lambda: pub.peers == ())


@behaviour
async def test_what_was_subscribed_to_twice_ends_once(rt, endpoint):
    pub, sub = rt.new("PUB", track_peers=True), rt.new("SUB")
    sub.connect(pub.bind(endpoint))
    sub.subscribe(b"a")
    sub.subscribe(b"a")
    assert await pub.wait_subscribers(b"a") == 1
    sub.unsubscribe(b"a")
    sub.subscribe(b"b")
    assert await pub.wait_subscribers(b"b") == 1
    assert pub.subscribers(b"a") == 1
    sub.unsubscribe(b"a")
    await rt.until(lambda: pub.subscribers(b"a") == 0)


@pytest.mark.parametrize("kind", ["SUB", "XSUB"])
@behaviour
async def test_each_subscription_arrives(rt, endpoint, kind):
    """However many there were: without a look libzmq drops what comes after `sndhwm` of them."""
    xpub, sub = rt.new("XPUB", rcvhwm=10), rt.new(kind, sndhwm=10)
    sub.connect(xpub.bind(endpoint))
    for number in range(60):
        prefix = b"%d" % number
        sub.subscribe(prefix)
        assert await xpub.recv(timeout=LONG) == (b"\1" + prefix, False)
        sub.unsubscribe(prefix)
        assert await xpub.recv(timeout=LONG) == (b"\0" + prefix, False)


MANY = 3_000  # more than libzmq's mark, at either end over inproc


def arrived(xpub, sub):
    """How many prefixes an XPUB without options hears of, until the last one."""
    heard = set()

    def has_heard_of_last():
        sub.is_readable()  # a SUB that was bound tells in a call on it
        with contextlib.suppress(Timeout):
            heard.update(data[1:] for data in xpub.recv_many(MANY, timeout=0.01))
        return b"last" in heard

    until(has_heard_of_last)
    return len(heard) - 1


@pytest.mark.parametrize("remedy", [("SUB", {}), ("XSUB", {"sndhwm": 0})], ids=["SUB", "XSUB"])
@pytest.mark.parametrize("when", ["before", "between", "after"])
@pytest.mark.parametrize("binds", ["the publisher", "the subscriber"])
def test_of_many_subscriptions_none_is_lost(new, endpoint, remedy, when, binds):
    """libzmq drops those above `sndhwm`: a SUB has a high one, an XSUB's is to be set."""
    kind, options = remedy
    xpub, sub = new("XPUB"), new(kind, **options)
    bound, other = (xpub, sub) if binds == "the publisher" else (sub, xpub)
    prefixes = [*(b"%d" % number for number in range(MANY)), b"last"]
    if when == "before":
        for prefix in prefixes:
            sub.subscribe(prefix)
    other.connect(bound.bind(endpoint))
    if when == "after":
        sub.subscribe(b"first")
        until(lambda: sub.is_readable() or xpub.is_readable())
        xpub.recv()
    if when != "before":
        for prefix in prefixes:
            sub.subscribe(prefix)
    assert arrived(xpub, sub) == MANY


def test_a_publisher_that_is_restarted_is_told_of_many_subscriptions(new, ipc):
    sub = new("SUB", reconnect_ivl=0.001)
    sub.connect(ipc)
    for number in range(MANY):
        sub.subscribe(b"%d" % number)
    sub.subscribe(b"last")
    for _ in range(2):
        xpub = new("XPUB")
        xpub.bind(ipc)
        assert arrived(xpub, sub) == MANY
        xpub.close()


def test_a_subs_own_mark_is_kept(new):
    assert new("SUB").sndhwm == 1_000_000
    assert new("SUB", sndhwm=10).sndhwm == 10
    assert new("XSUB").sndhwm == new("PUB").sndhwm == 1000


def test_who_waits_for_subscribers_is_told_though_another_just_stops_waiting(new):
    """The thread that looks for both watched no more then, or was told to modify what it did not
    watch."""
    peers = peers_of(new("PUB", track_peers=True))
    told, others = [], []

    class Publisher:
        closed = False

        def _watch_in_thread(self, on):
            if not on:  # the other one begins right now
                others.append(threading.Thread(target=peers.watch().__enter__))
                others[0].start()
                others[0].join(0.2)  # it ends after this, or waits for this
            told.append(on)

    zsock, publisher = peers._zsock, Publisher()
    peers._zsock = lambda: publisher
    try:
        with peers.watch():
            pass
        others[0].join(LONG)
    finally:
        peers._zsock = zsock
    assert told == [True, False, True]


@behaviour
async def test_such_a_pub_behaves_as_one(rt, tcp):
    pub = rt.new("PUB", track_peers=True)
    assert pub.type == "PUB"
    with pytest.raises(ratchet.Error, match="a PUB socket only sends") as caught:
        await pub.recv(timeout=0)
    assert caught.value.code == "ENOTSUP"
    sub = rt.new("SUB", subscribe=b"")
    sub.connect(pub.bind(tcp))
    await pub.wait_subscribers()
    with pytest.raises(ratchet.Error, match="only sends"):
        await pub.recv_many(3, timeout=0)
    assert not pub.is_readable()
    assert pub.is_writable()
    await pub.send_multipart([b"a", b"b"])
    assert await sub.recv_multipart() == [b"a", b"b"]
    assert await pub.send_many([b"x"] * 100) == 100
    assert [(await sub.recv())[0] for _ in range(100)] == [b"x"] * 100


def test_what_it_refuses(new):
    with pytest.raises(ValueError, match="XPUB_MANUAL: with track_peers"):
        new("XPUB", track_peers=True, xpub_manual=True)
    with pytest.raises(ValueError, match="CONFLATE: a PUB with track_peers"):
        new("PUB", track_peers=True, conflate=True)
    new("XPUB", track_peers=True, xpub_manual=False)
    new("SUB", track_peers=True, conflate=True)


TOLD = {  # by option: what an XPUB receives when two subscribe to a, and both end
    None: [b"\1a", b"\0a"],
    "xpub_verbose": [b"\1a", b"\1a", b"\0a"],
    "xpub_verboser": [b"\1a", b"\1a", b"\0a", b"\0a"],
}


@pytest.mark.parametrize("option", TOLD)
@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("ends", ["unsubscribes", "closes"])
@behaviour
async def test_an_xpub_receives_what_its_options_promise(rt, tcp, option, tracks, ends):
    xpub = rt.new("XPUB", track_peers=tracks)
    if option:
        setattr(xpub, option, True)
    address = xpub.bind(tcp)
    subs = [rt.new("SUB", subscribe=b"a") for _ in range(2)]
    received = []

    async def receive(count):
        while len(received) < count:
            received.append((await xpub.recv())[0])

    wants = TOLD[option].count(b"\1a")
    for number, sub in enumerate(subs):
        sub.connect(address)
        if number == 0 or wants == 2:
            await receive(number + 1)
        elif tracks:
            assert await xpub.wait_subscribers(b"a", 2) == 2
    if not tracks:
        await rt.sleep(0.1)  # nothing tells that the second has subscribed
    for sub in subs:
        if ends == "closes":
            sub.close()
        else:
            sub.unsubscribe(b"a")
    await receive(len(TOLD[option]))
    assert received == TOLD[option]
    with pytest.raises(Timeout):
        await xpub.recv(timeout=0.02)


@behaviour
async def test_an_xpub_sends_before_it_has_received_what_was_subscribed(rt, endpoint):
    xpub, sub = rt.new("XPUB", track_peers=True), rt.new("SUB", subscribe=b"")
    sub.connect(xpub.bind(endpoint))
    assert await xpub.wait_subscribers() == 1
    await xpub.send(b"hello")
    await xpub.send_multipart([b"to", b"you"])
    assert await sub.recv_all() == b"hello"
    assert await sub.recv_all() == b"toyou"
    assert await xpub.recv() == (b"\1", False)


def test_an_xpub_hands_on_messages_of_an_xsub(new, tcp):
    xpub, xsub = new("XPUB", track_peers=True), new("XSUB")
    xsub.connect(xpub.bind(tcp))
    xsub.send(b"\1a")
    xsub.send_multipart([b"hello", b"there"])
    assert xpub.recv_multipart() == [b"\1a"]
    assert xpub.recv_multipart() == [b"hello", b"there"]
    assert xpub.subscribers(b"a") == 1


def test_a_proxy_of_an_xpub_counts_subscribers(new, inproc):
    """A proxy receives by itself what subscribers send, between two looks."""
    front, back = new("XSUB"), new("XPUB", track_peers=True)
    front.bind(inproc)
    back.bind(inproc + "2")
    pub, sub = new("XPUB"), new("SUB")
    pub.connect(inproc)
    sub.connect(inproc + "2")
    words = [b"%d;" % number for number in range(200)]
    with ratchet.Proxy(front, back):
        for word in words:
            sub.subscribe(word)
        assert [pub.recv_all() for _ in words] == [b"\1" + word for word in words]
        assert [back.subscribers(word) for word in words] == [1] * len(words)
        pub.send(words[-1])
        assert sub.recv_all() == words[-1]


def test_strangers_cannot_grow_its_memory(new, tcp):
    """What they send is taken in while it sends, a repeated subscription and its end as well."""
    pub = new("PUB", track_peers=True)
    address = pub.bind(tcp)
    peers, taken = peers_of(pub), []
    before_counting = peers.before_counting

    def count():
        taken.extend(peers._taken)
        before_counting()

    peers.before_counting = count
    with stranger(address) as plain:
        for number in range(1, 51):
            plain.sendall((frame(b"\1x") + frame(b"no subscription")) * 200)
            until(lambda due=400 * number: pub.send(b"y") or len(taken) >= due)
        assert pub.wait_subscribers(b"x") == 1
        plain.sendall(frame(b"\0x"))
        until(lambda: pub.subscribers() == 0)
        plain.sendall(frame(b"\0x") + frame(b"\1x"))
        assert pub.wait_subscribers(b"x") == 1
    until(lambda: pub.subscribers() == 0)
    assert not pub.is_readable()


def test_other_threads_run_while_much_is_taken_in(new, inproc):
    """And signal handlers: in Python code between two portions."""
    pub, sub = new("PUB", track_peers=True), new("SUB")
    sub.connect(pub.bind(inproc))
    peers, portions = peers_of(pub), []
    before_counting = peers.before_counting

    def count():
        portions.append(len(peers._taken))
        before_counting()

    peers.before_counting = count
    for number in range(5000):
        sub.subscribe(b"%d." % number)
    assert pub.subscribers(b"4999.") == 1
    assert sum(portions) == 5000
    assert max(portions) == 1000


def test_who_was_given_up_while_it_connected_is_no_subscriber(new, tcp):
    """libzmq ends such a connection without a word, and its descriptor tells."""
    pub, sub = new("PUB", track_peers=True), new("SUB")
    address = sub.bind(tcp)
    pub.connect(address)
    pub.wait_peers()
    pub.disconnect(address)
    peers = peers_of(pub)
    with socket.socket() as late:
        with peers._lock:
            peers._at(address).begin(late.fileno(), None)
            peers._ledger.enter(late.fileno())
        pub.subscribers()
        assert late.fileno() in peers._endpoints[address].begun
    pub.subscribers()
    assert not peers._endpoints[address].begun


def test_rounds_of_sockets_made_anew(tcp):
    """The figure is of 1,000 rounds; a test makes fewer."""
    for number in range(100):
        with (
            zmqsocket.new("PUB", track_peers=True, linger=0) as pub,
            zmqsocket.new("SUB", subscribe=b"a", linger=0) as sub,
        ):
            sub.connect(pub.bind(tcp))
            assert pub.wait_subscribers(b"a", timeout=LONG) == 1
            pub.send(b"a%d" % number)
            assert sub.recv(timeout=LONG)[0] == b"a%d" % number


def one_and_two(new, kind, inproc):
    """A publisher that knows its peers, and two that have not subscribed yet."""
    publisher, sub, other = new(kind, track_peers=True), new("SUB"), new("SUB")
    publisher.bind(inproc)
    sub.connect(inproc)
    other.connect(inproc)
    assert publisher.subscribers() == 0
    return publisher, sub, other


@pytest.mark.parametrize("by", ["a look", "sends"])
def test_what_comes_while_others_are_counted_is_counted_too(new, inproc, monkeypatch, by):
    """The ring for it is answered by a look, and nothing would ever have the publisher count it."""
    pub, sub, other = one_and_two(new, "PUB", inproc)
    seen, before_counting = [], Peers.before_counting

    def meanwhile(self):
        if not seen:
            other.subscribe(b"b")
            if by == "sends":  # another caller
                pub.is_writable()
        seen.extend(bytes(parts[0]) for _, parts in self._taken)
        before_counting(self)

    monkeypatch.setattr(Peers, "before_counting", meanwhile)
    sub.subscribe(b"a")
    if by == "a look":
        pub.is_writable()
    else:
        for _ in range(32):
            pub.send(b"x")
    assert seen == [b"\1a", b"\1b"]


RECEIVES = {
    "recv": lambda xpub: [xpub.recv()[0]],
    "recv_many": lambda xpub: xpub.recv_many(9),
    "recv_latest": lambda xpub: [xpub.recv_latest()],
    "recv_frames": lambda xpub: [bytes(frame) for frame in xpub.recv_frames()],
}


@pytest.mark.parametrize("receive", RECEIVES)
@pytest.mark.parametrize("when", ["while", "after"])
def test_an_xpub_receives_nothing_that_was_not_counted(new, inproc, monkeypatch, receive, when):
    """What comes while or after others are counted could be received before it is counted."""
    xpub, sub, other = one_and_two(new, "XPUB", inproc)
    counted, before_counting = [], Peers.before_counting

    def count(self):
        counted.extend(bytes(parts[0]) for _, parts in self._taken)
        before_counting(self)
        if len(counted) == 1:
            other.subscribe(b"b")
            if when == "while":
                with pytest.raises(Timeout):
                    xpub.recv(timeout=0)

    monkeypatch.setattr(Peers, "before_counting", count)
    sub.subscribe(b"a")
    received = []
    while received[-1:] != [b"\1b"]:
        received += RECEIVES[receive](xpub)
    assert counted == [b"\1a", b"\1b"]
    assert received == counted or receive == "recv_latest"
    assert xpub.subscribers(b"a") == xpub.subscribers(b"b") == 1
