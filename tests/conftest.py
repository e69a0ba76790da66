"""What every test gets: endpoints, a guard against leftovers, random numbers to be had again."""

import asyncio
import contextlib
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from pathlib import Path

import pytest
from harness import internals
from harness.descriptors import open_descriptors
from harness.programs import Script
from harness.waiting import LONG

from ratchet import Timeout, has, zmqsocket

if sys.platform == "win32":  # its own default loop cannot watch descriptors
    with warnings.catch_warnings(action="ignore"):  # policies are deprecated from 3.14 on
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())

PATIENCE = 5.0  # seconds; libzmq's reaper closes descriptors when it gets to it
# Each of pytest's processes has an address of its own where every 127.x.x.x is this machine: a
# client that goes on connecting to a closed port must not come to another process's test.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) if sys.platform == "linux" else 0
MOST_PROCESSORS = 8  # from there on, collecting the tests in each process takes what it saves


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """How many processes ``-n auto`` means: most tests wait more than they compute."""
    return 2 * min(os.cpu_count() or 1, MOST_PROCESSORS)


def pytest_collection_modifyitems(items):
    """Have what may take long begin first, so that not all wait for it at the end."""
    limits = {
        item: max((m.args[0] for m in item.iter_markers("timeout")), default=0) for item in items
    }
    items.sort(key=limits.get, reverse=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Have one of several processes say on stderr where a test hangs: its stdout is /dev/null."""
    if hasattr(config, "workerinput"):
        writer = type(config.get_terminal_writer())(sys.__stderr__)
        config.get_terminal_writer = lambda: writer


@pytest.fixture(scope="session", autouse=True)
def _warm():
    """Make what stays for good: the context, and the main thread's wake-up descriptor."""
    with zmqsocket.new("PULL") as zsock, contextlib.suppress(Timeout):
        zsock.recv(timeout=0.1)  # long enough that it does pause, under valgrind too
    gc.collect()
    gc.freeze()  # what is there by now stays; looking through it after each test would take a while


@pytest.fixture(autouse=True)
def nothing_left(_warm):
    """Fail a test that leaves a descriptor, a socket or a thread; clean up for those after it.

    A build with RATCHET_DEBUG=1 counts more, and all of that must be closed as well.
    """
    descriptors = open_descriptors()
    counts = internals.counts()
    threads = set(threading.enumerate())
    sockets = internals.open_sockets()
    yield
    gc.collect()
    left = []
    for zsock in internals.open_sockets() - sockets:
        left.append(repr(zsock))
        zsock.close(linger=0)
    del sockets
    deadline = time.monotonic() + PATIENCE
    for thread in set(threading.enumerate()) - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            left.append(repr(thread))
    while True:
        extra = sorted(set(open_descriptors().items()) - set(descriptors.items()))
        balanced = internals.counts() == counts
        if (not extra and balanced) or time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.001)
    left += [f"descriptor {number} ({what})" for number, what in extra]
    if not balanced:
        left.append(f"of what is counted, {counts} before and {internals.counts()} now")
    if left:
        pytest.fail("left behind: " + "; ".join(left))
    gc.freeze()  # what is there still came to stay, such as modules


@pytest.fixture
def ctrl_c():
    """Have this process hear SIGINT, though it may have been started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng():
    """Random numbers; a failure shows the seed, and RATCHET_TEST_SEED repeats it."""
    seed = int(os.environ.get("RATCHET_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"RATCHET_TEST_SEED={seed} repeats this")
    return random.Random(seed)


@pytest.fixture
def inproc():
    """An inproc endpoint that nobody else has."""
    return f"inproc://{uuid.uuid4()}"


@pytest.fixture
def ipc():
    """An ipc endpoint; its path is short, for libzmq takes 107 bytes and tmp_path can be longer."""
    if not has("ipc"):
        pytest.skip("this libzmq has no ipc, as most for Windows")
    folder = tempfile.mkdtemp(prefix="ratchet-", dir="/tmp" if Path("/tmp").exists() else None)
    yield f"ipc://{folder}/s"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tcp():
    """A tcp endpoint to bind to: the system picks the port, last_endpoint tells it."""
    return f"tcp://127.0.0.{1 + WORKER}:*"


@pytest.fixture(params=["inproc", "ipc", "tcp"])
def endpoint(request):
    """An endpoint to bind to, of each transport in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def new():
    """Makes sockets with a timeout, so that a hang is an error, and closes them in the end."""
    made = []

    def new(type="PAIR", **options):
        made.append(zmqsocket.new(type, **options))
        made[-1].set_timeout(LONG)
        return made[-1]

    yield new
    for zsock in made:
        zsock.close(linger=0)


@pytest.fixture
def link(new, inproc):
    """Makes two such sockets: the left one is bound, the right one connected."""

    def link(left, right, endpoint=inproc, **options):
        bound, other = new(left, **options), new(right, **options)
        bound.bind(endpoint)
        other.connect(bound.last_endpoint)
        return bound, other

    return link


@pytest.fixture
def pipe(link):
    """A PULL and a PUSH, connected."""
    return link("PULL", "PUSH")


@pytest.fixture
def script(tmp_path):
    """Starts programs (`harness/programs.py`), and ends those that are left."""
    made = []

    def script(text, *args, **how):
        made.append(Script(tmp_path / f"script{len(made)}.py", text, *args, **how))
        return made[-1]

    yield script
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.end()


@pytest.fixture
def run(script):
    """Runs a program to its end; by default nothing may be on stderr."""

    def run(text, *args, flags=(), status=0, err="", limit=20.0):
        result = script(text, *args, flags=flags).end(limit)
        assert result.status == status, result
        assert err is None or result.err == err, result
        return result

    return run
