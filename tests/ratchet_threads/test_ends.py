"""Pauses that are ended from outside: kill, alarm, timeout, dropped kernels; nothing is lost."""

import contextlib
import gc
import signal
import threading
import time

import pytest
from harness import internals
from harness.internals import paused_calls
from harness.ratchets import paused, run_all, spawn_os, until
from harness.sockets import RECEIVES, messages
from harness.waiting import LONG, SHORT

import ratchet
from ratchet import thread

KIB = b"x" * 1024


# Pauses of each kind, ended from outside


PAUSES = {
    "pause": lambda s: thread.pause(),
    "timer": lambda s: thread.timer(LONG),
    "wait_all": lambda s: thread.wait_all([s["endless"]]),
    "result": lambda s: s["endless"].result(),
    "result with timeout": lambda s: s["endless"].result(LONG),
    "block_on socket": lambda s: thread.block_on([s["pull"]], [s["full"]]),
    "block_on descriptor": lambda s: thread.block_on([s["plain"]], timeout=LONG),
    "sigwait": lambda s: thread.sigwait("SIGUSR1"),
    "offload": lambda s: thread.offload(s["event"].wait, LONG),
    "recv": lambda s: s["pull"].recv(),
    "recv for ever": lambda s: s["pull"].recv(timeout=None),
    "recv_all": lambda s: s["pull"].recv_all(),
    "recv_multipart": lambda s: s["pull"].recv_multipart(),
    "recv_many": lambda s: s["pull"].recv_many(9),
    "for": lambda s: list(s["pull"]),
    "send": lambda s: s["full"].send(b"x"),
    "send a buffer": lambda s: s["full"].send(bytearray(KIB * 1024)),
    "send_multipart": lambda s: s["full"].send_multipart([b"x", b"y"]),
    "send_many": lambda s: s["full"].send_many([b"x"] * 3),
    "recv behind a message": lambda s: s["taken"].recv(),
    "send behind a message": lambda s: s["begun"].send(b"x"),
}


@pytest.fixture
def stage(new, pipe, plain, inproc):
    """What the pauses above are about."""
    begun = pipe[1]
    taken, push = new("PULL"), new("PUSH")
    taken.bind(inproc + "2")
    push.connect(inproc + "2")
    push.send_multipart([b"1", b"2"])
    event = threading.Event()
    yield {
        "pull": pipe[0],
        "full": new("PUSH"),
        "taken": taken,
        "begun": begun,
        "plain": plain[0],
        "event": event,
    }
    event.set()


@pytest.mark.parametrize("how", ["kill", "OS thread", "alarm", "drop"])
@pytest.mark.parametrize("name", PAUSES)
def test_ending_a_pause(name, how, stage, request):
    seen = []

    def victim():
        try:
            PAUSES[name](stage)
        except BaseException as error:
            seen.append(error)
            if how != "alarm":
                raise
        finally:
            thread.timer(0)  # it may pause on its way out
            seen.append("finally")
        return "outlived"

    def main():
        stage["endless"] = thread.attach_background(thread.timer, LONG)
        stage["taken"].recv()
        stage["begun"].send(b"1", True)
        task = thread.attach(lambda: [how == "alarm" and thread.alarm(SHORT), victim()][1])
        assert repr(paused(task)).count("paused on") == 1
        if how == "drop":
            kernel.stop()
            thread.timer(0)
            thread.pause()
        if how == "kill":
            thread.kill(task)
            thread.kill(task)
        elif how == "OS thread":
            spawn_os(thread.kill, task)
        thread.wait_all([task])
        if how == "alarm":
            assert task.result() == "outlived"
        else:
            with pytest.raises(ratchet.Error, match="killed"):
                task.result()
        stage["begun"].send(b"2")
        assert stage["taken"].recv() == (b"2", False)
        thread.timer(0)  # nothing more comes

    before = signal.getsignal(signal.SIGUSR1)
    kernel = ratchet.new(main)
    kernel.loop()
    if how == "drop":
        del kernel
        gc.collect()
    else:
        kernel.close()
    assert seen[1:] == ["finally"]
    assert type(seen[0]) is (ratchet.Alarm if how == "alarm" else ratchet.Killed)
    for zsock in ("pull", "full", "taken", "begun"):
        assert paused_calls(stage[zsock]) == 0
    assert signal.getsignal(signal.SIGUSR1) is before


# Kill


def test_kill_oneself_the_finished_and_the_unstarted():
    seen = []

    def suicide(call):
        try:
            call()
        finally:
            seen.append(call)
        seen.append("survived")

    def main():
        me = thread.self
        calls = [
            lambda: thread.kill(me()),
            lambda: thread.kill_all([me(), thread.attach(thread.pause)]),
        ]
        for call in calls:
            with pytest.raises(ratchet.Error, match="killed"):
                thread.attach(suicide, call).result()
        done = thread.attach(int, "7")
        assert done.result() == 7
        thread.kill(done)
        thread.kill_all([done])
        assert done.result() == 7
        unstarted = thread.attach(seen.append, "unstarted")
        thread.kill(unstarted)
        with pytest.raises(ratchet.Error, match="killed"):
            unstarted.result()
        tasks = [thread.attach(thread.pause) for _ in range(3)]
        thread.timer(0)
        thread.kill_all(iter(tasks))
        thread.wait_all(tasks)
        assert seen == calls

    ratchet.run(main)


def test_kill_outranks_an_alarm():
    """Both in one turn, in either order: a killed thread does not go on."""

    def victim(seen):
        thread.alarm(SHORT)
        try:
            thread.pause()
        except BaseException as error:
            seen.append(type(error))

    def main():
        for kill_first in (True, False):
            seen = []
            task = paused(thread.attach(victim, seen))
            late = time.monotonic() + 2 * SHORT
            if kill_first:
                thread.kill(task)
                while time.monotonic() < late:  # without a turn for the others
                    pass
                thread.timer(0)
                thread.wait_all([task])
            else:
                while time.monotonic() < late:
                    pass
                thread.kill(task)
                thread.wait_all([task])
            assert seen == [ratchet.Killed]

    ratchet.run(main)


def test_exceptions_in_finally_of_the_killed():
    """Each is reported, and the others are ended all the same."""
    seen = []

    def stubborn(n):
        try:
            thread.pause()
        finally:
            seen.append(n)
            raise ValueError(n)

    def main():
        for n in range(3):
            thread.attach_background(stubborn, n)
        thread.timer(0)

    errors = []
    with ratchet.new(main, on_error=lambda error, task: errors.append(str(error))) as kernel:
        kernel.loop()
    assert sorted(seen) == [0, 1, 2]
    assert sorted(errors) == ["0", "1", "2"]
    seen.clear()
    kernel = ratchet.new(main)
    kernel.attach(thread.pause)
    with contextlib.suppress(ValueError):
        kernel.loop_once(noblock=True)
        kernel.loop_once(noblock=True)
    with pytest.raises(ValueError, match=r"\d"):
        kernel.close()
    ended = sorted(seen)
    while not internals.insides(kernel).closed:  # leave nothing to the tests after this one
        with contextlib.suppress(ValueError):
            kernel.close()
    assert ended == [0, 1, 2]


def test_a_dropped_kernel_ends_its_threads():
    seen = []

    def victim(call):
        try:
            call()
        finally:
            seen.append(thread.self() is not None)
            thread.timer(0)
            seen.append("gone")

    def main():
        for call in (thread.pause, lambda: thread.timer(LONG)):
            thread.attach(victim, call)
        thread.timer(0)
        kernel.stop()

    kernel = ratchet.new(main)
    kernel.loop()
    assert kernel.get_num_threads() >= 2
    kernel = None
    gc.collect()
    assert sorted(map(str, seen)) == ["True", "True", "gone", "gone"]


def test_a_kernel_dropped_within_the_loop_of_another():
    seen = []

    def victim():
        try:
            thread.pause()
        finally:
            seen.append("finally")

    def main():
        kernels.pop()
        gc.collect()
        until(lambda: seen)

    kernels = [ratchet.new(victim)]
    kernels[0].loop_once(noblock=True)
    ratchet.run(main)
    assert seen == ["finally"]


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("how", ["kill", "alarm", "timeout"])
@pytest.mark.parametrize("name", RECEIVES)
def test_a_receiver_that_ends_when_the_message_comes(poll, name, how, second, pipe):
    """It has been woken, and is ended before it runs: the message goes to the next, or stays."""
    pull, push = pipe
    got = []

    def receiver(limit=LONG):
        if how == "alarm":
            thread.alarm(SHORT)
        with contextlib.suppress(ratchet.Timeout, ratchet.Alarm):
            got.extend(messages(RECEIVES[name](pull, timeout=limit)))

    def main():
        victim = paused(thread.attach(receiver, SHORT if how == "timeout" else LONG))
        heir = paused(thread.attach(pull.recv_all)) if second else None
        push.send(b"precious")
        assert not pull.is_writable()  # any call may answer the bell, and wakes who waits
        if how == "kill":
            thread.kill(victim)
        else:
            late = time.monotonic() + 2 * SHORT
            while time.monotonic() < late:
                pass  # no turn for the others until it is too late
        thread.wait_all([victim])
        assert len(got) <= (how == "timeout")
        if second and not got:
            got.append(heir.result(LONG))
        elif second:
            push.send(b"another")
            assert heir.result(LONG) == b"another"
        elif not got:
            got.append(pull.recv_all(timeout=0))
        assert got == [b"precious"]

    ratchet.run(main)


@pytest.mark.parametrize("how", ["kill", "alarm", "timeout"])
@pytest.mark.parametrize("name", ["send", "send_multipart", "send_many"])
def test_a_sender_that_ends_when_there_is_room(name, how, new, inproc):
    """It is sent and the call returns, or it is not sent and the call raises."""
    pull, push = new("PULL", rcvhwm=1), new("PUSH", sndhwm=1)
    pull.bind(inproc)
    push.connect(inproc)
    outcome = []

    def sender(limit):
        if how == "alarm":
            thread.alarm(SHORT)
        data = {"send": b"mine", "send_multipart": [b"mi", b"ne"], "send_many": [b"mine"] * 2}[name]
        try:
            getattr(push, name)(data, timeout=limit)
            outcome.append(1 if name != "send_many" else 2)
        except ratchet.Timeout as error:
            outcome.append(error.taken)
        except ratchet.Alarm as error:
            outcome.append(getattr(error, "taken", 0))
        except ratchet.Killed as error:
            outcome.append(getattr(error, "taken", 0))
            raise

    def main():
        filled = 0
        with contextlib.suppress(ratchet.Timeout):
            while True:
                push.send(b"%d" % filled, timeout=0)
                filled += 1
        victim = paused(thread.attach(sender, SHORT if how == "timeout" else LONG))
        got = [pull.recv_all() for _ in range(filled)]
        until(lambda: push.is_writable() or True)
        if how == "kill":
            thread.kill(victim)
        else:
            late = time.monotonic() + 2 * SHORT
            while time.monotonic() < late:
                pass
        with contextlib.suppress(ratchet.Timeout):
            while True:
                got.append(pull.recv_all(timeout=0 if victim.done else SHORT))
        thread.wait_all([victim])
        assert got == [b"%d" % n for n in range(filled)] + [b"mine"] * outcome[0]
        push.send(b"still works")
        assert pull.recv_all() == b"still works"

    ratchet.run(main)


def test_a_wake_without_memory_is_made_up_for(pipe):
    """Nothing rings a second time: the message is there, and its receiver waits without a limit."""
    fail = pytest.importorskip("_testcapi")
    pull, push = pipe
    pull.set_timeout(None)

    def main():
        one = thread.attach(pull.recv)
        until(lambda: paused_calls(pull) == 1)
        push.send(b"wake up")
        fail.set_nomemory(0, 0)
        try:
            pull.is_readable()  # rings for it
        finally:
            fail.remove_mem_hooks()
        assert one.result(LONG) == (b"wake up", False)

    run_all(main)
