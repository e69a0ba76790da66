"""What is unbound or disconnected right after it was bound or connected is given up for good.

libzmq's own zmq_unbind and zmq_disconnect return 0 and leave it open where an I/O thread is slow to
ring for what it has put into the socket's mailbox (`launches.pxi`). Here every ring of theirs comes
late.
"""

import pytest
from harness import preload

pytestmark = preload.needed

# libzmq rings by writing 8 bytes into an eventfd.
LATE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*usual)(int, const void *, size_t);
    *(void **) &usual = dlsym(RTLD_NEXT, "write");
    if (size == 8 && syscall(SYS_gettid) != getpid())
        usleep(5000);
    return usual(fd, data, size);
}
"""


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A library with a `write` that is late in all threads but the main one."""
    return preload.library(tmp_path_factory.mktemp("late"), LATE)


@pytest.fixture(autouse=True)
def _put_first(late, monkeypatch):
    preload.put_first(monkeypatch, late)


CLOSED = """
import socket
from harness.descriptors import open_descriptors

def closed(*sockets):
    for one in sockets:
        one.is_readable()  # libzmq ends a connection when its sockets are next used
    return not set(open_descriptors().items()) - before
"""


@pytest.mark.parametrize("place", ["tcp", "ipc", "use_fd"])
def test_a_listener(run, place):
    run(
        CLOSED
        + """
place, = sys.argv[1:]
with zmqsocket.new("PULL") as zsock, socket.create_server(("127.0.0.1", 0)) as listener:
    if place == "use_fd":
        zsock.use_fd = listener.fileno()
    endpoint = f"ipc://@ratchet-{os.getpid()}" if place == "ipc" else "tcp://127.0.0.1:*"
    endpoint = zsock.bind(endpoint)
    zsock.unbind(endpoint)
    before = set(open_descriptors().items())
    for _ in range(10):
        zsock.bind(endpoint)
        zsock.unbind(endpoint)
    until(closed, "the listeners to be closed")
""",
        place,
    )


PEERS = {"PUSH": "PULL", "DEALER": "ROUTER", "SUB": "PUB", "PUB": "SUB", "REQ": "REP"}
CONNECTIONS = (
    CLOSED
    + """
kind, peer, times = sys.argv[1:]
with zmqsocket.new(peer) as bound, zmqsocket.new(kind) as zsock:
    endpoint = bound.bind("tcp://127.0.0.1:*")
    before = set(open_descriptors().items())
    for _ in range(10):
        for _ in range(int(times)):
            zsock.connect(endpoint)
        zsock.disconnect(endpoint)
    until(lambda: closed(zsock, bound), "the connections to be closed")
"""
)


@pytest.mark.parametrize("kind", PEERS)
def test_a_connection(run, kind):
    run(CONNECTIONS, kind, PEERS[kind], "1")


@pytest.mark.parametrize("kind", ["DEALER", "SUB", "PUB", "REQ"])
def test_a_connection_that_is_there_already(run, kind):
    """libzmq begins nothing for these types, so nothing is to be waited for."""
    run(CONNECTIONS, kind, PEERS[kind], "5")
