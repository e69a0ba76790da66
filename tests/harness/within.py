"""What the programs of tests find (`programs.py`): modules, and what many of them do."""

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time

import ratchet
from harness.internals import paused_calls, signal_fd
from harness.sockets import fill
from harness.waiting import until
from ratchet import thread, zmqsocket

__all__ = ["contextlib", "fill", "fork", "gc", "os", "pair", "paused_calls", "ratchet", "signal"]
__all__ += ["signal_fd", "status", "sys", "thread", "threading", "time", "until", "zmqsocket"]


# Under load a step of a task takes longer than asyncio likes where it is to debug, as it is here.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def pair(left="DEALER", right="DEALER", endpoint="inproc://pair", **options):
    """Two connected sockets."""
    bound, other = zmqsocket.new(left, **options), zmqsocket.new(right, **options)
    bound.bind(endpoint)
    other.connect(bound.last_endpoint)
    return bound, other


def fork(function):
    """The exit status of a child that ran it: 0, 1 after an error, negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return status(pid)


def status(pid, seconds=10):
    """How a child ended; one that has not by then is killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, code = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(code)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"
