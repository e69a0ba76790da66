"""The option heartbeat: three of libzmq's as one, and what they do."""

import os
import signal
import time

import pytest
from harness.waiting import until

from ratchet import ArgumentError, options, zmqsocket

PEER = """
zsock, plain = zmqsocket.new("PULL"), zmqsocket.new("PULL")
zsock.connect(sys.argv[1])
plain.connect(sys.argv[2])
print("ready", flush=True)
while True:  # busy, with no call on a socket
    pass
"""


def three(zsock):
    return zsock.heartbeat_ivl, zsock.heartbeat_timeout, zsock.heartbeat_ttl


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (5, (5.0, 5.0, 10.0)),
        (0.25, (0.25, 0.25, 0.5)),
        (0.01, (0.01, 0.01, 0.1)),  # libzmq counts the last in tenths
        (0.0001, (0.001, 0.001, 0.1)),
        (3276.75, (3276.75, 3276.75, 6553.5)),
    ],
)
def test_what_it_sets(new, value, found):
    for zsock in (new("DEALER", heartbeat=value), new("DEALER"), new("DEALER")):
        zsock.setsockopt("heartbeat", value)
        assert three(zsock) == found
        assert zsock.heartbeat == zsock.getsockopt("HEARTBEAT") == found[0]


def test_off(new):
    zsock = new("DEALER", heartbeat=5)
    zsock.heartbeat = 0
    assert zsock.heartbeat == zsock.heartbeat_ivl == zsock.heartbeat_ttl == 0
    assert new("DEALER", heartbeat=0).heartbeat == 0
    assert three(new("DEALER", heartbeat=0)) == three(new("DEALER"))


def test_three_that_were_set_otherwise(new):
    zsock = new("DEALER", heartbeat=5)
    zsock.heartbeat_ttl = 7
    assert zsock.heartbeat is None
    zsock.heartbeat_ivl = 0
    assert zsock.heartbeat == 0
    assert new("DEALER", heartbeat_ivl=1).heartbeat is None
    assert new("DEALER", heartbeat_ivl=1, heartbeat_ttl=2).heartbeat == 1
    assert new("DEALER", heartbeat_ivl=1, heartbeat_ttl=2, heartbeat_timeout=3).heartbeat is None


@pytest.mark.parametrize("value", [3276.751, 6553.5, -1, float("nan"), float("inf")])
def test_out_of_range(new, value):
    with pytest.raises(ArgumentError, match=r"3276\.75 .*heartbeat_ttl.*6553\.5"):
        new("DEALER", heartbeat=value)


@pytest.mark.parametrize("part", ["heartbeat_ivl", "heartbeat_timeout", "heartbeat_ttl"])
def test_together_with_its_parts(part):
    with pytest.raises(TypeError, match=f"'heartbeat' sets '{part}' as well"):
        zmqsocket.new("DEALER", **{"heartbeat": 5, part: 5})


def test_it_is_told_apart_from_libzmqs():
    assert options.TABLE["HEARTBEAT"].own
    assert "ratchet's own" in (zmqsocket.ZMQSocket.heartbeat.__doc__ or "")


@pytest.fixture
def peer(new, script):
    """Two PUSH with a peer in another process, of which the first has a heartbeat."""
    zsock, plain = new("PUSH", heartbeat=0.5), new("PUSH")
    program = script(PEER, zsock.bind("tcp://127.0.0.1:*"), plain.bind("tcp://127.0.0.1:*"))
    program.said("ready")
    until(lambda: zsock.is_writable() and plain.is_writable(), "the peers")
    return zsock, plain, program


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process")
def test_a_peer_that_is_stopped_is_dropped(peer):
    zsock, plain, program = peer
    os.kill(program.process.pid, signal.SIGSTOP)
    try:
        until(lambda: not zsock.is_writable(), "the peer to be dropped")
        assert plain.is_writable()
    finally:
        os.kill(program.process.pid, signal.SIGCONT)
    until(zsock.is_writable, "the peer to come back")


def test_a_peer_that_is_busy_is_not(peer):
    """libzmq answers in a thread of its own."""
    zsock = peer[0]
    end = time.monotonic() + 2  # two heartbeats, and as many to answer them
    while time.monotonic() < end:
        assert zsock.is_writable()
        time.sleep(0.01)
