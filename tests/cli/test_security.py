"""``ratchet keygen``, ``--curve``, ``--server``, ``--clients``: who gets in, and who does not."""

import signal
import stat

import pytest
import zmq.auth

import ratchet

FREE = "pull:tcp://127.0.0.1:*"

if not ratchet.has("curve"):
    pytest.skip("this libzmq has no CURVE", allow_module_level=True)


@pytest.fixture
def keys(run, tmp_path):
    """Makes certificates; returns the path of one without its ending."""

    def keys(name):
        result = run("keygen", tmp_path / name)
        assert (result.status, result.err) == (0, "")
        assert len(result.out.decode().strip()) == 40
        return tmp_path / name

    return keys


def test_a_pair_of_certificates(keys, tmp_path):
    path = keys("clients/alice")
    secret = path.with_name("alice.key_secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    public, private = zmq.auth.load_certificate(secret)
    assert zmq.auth.load_certificate(path.with_name("alice.key")) == (public, None)
    assert len(private) == 40


def test_none_is_replaced_unasked(keys, main):
    path = keys("server")
    before = path.with_name("server.key").read_text()
    result = main("keygen", str(path))
    assert result.status == 1
    assert result.err.startswith(f"ratchet keygen: {path}.key exists; --force replaces it")
    assert path.with_name("server.key").read_text() == before
    assert main("keygen", str(path), "--force").status == 0
    for name in ("", ".", "/", ".."):
        assert main("keygen", name) == (2, "", f"ratchet keygen: {name!r} names no file\n")
    assert path.with_name("server.key").read_text() != before


def test_who_has_a_certificate_gets_in(command, run, keys):
    server, alice, mallory = keys("server"), keys("clients/alice"), keys("mallory")
    recv = command("recv", FREE, "--count", "1", "--curve", f"{server}.key_secret", "--clients",
                   alice.parent)  # fmt: skip
    recv_at = recv.bound()
    uri = f"push:{recv_at}"
    known = ["--server", f"{server}.key"]
    result = run("send", uri, "--curve", f"{mallory}.key_secret", *known, "no")
    refused = f"{recv_at}: refused by the server: 400"
    assert (result.status, result.err) == (1, f"ratchet send: {refused} [EACCES]\n")
    result = run("send", uri, "no", "--timeout", "0.5")
    assert result.status == 124
    result = run("send", uri, "--curve", f"{alice}.key_secret", *known, "hello")
    assert result == (0, b"", "")
    assert recv.end() == (0, b"hello\n", "")


@pytest.mark.parametrize("args", [["recv", "pull"], ["request", "req"]])
def test_who_is_refused_does_not_wait_for_ever(command, run, keys, tmp_path, args):
    server, mallory = keys("server"), keys("mallory")
    (tmp_path / "clients").mkdir()
    name, kind = args
    other = {"pull": "push", "req": "rep"}[kind]
    serving = ["--curve", f"{server}.key_secret", "--clients", tmp_path / "clients"]
    where = f"{other}:tcp://127.0.0.1:*"
    if other == "push":
        there = command("send", where, "--count", "0", "--rate", "1", "x", *serving)
    else:
        there = command("serve", where, *serving, "--", "cat")
    uri = f"{kind}:{there.bound()}"
    question = ["x"] if name == "request" else []
    knowing = ["--curve", f"{mallory}.key_secret", "--server", f"{server}.key"]
    result = run(name, uri, *question, *knowing)
    assert (result.status, result.out) == (1, b"")
    assert "refused by the server: 400" in result.err
    assert result.err.count("\n") == 1


def test_any_client_and_a_key_as_text(command, run, keys):
    server, alice = keys("server"), keys("alice")
    recv = command("recv", FREE, "--count", "1", "--curve", f"{server}.key_secret", "--clients",
                   "any")  # fmt: skip
    public = zmq.auth.load_certificate(f"{server}.key")[0].decode()
    result = run("send", f"push:{recv.bound()}", "--curve", f"{alice}.key_secret", "--server",
                 public, "hello")  # fmt: skip
    assert result == (0, b"", "")
    assert recv.end() == (0, b"hello\n", "")


def test_beside_pyzmq(command, peer, keys):
    server, alice = keys("server"), keys("alice")
    recv = command("recv", FREE, "--curve", f"{server}.key_secret", "--clients", "any")
    push = peer("PUSH")
    push.curve_publickey, push.curve_secretkey = zmq.auth.load_certificate(f"{alice}.key_secret")
    push.curve_serverkey = zmq.auth.load_certificate(f"{server}.key")[0]
    push.connect(recv.bound())
    push.send(b"hello")
    assert recv.line() == b"hello\n"
    recv.interrupt()
    assert recv.end() == (-signal.SIGINT, b"", "")


def test_what_cannot_be_meant(main, keys, tmp_path):
    secret = f"{keys('server')}.key_secret"
    for args, status, words in (
        (["--server", "x"], 2, "--server and --clients need --curve"),
        (["--clients", "any"], 2, "--server and --clients need --curve"),
        (["--curve", secret], 2, "--curve needs --server, to be a client, or --clients"),
        (["--curve", secret, "--server", "x", "--clients", "any"], 2, "--curve needs --server"),
        (["--curve", secret, "--server", "too short"], 2, ""),
        (["--curve", secret, "--clients", f"{tmp_path}/no"], 2, "there is no such folder"),
        (["--curve", f"{tmp_path}/server.key", "--clients", "any"], 2, "has no secret key"),
        (["--curve", f"{tmp_path}/no", "--clients", "any"], 1, "No such file"),
    ):
        result = main("recv", "pull:tcp://127.0.0.1:*", "--timeout", "0.1", *args)
        assert (result.status, result.out) == (status, ""), (args, result)
        assert words in result.err
        assert result.err.count("\n") == 1
