"""A wake-up must not be lost because another call on the same socket answered ZMQ_FD's signal."""

import asyncio
import contextlib
import os
import sys
import threading
import time

import pytest
from harness.behaviour import behaviour
from harness.internals import looper_class, paused_calls, paused_sends
from harness.sockets import ANSWERS, THROTTLE, fill
from harness.waiting import LONG, Task, until

import ratchet.asyncio
from ratchet import Error, Timeout, zmqsocket


@contextlib.contextmanager
def pair(endpoint):
    """Two DEALER sockets with short queues."""
    with (
        zmqsocket.new("DEALER", sndhwm=2, rcvhwm=2, linger=0) as y,
        zmqsocket.new("DEALER", sndhwm=2, rcvhwm=2, linger=0) as x,
    ):
        y.bind(endpoint)
        x.connect(y.last_endpoint)
        yield x, y


@contextlib.contextmanager
def slow_to_wake():
    """Threads started with the yielded function get no processor while the test computes.

    So the bell has been answered before a sleeping thread sees that it rang: what is a race of
    microseconds otherwise happens each time.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield lambda: None
        return
    processors = os.sched_getaffinity(0)
    interval = sys.getswitchinterval()
    one = {min(processors)}

    def yielding():
        os.sched_setaffinity(0, one)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    os.sched_setaffinity(0, one)
    sys.setswitchinterval(LONG)
    try:
        yield yielding
    finally:
        sys.setswitchinterval(interval)
        os.sched_setaffinity(0, processors)


def compute(seconds):
    """Neither sleeps nor gives the GIL up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


@pytest.mark.parametrize("how", ANSWERS)
def test_a_receiver_is_woken_when_another_call_answers_the_bell(how, inproc):
    with slow_to_wake() as yielding, pair(inproc) as (x, y):
        receiver = Task(x.recv, before=yielding)
        until(lambda: paused_calls(x) == 1)
        time.sleep(THROTTLE)
        y.send(b"news")
        ANSWERS[how](x)
        assert receiver.value() == (b"news", False)


@pytest.mark.parametrize("how", [name for name in ANSWERS if not name.startswith("send")])
def test_a_sender_is_woken_when_another_call_answers_the_bell(how, inproc):
    with slow_to_wake() as yielding, pair(inproc) as (x, y):
        sent = fill(x)
        sender = Task(x.send, b"last", before=yielding)
        until(lambda: paused_calls(x) == 1)
        time.sleep(THROTTLE)
        received = [y.recv_all(timeout=0) for _ in range(sent)]
        ANSWERS[how](x)
        sender.value()
        assert [*received, y.recv_all(timeout=LONG)] == [*(b"%d" % i for i in range(sent)), b"last"]


@pytest.mark.parametrize("how", ["send", "is_readable", "is_writable", "getsockopt", "bind"])
@behaviour
async def test_the_same_from_another_thread_over_any_transport(rt, endpoint, how):
    x, y = await rt.link("DEALER", "DEALER", endpoint)
    for i in range(5):
        receiver = rt.spawn(x.recv())
        await rt.paused(x, 1)
        await y.send(b"%d" % i)
        time.sleep(THROTTLE)  # noqa: ASYNC251 - a loop shall not see the bell ring
        Task(ANSWERS[how], getattr(x.zsock, "sync", x.zsock) if how == "send" else x.zsock).value()
        assert await rt.join(receiver) == (b"%d" % i, False)


@behaviour
async def test_a_paused_receive_answers_for_those_that_ask_without_a_pause(rt, inproc):
    """What it took in and left is seen by ``recv(timeout=0)``, though the bell is silent."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    for receive in (pull.recv_all, pull.recv):
        with pytest.raises(Timeout):
            await receive(timeout=0)
        waits = rt.spawn(receive())
        await rt.paused(pull, 1)
        await push.send_many([b"1", b"2"])
        taken = [await rt.join(waits), await receive(timeout=0)]
        assert taken in ([b"1", b"2"], [(b"1", False), (b"2", False)])


async def woken(rt, task):
    """The result of a call that was woken, and has not merely looked again at its deadline."""
    began = time.monotonic()
    result = await rt.join(task)
    assert time.monotonic() - began < LONG / 2, "its wake-up was lost"
    return result


# Calls that fail when they have called libzmq, which may have answered the bell.
FAILURES = {
    "bind to what is bound": lambda x: x.bind(x.last_endpoint),
    "bind to a name": lambda x: x.bind("tcp://no-such-host.invalid:*"),
    "connect with a known identity": lambda x: x.connect("tcp://127.0.0.1:9"),
    "connect by an unknown transport": lambda x: x.connect("none://there"),
    "unbind": lambda x: x.unbind("inproc://nowhere"),
    "disconnect": lambda x: x.disconnect("inproc://nowhere"),
    "setsockopt": lambda x: setattr(x, "rcvhwm", -1),
    "subscribe": lambda x: x.subscribe(b"no SUB"),
}


@pytest.mark.parametrize("how", FAILURES)
@behaviour
async def test_a_call_that_fails_wakes_a_receiver_whose_bell_it_answered(rt, inproc, how):
    x, y = await rt.link("ROUTER", "DEALER", inproc, right_options={"routing_id": b"peer"})
    await y.send(b"hello")
    assert await x.recv_all() == b"peerhello"
    if "identity" in how:
        x.connect_routing_id = b"peer"
    receiver = rt.spawn(x.recv_all(timeout=LONG))
    await rt.paused(x, 1)
    await rt.sleep(THROTTLE)
    getattr(y.zsock, "sync", y.zsock).send(b"news")
    time.sleep(THROTTLE)  # noqa: ASYNC251 - a loop shall not see the bell ring
    with pytest.raises(Error):
        FAILURES[how](x)
    assert await woken(rt, receiver) == b"peernews"


@behaviour
async def test_a_receive_that_fails_wakes_a_sender_whose_bell_it_answered(rt, inproc):
    few = {"sndhwm": 2, "rcvhwm": 2}
    x, y = await rt.link("DEALER", "DEALER", inproc, few, few)
    sent = 0
    with contextlib.suppress(Timeout):
        while True:
            await x.send(b"%d" % sent, timeout=0)
            sent += 1
    sender = rt.spawn(x.send(b"last", timeout=LONG))
    await rt.paused(x, 1)
    await rt.sleep(THROTTLE)
    peer = getattr(y.zsock, "sync", y.zsock)
    assert [peer.recv_all(timeout=0) for _ in range(sent)] == [b"%d" % i for i in range(sent)]
    peer.send(b"too large")
    time.sleep(THROTTLE)  # noqa: ASYNC251 - a loop shall not see the bell ring
    small = bytearray(1)
    with pytest.raises(ValueError, match="9"):
        await x.recv_into(small)
    await woken(rt, sender)
    assert await x.recv_all() == b"too large"


def test_one_who_was_woken_and_gives_up_passes_the_wake_on(inproc):
    with slow_to_wake() as yielding, pair(inproc) as (x, y):
        first = Task(x.recv, timeout=0.05, before=yielding)
        until(lambda: paused_calls(x) == 1)
        second = Task(x.recv, before=yielding)
        until(lambda: paused_calls(x) == 2)
        compute(0.06)  # the first one's time is up, and it could not run yet
        y.send(b"one")
        assert x.is_readable()
        y.send(b"two")
        got = []
        for task in (first, second):
            with contextlib.suppress(Timeout):
                got.append(task.value()[0])
        assert got in ([b"one", b"two"], [b"one"])  # the first may take it at its very deadline


def test_a_thread_in_the_middle_of_a_message_each_way_ends(inproc):
    """It had a message to finish in both directions, finished one, and ended: the other is free."""
    step, go_on = threading.Event(), threading.Event()

    def halves():
        x.recv()
        x.send(b"first", True)
        step.set()
        go_on.wait(LONG)
        until(lambda: paused_calls(x) == 2)
        x.send(b"last")  # the sender behind it can go on; the receiver cannot yet
        until(lambda: paused_sends(x) == 0)

    with pair(inproc) as (x, y):
        y.send_multipart([b"a", b"b"])
        half = Task(halves)
        step.wait(LONG)
        receiver, sender = Task(x.recv, timeout=3.0), Task(x.send, b"next", timeout=LONG)
        until(lambda: paused_calls(x) == 2)
        y.send(b"c")
        compute(THROTTLE)
        x.is_readable()  # answers the bell: nobody is entitled to what is there
        go_on.set()
        half.value()
        sender.value()
        began = time.monotonic()
        assert receiver.value() == (b"c", False)
        assert time.monotonic() - began < 2.0  # woken; not merely looked once more at its deadline


def test_another_thread_looks_while_a_task_begins_to_watch(monkeypatch, inproc):
    """It wakes the task, which has no future yet, and is about to go to sleep."""
    looper = looper_class()
    real = looper.watch

    def watch(self, zsock):
        real(self, zsock)
        y.send(b"meanwhile")
        Task(zsock.is_readable).value()

    async def main():
        with ratchet.asyncio.new("PAIR") as x:
            x.bind(inproc)
            y.connect(inproc)
            async with asyncio.timeout(LONG):
                return await x.recv()

    with zmqsocket.new("PAIR") as y:
        monkeypatch.setattr(looper, "watch", watch)
        assert asyncio.run(main()) == (b"meanwhile", False)
