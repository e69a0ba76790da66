"""Ratchet's handler: from when to when it is there, beside another, and what it survives."""

import contextlib
import ctypes
import sys
import threading
import time

import pytest
import zmq
from harness.internals import paused_calls
from harness.waiting import LONG, until

from ratchet import ArgumentError, Error, Timeout, _zap, auth, zmqsocket

ZAP = "inproc://zeromq.zap.01"


def handlers():
    return [thread for thread in threading.enumerate() if thread.name == "ratchet-zap"]


def test_it_is_there_while_it_is_needed(door, keys):
    assert handlers() == []
    first, second = door(clients=auth.ANY), door(users={"a": "b"})
    (thread,) = handlers()
    assert thread.daemon
    first.zsock.close()
    assert second.lets_in(plain_username="a", plain_password="b")
    assert handlers() == [thread]
    second.zsock.close()
    until(lambda: handlers() == [], "its end")
    assert door(allow=["127.0.0.1"]).lets_in()


def test_a_socket_that_is_dropped_needs_it_no_more(keys, tcp):
    server = zmqsocket.new("REP", curve=keys[0], clients=auth.ANY)
    server.bind(tcp)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del server
    until(lambda: handlers() == [], "its end")


def test_nothing_is_imported_or_started_without_rules(script):
    result = script(
        """
        with zmqsocket.new("REP") as rep:
            rep.bind("tcp://127.0.0.1:*")
        unused = {"auth", "_access", "_allow_lists", "_certificates", "_zap", "_zap_workers"}
        assert not unused & {name.removeprefix("ratchet.") for name in sys.modules}
        assert not {"logging", "dataclasses"} & {*sys.modules}
        assert threading.active_count() == 1
        from ratchet import auth
        assert auth.generate()
        """,
        prelude="import sys, threading\nfrom ratchet import zmqsocket\n",
    ).end()
    assert (result.status, result.err) == (0, ""), result


# Beside a handler of the program's own


def test_a_handler_of_ones_own(new, keys, door):
    own = new("REP")
    own.bind(ZAP)
    with pytest.raises(Error, match="another socket of this program is bound there") as caught:
        door(clients=auth.ANY)
    assert caught.value.code == "EADDRINUSE"
    assert handlers() == []
    server = new("ROUTER", curve_server=True, curve_secretkey=keys[0].secret, zap_domain="mine")
    at = server.bind("tcp://127.0.0.1:*")
    with zmqsocket.new("DEALER", curve=keys[1], server=keys[0], linger=0) as client:
        client.connect(at)
        client.send(b"x")
        request = own.recv_multipart()
        assert request[2:3] == [b"mine"]
        own.send_multipart([b"1.0", request[1], b"200", b"OK", b"someone", b""])
        assert server.recv_frames()[-1].user_id == "someone"
    own.close()
    assert door(clients=auth.ANY).lets_in(keys[1])


def test_ratchets_is_there_first(new, door):
    server = door(users={})
    for kind in ("REP", "ROUTER"):
        own = new(kind)
        with pytest.raises(Error, match="ratchet's own handler is bound there") as caught:
            own.bind(ZAP)
        assert caught.value.code == "EADDRINUSE"
    server.zsock.close()
    own.bind(ZAP)


def test_others_than_handlers_must_not_be_bound_there(new):
    """libzmq would end the process at the next handshake."""
    for kind in ("PULL", "DEALER", "PAIR", "SUB"):
        with pytest.raises(ArgumentError, match="a handler is a REP or ROUTER"):
            new(kind).bind(ZAP)


def test_other_sockets_are_served_as_without_it(new, keys, door):
    """A CURVE server without a domain lets in everybody, and one with a domain asked for more."""
    own = {"curve_server": True, "curve_secretkey": keys[0].secret}
    door(users={})
    for options, comes in (({}, True), ({"zap_domain": "mine"}, False)):
        server = new("ROUTER", **own, **options)
        at = server.bind("tcp://127.0.0.1:*")
        with zmqsocket.new("DEALER", curve=keys[1], server=keys[0], linger=0) as client:
            client.connect(at)
            with contextlib.suppress(Timeout):  # it was refused before this
                client.send(b"x", timeout=0)
            if comes:
                assert server.recv_frames()[-1].user_id == keys[1].public
            else:
                with pytest.raises(Timeout):
                    server.recv(timeout=0.3)


@pytest.mark.parametrize("mechanism", ["NULL", "CURVE"])
@pytest.mark.parametrize("asks", ["in vain", "if it can"])
def test_a_domain_without_a_handler_lets_in_nobody(new, keys, mechanism, asks):
    """libzmq would let in everybody, which has to be asked for here."""
    options = {"zap_domain": "mine"}
    client = new("PUSH", linger=0)
    if mechanism == "CURVE":
        options |= {"curve_server": True, "curve_secretkey": keys[0].secret}
        client = new("PUSH", curve=keys[1], server=keys[0], linger=0)
    if asks == "if it can":
        options = {"zap_enforce_domain": False, **options}
    server = new("PULL", **options)
    assert server.zap_enforce_domain == (asks == "in vain")
    with server.monitor("HANDSHAKE_SUCCEEDED", "HANDSHAKE_FAILED_NO_DETAIL") as monitor:
        client.connect(server.bind("tcp://127.0.0.1:*"))
        told = monitor.recv(timeout=LONG).name
    assert (told == "HANDSHAKE_SUCCEEDED") == (asks == "if it can")


# What it survives


def kill_in_mid_request():
    """Raise in the handler's thread when it has its next request, as nothing of its own does."""
    (thread,) = handlers()
    until(lambda: paused_calls(_zap._handler.zsock), "its pause")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )


def test_killed_in_mid_request(door, keys, told):
    server = door(clients=[keys[1].public])
    assert server.lets_in(keys[1])  # the thread has what it needs to pause
    for count in range(1, 6):
        kill_in_mid_request()
        assert server.knock(keys[2], wait=0.02) is None
        until(lambda: told().count("goes on after SystemExit") == count, "the log")  # noqa: B023
        assert server.lets_in(keys[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_is_followed_by_another(door, keys, monkeypatch):
    server = door(clients=[keys[1].public])
    assert server.lets_in(keys[1])
    (thread,) = handlers()
    with monkeypatch.context() as patch:
        patch.setattr(_zap, "log_quietly", lambda *_: sys.exit())
        kill_in_mid_request()
        assert server.knock(keys[2]) is None
        until(lambda: not thread.is_alive(), "its end")
    assert server.lets_in(keys[1])
    assert len(handlers()) == 1


@pytest.mark.parametrize(
    "rules", [{"clients": auth.ANY}, {"users": {"a": "b"}}, {"allow": ["127.0.0.1"]}]
)
def test_without_it_nobody_comes_in(door, keys, rules, monkeypatch):
    """libzmq itself would let in everybody, with CURVE and without."""
    server = door(**rules)
    client = {"plain_username": "a", "plain_password": "b"} if "users" in rules else {}
    client |= {"keys": keys[1]} if "clients" in rules else {}
    assert server.lets_in(**client)
    _zap._handler.zsock.close()
    assert server.knock(**client) is None


def test_what_is_no_request(new, door, keys, told):
    server = door(clients=[keys[1].public])
    strange = new("DEALER", linger=0)
    strange.connect(ZAP)
    for parts in (
        [b""],
        [b"", b""],
        [b"", b"1.0", b"1"],
        [b"", b"2.0", b"1", b"ratchet-1", b"", b"", b"CURVE", bytes(32)],
        [b"x", b"1.0", b"1", b"ratchet-1", b"", b"", b"CURVE", bytes(32)],
        [b"", b"1.0", b"1", b"\xff", b"\xff", b"\xff", b"\xff", b"\xff"],
        [b"", b"1.0", b"1", server.zsock.zap_domain.encode(), b"127.0.0.1", b"", b"CURVE"],
        [b"", b"1.0", b"1", server.zsock.zap_domain.encode(), b"127.0.0.1", b"", b"CURVE", b"x"],
        [b"", b"1.0", b"1", server.zsock.zap_domain.encode(), b"127.0.0.1", b"", b"NULL"],
        [b"", b"1.0", b"1", server.zsock.zap_domain.encode(), b"nowhere", b"", b"PLAIN", b"a"],
    ):
        strange.send_multipart(parts)
    assert server.lets_in(keys[1])
    while True:
        try:
            answer = strange.recv_multipart(timeout=0)
        except Timeout:
            break
        assert answer[0] == b""
        assert answer[3] != b"200"


def test_a_log_that_fails(door, keys, monkeypatch):
    def fails(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(auth.log, "warning", fails)
    server = door(clients=[keys[1].public])
    assert server.knock(keys[2]) is None
    assert server.lets_in(keys[1])


def test_the_log_says_who_why_and_where_from(door, keys, told):
    server = door(clients=[keys[1].public])
    server.knock(keys[2])
    until(lambda: "refused" in told(), "the log")
    assert f"refused CURVE client {keys[2].public} from '127.0.0.1': clients does not" in told()
    assert server.at in told()
    assert not any(key.secret in told() for key in keys)


def test_it_is_silent_by_default(run):
    run("""
        from ratchet import auth
        keys = auth.generate()
        with zmqsocket.new("REP", curve=keys, clients=[]) as rep:
            rep.bind("tcp://127.0.0.1:*")
            with zmqsocket.new("REQ", curve=auth.generate(), server=keys, linger=0) as req:
                req.connect(rep.last_endpoint)
                try:
                    req.send(b"x", timeout=0.3)
                    req.recv(timeout=0.3)
                except ratchet.Timeout:
                    pass
    """)


# Other libraries


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


def test_pyzmqs_client(door, keys, context):
    server = door(clients=[keys[1].public])
    for client, comes in ((keys[2], False), (keys[1], True)):
        with context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.curve_publickey = client.public.encode()
            dealer.curve_secretkey = client.secret.encode()
            dealer.curve_serverkey = keys[0].public.encode()
            dealer.connect(server.at)
            with contextlib.suppress(zmq.Again):  # it was refused before this
                dealer.send(b"x", zmq.NOBLOCK)
            if comes:
                assert server.zsock.recv_frames()[-1].user_id == client.public
            else:
                with pytest.raises(Timeout):
                    server.zsock.recv(timeout=0.3)


# Forks and the exit

SERVE = """
from ratchet import auth
keys, alice, eve = auth.generate(), auth.generate(), auth.generate()

def serve(**options):
    server = zmqsocket.new("ROUTER", curve=keys, **options)
    server.bind("tcp://127.0.0.1:*")
    return server

def comes(server, client, wait=5):
    with zmqsocket.new("DEALER", curve=client, server=keys, linger=0) as dealer:
        dealer.connect(server.last_endpoint)
        try:
            dealer.send(b"x", timeout=wait)
            return server.recv_frames(timeout=wait)[-1].user_id
        except ratchet.Timeout:
            return None
"""


def test_fork(run):
    run(
        SERVE
        + """
def child():
    with serve(clients=[eve.public]) as mine:
        assert comes(mine, alice, 0.3) is None
        assert comes(mine, eve) == eve.public
    try:
        server.recv()
    except ratchet.ForkedError:
        server.close()

def callable_child():
    with serve(clients=lambda key, address: "x") as mine:
        assert comes(mine, alice) == "x"

server = serve(clients=lambda key, address: key if key == alice.public else None)
assert comes(server, alice) == alice.public
for body in (child, callable_child, child):
    assert fork(body) == 0
    assert comes(server, eve, 0.3) is None
    assert comes(server, alice) == alice.public
server.close()
assert fork(callable_child) == 0
"""
    )


def test_the_exit_waits_for_no_callable(run):
    began = time.monotonic()
    run(
        SERVE
        + """
server = serve(clients=lambda *_: time.sleep(60), auth_timeout=60)
for _ in range(3):
    assert comes(server, alice, 0.1) is None
print("over", flush=True)
"""
    )
    assert time.monotonic() - began < 30


def test_the_exit_lets_in_nobody(script, new, keys, tmp_path):
    """While it lingers for a client that is slow, strangers come in vain."""
    _, secret = auth.save(tmp_path, "server", keys[0])
    program = script(
        """
        from ratchet import auth
        keys = auth.load(sys.argv[1])
        push = zmqsocket.new("PUSH", curve=keys, clients=[sys.argv[2]], linger=50.0)
        print(push.bind("tcp://127.0.0.1:*"), flush=True)
        for number in range(100):
            push.send(bytes(1_000_000))
        print("leaving", flush=True)
        """,
        str(secret),
        keys[1].public,
    )
    at = program.process.stdout.readline().strip()
    slow = new("PULL", curve=keys[1], server=keys[0], rcvhwm=1)
    slow.connect(at)
    program.said("leaving")
    stranger = new("PULL", curve=keys[2], server=keys[0], reconnect_ivl=0.01)
    stranger.connect(at)
    with pytest.raises(Timeout):
        stranger.recv(timeout=0.5)
    assert program.process.poll() is None
    for _ in range(100):
        assert len(slow.recv_all()) == 1_000_000
    result = program.end()
    assert result.status == 0, result
    with pytest.raises(Timeout):
        stranger.recv(timeout=0)


def test_out_of_descriptors(run):
    run(
        SERVE
        + """
import resource, tempfile
folder = tempfile.mkdtemp()
auth.save(folder, "alice", alice)
server = serve(clients=[folder])
dealers = [
    zmqsocket.new("DEALER", curve=client, server=keys, linger=0, reconnect_ivl=0.01)
    for client in (eve, alice)
]
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
kept = []
for dealer in dealers:
    dealer.connect(server.last_endpoint)
    dealer.send(b"x")
with contextlib.suppress(OSError):
    while True:
        kept.append(os.open(os.devnull, os.O_RDONLY))
try:
    server.recv_frames(timeout=0.5)
except (ratchet.Timeout, ratchet.Error):
    pass
for fd in kept:
    os.close(fd)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
assert comes(server, eve, 0.3) in (None, alice.public)
assert comes(server, alice) == alice.public
for zsock in (*dealers, server):
    zsock.close(linger=0)
"""
    )
