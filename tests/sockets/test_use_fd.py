"""A listener of the program's own (``use_fd``): it stays the program's, and misuse is an error."""

import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from harness.behaviour import behaviour
from harness.waiting import LONG, until

from ratchet import ArgumentError, Error, zmqsocket

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are another thing")


def run(program):
    """Run a program in a process of its own, as it may end by a signal; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.split()


HEAD = """
import gc, os, socket
from ratchet import zmqsocket
listener = socket.create_server(("127.0.0.1", 0))
where = "tcp://127.0.0.1:%d" % listener.getsockname()[1]
def talk(*bound):
    with zmqsocket.new("PUSH", linger=0) as push:
        push.connect(where)
        for _ in range(3):
            push.send(b"x", timeout=10)
            readable = []
            while not readable:
                readable = [zsock for zsock in bound if zsock.is_readable()]
            assert readable[0].recv(timeout=10) == (b"x", False)
    print("ok")
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            """
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            listener.close()
            zsock.bind(where)
            talk(zsock)
            """,
            id="closed between new and bind",
        ),
        pytest.param(
            """
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            zsock.bind(where)
            zsock.bind(where)
            talk(zsock)
            zsock.close()
            """,
            id="two binds of one socket",
        ),
        pytest.param(
            """
            one = zmqsocket.new("PULL", use_fd=listener.fileno())
            two = zmqsocket.new("PULL", use_fd=listener.fileno())
            one.bind(where)
            two.bind(where)
            talk(one, two)
            one.close()
            two.close()
            """,
            id="two sockets with one descriptor",
        ),
        pytest.param(
            """
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            zsock.bind(where)
            del listener
            gc.collect()
            talk(zsock)
            zsock.close()
            """,
            id="collected meanwhile",
        ),
        pytest.param(
            """
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            number = listener.fileno()
            listener.close()
            file = os.open(os.devnull, os.O_RDONLY)
            assert file == number
            zsock.bind(where)
            talk(zsock)
            zsock.close()
            os.fstat(file)
            """,
            id="closed, and its number used again",
        ),
        pytest.param(
            """
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            zsock.bind(where)
            listener.close()
            file = os.open(os.devnull, os.O_RDONLY)
            talk(zsock)
            zsock.unbind(where)
            zsock.bind(where)
            talk(zsock)
            zsock.close()
            os.fstat(file)
            """,
            id="unbind, and bind again",
        ),
    ],
)
def test_no_use_of_it_ends_the_process(program):
    assert set(run(HEAD + textwrap.dedent(program))) == {"ok"}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def endpoint_of(listener):
    return "tcp://{}:{}".format(*listener.getsockname())


@behaviour
async def test_a_listener_in_every_runtime(rt, listener):
    where = endpoint_of(listener)
    pull = rt.new("PULL", use_fd=listener.fileno())
    assert pull.bind("tcp://127.0.0.1:*") == where
    push = rt.new("PUSH")
    push.connect(where)
    await push.send(b"hello")
    assert await pull.recv() == (b"hello", False)
    pull.close()
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)  # still the program's


def test_it_reads_as_last_set(listener):
    with zmqsocket.new("PULL") as zsock:
        assert zsock.use_fd is None
        zsock.use_fd = listener.fileno()
        zsock.bind(endpoint_of(listener))
        assert zsock.use_fd == zsock.getsockopt("USE_FD") == listener.fileno()
        zsock.use_fd = None
        assert zsock.use_fd is None
        assert zsock.bind("tcp://127.0.0.1:*") != endpoint_of(listener)


def test_the_descriptors_own_to_ratchet_are_given_back(listener):
    """By None, by another listener, by close, by the collector: `nothing_left` counts them."""
    where = endpoint_of(listener)
    with socket.create_server(("127.0.0.1", 0)) as other:
        for last in (None, other.fileno()):
            zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
            zsock.use_fd = listener.fileno()
            zsock.bind(where)
            zsock.use_fd = last
            if last:
                assert zsock.bind("tcp://127.0.0.1:*") == endpoint_of(other)
            zsock.close()
        with pytest.warns(ResourceWarning, match="unclosed"):
            zmqsocket.new("PULL", use_fd=listener.fileno())
        gc.collect()
        listener.close()
        with zmqsocket.new("PULL") as zsock:  # nobody else holds it
            assert zsock.bind(where) == where


@pytest.mark.parametrize("wrong", ["ipc:///tmp/elsewhere", "ipc://*", "tcp://127.0.0.1:1"])
def test_an_endpoint_that_it_does_not_serve(listener, wrong):
    with zmqsocket.new("PULL", use_fd=listener.fileno()) as zsock:
        with pytest.raises(ArgumentError, match=rf"listener of {endpoint_of(listener)}.*None"):
            zsock.bind(wrong)
        assert zsock.bind("tcp://*:*") == endpoint_of(listener)
        assert zsock.bind("inproc://use-fd") == "inproc://use-fd"  # needs no listener


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ipc(ipc, kind):
    if kind == "abstract" and sys.platform != "linux":
        pytest.skip("of Linux only")
    name = ipc[6:] if kind == "path" else "\0" + ipc[6:]
    where = ipc if kind == "path" else "ipc://@" + ipc[6:]
    with (
        socket.socket(socket.AF_UNIX) as listener,
        zmqsocket.new("PULL") as pull,
        zmqsocket.new("PUSH") as push,
    ):
        listener.bind(name)
        listener.listen()
        pull.use_fd = listener.fileno()
        for wrong in ("tcp://127.0.0.1:*", f"{where}-other"):
            with pytest.raises(ArgumentError, match="use_fd is a listener of"):
                pull.bind(wrong)
        pull.bind(where)
        push.connect(where)
        push.send(b"hello", timeout=LONG)
        assert pull.recv(timeout=LONG) == (b"hello", False)
        pull.unbind(where)
        pull.bind("ipc://*")
        listener.getsockname()
    assert kind == "abstract" or Path(ipc[6:]).exists()  # the program's to delete


def test_what_is_no_stream_listener_is_refused(ipc):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets:
        packets.bind(ipc[6:])
        packets.listen()
        with pytest.raises(ArgumentError, match="listens already, for tcp or ipc"):
            zmqsocket.new("PULL", use_fd=packets.fileno())


def test_a_bind_that_fails_leaves_nothing(listener):
    """`nothing_left` sees its descriptor, and the next bind with it works."""
    with zmqsocket.new("PULL", use_fd=listener.fileno(), affinity=1 << 40) as zsock:
        for _ in range(3):
            with pytest.raises(Error) as caught:  # libzmq has been told the descriptor by then
                zsock.bind("tcp://127.0.0.1:*")
            assert caught.value.code == "EMTHREAD"  # there is no such I/O thread
        zsock.affinity = 0
        assert zsock.bind("tcp://127.0.0.1:*") == endpoint_of(listener)


def test_no_descriptor_left(listener):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with zmqsocket.new("PULL") as zsock:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(Error) as caught:
                zsock.use_fd = listener.fileno()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert caught.value.code == "EMFILE"
        assert zsock.use_fd is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_touches_nobodys_descriptor_by_number(listener):
    zsock = zmqsocket.new("PULL", use_fd=listener.fileno())
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())

    def child():
        nonlocal zsock
        os.closerange(3, highest + 1)
        mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest - 2)]
        zsock.close()
        zsock = None
        gc.collect()
        for fd in mine:
            os.fstat(fd)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(LONG)
    assert process.exitcode == 0
    assert zsock.bind("tcp://127.0.0.1:*") == endpoint_of(listener)
    zsock.close()


def test_a_listener_from_the_parent_as_systemd_hands_it_down(listener):
    program = """
        import sys
        from ratchet import zmqsocket
        with zmqsocket.new("REP", use_fd=3) as rep:
            print(rep.bind(sys.argv[1]), flush=True)
            rep.send(rep.recv_all(timeout=30).upper())
    """
    where = endpoint_of(listener)
    fd = listener.fileno()
    code = f"import os; os.dup2({fd}, 3)\n" + textwrap.dedent(program)
    process = subprocess.Popen([sys.executable, "-c", code, where], pass_fds=[fd])
    with zmqsocket.new("REQ") as req:
        req.connect(where)
        req.send(b"hello")
        assert req.recv_all(timeout=LONG) == b"HELLO"
    assert process.wait(LONG) == 0


def test_two_share_a_listener_that_blocks(listener):
    """Who is not fast enough to accept must not wait for the next peer: its I/O thread would."""
    where = endpoint_of(listener)
    listener.setblocking(True)
    with (
        zmqsocket.new("PULL", use_fd=listener.fileno()) as one,
        zmqsocket.new("PULL", use_fd=listener.fileno()) as two,
    ):
        one.bind(where)
        two.bind(where)
        for _ in range(20):
            with zmqsocket.new("PUSH") as push:
                push.connect(where)
                push.send(b"x", timeout=LONG)
                until(lambda: one.is_readable() or two.is_readable())
                (one if one.is_readable() else two).recv(timeout=LONG)
