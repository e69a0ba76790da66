"""A greenlet that expects an answer soon looks for it between turns of the hub, then sleeps."""

import time

import gevent
import gevent.event
import pytest
from harness.internals import paused_calls, use_spin
from harness.waiting import LONG

import ratchet

ALL = 30.0  # seconds of looking, which nothing here is to use up
MUCH = 0.4  # seconds of CPU time that show that most of it was
SOME = 0.05  # seconds of CPU time that show that it looks
BUSY = 0.2  # seconds of CPU time of a turn that is a long one


@pytest.fixture(autouse=True)
def looks_for_long():
    """Look for long, and on a busy machine as well, where any turn takes long."""
    use_spin(ALL, BUSY)
    yield
    use_spin()


@pytest.fixture
def asked(link):
    """A greenlet that looks for its answer, since one has come soon before; and the two sockets."""
    left, right = link("PAIR", "PAIR")

    def ask(timeout=LONG):
        left.send(b"question")
        return left.recv_all(timeout=timeout)

    first = gevent.spawn(ask)
    assert right.recv_all(timeout=LONG) == b"question"
    right.send(b"answer")
    assert first.get(timeout=LONG) == b"answer"
    second = gevent.spawn(ask)
    assert right.recv_all(timeout=LONG) == b"question"
    while paused_calls(left) == 0:
        gevent.sleep(0)
    yield second, left, right, ask
    second.kill()


def test_it_looks(asked):
    greenlet, left, right, _ = asked
    before = time.thread_time()
    while time.thread_time() - before < SOME:
        gevent.sleep(0.001)
    assert paused_calls(left) == 1
    right.send(b"answer")
    assert greenlet.get(timeout=LONG) == b"answer"


def test_others_go_on_meanwhile(asked):
    greenlet, _, right, _ = asked
    event = gevent.event.Event()
    before = time.thread_time()
    gevent.spawn_later(0.05, event.set)
    assert event.wait(timeout=LONG)
    assert time.thread_time() - before < MUCH
    right.send(b"answer")
    assert greenlet.get(timeout=LONG) == b"answer"


def test_a_kill_ends_it_and_loses_nothing(asked):
    greenlet, left, right, _ = asked
    greenlet.kill(timeout=LONG)
    assert paused_calls(left) == 0
    right.send(b"answer")
    assert left.recv_all(timeout=LONG) == b"answer"


def test_a_timeout_ends_it(asked):
    greenlet, _, right, ask = asked
    right.send(b"answer")
    assert greenlet.get(timeout=LONG) == b"answer"
    before = time.thread_time()
    with pytest.raises(ratchet.Timeout):
        gevent.spawn(ask, timeout=0.05).get(timeout=LONG)
    assert time.thread_time() - before < MUCH
