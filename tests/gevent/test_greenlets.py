"""Greenlets of gevent's that are killed, timed out or over, raw ones, and the hub itself."""

import gc
import selectors
import socket
import time

import gevent
import gevent.pool
import greenlet
import pytest
from harness.internals import answer, half_sent, paused_calls
from harness.waiting import LONG, SHORT, Task, until

import ratchet
from ratchet import StateError, thread, zmqsocket


def test_a_gevent_timeout_loses_no_message(pipe):
    pull, push = pipe
    for n in range(20):
        with gevent.Timeout(SHORT / 5, False):
            pull.recv_all()
        push.send(b"%d" % n)
        assert pull.recv_all() == b"%d" % n


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_beside_the_wake_up_passes_it_on(pipe, paused, when):
    """In one turn of the hub the first of two is woken and killed, in either order."""
    pull, push = pipe
    first, second = gevent.spawn(pull.recv_all), gevent.spawn(pull.recv_all)
    paused(pull, 2)
    if when == "before":
        first.kill(block=False)
    push.send(b"x")
    answer(pull)
    if when == "after":
        first.kill(block=False)
    got = [one.get(timeout=LONG) for one in gevent.joinall([first, second], count=1)]
    if got == [b"x"]:  # the kill came after its last step
        push.send(b"y")
        assert second.get(timeout=LONG) == b"y"
    else:
        assert isinstance(got[0], greenlet.GreenletExit)
        assert second.get(timeout=LONG) == b"x"


def test_a_timeout_that_is_woken_in_its_turn(pipe, paused):
    """The time is up just after the wake-up: the message is there for the next."""
    pull, push = pipe
    over = gevent.Timeout()

    def receive():
        with pytest.raises(gevent.Timeout) as caught:
            pull.recv_all()
        return caught.value

    first = gevent.spawn(receive)
    paused(pull)
    push.send(b"x")
    gevent.get_hub().loop.run_callback(first.throw, over)
    answer(pull)
    assert first.get(timeout=LONG) is over
    assert pull.recv_all() == b"x"


def test_joinall_of_a_pool(pipe):
    pull, push = pipe

    def send():
        for n in range(50):
            push.send(b"%d" % n)
            gevent.sleep(0)

    gevent.spawn(send)
    pool = gevent.pool.Pool(10)
    tasks = [pool.spawn(pull.recv_all) for _ in range(50)]
    assert len(gevent.joinall(tasks, timeout=LONG)) == 50
    assert sorted(int(task.value) for task in tasks) == list(range(50))


@pytest.mark.parametrize("pauses_first", [False, True])
def test_a_ready_socket_lets_others_run(link, pauses_first):
    """Also one whose calls have never had to pause since there is a hub."""
    pull, push = link("PULL", "PUSH", sndhwm=0, rcvhwm=0)  # a full one would pause
    beats = []

    def beat():
        while True:
            gevent.sleep(0.001)
            beats.append(time.monotonic())

    def busy():
        push.send(b"x")
        assert pull.recv_all() == b"x"
        gevent.spawn(beat)
        try:
            if pauses_first:
                with gevent.Timeout(SHORT, False):
                    pull.recv_all()
            calls = 0
            while len(beats) < 10:
                push.send(b"x")
                pull.recv_all(timeout=0)
                calls += 1
                assert calls < 500_000, "starved"
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    Task(busy).value()


def test_a_call_in_the_hub_cannot_pause(pipe, hub):
    pull, push = pipe
    seen = []

    def call(**timeout):
        try:
            seen.append(pull.recv_all(**timeout))
        except ratchet.Error as error:
            seen.append(type(error))

    for timeout in ({}, {"timeout": 0}):
        hub.loop.run_callback(lambda timeout=timeout: call(**timeout))
        gevent.sleep(SHORT)
    push.send(b"now")
    hub.loop.run_callback(call)
    gevent.sleep(SHORT)
    assert seen == [StateError, ratchet.Timeout, b"now"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_raw_greenlet_that_ends_in_mid_message_frees_the_socket(pipe, hub, kept):
    pull, push = pipe
    raw = greenlet.greenlet(push.send, hub.parent)
    raw.switch(b"half", True)
    assert half_sent(push)
    if not kept:
        del raw
        gc.collect()
    push.send(b"whole", timeout=LONG)
    assert pull.recv_all() == b"whole"


def test_a_raw_greenlet_pauses(pipe, paused):
    pull, push = pipe
    got = []
    gevent.spawn_raw(lambda: got.append(pull.recv_all()))
    paused(pull)
    push.send(b"x")
    until(lambda: got == [b"x"], turn=lambda: gevent.sleep(0.0005))


def test_what_waits_for_nothing_ends_as_it_did(pipe, paused):
    """What ratchet watches keeps no loop running; a call that pauses does."""
    pull, push = pipe
    with gevent.Timeout(SHORT, False):
        pull.recv_all()
    assert gevent.wait(timeout=LONG)
    with pytest.raises(gevent.exceptions.LoopExit):
        gevent.get_hub().switch()
    sender = Task(lambda: (until(lambda: paused_calls(pull)), push.send(b"x")))
    assert pull.recv_all(timeout=LONG) == b"x"
    sender.value()


def test_select_and_its_kin_pause_the_greenlet(link):
    pull, push = link("PULL", "PUSH")
    ends = socket.socketpair()
    turns = []

    def turn():
        while True:
            turns.append(1)
            gevent.sleep(0.001)

    def begun(function, *args, **kwargs):
        task = gevent.spawn(function, *args, **kwargs)
        before = len(turns)
        until(lambda: len(turns) > before + 3, turn=lambda: gevent.sleep(0.001))
        assert not task.ready()
        return task

    other = gevent.spawn(turn)
    with zmqsocket.Selector() as selector:
        selector.register(pull, selectors.EVENT_READ)
        selector.register(ends[0], selectors.EVENT_READ)
        task = begun(selector.select, LONG)
        push.send(b"x")
        assert [key.fileobj for key, _ in task.get(timeout=LONG)] == [pull]
        assert pull.recv_all() == b"x"
        task = begun(zmqsocket.select, [pull, ends[0]], timeout=LONG)
        also = begun(thread.block_on, [ends[0]], timeout=LONG)
        third = begun(selector.select, LONG)
        ends[1].send(b"!")
        assert task.get(timeout=LONG) == ([ends[0]], [])
        assert also.get(timeout=LONG) is ends[0]
        assert [key.fileobj for key, _ in third.get(timeout=LONG)] == [ends[0]]
    other.kill()
    for end in ends:
        end.close()


def test_a_tracker_pauses_the_greenlet(link, tcp):
    pull, push = link("PULL", "PUSH", tcp)
    tracker = push.send(bytearray(100_000), copy=False)
    waiting = gevent.spawn(tracker.wait, LONG)
    assert pull.recv_all() == bytes(100_000)
    waiting.get(timeout=LONG)
    assert tracker.done


def test_closing_wakes_greenlets_from_every_thread(new, inproc, paused):
    for close in (lambda zsock: zsock.close(), lambda zsock: Task(zsock.close).value()):
        zsock = new("PULL")
        zsock.bind(inproc)
        tasks = [gevent.spawn(zsock.recv_all) for _ in range(3)]
        paused(zsock, 3)
        close(zsock)
        gevent.joinall(tasks, timeout=LONG)
        assert all(isinstance(task.exception, ratchet.ClosedError) for task in tasks)
