"""Who is let in, by whichever option, in every kind of thread."""

import asyncio
import threading

import pytest
from harness.behaviour import behaviour
from harness.waiting import LONG, until

import ratchet
import ratchet.asyncio
from ratchet import ArgumentError, StateError, Timeout, auth, zmqsocket

ELSEWHERE = ["10.0.0.0/8", "2001:db8::/32"]
HERE = ["127.0.0.0/8", "::1"]


@behaviour
async def test_only_those_in_the_list(rt, tcp, keys):
    server, alice, bob, _, eve, _ = keys
    rep = rt.new("REP", curve=server, clients=[alice.public, bob])
    rep.bind(tcp)
    for client in (eve, alice, eve, bob):
        req = rt.new("REQ", curve=client, server=server.public, linger=0)
        req.connect(rep.last_endpoint)
        await req.send(b"question")
        if client is eve:
            with pytest.raises(Timeout):
                await req.recv(timeout=0.2)
            assert not rep.is_readable()
            continue
        frame = await rep.recv_frame()
        assert (frame.bytes, frame.user_id) == (b"question", client.public)
        assert frame.peer_address == "127.0.0.1"
        await rep.send(b"answer")
        assert await req.recv_all() == b"answer"


@behaviour
async def test_a_socket_with_rules_in_any_kind_of_thread(rt, tcp, keys):
    server, alice = keys[:2]
    pull = rt.new("PULL", users={"alice": "sesame"}, allow=HERE)
    pull.bind(tcp)
    push = rt.new("PUSH", plain_username="alice", plain_password="sesame")
    push.connect(pull.last_endpoint)
    await push.send(b"x")
    assert (await pull.recv_frame()).user_id == "alice"
    pull = rt.new("PULL", curve=server, clients=lambda key, _: key == alice.public)
    pull.bind(tcp)
    push = rt.new("PUSH", curve=alice, server=server)
    push.connect(pull.last_endpoint)
    await push.send(b"x")
    assert (await pull.recv_frame()).user_id == alice.public


# Clients


def test_anybody_who_was_asked_for(door, keys):
    server = door(clients=auth.ANY)
    assert server.zsock.clients is auth.ANY
    assert repr(auth.ANY) == "ratchet.auth.ANY"
    for client in keys[1:3]:
        assert server.lets_in(client).user_id == client.public


def test_nobody(door, keys):
    server = door(clients=[])
    assert server.knock(keys[1]) is None


def test_a_server_never_lets_in_who_speaks_otherwise(door, keys, told):
    server = door(clients=auth.ANY)
    assert server.knock() is None
    assert server.knock(plain_username="alice", plain_password="x") is None
    assert server.knock(keys[1], server=keys[2].public) is None  # expects another server
    assert "let in" not in told()
    assert server.lets_in(keys[1])


def test_a_folder(door, keys, tmp_path):
    auth.save(tmp_path, "alice", keys[1])
    server = door(clients=[tmp_path, keys[2].public])
    assert server.lets_in(keys[1]).user_id == keys[1].public
    assert server.knock(keys[3]) is None
    auth.save(tmp_path, "carol", keys[3])
    assert server.lets_in(keys[3]).user_id == keys[3].public
    (tmp_path / "alice.key").unlink()
    assert server.knock(keys[1]) is None
    (tmp_path / "carol.key").write_text("half written")
    assert server.knock(keys[3]) is None
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    assert server.knock(keys[3]) is None
    assert server.lets_in(keys[2])


@pytest.mark.parametrize(
    ("answer", "user"),
    [
        ("robot 7", "robot 7"),
        ("Zoë", "Zoë"),
        (True, "the key"),
        (None, None),
        (False, None),
        ("", None),
        (7, None),
        (b"x", None),
        ("a\0b", None),
        ("x" * 256, None),
        ("\udcff", None),
        (["x"], None),
    ],
)
def test_what_a_callable_returns(door, keys, answer, user):
    asked = []
    server = door(clients=lambda *given: asked.append(given) or answer)
    frame = server.knock(keys[1], wait=LONG if user else 0.3)
    assert asked == [(keys[1].public, "127.0.0.1")]
    if user is None:
        assert frame is None
    else:
        assert frame.user_id == (keys[1].public if user == "the key" else user)


def test_a_client_that_binds(new, keys, tcp):
    """Who is the server does not depend on who binds, but one that asks about peers must."""
    client = new("DEALER", curve=keys[1], server=keys[0].public)
    at = client.bind(tcp)
    server = new("DEALER", curve=keys[0], clients=auth.ANY)
    with pytest.raises(ArgumentError, match="must be the one that binds"):
        server.connect(at)
    raw = new("DEALER", curve_server=True, curve_secretkey=keys[0].secret)
    raw.connect(at)
    raw.send(b"x")
    assert client.recv_all() == b"x"


def test_changed_at_run_time(door, keys):
    server = door(clients=[keys[1].public])
    with zmqsocket.new("DEALER", curve=keys[1], server=keys[0], linger=0) as stays:
        stays.connect(server.at)
        stays.send(b"x")
        server.zsock.recv_multipart(timeout=LONG)
        server.zsock.clients = [keys[2].public]
        assert server.zsock.clients == [keys[2].public]
        assert server.knock(keys[1]) is None
        assert server.lets_in(keys[2])
        stays.send(b"y")  # connections that are there stay
        assert server.zsock.recv_multipart(timeout=LONG)[-1] == b"y"
    server.zsock.clients = lambda key, address: None
    assert server.knock(keys[2]) is None
    server.zsock.clients = auth.ANY
    assert server.lets_in(keys[3])
    server.zsock.deny = HERE
    assert server.knock(keys[3]) is None
    with pytest.raises(TypeError, match="CLIENTS takes"):
        server.zsock.clients = None


# Users


def test_users(door, keys):
    server = door(users={"alice": "sesame", "bob": "größe"})
    for name, password in (("alice", "sesame"), ("bob", "größe")):
        frame = server.lets_in(plain_username=name, plain_password=password)
        assert frame.user_id == name
    for name, password in (
        ("alice", "Sesame"),
        ("alice", "größe"),
        ("eve", "sesame"),
        ("eve", "x"),
        ("sesame", "alice"),
    ):
        assert server.knock(plain_username=name, plain_password=password, wait=0.1) is None
    assert server.knock(plain_username="alice") is None
    assert server.knock() is None
    assert server.knock(keys[1]) is None


def test_a_callable_for_users(door):
    asked = []

    def check(name, password, address):
        asked.append((name, password, address))
        return {"alice": "the boss", "bob": True}.get(name) if password == "sesame" else False

    server = door(users=check)
    assert server.lets_in(plain_username="alice", plain_password="sesame").user_id == "the boss"
    assert server.lets_in(plain_username="bob", plain_password="sesame").user_id == "bob"
    assert server.knock(plain_username="bob", plain_password="x") is None
    assert asked[0] == ("alice", "sesame", "127.0.0.1")
    assert asked[-1] == ("bob", "x", "127.0.0.1")


def test_passwords_are_not_shown(door, told):
    server = door(users={"alice": "hush"})
    assert "hush" not in repr(server.zsock.users) + repr(server.zsock)
    server.knock(plain_username="alice", plain_password="hushhush")
    until(lambda: "refused" in told(), "the log")
    assert "hush" not in told()
    assert "'alice'" in told()


# Networks


def test_networks_without_a_mechanism(door, ipc):
    for rules, inside in (
        ({"allow": HERE}, True),
        ({"allow": ELSEWHERE}, False),
        ({"allow": []}, False),
        ({"deny": ELSEWHERE}, True),
        ({"deny": HERE}, False),
        ({"deny": []}, True),
        ({"allow": ["127.0.0.1"], "deny": ["127.0.0.0/8"]}, False),
        ({"allow": HERE, "deny": ELSEWHERE}, True),
    ):
        server = door(**rules)
        frame = server.knock(wait=LONG if inside else 0.2)
        assert (frame is not None) == inside, rules
        assert frame is None or frame.user_id is None
        server.zsock.bind(ipc)  # whose peers have no address, and are subject to neither
        assert server.lets_in(at=ipc)
        server.zsock.close()


def test_networks_go_with_curve_and_plain(door, keys):
    server = door(clients=[keys[1].public], allow=ELSEWHERE)
    assert server.knock(keys[1]) is None  # the right key from a wrong address
    server.zsock.allow = HERE
    assert server.lets_in(keys[1])
    assert server.knock(keys[2]) is None  # a wrong key from the right one
    asked = []
    server = door(users=lambda *given: asked.append(given), deny=HERE)
    assert server.knock(plain_username="a", plain_password="b") is None
    assert asked == []


def test_ipv4_in_ipv6(door, new):
    server = door("tcp://[::]:*", allow=["127.0.0.1"], ipv6=True)
    port = server.at.rpartition(":")[2]
    assert server.lets_in(at=f"tcp://127.0.0.1:{port}")
    assert server.knock(at=f"tcp://[::1]:{port}", ipv6=True) is None
    server.zsock.allow = ["::/0"]
    assert server.lets_in(at=f"tcp://[::1]:{port}", ipv6=True)
    assert server.knock(at=f"tcp://127.0.0.1:{port}") is None


def test_ipc_has_no_address(door, keys, ipc):
    asked = []
    everywhere = ["0.0.0.0/0", "::/0"]
    server = door(ipc, clients=lambda *given: asked.append(given) or "x", deny=everywhere)
    assert server.lets_in(keys[1]).user_id == "x"
    assert asked == [(keys[1].public, None)]


@pytest.mark.parametrize(
    ("peer", "over_tcp", "status"),
    [
        ("127.0.0.1", True, b"400"),
        ("::1", True, b"400"),
        ("2001:100::", True, b"400"),
        ("1:2::", True, b"400"),
        ("fe80::1%eth0", True, b"400"),
        ("", True, b"400"),
        ("somewhere", True, b"400"),
        ("1:2:3", True, b"400"),
        ("", False, b"200"),
        ("localhost:0:0:123", True, b"200"),
        (":501:20:", True, b"200"),
    ],
)
def test_addresses_as_libzmq_tells_them(new, peer, over_tcp, status):
    zsock = new("ROUTER", allow=["10.0.0.0/8"])
    zsock._access.over_tcp = over_tcp
    assert zsock._access.judge("NULL", peer, []).status == status


# What is refused


def refused(match, type="DEALER", *, connect=True, at="tcp://127.0.0.1:*", **options):
    with zmqsocket.new(type, **options) as zsock:
        before = repr(zsock)
        with pytest.raises(ArgumentError, match=match) as caught:
            zsock.bind(at)
        texts = [str(caught.value)]
        if connect:
            with pytest.raises(ArgumentError, match=match) as caught:
                zsock.connect(at.replace("*", "5555"))
            texts.append(str(caught.value))
        assert not any(key.secret in text for key in SECRETS for text in texts)
        assert repr(zsock) == before


SECRETS = [auth.generate() for _ in range(3)]
SERVER, OWN, OTHER = SECRETS


@pytest.mark.parametrize(
    ("match", "options"),
    [
        (r"server= is set, and curve=.*is not", {"server": SERVER.public}),
        (r"clients= is set, and curve=.*is not", {"clients": [OWN.public]}),
        (r"one of them", {"curve": OWN, "server": SERVER.public, "clients": []}),
        (r"users= is for PLAIN", {"curve": OWN, "clients": [], "users": {}}),
        (r"users= is for PLAIN", {"curve": OWN, "server": SERVER.public, "users": {}}),
        (r"server= makes a client", {"curve": OWN, "server": SERVER.public, "allow": []}),
        (r"needs users=", {"plain_server": True, "allow": []}),
        (r"needs users=", {"plain_username": "a", "deny": []}),
        (
            r"needs clients=",
            {"curve_server": True, "curve_secretkey": OWN.secret, "allow": HERE},
        ),
        (r"zap_domain is for a handler of your own", {"allow": [], "zap_domain": "x"}),
        (
            r"another option has made it PLAIN",
            {"curve": OWN, "clients": [], "plain_server": True},
        ),
    ],
)
def test_half_configured(match, options):
    refused(match, connect=False, **options)


def test_own_keys_alone():
    with pytest.raises(ArgumentError, match="clients= is missing"):
        zmqsocket.new("REP", curve=OWN)
    with zmqsocket.new("REP") as zsock:
        zsock.curve = OWN
        for call in (zsock.bind, zsock.connect):
            with pytest.raises(ArgumentError, match="clients= is missing"):
                call("tcp://127.0.0.1:5555")
        zsock.clients = []
        zsock.bind("tcp://127.0.0.1:*")


def test_where_there_is_no_handshake(inproc):
    for options in (
        {"curve": OWN, "clients": auth.ANY},
        {"curve": OWN, "server": SERVER},
        {"users": {}},
        {"allow": []},
        {"deny": []},
    ):
        refused("over inproc there is no handshake", at=inproc, **options)
    refused("plain TCP", "STREAM", allow=HERE)
    refused("plain TCP", "ROUTER", router_raw=True, deny=HERE)


def test_security_that_was_turned_off_again():
    for name, value in (("curve_server", False), ("plain_username", None)):
        with zmqsocket.new("REP", curve=OWN, clients=[]) as zsock:
            setattr(zsock, name, value)
            assert zsock.mechanism == "NULL"
            with pytest.raises(ArgumentError, match="turned all security off"):
                zsock.bind("tcp://127.0.0.1:*")
    with zmqsocket.new("REP", curve=OWN, clients=[]) as zsock:
        zsock.curve_serverkey = SERVER.public
        with pytest.raises(ArgumentError, match=r"curve_serverkey.*undone"):
            zsock.bind("tcp://127.0.0.1:*")


def test_a_domain_of_ones_own_afterwards(door, keys):
    server = door(clients=[keys[1].public])
    domain = server.zsock.zap_domain
    assert domain.startswith("ratchet-")
    server.zsock.zap_domain = "mine"
    with pytest.raises(ArgumentError, match="zap_domain"):
        server.zsock.bind("tcp://127.0.0.1:*")
    assert server.knock(keys[2]) is None
    assert server.lets_in(keys[1])


def test_too_late(new, tcp):
    zsock = new("ROUTER")
    zsock.bind(tcp)
    for name, value in (
        ("curve", OWN),
        ("server", SERVER.public),
        ("clients", []),
        ("users", {}),
        ("allow", []),
        ("deny", []),
    ):
        with pytest.raises(StateError, match=f"set {name} before bind"):
            setattr(zsock, name, value)
        assert getattr(zsock, name) is None
    zsock.auth_timeout = 1.0
    zsock.bind(tcp)  # as it was


def test_values_that_are_refused(keys, tmp_path):
    public = auth.CurveKeys(OWN.public)
    wrong = [
        ({"curve": public, "clients": []}, ArgumentError, "no secret one"),
        ({"clients": "key"}, TypeError, "CLIENTS takes a list"),
        ({"clients": OWN.secret}, TypeError, "CLIENTS takes a list"),
        ({"clients": tmp_path}, TypeError, "CLIENTS takes a list"),
        ({"clients": [7]}, TypeError, "not int"),
        ({"clients": {"a": "b"}}, TypeError, "CLIENTS takes a list"),
        ({"users": {"alice": 7}}, TypeError, "password as a str"),
        ({"users": {b"alice": "x"}}, TypeError, "name as a str"),
        ({"users": {"": "x"}}, ArgumentError, "1 to 255 bytes"),
        ({"users": {"a": "hush" * 64}}, ArgumentError, "1 to 255 bytes"),
        ({"users": {"a": "hush\0"}}, ArgumentError, "none of them zero"),
        ({"users": ["alice"]}, TypeError, "USERS takes a dict"),
        ({"allow": "10.0.0.0/8"}, TypeError, "ALLOW takes a list"),
        ({"deny": ["10.0.0.1/8"]}, ArgumentError, "host bits"),
        ({"auth_timeout": 0}, ArgumentError, "AUTH_TIMEOUT takes"),
        ({"server": OWN.secret + "x"}, ArgumentError, "SERVER takes"),
    ]
    for options, kind, match in wrong:
        with pytest.raises(kind, match=match) as caught:
            zmqsocket.new("REP", **options)
        assert "hush" not in str(caught.value)
        assert OWN.secret[:8] not in str(caught.value)


def test_coroutine_functions_are_refused():
    async def check(key, address):
        return key

    class Check:
        async def __call__(self, *given):
            return given

    for option in ("clients", "users"):
        for function in (check, Check()):
            with pytest.raises(TypeError, match="not a coroutine function"):
                zmqsocket.new("REP", **{option: function})


def test_secrets_are_read_only_when_asked_for(new):
    zsock = new("REP", curve=OWN, clients=[OTHER.public])
    assert OWN.secret not in repr(zsock) + repr(zsock.curve) + repr(zsock.clients)
    assert zsock.getsockopt("CURVE") is OWN
    assert zsock.curve_secretkey == OWN.secret
    assert zsock.getsockopt("CLIENTS") == [OTHER.public]


# A callable's time


def test_a_slow_callable_holds_up_no_other_socket(door, keys, gate, told):
    slow = door(clients=lambda *_: gate.wait(LONG) and "late", auth_timeout=0.2)
    other = door(clients=lambda *_: "quick")
    for client in 2 * keys[1:]:  # more than there are threads
        assert slow.knock(client, wait=0.05) is None
    assert other.lets_in(keys[1]).user_id == "quick"
    until(lambda: "longer than auth_timeout" in told(), "the log")
    gate.set()
    assert slow.knock(keys[1], wait=LONG).user_id == "late"
    until(lambda: not working(), "the end of the threads")


def working():
    return [thread for thread in threading.enumerate() if thread.name == "ratchet-auth"]


def test_callables_run_in_few_threads(door, keys, gate):
    most = []

    def slow(*_):
        most.append(len(working()))
        gate.wait(LONG)

    doors = [door(clients=slow) for _ in range(5)]
    for server in doors:
        for client in keys[1:]:
            assert server.knock(client, wait=0.01) is None
    until(lambda: len(most) == 8, "callables")
    assert max(most) <= 8
    assert len(working()) == 8
    assert all(thread.daemon for thread in working())
    gate.set()
    until(lambda: not working(), "the end of the threads")


def test_in_a_task_that_pauses(keys):
    """A callable does not run in the loop's thread, and the loop goes on meanwhile."""

    async def main():
        here = threading.get_ident()
        where = []
        rep = ratchet.asyncio.new(
            "REP", curve=keys[0], clients=lambda *_: where.append(threading.get_ident()) or "x"
        )
        async with rep, ratchet.asyncio.new("REQ", curve=keys[1], server=keys[0]) as req:
            req.connect(rep.bind("tcp://127.0.0.1:*"))
            await req.send(b"?")
            assert (await rep.recv_frame(timeout=LONG)).user_id == "x"
        assert where[0] != here

    asyncio.run(main())


def test_errors_of_callables(door, keys, told):
    def fails(key, address):
        raise kinds.pop(0)(f"hush {key}")

    kinds = [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, ratchet.Killed]
    server = door(clients=fails)
    while kinds:
        said = f"raised {kinds[0].__name__} in "
        while said not in told():  # a handshake may take longer than a client waits
            assert server.knock(keys[1], wait=0.1) is None
    assert "hush" not in told()
    server.zsock.clients = [keys[1].public]
    assert server.lets_in(keys[1])


def test_monitors_say_that_it_was_refused(new, keys, tcp):
    """On both sides, with the status; the log says of whom, and why."""
    server = new("REP", curve=keys[0], clients=[])
    client = new("REQ", curve=keys[1], server=keys[0], linger=0)
    with (
        server.monitor("HANDSHAKE_FAILED_AUTH") as seen,
        client.monitor("HANDSHAKE_FAILED_AUTH") as told,
    ):
        client.connect(server.bind(tcp))
        for monitor in (seen, told):
            event = monitor.recv(timeout=LONG)
            assert event.value == 400
            assert event.error.code == "EACCES"


# Open sockets


@pytest.fixture
def rule():
    yield lambda name: ratchet.configure(open_sockets=name)
    ratchet.configure(open_sockets="allow")


def test_open_sockets(new, rule, keys, inproc, ipc):
    protected = [
        {"curve": keys[0], "clients": auth.ANY},
        {"curve": keys[1], "server": keys[0].public},
        {"users": {}},
        {"allow": HERE},
        {"plain_server": True},
        {"zap_domain": "mine"},
        {"tcp_accept_filter": "127.0.0.1"},
    ]
    for name in ("warn", "refuse", "allow"):
        rule(name)
        for options in protected:
            new("ROUTER", **options).bind("tcp://*:*")
        for at in ("tcp://127.0.0.1:*", "tcp://lo:*", inproc, ipc):
            with zmqsocket.new("ROUTER") as zsock:
                zsock.bind(at)
        for at in ("tcp://*:*", "tcp://0.0.0.0:*"):
            if name == "allow":
                new("ROUTER").bind(at)
            elif name == "warn":
                with pytest.warns(RuntimeWarning, match="lets in everybody") as caught:
                    new("ROUTER").bind(at)
                assert caught[0].filename == __file__
            else:
                with pytest.raises(ratchet.Error, match="nothing protects it") as caught:
                    new("ROUTER").bind(at)
                assert caught.value.code == "EACCES"
    rule("refuse")
    with pytest.raises(ratchet.Error, match="nothing protects it"):
        new("STREAM").bind("tcp://*:*")
    with pytest.raises(ratchet.Error, match="nothing protects it"):
        new("ROUTER").bind("tcp://*:*[30000-40000]")
    for wrong in ("no", 1, True):
        with pytest.raises(ArgumentError, match="open_sockets must be"):
            ratchet.configure(open_sockets=wrong)
