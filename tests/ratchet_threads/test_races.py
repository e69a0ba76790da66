"""What another OS thread does between any two steps of the scheduler's Python code.

Every step is tried: a tracer stops the scheduler before its n-th one, has the other thread do its
work to the end, and lets it go on.
"""

import itertools
import sys
import threading

import pytest
from harness.internals import KERNEL_FILES, around_ring, joiners
from harness.waiting import LONG, Task

import ratchet
from ratchet import Killed, Timeout, thread

# From Python 3.12 on a tracer that is set in a call is not always told of the opcodes there.
STEPS = ("opcode",) if sys.version_info < (3, 12) else ("line",)


def at_every_step(names, attempt):
    """Call ``attempt(trace)`` for each step of the functions with these names in KERNEL_FILES.

    What it runs under ``trace(intrude)`` has ``intrude()`` called before that step.
    """
    for chosen in itertools.count():
        steps = itertools.count()
        hit = []

        def trace(intrude, steps=steps, hit=hit, chosen=chosen):
            def local(frame, event, _arg):
                if event in STEPS and next(steps) == chosen:
                    hit.append(f"{frame.f_code.co_name}, line {frame.f_lineno}")
                    intrude()
                return local

            def enter(frame, _event, _arg):
                code = frame.f_code
                if code.co_filename not in KERNEL_FILES or code.co_name not in names:
                    return None
                frame.f_trace_opcodes = "opcode" in STEPS
                return local

            sys.settrace(enter)

        attempt(trace, hit)
        if not hit:
            assert chosen > 5
            return


def test_a_kill_while_an_alarm_rings(monkeypatch):
    def attempt(trace, hit):
        ended = []

        def victim():
            thread.alarm(0)
            try:
                thread.pause()
            except BaseException as error:
                ended.append(type(error))
                raise

        def main():
            one = thread.attach(victim)

            def ring(real):
                trace(lambda: Task(thread.kill, one).value())
                try:
                    real()
                finally:
                    sys.settrace(None)

            around_ring(monkeypatch, ring)
            thread.wait_all([one])

        with ratchet.new(main, on_error=lambda _error, _thread: None) as one:
            one.loop()
        assert ended == [Killed] or not hit, hit

    at_every_step({"ring"}, attempt)


@pytest.mark.parametrize("where", ["ratchet thread", "OS thread"])
def test_a_thread_that_ends_while_another_gives_up_waiting_for_it(where):
    def attempt(trace, hit):
        over, begun, made = threading.Event(), threading.Event(), []

        def victim():
            made.append(thread.self())
            begun.set()
            while not over.is_set():
                thread.timer(0.0002)

        def wait():
            trace(lambda: [over.set(), other.value()])
            try:
                made[0].result(1e-9)
            except Timeout:
                pass
            finally:
                sys.settrace(None)

        other = Task(ratchet.run, victim)
        assert begun.wait(LONG)
        try:
            ratchet.run(wait) if where == "ratchet thread" else wait()
        except (AttributeError, ValueError) as error:
            raise AssertionError(f"in {hit}") from error
        finally:
            over.set()
            other.value()
        assert not joiners(made[0])

    at_every_step({"join", "wait_all", "_joiners", "_unjoin"}, attempt)
