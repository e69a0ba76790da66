"""Attach, pause, timers, alarms and the end of others; and how turns are shared fairly."""

import contextlib
import contextvars
import threading
import time
import traceback

import pytest
from harness import internals
from harness.ratchets import BURST, paused, run_all, spawn_os, until
from harness.waiting import LONG, SHORT

import ratchet
from ratchet import thread, zmqsocket

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
            until(lambda: internals.parked(task), turn=lambda: time.sleep(0))
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
        assert time.monotonic() - began < LONG / 2  # an OS thread gets the GIL within milliseconds

    def new_socket():
        zsock = zmqsocket.new("PAIR")
        zsock.set_timeout(LONG)
        return zsock

    began = time.monotonic()
    ratchet.run(main)


@pytest.mark.parametrize("how", ["recv", "recv_all", "recv_frame", "send"])
def test_large_messages_count_as_what_they_cost(how, inproc):
    """A burst of 128 copies of a megabyte would hold up the others for 50 ms or more."""
    data, calls, most, ended = bytearray(1_000_000), 0, 0, False

    def work():
        nonlocal calls, ended
        for _ in range(50):
            calls += 1
            if how == "send":
                left.send(data, True)
            else:
                getattr(right, how)()
        ended = True

    def main():
        nonlocal most
        thread.attach(work)
        last = 0
        while not ended:
            thread.timer(0)
            last, most = calls, max(most, calls - last)

    with zmqsocket.new("PAIR", sndhwm=0, linger=0) as left, zmqsocket.new("PAIR") as right:
        left.bind(inproc)
        right.connect(inproc)
        if how != "send":
            left.send_many([bytes(data)] * 50)
        ratchet.run(main)
        assert (most <= 10) == (how != "recv_frame")  # which copies nothing
