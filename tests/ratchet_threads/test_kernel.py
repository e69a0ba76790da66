"""Ratchets: run, loop, stop, close; deadlocks; what is refused; what people see."""

import copy
import gc
import io
import math
import pickle
import re
import sys
import threading
import time
import traceback
import weakref

import pytest
from greenlet import GreenletExit
from harness import internals
from harness.ratchets import spawn_os, until
from harness.waiting import LONG, SHORT, Task
from harness.waiting import until as wait_until

import ratchet
from ratchet import thread, zmqsocket

# Outside a ratchet thread, and wrong arguments


CALLS = {
    "attach": lambda: thread.attach(print),
    "attach_background": lambda: thread.attach_background(print),
    "pause": thread.pause,
    "timer": lambda: thread.timer(0),
    "alarm": lambda: thread.alarm(1),
    "wait_all": lambda: thread.wait_all([]),
    "space": thread.space,
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
        thread.kill_all(internals.threads_of(kernel))

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


def test_greenlets_own_exit_is_an_exception_like_others():
    def leaves():
        raise GreenletExit("mine")

    with ratchet.Ratchet(leaves) as kernel:
        with pytest.raises(GreenletExit, match="mine"):
            kernel.loop()
        assert kernel.get_num_threads() == 0


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

    def main(seconds):
        seen.append(1)
        thread.timer(seconds)
        seen.append(2)

    with ratchet.new(lambda: main(LONG)) as kernel:
        began = time.monotonic()
        for _ in range(3):
            assert kernel.loop_once(noblock=True) is True
        assert kernel.loop_once(True) is True
        assert time.monotonic() - began < LONG / 2
        assert seen == [1]
    seen.clear()
    with ratchet.new(lambda: main(SHORT)) as kernel:
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
            other = spawn_os(lambda: [until(lambda: internals.asleep(kernel)), kernel.stop()])
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
    with ratchet.new(lambda: thread.timer(LONG)) as kernel:
        kernel.loop_once(noblock=True)
        internals.before_sleep(kernel, kernel.stop)
        began = time.monotonic()
        kernel.loop()
        assert time.monotonic() - began < LONG / 2


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
        assert internals.first_thread(kernel).value == "unharmed"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_kernel_is_not_copied(make):
    with ratchet.new(print) as kernel, pytest.raises(TypeError, match="cannot be copied"):
        make(kernel)


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
            pull.recv(timeout=LONG)
        elif leftover == "alarm":
            thread.alarm(LONG)
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
    assert time.monotonic() - began < LONG / 2, "found out only when a timer of the past went off"
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


@pytest.mark.parametrize("how", ["unpause", "attach"])
def test_no_deadlock_while_who_made_the_kernel_may_go_on(how):
    def main():
        tasks.append(thread.self())
        return thread.pause()

    tasks = []
    with ratchet.new(main) as kernel:
        loop = Task(kernel.loop)
        wait_until(lambda: internals.asleep(kernel) or not loop.is_alive())
        if how == "attach":
            kernel.attach(lambda: thread.unpause(tasks[0], 1))
        else:
            thread.unpause(tasks[0], 1)
        loop.value()
        assert tasks[0].result() == 1


def test_a_deadlock_when_who_made_the_kernel_has_ended():
    kernel = Task(ratchet.new, thread.pause).value()
    with kernel, pytest.raises(ratchet.DeadlockError):
        kernel.loop()


def test_a_deadlock_when_the_program_that_made_the_kernel_ends(script):
    source = script(
        """
        def loop():
            try:
                kernel.loop()
            except ratchet.DeadlockError as error:
                print(error.code)

        kernel = ratchet.new(thread.pause)
        threading.Thread(target=loop).start()
        """
    )
    result = source.end()
    assert (result.status, result.out) == (0, "DEADLOCK\n")


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
            f"select.*descriptor {plain[0].fileno()}": thread.attach(thread.block_on, [plain[0]]),
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


def test_kernels_are_let_go():
    references = []
    for _ in range(3):
        kernel = ratchet.new(lambda: thread.attach(thread.timer, LONG))
        kernel.loop_once(noblock=True)
        references += [weakref.ref(kernel), weakref.ref(internals.insides(kernel))]
        del kernel
    gc.collect()
    assert [reference() for reference in references] == [None] * 6
