"""What the tests of ratchet threads alone share; `behaviour.py` has what is tested everywhere."""

import functools
import gc
import signal
import threading
import time

import ratchet
from harness import internals, waiting
from ratchet import thread

BURST = 128  # calls, of which docs/threads.md tells


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


def turn():
    thread.timer(0) if thread.self() else time.sleep(0.0005)


until = functools.partial(waiting.until, turn=turn)


def paused(task):
    """Let the others run until a thread is paused for good."""
    until(lambda: internals.paused_on(task) is not None)
    return task


def spawn_os(func, *args):
    task = threading.Thread(target=func, args=args, daemon=True)
    task.start()
    return task


def sigusr(func):
    """Run ``func`` and see that SIGUSR1 is handled as before afterwards."""
    before = signal.getsignal(signal.SIGUSR1)
    try:
        func()
        gc.collect()
        assert signal.getsignal(signal.SIGUSR1) is before
    finally:
        signal.signal(signal.SIGUSR1, before)
