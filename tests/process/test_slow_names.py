"""A name that is looked up slowly stalls no other connection, and not the exit."""

import textwrap

import pytest
from harness import preload

pytestmark = preload.needed

# Slow for names that say so, and tells that it is asked: the look-up is under way then.
SLOWLY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*usual)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **) &usual = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node != NULL && strncmp(node, "slow", 4) == 0) {
        int log = open(getenv("LOOKED_UP"), O_WRONLY | O_APPEND | O_CREAT, 0600);
        char line[100];
        int size = snprintf(line, sizeof(line), "%s\n", node);
        if (write(log, line, size) < 0) abort();  /* one write: several threads look names up */
        close(log);
        sleep(20);
        return EAI_AGAIN;
    }
    return usual(node, service, hints, found);
}
"""

LOOKED_UP = """
def looked_up(*names):
    '''Wait until libzmq has begun to look them up.'''
    def all_are():
        with contextlib.suppress(FileNotFoundError), open(os.environ["LOOKED_UP"]) as log:
            return set(names) <= set(log.read().split())

    until(all_are, names)
"""


@pytest.fixture(scope="module")
def slowly(tmp_path_factory):
    """A library with a `getaddrinfo` that takes 20 s."""
    return preload.library(tmp_path_factory.mktemp("slowly"), SLOWLY)


@pytest.fixture
def begin(script, slowly, tmp_path, monkeypatch):
    """Begin a program in whose process names are looked up slowly."""
    preload.put_first(monkeypatch, slowly)
    monkeypatch.setenv("LOOKED_UP", str(tmp_path / "looked_up"))
    return lambda text, *args: script(LOOKED_UP + textwrap.dedent(text), *args)


@pytest.fixture
def slow(begin):
    def slow(text, *args, err=""):
        """Have it run to its end, for which no look-up is waited."""
        result = begin(text, *args).end(15)
        assert (result.status, result.seconds < 15) == (0, True), result
        assert err is None or result.err == err, result
        return result

    return slow


# Traffic

SLOW = """
slow = zmqsocket.new("PUSH", linger=0)
slow.connect("tcp://slow:1")
looked_up("slow")
"""

OTHERS = {
    "figures": """
        x, y = pair(endpoint="tcp://127.0.0.1:*")
    """,
    "another name": """
        x, y = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
        x.bind("tcp://127.0.0.1:*")
        y.connect(x.last_endpoint.replace("127.0.0.1", "localhost"))
    """,
    "ipc": """
        x, y = pair(endpoint="ipc://*")
    """,
    "both": """
        x, y = zmqsocket.new("PUB"), zmqsocket.new("SUB", subscribe=b"", linger=0)
        x.bind("tcp://127.0.0.1:*")
        y.connect("tcp://slow-too:1")
        y.connect(x.last_endpoint)
        x = x if until_subscribed(x, y) else None
    """,
    "three slow names": """
        others = [zmqsocket.new("PULL") for _ in range(2)]
        for n, other in enumerate(others):
            other.connect(f"tcp://slow{n}:1")
        looked_up("slow0", "slow1")
        x, y = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
        x.bind("tcp://127.0.0.1:*")
        y.connect(x.last_endpoint.replace("127.0.0.1", "localhost"))
        for other in others:
            other.close()
    """,
    "more threads": """
        x, y = pair(endpoint="tcp://127.0.0.1:*")
        pairs = [pair(endpoint="tcp://127.0.0.1:*") for _ in range(4)]
        for left, right in pairs:
            left.send(b"hello")
            assert right.recv(timeout=5) == (b"hello", False)
            left.close(), right.close()
    """,
    "a source address": """
        slow.connect("tcp://127.0.0.1:0;slow-behind-it:1")
        looked_up("slow-behind-it")
        x, y = pair(endpoint="tcp://127.0.0.1:*")
    """,
}

RECEIVE = {
    "threads": "got = y.recv(timeout=5)",
    "ratchet": "got = ratchet.run(lambda: y.recv(timeout=5))",
    "asyncio": "got = asyncio.run(receive())",
}

HELPERS = """
import asyncio
import ratchet.asyncio

def until_subscribed(x, y):
    def does():
        x.send(b"again")
        with contextlib.suppress(ratchet.Timeout):
            return y.recv(timeout=0.01)

    until(does)
    while True:
        try:
            y.recv(timeout=0.5)
        except ratchet.Timeout:
            return True

async def receive():
    with ratchet.asyncio.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(pull.bind("tcp://127.0.0.1:*"))
        push.send(b"hello")
        return await pull.recv(timeout=5)
"""


@pytest.mark.parametrize(
    ("others", "receive"),
    [*((others, "threads") for others in OTHERS), ("figures", "ratchet"), ("figures", "asyncio")],
)
def test_a_slow_look_up_stalls_no_other_connection(slow, others, receive):
    begin = "ratchet.configure(io_threads=2)\n" if others == "more threads" else ""
    slow(f"""{HELPERS}{begin}{SLOW}{textwrap.dedent(OTHERS[others])}
x.send(b"hello")
{RECEIVE[receive]}
assert got == (b"hello", False), got
x.close(), y.close(), slow.close()
""")


def test_a_connection_that_was_there_before_goes_on(slow):
    slow(f"""
x, y = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
x.bind("tcp://127.0.0.1:*")
y.connect(x.last_endpoint.replace("127.0.0.1", "localhost"))
{SLOW}
for left, right in ((x, y), (y, x)):
    left.send(b"hello")
    assert right.recv(timeout=5) == (b"hello", False)
x.close(), y.close(), slow.close()
""")


def test_an_affinity_of_the_users_own_is_kept(slow):
    slow("""
        ratchet.configure(io_threads=2)
        x, y = zmqsocket.new("PAIR", affinity=2), zmqsocket.new("PAIR", affinity=1)
        other = zmqsocket.new("PULL")
        y.connect(x.bind("tcp://127.0.0.1:*"))
        other.bind("tcp://127.0.0.1:*")
        other.connect("tcp://localhost:1")
        try:
            other.connect("tcp://wrong")
        except ValueError:
            pass
        assert (x.affinity, y.affinity, other.affinity) == (2, 1, 0)
        x.send(b"hello")
        assert y.recv(timeout=5) == (b"hello", False)
        x.close(), y.close(), other.close()
    """)


@pytest.mark.parametrize(("threads", "all_threads"), [(0, 0), (1, 5), (13, 52), (33, 33)])
def test_how_many_threads_there_are(slow, threads, all_threads):
    """As many as the mask of an affinity has bits for."""
    slow(f"""
        ratchet.configure(io_threads={threads})
        before = len(os.listdir("/proc/self/task"))
        x, y = pair()
        assert len(os.listdir("/proc/self/task")) - before - 1 == {all_threads}
        x.send(b"hello")
        assert y.recv(timeout=5) == (b"hello", False)
        x.close(), y.close()
        if {threads}:
            x, y = pair(endpoint="tcp://127.0.0.1:*")
            y.connect(x.last_endpoint.replace("127.0.0.1", "localhost"))
            for _ in range(2):
                x.send(b"hello")
                assert y.recv(timeout=5) == (b"hello", False)
            x.close(), y.close()
    """)


# The exit

ENDS = {
    "received": """
        zsock = zmqsocket.new("PULL", linger=60)
        zsock.connect("tcp://slow:1")
    """,
    "subscribed": """
        zsock = zmqsocket.new("XSUB", linger=60)
        zsock.connect("tcp://slow:1")
        zsock.subscribe(b"")
    """,
    "sent nothing": """
        zsock = zmqsocket.new("PUSH", linger=60)
        zsock.connect("tcp://slow:1")
        zsock.send(b"one part, and no other", True)
    """,
    "sent without a linger": """
        zsock = zmqsocket.new("DEALER", linger=0)
        zsock.connect("tcp://slow:1")
        zsock.send_many([b"x", b"x"])
    """,
    "closed without a linger": """
        zsock = zmqsocket.new("DEALER", linger=60)
        zsock.connect("tcp://slow:1")
        zsock.send_multipart([b"x", b"x"])
        zsock.close(0)
    """,
    "sent with half a second": """
        zsock = zmqsocket.new("PUSH", linger=0.5)
        zsock.connect("tcp://slow:1")
        zsock.send(bytes(200_000))
    """,
    "the linger ran out after the close": """
        zsock = zmqsocket.new("PUSH", linger=3)
        zsock.connect("tcp://slow:1")
        zsock.send(b"x")
        zsock.close()
        time.sleep(3)
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_no_exit_waits_for_a_look_up(slow, end):
    """Nor does it say that it waits: no linger is left for a second."""
    slow(textwrap.dedent(ENDS[end]) + 'looked_up("slow")')


@pytest.mark.parametrize("lent", [False, True])
def test_a_look_up_holds_the_exit_for_the_linger_and_it_says_for_what(slow, lent):
    result = slow(
        f"""
        idle = zmqsocket.new("PULL", linger=60)
        idle.connect("tcp://slow-too:1")
        zsock = zmqsocket.new("PUSH", linger=1.5)
        zsock.connect("tcp://slow:1")
        zsock.send(bytearray(9_000), copy=not {lent})
        looked_up("slow")
        """,
        err=None,
    )
    assert result.err.startswith("ratchet: waiting for up to 0."), result
    assert "(PUSH socket connected to tcp://slow:1)" in result.err


def test_ctrl_c_ends_the_wait_beside_a_look_up(begin):
    source = begin(
        """
        zsock = zmqsocket.new("PUSH", linger=-1)
        zsock.connect("tcp://slow:1")
        zsock.send(b"x")
        looked_up("slow")
        """
    )
    assert "waiting for ever" in source.process.stderr.readline()
    source.interrupt()
    result = source.end()
    assert result.seconds < 15
    assert result.err == "ratchet: gave up; undelivered messages are lost.\n"


def test_a_child_of_multiprocessing_waits_for_no_look_up(slow):
    slow("""
        import multiprocessing

        def child():
            global zsock
            zsock = zmqsocket.new("PUSH", linger=0.5)
            zsock.connect("tcp://slow:1")
            zsock.send(b"x")
            looked_up("slow")

        if __name__ == "__main__":
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join(12)
            assert process.exitcode == 0, process.exitcode
    """)
