"""`pair` and `free_endpoint` of `ratchet.testing`: connected, and of the caller's kind."""

import asyncio
import socket
import sys

import pytest
import trio

import ratchet.asyncio
import ratchet.trio
from ratchet import Timeout, has, zmqsocket
from ratchet.testing import free_endpoint, pair

TRANSPORTS = ["inproc", "tcp", *(["ipc"] if has("ipc") else [])]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_first_message_arrives(transport):
    with pair("PUB", "SUB", transport=transport) as (pub, sub):
        pub.send(b"first")  # a PUB would drop it if the subscription were not there
        assert sub.recv_all() == b"first"
    with pair("SUB", "PUB", transport=transport) as (sub, pub):
        pub.send(b"first")
        assert sub.recv_all() == b"first"
    assert pub.closed
    assert sub.closed
    with pair("PUSH", "PULL", transport=transport) as (push, pull):
        push.send(b"now", timeout=0)
        assert pull.recv_all() == b"now"


def test_a_pair_has_a_timeout_and_options():
    with pair("PUSH", "PULL", sndhwm=1, rcvhwm=1, timeout=0.01) as (push, pull):
        assert (push.sndhwm, pull.rcvhwm) == (1, 1)
        with pytest.raises(Timeout, match="connected"):  # it tells what the connection does
            pull.recv()
    with pair("PUB", "SUB", subscribe=b"a") as (pub, sub):
        pub.send(b"b")
        pub.send(b"a")
        assert sub.recv_all() == b"a"
    with pair(track_peers=False) as (left, right):
        left.send(b"x")
        assert right.recv_all() == b"x"


def test_types_that_do_not_fit(monkeypatch):
    monkeypatch.setattr("ratchet.testing.pairs.TIMEOUT", 0.1)
    with pytest.raises(Timeout, match="do the types fit"), pair("PUSH", "PUB", transport="tcp"):
        pass


def test_in_tasks():
    async def main(module):
        with pair("REQ", "REP") as (req, rep):
            assert isinstance(req, module.ZMQSocket)
            await req.send(b"question")
            assert await rep.recv_all() == b"question"
        with pair(new=zmqsocket.new) as (left, _):
            assert isinstance(left, zmqsocket.ZMQSocket)

    asyncio.run(main(ratchet.asyncio))
    trio.run(main, ratchet.trio)


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux does with SO_REUSEADDR")
def test_a_port_is_kept():
    with free_endpoint() as endpoint:
        port = int(endpoint.rpartition(":")[2])
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with zmqsocket.new("PUSH") as push, zmqsocket.new("PULL") as pull:
            push.connect(endpoint)
            push.send(b"early")
            pull.bind(endpoint)
            assert pull.recv_all(timeout=10) == b"early"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_endpoints_are_free(transport):
    with free_endpoint(transport) as one, free_endpoint(transport) as other:
        assert one != other
        with zmqsocket.new("PULL") as pull, zmqsocket.new("PULL") as second:
            pull.bind(one)
            second.bind(other)


def test_an_unknown_transport():
    with pytest.raises(ValueError, match="'udp'"), free_endpoint("udp"):
        pass
