"""`ratchet.testing.Peer`: it runs there, hands over what it says and how it ends."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.waiting import until

from ratchet import Timeout, zmqsocket
from ratchet.testing import Peer, PeerError, free_endpoint

ECHO = "for data in zsock:\n    print('got', data)\n    zsock.send(data.upper())\n"


posix = pytest.mark.skipif(sys.platform == "win32", reason="no signals there")


def double(zsock, factor):
    """What a peer runs in these tests: it uses a name of its module."""
    number = int(zsock.recv_all())
    zsock.send(b"%d" % (factor * number))
    return {"pid": os.getpid(), "number": number}


async def double_in_a_task(zsock, factor):
    number = int(await zsock.recv_all())
    await zsock.send(b"%d" % (factor * number))


def fail(zsock):
    print("about to fail")
    raise LookupError("no such thing")


def test_a_text():
    with Peer(ECHO, "REP") as peer, zmqsocket.new("REQ") as req:
        req.connect(peer.endpoint)
        assert req.request(b"hello", timeout=10) == b"HELLO"
        assert peer.output == "got b'hello'\n" or until(lambda: peer.output) is None
        assert peer.running
        assert str(peer.pid) in repr(peer)
    assert not peer.running


def test_functions():
    for work in (double, double_in_a_task):
        with Peer(work, "REP", [3]) as peer, zmqsocket.new("REQ") as req:
            req.connect(peer.endpoint)
            assert req.request(b"14", timeout=10) == b"42"
            found = peer.result()
            assert found == ({"pid": peer.pid, "number": 14} if work is double else None)


def test_where_its_socket_is():
    with zmqsocket.new("PULL") as pull, free_endpoint() as endpoint:
        pull.bind(endpoint)
        with Peer("zsock.send(args[0])", "PUSH", [b"x"], connect=endpoint, sndhwm=1) as peer:
            assert peer.endpoint == endpoint
            assert pull.recv_all(timeout=10) == b"x"
            assert peer.result() is None
    with pytest.raises(ValueError, match="not both"):
        Peer(ECHO, connect="tcp://127.0.0.1:1", bind="tcp://127.0.0.1:*")


def test_its_error_is_handed_over():
    with Peer(fail) as peer, pytest.raises(PeerError, match="no such thing") as caught:
        peer.result()
    text = str(caught.value)
    assert "about to fail" in text
    assert "in fail" in text
    assert "child.py" not in text  # of its machinery the traceback tells nothing


def test_an_error_that_nobody_asked_for_is_raised_at_the_end():
    with pytest.raises(PeerError, match="ZeroDivisionError"), Peer("1 / 0") as peer:
        until(lambda: not peer.running)


@posix
def test_how_else_it_ends():
    with pytest.raises(PeerError, match="exit status 3"), Peer("raise SystemExit(3)") as peer:
        until(lambda: not peer.running)
    with Peer(ECHO) as peer:
        os.kill(peer.pid, signal.SIGTERM)
        with pytest.raises(PeerError, match=f"exit status -{signal.SIGTERM:d}"):
            peer.result()
    with Peer(ECHO) as peer:
        with pytest.raises(Timeout, match=r"still runs after 0\.01 s"):
            peer.result(timeout=0.01)
        peer.kill()
        peer.kill()
    peer.close()


def test_it_does_not_begin():
    with pytest.raises(PeerError, match="no_such"):
        Peer(ECHO, "REP", no_such=1)
    with pytest.raises(PeerError, match="SyntaxError"):
        Peer("for")
    with pytest.raises(ValueError, match="top of a module"):
        Peer(lambda zsock: None)


def test_a_module_that_only_its_file_tells(tmp_path):
    path = tmp_path / "test_of_somebody.py"
    path.write_text("SEVEN = 7\ndef work(zsock):\n    return SEVEN\n")
    spec = importlib.util.spec_from_file_location("a.name.of.no.package", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        with Peer(module.work) as peer:
            assert peer.result() == 7
    finally:
        del sys.modules[spec.name]


@posix
def test_it_ends_with_the_process_that_made_it():
    program = f"from ratchet.testing import Peer\nprint(Peer({ECHO!r}).pid, flush=True)\ninput()\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()

    def gone():
        try:
            os.kill(pid, 0)
            # On Linux; it stays a zombie where nobody is there to wait for it.
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except ProcessLookupError:
            return True
        except FileNotFoundError:
            return False  # the next look finds out

    until(gone)
