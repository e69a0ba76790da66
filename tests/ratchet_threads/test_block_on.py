"""block_on, sigwait, and waits in odd places: finalizers, handlers, foreign greenlets."""

import contextlib
import os
import resource
import signal
import socket
import threading
import time
from decimal import Decimal
from fractions import Fraction

import greenlet
import pytest
from harness import internals
from harness.internals import paused_calls
from harness.ratchets import BURST, paused, run_all, sigusr, spawn_os, until
from harness.waiting import LONG, SHORT, Task

import ratchet
from ratchet import thread, zmqsocket

# block_on


def test_block_on_sockets_and_descriptors(poll, pipe, plain):
    pull, push = pipe
    left, right = plain

    class Wrapped:
        def get_fd(self):
            return left.fileno()

    def main():
        things = [pull, left]
        assert thread.block_on(things, timeout=0) is None
        began = time.monotonic()
        assert thread.block_on(things, timeout=SHORT) is None
        assert SHORT <= time.monotonic() - began < LONG / 2
        for _ in range(3):
            for act, thing in ((lambda: push.send(b"x"), pull), (lambda: right.send(b"x"), left)):
                task = paused(thread.attach(thread.block_on, things))
                act()
                assert task.result() is thing
                assert thread.block_on(things, timeout=-1) is thing  # it stays ready
                if thing is pull:
                    assert pull.recv() == (b"x", False)
                else:
                    assert left.recv(9) == b"x"
        assert thread.block_on([left], [right]) is right
        assert thread.block_on([pull], [push]) is push
        right.send(b"x")
        assert isinstance(thread.block_on([Wrapped()]), Wrapped)
        assert thread.block_on(iter([left.fileno()])) == left.fileno()
        push.send_multipart([b"1", b"2"])
        pull.recv()
        assert thread.block_on([pull]) is pull  # the rest of a message
        pull.recv()
        assert thread.block_on([], timeout=SHORT) is None
        with open(__file__, "rb") as file:  # noqa: PTH123
            assert thread.block_on([left, file]) in (left, file)  # a file is always ready

    ratchet.run(main)


def test_block_on_what_is_closed(pipe, plain):
    pull, push = pipe
    push.close()
    closed = socket.socket()
    closed.close()

    def main():
        for what in ([push], [pull, push]):
            with pytest.raises(ratchet.ClosedError):
                thread.block_on(what)
        with pytest.raises(ValueError, match="closed"):
            thread.block_on([closed])
        task = paused(thread.attach(thread.block_on, [pull, plain[1]]))
        pull.close()
        with pytest.raises(ratchet.ClosedError):
            task.result()
        assert paused_calls(pull) == 0

    run_all(main)


def test_block_on_several_waiters(poll, pipe, plain):
    pull, push = pipe
    left, right = plain

    def takes(thing):
        assert thread.block_on([thing]) is thing
        return thing.recv(9) if thing is left else thing.recv_all()

    def main():
        for thing, send in ((left, right.send), (pull, push.send)):
            tasks = [paused(thread.attach(takes, thing)) for _ in range(4)]
            writer = thread.attach(thread.block_on, [], [left, push])  # another direction
            for n in range(4):
                send(b"%d" % n)
                until(lambda n=n, tasks=tasks: sum(task.done for task in tasks) == n + 1)
            assert sorted(task.result() for task in tasks) == [b"0", b"1", b"2", b"3"]
            assert writer.result() in (left, push)

    ratchet.run(main)


def test_block_on_a_number_that_is_used_anew():
    """A descriptor closed under a waiter, and the same number opened again: it is watched."""

    def main():
        old, other = socket.socketpair()
        number = old.fileno()
        forlorn = paused(thread.attach(thread.block_on, [old], timeout=LONG))
        old.close()
        other.close()
        new, other = socket.socketpair()
        while new.fileno() != number:  # the lower one may be the other's
            new, other = other, new
        task = paused(thread.attach(thread.block_on, [new]))
        other.send(b"x")
        assert task.result(LONG) is new
        thread.kill(forlorn)
        new.close()
        other.close()

    ratchet.run(main)


def test_block_on_the_number_of_a_socket(pipe):
    """A socket's own descriptor, as other libraries' objects may give it, breaks nothing."""
    pull, push = pipe

    def main():
        receiver = paused(thread.attach(pull.recv_all))
        with contextlib.suppress(ratchet.Error):
            thread.block_on([pull.get_fd()], timeout=SHORT)
        push.send(b"x")
        assert receiver.result(LONG) == b"x"
        receiver = paused(thread.attach(pull.recv_all))
        push.send(b"y")
        assert receiver.result(LONG) == b"y"

    ratchet.run(main)


# Signals


@pytest.mark.parametrize("name", [signal.SIGUSR1, "SIGUSR1", int(signal.SIGUSR1)])
def test_sigwait(name):
    def main():
        tasks = [paused(thread.attach(thread.sigwait, name)) for _ in range(3)]
        assert "SIGUSR1" in repr(tasks[0])
        os.kill(os.getpid(), signal.SIGUSR1)
        thread.wait_all(tasks)
        signal.raise_signal(signal.SIGUSR1)  # nobody waits: it is kept
        thread.sigwait(name)
        late = paused(thread.attach(thread.sigwait, name))
        spawn_os(lambda: [until(lambda: internals.asleep(kernel)), signal.raise_signal(10)])
        assert late.result(LONG) is None

    def loop():
        nonlocal kernel
        with ratchet.new(main) as kernel:
            kernel.loop()
        del kernel

    kernel = None
    sigusr(loop)


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="needs real-time signals")
def test_sigwait_for_a_signal_without_a_name():
    number = signal.SIGRTMIN + 1

    def main():
        task = paused(thread.attach(thread.sigwait, number))
        assert f"signal {number}" in repr(task)
        os.kill(os.getpid(), number)
        thread.wait_all([task])

    ratchet.run(main)


def test_sigwait_belongs_to_the_main_thread():
    errors = []

    def main():
        with pytest.raises(ratchet.StateError, match="main thread"):
            thread.sigwait("SIGUSR1")
        errors.append(1)

    spawn_os(ratchet.run, main).join(LONG)
    assert errors


@pytest.mark.parametrize("where", ["asleep", "in a thread"])
def test_ctrl_c_leaves_the_loop_which_can_go_on(where, pipe, ctrl_c):
    pull, push = pipe
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def busy():
        signal.raise_signal(signal.SIGINT)

    def main():
        seen.append(pull.recv_all())

    with ratchet.new(main) as kernel:
        kernel.loop_once(noblock=True)
        if where == "asleep":
            interrupter = spawn_os(
                lambda: [
                    until(lambda: internals.asleep(kernel)),
                    os.kill(os.getpid(), signal.SIGINT),
                ]
            )
        else:
            kernel.attach(busy)
        with pytest.raises(KeyboardInterrupt):
            kernel.loop()
        if where == "asleep":
            interrupter.join()
        assert thread.self() is None
        push.send(b"after it")
        kernel.loop()
    assert seen == [b"after it"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_idle_kernel_uses_no_cpu(poll, plain):
    """Nor with descriptors that are readable and nothing behind them that anybody wants."""
    left, right = plain
    sockets = []

    def idle(zsock):
        with contextlib.suppress(ratchet.ClosedError):
            zsock.recv()

    def main():
        for n in range(100):
            pair = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
            sockets.extend(pair)
            pair[0].bind(f"inproc://idle{n}")
            pair[1].connect(f"inproc://idle{n}")
        tasks = [thread.attach(idle, zsock) for zsock in sockets]
        thread.timer(0)
        thread.kill(tasks[0])  # its bell is still watched, and rings for nobody
        sockets[1].send(b"x")
        right.send(b"x")
        assert thread.block_on([left], timeout=0) is left
        forlorn = thread.attach(thread.block_on, [left], [], 0)  # left readable, and left alone
        thread.wait_all([tasks[0], forlorn])
        before = resource.getrusage(resource.RUSAGE_SELF)
        thread.timer(0.5)
        after = resource.getrusage(resource.RUSAGE_SELF)
        for zsock in sockets:
            zsock.close(linger=0)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        assert used < 0.05

    ratchet.run(main)


def test_a_foreign_greenlet(pipe):
    """A greenlet of the user's own cannot pause a thread, and does no harm."""
    pull, push = pipe
    errors = []

    def foreign():
        for call in (
            thread.pause,
            lambda: thread.timer(1),
            lambda: thread.timer(0),
        ):
            try:
                call()
            except ratchet.StateError as error:
                errors.append(str(error))
        with pytest.raises(ratchet.Timeout):
            pull.recv(timeout=SHORT)  # as in an OS thread without a kernel
        for _ in range(3 * BURST):
            push.send(b"x")
            pull.recv()
        return "back"

    def main():
        assert greenlet.greenlet(foreign).switch() == "back"
        assert paused_calls(pull) == 0
        task = paused(thread.attach(pull.recv_all))
        push.send(b"x")
        assert task.result() == b"x"

    ratchet.run(main)
    assert len(errors) == 3
    assert all("greenlet" in error for error in errors)


# What waits in odd places


@pytest.mark.parametrize("order", ["wait first", "block_on first"])
def test_block_on_a_tracker_that_another_thread_waits_for(new, inproc, order):
    push, pull = new("PUSH"), new("PULL")
    pull.bind(inproc)
    push.connect(inproc)
    tracker = push.send(bytearray(9), copy=False)

    def main():
        calls = [tracker.wait, lambda: thread.block_on([tracker])]
        tasks = [thread.attach(call) for call in (calls if order == "wait first" else calls[::-1])]
        thread.timer(0)
        pull.recv_frame()
        for task in tasks:
            task.result(LONG)

    ratchet.run(main)
    assert paused_calls(tracker) == 0


def test_a_signal_handler_receives_where_a_thread_is_paused(pipe):
    pull, push = pipe
    got = []

    def handler(_number, _frame):
        push.send(b"for the handler")
        push.send(b"for the thread")
        got.append(pull.recv_all(timeout=LONG))

    def interrupt():
        until(lambda: internals.asleep(kernel))
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with ratchet.new(lambda: got.append(pull.recv_all())) as kernel:
            interrupter = spawn_os(interrupt)
            kernel.loop()
            interrupter.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert got == [b"for the handler", b"for the thread"]


def test_a_finalizer_sends_where_its_thread_is_paused(new, inproc):
    push, pull = new("PUSH", sndhwm=1), new("PULL", rcvhwm=1)
    left, right = new("PAIR"), new("PAIR")
    for bound, other, at in ((pull, push, inproc), (left, right, inproc + "2")):
        bound.bind(at)
        other.connect(at)
    got, ended = [], []

    class Buffer(bytearray):
        def __del__(self):
            push.send(b"farewell", timeout=LONG)
            ended.append(True)

    def main():
        with contextlib.suppress(ratchet.Timeout):
            while True:
                push.send(b"x", timeout=0)
        left.send(Buffer(9), copy=False)
        sender = thread.attach(push.send, bytes(9000))  # which drops what was given back
        thread.timer(0)
        right.recv()
        while len(got) < 2 or not sender.done:
            got.append(pull.recv_all(timeout=LONG))
            for _ in range(20):  # until the sender has noticed
                thread.timer(0)
        sender.result(LONG)

    ratchet.run(main)
    assert ended


def test_receivers_of_a_kernel_whose_os_thread_has_ended(pipe):
    """Once it is closed, what they wait for goes to others."""
    pull, push = pipe
    made = []

    def abandon():
        made.append(ratchet.new(pull.recv))
        made[0].loop_once(noblock=True)

    spawn_os(abandon).join()
    assert paused_calls(pull) == 1
    made[0].close()
    push.send(b"x")
    assert pull.recv(timeout=LONG) == (b"x", False)
    assert paused_calls(pull) == 0


@pytest.mark.parametrize("seconds", [Fraction(1, 100), Decimal("0.01")])
def test_timeouts_of_other_types(pipe, seconds):
    def main():
        endless = thread.attach_background(thread.timer, LONG)
        with pytest.raises(ratchet.Timeout, match=r"0\.01 s"):
            endless.result(seconds)
        assert thread.block_on([pipe[0]], timeout=seconds) is None
        thread.timer(seconds)

    ratchet.run(main)


@pytest.mark.parametrize("seconds", [3e6, 1e10, 1e300])
def test_timeouts_of_years(pipe, seconds):
    pull, _push = pipe
    for call in (
        lambda: pull.recv(timeout=seconds),
        lambda: thread.timer(seconds),
        lambda: thread.block_on([pull], timeout=seconds),
    ):
        with ratchet.new(call) as kernel:

            def stop(kernel=kernel):
                until(lambda: internals.asleep(kernel))
                kernel.stop()

            stopper = spawn_os(stop)
            kernel.loop()
            stopper.join()
    over = threading.Event()
    with ratchet.new(lambda: thread.offload(over.wait, LONG)) as kernel:
        loop = spawn_os(kernel.loop)
        waiter = Task(internals.first_thread(kernel).result, seconds)
        until(lambda: internals.joiners(internals.first_thread(kernel)))
        over.set()
        assert waiter.value() is True
        loop.join()
