"""``ratchet recv``: what it prints, when it ends, what it refuses."""

import os
import signal

import pytest

FREE = "pull:tcp://127.0.0.1:*"


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("text", b"topic\tb\\xffdy\nlast\n"),
        ("hex", b"746f706963 62ff6479\n6c617374\n"),
        ("json", b'{"parts": ["topic", {"base64": "Yv9keQ=="}]}\n{"parts": ["last"]}\n'),
        ("raw", b"topicb\xffdylast"),
    ],
)
def test_formats(command, peer, how, shown):
    recv = command("recv", FREE, "--count", "2", "--format", how)
    push = peer("PUSH", connect=recv.bound())
    push.send_multipart([b"topic", b"b\xffdy"])
    push.send(b"last")
    assert recv.end() == (0, shown, "")


def test_a_line_is_there_as_soon_as_its_message(command, peer):
    recv = command("recv", f"zmq:{FREE}")
    push = peer("PUSH", connect=recv.bound())
    for word in (b"one", b"two"):
        push.send(word)
        assert recv.line() == word + b"\n"
    recv.interrupt()
    assert recv.end() == (-signal.SIGINT, b"", "")


@pytest.mark.parametrize("type", ["sub", "xsub"])
@pytest.mark.parametrize(
    ("prefixes", "wanted"),
    [([], [b""]), (["--subscribe", "a", "--subscribe", "b"], [b"a", b"b"])],
)
def test_subscriptions(command, peer, ipc, type, prefixes, wanted):
    xpub = peer("XPUB", bind=ipc)
    recv = command("recv", f"{type}:{ipc}", "--count", "1", *prefixes)
    assert sorted(xpub.recv() for _ in wanted) == [b"\x01" + prefix for prefix in wanted]
    xpub.send(b"bravo")
    assert recv.end() == (0, b"bravo\n", "")


def test_what_is_there_is_printed_before_a_timeout(command, peer):
    recv = command("recv", FREE, "--timeout", "3")
    peer("PUSH", connect=recv.bound()).send(b"one")
    result = recv.end()
    assert (result.status, result.out) == (124, b"one\n")
    assert result.err.startswith("ratchet recv: PULL socket bound to tcp://127.0.0.1:")
    assert result.err.endswith(" [ETIMEDOUT]\n")
    assert result.err.count("\n") == 1


def test_a_file_gets_the_bytes(command, peer, tmp_path):
    path = tmp_path / "file"
    recv = command("recv", FREE, "--count", "2", "--format", "raw", "--output", path)
    push = peer("PUSH", connect=recv.bound())
    push.send(bytes(range(256)) * 1000)
    push.send(b"\n")
    assert recv.end() == (0, b"", "")
    assert path.read_bytes() == bytes(range(256)) * 1000 + b"\n"


def test_bind_and_connect_decide(command, peer, ipc):
    recv = command("recv", f"pull:{ipc}", "--bind", "--count", "1")
    peer("PUSH", connect=ipc).send(b"x")
    assert recv.end() == (0, b"x\n", "")
    push = peer("PUSH", bind=f"{ipc}*")  # a star that is part of a path
    recv = command("recv", f"pull:{ipc}*", "--connect", "--count", "1")
    push.send(b"y")
    assert recv.end() == (0, b"y\n", "")


def test_an_option_of_the_socket(command, peer, ipc):
    router = peer("ROUTER", bind=ipc)
    recv = command("recv", f"dealer:{ipc}", "--option", "routing_id=me", "--option",
                   "probe_router=true", "--option", "rcvhwm=5", "--count", "1")  # fmt: skip
    assert router.recv_multipart() == [b"me", b""]
    router.send_multipart([b"me", b"hello"])
    assert recv.end() == (0, b"hello\n", "")


def test_an_ipv6_address_needs_no_option(run):
    result = run("recv", "pull:tcp://[::1]:*", "--timeout", "0")
    assert result.status in (1, 124)  # 1: where the system has no IPv6
    assert "ipv6=True" not in result.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["tcp://host:5555"],
            "not a ratchet URI: 'tcp://host:5555'; the form is zmq:TYPE:ENDPOINT",
        ),
        (["pull:inproc://x"], "inproc reaches nobody outside this process"),
        (["push:tcp://*:1"], "a PUSH socket does not just receive"),
        (["req:tcp://*:1"], "see ratchet request"),
        (["rep:tcp://*:1"], "see ratchet serve"),
        (["pull:tcp://*:1", "--subscribe", "x"], "--subscribe is for SUB and XSUB, not for PULL"),
        (["pull:tcp://*:1", "--format", "xml"], "invalid choice: 'xml'"),
        (["pull:tcp://*:1", "--count", "-1"], "'-1' is no count"),
        (["pull:tcp://*:1", "--timeout", "soon"], "'soon' is no number of seconds"),
        (["pull:tcp://*:1", "--bind", "--connect"], "not allowed with"),
        (["pull:tcp://*:99999"], "a port from 1 to 65535"),
        (["pull:tcp://*:1", "--option", "rcvhwm=x"], "RCVHWM takes an int"),
        (["pull:tcp://*:1", "--option", "colour=x"], "'colour=x' is no option of a socket"),
        (["pull:tcp://*:1", "--option", "type=x"], "'type=x' is no option of a socket"),
        (["pull:tcp://*:1", "--subs", "x"], "unrecognized arguments: --subs x"),
        ([], "the following arguments are required: URI"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("recv", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err
    assert result.err.startswith("ratchet recv: ")
    assert result.err.count("\n") == 1


def test_a_file_that_cannot_be_written(run, tmp_path):
    there = os.fspath(tmp_path / "no" / "file")
    result = run("recv", FREE, "--output", there)
    assert result.status == 1
    assert result.err.endswith(f"ratchet recv: {there}: No such file or directory\n")
