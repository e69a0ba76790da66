"""Socket types: their names, and the old ones."""

import pytest

from ratchet import zmqsocket

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
