"""What a socket knows of its peers while signal handlers raise: a line that raises stands for each.

A test does the same again and again, and each time another line of `peers.py` raises, from the
first on, until all have. What is known afterwards must be exact.
"""

import gc
import linecache
import signal
import sys
from itertools import count

import pytest
from harness.internals import peers_of
from harness.waiting import until

from ratchet import peers
from ratchet._connections import Attempts
from ratchet._zmq import SubscriberWatch

if sys.gettrace() is not None:
    pytest.skip("something else traces this process", allow_module_level=True)


class HandlerError(Exception):
    """What a signal handler raises."""


class Interrupter:
    """Raises at one line of `peers.py`: the ``number``-th that is come to within the `with`.

    The end of a `with` is passed over: a signal handler does not run between its last line and the
    call that gives the lock back.
    """

    def __init__(self, number):
        self.left = number
        self.counts = lambda: True  # does a line count that is come to now?
        self.raised = False

    def __enter__(self):
        sys.settrace(self.trace)
        return self

    def __exit__(self, kind, error, traceback):
        sys.settrace(None)
        return kind is HandlerError

    def trace(self, frame, event, _):
        if frame.f_code.co_filename != peers.__file__:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not line.startswith("with ") and self.counts():
            self.left -= 1
            if self.left < 0 and not self.raised:
                self.raised = True
                raise HandlerError
        return self.trace


def each_line():
    """One Interrupter after another, until one has found no line to raise at."""
    for number in count():
        interrupter = Interrupter(number)
        yield interrupter
        if not interrupter.raised:
            assert number > 5
            return


PREFIXES = [b"a", b"b", b"c"]


@pytest.fixture
def unheard(monkeypatch):
    """Keep errors that are raised a moment later, and those that are only reported, from failing
    the test: the call that was interrupted goes on then."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


@pytest.mark.parametrize("by", ["a look", "a receive", "a send"])
def test_subscriptions_are_counted_and_received_once(new, inproc, unheard, by):
    xpub, sub = new("XPUB", track_peers=True), new("SUB")
    sub.connect(xpub.bind(inproc))
    calls = {
        "a look": lambda: xpub.subscribers(b"a"),
        "a receive": lambda: received.append(xpub.recv_all()),
        "a send": lambda: xpub.send_many([b"x"] * 64) and xpub.is_readable(),
    }
    for interrupter in each_line():
        for begin in (b"\1", b"\0"):
            received = []
            for prefix in PREFIXES:
                (sub.subscribe if begin == b"\1" else sub.unsubscribe)(prefix)
            try:
                with interrupter:
                    calls[by]()
            except HandlerError:
                pass  # it was raised a moment later
            while len(received) < len(PREFIXES):
                received.append(xpub.recv_all(timeout=0))
            assert received == [begin + prefix for prefix in PREFIXES]
            counted = [xpub.subscribers(prefix) for prefix in PREFIXES]
            assert counted == [int(begin == b"\1")] * len(PREFIXES)
            assert not xpub.is_readable()


@pytest.mark.parametrize("ends", ["closes", "is disconnected from"])
def test_a_peer_that_comes_and_goes_is_known(new, tcp, unheard, ends):
    """This thread takes in the events: the one that otherwise does waits for the lock."""
    for interrupter in each_line():
        pub, sub = new("XPUB", track_peers=True), new("SUB", subscribe=b"a")
        known = peers_of(pub)
        interrupter.counts = lambda known=known: known._first() or known._undone
        address = (pub if ends == "closes" else sub).bind(tcp)
        with known._lock:
            (sub if ends == "closes" else pub).connect(address)
            try:
                with interrupter:
                    until(lambda pub=pub: pub.peers)
            except HandlerError:
                pass
        assert pub.wait_peers() == 1
        # A SUB that was bound tells what it wants in a call on it.
        until(lambda pub=pub, sub=sub: sub.is_readable() or pub.subscribers(b"a") == 1)
        with known._lock:
            try:
                with interrupter:
                    if ends == "closes":
                        sub.close()
                        until(lambda pub=pub: not pub.peers)
                    else:
                        pub.disconnect(address)
            except HandlerError:
                pass
        until(lambda pub=pub: pub.peers == ())
        until(lambda pub=pub: pub.subscribers() == 0)
        sub.close()
        pub.close()


def test_who_is_disconnected_and_connected_again_is_one_peer(new, tcp, unheard):
    for interrupter in each_line():
        pub, sub = new("XPUB", track_peers=True), new("SUB", subscribe=b"a")
        known = peers_of(pub)
        interrupter.counts = lambda known=known: known._undone
        address = sub.bind(tcp)
        pub.connect(address)
        assert pub.wait_peers() == 1
        with known._lock:
            try:
                with interrupter:
                    pub.disconnect(address)
            except HandlerError:
                pass
            pub.connect(address)
        until(lambda pub=pub, sub=sub: sub.is_readable() or pub.subscribers(b"a") == 1)
        until(lambda pub=pub: len(pub.peers) == 1)
        sub.close()
        until(lambda pub=pub: pub.peers == ())
        pub.close()


@pytest.mark.parametrize("what", ["peers", "why"])
def test_a_handler_that_learns_of_endpoints_meanwhile(new, tcp, what):
    push, pulls = new("PUSH", track_peers=True), [new("PULL") for _ in range(2)]
    for pull in pulls:
        push.connect(pull.bind(tcp))
    assert push.wait_peers(2) == 2
    known, ports = peers_of(push), count(10_000)

    def learn(frame, event, _):
        if frame.f_code.co_filename == peers.__file__ and event == "line":
            identifier = f"tcp://127.0.0.1:{next(ports)}"
            known._at(identifier)
            known._attempts[identifier] = Attempts()
        return learn

    sys.settrace(learn)
    try:
        getattr(known, what)()
    finally:
        sys.settrace(None)
    assert len(push.peers) == 2


def test_a_wait_for_subscribers_that_is_interrupted_leaves_no_thread_that_looks(new, tcp, unheard):
    pub, sub = new("PUB", track_peers=True), new("SUB", subscribe=b"a")
    sub.connect(pub.bind(tcp))
    pub.wait_subscribers(b"a")
    for interrupter in each_line():
        with interrupter:
            pub.wait_subscribers(b"a")
        told = []
        with SubscriberWatch(peers_of(pub), told.append):
            pass
        assert told == [True, False]  # nobody else waits


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals are POSIX")
def test_signals_that_raise_all_the_time(new, tcp):
    """1,400 a second lost 1 of 17 subscriptions."""
    xpub, sub = new("XPUB", track_peers=True), new("SUB", sndhwm=0)
    sub.connect(xpub.bind(tcp))
    xpub.wait_peers()
    armed = False  # one at a time: what is raised a moment later must find the `try`
    raised = subscribed = 0

    def handler(*_):
        nonlocal armed
        if armed:
            armed = False
            raise HandlerError

    before = signal.signal(signal.SIGALRM, handler)
    gc.disable()  # what is raised in a callback of the collector's is only reported
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        while raised < 200:
            try:
                while True:
                    for number in range(subscribed, subscribed + 20):
                        sub.subscribe(b"%d." % number)
                    subscribed += 20
                    armed = True
                    for _ in range(20):
                        xpub.subscribers(b"none")
            except HandlerError:
                raised += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()
        signal.signal(signal.SIGALRM, before)
    for number in range(subscribed, subscribed + 20):  # of which an exception may have left some
        sub.subscribe(b"%d." % number)
    subscribed += 20
    last = b"%d." % (subscribed - 1)
    assert xpub.wait_subscribers(last) == 1
    assert [xpub.subscribers(b"%d." % number) for number in range(subscribed)] == [1] * subscribed
    received = [xpub.recv_all() for _ in range(subscribed)]
    assert received == [b"\1%d." % number for number in range(subscribed)]
    assert not xpub.is_readable()
