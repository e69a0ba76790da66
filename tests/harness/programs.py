"""Programs: a test's text, run in a process of its own with every warning an error."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from harness.waiting import CTRL_C

SINK = """
with zmqsocket.new("PULL") as pull:
    pull.bind("tcp://127.0.0.1:*")
    print(pull.last_endpoint, flush=True)
    pull.set_timeout(10)
    messages = []
    while not messages or messages[-1][-3:] != b"end":
        messages.append(pull.recv_all())
    print(len(messages), messages[-1][-20:])
"""
HEAD = f"""\
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from harness.within import *
"""


@dataclasses.dataclass
class Result:
    """How a program ended."""

    out: str
    err: str
    status: int
    seconds: float


class Script:
    """A program that has begun. It finds all that is in `within.py`."""

    def __init__(self, path, text, *args, flags=(), prelude=HEAD):
        path.write_text(CTRL_C + prelude + textwrap.dedent(text), encoding="utf-8")
        # Newer Pythons warn of any fork beside threads, and libzmq has some.
        fork = ("-W", "ignore:This process:DeprecationWarning")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", *fork, *flags, str(path), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # and a process group, for `end`
        )

    def said(self, line):
        """Wait for a line on stdout."""
        assert self.process.stdout.readline() == line + "\n", self.end(1)

    def interrupt(self):
        self.began = time.monotonic()
        self.process.send_signal(signal.SIGINT)

    def end(self, limit=20.0):
        try:
            out, err = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler shows where it hangs
            self.process.wait()
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):  # its children have its pipes
                    os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
        return Result(out, err, self.process.returncode, time.monotonic() - self.began)
