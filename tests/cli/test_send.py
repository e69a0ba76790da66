"""``ratchet send``: arguments, lines and files as messages, and none is lost without a word."""

import itertools
import signal
import subprocess
import time

import pytest

FREE = "push:tcp://127.0.0.1:*"


@pytest.mark.parametrize(
    ("args", "messages"),
    [
        (["one"], [[b"one"]]),
        (["one", "two"], [[b"one"], [b"two"]]),
        (["one", "", "süß"], [[b"one"], [b""], ["süß".encode()]]),
        (["--", "-x", "--y"], [[b"-x"], [b"--y"]]),
        (["one", "--count", "1"], [[b"one"]]),
        (["--count", "3", "one", "two"], [[b"one"], [b"two"], [b"one"]]),
        (["one", "--timeout", "9", "two"], [[b"one"], [b"two"]]),
        # --part, wherever it stands
        (["--part", "topic", "--part", "body"], [[b"topic", b"body"]]),
        (["topic", "body", "--part"], [[b"topic", b"body"]]),
        (["--part", "topic", "body"], [[b"topic", b"body"]]),
        (["topic", "--part", "body"], [[b"topic", b"body"]]),
        (["topic", "--part="], [[b"topic", b""]]),
        (["00ff 7a", "--format", "hex"], [[b"\x00\xff", b"z"]]),
    ],
)
def test_arguments(run, peer, ipc, args, messages):
    pull = peer("PULL", bind=ipc)
    assert run("send", f"push:{ipc}", *args) == (0, b"", "")
    assert [pull.recv_multipart() for _ in messages] == messages


def test_lines_of_any_bytes(run, peer, ipc):
    pull = peer("PULL", bind=ipc)
    data = b"one\n\xff\x00two\r\n\nthe last line need not end"
    assert run("send", f"push:{ipc}", data=data) == (0, b"", "")
    assert [pull.recv() for _ in range(4)] == data.split(b"\n")


def test_a_line_goes_as_soon_as_it_is_there(command, peer):
    send = command("send", FREE, stdin=subprocess.PIPE)
    pull = peer("PULL", connect=send.bound())
    for line in (b"one", b"two"):
        send.process.stdin.write(line + b"\n")
        assert pull.recv() == line
    assert send.end(b"three") == (0, b"", "")
    assert pull.recv() == b"three"


def test_only_the_first_lines(run, peer, ipc):
    pull = peer("PULL", bind=ipc)
    lines = b"".join(b"%d\n" % n for n in range(1000))
    assert run("send", f"push:{ipc}", "--count", "3", data=lines) == (0, b"", "")
    assert [pull.recv() for _ in range(3)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("args", "data", "messages"),
    [
        (["--format", "raw"], b"all\nof it\n", [[b"all\nof it\n"]]),
        (["--file", "-"], b"all\nof it\n", [[b"all\nof it\n"]]),
        (["--part"], b"a\nb\n", [[b"a", b"b"]]),
        (["--format", "hex"], b"00 ff\n\n", [[b"\x00", b"\xff"], [b""]]),
        (["--format", "json"], b'{"parts": ["a", "b"]}\n', [[b"a", b"b"]]),
    ],
)
def test_other_ways_to_read_stdin(run, peer, ipc, args, data, messages):
    pull = peer("PULL", bind=ipc)
    assert run("send", f"push:{ipc}", *args, data=data) == (0, b"", "")
    assert [pull.recv_multipart() for _ in messages] == messages


def test_what_json_has_recorded_is_sent_again(command, run, peer):
    messages = [[b"topic", b"\xff\n"], [b""], [b"a", b"", b"\x00"]]
    recv = command("recv", "pull:tcp://127.0.0.1:*", "--count", "3", "--format", "json")
    push = peer("PUSH", connect=recv.bound())
    for message in messages:
        push.send_multipart(message)
    tape = recv.end().out
    pull = peer("PULL")
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    sent = run("send", f"push:tcp://127.0.0.1:{port}", "--format", "json", data=tape)
    assert sent == (0, b"", "")
    assert [pull.recv_multipart() for _ in messages] == messages


def test_files(run, peer, ipc, tmp_path):
    for name in ("one", "two", "empty"):
        (tmp_path / name).write_bytes(name.encode() * 700_000 if name != "empty" else b"")
    files = [word for name in ("one", "two", "empty") for word in ("--file", tmp_path / name)]
    pull = peer("PULL", bind=ipc)
    assert run("send", f"push:{ipc}", *files) == (0, b"", "")
    assert [pull.recv() for _ in range(3)] == [b"one" * 700_000, b"two" * 700_000, b""]
    assert run("send", f"push:{ipc}", "name", *files[:2], "--part") == (0, b"", "")
    assert pull.recv_multipart() == [b"name", b"one" * 700_000]


def test_a_file_without_a_size(run, peer, ipc):
    pull = peer("PULL", bind=ipc)
    assert run("send", f"push:{ipc}", "--file", "/proc/self/status") == (0, b"", "")
    assert pull.recv().startswith(b"Name:")


def test_a_rate(run, peer, ipc):
    pull = peer("PULL", bind=ipc)
    began = time.monotonic()
    assert run("send", f"push:{ipc}", "tick", "--count", "5", "--rate", "20") == (0, b"", "")
    assert time.monotonic() - began >= 4 / 20
    assert [pull.recv() for _ in range(5)] == [b"tick"] * 5


def test_for_ever(command, peer):
    send = command("send", FREE, "a", "b", "--count", "0", "--rate", "500")
    pull = peer("PULL", connect=send.bound())
    assert [pull.recv() for _ in range(101)] == [
        *itertools.islice(itertools.cycle([b"a", b"b"]), 101)
    ]
    send.interrupt(signal.SIGTERM)
    assert send.end() == (-signal.SIGTERM, b"", "")


def test_subscribers_are_waited_for(command, peer):
    send = command("send", "pub:tcp://127.0.0.1:*", "a", "b", "--wait-peers", "2")
    endpoint = send.bound()
    subs = [peer("SUB", connect=endpoint) for _ in range(2)]
    for sub in subs:
        sub.subscribe(b"")
    assert send.end() == (0, b"", "")
    assert [[sub.recv(), sub.recv()] for sub in subs] == [[b"a", b"b"]] * 2


def test_peers_are_waited_for(command, peer):
    send = command("send", FREE, "a", "b", "--wait-peers", "2")
    endpoint = send.bound()
    pulls = [peer("PULL", connect=endpoint) for _ in range(2)]
    assert send.end() == (0, b"", "")
    assert sorted(pull.recv() for pull in pulls) == [b"a", b"b"]


def test_peers_that_do_not_come(run):
    result = run("send", "pub:tcp://127.0.0.1:*", "a", "--wait-peers", "1", "--timeout", "0.1")
    assert result.status == 124
    assert result.err.count("\n") == 2  # where it was bound, and what happened


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--part", "a", "b", "--part", "c"], ["a", "b", "c"]),
        (["a", "--part", "--", "-b", "--part"], ["a", "-b", "--part"]),
        (
            ["--part", "a", "", "--timeout", "20", "b", "--file", "FILE", "c"],
            ["a", "", "b", "file", "c"],
        ),
        (["--timeout=20", "a", "--file", "FILE", "b", "--part"], ["a", "file", "b"]),
    ],
)
def test_what_is_sent_keeps_its_order(command, peer, tmp_path, words, parts):
    (tmp_path / "file").write_bytes(b"file")
    pull = peer("PULL")
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    words = [str(tmp_path / "file") if word == "FILE" else word for word in words]
    send = command("send", f"push:tcp://127.0.0.1:{port}", *words)
    assert pull.recv_multipart() == [part.encode() for part in parts]
    assert send.end() == (0, b"", "")


def test_it_ends_when_all_has_been_taken(command, peer):
    """More than both queues and the sockets' buffers hold, to a peer that is slow to begin."""
    size, count = 1000, 20_000
    pull = peer("PULL")
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    send = command("send", f"push:tcp://127.0.0.1:{port}", "x" * size, "--count", str(count))
    assert sum(len(pull.recv()) for _ in range(count)) == size * count
    assert send.end() == (0, b"", "")


def test_what_nobody_takes_is_an_error(run, ipc):
    result = run("send", f"push:{ipc}", "hello", "--timeout", "0.2")
    assert result.status == 124
    assert f"PUSH socket of {ipc}: its peer has not taken all that was sent in time" in result.err
    assert result.err.count("\n") == 1


def test_what_a_peer_does_not_read_is_an_error(run, peer):
    pull = peer("PULL")
    pull.rcvhwm = 1
    pull.rcvbuf = 10_000
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    uri = f"push:tcp://127.0.0.1:{port}"
    result = run("send", uri, "x" * 100_000, "--count", "500", "--timeout", "1")
    assert result.status == 124
    assert "its peer has not taken all that was sent in time" in result.err


def test_a_peer_that_never_comes_is_an_error(run):
    result = run("send", FREE, "hello", "--timeout", "0.2")
    assert result.status == 124
    assert result.err.count("\n") == 2  # where it was bound, and what happened


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pull:tcp://*:1", "x"], "a PULL socket does not just send"),
        (["req:tcp://*:1", "x"], "see ratchet request"),
        (["rep:tcp://*:1", "x"], "see ratchet serve"),
        (["push:tcp://*:1", "x", "--rate", "0"], "'0' is no number of messages a second"),
        (["push:tcp://*:1", "x", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["push:tcp://*:1", "x", "--count", "1", "-y"], "unrecognized arguments: -y"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("send", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1


def test_what_cannot_be_sent(run, ipc, tmp_path):
    result = run("send", f"push:{ipc}", "--file", tmp_path / "no")
    assert result == (1, b"", f"ratchet send: {tmp_path / 'no'}: No such file or directory\n")
    result = run("send", f"push:{ipc}", "--format", "json", data=b"no\n")
    assert result.status == 1
    assert result.err.startswith("ratchet send: not a message in json: b'no'")
    assert result.err.count("\n") == 1
