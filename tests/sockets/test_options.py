"""Options of real sockets: libzmq takes what the table says, and has its defaults."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from ratchet import options, zmqsocket
from ratchet.errors import ArgumentError, ClosedError, Timeout
from ratchet.options import Option, Options

PROPERTIES = {name: option for name, option in vars(Options).items() if isinstance(option, Option)}
WRITABLE = {name: option for name, option in PROPERTIES.items() if not option.read_only}


# A client's pair of the test keys in zmq_curve(7).
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


# The example of RFC 32, 8 bytes that are "HelloWorld", as often as makes a key.
HELLO = bytes([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]) * 4


Make = Callable[..., zmqsocket.ZMQSocket]


class Fake(Options):
    """A socket of dicts, in place of libzmq; it refuses the numbers in `refuses`."""

    def __init__(self, type: str = "DEALER", refuses: tuple[int, ...] = ()) -> None:
        self.type = type
        self.refuses = refuses
        self.last_endpoint = "inproc://here"
        self.raw: dict[int, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self._remembered: dict[str, Any] | None = None
        self._recv_timeout = self._send_timeout = -1.0

    def _get(self, number: int, missing: Any) -> Any:
        if number in self.refuses:
            raise ArgumentError(22, "read option: Invalid argument")
        return self.raw.get(number, missing)

    def _set(self, number: int, value: Any) -> None:
        if number in self.refuses:
            raise ArgumentError(22, "set option: Invalid argument")
        self.calls.append((str(number), value))
        self.raw[number] = value

    def _get_int(self, number: int) -> Any:
        return self._get(number, 0)

    def _get_bytes(self, number: int, size: int) -> Any:
        return self._get(number, b"")

    def _set_int(self, number: int, value: int) -> None:
        assert -(2**31) <= value < 2**31
        self._set(number, value)

    def _set_int64(self, number: int, value: int) -> None:
        assert -(2**63) <= value < 2**63
        self._set(number, value)

    def _set_uint64(self, number: int, value: int) -> None:
        assert 0 <= value < 2**64
        self._set(number, value)

    def _set_bytes(self, number: int, value: bytes) -> None:
        assert type(value) is bytes
        self._set(number, value)

    _get_int64 = _get_uint64 = _get_int

    def subscribe(self, prefix: bytes) -> None:
        self.calls.append(("subscribe", prefix))

    def unsubscribe(self, prefix: bytes) -> None:
        self.calls.append(("unsubscribe", prefix))

    def get_fd(self) -> int:
        return 7

    def is_readable(self) -> bool:
        return False

    def is_writable(self) -> bool:
        return True

    def is_rcvmore(self) -> bool:
        return True


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[zmqsocket.ZMQSocket] = []

    def new(type: str, **given: Any) -> zmqsocket.ZMQSocket:
        made.append(zmqsocket.new(type, **given))
        return made[-1]

    yield new
    for zsock in made:
        zsock.close(linger=0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


WRONG: dict[str, list[Any]] = {
    "int": [True, 1.0, "1", b"1", None, [1]],
    "int | None": [True, 1.0, "1", [1]],
    "bool": [1.0, "True", b"", None],
    "bool | None": [0.5, "True", b""],
    "float": [True, "1", b"1", None, 1j],
    "float | None": [True, "1", b"1", [1], 1j],
    "bytes": ["text", 1, None, [b"x"]],
    "str | None": [b"bytes", 1, ["x"]],
    "str | bytes": [1, None, ["x"]],
    "bytes | Iterable[bytes]": ["text", 1, None, ["x"], [b"x", None]],
}


def test_keywords_do_not_undo_each_other() -> None:
    zsock = Fake("SUB")
    zsock.set_options(
        {
            "subscribe": b"",
            "curve_server": True,
            "curve_secretkey": HELLO,
            "rcvhwm": 1,
            "plain_server": False,
        }
    )
    assert [name for name, _ in zsock.calls] == ["44", "49", "24", "47", "subscribe"]


# libzmq itself


def legal_values(name: str, option: Option[Any, Any]) -> list[Any]:
    special: dict[str, list[Any]] = {
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
        "rcvtimeo": [0.0, 1.5, None],
        "sndtimeo": [0.0, 1.5, None],
    }
    if name in special:
        return special[name]
    if option.takes.startswith("int"):
        values: list[Any] = [option.low, option.low + 1, option.high]
    elif option.takes.startswith("bool"):
        values = [True, False, True]
    elif option.takes.startswith("float"):
        values = [option.low / option.scale, float(option.step), option.high / option.scale]
    elif option.takes == "bytes":
        return [b"x", b"a\0b", b"x" * 255]
    else:
        return ["x", "ü" * (option.high // 2)]
    return values + [None] * (option.optional and name != "heartbeat_timeout")


def skip_if_lacking(option: Option[Any, Any], error: ArgumentError) -> NoReturn:
    if not option.needs or f"built with {option.needs}" not in str(error):
        raise error
    pytest.skip(str(error))


def real_for(make: Make, option: Option[Any, Any]) -> zmqsocket.ZMQSocket:
    return make(option.only[0] if option.only else "DEALER")


@pytest.mark.parametrize("name", WRITABLE)
def test_round_trip_through_libzmq(name: str, make: Make) -> None:
    option = WRITABLE[name]
    zsock = real_for(make, option)
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
def test_documented_default_is_the_real_one(name: str, make: Make) -> None:
    option = WRITABLE[name]
    for kind in option.only or ("PAIR", "PUSH", "ROUTER"):
        zsock = make(kind)
        try:
            got = getattr(zsock, name)
        except ArgumentError as error:
            skip_if_lacking(option, error)
        assert got == option.default
        assert isinstance(got, bool) == isinstance(option.default, bool)


@pytest.mark.parametrize("name", [name for name, option in WRITABLE.items() if option.only])
def test_libzmq_takes_them_on_each_of_their_types(name: str, make: Make) -> None:
    option = WRITABLE[name]
    for kind in option.only:
        value = legal_values(name, option)[0]
        assert getattr(make(kind, **{name: value}), name) == value


@pytest.mark.parametrize("name", sorted(options.KEYWORDS))
def test_wrong_types_on_a_real_socket(name: str, make: Make) -> None:
    option = options.KEYWORDS[name]
    for value in WRONG[option.takes]:
        with pytest.raises(TypeError, match=f"{option.name} takes "):
            make(option.only[0] if option.only else "SUB", **{name: value})


def test_none_where_it_is_none_already(make: Make) -> None:
    zsock = make("DEALER", zap_domain=None, heartbeat_timeout=None, plain_username=None)
    assert (zsock.zap_domain, zsock.heartbeat_timeout, zsock.mechanism) == (None, None, "NULL")


def test_mechanism_follows_the_keywords_in_any_order(make: Make) -> None:
    client = make("PUSH", plain_username="me", plain_password="pw", plain_server=False)
    assert (client.mechanism, client.plain_username) == ("PLAIN", "me")
    server = make("PULL", plain_server=True, plain_username="me", plain_password="pw")
    assert (server.mechanism, server.plain_server) == ("PLAIN", True)
    client.plain_username = None
    assert (client.mechanism, client.plain_username) == ("NULL", None)


def test_state_of_a_real_socket(make: Make) -> None:
    zsock, peer = make("PAIR"), make("PAIR")
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


def test_timeouts_of_a_real_socket(make: Make) -> None:
    zsock = make("DEALER", rcvtimeo=0.0, sndtimeo=0.01)
    with pytest.raises(Timeout):
        zsock.recv()
    with pytest.raises(Timeout):
        zsock.send(b"nobody is there")
    zsock.set_timeout(3.0)
    assert (zsock.rcvtimeo, zsock.sndtimeo) == (3.0, 3.0)
    zsock.rcvtimeo = None
    assert (zsock.rcvtimeo, zsock.sndtimeo) == (None, 3.0)


def test_subscriptions_of_a_real_socket(make: Make) -> None:
    publisher = make("XPUB", xpub_verboser=True, rcvtimeo=5.0)
    publisher.bind("inproc://subscriptions")
    subscriber = make("SUB", subscribe=[b"a", b"b"])
    subscriber.connect("inproc://subscriptions")
    assert {publisher.recv_all() for _ in range(2)} == {b"\1a", b"\1b"}
    subscriber.setsockopt("UNSUBSCRIBE", b"a")
    assert publisher.recv_all() == b"\0a"


def test_use_fd_takes_over_a_listener(make: Make, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    zsock = make("PULL", use_fd=os.dup(listener.fileno()), rcvtimeo=5.0)
    zsock.bind(f"tcp://127.0.0.1:{port}")
    make("PUSH").connect(f"tcp://127.0.0.1:{port}")


def test_use_fd_refuses_what_would_end_the_process(make: Make, listener: socket.socket) -> None:
    zsock = make("PULL")
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


def test_options_of_a_closed_socket() -> None:
    zsock = zmqsocket.new("DEALER")
    zsock.close()
    with pytest.raises(ClosedError):
        _ = zsock.sndhwm
    with pytest.raises(ClosedError):
        zsock.sndhwm = 5
