"""Other implementations: pyzmq with its authenticator, Node's zeromq, CZMQ's certificates."""

import contextlib
import ctypes.util
import subprocess
import sys

import pytest
import zmq
import zmq.auth
from harness.node import programs_of_node
from harness.waiting import LONG
from zmq.auth.thread import ThreadAuthenticator

from ratchet import Timeout, auth, zmqsocket

node = pytest.fixture(programs_of_node)


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


# pyzmq


@contextlib.contextmanager
def pyzmq_client(context, at, **options):
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.rcvtimeo = int(LONG * 1000)
        for name, value in options.items():
            setattr(dealer, name, value.encode())
        dealer.connect(at)
        with contextlib.suppress(zmq.Again):  # it was refused before this
            dealer.send(b"x", zmq.NOBLOCK)
        yield dealer


def curve(own, server):
    return {
        "curve_publickey": own.public,
        "curve_secretkey": own.secret,
        "curve_serverkey": server.public,
    }


def test_pyzmqs_clients(door, keys, context, tmp_path):
    certificates = tmp_path / "clients"
    certificates.mkdir()
    secret = zmq.auth.create_certificates(certificates, "alice")[1]
    made = [key.decode() for key in zmq.auth.load_certificate(secret)]
    alice = auth.CurveKeys(*made)
    server = door(clients=[certificates])
    with pyzmq_client(context, server.at, **curve(alice, keys[0])) as dealer:
        frames = server.zsock.recv_frames()
        assert frames[-1].user_id == alice.public
        server.zsock.send_multipart([frames[0].bytes, b"y"])
        assert dealer.recv() == b"y"
    with pyzmq_client(context, server.at, **curve(keys[2], keys[0])), pytest.raises(Timeout):
        server.zsock.recv(timeout=0.3)
    server = door(users={"alice": "sesame"})
    for password in ("wrong", "sesame"):
        given = {"plain_username": "alice", "plain_password": password}
        with pyzmq_client(context, server.at, **given):
            if password == "sesame":
                assert server.zsock.recv_frames()[-1].user_id == "alice"
            else:
                with pytest.raises(Timeout):
                    server.zsock.recv(timeout=0.3)


def test_pyzmqs_authenticator(keys, context, tmp_path):
    server, alice, eve = keys[:3]
    auth.save(tmp_path, "alice", alice)
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    try:
        authenticator.allow("127.0.0.1")
        authenticator.configure_curve(domain="*", location=str(tmp_path))
        with context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.curve_secretkey = server.secret.encode()
            router.curve_server = True
            port = router.bind_to_random_port("tcp://127.0.0.1")
            for client in (eve, alice):
                with zmqsocket.new("DEALER", curve=client, server=server, linger=0) as dealer:
                    dealer.connect(f"tcp://127.0.0.1:{port}")
                    with contextlib.suppress(Timeout):  # it was refused before this
                        dealer.send(b"x", timeout=0)
                    comes = router.poll(int(LONG * 1000) if client is alice else 300)
                    assert bool(comes) == (client is alice)
            assert router.recv_multipart(copy=False)[-1].get("User-Id") == alice.public
    finally:
        authenticator.stop()


# Node

CLIENT = """
const zmq = require("zeromq");
const [at, options] = JSON.parse(process.argv[1]);
(async () => {
    const dealer = new zmq.Dealer({linger: 0, ...options});
    dealer.connect(at);
    await dealer.send("from node");
    const [answer] = await dealer.receive();
    console.log(answer.toString());
    dealer.close();
})();
"""
SERVER = """
const zmq = require("zeromq");
const [secret] = JSON.parse(process.argv[1]);
(async () => {
    const reply = new zmq.Reply({linger: 1000, curveServer: true, curveSecretKey: secret});
    await reply.bind("tcp://127.0.0.1:*");
    console.log(reply.lastEndpoint);
    await reply.receive();
    await reply.send("from node");
    reply.close();
})();
"""


def test_nodes_clients(door, keys, node):
    server, alice, eve = keys[:3]
    options = {
        "eve": (
            {"curvePublicKey": eve.public, "curveSecretKey": eve.secret},
            {"curveServerKey": server.public},
        ),
        "alice": (
            {"curvePublicKey": alice.public, "curveSecretKey": alice.secret},
            {"curveServerKey": server.public},
        ),
    }
    listed = door(clients=[alice.public])
    for name, (own, other) in options.items():
        client = node(CLIENT, listed.at, {**own, **other})
        if name == "eve":
            with pytest.raises(Timeout):
                listed.zsock.recv(timeout=2)
        else:
            frames = listed.zsock.recv_frames(timeout=30)
            assert (frames[1].bytes, frames[1].user_id) == (b"from node", alice.public)
            listed.zsock.send_multipart([frames[0].bytes, b"welcome"])
            assert client.stdout.readline() == "welcome\n"
    named = door(users={"alice": "sesame"})
    client = node(CLIENT, named.at, {"plainUsername": "alice", "plainPassword": "sesame"})
    frames = named.zsock.recv_frames(timeout=30)
    assert frames[1].user_id == "alice"
    named.zsock.send_multipart([frames[0].bytes, b"welcome"])
    assert client.stdout.readline() == "welcome\n"


def test_nodes_server(keys, node):
    server = node(SERVER, keys[0].secret)
    at = server.stdout.readline().strip()
    with zmqsocket.new("REQ", curve=keys[1], server=keys[0].public, linger=0) as req:
        req.connect(at)
        req.send(b"x")
        assert req.recv(timeout=30) == (b"from node", False)


# CZMQ, whose zmakecert is zcert_save and little else

CZMQ = """
import ctypes, sys

czmq = ctypes.CDLL(sys.argv[1])
for name in ("zcert_new", "zcert_load"):
    getattr(czmq, name).restype = ctypes.c_void_p
for name in ("zcert_public_txt", "zcert_secret_txt", "zcert_meta"):
    getattr(czmq, name).restype = ctypes.c_char_p
pointer = ctypes.c_void_p


def show(certificate):
    print(czmq.zcert_public_txt(certificate).decode())
    print(czmq.zcert_secret_txt(certificate).decode())
    print(czmq.zcert_meta(certificate, b"name").decode())


if sys.argv[2] == "save":
    certificate = pointer(czmq.zcert_new())
    czmq.zcert_set_meta(certificate, b"name", b"%s", b"A # B")
    assert czmq.zcert_save(certificate, sys.argv[3].encode()) == 0
else:
    certificate = pointer(czmq.zcert_load(sys.argv[3].encode()))
show(certificate)
"""


@pytest.fixture
def czmq():
    """Saves or loads a certificate with CZMQ, in a process of its own; returns what it says."""
    library = ctypes.util.find_library("czmq")
    if library is None:
        pytest.skip("no CZMQ here (apt install libczmq4)")

    def call(act, path):
        command = [sys.executable, "-c", CZMQ, library, act, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.splitlines()

    return call


def test_czmqs_certificates(czmq, door, keys, tmp_path):
    public, secret, name = czmq("save", tmp_path / "mycert.txt")
    assert name == "A # B"
    loaded = auth.load(tmp_path / "mycert.txt_secret")
    assert (loaded.public, loaded.secret, loaded.metadata) == (public, secret, {"name": "A # B"})
    assert auth.load(tmp_path / "mycert.txt").secret is None
    assert door(clients=[tmp_path]).lets_in(loaded).user_id == public


def test_czmq_reads_ours(czmq, keys, tmp_path):
    saved, _ = auth.save(tmp_path, "alice", keys[1], {"name": "A # B"})
    assert czmq("load", saved) == [keys[1].public, keys[1].secret, "A # B"]
    (tmp_path / "alice.key_secret").unlink()
    public, secret, _ = czmq("load", saved)
    assert public == keys[1].public
    assert secret == "0" * 40
