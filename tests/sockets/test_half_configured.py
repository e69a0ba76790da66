"""Security that is half configured can let nobody in, or everybody: bind and connect refuse it."""

import asyncio

import pytest

import ratchet
import ratchet.asyncio
from ratchet import ArgumentError, has, zmqsocket

LONG = 5.0  # seconds that nothing here takes unless it hangs
curve = pytest.mark.skipif(not has("curve"), reason="this libzmq has no CURVE")
gssapi = pytest.mark.skipif(not has("gssapi"), reason="this libzmq has no GSSAPI")

if has("curve"):
    PUBLIC, SECRET = ratchet.curve_keypair()
    SERVER, SERVER_SECRET = ratchet.curve_keypair()
else:
    PUBLIC = SECRET = SERVER = SERVER_SECRET = "HelloWorld" * 4
OWN = {"curve_publickey": PUBLIC, "curve_secretkey": SECRET}


def refused(match, type="DEALER", **options):
    """By bind and connect, on all transports; the socket stays as it was, no secret is shown."""
    with zmqsocket.new(type, **options) as zsock:
        refuses(zsock, match)


def refuses(zsock, match):
    before = repr(zsock), zsock.last_endpoint
    for call in (zsock.bind, zsock.connect):
        for endpoint in ("tcp://127.0.0.1:5555", "inproc://half-configured"):
            if zsock.type == "STREAM" and endpoint.startswith("inproc"):
                continue
            with pytest.raises(ArgumentError, match=match) as caught:
                call(endpoint)
            assert SECRET not in str(caught.value)
            assert "sesame" not in str(caught.value)
            assert repr(endpoint) in str(caught.value)
    assert (repr(zsock), zsock.last_endpoint) == before


def passes(server, client):
    """A message goes from one to the other, which were not connected yet."""
    with server, client:
        client.connect(server.bind("tcp://127.0.0.1:*"))
        client.send(b"question", timeout=LONG)
        assert server.recv_all(timeout=LONG) == b"question"


# CURVE


@curve
@pytest.mark.parametrize(
    ("match", "options"),
    [
        (r"client.*needs curve_publickey and curve_secretkey", {"curve_serverkey": SERVER}),
        (
            r"client.*needs curve_secretkey",
            {"curve_serverkey": SERVER, "curve_publickey": PUBLIC},
        ),
        (
            r"client.*needs curve_publickey",
            {"curve_serverkey": SERVER, "curve_secretkey": SECRET},
        ),
        (r"neither curve_serverkey.*nor curve_server=True", OWN),
        (r"neither curve_serverkey", {"curve_secretkey": SECRET}),
        (r"neither curve_serverkey", {"curve_publickey": PUBLIC}),
        (r"curve_server=True needs curve_secretkey", {"curve_server": True}),
        (r"needs curve_secretkey", {"curve_server": True, "curve_publickey": PUBLIC}),
        (
            r"curve_publickey does not belong to curve_secretkey",
            {"curve_serverkey": SERVER, "curve_publickey": SERVER, "curve_secretkey": SECRET},
        ),
        (
            r"curve_publickey does not belong to curve_secretkey",
            {"curve_server": True, "curve_publickey": SERVER, "curve_secretkey": SECRET},
        ),
    ],
)
def test_half_of_curve(match, options):
    refused(match, **options)


@curve
def test_what_a_client_undid_is_no_server():
    with zmqsocket.new("REP", curve_server=True, **OWN) as zsock:
        zsock.curve_serverkey = SERVER
        refuses(zsock, r"curve_server=True was undone by curve_serverkey")


@curve
@pytest.mark.parametrize("off", ["plain_server", "plain_username", "plain_password"])
def test_another_mechanisms_option_turned_security_off(off):
    """libzmq would let everybody in, without a word."""
    with zmqsocket.new("REP", curve_server=True, curve_secretkey=SECRET) as zsock:
        setattr(zsock, off, False if off == "plain_server" else None)
        assert zsock.mechanism == "NULL"
        refuses(zsock, r"curve_secretkey, curve_server asked for CURVE.*turned all security off")
        zsock.curve_server = True
        zsock.bind("tcp://127.0.0.1:*")


@curve
def test_security_turned_off_by_its_own_option():
    with zmqsocket.new("REP", curve_server=True, curve_secretkey=SECRET) as zsock:
        zsock.curve_server = False
        assert zsock.mechanism == "NULL"
        zsock.bind("tcp://127.0.0.1:*")


@curve
@pytest.mark.parametrize("type", ["STREAM", "ROUTER"])
def test_plain_tcp_has_no_security(type):
    raw = {"router_raw": True} if type == "ROUTER" else {}
    match = r"curve_secretkey, curve_server ask for CURVE.*plain TCP"
    refused(match, type, curve_server=True, curve_secretkey=SECRET, **raw)


@curve
@pytest.mark.parametrize("public", [{}, {"curve_publickey": SERVER}])
@pytest.mark.parametrize("serverkey", [{}, {"curve_serverkey": SERVER}])
def test_whole_curve(public, serverkey):
    """A server may have its public key as well, and options that all share."""
    secret = {"curve_secretkey": SERVER_SECRET}
    passes(
        zmqsocket.new("PULL", curve_server=True, **secret, **public, **serverkey),
        zmqsocket.new("PUSH", curve_serverkey=SERVER, **OWN),
    )


# PLAIN


def test_half_of_plain():
    refused(r"plain_password is set and plain_username is not", plain_password="sesame")


def test_a_plain_server_that_became_a_client():
    with zmqsocket.new("REP", plain_server=True) as zsock:
        zsock.plain_username = "me"
        refuses(zsock, r"plain_server=True was undone by plain_username")


def test_a_name_without_a_password_is_legal():
    """The password is empty then: ZeroMQ's RFC 24 allows that, and libzmq has no other way."""
    with zmqsocket.new("DEALER", plain_username="token", linger=0) as zsock:
        assert zsock.connect("tcp://127.0.0.1:5555") is True
    with zmqsocket.new("DEALER", plain_server=True) as zsock:
        zsock.bind("tcp://127.0.0.1:*")


# GSSAPI


@gssapi
def test_half_of_gssapi():
    match = r"client needs gssapi_service_principal.*gssapi_server=True"
    refused(match, gssapi_principal="me")
    refused(match, gssapi_server=False)  # which turns GSSAPI on in libzmq, for a client
    with zmqsocket.new("REP", gssapi_server=True) as zsock:
        zsock.gssapi_service_principal = "host@example"
        refuses(zsock, r"gssapi_server=True was undone by gssapi_service_principal")
    with zmqsocket.new("DEALER", gssapi_service_principal="host@example", linger=0) as zsock:
        zsock.connect("tcp://127.0.0.1:5555")
    with zmqsocket.new("DEALER", gssapi_server=True) as zsock:
        zsock.bind("tcp://127.0.0.1:*")


# Mixtures


@curve
@pytest.mark.parametrize(
    "options",
    [
        {"curve_server": True, "curve_secretkey": SECRET, "plain_server": True},
        {"plain_username": "me", "curve_serverkey": SERVER, **OWN},
        {"plain_username": "me", "plain_password": "sesame", "curve_secretkey": SECRET},
    ],
)
def test_several_mechanisms(options):
    refused(r"curve_secretkey.*plain_.*CURVE and PLAIN; a socket has one", **options)


def test_no_security_is_looked_at_by_nothing():
    options = {"plain_server": False, "zap_domain": None}
    if has("curve"):
        options["curve_server"] = False
    passes(zmqsocket.new("PULL", **options), zmqsocket.new("PUSH"))


@curve
def test_what_is_configured_after_a_bind_counts_for_the_next():
    with zmqsocket.new("PULL") as zsock:
        zsock.bind("tcp://127.0.0.1:*")
        zsock.setsockopt("CURVE_SERVERKEY", SERVER)
        refuses_more(zsock)
        zsock.setsockopt("CURVE_PUBLICKEY", PUBLIC)
        refuses_more(zsock)
        zsock.setsockopt("CURVE_SECRETKEY", SECRET)
        zsock.bind("tcp://127.0.0.1:*")


def refuses_more(zsock):
    with pytest.raises(ArgumentError, match="half-configured CURVE"):
        zsock.bind("tcp://127.0.0.1:*")


@curve
def test_in_asyncio_and_ratchet_threads():
    async def task():
        async with ratchet.asyncio.new("REP", curve_server=True) as zsock:
            refuses(zsock, "needs curve_secretkey")
        async with ratchet.asyncio.new("REP") as zsock:
            with pytest.raises(ArgumentError, match="ipv6=True"):
                zsock.bind("tcp://[::1]:5555")

    asyncio.run(task())
    ratchet.run(lambda: refused("needs curve_secretkey", "REP", curve_server=True))
