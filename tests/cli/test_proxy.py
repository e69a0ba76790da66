"""``ratchet proxy``: messages both ways between two sockets, copies, figures, and its end."""

import signal
import subprocess

import pytest

FREE = "tcp://127.0.0.1:*"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_requests_and_answers(command, peer, number):
    proxy = command("proxy", f"router:{FREE}", f"dealer:{FREE}")
    req, rep = peer("REQ", connect=proxy.bound()), peer("REP", connect=proxy.bound())
    for n in range(3):
        req.send_multipart([b"%d" % n, b"please"])
        assert rep.recv_multipart() == [b"%d" % n, b"please"]
        rep.send(b"answer")
        assert req.recv() == b"answer"
    proxy.interrupt(number)
    assert proxy.end() == (-number, b"", "")


def test_a_copy_of_each(command, peer, ipc):
    pull = peer("PULL", bind=ipc)
    proxy = command("proxy", f"pull:{FREE}", f"push:{FREE}", "--capture", f"push:{ipc}")
    push, worker = peer("PUSH", connect=proxy.bound()), peer("PULL", connect=proxy.bound())
    for n in range(100):
        push.send(b"%d" % n)
    assert [worker.recv() for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert pull.recv() == b"0"
    proxy.interrupt()
    assert proxy.end() == (-signal.SIGINT, b"", "")


def test_what_is_published(command, peer):
    proxy = command("proxy", f"xsub:{FREE}", f"xpub:{FREE}")
    front, back = proxy.bound(), proxy.bound()
    xpub, sub = peer("XPUB", connect=front), peer("SUB", connect=back)
    sub.subscribe(b"a")
    assert xpub.recv() == b"\x01a"
    xpub.send(b"alpha")
    assert sub.recv() == b"alpha"
    proxy.interrupt()
    assert proxy.end() == (-signal.SIGINT, b"", "")


def test_figures_at_a_terminal(terminal, peer, ipc):
    pull = peer("PULL", bind=ipc)
    proxy = terminal("proxy", f"pull:{FREE}", f"push:{ipc}", stdin=subprocess.DEVNULL)
    proxy.shows(b"\n")
    push = peer("PUSH", connect=proxy.screen.split()[4].decode())
    for _ in range(1234):
        push.send(b"x")
    assert [pull.recv() for _ in range(1234)] == [b"x"] * 1234
    proxy.shows(b"from the first 1,234 messages, 1.2 KiB; from the second 0, 0 B")
    proxy.process.send_signal(signal.SIGINT)
    assert proxy.end() == -signal.SIGINT
    assert b"Traceback" not in proxy.screen


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pull:tcp://127.0.0.1:*", "pull:tcp://127.0.0.1:*"], "PULL"),
        (["pull:tcp://127.0.0.1:*"], "the following arguments are required: URI"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("proxy", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err.splitlines()[-1]
