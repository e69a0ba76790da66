"""Anything at all to what decides who may connect: certificates, folders, requests, handshakes."""

import contextlib
import socket
import struct

import pytest
from harness.fuzzing import TORTURE, fuzz
from harness.waiting import LONG
from hypothesis import strategies as st

from ratchet import ArgumentError, Timeout, auth, has, zmqsocket
from ratchet._allow_lists import Folder
from ratchet._certificates import is_key, parse

pytestmark = [
    pytest.mark.timeout(3600 if TORTURE else 60),
    pytest.mark.skipif(not has("curve"), reason="this libzmq has no CURVE"),
]
PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

# Certificates

PIECES = st.sampled_from(
    [
        *("curve", "metadata", "public-key", "secret-key", "name", PUBLIC, SECRET, PUBLIC[:-1]),
        *(" = ", "=", '"', "'", "#", "    ", "\t", "\n", "\r\n", "\0", "é", "\ufeff", "x"),
        *(f'    public-key = "{PUBLIC}"\n', f'    secret-key = "{SECRET}"\n', "curve\n"),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


def test_texts_of_certificates():
    @fuzz(300, text=TEXTS)
    def check(text):
        try:
            keys = parse(text)
        except ValueError as error:
            if SECRET in str(error):
                pytest.fail(str(error))
            return
        assert is_key(keys.public)
        assert keys.secret is None or is_key(keys.secret)
        assert SECRET not in repr(keys)


def test_files_of_certificates(tmp_path):
    path = tmp_path / "a.key"

    @fuzz(150, data=st.one_of(st.binary(), TEXTS.map(lambda text: text.encode(errors="replace"))))
    def check(data):
        path.write_bytes(data)
        path.chmod(0o600)
        with contextlib.suppress(ArgumentError):
            assert is_key(auth.load(path).public)
        folder = Folder(str(tmp_path), lambda _: None)
        folder.look()
        assert all(is_key(key) for key in folder.keys.values())


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), max_size=40)


def test_metadata_is_read_as_it_was_written(tmp_path):
    keys = auth.CurveKeys(PUBLIC, SECRET)

    @fuzz(100, name=NAMES, metadata=st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
    def check(name, metadata):
        try:
            public, secret = auth.save(tmp_path, name, keys, metadata)
        except ArgumentError:
            return
        assert {public.parent, secret.parent} == {tmp_path}
        for path in (public, secret):
            assert auth.load(path).metadata == metadata


# Requests to the handler, from this process

FRAMES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"1.0", b"1", b"NULL", b"PLAIN", b"CURVE", b"127.0.0.1", bytes(32)]),
)


def test_requests_to_the_handler():
    with (
        zmqsocket.new("ROUTER", users={"alice": "sesame"}) as server,
        zmqsocket.new("DEALER", linger=0) as strange,
    ):
        server.bind("tcp://127.0.0.1:*")
        strange.connect("inproc://zeromq.zap.01")
        domain = server.zap_domain.encode()
        request = st.tuples(
            *(st.just(b""), st.just(b"1.0"), st.binary(max_size=3)),
            *(st.sampled_from([domain, b"", b"x"]), FRAMES, FRAMES, FRAMES),
        ).flatmap(lambda head: st.lists(FRAMES, max_size=4).map(lambda more: [*head, *more]))

        @fuzz(150, parts=st.one_of(request, st.lists(FRAMES, min_size=1, max_size=12)))
        def check(parts):
            strange.send_multipart(parts)
            last = [b"", b"1.0", b"last", domain, b"127.0.0.1", b"", b"PLAIN", b"alice", b"sesame"]
            strange.send_multipart(last)
            answers = [strange.recv_multipart(timeout=LONG)]
            while answers[-1][2] != b"last":
                answers.append(strange.recv_multipart(timeout=LONG))
            assert answers[-1][3:] == [b"200", b"", b"alice", b""]
            for answer in answers[:-1]:
                assert len(answer) == 7
                right = parts[3:5] == [domain, b"127.0.0.1"] and parts[6:] == last[6:]
                raw = parts[3:4] == [b""] and parts[6:7] == [b"CURVE"]
                assert (answer[3] == b"200") <= (right or raw)


# Handshakes on the wire


def frame(data, flags=4):
    return struct.pack(">BQ", flags | 2, len(data)) + data


COMMANDS = st.tuples(
    st.sampled_from([b"\x05HELLO", b"\x08INITIATE", b"\x05READY", b"\x05ERROR", b"\x07WELCOME"]),
    st.one_of(
        st.binary(max_size=300),
        st.just(b"\x05alice\x06sesam\0"),
        st.just(b"\x05alice\x06sesame\0"),
        st.just(b"\x01\x00" + bytes(192)),
    ),
).map(b"".join)
SPEECHES = st.tuples(
    st.sampled_from([b"PLAIN", b"CURVE", b"NULL", b"GSSAPI"]),
    st.lists(st.one_of(COMMANDS.map(frame), st.binary(max_size=40)), max_size=4),
    st.booleans(),
)


def test_handshakes():
    keys, known = auth.generate(), auth.generate()
    with (
        zmqsocket.new("ROUTER", users={"alice": "sesame"}, handshake_ivl=1.0) as plain,
        zmqsocket.new("ROUTER", curve=keys, clients=[known.public], handshake_ivl=1.0) as curve,
        zmqsocket.new("ROUTER", deny=["127.0.0.0/8"], handshake_ivl=1.0) as null,
    ):
        servers = [plain, curve, null]
        ports = [int(one.bind("tcp://127.0.0.1:*").rpartition(":")[2]) for one in servers]

        @fuzz(80, port=st.sampled_from(ports), speech=SPEECHES)
        def check(port, speech):
            mechanism, commands, waits = speech
            head = b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)
            data = head + b"".join(commands) + frame(b"let me in", 0)
            talk = socket.create_connection(("127.0.0.1", port), LONG)
            with talk, contextlib.suppress(OSError):
                talk.sendall(data)
                if waits:
                    talk.settimeout(0.01)
                    talk.recv(500)
            for zsock in servers:
                with contextlib.suppress(Timeout):
                    raise AssertionError(zsock.recv_multipart(timeout=0))

        with zmqsocket.new("DEALER", curve=known, server=keys, linger=0) as client:
            client.connect(curve.last_endpoint)
            client.send(b"x")
            assert curve.recv_multipart(timeout=LONG)[1] == b"x"
        for zsock in servers:
            with pytest.raises(Timeout):
                zsock.recv(timeout=0.1)
