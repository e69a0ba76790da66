"""Anything at all from the caller and from the wire: an error of its own kind, never a crash.

Inputs are hypothesis's: it knows what floats, surrogates and bytes go wrong, needs no instrumented
build of libzmq, and its failures shrink. What could end the process is tried in another one, which
says what it is about to try before it does.
"""

import array
import contextlib
import json
import math
import socket
import struct
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from harness.fuzzing import TORTURE, fuzz
from harness.sockets import place_of
from harness.waiting import LONG
from hypothesis import strategies as st

from ratchet import Error, UriError, option_kinds, options, z85, zmqsocket
from ratchet.socket_types import OLD_NAMES, TYPES

HUNG = 3600 if TORTURE else 50
pytestmark = pytest.mark.timeout(HUNG + 10)
CLEAN = (Error, TypeError, ValueError)


# URIs

NEARLY = st.lists(
    st.sampled_from(
        [*TYPES, *OLD_NAMES, "zmq", ":", "://", "tcp", "*", "pull", "\0", " ", "\u017f"]
    )
).map("".join)


def test_uris():
    @fuzz(300, uri=st.one_of(st.text(), NEARLY, NEARLY.map("zmq:".__add__), st.binary(), st.none()))
    def check(uri):
        try:
            record = zmqsocket.prepare_uri(uri)
        except UriError as error:
            refused = str(error)
            assert repr(uri) in refused
            return
        rest = uri[4:] if uri[:4].lower() == "zmq:" else uri
        assert rest[: len(record.type)].upper() == record.type
        assert rest[len(record.type) :] == ":" + record.endpoint
        assert record.type in {**TYPES, **OLD_NAMES}

    address = st.text(min_size=1).map("tcp://".__add__)

    @fuzz(100, type=st.sampled_from([*TYPES, *OLD_NAMES]), address=address)
    def check_valid(type, address):
        for uri in (f"zmq:{type.lower()}:{address}", f"{type}:{address}"):
            assert zmqsocket.prepare_uri(uri) == (type, address)


# Endpoints

ANY = st.text(max_size=30)
# Nothing here names a host that would have to be looked up, or that is not this one; no path leads
# out of the folder.
HOST = st.sampled_from(
    ["127.0.0.1", "127.1", "[::1]", "::1", "*", "0.0.0.0", "lo", "", "[", "]", "[]", "[::1%lo]"]
)
WEIRD = ANY.map(lambda text: text.replace(".", "") + "!\\")  # of no host's characters
PORT = st.one_of(st.integers(-1, 70000).map(str), st.just("*"), st.just("!"), ANY)
TCP = st.tuples(
    st.sampled_from(["tcp://", "udp://", "TCP://", "tcp:/", "ws://", "vmci://"]),
    st.one_of(st.just(""), HOST.map(lambda host: host + ";"), WEIRD.map(lambda host: host + ":;")),
    st.one_of(HOST, WEIRD),
    st.sampled_from([":", "", "::", "/"]),
    PORT,
).map("".join)
MULTICAST = st.tuples(
    st.sampled_from(["pgm://", "epgm://"]),
    st.sampled_from(["lo;", "127.0.0.1;", "", ";", ";;", "lo", "no such;"]),
    st.sampled_from(["239.192.1.1", "127.0.0.1", "", "*", "[ff02::1]", "999.1.1.1"]),
    st.sampled_from([":", "", "::"]),
    PORT,
).map("".join)
PATH = ANY.map(lambda text: "ipc://" + text.replace("/", "").replace("..", ""))
LONG_PATH = st.integers(80, 4000).map(lambda n: "ipc://" + "x" * n)
TIPC = st.lists(st.one_of(st.integers(-1, 2**33).map(str), st.sampled_from("{},:@<>"))).map(
    lambda parts: "tipc://" + "".join(parts)
)
OTHER = ANY.filter(lambda text: not text.lower().startswith(("tcp:", "ipc:", "udp:")))
ENDPOINT = st.one_of(
    *(TCP, MULTICAST, PATH, LONG_PATH, TIPC, OTHER),
    ANY.map("inproc://".__add__),
    ANY.map("inproc://here\0".__add__),
    st.sampled_from([None, 7, ["tcp://127.0.0.1:*"]]),
)

TRY_ENDPOINTS = """
import json, os, sys
from ratchet import Error, zmqsocket

for line in sys.stdin:
    kind, calls = json.loads(line)
    print(line, end="", flush=True)
    with zmqsocket.new(kind, linger=0) as zsock:
        for name, endpoint in calls:
            try:
                getattr(zsock, name)(endpoint)
                assert "\\0" not in endpoint
            except (Error, TypeError, ValueError) as error:
                assert str(error) and type(error) is not Error or error.code.startswith("E"), error
        zsock.is_readable()
print("survived")
"""


def python(text, lines, folder, *arguments):
    """Run a script that repeats each line of its input before it acts on it."""
    command = [sys.executable, "-W", "error", "-c", text, *arguments]
    sent = "".join(line + "\n" for line in lines)
    done = subprocess.run(
        command, input=sent, cwd=folder, text=True, capture_output=True, timeout=HUNG, check=False
    )
    said = done.stdout.splitlines()  # the last of it may be a library's of C
    why = f"status {done.returncode} after {said[-2:]}: {done.stderr[-2000:]}"
    assert done.returncode == 0, why
    assert "survived" in said, why


CALLS = st.lists(
    st.tuples(st.sampled_from(["bind", "connect", "unbind", "disconnect"]), ENDPOINT),
    min_size=1,
    max_size=4,
)


def test_endpoints(tmp_path):
    batch = []

    @fuzz(400, kind=st.sampled_from(sorted(TYPES)), calls=CALLS)
    def collect(kind, calls):
        batch.append(json.dumps([kind, calls]))

    python(TRY_ENDPOINTS, batch, tmp_path)


# Options


class Index:
    def __index__(self):
        return 3


class Broken:
    def __index__(self):
        raise ValueError("no number after all")

    __float__ = __index__


AWKWARD = [None, True, -1, 0, 1, 2**31, 2**63, 2**64, 0.0005, 1e308, math.inf, math.nan, "", b""]
# With AWKWARD, one of every type: each option gets them all.
TYPED = [
    *(bytearray(b"ab"), memoryview(b"ab"), memoryview(b"abcd")[::2], array.array("i", [1])),
    *([b"ab", 1], (1,), {}, {1}, 1j, Fraction(1, 2), Decimal("0.5"), Decimal("sNaN")),
    *(object(), int, len, ..., NotImplemented, range(3), Index(), Broken()),
]
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.text(max_size=50), st.binary(max_size=50), st.complex_numbers()),
    *(st.floats(), st.integers(), st.integers(-2, 300), st.fractions(), st.decimals()),
    st.sampled_from(
        [sign * 2**n + d for sign in (1, -1) for n in (31, 32, 63, 64) for d in (-1, 0, 1)]
    ),
    st.sampled_from([*AWKWARD, 2147483.647, 2147483.648, 5e-324]),
    st.lists(st.one_of(st.binary(max_size=5), st.integers(), st.none()), max_size=3),
    st.sampled_from(
        [object(), int, Index(), Broken(), {}, ..., bytearray(b"ab"), memoryview(b"ab")]
    ),
    st.binary(min_size=32, max_size=32),
    st.text(alphabet=z85.ALPHABET, min_size=40, max_size=40),
    st.integers(250, 2000).map(lambda n: b"x" * n),
    st.integers(250, 2000).map(lambda n: "x" * n),
)
# A proxy that cannot be reached, of which the option's own text warns, matters to connect only.
SETTABLE = sorted(name for name, option in options.TABLE.items() if not option.read_only)


def test_options():
    def check(type, name, value):
        option = options.TABLE[name]
        with zmqsocket.new(type, linger=0) as zsock:
            told = name not in ("SUBSCRIBE", "UNSUBSCRIBE")
            before = None
            with contextlib.suppress(Error):  # what libzmq was not built with
                before = zsock.getsockopt(name) if told else None
            try:
                zsock.setsockopt(name, value)
            except CLEAN:
                if told and before is not None:
                    assert zsock.getsockopt(name) == before
                return
            if told:
                sensible(option, value, zsock.getsockopt(name), zsock)

    for name in SETTABLE:
        for kind in options.TABLE[name].only or ("DEALER",):
            for value in (*AWKWARD, *TYPED):
                check(kind, name, value)
    given = {"type": st.sampled_from(sorted(TYPES)), "name": st.sampled_from(SETTABLE)}
    fuzz(700, **given, value=VALUES)(check)


def sensible(option, value, got, zsock):
    """What was set reads back, as the option's own type."""
    if isinstance(value, Index):
        value = 3
    if option.name in ("PLAIN_USERNAME", "PLAIN_PASSWORD"):
        assert got == (value if zsock.mechanism == "PLAIN" else None)
    elif value is None or got is None:
        # None is -1, any negative, infinity, or 32 zero bytes.
        assert value in (None, -1, math.inf, bytes(32)) or value < 0
    elif isinstance(option, option_kinds.Timeout):
        assert got == float(value)
    elif isinstance(option, option_kinds.Time):
        assert got >= 0
        assert abs(got - float(value)) <= option.step / option.scale + 1e-9 * abs(got)
    elif isinstance(option, option_kinds.Key):
        text = value if isinstance(value, str) else bytes(value)
        assert z85.decode(got) == (
            text
            if isinstance(text, bytes) and len(text) == 32
            else z85.decode(text if isinstance(text, str) else text.decode())
        )
    elif isinstance(value, (bytearray, memoryview)):
        assert got == bytes(value)
    else:
        assert got == value, option.name


# Messages

PART = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(bytearray),
    st.binary(max_size=300).map(lambda data: memoryview(b"<" + data + b">")[1:-1]),
    st.integers(0, 300_000).map(bytes),  # to 128 KiB copied with the GIL, from there on without
)
HOW = st.sampled_from([list, tuple, iter, lambda parts: (part for part in parts)])


def test_frames(inproc, tcp):
    with contextlib.ExitStack() as stack:
        pairs = []
        for at in (inproc, tcp):
            left, right = (stack.enter_context(zmqsocket.new("PAIR")) for _ in range(2))
            right.connect(left.bind(at))
            left.set_timeout(LONG)
            right.set_timeout(LONG)
            pairs.append((left, right))

        @fuzz(150, parts=st.lists(PART, min_size=1, max_size=30), how=HOW, n=st.integers(0, 1))
        def check(parts, how, n):
            left, right = pairs[n]
            expected = [bytes(part) for part in parts]
            left.send_multipart(how(parts))
            assert right.recv_multipart() == expected
            for i, part in enumerate(parts):
                right.send(part, i + 1 < len(parts))
            got, more = [], True
            while more:
                data, more = left.recv()
                got.append(data)
            assert got == expected
            assert left.send_many(how(parts)) == len(parts)
            got = []
            while len(got) < len(parts):
                got += right.recv_many(100)
            assert got == expected

        wrong = st.one_of(VALUES, st.lists(st.one_of(PART, VALUES), max_size=5))

        @fuzz(300, wrong=wrong, name=st.sampled_from(["send", "send_multipart", "send_many"]))
        def check_wrong(wrong, name):
            left, right = pairs[0]
            with contextlib.suppress(TypeError, ValueError, BufferError):
                getattr(left, name)(wrong)
            left.send(b"end")  # whole messages have gone, or none
            while (got := right.recv_multipart()) != [b"end"]:
                assert all(type(part) is bytes for part in got)


# The wire: what a plain TCP peer may send (ZMTP 3.0, RFC 23).


def greeting(major=3, mechanism=b"NULL", server=0):
    signature = b"\xff" + bytes(8) + b"\x7f"
    return (
        signature
        + bytes([major, 0])
        + mechanism.ljust(20, b"\0")[:20]
        + bytes([server])
        + bytes(31)
    )


def frame(data, *, more=False, command=False, claims=None):
    size = len(data) if claims is None else claims
    flags = (1 if more else 0) | (4 if command else 0)
    if size > 255:
        return bytes([flags | 2]) + struct.pack(">Q", size) + data
    return bytes([flags, size]) + data


def ready(kind, identity=b""):
    body = b"\x05READY"
    for name, value in (b"Socket-Type", kind.encode()), (b"Identity", identity):
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return frame(body, command=True)


# Socket type -> the type of who may talk to it.
PEERS = {
    "PULL": "PUSH",
    "PUSH": "PULL",
    "PAIR": "PAIR",
    "PUB": "SUB",
    "SUB": "PUB",
    "REQ": "REP",
    "REP": "REQ",
    "DEALER": "ROUTER",
    "ROUTER": "DEALER",
    "XPUB": "XSUB",
    "XSUB": "XPUB",
    "STREAM": "STREAM",
}
FRAMES = st.one_of(
    st.builds(frame, st.binary(max_size=400), more=st.booleans(), command=st.booleans()),
    st.builds(
        frame,
        st.binary(max_size=20),
        more=st.booleans(),
        command=st.booleans(),
        claims=st.sampled_from([0, 1, 255, 256, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]),
    ),
    st.sampled_from([b"\x04\x05\x04PING", frame(b"\x04PING\0\x0aping", command=True)]),
    st.sampled_from([frame(b"\x05ERROR\x07because", command=True), frame(b"\1"), frame(b"\0x")]),
    st.binary(max_size=60),
)


@st.composite
def hostile(draw):
    """Give a socket type, whether the handshake is a proper one, what follows it, and the end."""
    kind = draw(st.sampled_from(sorted(PEERS)))
    proper = kind != "STREAM" and draw(st.booleans())
    data = b"".join(draw(st.lists(FRAMES, min_size=1, max_size=6)))
    if not proper:
        hello = greeting(
            draw(st.sampled_from([3, 3, 3, 3, 0, 1, 2, 4, 255])),
            draw(st.sampled_from([b"NULL"] * 4 + [b"PLAIN", b"CURVE", b"", b"x" * 20])),
            draw(st.integers(0, 1)),
        )
        says = draw(st.one_of(st.just(PEERS[kind]), st.text(max_size=60)))
        shake = ready(says, draw(st.binary(max_size=300)))
        data = hello + draw(st.one_of(st.just(shake), FRAMES)) + data
        data = draw(st.one_of(st.just(data), st.binary(max_size=200)))
    cut = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    return kind, proper, data[:cut].hex(), draw(st.sampled_from(["stay", "close", "reset"]))


# For each peer: it talks, then a well-behaved one must be served by the same socket.
TRY_PEERS = """
import contextlib, json, socket, struct, sys, time
from ratchet import Error, Timeout, zmqsocket
LONG = 10.0
PEERS, GREETING, READY = json.loads(sys.argv[1])
ENDED = struct.pack("ii", 1, 0)  # SO_LINGER: a close resets

def exactly(plain, size):
    data = b""
    while len(data) < size:
        data += plain.recv(size - len(data)) or sys.exit("closed")
    return data

def shake(plain, greeting, ready):
    # Each side must have sent its READY before the other goes on; its size is in one byte.
    plain.sendall(greeting)
    exactly(plain, 64)
    plain.sendall(ready)
    assert exactly(plain, exactly(plain, 2)[1])[1:6] == b"READY"

def new(kind):
    zsock = zmqsocket.new(kind, linger=0, reconnect_ivl=0.01)
    zsock.set_timeout(LONG)
    if kind == "SUB":
        zsock.subscribe(b"")
    if kind == "DEALER":
        zsock.routing_id = b"id"
    return zsock

def discard(zsock):
    with contextlib.suppress(Error):
        while True:
            zsock.recv_multipart(timeout=0)

def until(zsock, message, peer):
    # The first may be too early, or go to the hostile peer.
    for _ in range(int(LONG / 0.02)):
        try:
            zsock.send_multipart(message)
            return got(peer, message[-1], 0.02)
        except Timeout:
            continue
        except Error as error:  # a ROUTER that does not know its peer yet
            assert error.code == "EHOSTUNREACH", error
            time.sleep(0.02)
    raise AssertionError("not served")

def got(zsock, data, timeout=LONG):
    while True:  # whatever the hostile peer got through comes first
        parts = zsock.recv_multipart(timeout=timeout)
        if parts[-1] == data:
            return parts

def served(zsock, kind, at, most):
    if kind == "STREAM":
        with socket.create_connection(at, LONG) as plain:
            plain.sendall(b"ping")
            name = got(zsock, b"ping")[0]
            zsock.send_multipart([name, b"pong"])
            assert exactly(plain, 4) == b"pong"
        return
    with new(PEERS[kind]) as peer:
        peer.connect(f"tcp://{at[0]}:{at[1]}")
        if kind in ("PUB", "XPUB", "PUSH"):
            if kind != "PUSH":
                peer.subscribe(b"")
            until(zsock, [b"ping"], peer)
        elif kind == "REP":
            # libzmq 4.3 drops a reply after each request without a delimiter from who has gone
            # since (rep.cpp, router.cpp: rollback), so the client may have to ask again: once for
            # each of them.
            peer.req_relaxed = peer.req_correlate = True
            for timeout in [0.05] * most + [LONG]:
                peer.send(b"ping")
                while zsock.recv_all() != b"ping":
                    zsock.send(b"what?")
                zsock.send(b"pong")
                with contextlib.suppress(Timeout):
                    assert peer.recv_all(timeout=timeout) == b"pong"
                    return
            raise AssertionError("not served")
        elif kind not in ("PAIR", "REQ"):  # who have no other peer, or may not ask it
            if kind == "XSUB":
                zsock.subscribe(b"")
            name = until(peer, [b"id", b"ping"] if kind == "DEALER" else [b"ping"], zsock)[0]
            if kind == "ROUTER":
                zsock.send_multipart([name, b"pong"])
                assert peer.recv_all() == b"pong"

for line in sys.stdin:
    kind, proper, data, end = json.loads(line)
    print(line, end="", flush=True)
    with new(kind) as zsock, contextlib.ExitStack() as stays:
        at = ("127.0.0.1", int(zsock.bind("tcp://127.0.0.1:*").rpartition(":")[2]))
        plain = stays.enter_context(socket.create_connection(at, LONG))
        if proper:
            shake(plain, bytes.fromhex(GREETING), bytes.fromhex(READY[kind]))
        with contextlib.suppress(OSError):
            plain.sendall(bytes.fromhex(data))
        if end == "reset":
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ENDED)
        if end != "stay":
            plain.close()
        served(zsock, kind, at, len(data) // 4)  # a frame is two bytes at least, in hexadecimals
        discard(zsock)
print("survived")
"""


def test_hostile_peers(tmp_path):
    many = frame(b"x") * 20  # after which as many replies may be dropped
    batch = [json.dumps(["REP", True, many.hex(), "close"])]

    @fuzz(150, talk=hostile())
    def collect(talk):
        batch.append(json.dumps(talk))

    hello = {kind: ready(peer).hex() for kind, peer in PEERS.items()}
    python(TRY_PEERS, batch, tmp_path, json.dumps([PEERS, greeting().hex(), hello]))


def test_an_oversized_message_ends_its_connection_only(tcp):
    limit = 1000
    with zmqsocket.new("PULL", maxmsgsize=limit) as pull, zmqsocket.new("PUSH", linger=0) as push:
        pull.set_timeout(LONG)
        place = place_of(pull.bind(tcp))
        push.connect(pull.last_endpoint)
        push.send(b"first")
        assert pull.recv_all() == b"first"

        @fuzz(20, over=st.sampled_from([1, 100, 2**20, 2**31, 2**62]), more=st.booleans())
        def check(over, more):
            with (
                socket.create_connection(place, LONG) as plain,
                plain.makefile("rb") as answer,
            ):
                plain.sendall(greeting())
                answer.read(64)
                plain.sendall(ready("PUSH"))
                answer.read(28)  # its READY, before which no message may come
                plain.sendall(frame(bytes(limit)))
                assert pull.recv_all() == bytes(limit)
                plain.sendall(frame(b"head", more=True) if more else b"")
                with contextlib.suppress(ConnectionError):
                    plain.sendall(frame(bytes(200), claims=limit + over))
                    assert answer.read() == b""  # the end
            push.send(b"served")
            assert pull.recv_multipart() == [b"served"]
