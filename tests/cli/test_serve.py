"""``ratchet serve``: each request to a command's stdin, its stdout back."""

import signal
import subprocess
import sys

import pytest
from harness.waiting import until

from ratchet.cli import serve

FREE = "rep:tcp://127.0.0.1:*"
HARD = [sys.executable, "-c", "import sys; print(sys.stdin.read()[::-1], end=''); sys.exit(3)"]


def test_requests_are_answered(command, peer):
    serve = command("serve", FREE, "--count", "3", "--", "tr", "a-z", "A-Z")
    req = peer("REQ", connect=serve.bound())
    for request, answer in (
        ([b"one"], b"ONE"),
        ([b"two\n", b"parts"], b"TWO\nPARTS"),
        ([b""], b""),
    ):
        req.send_multipart(request)
        assert req.recv() == answer
    assert serve.end() == (0, b"", "")


def test_a_command_that_fails_is_reported_and_answers(command, peer):
    serve = command("serve", FREE, "--count", "1", "--", *HARD)
    req = peer("REQ", connect=serve.bound())
    req.send(b"abc")
    assert req.recv() == b"cba"
    assert serve.end() == (0, b"", f"ratchet serve: {sys.executable} ended with status 3\n")


def test_a_command_that_does_not_read(command, peer):
    serve = command("serve", FREE, "--count", "1", "--", "echo", "done")
    req = peer("REQ", connect=serve.bound())
    req.send(b"x" * 1_000_000)
    assert req.recv() == b"done\n"
    assert serve.end() == (0, b"", "")


def test_an_interrupt_while_the_command_is_started(monkeypatch, ctrl_c):
    made, real = [], subprocess.Popen

    def interrupted(*args, **how):
        made.append(real(*args, **how))
        signal.raise_signal(signal.SIGINT)
        return made[-1]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serve.answer(["sleep", "60"], b"")
    assert made[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_command_runs(command, peer, tmp_path, number):
    """The command is ended as well; its pipe would stay open otherwise."""
    serve = command("serve", FREE, "--", "sh", "-c", f"echo > {tmp_path}/runs; exec sleep 60")
    req = peer("REQ", connect=serve.bound())
    req.send(b"x")
    until((tmp_path / "runs").exists, "the command")
    serve.interrupt(number)
    assert serve.end() == (-number, b"", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pull:tcp://*:1", "--", "cat"], "requests are answered by a REP, not by a PULL"),
        (["rep:tcp://*:1", "--", "no-such-command"], "there is no command 'no-such-command'"),
        (["rep:tcp://*:1"], "the following arguments are required: COMMAND"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("serve", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1
