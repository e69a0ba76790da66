"""How commands end: pipes that close, Ctrl-C at several moments, SIGTERM, a full disk."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ratchet import zmqsocket

FREE = "pull:tcp://127.0.0.1:*"


def test_a_reader_that_has_had_enough_ends_it(command, peer):
    """At once, not with the next message, as `tail -f | head -1`."""
    recv = command("recv", FREE)
    peer("PUSH", connect=recv.bound()).send(b"one")
    assert recv.line() == b"one\n"
    recv.process.stdout.close()
    recv.process.stdout = None
    assert recv.process.wait(10) == 0
    assert recv.process.stderr.read() == b""


def test_a_reader_that_goes_while_much_comes(command, peer):
    recv = command("recv", FREE)
    push = peer("PUSH", connect=recv.bound())
    push.sndtimeo = 100
    push.send(b"x" * 1000)
    assert recv.line()
    recv.process.stdout.close()
    recv.process.stdout = None
    import zmq

    with contextlib.suppress(zmq.Again):
        for _ in range(10_000):
            push.send(b"x" * 1000)
    assert recv.process.wait(10) == 0
    assert recv.process.stderr.read() == b""


def test_in_a_pipe_of_a_shell():
    line = f"set -o pipefail; {sys.executable} -m ratchet info | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "versions\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
@pytest.mark.parametrize("args", [["info"], ["info", "--json"]])
def test_a_full_disk(command, args):
    with Path("/dev/full").open("wb") as full:
        result = command(*args, stdout=full).end()
    assert result.status == 1
    assert result.err == "ratchet info: No space left on device\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["recv", "pull:ipc:///tmp/none"], "ratchet recv: stdout is closed\n"),
        (["send", "push:ipc:///tmp/none"], "ratchet send: stdin is closed: give DATA or --file\n"),
    ],
)
def test_closed_ends(args, words):
    line = f"exec {sys.executable} -m ratchet {' '.join(args)} <&- >&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "args",
    [
        ["recv", FREE],
        ["recv", FREE, "--timeout", "60"],
        ["recv", FREE, "--output", os.devnull],
        ["send", "push:tcp://127.0.0.1:*", "nobody is there"],
        ["send", "pub:tcp://127.0.0.1:*", "tick", "--count", "0", "--rate", "0.001"],
        ["send", "pub:tcp://127.0.0.1:*", "much", "--count", "0"],
        ["serve", "rep:tcp://127.0.0.1:*", "--", "cat"],
    ],
    ids=lambda args: " ".join(args) if isinstance(args, list) else args.name,
)
def test_a_signal_ends_it_quietly(command, args, number):
    one = command(*args)
    one.bound()
    one.interrupt(number)
    began = time.monotonic()
    assert one.end() == (-number, b"", "")
    assert time.monotonic() - began < 8  # the linger alone is 10


@pytest.mark.parametrize("how", ["text", "json", "raw"])
def test_ctrl_c_at_any_moment(command, rng, how):
    """Between any two steps of a busy pipe, which is full most of the time."""
    for _ in range(2):
        send = command("send", "push:tcp://127.0.0.1:*", "x", "--count", "0")
        recv = command("recv", f"pull:{send.bound()}", "--format", how)
        assert recv.process.stdout.read(1)
        time.sleep(rng.uniform(0, 0.1))  # any moment is right
        for one in rng.sample([send, recv], 2):
            one.interrupt()
        assert send.end() == (-signal.SIGINT, b"", "")
        assert recv.end()[::2] == (-signal.SIGINT, "")


def test_ctrl_c_during_the_imports():
    """They take longest. Before, in Python's own start and `import ratchet`, nothing is ours."""
    text = """if True:
        import os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)

        class Interrupt:
            def find_spec(self, name, *_):
                if name == "ratchet.cli.parser":
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, Interrupt())
        from ratchet.cli import main
        sys.exit(main())
    """
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals for threads")
def test_no_other_thread_gets_a_signal(main, monkeypatch):
    """Python may forget one that a thread of libzmq's got: it begins unblocked."""
    masks, new = [], zmqsocket.new

    def noted(*args, **options):
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        return new(*args, **options)

    monkeypatch.setattr(zmqsocket, "new", noted)
    assert main("recv", FREE, "--timeout", "0").status == 124
    assert masks[0] >= {signal.SIGINT, signal.SIGTERM}
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


def test_ctrl_c_while_a_line_is_typed(terminal):
    send = terminal("send", "push:tcp://127.0.0.1:*")
    send.shows(b"bound to")
    send.type(b"half a line\x03")
    assert send.end() == -signal.SIGINT
    assert b"Traceback" not in send.screen


def test_ctrl_c_while_it_waits_for_the_peer(terminal, ipc):
    send = terminal("send", f"push:{ipc}", "--count", "1", "hello")
    send.shows(b"waiting for the peer")
    send.type(b"\x03")
    assert send.end() == -signal.SIGINT
    assert b"Traceback" not in send.screen


def test_ctrl_c_ends_the_loop_of_a_shell(terminal):
    """Which needs an end by the signal; a status of 130 would not do."""
    loop = f"for n in 1 2 3; do echo go $n; {sys.executable} -m ratchet recv {FREE}; done"
    bash = terminal("-c", f"{loop}; echo end", program=["bash"])
    bash.shows(b"bound to")
    bash.type(b"\x03")
    assert bash.end() == -signal.SIGINT
    assert b"go 2" not in bash.screen


def test_an_ignored_signal_stays_ignored(peer):
    """As for a job that a script starts in the background."""
    line = [sys.executable, "-m", "ratchet", "recv", FREE, "--count", "1"]
    ignore = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    ignoring = f"{ignore}; os.execv({line[0]!r}, {line})"
    with subprocess.Popen(
        [sys.executable, "-c", ignoring], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as recv:
        push = peer("PUSH", connect=recv.stderr.readline().split()[-1].decode())
        recv.send_signal(signal.SIGINT)
        push.send(b"one")
        assert recv.communicate(timeout=20) == (b"one\n", b"")
        assert recv.returncode == 0
