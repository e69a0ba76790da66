"""`prepare_uri`: what is a ratchet URI, and that anything else is refused with the form."""

import pytest

import ratchet
from ratchet.socket_types import OLD_NAMES, TYPES
from ratchet.zmqsocket import prepare_uri

ENDPOINTS = [
    "tcp://*:1337",
    "tcp://127.0.0.1:*",
    "tcp://eth0;192.168.1.1:5555",
    "tcp://[::1]:5555",
    "ipc:///tmp/zmq:pull:sock",
    "ipc://@abstract",
    "inproc://Some NAME: with anything ",
    "epgm://eth0;239.192.1.1:5555",
    "udp://239.0.0.1:9999",
]


@pytest.mark.parametrize("type", [*TYPES, *OLD_NAMES])
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("scheme", ["zmq:", ""])
def test_every_type_in_any_case(scheme, type, case):
    record = prepare_uri(f"{scheme}{case(type)}:tcp://*:1337")
    assert record.type == record["type"] == type
    assert record.endpoint == record["endpoint"] == "tcp://*:1337"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("prefix", ["zmq:pull:", "pull:"])
def test_the_endpoint_is_untouched(prefix, endpoint):
    assert prepare_uri(prefix + endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "zmq:",
        "zmq",
        "pull",
        "zmq:pull",
        "zmq:pull:",
        "pull:",
        ":tcp://*:1337",
        "zmq::tcp://*:1337",
        "tcp://*:1337",
        "zmq:tcp://*:1337",
        "zmq:zmq:pull:tcp://*:1337",
        "http:pull:tcp://*:1337",
        "zmq:pusher:tcp://*:1337",
        "zmq:PUL:tcp://*:1337",
        "zmq: pull:tcp://*:1337",
        "zmq:7:tcp://*:1337",
        "zmq:SERVER:tcp://*:1337",
        "zmq:pu\u017fh:tcp://*:1337",  # a long s, whose upper case is an S
        "zmq:\ufb06ream:tcp://*:1337",  # a ligature, whose upper case is ST
        b"zmq:pull:tcp://*:1337",
        None,
        1337,
    ],
)
def test_anything_else(wrong):
    with pytest.raises(ratchet.UriError) as caught:
        prepare_uri(wrong)
    message = str(caught.value)
    assert repr(wrong) in message
    assert "zmq:TYPE:ENDPOINT" in message
    assert "PULL" in message
    assert isinstance(caught.value, ValueError)


def test_a_field_that_is_none():
    record = prepare_uri("zmq:sub:inproc://x")
    with pytest.raises(KeyError, match=r"type.*endpoint"):
        record["host"]
    assert tuple(record) == (record[0], record[1]) == ("SUB", "inproc://x")


def test_from_uri_to_socket(inproc):
    record = prepare_uri(f"zmq:xrep:{inproc}")
    with ratchet.zmqsocket.new(record.type) as zsock:
        zsock.bind(record.endpoint)
        assert (zsock.type, zsock.last_endpoint) == ("ROUTER", inproc)
