"""Other systems: what they lack is taken away, and a part of the tests run so; and their ways."""

import errno
import importlib.util
import os
import re
import select
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.behaviour import RatchetThreads
from harness.internals import deadline, quick_calls, use_poll
from harness.waiting import LONG

import ratchet
from ratchet import _platform, errors, thread

ROOT = Path(__file__).parents[2]
# Wake-ups of threads, kernels, tasks, trackers and selects, and who is starved or left behind.
FILES = "memory/test_copies.py process ratchet_threads sockets tasks"
PART = (
    "tracker or looks_around or close_wakes or first_come or gives_its_descriptor_back"
    " or shared_by_every or sigwait or fork or test_select"
)


# Python's own subprocess polls from 3.15 on, wherever there was a poll when it was built.
SELECT = pytest.param(
    "epoll poll eventfd",
    marks=pytest.mark.skipif(sys.version_info >= (3, 15), reason="Python itself needs poll"),
)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="so it is here anyway")
@pytest.mark.parametrize("without", ["epoll eventfd", SELECT])
@pytest.mark.timeout(240)
def test_without(without):
    env = {**os.environ, "RATCHET_TEST_WITHOUT": without}
    paths = [str(ROOT / "tests" / "unit" / "without"), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", PART]
    done = subprocess.run(
        [*command, *(f"tests/{name}" for name in FILES.split())],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 50


def test_an_unused_wakeup_gives_its_descriptors_back():
    for kind in {_platform.Wakeup, _platform.PairWakeup}:
        kind()  # unclosed sockets would be a warning, which is an error here
        kind().fileno()


@pytest.mark.parametrize("kind", [_platform.EventWakeup, _platform.PairWakeup])
def test_a_wakeup_whose_making_was_interrupted_is_dropped_without_a_word(kind):
    kind.__new__(kind)  # what `__del__` raised would be a warning, which is an error here


def test_a_detached_wakeup_is_the_callers():
    wakeup = _platform.PairWakeup()
    there = {wakeup.fileno(), wakeup.write_fileno()}
    fds = wakeup.detach()
    del wakeup
    assert set(fds) == there
    for fd in fds:
        _platform.close_descriptor(fd)  # raises if it was not open


def test_a_socket_that_could_not_be_watched_is_watched_next(monkeypatch, inproc):
    told = []

    class Full(_platform.Poll):
        def watch_edge(self, fd):
            if not told:
                raise OSError(errno.ENOSPC, "no more")
            super().watch_edge(fd)

    use_poll(monkeypatch, Full)

    async def behaviour(rt):
        pull, push = await rt.link("PULL", "PUSH", inproc)
        with pytest.raises(ratchet.Error, match="cannot watch") as caught:
            await pull.recv()
        told.append(caught.value.code)
        thread.attach(lambda: [thread.timer(0), push.zsock.send(b"x")])
        assert await pull.recv() == (b"x", False)

    RatchetThreads().run(behaviour)
    assert told == ["ENOSPC"]


def test_too_many_descriptors_for_select(monkeypatch):
    """On Windows; the one too many is told, the others go on."""
    monkeypatch.setattr(_platform, "MOST", 3)  # one is the kernel's own
    use_poll(monkeypatch, _platform.Poll)

    async def behaviour(rt):
        pulls = [rt.new("PULL") for _ in range(3)]
        for pull in pulls:
            pull.set_timeout(0.001)
        codes = []
        for pull in pulls:
            with pytest.raises(ratchet.Error) as caught:
                await pull.recv()
            codes.append(caught.value.code)
        assert codes == ["ETIMEDOUT", "ETIMEDOUT", "EMFILE"]

    RatchetThreads().run(behaviour)


def test_select_of_what_is_closed_meanwhile():
    """select(2) refuses it; another thread has had it forgotten, or it is a mistake."""
    poll = _platform.Poll()
    selector, poll._selector = poll._selector, selectors.SelectSelector()
    selector.close()
    fd, other = os.pipe()
    poll.watch(fd, True, False)
    usual = poll._selector._select

    def select(*args):  # after it has made its sets of descriptors
        if forget:
            poll.forget(fd)
        os.close(fd)
        return usual([fd], [], [], 0)

    poll._selector._select = select
    forget = True
    assert poll.wait(LONG) == []
    assert os.dup2(other, fd) == fd
    poll.watch(fd, True, False)
    forget = False
    with pytest.raises(OSError, match="Bad file descriptor"):
        poll.wait(LONG)
    os.close(other)
    poll.close()


def test_symbols_have_no_names_of_winsock(monkeypatch):
    monkeypatch.setitem(errno.errorcode, 10048, "WSAEADDRINUSE")
    spec = importlib.util.spec_from_file_location("errors_of_windows", errors.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert other.Error(10048, "listens").code == "EADDRINUSE"


def test_deadlines_are_of_pythons_clock():
    """They are compared with those that event loops and the kernel make."""
    for _ in range(1000):
        before = time.monotonic()
        now = deadline(0)
        assert before <= now <= time.monotonic()


def test_what_is_quick_is_quick():
    """Python and Cython make methods in a way that lets their arguments be read in C."""
    assert quick_calls() == {"send", "recv", "recv_all", "send_multipart", "recv_multipart"}
