"""Who is connected, from libzmq's events in every order in which they come: no socket here."""

import random
import socket
import sys

import pytest

from ratchet._connections import Attempts, Endpoint
from ratchet._probe import Probe
from ratchet._zmq import address_of
from ratchet.monitoring import error_of


def known(endpoint):
    return sorted(endpoint.done)


def test_one_after_another():
    endpoint = Endpoint()
    endpoint.begin(5, "1.2.3.4")
    assert len(endpoint) == 0
    endpoint.succeed()
    assert [(peer.endpoint, peer.address) for peer in endpoint.peers("tcp://a")] == [
        ("tcp://a", "1.2.3.4")
    ]
    endpoint.end(5)
    assert len(endpoint) == 0


def test_overlapping_handshakes_are_counted_and_told_apart_when_they_can_be():
    endpoint = Endpoint()
    endpoint.begin(5, "a")
    endpoint.begin(6, "b")
    endpoint.succeed()
    assert len(endpoint) == 1
    assert [peer.address for peer in endpoint.peers("")] == [None]
    endpoint.failed += 1
    endpoint.end(5)  # so the other one is done
    assert known(endpoint) == [6]
    assert [peer.address for peer in endpoint.peers("")] == ["b"]


def test_the_one_that_ends_was_done():
    endpoint = Endpoint()
    for fd in (5, 6):
        endpoint.begin(fd, None)
    endpoint.succeed()
    endpoint.end(5)  # no handshake has failed
    assert len(endpoint) == 0
    endpoint.succeed()
    assert known(endpoint) == [6]


def test_several_threads_tell():
    endpoint = Endpoint()
    endpoint.succeed()
    assert len(endpoint) == 0
    endpoint.begin(5, "a")
    assert known(endpoint) == [5]
    endpoint.succeed()
    endpoint.end(6)
    endpoint.begin(6, "b")  # told last, and over by then
    assert known(endpoint) == [5]
    assert len(endpoint) == 1


def test_a_handshake_that_is_told_when_its_connection_was_given_up_counts_for_none():
    endpoint = Endpoint()
    endpoint.succeed()
    assert len(endpoint) == len(list(endpoint.peers(""))) == 0
    endpoint.begin(5, "a")
    endpoint.succeed()
    assert len(endpoint) == len(list(endpoint.peers(""))) == 1
    endpoint.end(5)
    assert len(endpoint) == len(list(endpoint.peers(""))) == 0


@pytest.mark.parametrize("seed", range(100))
def test_the_number_is_right_in_any_order(seed):
    rng = random.Random(seed)
    endpoint, begun, done = Endpoint(), [], []
    for number in range(100):
        act = rng.randrange(4)
        if act == 0 or not begun + done:
            begun.append(number)
            endpoint.begin(number, None)
        elif act == 1 and begun:
            done.append(begun.pop(rng.randrange(len(begun))))
            endpoint.succeed()
        elif act == 2 and begun:
            endpoint.failed += 1
            endpoint.end(begun.pop(rng.randrange(len(begun))))
        elif done:
            endpoint.end(done.pop(rng.randrange(len(done))))
        assert len(endpoint) == len(done)


def test_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as one:
            assert address_of(one.fileno()) == "127.0.0.1"
            one.getpeername()  # it is still open
        assert address_of(server.fileno()) is None
    assert address_of(9_999) is None


def test_an_address_is_found_without_a_step_of_python():
    """A signal handler that raised there would have had a Python socket close the descriptor."""
    steps = []
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        sys.settrace(lambda frame, *_: steps.append(frame.f_code.co_name))
        address_of(one.fileno())
        sys.settrace(None)
    assert steps == []


def test_tries_are_counted_from_the_last_connection(monkeypatch):
    monkeypatch.setattr("ratchet._connections.Probe", lambda _: None)
    attempts = Attempts()
    for name in ("CONNECT_DELAYED", "CLOSED", "CONNECT_RETRIED") * 3:
        attempts.told(name, 0, "tcp://a:1")
    assert attempts.why("tcp://a:1") == "tcp://a:1: no answer, tried 3 times"
    for name in ("CONNECTED", "HANDSHAKE_SUCCEEDED", "DISCONNECTED", "CONNECT_RETRIED"):
        attempts.told(name, 0, "tcp://a:1")
    assert attempts.why("tcp://a:1") is None
    attempts.told("CLOSED", 0, "tcp://a:1")
    assert attempts.why("tcp://a:1") == "tcp://a:1: no answer, tried 1 time"


def test_a_probe_that_is_answered_is_gone_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = Probe(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        with server.accept()[0] as peer:
            assert probe.result() is None
            assert peer.recv(1) == b""
    probe.close()
    assert Probe("pgm://x").result() is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("HANDSHAKE_FAILED_AUTH", 300, "tcp://a: refused by the server: 300"),
        ("HANDSHAKE_FAILED_PROTOCOL", 0x20000003, "tcp://a: the handshake failed: ZAP_BAD_VERSION"),
        ("HANDSHAKE_FAILED_PROTOCOL", 7, "tcp://a: the handshake failed: 0x00000007"),
        ("HANDSHAKE_FAILED_NO_DETAIL", 0, "tcp://a: the handshake failed"),
        ("ACCEPT_FAILED", 24, "tcp://a: cannot accept a connection: Too many open files"),
        ("CONNECTED", 9, None),
    ],
)
def test_errors_of_events(name, value, text):
    error = error_of(name, value, "tcp://a")
    assert (error and error.strerror) == text
