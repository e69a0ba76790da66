"""Options of real sockets: libzmq takes what the table says, and has its defaults."""

import os
import socket

import pytest

from ratchet import zmqsocket
from ratchet.auth import ANY, CurveKeys
from ratchet.errors import ArgumentError, ClosedError, Timeout
from ratchet.options import Option, Options

PROPERTIES = {name: option for name, option in vars(Options).items() if isinstance(option, Option)}
WRITABLE = {name: option for name, option in PROPERTIES.items() if not option.read_only}


# A client's pair of the test keys in zmq_curve(7).
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
OWN = CurveKeys(PUBLIC, SECRET)


def check(name, password, address):
    return None


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def legal_values(name, option):
    special = {
        "bindtodevice": ["lo", None],
        "tcp_accept_filter": ["127.0.0.1", "10.0.0.0/8", None],
        "curve_publickey": [PUBLIC],
        "curve_secretkey": [SECRET],
        "curve_serverkey": [PUBLIC],
        "socks_proxy": ["proxy.example:1080", "x" * 1023, None],
        "xpub_welcome_msg": [b"hi", b"x" * 1000, b""],
        "plain_username": ["me", "ü" * 127, None],
        "plain_password": ["pw", "x" * 255, None],
        "use_fd": [None],
        "curve": [OWN],
        "server": [PUBLIC],
        "clients": [[PUBLIC], [], ANY],
        "users": [check],
        "allow": [["127.0.0.1", "10.0.0.0/8"], []],
        "deny": [["::1"], []],
        "metadata": [{"X-Name": "a:b", "X-Other": "ü"}],
        "rcvtimeo": [0.0, 1.5, None],
        "sndtimeo": [0.0, 1.5, None],
    }
    if name in special:
        return special[name]
    if option.takes.startswith("int"):
        values = [option.low, option.low + 1, option.high]
    elif option.takes.startswith("bool"):
        values = [True, False, True]
    elif option.takes.startswith("float"):
        values = [option.low / option.scale, float(option.step), option.high / option.scale]
    elif option.takes == "bytes":
        return [b"x", b"a\0b", b"x" * 255]
    else:
        return ["x", "ü" * (option.high // 2)]
    return values + [None] * (option.optional and name != "heartbeat_timeout")


def skip_if_lacking(option, error):
    if option.since and f"{option.name} is a draft option" in str(error):
        pytest.skip(str(error))
    if not option.needs or f"built with {option.needs}" not in str(error):
        raise error
    pytest.skip(str(error))


def real_for(new, option):
    return new(option.only[0] if option.only else "DEALER")


@pytest.mark.parametrize("name", WRITABLE)
def test_round_trip_through_libzmq(name, new):
    option = WRITABLE[name]
    zsock = real_for(new, option)
    for value in legal_values(name, option):
        try:
            setattr(zsock, name, value)
            got = getattr(zsock, name)
        except ArgumentError as error:
            skip_if_lacking(option, error)
        assert got == value
        assert type(got) is type(value)
        zsock.setsockopt(option.name, value)
        assert zsock.getsockopt(option.name) == value


@pytest.mark.parametrize("name", WRITABLE)
def test_documented_default_is_the_real_one(name):
    option = WRITABLE[name]
    for kind in option.only or ("PAIR", "PUSH", "ROUTER"):
        try:
            with zmqsocket.new(kind) as zsock:
                got = getattr(zsock, name)
        except ArgumentError as error:
            skip_if_lacking(option, error)
        assert got == option.default
        assert isinstance(got, bool) == isinstance(option.default, bool)


@pytest.mark.parametrize("name", [name for name, option in WRITABLE.items() if option.only])
def test_libzmq_takes_them_on_each_of_their_types(name, new):
    option = WRITABLE[name]
    for kind in option.only:
        value = legal_values(name, option)[0]
        try:
            zsock = new(kind, **{name: value})
        except ArgumentError as error:
            skip_if_lacking(option, error)
        assert getattr(zsock, name) == value


def test_none_where_it_is_none_already(new):
    zsock = new("DEALER", zap_domain=None, heartbeat_timeout=None, plain_username=None)
    assert (zsock.zap_domain, zsock.heartbeat_timeout, zsock.mechanism) == (None, None, "NULL")


def test_mechanism_follows_the_keywords_in_any_order(new):
    client = new("PUSH", plain_username="me", plain_password="pw", plain_server=False)
    assert (client.mechanism, client.plain_username) == ("PLAIN", "me")
    server = new("PULL", plain_server=True, plain_username="me", plain_password="pw")
    assert (server.mechanism, server.plain_server) == ("PLAIN", True)
    client.plain_username = None
    assert (client.mechanism, client.plain_username) == ("NULL", None)


def test_state_of_a_real_socket(new):
    zsock, peer = new("PAIR"), new("PAIR")
    assert (zsock.events, zsock.rcvmore, zsock.thread_safe) == (0, False, False)
    zsock.bind("inproc://options")
    peer.connect("inproc://options")
    peer.send(b"one", True)
    peer.send(b"two")
    assert zsock.recv() == (b"one", True)
    assert zsock.rcvmore is True
    assert zsock.events == 3
    assert zsock.recv() == (b"two", False)
    assert zsock.rcvmore is False
    assert zsock.fd == zsock.get_fd() >= 0
    assert zsock.getsockopt("TYPE") == "PAIR"
    assert zsock.getsockopt("LAST_ENDPOINT") == zsock.last_endpoint == "inproc://options"


def test_timeouts_of_a_real_socket():
    with zmqsocket.new("DEALER", rcvtimeo=0.0, sndtimeo=0.01) as zsock:
        assert (zsock.rcvtimeo, zsock.sndtimeo) == (0.0, 0.01)
        with pytest.raises(Timeout):
            zsock.recv()
        with pytest.raises(Timeout):
            zsock.send(b"nobody is there")
        zsock.set_timeout(3.0)
        assert (zsock.rcvtimeo, zsock.sndtimeo) == (3.0, 3.0)
        zsock.rcvtimeo = None
        assert (zsock.rcvtimeo, zsock.sndtimeo) == (None, 3.0)


def test_subscriptions_of_a_real_socket(new):
    publisher = new("XPUB", xpub_verboser=True, rcvtimeo=5.0)
    publisher.bind("inproc://subscriptions")
    subscriber = new("SUB", subscribe=[b"a", b"b"])
    subscriber.connect("inproc://subscriptions")
    assert {publisher.recv_all() for _ in range(2)} == {b"\1a", b"\1b"}
    subscriber.setsockopt("UNSUBSCRIBE", b"a")
    assert publisher.recv_all() == b"\0a"


def test_use_fd_takes_over_a_listener(new, listener):
    port = listener.getsockname()[1]
    zsock = new("PULL", use_fd=listener.fileno(), rcvtimeo=5.0)
    zsock.bind(f"tcp://127.0.0.1:{port}")
    new("PUSH").connect(f"tcp://127.0.0.1:{port}")


def test_use_fd_refuses_what_would_end_the_process(new, listener):
    zsock = new("PULL")
    reader, writer = os.pipe()
    os.close(writer)
    with socket.create_connection(listener.getsockname()) as connected:
        for descriptor in (reader, connected.fileno(), 1_000_000):
            with pytest.raises(ArgumentError, match="a socket that listens already"):
                zsock.use_fd = descriptor
        connected.getsockname()  # still open
    os.close(reader)
    zsock.use_fd = listener.fileno()
    listener.getsockname()  # still open
    assert zsock.use_fd == listener.fileno()


def test_options_of_a_closed_socket():
    zsock = zmqsocket.new("DEALER")
    zsock.close()
    with pytest.raises(ClosedError):
        _ = zsock.sndhwm
    with pytest.raises(ClosedError):
        zsock.sndhwm = 5
