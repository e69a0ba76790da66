"""Who is there: `track_peers`, `peers`, `wait_peers`, and Timeouts that tell why."""

import errno
import os
import re
import socket
import sys
import time

import pytest
from harness.behaviour import behaviour
from harness.internals import paused_calls, peers_of
from harness.sockets import place_of
from harness.waiting import LONG, Task, until

import ratchet
from ratchet import ClosedError, StateError, Timeout, peers, zmqsocket


def free_port():
    """One at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def deaf():
    """An endpoint at which nobody listens, and nobody will: it is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{taken.getsockname()[1]}"


@behaviour
async def test_both_sides_wait_for_each_other(rt, endpoint):
    bound, other = rt.new("PULL", track_peers=True), rt.new("PUSH", track_peers=True)
    assert bound.peers == other.peers == ()
    before = time.time()
    address = bound.bind(endpoint)
    waiting = rt.spawn(bound.wait_peers())
    await rt.until(lambda: paused_calls(peers_of(bound)) == 1)
    other.connect(address)
    assert await rt.join(waiting) == 1
    assert await other.wait_peers(timeout=LONG) == 1
    hosts = ("127.0.0.1", place_of(address)[0]) if address.startswith("tcp") else (None, None)
    for zsock, host in zip((bound, other), hosts, strict=True):
        (peer,) = zsock.peers
        assert (peer.endpoint, peer.address) == (address, host)
        assert before <= peer.since <= time.time()
    await other.send(b"at once", timeout=0)
    assert (await bound.recv())[0] == b"at once"
    other.close()
    await rt.until(lambda: not bound.peers)


@behaviour
async def test_so_many(rt, endpoint):
    bound = rt.new("PULL", track_peers=True)
    address = bound.bind(endpoint)
    others = [rt.new("PUSH") for _ in range(5)]
    three, five = (rt.spawn(bound.wait_peers(count)) for count in (3, 5))
    for zsock in others[:3]:
        zsock.connect(address)
    assert await rt.join(three) == 3
    with pytest.raises(Timeout, match="3 of 4 peers were there within 0 s"):
        await bound.wait_peers(4, timeout=0)
    for zsock in others[3:]:
        zsock.connect(address)
    assert await rt.join(five) == 5
    assert len(bound.peers) == 5
    others[0].connect(address)  # one socket, two connections
    assert await bound.wait_peers(6) == 6
    for zsock in others:
        zsock.close()
    await rt.until(lambda: not bound.peers)


@behaviour
async def test_close_and_wrong_use(rt, tcp):
    plain, tracking = rt.new("PUB"), rt.new("PULL", track_peers=True)
    for call in (
        lambda: plain.peers,
        plain.wait_peers,
        plain.subscribers,
        plain.wait_subscribers,
    ):
        with pytest.raises(StateError, match="make it with track_peers=True"):
            await call()
    with pytest.raises(ratchet.Error, match="only a PUB or XPUB has subscribers"):
        tracking.subscribers()
    with pytest.raises(TypeError, match="track_peers is True or False"):
        rt.new("PULL", track_peers="yes")
    with pytest.raises(TypeError, match="count"):
        await tracking.wait_peers("1")
    with pytest.raises(ValueError, match="count"):
        await tracking.wait_peers(0)
    waiting = rt.spawn(tracking.wait_peers())
    await rt.until(lambda: paused_calls(peers_of(tracking)) == 1)
    tracking.close()
    with pytest.raises(ClosedError):
        await rt.join(waiting)


async def refused(zsock, endpoint):
    """Wait until a timeout tells that nobody listens."""
    said = ""
    while "refused" not in said:
        with pytest.raises(Timeout) as caught:
            await zsock.wait_peers(timeout=0.1)
        said = str(caught.value)
    assert re.search(rf"{endpoint}: connection refused, tried \d+ times?", said)


@behaviour
async def test_a_timeout_tells_that_nobody_listens(rt, deaf):
    zsock = rt.new("PUSH", track_peers=True, immediate=True, reconnect_ivl=0.01)
    zsock.connect(deaf)
    await refused(zsock, deaf)
    with pytest.raises(Timeout, match=r"no peer could take it.*connection refused, tried"):
        await zsock.send(b"x", timeout=0.05)
    reader = rt.new("PULL", track_peers=True, reconnect_ivl=0.01)
    reader.connect(deaf)
    await refused(reader, deaf)
    with pytest.raises(Timeout, match=r"nothing came.*connection refused, tried"):
        await reader.recv(timeout=0.05)


@behaviour
async def test_the_timeout_of_a_request_tells_it_as_well(rt, deaf):
    req = rt.new("REQ", track_peers=True, reconnect_ivl=0.01)
    req.connect(deaf)
    await refused(req, deaf)
    with pytest.raises(Timeout, match=r"sent 2 times.*: connection refused, tried"):
        await req.request(b"x", timeout=0.01, retries=1)


def told(zsock, words):
    """Wait until a timeout tells it."""

    def tells():
        with pytest.raises(Timeout) as caught:
            zsock.wait_peers(timeout=0.1)
        return words in str(caught.value)

    until(tells, words)


def test_a_timeout_tells_what_is_wrong(new, tcp, ipc):
    zsock = new("PUSH", track_peers=True)
    with pytest.raises(Timeout, match="it is neither bound nor connected"):
        zsock.wait_peers(timeout=0.01)
    zsock.bind(tcp)
    with pytest.raises(Timeout, match="no peer yet"):
        zsock.send(b"x", timeout=0.01)
    gone = new("PUSH", track_peers=True, reconnect_ivl=0.01)
    gone.connect(ipc)
    with pytest.raises(Timeout, match=f"{ipc}: no such socket, tried"):
        gone.wait_peers(timeout=0.3)
    nowhere = new("PUSH", track_peers=True, reconnect_ivl=0.01)
    nowhere.connect("tcp://no-such-host.invalid:5555")
    told(nowhere, "tcp://no-such-host.invalid:5555: name not found, tried")


def test_a_timeout_tells_how_the_handshake_failed(new, tcp):
    server, client = new("REP", plain_server=True), new("REQ", track_peers=True)
    client.connect(server.bind(tcp))
    told(client, "the handshake failed: ZMTP_MECHANISM_MISMATCH")


def test_a_timeout_tells_that_the_types_do_not_go_together(new, tcp):
    server, client = new("PUB"), new("REQ", track_peers=True)
    address = server.bind(tcp)
    client.connect(address)
    told(client, f"{address}: connected, and the connection ended in the handshake")


def test_a_stream_has_no_handshake_that_could_fail(new):
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = new("STREAM", track_peers=True, reconnect_ivl=60)
        stream.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        server.accept()[0].close()
        until(lambda: len([stream.recv_multipart() for _ in range(2)]) == 2)  # it came, and left
        told(stream, "no connection yet")


def test_a_timeout_tells_who_was_refused(new, tcp):
    handler, server = new("REP"), new("REP", plain_server=True, zap_domain="test")
    handler.bind("inproc://zeromq.zap.01")

    def refuse():
        while True:
            version, request = handler.recv_multipart()[:2]
            handler.send_multipart([version, request, b"400", b"no", b"", b""])

    refusing = Task(refuse)
    client = new("REQ", plain_username="me", plain_password="secret", track_peers=True)
    endpoint = server.bind(tcp)
    client.connect(endpoint)
    told(client, f"{endpoint}: refused by the server: 400")
    handler.close()
    with pytest.raises(ClosedError):
        refusing.value()


def test_connected_but_full(new, tcp):
    push, pull = new("PUSH", track_peers=True, sndhwm=1, sndbuf=4096), new("PULL", rcvhwm=1)
    endpoint = pull.bind(tcp)
    push.connect(endpoint)
    assert push.wait_peers() == 1
    with pytest.raises(Timeout, match=f"{endpoint}: connected"):
        push.send_many([bytes(10_000)] * 100_000, timeout=0.3)


def test_counts_are_right_after_a_storm(new, tcp, rng):
    """Peers come, go, and connect twice; plain connections fail the handshake meanwhile."""
    server = new("PULL", track_peers=True)
    endpoint = server.bind(tcp)
    place = place_of(endpoint)
    open_ones = []
    for _ in range(150):
        action = rng.randrange(4)
        if action == 0 and open_ones:
            open_ones.pop(rng.randrange(len(open_ones)))[0].close(linger=0)
        elif action == 1:
            with socket.create_connection(place, LONG) as plain:
                plain.recv(1)
        elif action == 2:
            with zmqsocket.new("PUSH", linger=0, track_peers=True) as brief:
                brief.connect(endpoint)  # in mid-handshake libzmq may not notice its end for long
                brief.wait_peers(timeout=LONG)
        else:
            zsock, times = new("PUSH"), rng.randrange(1, 3)
            for _ in range(times):
                zsock.connect(endpoint)
            open_ones.append((zsock, times))
    expected = sum(times for _, times in open_ones)
    # One that has left may still be counted for a moment, without an address.
    there = ["127.0.0.1"] * expected
    until(lambda: [peer.address for peer in server.peers] == there, f"{expected} peers")
    for zsock, _ in open_ones:
        zsock.close(linger=0)
    until(lambda: server.peers == (), "no peers")


def test_bind_and_connect_on_both_sides(new):
    one, other = new("DEALER", track_peers=True), new("DEALER", track_peers=True)
    for zsock in (one, other):
        zsock.bind("tcp://127.0.0.1:*")
    first, second = one.last_endpoint, other.last_endpoint
    one.connect(second)
    other.connect(first)
    assert one.wait_peers(2) == other.wait_peers(2) == 2
    assert {peer.endpoint for peer in one.peers} == {first, second}
    one.disconnect(second)
    assert [peer.endpoint for peer in one.peers] == [first]
    # libzmq goes on with it at the next call on that socket.
    until(lambda: one.is_readable() or len(other.peers) == 1)
    other.close(linger=0)
    until(lambda: one.peers == ())


def test_what_was_given_up_is_not_there(new, tcp):
    """However soon, and whatever libzmq tells of it afterwards."""
    server = new("PULL", track_peers=True)
    endpoint = server.bind(tcp)
    client = new("PUSH", track_peers=True)
    for _ in range(30):
        client.connect(endpoint)
        client.disconnect(endpoint)
    with pytest.raises(Timeout, match="it is neither bound nor connected"):
        client.wait_peers(timeout=0.1)
    assert client.peers == ()
    client.connect(endpoint)
    assert client.wait_peers() >= 1
    until(lambda: client.is_writable() and len(client.peers) == 1)


def test_so_many_that_were_given_up_are_remembered(new, monkeypatch):
    """And what libzmq tells of them afterwards is forgotten with them."""
    monkeypatch.setattr(peers, "GIVEN_UP", 10)
    zsock = new("PUSH", track_peers=True)
    known = peers_of(zsock)
    endpoints = [f"tcp://127.0.0.1:{port}" for port in range(10_000, 10_030)]
    for endpoint in endpoints:
        zsock.connect(endpoint)
        zsock.disconnect(endpoint)
        with known._lock:
            known._at(endpoint).succeed()  # as an event that comes late
    assert list(known._given_up) == endpoints[-10:]
    with known._lock:
        assert not set(endpoints[:-10]).intersection(known._endpoints)
    assert zsock.peers == ()


def test_by_a_name_and_at_any_address(new):
    server, client = new("PULL", track_peers=True), new("PUSH", track_peers=True)
    server.bind("tcp://*:*")
    endpoint = f"tcp://localhost:{server.last_endpoint.rpartition(':')[2]}"
    client.connect(endpoint)
    assert client.wait_peers() == server.wait_peers() == 1
    assert [peer.endpoint for peer in server.peers] == [server.last_endpoint]
    assert [peer.endpoint for peer in client.peers] == [endpoint]
    assert client.peers[0].address == "127.0.0.1"
    with pytest.raises(Timeout, match=f"{endpoint}: connected"):
        client.wait_peers(2, timeout=0)


def test_a_server_that_is_killed_and_comes_back(new, script):
    port = free_port()
    client = new("DEALER", track_peers=True, reconnect_ivl=0.01)
    endpoint = f"tcp://127.0.0.1:{port}"
    client.connect(endpoint)
    for _ in range(3):
        server = script(f"""
            with zmqsocket.new("DEALER") as zsock:
                zsock.bind({endpoint!r})
                print("up", flush=True)
                zsock.recv()
        """)
        assert client.wait_peers() == 1
        server.process.kill()
        until(lambda: client.peers == ())


def test_over_inproc_by_a_table_of_its_own(new, inproc):
    early, late = new("PUSH", track_peers=True), new("PUSH")
    early.connect(inproc)
    with pytest.raises(Timeout, match="no peer yet"):
        early.wait_peers(timeout=0.01)
    waiting = Task(early.wait_peers)
    bound = new("PULL", track_peers=True)
    bound.bind(inproc)
    assert waiting.value() == 1
    late.connect(inproc)
    assert bound.wait_peers(2, timeout=0) == 2
    late.disconnect(inproc)
    assert len(bound.peers) == 1
    bound.unbind(inproc)
    assert len(bound.peers) == len(early.peers) == 1  # libzmq leaves them connected
    bound.close()
    assert early.peers == ()
    with zmqsocket.new("PULL", track_peers=True) as again:
        again.bind(inproc)  # libzmq connects nobody anew
        assert again.peers == early.peers == ()


def test_a_stream_has_peers_too(new, tcp):
    stream = new("STREAM", track_peers=True)
    with socket.create_connection(place_of(stream.bind(tcp)), LONG):
        assert stream.wait_peers() == 1
    until(lambda: stream.peers == ())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of this kind")
def test_out_of_descriptors(run):
    run("""
        import resource
        with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH", track_peers=True) as push:
            endpoint = pull.bind("tcp://127.0.0.1:*")
            push.connect(endpoint)
            push.wait_peers()
            with zmqsocket.new("PUSH") as other:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
                push.disconnect(endpoint)
                assert push.peers == ()
                try:
                    other.monitor()
                except ratchet.Error as error:
                    assert str(error).startswith("cannot monitor the PUSH socket"), error
                else:
                    raise AssertionError("monitored")
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child(run):
    run("""
        with zmqsocket.new("PUB", track_peers=True) as pub:
            endpoint = pub.bind("tcp://127.0.0.1:*")

            def child():
                for call in (lambda: pub.peers, pub.wait_peers, pub.subscribers,
                             pub.wait_subscribers):
                    try:
                        call()
                    except ratchet.ForkedError:
                        continue
                    raise AssertionError(call)
                with zmqsocket.new("SUB", track_peers=True) as own:
                    own.connect(endpoint)
                    own.wait_peers(timeout=10)

            assert fork(child) == 0
            with zmqsocket.new("SUB", subscribe=b"") as sub:
                sub.connect(endpoint)
                assert pub.wait_subscribers(timeout=10) == 1
    """)


def test_the_errno_of_a_timeout(new):
    zsock = new("PULL", track_peers=True)
    with pytest.raises(Timeout) as caught:
        zsock.wait_peers(timeout=0)
    assert caught.value.errno == errno.ETIMEDOUT
    with pytest.raises(Timeout):
        zsock.recv(timeout=0)


@pytest.mark.parametrize("end", ["disconnect", "unbind"])
def test_what_a_resting_socket_has_dropped_is_gone(new, tcp, end):
    """libzmq ends a connection when its socket is used next; until then the peer sends into it."""
    for _ in range(5):  # an I/O thread may be later than is waited for
        bound, other = new("PUSH", track_peers=True), new("PULL", track_peers=True)
        endpoint = bound.bind(tcp)
        other.connect(endpoint)
        rests, hears = (other, bound) if end == "disconnect" else (bound, other)
        assert rests.wait_peers(timeout=LONG) == hears.wait_peers(timeout=LONG) == 1
        getattr(rests, end)(endpoint)
        deadline = time.monotonic() + 1.0
        while hears.peers and time.monotonic() < deadline:
            time.sleep(0.001)
        if not hears.peers:
            return
        bound.close()
        other.close()
    pytest.fail("its connection is still there")
