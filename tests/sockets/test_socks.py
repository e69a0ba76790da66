"""libzmq ends the process over a SOCKS proxy that fails, so connect does not let it use one.

What libzmq does is asked of its own C interface, in a process apart: when it no longer ends that,
the test says so, and the option can be let in.
"""

import ctypes.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ratchet import ArgumentError, zmqsocket

NO_PROXY = "127.0.0.1:1"  # where nobody listens

PROXY = textwrap.dedent(r'''
    """A proxy that fails as it is told to, once for each connection."""
    import socket, threading

    # What it reads and what it answers, in turn; then it closes. None: libzmq closes, having read.
    MODES = {
        "closes": [],
        "closes after the greeting": [b""],
        "answers garbage": [b"HTTP/1.0 400 Bad Request\r\n\r\n"],
        "has no method": [b"\5\xff"],
        "wants a password": [b"\5\2", b"\1\1"],
        "closes after the request": [b"\5\0", b""],
        "refuses": [b"\5\0", b"\5\5\0\1\0\0\0\0\0\0", None],
        "answers the request with garbage": [b"\5\0", b"\5\0\0\7garbage"],
    }

    def start(mode):
        """Give its address, and a semaphore that counts its failures."""
        failed = threading.Semaphore(0)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        if mode == "is not there":
            listener.close()
            failed.release()
            return address, failed
        listener.listen()

        def serve():
            while True:
                with listener.accept()[0] as peer:
                    try:
                        for answer in MODES[mode]:
                            peer.recv(1000)
                            peer.sendall(answer or b"")
                    except OSError:
                        pass
                failed.release()

        threading.Thread(target=serve, daemon=True).start()
        return address, failed
''')

# libzmq as it is, without ratchet: connect, let the proxy fail, close, end the context.
LIBZMQ = textwrap.dedent(r"""
    import ctypes
    zmq = ctypes.CDLL(LIBRARY)
    for name in ("zmq_ctx_new", "zmq_socket"):
        getattr(zmq, name).restype = ctypes.c_void_p
    address, failed = start(MODE)
    context = ctypes.c_void_p(zmq.zmq_ctx_new())
    zsock = ctypes.c_void_p(zmq.zmq_socket(context, 5))
    zmq.zmq_setsockopt(zsock, 68, address.encode(), len(address))
    for option, value in ((17, 0), (18, 60_000)):  # ZMQ_LINGER, ZMQ_RECONNECT_IVL: once
        zmq.zmq_setsockopt(zsock, option, ctypes.byref(ctypes.c_int(value)), 4)
    assert zmq.zmq_connect(zsock, b"tcp://127.0.0.1:2") == 0
    assert failed.acquire(timeout=10)
    zmq.zmq_close(zsock)
    zmq.zmq_ctx_term(context)
    print("ended well", flush=True)
""")

RATCHET = textwrap.dedent(r"""
    from ratchet import ArgumentError, zmqsocket
    address, failed = start(MODE)
    zsock = zmqsocket.new("DEALER", linger=0.0, socks_proxy=address, reconnect_ivl=60.0)
    try:
        zsock.connect("tcp://127.0.0.1:2")
    except ArgumentError as error:
        assert "socks_proxy" in str(error), error
    else:
        assert failed.acquire(timeout=10)
    zsock.close()
""")

MODES = ["is not there", *re.findall(r'^    "([a-z ]+)":', PROXY, re.MULTILINE)]


def run(program, mode, **more):
    names = {"MODE": mode, **more}
    setting = "\n".join(f"{name} = {value!r}" for name, value in names.items())
    return subprocess.run(
        [sys.executable, "-c", f"{PROXY}\n{setting}\n{program}"],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def library():
    """The libzmq that ratchet is linked with, if it can be opened."""
    maps = Path("/proc/self/maps")
    found = re.findall(r"\S*/libzmq\S*\.so\S*", maps.read_text()) if maps.exists() else []
    return found[0] if found else ctypes.util.find_library("zmq")


@pytest.mark.parametrize("mode", MODES)
def test_a_proxy_that_fails_does_not_end_the_process(mode):
    done = run(RATCHET, mode)
    assert (done.returncode, done.stderr) == (0, "")


def test_why_connect_refuses_a_proxy():
    """If this fails, libzmq is mended: let the option in, from that version on."""
    if sys.platform != "linux" or library() is None:
        pytest.skip("libzmq cannot be opened by itself here")
    done = run(LIBZMQ, "refuses", LIBRARY=library())
    assert done.returncode < 0, done.stdout + done.stderr


def test_what_needs_no_proxy_goes_on(ipc):
    with zmqsocket.new("DEALER", socks_proxy=NO_PROXY) as zsock:
        zsock.bind("tcp://127.0.0.1:*")
        zsock.bind(ipc)
        zsock.connect("inproc://no-proxy")
        zsock.bind("inproc://no-proxy")
        with pytest.raises(ArgumentError, match=r"socks_proxy.*ends the process.*ssh or socat"):
            zsock.connect("tcp://127.0.0.1:5555")
        assert zsock.socks_proxy == NO_PROXY
        zsock.socks_proxy = None
        zsock.linger = 0.0
        zsock.connect("tcp://127.0.0.1:5555")
