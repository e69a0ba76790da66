"""On the wire with pyzmq and its own libzmq: every pair of types, security, and requests."""

import contextlib
import errno
import subprocess
import sys
import threading
import time

import pytest
import zmq
from harness.behaviour import behaviour
from harness.node import programs_of_node
from harness.waiting import LONG, Task
from zmq.utils import z85

import ratchet
from ratchet import zmqsocket

PATIENCE = 10.0  # seconds, until a test fails
# Who speaks first, and the other. RFC 28 to 31 of ZeroMQ say which go together.
COMPATIBLE = [
    ("PAIR", "PAIR"),
    ("PUSH", "PULL"),
    *((pub, sub) for pub in ("PUB", "XPUB") for sub in ("SUB", "XSUB")),
    *(("REQ", peer) for peer in ("REP", "ROUTER")),
    *(("DEALER", peer) for peer in ("REP", "ROUTER", "DEALER")),
    *(("ROUTER", peer) for peer in ("DEALER", "ROUTER")),
]
ONE_WAY = ("PUSH", "PUB", "XPUB")
NAMED = ("REQ", "DEALER", "ROUTER")
BIG = bytes(range(256)) * 4096
MESSAGES = [
    [b"one"],
    [b""],
    [b"a", b"b", b"c"],
    [b"", b"x", b"", b""],
    [b"%d" % n for n in range(100)],
    [BIG],
    [b"small", BIG, b"", BIG[:255], BIG[:256]],
]


@pytest.fixture
def make():
    """Make a socket of either library, with the same names of options (ratchet's)."""
    context = zmq.Context()
    sockets = []

    def make(library, type, **options):
        if library == "ratchet":
            zsock = zmqsocket.new(type, linger=0, **options)
            zsock.set_timeout(PATIENCE)
        else:
            zsock = context.socket(getattr(zmq, type))
            zsock.rcvtimeo = zsock.sndtimeo = int(PATIENCE * 1000)
            for name, value in options.items():
                setattr(zsock, name, value.encode() if isinstance(value, str) else value)
            if type == "ROUTER":
                zsock.router_mandatory = True
        sockets.append(zsock)
        return zsock

    yield make
    for zsock in sockets:
        zsock.close(linger=0)
    context.destroy(linger=0)


class End:
    """One end of a conversation: adds and takes off what its type's envelopes need."""

    def __init__(self, make, library, type, name):
        self.type, self.name, self.library = type, name, library
        self.zsock = make(library, type, **({"routing_id": name} if type in NAMED else {}))
        self.peer = None

    def envelope(self):
        named = [self.peer.name] if self.type == "ROUTER" else []
        asking = (self.type, self.peer.type) in (("ROUTER", "REQ"), ("DEALER", "REP"))
        return named + [b""] * asking

    def send(self, parts):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.zsock.send_multipart(self.envelope() + parts)
            except (ratchet.Error, zmq.ZMQError) as error:
                # A ROUTER does not know its peer before they have shaken hands.
                if error.errno != errno.EHOSTUNREACH or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
                continue
            return

    def recv(self):
        envelope = self.envelope()
        parts = self.zsock.recv_multipart()
        assert parts[: len(envelope)] == envelope
        return parts[len(envelope) :]

    def subscribe(self):
        if self.library == "pyzmq" and self.type == "XSUB":
            self.zsock.send(b"\1")
        else:
            self.zsock.subscribe(b"")


def wait_for_subscriber(pub, sub):
    """Until messages get through; nothing tells a PUB that someone has subscribed."""
    deadline = time.monotonic() + PATIENCE
    while not sub.zsock.poll(1) if sub.library == "pyzmq" else not sub.zsock.is_readable():
        assert time.monotonic() < deadline, "nobody subscribes"
        pub.send([b"probe"])
        time.sleep(0.001)  # or the queue fills up, and what comes after is dropped
    if pub.type == "XPUB":
        assert pub.recv() == [b"\1"]
    pub.send([b"subscribed"])
    while sub.recv() != [b"subscribed"]:
        pass


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("binds", ["ratchet", "pyzmq"])
@pytest.mark.parametrize("speaks", ["ratchet", "pyzmq"])
@pytest.mark.parametrize(("first", "second"), COMPATIBLE, ids=str)
def test_every_pair(make, request, first, second, speaks, binds, transport):
    listens = "pyzmq" if speaks == "ratchet" else "ratchet"
    one, two = End(make, speaks, first, b"one"), End(make, listens, second, b"two")
    one.peer, two.peer = two, one
    server, client = (one, two) if speaks == binds else (two, one)
    server.zsock.bind(request.getfixturevalue(transport))
    where = server.zsock.last_endpoint
    client.zsock.connect(where if isinstance(where, str) else where.rstrip(b"\0").decode())
    if first in ("PUB", "XPUB"):
        two.subscribe()
        wait_for_subscriber(one, two)
    for parts in MESSAGES:
        one.send(parts)
        assert two.recv() == parts
        if first not in ONE_WAY:
            two.send(parts[::-1])
            assert one.recv() == parts[::-1]


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("sends", ["ratchet", "pyzmq"])
def test_part_by_part(make, request, sends, transport):
    push = make(sends, "PUSH")
    pull = make("pyzmq" if sends == "ratchet" else "ratchet", "PULL")
    push.bind(request.getfixturevalue(transport))
    where = push.last_endpoint
    pull.connect(where if isinstance(where, str) else where.rstrip(b"\0").decode())
    for parts in MESSAGES:
        for part in parts[:-1]:
            if sends == "ratchet":
                push.send(part, True)
            else:
                push.send(part, zmq.SNDMORE)
        push.send(parts[-1])
        got, more = [], True
        while more:
            if sends == "ratchet":
                got.append(pull.recv())
                more = pull.rcvmore
            else:
                data, more = pull.recv()
                got.append(data)
        assert got == parts


ECHO = """
import sys, zmq
with zmq.Context() as context, context.socket(getattr(zmq, sys.argv[1])) as zsock:
    zsock.linger = 5000
    zsock.connect(sys.argv[2])
    while (parts := zsock.recv_multipart()) != [b"stop"]:
        zsock.send_multipart(parts)
"""


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize(
    ("mine", "theirs"), [("REQ", "REP"), ("DEALER", "DEALER"), ("PAIR", "PAIR")]
)
def test_with_another_process(make, request, mine, theirs, transport):
    zsock = make("ratchet", mine)
    zsock.bind(request.getfixturevalue(transport))
    with subprocess.Popen([sys.executable, "-c", ECHO, theirs, zsock.last_endpoint]) as process:
        try:
            for parts in MESSAGES:
                zsock.send_multipart(parts)
                assert zsock.recv_multipart() == parts
            if mine != "REQ":
                sent = [b"%d" % n for n in range(3000)]
                thread = threading.Thread(target=zsock.send_many, args=(sent,))
                thread.start()
                got = []
                while len(got) < len(sent):
                    got += zsock.recv_many(1000)
                thread.join(PATIENCE)
                assert got == sent
            zsock.send(b"stop")
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


# Security. The server asks a handler (ZAP, RFC 27) at a fixed inproc endpoint of its own context.


@contextlib.contextmanager
def handler(make, library, allowed):
    """Let in who has the allowed credentials; gives the list of what was answered."""
    zsock = make(library, "REP")
    zsock.bind("inproc://zeromq.zap.01")
    zsock.rcvtimeo = 0.01 if library == "ratchet" else 10
    answers, over = [], threading.Event()

    def serve():
        while not over.is_set():
            try:
                request = zsock.recv_multipart()
            except (ratchet.Timeout, zmq.Again):
                continue
            version, number, domain, _address, _name, mechanism, *credentials = request
            assert domain == b"test"
            code = b"200" if credentials == allowed else b"400"
            answers.append((mechanism, code))
            zsock.send_multipart([version, number, code, b"", b"user", b""])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()
        zsock.close(linger=0)


def plain():
    name, password = "user", "secret"
    return (
        {"plain_server": True},
        {"plain_username": name, "plain_password": password},
        {"plain_username": name, "plain_password": "wrong"},
        [name.encode(), password.encode()],
    )


def curve():
    if not (ratchet.has("curve") and zmq.has("curve")):
        pytest.skip("CURVE is not built in")
    (server, server_secret), (right, right_secret), (wrong, wrong_secret) = (
        ratchet.curve_keypair() for _ in range(3)
    )
    assert ratchet.curve_public(right_secret) == right
    return (
        {"curve_server": True, "curve_secretkey": server_secret},
        {"curve_serverkey": server, "curve_publickey": right, "curve_secretkey": right_secret},
        {"curve_serverkey": server, "curve_publickey": wrong, "curve_secretkey": wrong_secret},
        [z85.decode(right)],
    )


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
@pytest.mark.parametrize("serves", ["ratchet", "pyzmq"])
@pytest.mark.parametrize("mechanism", [plain, curve])
def test_security(make, request, mechanism, serves, transport):
    server_options, right_options, wrong_options, allowed = mechanism()
    asks = "pyzmq" if serves == "ratchet" else "ratchet"
    with handler(make, serves, allowed) as answers:
        server = make(serves, "PULL", zap_domain="test", **server_options)
        server.bind(request.getfixturevalue(transport))
        where = server.last_endpoint
        where = where if isinstance(where, str) else where.rstrip(b"\0").decode()
        name = mechanism.__name__.upper()
        clients = ((wrong_options, b"400", b"no"), (right_options, b"200", b"yes"))
        for options, code, text in clients:
            client = make(asks, "PUSH", **options)
            if asks == "ratchet":
                assert client.mechanism == name
            client.connect(where)
            with contextlib.suppress(ratchet.Timeout, zmq.Again):  # turned away already
                client.rcvtimeo = client.sndtimeo = 1 if asks == "ratchet" else 1000
                client.send_multipart([text, BIG])
            deadline = time.monotonic() + PATIENCE
            while (name.encode(), code) not in answers:
                assert time.monotonic() < deadline, f"nobody was answered {code}"
                time.sleep(0.001)
        assert server.recv_multipart() == [b"yes", BIG]
        server.rcvtimeo = 0.02 if serves == "ratchet" else 20
        with pytest.raises((ratchet.Timeout, zmq.Again)):
            server.recv_multipart()


def test_curve_with_another_servers_key(make, tcp):
    """Who expects another server does not talk to this one."""
    server_options, right, _, _ = curve()
    wrong = {**right, "curve_serverkey": ratchet.curve_keypair()[0]}
    server = make("pyzmq", "PULL", **server_options)
    server.bind(tcp)
    where = server.last_endpoint.rstrip(b"\0").decode()
    deceived = make("ratchet", "PUSH", **wrong, immediate=True)  # sends once connected
    fine = make("ratchet", "PUSH", **right, immediate=True)
    for zsock in (deceived, fine):
        zsock.connect(where)
    fine.send(b"fine")
    assert server.recv() == b"fine"
    with pytest.raises(ratchet.Timeout):
        deceived.send(b"deceived", timeout=0.1)


# request, of servers of other libraries


@behaviour
async def test_request_of_pyzmqs_rep(rt, tcp):
    context = zmq.Context()
    rep = context.socket(zmq.REP)
    port = rep.bind_to_random_port("tcp://127.0.0.1")

    def answer():
        for _ in range(5):
            parts = rep.recv_multipart()
            rep.send_multipart(parts)

    server = Task(answer)
    try:
        req = rt.new("REQ")
        req.connect(f"tcp://127.0.0.1:{port}")
        for n in range(4):
            assert await req.request(b"%d" % n) == b"%d" % n
        assert await req.request([b"a", b"b"]) == [b"a", b"b"]
        server.value()
    finally:
        rep.close(linger=0)
        context.term()


NODES_REP = """
const zmq = require("zeromq");
(async () => {
  const rep = new zmq.Reply();
  await rep.bind("tcp://127.0.0.1:*");
  console.log(rep.lastEndpoint);
  for (let n = 0; ; n++) {
    const parts = await rep.receive();
    if (n === 0) await new Promise((done) => setTimeout(done, 500));
    await rep.send(parts);
  }
})();
"""

node = pytest.fixture(programs_of_node)


def test_request_of_nodes_rep(node):
    """The first answer is late: that to a later try is taken, and the late ones never are."""
    at = node(NODES_REP).stdout.readline().strip()
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(at)
        assert req.request(b"first", timeout=0.1, retries=1_000) == b"first"
        for n in range(4):
            assert req.request(b"%d" % n, timeout=LONG) == b"%d" % n
        assert req.request([b"a", b"", b"b"], timeout=LONG) == [b"a", b"", b"b"]
