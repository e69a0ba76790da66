"""Options: the table against zmq.h, and every conversion, range and error, without a socket."""

import math
import os
import pydoc
import re
from fractions import Fraction
from pathlib import Path

import pytest
from harness.option_values import WRONG

from ratchet import option_kinds, options, zmqsocket
from ratchet.errors import ArgumentError
from ratchet.options import NAMES, TABLE, Option, OptionArguments, Options

PROPERTIES = {name: option for name, option in vars(Options).items() if isinstance(option, Option)}
WRITABLE = {name: option for name, option in PROPERTIES.items() if not option.read_only}
STABLE = {name: option for name, option in TABLE.items() if not (option.own or option.since)}
DRAFTS = {name: option for name, option in TABLE.items() if option.since}
RULES = {"CurveKeys", "Clients", "Users", "NetworkList"}  # what tests/auth looks at
READ_ONLY = sorted(name for name, option in TABLE.items() if option.read_only)


# A client's pair of the test keys in zmq_curve(7).
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


# The example of RFC 32, 8 bytes that are "HelloWorld", as often as makes a key.
HELLO = bytes([0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]) * 4


@pytest.fixture(autouse=True)
def drafts(monkeypatch):
    """A libzmq that has all draft options; call it for another one."""

    def libzmq(version=(4, 3, 5), has=True):
        monkeypatch.setattr(option_kinds, "libzmq_version", lambda: version)
        monkeypatch.setattr(option_kinds, "has", lambda capability: has)

    libzmq()
    return libzmq


class Fake(Options):
    """A socket of dicts, in place of libzmq; it refuses the numbers in `refuses`."""

    def __init__(self, type="DEALER", refuses=()):
        self.type = type
        self.refuses = refuses
        self.last_endpoint = "inproc://here"
        self.raw = {}
        self.calls = []
        self._remembered = self._access = self._judged = None
        self._used = False
        self._recv_timeout = self._send_timeout = -1.0

    def _get(self, number, missing):
        if number in self.refuses:
            raise ArgumentError(22, "read option: Invalid argument")
        return self.raw.get(number, missing)

    def _set(self, number, value):
        if number in self.refuses:
            raise ArgumentError(22, "set option: Invalid argument")
        self.calls.append((str(number), value))
        self.raw[number] = value

    def _get_int(self, number):
        return self._get(number, 0)

    def _get_bytes(self, number, size):
        return self._get(number, b"")

    def _set_int(self, number, value):
        assert -(2**31) <= value < 2**31
        self._set(number, value)

    def _set_int64(self, number, value):
        assert -(2**63) <= value < 2**63
        self._set(number, value)

    def _set_uint64(self, number, value):
        assert 0 <= value < 2**64
        self._set(number, value)

    def _set_bytes(self, number, value):
        assert type(value) is bytes
        self._set(number, value)

    _get_int64 = _get_uint64 = _get_int

    def subscribe(self, prefix):
        self.calls.append(("subscribe", prefix))

    def unsubscribe(self, prefix):
        self.calls.append(("unsubscribe", prefix))

    def get_fd(self):
        return 7

    def is_readable(self):
        return False

    def is_writable(self):
        return True

    def is_rcvmore(self):
        return True


def fake_for(option, **more):
    return Fake(option.only[0] if option.only else "DEALER", **more)


# The table


def header():
    places = [os.environ.get("RATCHET_ZMQ_PREFIX", ""), "/usr", "/usr/local", "/opt/homebrew"]
    for place in filter(None, places):
        path = Path(place, "include", "zmq.h")
        if path.exists():
            return path.read_text(encoding="utf-8")
    pytest.skip("no zmq.h here")


def test_numbers_are_those_of_the_header():
    numbers = dict(re.findall(r"#define ZMQ_(\w+) (\d+)\n", header()))
    assert {name: int(numbers[name]) for name in STABLE} == {
        name: option.number for name, option in STABLE.items()
    }


def test_every_stable_option_of_the_header_is_there():
    text = header()
    stable = text[text.index("#define ZMQ_AFFINITY ") : text.index("/*  Message options")]
    old = text[text.index("#define ZMQ_IDENTITY ") : text.index("#define ZMQ_SRCFD ")]
    defined = re.findall(r"#define ZMQ_(\w+)", stable + old)
    # BLOCKY is an option of contexts and NOBLOCK a flag of calls.
    assert set(defined) - {"BLOCKY", "NOBLOCK"} == {*STABLE, *options.ALIASES}


def test_aliases_are_those_of_the_header():
    aliases = dict(re.findall(r"#define ZMQ_(\w+) ZMQ_(\w+)\n", header()))
    assert {name: aliases[name] for name in options.ALIASES} == options.ALIASES


def test_properties_are_called_like_their_options():
    names = {name: option.name for name, option in PROPERTIES.items() if name != "identity"}
    assert names == {name.lower(): name for name in names.values()}
    by_name_only = {"TYPE", "LAST_ENDPOINT", "SUBSCRIBE", "UNSUBSCRIBE"}
    assert {*names.values()} == {*NAMES} - by_name_only
    assert Options.identity is Options.routing_id


def test_arguments_for_new_are_the_table():
    keywords = {name: option.takes for name, option in options.KEYWORDS.items()}
    hints = OptionArguments.__annotations__
    fixed = dict.fromkeys(options.FIXED, "bool")
    assert {name: hint.__forward_arg__ for name, hint in hints.items()} == keywords | fixed
    assert {*keywords} == {*WRITABLE, "subscribe"}


def test_help_tells_kind_unit_default_and_name():
    text = pydoc.plain(pydoc.render_doc(zmqsocket.ZMQSocket))
    for option in PROPERTIES.values():
        assert option.__doc__ is not None
        assert option.__doc__.splitlines()[0] in text
        assert option.__doc__.startswith(option.takes)
        named = (
            f"{option.name}, ratchet's own" if option.own else f"ZMQ_{option.name}, {option.number}"
        )
        assert named in option.__doc__
        if not option.read_only:
            assert f"default {option.default!r}" in option.__doc__
            assert option.unit in option.legal


def test_class_access_gives_the_description():
    assert Options.linger is TABLE["LINGER"]
    assert (Options.linger.unit, Options.linger.default) == ("seconds", 10.0)


# Conversions


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("sndhwm", 0, 0),
        ("sndhwm", 2**31 - 1, 2**31 - 1),
        ("maxmsgsize", None, -1),
        ("maxmsgsize", -1, -1),
        ("maxmsgsize", 2**63 - 1, 2**63 - 1),
        ("affinity", 2**64 - 1, 2**64 - 1),
        ("sndbuf", None, -1),
        ("linger", 0, 0),
        ("linger", 1, 1000),
        ("linger", 0.5, 500),
        ("linger", 1e-12, 1),
        ("linger", 0.0001, 1),
        ("linger", 0.0011, 2),
        ("linger", Fraction(1, 3), 334),
        ("linger", 2147483.647, 2**31 - 1),
        ("linger", None, -1),
        ("linger", -1, -1),
        ("linger", -0.001, -1),
        ("linger", math.inf, -1),
        ("linger", -0.0, 0),
        ("reconnect_ivl", None, -1),
        ("heartbeat_ttl", 0, 0),
        ("heartbeat_ttl", 0.001, 100),
        ("heartbeat_ttl", 0.1, 100),
        ("heartbeat_ttl", 0.3, 300),
        ("heartbeat_ttl", 0.301, 400),
        ("heartbeat_ttl", 6553.5, 6553500),
        ("tcp_keepalive_idle", 1, 1),
        ("tcp_keepalive_idle", 60.2, 61),
        ("tcp_keepalive_idle", None, -1),
        ("ipv6", True, 1),
        ("ipv6", 1, 1),
        ("ipv6", 0, 0),
        ("tcp_keepalive", None, -1),
        ("tcp_keepalive", -1, -1),
        ("tcp_keepalive", True, 1),
        ("routing_id", bytearray(b"me"), b"me"),
        ("routing_id", memoryview(b"me"), b"me"),
        ("plain_username", "größe", "größe".encode()),
        ("socks_proxy", None, b""),
        ("ipc_filter_pid", None, b""),
        ("ipc_filter_uid", 2**32 - 1, b"\xff" * 4),
        ("curve_publickey", "HelloWorld" * 4, HELLO),
        ("curve_publickey", b"HelloWorld" * 4, HELLO),
        ("curve_publickey", HELLO, HELLO),
        ("curve_publickey", bytearray(HELLO), HELLO),
    ],
)
def test_to_libzmq(name, value, raw):
    zsock = Fake()
    setattr(zsock, name, value)
    assert zsock.raw == {PROPERTIES[name].number: raw}


def test_whole_milliseconds_are_exact():
    for count in range(100_000):
        assert Options.linger._encode(count / 1000) == count


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("linger", -1, None),
        ("linger", 1, 0.001),
        ("linger", 0, 0.0),
        ("tcp_keepalive_idle", 90, 90.0),
        ("tcp_keepalive", -1, None),
        ("tcp_keepalive", 1, True),
        ("maxmsgsize", -1, None),
        ("ipv6", 1, True),
        ("zap_domain", b"\0", None),
        ("zap_domain", b"global\0", "global"),
        ("routing_id", b"a\0b", b"a\0b"),
        ("curve_serverkey", b"0" * 40 + b"\0", None),
        ("curve_serverkey", PUBLIC.encode() + b"\0", PUBLIC),
        ("mechanism", 2, "CURVE"),
    ],
)
def test_from_libzmq(name, raw, value):
    zsock = Fake()
    zsock.raw[PROPERTIES[name].number] = raw
    got = getattr(zsock, name)
    assert got == value
    assert type(got) is type(value)
    assert zsock.getsockopt(name.upper()) == value


@pytest.mark.parametrize("name", ["rcvtimeo", "sndtimeo"])
def test_timeouts_are_the_sockets_own(name):
    zsock = Fake()
    attribute = {"rcvtimeo": "_recv_timeout", "sndtimeo": "_send_timeout"}[name]
    assert getattr(zsock, name) is None
    for value, own in [(0.5, 0.5), (0, 0.0), (None, -1.0), (3, 3.0), (-2, -1.0), (math.inf, -1.0)]:
        setattr(zsock, name, value)
        assert getattr(zsock, attribute) == own
        assert getattr(zsock, name) == (None if own < 0 else own)
    assert zsock.calls == []


def test_write_only_options_read_as_last_set():
    zsock = Fake("ROUTER")
    assert zsock.router_mandatory is True
    assert zsock.router_handover is False
    assert zsock.connect_routing_id == b""
    zsock.router_mandatory = False
    zsock.setsockopt("CONNECT_ROUTING_ID", bytearray(b"peer"))
    assert zsock.router_mandatory is False
    assert zsock.getsockopt("CONNECT_ROUTING_ID") == b"peer"
    assert Fake("ROUTER").router_mandatory is True


def test_what_libzmq_refused_is_not_remembered():
    zsock = Fake("ROUTER", refuses=(33,))
    with pytest.raises(ArgumentError):
        zsock.router_mandatory = False
    assert zsock.router_mandatory is True


def test_credentials_read_as_none_once_another_mechanism_is_on():
    zsock = Fake()
    zsock.raw.update({43: 1, 45: b"me\0", 46: b"pw\0"})
    assert (zsock.plain_username, zsock.plain_password) == ("me", "pw")
    zsock.raw[43] = 0
    assert (zsock.plain_username, zsock.plain_password) == (None, None)


def test_none_for_what_cannot_be_set_back():
    class Refusing(Fake):
        def _set_int(self, number, value):
            raise ArgumentError(22, "set option: Invalid argument")

    zsock = Refusing()
    zsock.raw[77] = -1
    zsock.heartbeat_timeout = None  # it is already
    zsock.raw[77] = 500
    with pytest.raises(ArgumentError, match="refuses to set it to None"):
        zsock.heartbeat_timeout = None


# Errors


@pytest.mark.parametrize("name", sorted(options.KEYWORDS))
def test_wrong_types(name):
    option = options.KEYWORDS[name]
    zsock = fake_for(option)
    for value in WRONG[option.takes]:
        with pytest.raises(TypeError, match=f"{option.name} takes ") as caught:
            zsock.set_options({name: value})
        assert option.legal in str(caught.value)
        given = "None" if value is None else type(value).__name__
        assert name == "subscribe" or f"not {given}" in str(caught.value)
    assert zsock.calls == []


@pytest.mark.parametrize("name", WRITABLE)
def test_out_of_range(name):
    option = WRITABLE[name]
    zsock = fake_for(option)
    if option.takes.startswith("int"):
        wrong = [option.high + 1, -2 if option.optional else option.low - 1, 10**30, -(10**30)]
    elif option.takes.startswith("bool"):
        wrong = [2, -2] if option.optional else [2, -1]
    elif option.takes == "float":
        wrong = [-0.001, option.high / option.scale + 1, math.nan, math.inf, 10**400]
    elif name in {"rcvtimeo", "sndtimeo"}:
        wrong = [math.nan, 10**400]
    elif option.takes == "float | None":
        wrong = [math.nan, option.high / option.scale + 1, 10**400]
        wrong += [0, 0.5] if option.low else []
    elif option.takes == "bytes":
        wrong = [b"", b"\0x", b"x" * 256] if option.low else []
    elif option.takes in RULES:
        return  # tests/auth
    elif name == "metadata":
        wrong = [{"a": "b"}, {"X-": "b"}, {"X-a:": "b"}, {"X-a": ""}, {"X-a": "x" * 65536}]
    elif option.takes == "str | None":
        wrong = ["", "x" * (option.high + 1), "é" * (option.high // 2 + 1), "a\0b"]
    else:
        wrong = ["", "x" * 39, "x" * 41, b"x" * 31, b"x" * 33, "é" * 40, "~" * 40, "#" * 40]
    for value in wrong:
        with pytest.raises(ArgumentError, match=f"{option.name} takes ") as caught:
            setattr(zsock, name, value)
        assert isinstance(caught.value, ValueError)
        assert option.legal in str(caught.value)
    assert zsock.calls == []


def test_errors_name_range_and_unit():
    with pytest.raises(ArgumentError, match="an int from 0 to 2147483647 messages, not int -1"):
        Fake().sndhwm = -1
    with pytest.raises(ArgumentError, match=r"seconds as a float from 0\.0 to 6553\.5, not int 7"):
        Fake().heartbeat_ttl = 7000
    with pytest.raises(TypeError, match="True or False, not str 'yes'"):
        Fake().setsockopt("IPV6", "yes")


def test_secrets_are_not_shown():
    for name in ("plain_password", "curve_secretkey"):
        for value in ("hush" * 100, b"hush", ["hush"]):
            with pytest.raises((ArgumentError, TypeError)) as caught:
                setattr(Fake(), name, value)
            assert "hush" not in str(caught.value)
        with pytest.raises(ArgumentError) as caught:
            setattr(Fake(refuses=(46, 49)), name, SECRET)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, option in WRITABLE.items() if option.only])
def test_options_of_other_socket_types(name):
    option = WRITABLE[name]
    zsock = Fake("PAIR")
    value = {"bool": True, "bytes": b"x", "int": 1}[option.takes]
    with pytest.raises(ArgumentError, match=f"{option.name} means nothing to PAIR sockets, only"):
        setattr(zsock, name, value)
    assert zsock.calls == []
    for kind in option.only:
        setattr(Fake(kind), name, value)


def test_refusals_say_what_libzmq_lacks():
    zsock = Fake("PUSH", refuses=(38, 62))
    with pytest.raises(ArgumentError, match=r"GSSAPI_SERVER.*built with GSSAPI\?") as caught:
        zsock.gssapi_server = True
    assert isinstance(caught.value.__cause__, ArgumentError)
    with pytest.raises(ArgumentError, match=r"to tell it on a PUSH socket; was it built with"):
        _ = zsock.gssapi_server
    with pytest.raises(ArgumentError, match=r"TCP_ACCEPT_FILTER: libzmq refuses .*'nonsense'"):
        zsock.tcp_accept_filter = "nonsense"


def test_read_only():
    zsock = Fake()
    assert {name: zsock.getsockopt(name) for name in READ_ONLY} == {
        "EVENTS": 2,
        "FD": 7,
        "LAST_ENDPOINT": "inproc://here",
        "MECHANISM": "NULL",
        "RCVMORE": True,
        "THREAD_SAFE": False,
        "TOPICS_COUNT": 0,
        "TYPE": "DEALER",
    }
    for name in READ_ONLY:
        with pytest.raises(ArgumentError, match=f"{name} can only be read"):
            zsock.setsockopt(name, 1)
        if name.lower() in PROPERTIES:
            with pytest.raises(AttributeError, match=f"{name} can only be read"):
                setattr(zsock, name.lower(), 1)
        with pytest.raises(TypeError, match="no option that can be set"):
            zsock.set_options({name.lower(): 1})


def test_options_cannot_be_deleted():
    with pytest.raises(AttributeError):
        del Fake().linger


# Names


@pytest.mark.parametrize("name", ["SNDHWM", "sndhwm", "SndHwm", "ZMQ_SNDHWM", "zmq_sndhwm"])
def test_names_in_any_case(name):
    zsock = Fake()
    zsock.setsockopt(name, 5)
    assert zsock.getsockopt(name) == zsock.sndhwm == 5


@pytest.mark.parametrize("name", options.ALIASES)
def test_old_names(name):
    option = TABLE[options.ALIASES[name]]
    zsock = fake_for(option)
    value = {"bool": True, "bytes": b"x"}[option.takes]
    zsock.setsockopt(name, value)
    assert getattr(zsock, option.name.lower()) == value


@pytest.mark.parametrize(
    ("wrong", "right"), [("SNDHMW", "SNDHWM"), ("lingr", "LINGER"), ("ZMQ_IDENTIY", "IDENTITY")]
)
def test_unknown_names(wrong, right):
    for call in (Fake().getsockopt, lambda name: Fake().setsockopt(name, 1)):
        with pytest.raises(ArgumentError, match=rf"'{wrong}'.*did you mean '{right}'.*NAMES"):
            call(wrong)


def test_names_that_resemble_nothing():
    with pytest.raises(ArgumentError, match=r"'QQQ' is no socket option; ratchet\.options\.NAMES"):
        Fake().getsockopt("QQQ")
    for name in (23, b"SNDHWM", None):
        with pytest.raises(TypeError, match="'SNDHWM'"):
            Fake().getsockopt(name)


# Keywords and subscriptions


@pytest.mark.parametrize(
    ("value", "prefixes"),
    [
        (b"", [b""]),
        (b"a", [b"a"]),
        (bytearray(b"a"), [b"a"]),
        ([b"a", memoryview(b"b")], [b"a", b"b"]),
        ((b"a", b""), [b"a", b""]),
        ((prefix for prefix in [b"a"]), [b"a"]),
        ([], []),
    ],
)
def test_subscribe(value, prefixes):
    zsock = Fake("SUB")
    zsock.set_options({"subscribe": value})
    assert zsock.calls == [("subscribe", prefix) for prefix in prefixes]


def test_subscriptions_by_name():
    zsock = Fake("SUB")
    zsock.setsockopt("SUBSCRIBE", b"x")
    zsock.setsockopt("UNSUBSCRIBE", [b"x", b"y"])
    assert zsock.calls == [("subscribe", b"x"), ("unsubscribe", b"x"), ("unsubscribe", b"y")]
    for name in ("SUBSCRIBE", "UNSUBSCRIBE"):
        with pytest.raises(ArgumentError, match=f"{name} .*can only be set"):
            zsock.getsockopt(name)
    with pytest.raises(TypeError, match="encode"):
        zsock.setsockopt("SUBSCRIBE", "text")


def test_unknown_keyword_sets_nothing():
    zsock = Fake()
    with pytest.raises(TypeError, match=r"'rcvhmw'.*did you mean 'rcvhwm'"):
        zsock.set_options({"sndhwm": 1, "rcvhmw": 1})
    with pytest.raises(TypeError, match="'unsubscribe'"):
        zsock.set_options({"unsubscribe": b""})
    assert zsock.calls == []


def test_one_option_under_two_keywords():
    with pytest.raises(TypeError, match="'routing_id' and 'identity' are the same option"):
        Fake().set_options({"identity": b"a", "routing_id": b"b"})


def test_keywords_do_not_undo_each_other():
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


# Drafts


@pytest.mark.parametrize("name", DRAFTS)
def test_drafts_where_libzmq_has_them_not(name, drafts):
    option = DRAFTS[name]
    zsock = fake_for(option)
    values = {"int": option.high, "bool": True, "bytes": b"x", "float": 0.0, "str | None": "x"}
    value = values.get(option.takes, {"X-a": "b"})

    def touch(zsock):
        if not option.read_only:
            zsock.setsockopt(name, value)
        return zsock.getsockopt(name)

    drafts((4, 3, 5), True)
    touch(fake_for(option))
    lacking = [((4, 4, 0), True), ((5, 0, 0), True)]
    lacking += [((*option.since[:2], option.since[2] - 1), True)] if option.since[2] else []
    lacking += [((4, 3, 5), False)] if option.in_drafts else []
    for version, built in lacking:
        drafts(version, built)
        with pytest.raises(ArgumentError, match=f"{name} is a draft option of libzmq .*wheels"):
            touch(zsock)
    assert zsock.calls == []
    assert f"draft option of libzmq 4.3{f'.{option.since[2]}' * bool(option.since[2])} and" in (
        option.__doc__ or ""
    )


def test_unused_names_say_why():
    with pytest.raises(ArgumentError, match="'WSS_KEY_PEM': ratchet does not use wss"):
        Fake().setsockopt("WSS_KEY_PEM", "x")
