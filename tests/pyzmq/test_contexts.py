"""Contexts of a program's own: libzmq's defaults, names of their own, and an end that wakes all."""

import gc
import os
import signal
import threading
import time

import pytest
from harness import internals
from harness.waiting import LONG, until

from ratchet import ClosedError, Error, Timeout, _zmq, errors, zmqsocket

PAIR, PUB, PULL, PUSH, ROUTER = 0, 1, 7, 8, 6
SNDHWM, RCVHWM, LINGER, EVENTS, RCVMORE, MANDATORY = 23, 24, 17, 15, 13, 33


@pytest.fixture
def context():
    made = _zmq.ProgramContext()
    yield made
    for zsock in list(made.sockets):
        zsock.close(linger=0)
    made.term()


def linked(context, left, right, endpoint="inproc://linked"):
    bound, other = _zmq.ProgramSocket(context, left), _zmq.ProgramSocket(context, right)
    bound.bind(endpoint)
    other.connect(bound.last_endpoint)
    return bound, other


def test_sockets_have_the_defaults_of_libzmq(context):
    zsock = _zmq.ProgramSocket(context, ROUTER)
    assert zsock.get_int(LINGER) == -1
    zsock.send_multipart([b"nobody", b"dropped"])  # and not EHOSTUNREACH


def test_an_inproc_name_belongs_to_its_context(context):
    other = _zmq.ProgramContext()
    with zmqsocket.new("PULL") as plain:
        plain.bind("inproc://linked")
        one, two = linked(context, PUSH, PULL)
        three = _zmq.ProgramSocket(other, PULL)
        three.bind("inproc://linked")
        one.send(b"mine")
        assert two.recv(timeout=LONG) == (b"mine", False)
        for zsock in (plain, three):
            with pytest.raises(Timeout):
                zsock.recv(timeout=0)
        three.close()
    other.term()


def ended_by(context, end, call):
    """What a call that is paused in another thread raises when ``end`` runs in this one."""
    raised = []
    bell = _zmq.ProgramSocket(context, PULL)
    full = _zmq.ProgramSocket(context, PUSH)  # without a peer

    def body():
        try:
            call(bell, full)
        except Error as error:
            raised.append(error)
        for zsock in (bell, full):
            zsock.close(linger=0)

    thread = threading.Thread(target=body)
    thread.start()
    until(lambda: internals.paused_calls(bell) or internals.paused_calls(full) or observed(bell))
    end()
    thread.join(LONG)
    assert not thread.is_alive()
    return raised[0]


def observed(zsock):
    """Does a select wait for it?"""
    return _zmq.watchers_of(zsock)


@pytest.mark.parametrize(
    "call",
    [
        lambda pull, push: pull.recv(),
        lambda pull, push: push.send(b"x"),
        lambda pull, push: push.send_multipart([b"x", b"y"]),
        lambda pull, push: _zmq.poll_many([pull], [1], -1.0),
        lambda pull, push: _zmq.poll_many([pull, push], [1, 2], -1.0),
    ],
    ids=["recv", "send", "send_multipart", "poll", "poll two"],
)
@pytest.mark.parametrize("how", ["shutdown", "term"])
def test_its_end_wakes_every_call(how, call):
    context = _zmq.ProgramContext()
    assert ended_by(context, getattr(context, how), call).errno == errors.ETERM
    context.term()
    assert context.closed


def test_every_thread_that_waits_is_woken():
    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, PULL)
    raised = []

    def body():
        try:
            zsock.recv()
        except Error as error:
            raised.append(error.errno)

    threads = [threading.Thread(target=body) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: internals.paused_calls(zsock) == 5)
    context.shutdown()
    for thread in threads:
        thread.join(LONG)
    assert raised == [errors.ETERM] * 5
    zsock.close()
    context.term()


def test_after_its_end_everything_but_close_says_so(context):
    zsock, _ = linked(context, PUSH, PULL)
    context.shutdown()
    for call in (
        lambda: zsock.get_int(EVENTS),
        lambda: zsock.set_int(LINGER, 0),
        lambda: _zmq.poll_many([zsock], [2], 0),
        lambda: _zmq.ProgramSocket(context, PUSH),
    ):
        with pytest.raises(ClosedError) as caught:
            call()
        assert caught.value.errno == errors.ETERM


def test_term_waits_until_the_sockets_are_closed():
    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, PULL)
    thread = threading.Thread(target=context.term)
    thread.start()
    until(lambda: context.terminated)
    thread.join(0.2)
    assert thread.is_alive()
    zsock.close()
    thread.join(LONG)
    assert not thread.is_alive()
    context.term()  # once more does nothing
    with pytest.raises(ClosedError):
        context.get(1)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to itself")
def test_ctrl_c_ends_the_wait_and_not_the_end(ctrl_c):
    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, PULL)
    me = threading.main_thread().ident

    def interrupt():
        until(lambda: context.terminated)
        signal.pthread_kill(me, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        context.term()
    thread.join()
    assert not context.closed
    zsock.close()
    context.term()
    assert context.closed


def test_a_context_that_is_dropped_ends_by_itself():
    zsock = _zmq.ProgramSocket(_zmq.ProgramContext(), PULL)
    before = len(_zmq.program_contexts)
    zsock.close()
    del zsock
    gc.collect()
    assert len(_zmq.program_contexts) == before - 1


def test_options_of_a_context(context):
    context.set(2, 7)  # MAX_SOCKETS
    assert context.get(2) == 7
    with pytest.raises(ValueError, match="option 99"):
        context.set(99, 1)


def test_a_mark_that_comes_late_is_told_and_does_no_harm(context):
    """libzmq 4.3 would tell the peer's end of the pipe, which may have been freed."""
    bound = _zmq.ProgramSocket(context, PUSH)
    bound.bind("tcp://127.0.0.1:*")
    bound.set_int(SNDHWM, 7)  # nobody can have come yet, so that this holds
    other = _zmq.ProgramSocket(context, PULL)
    other.set_int(RCVHWM, 1)
    other.connect(bound.last_endpoint)
    until(bound.is_writable)
    for mark in (5, 0):
        bound.set_int(SNDHWM, mark)
        assert bound.get_int(SNDHWM) == mark
    with pytest.raises(ValueError, match="-1"):
        bound.set_int(SNDHWM, -1)


def test_the_owner_of_a_half_message_is_the_os_thread(context):
    """Whatever runs in it: programs receive the parts of one message in several greenlets."""
    from ratchet import run, thread

    bound, other = linked(context, PUSH, PULL)
    bound.send_multipart([b"a", b"b", b"c"])
    found = []

    def part():
        found.append(_zmq.poll_many([other], [1], LONG) and call_recv(other))

    def main():
        thread.wait_all([thread.attach(part) for _ in range(3)])

    run(main)
    assert found == [b"a", b"b", b"c"]


def call_recv(zsock):
    """Receive as pyzmq's programs do."""
    from ratchet import _pyzmq  # imports pyzmq, on its own backend

    return _pyzmq.Socket(shadow=zsock.address).recv()


def test_max_sockets_counts_sockets_of_the_process_alone(script):
    result = script(
        """
        from ratchet import _zmq
        ratchet.configure(max_sockets=1)
        context = _zmq.ProgramContext()
        others = [_zmq.ProgramSocket(context, 0) for _ in range(3)]
        with zmqsocket.new("PULL"):
            pass
        for one in others:
            one.close()
        context.term()
        print("good")
        """
    ).end()
    assert (result.out, result.status) == ("good\n", 0), result.err


EXIT = """
from ratchet import _zmq
context = _zmq.ProgramContext()
zsock = _zmq.ProgramSocket(context, 8)
zsock.connect("tcp://127.0.0.1:1")  # where nobody is
zsock.send(b"never delivered")
"""


def test_an_exit_is_bounded_and_says_what_it_waits_for(script):
    running = [script(EXIT + before) for before in ("", "zsock.close()\n", "del zsock\n")]
    for result in [one.end(limit=40) for one in running]:
        assert result.status == 0
        assert "PUSH socket connected to tcp://127.0.0.1:1" in result.err
        assert 9 < result.seconds < 30


def test_ctrl_c_ends_an_exit(script):
    running = script(EXIT + "print('there', flush=True)")
    running.said("there")
    assert "waiting for up to" in running.process.stderr.readline()
    running.interrupt()
    assert running.end().seconds < 8


def test_an_exit_delivers_to_a_peer_that_is_there(script):
    sink = _zmq.ProgramContext()
    pull = _zmq.ProgramSocket(sink, PULL)
    pull.bind("tcp://127.0.0.1:*")
    result = script(
        """
        from ratchet import _zmq
        context = _zmq.ProgramContext()
        zsock = _zmq.ProgramSocket(context, 8)
        zsock.connect(sys.argv[1])
        for i in range(1000):
            zsock.send(b"%d" % i)
        """,
        pull.last_endpoint,
    ).end()
    assert (result.status, result.err) == (0, "")
    assert [pull.recv(timeout=LONG)[0] for _ in range(1000)] == [b"%d" % i for i in range(1000)]
    pull.close()
    sink.term()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_leaves_its_parents_contexts_alone(script):
    result = script(
        """
        from ratchet import _zmq
        context = _zmq.ProgramContext()
        zsock = _zmq.ProgramSocket(context, 7)
        zsock.bind("tcp://127.0.0.1:*")

        def child():
            assert context.closed
            context.term()
            zsock.close()
            for make in (lambda: _zmq.ProgramSocket(context, 7), lambda: context.get(1)):
                try:
                    make()
                except ratchet.ClosedError:
                    continue
                raise AssertionError
            other = _zmq.ProgramContext()
            left, right = _zmq.ProgramSocket(other, 8), _zmq.ProgramSocket(other, 7)
            right.bind("inproc://x")
            left.connect("inproc://x")
            left.send(b"in the child")
            assert right.recv() == (b"in the child", False)
            left.close()
            right.close()
            other.term()

        print(fork(child))
        with _zmq.ProgramSocket(context, 8) as push:
            push.connect(zsock.last_endpoint)
            push.send(b"parent")
            print(zsock.recv())
        zsock.close()
        context.term()
        """
    ).end()
    assert (result.out, result.err) == ("0\n(b'parent', False)\n", "")


def test_term_does_not_wait_for_a_loop_that_does_not_run():
    """An idle loop holds what it watched; the prototype of this waited for it."""
    import ratchet

    context = _zmq.ProgramContext()
    zsock = _zmq.ProgramSocket(context, PULL)
    kernel = ratchet.new(lambda: zsock.recv(timeout=0.02))
    with pytest.raises(Timeout):
        kernel.loop()
    zsock.close()
    began = time.monotonic()
    context.term()
    assert time.monotonic() - began < LONG
