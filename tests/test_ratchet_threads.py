"""What ratchet threads promise, call by call; what sockets do in them is in test_behaviour.py.

Nothing here sleeps to be lucky: interleavings are forced by the order of turns, and what an OS
thread does is waited for with `until`.
"""

import collections
import contextlib
import contextvars
import gc
import io
import math
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import tracemalloc
import weakref
from decimal import Decimal
from fractions import Fraction

import greenlet
import pytest
from helpers import Task
from runtimes import LONG

import ratchet
from ratchet import _platform, thread, zmqsocket
from ratchet import kernel as kernels

SHORT = 0.01  # seconds, for what is to pass
KIB = b"x" * 1024
PYTHON = [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore:This process"]


@pytest.fixture
def new():
    """Sockets with a timeout, so that a hang is an error; closed in the end."""
    made = []

    def new(type="PAIR", **options):
        made.append(zmqsocket.new(type, **options))
        made[-1].set_timeout(LONG)
        return made[-1]

    yield new
    for zsock in made:
        zsock.close(linger=0)


@pytest.fixture
def pipe(new, inproc):
    """A PULL and a PUSH, connected."""
    pull, push = new("PULL"), new("PUSH")
    pull.bind(inproc)
    push.connect(inproc)
    return pull, push


@pytest.fixture
def plain():
    """The two ends of a plain socket pair."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture(params=["best", "level-triggered"])
def poll(request, monkeypatch):
    """Both kinds of polls: what the platform has, and what every platform has."""
    if request.param != "best":
        monkeypatch.setattr(kernels, "new_poll", _platform.Poll)


def run_all(main):
    """Run it, and let the errors of other threads be, for their results tell."""
    errors = []

    def on_error(error, task):
        if task is first:
            errors.append(error)

    with ratchet.new(lambda: None, on_error) as kernel:
        first = kernel.attach(main)
        kernel.loop()
    if errors:
        raise errors[0]


def until(condition, turn=lambda: thread.timer(0) if thread.self() else time.sleep(0.0005)):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        turn()


def paused(task):
    """Let the others run until a thread is paused for good."""
    until(lambda: task.paused_on is not None)
    return task


def spawn_os(func, *args):
    task = threading.Thread(target=func, args=args, daemon=True)
    task.start()
    return task


def script(text, status=0, limit=30):
    """Run a program of its own, with every warning an error; what it printed."""
    head = "import gc, os, signal, sys, threading, time\nimport ratchet\n"
    head += "from ratchet import thread, zmqsocket\n"
    done = subprocess.run(
        [*PYTHON, "-c", head + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, ""), done
    return done.stdout.split()


def sigusr(func):
    """Run ``func`` and see that SIGUSR1 is handled as before afterwards."""
    before = signal.getsignal(signal.SIGUSR1)
    try:
        func()
        gc.collect()
        assert signal.getsignal(signal.SIGUSR1) is before
    finally:
        signal.signal(signal.SIGUSR1, before)


# Outside a ratchet thread, and wrong arguments

CALLS = {
    "attach": lambda: thread.attach(print),
    "attach_background": lambda: thread.attach_background(print),
    "pause": thread.pause,
    "timer": lambda: thread.timer(0),
    "alarm": lambda: thread.alarm(1),
    "wait_all": lambda: thread.wait_all([]),
    "space": thread.space,
    "block_on": lambda: thread.block_on([0], timeout=0),
    "sigwait": lambda: thread.sigwait("SIGTERM"),
    "offload": lambda: thread.offload(print),
}


@pytest.mark.parametrize("name", CALLS)
def test_outside_a_ratchet_thread(name):
    def check():
        with pytest.raises(ratchet.Error, match=rf"{name}\(\).*outside a ratchet thread"):
            CALLS[name]()
        assert thread.self() is None
        assert thread.current() is None

    check()
    caught = []
    kernel = ratchet.new(lambda: 1 / 0, on_error=lambda error, task: caught.append(check()))
    kernel.loop()  # on_error runs between threads
    kernel.close()
    assert caught == [None]


def test_wrong_arguments(pipe):
    pull, push = pipe
    push.send(b"not to be received")

    def me(call):
        return call(thread.self())

    wrong = {
        lambda: thread.attach(None): (TypeError, "function"),
        lambda: thread.attach_background(3): (TypeError, "function"),
        lambda: thread.unpause(None): (TypeError, "ratchet thread"),
        lambda: thread.unpause(thread.attach(print, end="")): (ratchet.Error, "not paused"),
        lambda: me(thread.unpause): (ratchet.Error, "not paused in pause"),
        lambda: thread.timer(-1): (ValueError, "-1"),
        lambda: thread.timer(math.nan): (ValueError, "nan"),
        lambda: thread.timer(10**400): (ValueError, "1000"),
        lambda: thread.timer("1"): (TypeError, "str"),
        lambda: thread.timer(None): (TypeError, "NoneType"),
        lambda: thread.alarm(-1): (ValueError, "-1"),
        lambda: thread.alarm(math.nan): (ValueError, "nan"),
        lambda: thread.alarm("1"): (TypeError, "str"),
        lambda: thread.alarm(1, "callback"): (TypeError, "callback"),
        lambda: thread.wait_all([thread.self()]): (ratchet.StateError, "own end"),
        lambda: thread.wait_all([None]): (TypeError, "ratchet thread"),
        lambda: thread.self().result(): (ratchet.StateError, "own end"),
        lambda: thread.attach(thread.timer, 0).result(math.nan): (ValueError, "nan"),
        lambda: thread.attach(thread.timer, 0).result("1"): (TypeError, "str"),
        lambda: thread.kill(1): (TypeError, "ratchet thread"),
        lambda: thread.kill_all([thread.self(), 1]): (TypeError, "ratchet thread"),
        lambda: thread.offload(1): (TypeError, "function"),
        lambda: thread.sigwait("SIGNOTHING"): (ValueError, "SIGNOTHING.*SIGTERM"),
        lambda: thread.sigwait(12345): (ValueError, "12345"),
        lambda: thread.sigwait(1.5): (TypeError, "float"),
        lambda: thread.sigwait("SIGKILL"): (ratchet.Error, "SIGKILL"),
        lambda: thread.block_on([object()]): (TypeError, "object"),
        lambda: thread.block_on([], [object()]): (TypeError, "object"),
        lambda: thread.block_on([]): (ValueError, "nothing"),
        lambda: thread.block_on(pull): (TypeError, r"\[zsock\]"),
        lambda: thread.block_on([], pull): (TypeError, r"\[zsock\]"),
        lambda: thread.block_on([0], timeout="1"): (TypeError, "str"),
        lambda: thread.block_on([0], timeout=math.nan): (ValueError, "nan"),
        lambda: ratchet.new(None): (TypeError, "entry"),
        lambda: ratchet.new(print, on_error=1): (TypeError, "on_error"),
        lambda: ratchet.run(print): (ratchet.StateError, "loop inside a loop"),
    }
    failed = []

    def main():
        for number, (call, (error, match)) in enumerate(wrong.items()):
            try:
                with pytest.raises(error, match=match):
                    call()
            except (Exception, pytest.fail.Exception) as wrong_error:
                failed.append((number, error, match, wrong_error))
        thread.kill_all(kernel._kernel.threads)

    with ratchet.new(main) as kernel:
        kernel.loop()
    assert not failed
    assert pull.recv_all() == b"not to be received"


# Kernel


def test_run_returns_and_raises():
    assert ratchet.run(lambda: None) is None
    assert ratchet.run(divmod, 7, 2) == (3, 1)
    others = []

    def main():
        thread.attach(lambda: [thread.timer(0), others.append("ran to its end")])
        return "main"

    assert ratchet.run(main) == "main"
    assert others == ["ran to its end"]

    def fails_here():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        ratchet.run(fails_here)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "fails_here"


def test_loop_and_again_after_an_error():
    seen = []

    def fails(n):
        thread.timer(0)
        raise ValueError(n)

    def main():
        for n in range(2):
            thread.attach(fails, n)
        for n in range(5):
            seen.append(n)
            thread.timer(0)

    with ratchet.Ratchet(main) as kernel:
        assert kernel.get_num_threads() == 1
        for n in range(2):
            with pytest.raises(ValueError, match=str(n)):
                kernel.loop()
        kernel.loop()
        assert seen == list(range(5))
        assert kernel.get_num_threads() == 0
        kernel.loop()
        assert re.fullmatch("[a-z]+", kernel.get_method())
        assert "0 threads" in repr(kernel)


def test_on_error():
    seen = []

    def main():
        bad = thread.attach(lambda: 1 / 0)
        thread.wait_all([bad])
        with pytest.raises(ZeroDivisionError):
            bad.result()
        assert seen[0][1] is bad
        worse = thread.attach([].pop)
        until(lambda: worse.done)
        thread.attach(sys.exit, 3)
        seen.append("went on")

    def on_error(error, task):
        seen.append((error, task))
        if isinstance(error, IndexError):
            raise RuntimeError("on_error itself")  # noqa: TRY004 - any error will do

    with ratchet.new(main, on_error) as kernel:
        with pytest.raises(RuntimeError, match="itself"):
            kernel.loop()
        with pytest.raises(SystemExit):  # ends the program, whatever on_error is
            kernel.loop()
        kernel.loop()
    assert [type(item[0]) for item in seen[:2]] == [ZeroDivisionError, IndexError]
    assert seen[2:] == ["went on"]


def test_loop_once():
    seen = []

    def main():
        seen.append(1)
        thread.timer(SHORT)
        seen.append(2)

    with ratchet.new(main) as kernel:
        assert kernel.loop_once(noblock=True) is True
        began = time.monotonic()
        assert kernel.loop_once(noblock=True) is True
        assert kernel.loop_once(True) is True
        assert time.monotonic() - began < SHORT
        assert seen == [1]
        while kernel.loop_once():
            pass
        assert seen == [1, 2]
        assert kernel.loop_once() is False


@pytest.mark.parametrize("where", ["thread", "OS thread"])
def test_stop(where):
    seen = []

    def main():
        if where == "thread":
            kernel.stop()
        seen.append(1)
        thread.timer(0 if where == "thread" else SHORT)
        seen.append(2)

    with ratchet.new(main) as kernel:
        if where == "thread":
            kernel.loop()
        else:
            other = spawn_os(lambda: [until(lambda: kernel._kernel.asleep), kernel.stop()])
            began = time.monotonic()
            kernel.attach(thread.timer, LONG)
            kernel.loop()
            other.join()
            assert time.monotonic() - began < LONG / 2
            return
        assert seen == [1]
        kernel.loop()
        assert seen == [1, 2]


def test_stop_just_before_the_kernel_sleeps():
    """Whenever an OS thread calls it, even when the loop has worked out how long to sleep."""
    with ratchet.new(lambda: thread.timer(2)) as kernel:
        kernel.loop_once(noblock=True)
        wait = kernel._kernel.poll_wait

        def stops(seconds):
            kernel._kernel.poll_wait = wait
            kernel.stop()
            return wait(seconds)

        kernel._kernel.poll_wait = stops
        began = time.monotonic()
        kernel.loop()
        assert time.monotonic() - began < 1


def test_loop_inside_a_loop():
    def main():
        for call in (kernel.loop, kernel.loop_once, other.loop):
            with pytest.raises(ratchet.StateError, match="a loop inside a loop"):
                call()
        thread.timer(0)

    with ratchet.new(main) as kernel, ratchet.new(print) as other:
        kernel.loop()


def test_one_kernel_in_two_os_threads():
    errors = []

    def other():
        try:
            kernel.loop()
        except ratchet.StateError as error:
            errors.append(str(error))

    with ratchet.new(lambda: [thread.timer(0), thread.offload(spawn_os(other).join)]) as kernel:
        kernel.loop_once(noblock=True)
        other()
        task = spawn_os(other)
        task.join()
    assert len(errors) == 1
    assert "another OS thread" in errors[0]


@pytest.mark.parametrize("where", ["its thread", "another OS thread"])
def test_close_of_a_kernel_that_runs(where):
    def main():
        for _ in range(2):
            with pytest.raises(ratchet.StateError, match="stop"):
                kernel.close() if where == "its thread" else Task(kernel.close).value()
            thread.timer(0.001)
        return "unharmed"

    with ratchet.new(main) as kernel:
        kernel.loop()
        assert kernel._first.value == "unharmed"


def test_closed_kernel():
    with ratchet.new(print) as kernel:
        pass
    with pytest.raises(ratchet.StateError, match="ended"):
        kernel.loop()
    with pytest.raises(ratchet.StateError, match="ended"):
        kernel.attach(print)
    kernel.close()


# Deadlock


@pytest.mark.parametrize("leftover", ["nothing", "timeout", "alarm"])
def test_deadlock(leftover, pipe):
    pull, push = pipe

    def waits_in_vain():
        if leftover == "timeout":  # one that has not been needed
            thread.attach(push.send, b"x")
            pull.recv(timeout=3)
        elif leftover == "alarm":
            thread.alarm(3)
            thread.alarm(None)
        thread.pause()

    def main():
        thread.attach(waits_in_vain).result()

    kernel = ratchet.new(main)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(ratchet.DeadlockError, match=r"main.*paused.*waits_in_vain") as caught:
            kernel.loop()
        assert caught.value.code == "DEADLOCK"
    assert time.monotonic() - began < 1, "found out only when a timer of the past went off"
    kernel.close()


def test_deadlock_of_a_thousand_is_short():
    def main():
        for _ in range(1000):
            thread.attach(thread.pause)

    with ratchet.new(main) as kernel, pytest.raises(ratchet.DeadlockError) as caught:
        kernel.loop()
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("wait", ["timer", "offload", "alarm", "OS thread", "unpause"])
def test_no_deadlock_while_something_may_come(wait):
    def main():
        me = thread.self()
        if wait == "alarm":
            thread.alarm(SHORT)
            with pytest.raises(ratchet.Alarm):
                thread.pause()
            return
        if wait == "OS thread":
            go = threading.Event()
            spawn_os(lambda: [go.wait(LONG), thread.unpause(me, 1)])
            thread.attach(go.set)
        elif wait == "timer":
            thread.attach(lambda: [thread.timer(SHORT), thread.unpause(me, 1)])
        elif wait == "offload":
            thread.attach(lambda: [thread.offload(int), thread.unpause(me, 1)])
        else:
            thread.attach(thread.unpause, me, 1)
        assert thread.pause() == 1

    ratchet.run(main)


# Attach, pause, unpause, timers, spaces


def test_attach_starts_on_the_next_turn_in_order():
    seen = []

    def main():
        for n in range(3):
            task = thread.attach(lambda *args, **kwargs: seen.append((args, kwargs)), n, key=n)
            assert (task.done, task.name.endswith("<lambda>")) == (False, True)
        assert seen == []
        thread.timer(0)
        assert seen == [((n,), {"key": n}) for n in range(3)]
        assert task.done

    ratchet.run(main)


def test_background_threads_are_killed_when_the_others_have_ended():
    seen = []

    def background(name, nap):
        try:
            nap()
        except BaseException as error:
            seen.append((name, type(error)))
            raise
        finally:
            thread.timer(0)
            seen.append(name)

    def main():
        thread.attach_background(background, "pause", thread.pause)
        thread.attach_background(background, "timer", lambda: thread.timer(LONG))
        thread.attach_background(print, "ends by itself", end="")
        thread.timer(0)

    with ratchet.new(main) as kernel:
        kernel.attach_background(background, "outside", thread.pause)
        kernel.loop()
        assert kernel.get_num_threads() == 0
    names = {"pause", "timer", "outside"}
    assert set(seen) == names | {(name, ratchet.Killed) for name in names}


def test_pause_and_unpause():
    got = []

    def pauses():
        got.extend(thread.pause() for _ in range(4))

    def main():
        task = thread.attach(pauses)
        with pytest.raises(ratchet.Error, match="not paused"):
            thread.unpause(task)  # not begun
        for values in ((), (1,), (1, 2), ((3, 4),)):
            thread.timer(0)
            thread.unpause(task, *values)
            with pytest.raises(ratchet.Error, match="not paused"):
                thread.unpause(task)
            assert not task.done
        thread.wait_all([task])
        with pytest.raises(ratchet.Error, match="not paused"):
            thread.unpause(task)
        timer = paused(thread.attach(thread.timer, LONG))
        with pytest.raises(ratchet.Error, match="not paused"):
            thread.unpause(timer)
        thread.kill(timer)

    ratchet.run(main)
    assert got == [None, 1, (1, 2), (3, 4)]


def test_unpause_from_os_threads():
    """Every value arrives, and the sleeping loop is woken for each."""

    def unpauser(task, count):
        for n in range(count):
            until(lambda: task.parked, lambda: time.sleep(0))
            thread.unpause(task, n)

    def main():
        spawn_os(unpauser, thread.self(), 200)
        assert [thread.pause() for _ in range(200)] == list(range(200))

    ratchet.run(main)


def test_timers_end_in_order():
    ended = []

    def sleeper(seconds):
        began = time.monotonic()
        thread.timer(seconds)
        assert time.monotonic() - began >= seconds
        ended.append(seconds)

    delays = [0.03, 0.01, 0.02, 0, 0.015]
    ratchet.run(lambda: [thread.attach(sleeper, delay) for delay in delays])
    assert ended == sorted(delays)


def test_timer_0_is_one_turn():
    seen = []

    def worker(name):
        for n in range(3):
            seen.append((n, name))
            thread.timer(0)

    ratchet.run(lambda: [thread.attach(worker, name) for name in "abc"])
    assert seen == sorted(seen)


def test_spaces():
    spaces = []

    def worker(n):
        thread.space().n = n
        thread.timer(0)
        assert thread.space().n == n
        spaces.append(thread.space())

    def main():
        tasks = [thread.attach(worker, n) for n in range(3)]
        assert kernel.get_space(tasks[0]) is None
        assert kernel.get_space(tasks[0], "none") == "none"
        thread.wait_all(tasks)
        assert len({id(space) for space in spaces}) == 3
        assert [kernel.get_space(task).n for task in tasks] == [0, 1, 2]
        mine = {"my": "own"}
        assert thread.space(mine) is mine
        assert thread.space() is kernel.get_space(thread.self()) is mine

    with ratchet.new(main) as kernel:
        kernel.loop()


def test_contextvars_are_per_thread():
    variable = contextvars.ContextVar("variable", default="outside")

    def worker(value):
        assert variable.get() == "main"  # as it was where it was attached
        variable.set(value)
        thread.timer(0)
        assert variable.get() == value
        assert thread.offload(variable.get) == value

    def main():
        assert variable.get() == "outside"
        variable.set("main")
        thread.wait_all([thread.attach(worker, n) for n in range(3)])
        assert variable.get() == "main"

    ratchet.run(main)
    assert variable.get() == "outside"


# Alarm


def test_alarm():
    calls = []

    def main():
        thread.alarm(SHORT, lambda: calls.append(thread.self()))
        began = time.monotonic()
        with pytest.raises(ratchet.Alarm, match="main") as caught:
            thread.timer(LONG)
        assert SHORT <= time.monotonic() - began < LONG / 2
        assert caught.value.code == "ALARM"
        assert calls == [None]  # between threads, before the exception
        thread.alarm(SHORT)
        thread.alarm(None)
        thread.alarm(None)
        thread.timer(3 * SHORT)
        thread.alarm(LONG)
        thread.alarm(SHORT)  # the last one counts
        with pytest.raises(ratchet.Alarm):
            thread.pause()
        thread.alarm(SHORT)  # it ends before
        return "fine"

    assert ratchet.run(main) == "fine"


@pytest.mark.parametrize("handled", [True, False])
def test_an_exception_in_an_alarm_callback(handled):
    seen = []

    def main():
        thread.alarm(SHORT, lambda: 1 / 0)
        with pytest.raises(ratchet.Alarm):
            thread.pause()
        seen.append("alarm")

    kernel = ratchet.new(main, (lambda error, task: seen.append(type(error))) if handled else None)
    with contextlib.nullcontext() if handled else pytest.raises(ZeroDivisionError):
        kernel.loop()
    kernel.loop()
    kernel.close()
    assert seen == [ZeroDivisionError] * handled + ["alarm"]


# The end of others


def test_wait_all_and_result():
    def fails():
        thread.timer(SHORT)
        raise KeyError("no")

    def main():
        tasks = [thread.attach(fails), thread.attach(divmod, 7, 2), thread.attach(thread.pause)]
        paused(tasks[2])
        thread.kill(tasks[2])
        thread.wait_all(iter(tasks * 2))
        assert all(task.done for task in tasks)
        thread.wait_all([])
        thread.wait_all(tasks)
        with pytest.raises(KeyError):
            tasks[0].result()
        assert tasks[1].result() == tasks[1].result(0) == (3, 1)
        with pytest.raises(ratchet.Error, match="killed") as caught:
            tasks[2].result()
        assert caught.value.code == "ECANCELED"

    run_all(main)


def test_result_in_time_or_not():
    def main():
        for limit in (0, SHORT):
            slow = thread.attach(thread.pause)
            thread.timer(0)
            with pytest.raises(ratchet.Timeout, match=r"pause.*not ended"):
                slow.result(limit)
            thread.unpause(slow, "late")
            assert slow.result(LONG) == "late"

    ratchet.run(main)


def test_result_from_os_threads():
    seen = []

    def other(task, fails):
        with pytest.raises(ratchet.Timeout):
            task.result(SHORT)
        seen.append("timeout")
        assert task.result() == "value"
        with pytest.raises(KeyError):
            fails.result(LONG)
        seen.append("result")

    def fails():
        thread.timer(0)
        raise KeyError

    def main():
        task, bad = thread.attach(thread.pause), thread.attach(fails)
        others = [spawn_os(other, task, bad) for _ in range(3)]
        until(lambda: seen == ["timeout"] * 3)
        thread.unpause(task, "value")
        for task in others:
            thread.offload(task.join)

    run_all(main)
    assert seen == ["timeout"] * 3 + ["result"] * 3


def test_result_before_the_kernel_runs():
    """Whoever starts a kernel in an OS thread may ask at once, and need not know when it begins."""
    with ratchet.new(lambda: None) as kernel:
        task = kernel.attach(divmod, 7, 2)
        asked = threading.Event()
        outcome = []

        def ask():
            asked.set()
            try:
                outcome.append(task.result(LONG))
            except ratchet.Error as error:
                outcome.append(error)

        asker = spawn_os(ask)
        asked.wait(LONG)
        asker.join(SHORT)  # a kernel that refuses does so at once
        kernel.loop()
        asker.join(LONG)
        assert outcome == [(3, 1)]
        assert task.result() == (3, 1)


def test_result_in_the_os_thread_of_the_kernel():
    with ratchet.new(thread.pause) as kernel:
        task = kernel.attach(thread.pause)
        kernel.loop_once(noblock=True)
        with pytest.raises(ratchet.StateError, match="own OS thread"):
            task.result()


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
        assert pull.waiting == 0

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
        spawn_os(lambda: [until(lambda: kernel._kernel.asleep), signal.raise_signal(10)])
        assert late.result(LONG) is None

    def loop():
        nonlocal kernel
        with ratchet.new(main) as kernel:
            kernel.loop()
        del kernel

    kernel = None
    sigusr(loop)


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
                lambda: [until(lambda: kernel._kernel.asleep), os.kill(os.getpid(), signal.SIGINT)]
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
        assert stage[zsock].waiting == 0
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
    while not kernel._kernel.closed:  # leave nothing to the tests after this one
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


# offload


def test_offload():
    names = []

    def work(n):
        names.append(threading.current_thread())
        assert thread.self() is None
        if n == 3:
            raise KeyError(n)
        return n * n

    def main():
        tasks = [thread.attach(thread.offload, work, n) for n in range(6)]
        thread.wait_all(tasks)
        assert [task.result() for task in tasks if not task.error] == [0, 1, 4, 16, 25]
        with pytest.raises(KeyError) as caught:
            tasks[3].result()
        assert "work" in "".join(traceback.format_tb(caught.value.__traceback__))
        gate = threading.Event()
        waiting = thread.attach(thread.offload, gate.wait, LONG)
        thread.attach(gate.set)  # runs while the other is at work
        assert waiting.result() is True

    run_all(main)
    assert threading.main_thread() not in names
    assert len(names) == 6


# What people see


def test_repr_and_dump(pipe, plain):
    pull, _push = pipe

    def sleeper():
        thread.timer(LONG)

    def main():
        quick = thread.attach(int)
        assert re.search(r"int.*ready", repr(quick))
        assert "running" in repr(thread.self())
        tasks = {
            r"pause\(\)": thread.attach(thread.pause),
            r"timer\(10\)": thread.attach(sleeper),
            r"PULL socket|PULL": thread.attach(pull.recv),
            f"block_on.*fd={plain[0].fileno()}": thread.attach(thread.block_on, [plain[0]]),
            "PUSH": thread.attach(thread.block_on, [], [full]),
            "int": thread.attach(thread.wait_all, [never := thread.attach(thread.pause)]),
        }
        thread.timer(0)
        assert "done" in repr(quick)
        wrong = {
            what: repr(task)
            for what, task in tasks.items()
            if what != "int"
            and not re.search(rf"paused on .*({what}).* for \d+\.\d+ s", repr(task))
        }
        assert re.search("paused on .*end of pause", repr(tasks["int"]))
        file = io.StringIO()
        kernel.dump(file)
        text = file.getvalue()
        assert text.count("<ratchet.thread.Thread") == len(tasks) + 2
        assert "in sleeper" in text
        assert "thread.timer(LONG)" in text
        assert "kernel.dump(file)" in text  # its own stack
        thread.kill_all([*tasks.values(), never])
        thread.wait_all(tasks.values())
        assert "Killed" in repr(tasks["int"])
        assert wrong == {}

    with zmqsocket.new("PUSH") as full, ratchet.new(main) as kernel:
        kernel.loop()
        kernel.dump(io.StringIO())


# Never lose a message

RECEIVES = {
    "recv": lambda pull, **given: [pull.recv(**given)[0]],
    "recv_all": lambda pull, **given: [pull.recv_all(**given)],
    "recv_multipart": lambda pull, **given: pull.recv_multipart(**given),
    "recv_many": lambda pull, **given: pull.recv_many(5, **given),
}


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
            got.extend(RECEIVES[name](pull, timeout=limit))

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


def test_a_storm_of_ends_loses_nothing(poll, pipe, rng):
    """Receivers of all kinds, killed, alarmed and timed out at random, and replaced."""
    pull, push = pipe
    count, got = 3000, []

    def receiver(call, limit, alarm):
        while True:
            thread.alarm(alarm)
            with contextlib.suppress(ratchet.Timeout, ratchet.Alarm):
                got.extend(call(pull, timeout=limit))
                if rng.random() < 0.3:
                    thread.timer(0)

    def sender():
        for n in range(count):
            push.send(b"%d" % n)
            if rng.random() < 0.5:
                thread.timer(0)

    def main():
        def start():
            limit, alarm = rng.choice([0.0001, 0.001, LONG]), rng.choice([None, 0.0005, 0.002])
            call = rng.choice(list(RECEIVES.values()))
            return thread.attach(receiver, call, limit, alarm)

        receivers = [start() for _ in range(4)]
        work = thread.attach(sender)
        while not work.done:
            thread.timer(0)
            n = rng.randrange(len(receivers))
            thread.kill(receivers[n])
            receivers[n] = start()
        until(lambda: len(got) >= count)
        thread.kill_all(receivers)

    ratchet.run(main)
    assert sorted(got, key=int) == [b"%d" % n for n in range(count)]


def test_sockets_shared_by_two_kernels_and_os_threads(poll, new, tcp):
    """Senders and receivers of each kind on both sockets at once: each message arrives once."""
    left, right = new("DEALER"), new("DEALER")
    left.bind(tcp)
    right.connect(left.last_endpoint)
    each, got, failed = 400, collections.Counter(), []

    def sender(zsock, name):
        for n in range(each):
            zsock.send(b"%s %d" % (name, n))

    def receiver(zsock):
        found = []
        while (data := zsock.recv_all()) != b"stop":
            found.append(data)
        got.update(found)

    def jobs(name):
        return [(sender, zsock, name + side) for zsock, side in ((left, b"l"), (right, b"r"))]

    def in_kernel(name):
        def main():
            tasks = [thread.attach(*job) for job in jobs(name)]
            readers = [thread.attach(receiver, zsock) for zsock in (left, right) * 2]
            thread.wait_all(tasks)
            senders_done.release()
            thread.wait_all(readers)

        try:
            ratchet.run(main)
        except BaseException as error:
            failed.append(error)

    def in_os_threads(name):
        tasks = [spawn_os(*job) for job in jobs(name)]
        readers = [spawn_os(receiver, zsock) for zsock in (left, right)]
        for task in tasks:
            task.join()
        senders_done.release()
        for task in readers:
            task.join()

    senders_done = threading.Semaphore(0)
    hosts = [spawn_os(in_kernel, b"a"), spawn_os(in_kernel, b"b"), spawn_os(in_os_threads, b"c")]
    for _ in hosts:
        assert senders_done.acquire(timeout=3 * LONG), failed
    for zsock in (left, right):
        zsock.send_many([b"stop"] * 5)
    for host in hosts:
        host.join(LONG)
        assert not host.is_alive()
    assert not failed
    names = [kernel + side for kernel in (b"a", b"b", b"c") for side in (b"l", b"r")]
    assert got == collections.Counter(b"%s %d" % (name, n) for name in names for n in range(each))


def test_kernels_in_several_os_threads(inproc):
    done = []

    def main(n):
        with zmqsocket.new("PAIR") as one, zmqsocket.new("PAIR") as two:
            one.bind(inproc + str(n))
            two.connect(inproc + str(n))
            echo = thread.attach(lambda: [one.send(data) for data in iter(one.recv_all, b"")])
            for k in range(300):
                two.send(b"%d" % k)
                assert two.recv_all() == b"%d" % k
                assert thread.self().kernel is echo.kernel
            two.send(b"")
            thread.wait_all([echo])
        done.append(n)

    tasks = [spawn_os(ratchet.run, main, n) for n in range(4)]
    for task in tasks:
        task.join(LONG)
    assert sorted(done) == [0, 1, 2, 3]


# Fairness


def busy_socket(pull, push):
    push.send(b"x")
    pull.recv()


def busy_timeout(pull):
    with contextlib.suppress(ratchet.Timeout):
        pull.recv(timeout=0)


BUSY = {
    "send and recv": busy_socket,
    "send_many and recv_many": lambda pull, push: [push.send_many([b"x"] * 9), pull.recv_many(9)],
    "send_multipart": lambda pull, push: [push.send_multipart([b"x", b"y"]), pull.recv_multipart()],
    "recv now or never": lambda pull, push: busy_timeout(pull),
    "block_on": lambda pull, push: thread.block_on([], [push]),
    "block_on now or never": lambda pull, push: thread.block_on([pull], timeout=0),
}
BURST = 128  # calls, of which docs/threads.md tells


@pytest.mark.parametrize("name", BUSY)
def test_a_busy_thread_lets_others_run(name, new, inproc):
    """Judged by turns: between two turns of another thread lie at most a burst of calls."""
    pull, push = new("PULL", rcvhwm=0), new("PUSH", sndhwm=0)
    pull.bind(inproc)
    push.connect(inproc)
    calls, gaps = 0, []

    def busy():
        nonlocal calls
        while len(gaps) < 20 and calls < 50 * BURST:
            BUSY[name](pull, push)
            calls += 1

    def other():
        nonlocal calls
        while not task.done and len(gaps) < 20:
            before = calls
            thread.timer(0)
            gaps.append(calls - before)

    def main():
        nonlocal task
        task = thread.attach(busy)
        thread.attach(other)

    task = None
    ratchet.run(main)
    assert len(gaps) >= 20, "the other had no turn"
    assert max(gaps) <= BURST


def test_the_loop_looks_around_while_all_are_busy(pipe, plain):
    """Threads that are always ready hold up neither deadlines nor descriptors."""
    pull, push = pipe
    seen = []

    def busy():
        while len(seen) < 4:
            busy_socket(pull, push)

    def main():
        quiet = [new_socket() for _ in range(2)]
        quiet[0].bind("inproc://quiet")
        quiet[1].connect("inproc://quiet")
        for _ in range(2):
            thread.attach(busy)
        thread.attach(lambda: seen.append(thread.timer(SHORT)))
        thread.attach(lambda: seen.append(thread.block_on([plain[0]])))
        thread.attach(lambda: seen.append(quiet[0].recv()))
        thread.attach(lambda: [thread.timer(SHORT), quiet[1].send(b"x")])

        def other():
            for _ in range(20):
                time.sleep(0.001)
            plain[1].send(b"x")
            seen.append("os")

        spawn_os(other)
        until(lambda: len(seen) == 4)
        for zsock in quiet:
            zsock.close()
        assert time.monotonic() - began < 2  # an OS thread gets the GIL within milliseconds

    def new_socket():
        zsock = zmqsocket.new("PAIR")
        zsock.set_timeout(LONG)
        return zsock

    began = time.monotonic()
    ratchet.run(main)


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


# Many, and nothing left


def test_thousands_of_threads():
    count = 5000

    def worker(n, before):
        got = thread.pause()
        thread.timer(0)
        if before is not None:
            thread.unpause(before, got + 1)
        return got

    def main():
        tasks = []
        for n in range(count):
            tasks.append(thread.attach(worker, n, tasks[-1] if n else None))
            thread.timer(0)
        assert kernel.get_num_threads() == count + 1
        thread.unpause(tasks[-1], 0)
        thread.wait_all(tasks)
        assert [task.result() for task in tasks] == list(range(count))[::-1]

    with ratchet.new(main) as kernel:
        kernel.loop()


def test_threads_are_let_go(pipe):
    """A thread that has ended is freed, whatever it once waited for and however long it would."""
    pull, push = pipe
    counts = []

    def worker(n):
        thread.alarm(3600)
        with contextlib.suppress(ratchet.Timeout):
            pull.recv(timeout=3600 if n % 2 else 0.0001)
        with contextlib.suppress(ratchet.Error):
            thread.self().result()

    def main():
        references = []
        for _ in range(3):
            tasks = [thread.attach(worker, n) for n in range(20)]
            references += map(weakref.ref, tasks)
            thread.timer(0)
            thread.kill_all(tasks[15:])
            push.send_many([b"x"] * 10)
            thread.wait_all(tasks)
            while pull.is_readable():
                pull.recv()
            del tasks
        gc.collect()
        counts.append(sum(reference() is not None for reference in references))
        counts.append(sum(isinstance(o, greenlet.greenlet) for o in gc.get_objects()))

    ratchet.run(main)
    gc.collect()
    before = sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects())
    assert counts[1] - before <= 1
    assert counts[0] == 0


@pytest.mark.parametrize("what", ["alarms", "timeouts"])
def test_deadlines_that_are_over_take_no_memory(what, pipe):
    pull, push = pipe

    def work():
        if what == "alarms":
            thread.alarm(3600)
            thread.alarm(None)
            return
        with contextlib.suppress(ratchet.Timeout):
            pull.recv(timeout=1e-6)
        thread.attach(push.send, b"x")
        pull.recv(timeout=3600)

    def main():
        for _ in range(100):
            work()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(1000):
                work()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 20_000
        finally:
            tracemalloc.stop()

    ratchet.run(main)


def test_kernels_are_let_go():
    references = []
    for _ in range(3):
        kernel = ratchet.new(lambda: thread.attach(thread.timer, LONG))
        kernel.loop_once(noblock=True)
        references += [weakref.ref(kernel), weakref.ref(kernel._kernel)]
        del kernel
    gc.collect()
    assert [reference() for reference in references] == [None] * 6


def test_a_foreign_greenlet(pipe):
    """A greenlet of the user's own cannot pause a thread, and does no harm."""
    pull, push = pipe
    errors = []

    def foreign():
        for call in (
            thread.pause,
            lambda: thread.timer(1),
            lambda: thread.timer(0),
            lambda: thread.block_on([pull]),
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
        assert pull.waiting == 0
        task = paused(thread.attach(pull.recv_all))
        push.send(b"x")
        assert task.result() == b"x"

    ratchet.run(main)
    assert len(errors) == 4
    assert all("greenlet" in error for error in errors)


# Fork, and the end of the program


def test_fork_in_a_ratchet_thread():
    """Parent and child both go on; the child's inherited sockets raise, new ones work."""
    said = script("""
        def echo(endpoint):
            with zmqsocket.new("PAIR") as one, zmqsocket.new("PAIR") as two:
                one.bind(endpoint)
                two.connect(endpoint)
                task = thread.attach(one.recv_all, timeout=5)
                thread.timer(0)
                two.send(b"x")
                assert task.result(5) == b"x"

        def inherits(zsock):
            try:
                return zsock.recv(timeout=5)[0]
            except ratchet.ForkedError:
                return "forked"

        def main():
            pull, push = zmqsocket.new("PULL"), zmqsocket.new("PUSH")
            pull.bind("inproc://pipe")
            push.connect("inproc://pipe")
            task = thread.attach(inherits, pull)
            thread.timer(0)
            pid = os.fork()
            if pid == 0:
                assert task.result(5) == "forked"
                echo("inproc://child")
                thread.timer(0.01)
                fd = signal.set_wakeup_fd(-1)
                assert fd == kernel._kernel.write_fd, "signals write into a descriptor of others"
                os._exit(0)
            echo("inproc://parent")
            push.send(b"mine")
            assert task.result(5) == b"mine"
            status = thread.offload(os.waitpid, pid, 0)[1]
            print(os.waitstatus_to_exitcode(status))
            for zsock in (pull, push):
                zsock.close()

        spare = os.open(os.devnull, os.O_RDONLY)
        kernel = ratchet.new(main)
        os.close(spare)  # a lower number than the kernel's is free when the child opens its own
        kernel.loop()
        kernel.close()
    """)
    assert said == ["0"]


def test_fork_beside_kernels_in_other_os_threads():
    said = script("""
        begun = [threading.Event() for _ in range(8)]
        over = threading.Event()
        def other(event):
            def main():
                event.set()
                while not over.is_set():
                    thread.timer(0.001)
            ratchet.run(main)

        def main():
            pid = os.fork()
            if pid == 0:
                try:
                    thread.timer(0)
                    assert thread.self() is not None
                    os._exit(0)
                finally:
                    os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        others = [threading.Thread(target=other, args=(event,)) for event in begun]
        for task in others:
            task.start()
        for event in begun:
            event.wait(10)
        ratchet.run(main)
        over.set()
        for task in others:
            task.join()
    """)
    assert said == ["0"]


@pytest.mark.parametrize("how", ["sys.exit(3)", "raise SystemExit(3)", "kernel.stop()"])
def test_exit_with_threads_alive(how):
    said = script(
        f"""
        def victim():
            try:
                thread.pause()
            finally:
                thread.timer(0)
                print("finally")

        def main():
            thread.attach(victim)
            thread.timer(0)
            {how}

        kernel = ratchet.new(main)
        kernel.loop()
        """,
        status=0 if "stop" in how else 3,
    )
    assert said == ["finally"]


def test_exit_while_a_daemon_runs_a_kernel():
    said = script("""
        def main():
            print("begun", flush=True)
            begun.set()
            thread.timer(60)

        begun = threading.Event()
        threading.Thread(target=ratchet.run, args=(main,), daemon=True).start()
        begun.wait(10)
    """)
    assert said == ["begun"]


def test_exit_while_a_daemon_runs_a_busy_kernel():
    """It ends without a word."""
    for _ in range(4):
        assert not script("""
            def send(zsock):
                while True:
                    zsock.send(b"x")

            def main():
                left, right = zmqsocket.new("PAIR", linger=0), zmqsocket.new("PAIR", linger=0)
                left.bind("inproc://pair")
                right.connect("inproc://pair")
                thread.attach(send, left)
                while True:
                    right.recv()
                    begun.set()

            begun = threading.Event()
            threading.Thread(target=ratchet.run, args=(main,), daemon=True).start()
            begun.wait(10)
            """)


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
    assert tracker.waiting == 0


def test_a_signal_handler_receives_where_a_thread_is_paused(pipe):
    pull, push = pipe
    got = []

    def handler(_number, _frame):
        push.send(b"for the handler")
        push.send(b"for the thread")
        got.append(pull.recv_all(timeout=LONG))

    def interrupt():
        until(lambda: kernel._kernel.asleep)
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
    assert pull.waiting == 1
    made[0].close()
    push.send(b"x")
    assert pull.recv(timeout=LONG) == (b"x", False)
    assert pull.waiting == 0


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
                until(lambda: kernel._kernel.asleep)
                kernel.stop()

            stopper = spawn_os(stop)
            kernel.loop()
            stopper.join()
    over = threading.Event()
    with ratchet.new(lambda: thread.offload(over.wait, LONG)) as kernel:
        loop = spawn_os(kernel.loop)
        waiter = Task(kernel._first.result, seconds)
        until(lambda: kernel._first.joiners)
        over.set()
        assert waiter.value() is True
        loop.join()


def test_a_wake_without_memory_is_made_up_for(pipe):
    """Nothing rings a second time: the message is there, and its receiver waits without a limit."""
    fail = pytest.importorskip("_testcapi")
    pull, push = pipe
    pull.set_timeout(None)

    def main():
        one = thread.attach(pull.recv)
        until(lambda: pull.waiting == 1)
        push.send(b"wake up")
        fail.set_nomemory(0, 0)
        try:
            pull.is_readable()  # rings for it
        finally:
            fail.remove_mem_hooks()
        assert one.result(LONG) == (b"wake up", False)

    run_all(main)
