"""Runs one scenario in a process of its own, with a time limit, and says in words how it ended."""

import dataclasses
import importlib
import inspect
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

from . import ROOT
from .adapters import ADAPTERS, BACKENDS
from .scenario import SCENARIOS, Scale, Skip, fate

FAMILIES = ("messages", "callers", "signals", "processes", "limits", "peers", "loops")
for family in FAMILIES:
    importlib.import_module(f".scenarios_{family}", __package__)

LIMIT = {False: 30, True: 180}  # seconds for one scenario, short and full
HERE = Path(__file__).parent
SKIPPED = 77  # the exit status that means so
SEED = "RATCHET_TEST_SEED"


@dataclasses.dataclass
class Outcome:
    """What one scenario came to, in one library and kind of thread."""

    scenario: str
    library: str
    kind: str
    text: str
    seconds: float
    details: str

    @property
    def key(self):
        return self.scenario, self.library, self.kind

    @property
    def well(self):
        return self.text == "holds" or self.text.startswith("skipped")

    def __str__(self):
        where = f"{self.scenario:32}{self.library:17}{self.kind:13}"
        return f"{where}{self.seconds:5.1f} s  {self.text}"


def new_seed():
    """The one in the environment, or a new one."""
    return int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))


def outcomes(scenarios, libraries, kinds, full, seed):
    """Each scenario in each library and kind of thread that it is for."""
    seed = new_seed() if seed is None else seed
    print(f"seed {seed}")
    for one in scenarios:
        for library in libraries:
            for kind in kinds:
                tried = kind in one.kinds and library in one.libraries
                if tried and (library, kind) in ADAPTERS:
                    yield run(one.name, library, kind, full, seed)


def run(name, library, kind, full, seed):
    """Run one scenario in a new process."""
    return Run(name, library, kind, full, seed).outcome()


class Run:
    """One scenario in a new process; it has begun."""

    def __init__(self, name, library, kind, full, seed):
        command = [sys.executable, "-X", "faulthandler", "-m", "torture", "--one"]
        self.what = name, library, kind
        self.full, self.seed = full, seed
        self.began = time.monotonic()
        env = {**os.environ, "PYZMQ_BACKEND": BACKENDS.get(library, "")}
        if not env["PYZMQ_BACKEND"]:
            del env["PYZMQ_BACKEND"]
        self.process = subprocess.Popen(
            [*command, *self.what, "full" if full else "short", str(seed)],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def outcome(self):
        """Wait for its end, or end it and all that it started."""
        hung = False
        try:
            limit = self.began + LIMIT[self.full] - time.monotonic()
            out = self.process.communicate(timeout=max(0, limit))[0]
        except subprocess.TimeoutExpired:
            hung = True
            self.process.send_signal(signal.SIGABRT)  # faulthandler shows where
            time.sleep(0.5)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if hung:
            out = self.process.communicate()[0]
        text = "hangs" if hung else verdict(self.process.returncode, out)
        name, library, kind = self.what
        again = f"--only {name} --libs {library} --kinds {kind} --seed {self.seed}"
        details = f"{out}\nagain: python -m torture {again}{'' if self.full else ' --short'}"
        return Outcome(*self.what, text, time.monotonic() - self.began, details)


def verdict(status, out):
    """In words: what the process said last, or how it ended if not by itself."""
    said = [line for line in out.splitlines() if line.startswith("outcome: ")]
    if status in (0, 1, SKIPPED) and said:
        return said[-1].removeprefix("outcome: ")
    if said and said[-1] == "outcome: holds":
        return f"wrong: holds, then {fate(status)}"
    return fate(status) or "wrong: it said nothing"


def run_here(name, library, kind, size, seed):
    """Run one scenario in this process; the last line on stdout is the outcome."""
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # a fork beside threads
    hear_ctrl_c()
    rt = ADAPTERS[library, kind]()
    function = SCENARIOS[name].function
    scale = Scale(size == "full", int(seed))
    status, pid = 1, os.getpid()
    try:
        if inspect.iscoroutinefunction(function):
            rt.main(function, scale)
        else:
            function(rt, scale)
        text, status = "holds", 0
    except Skip as skip:
        text, status = f"skipped: {skip}", SKIPPED
    except AssertionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        text = str(error) or "wrong"
        if not ours(error):
            text = f"raises AssertionError: {text}"
    except BaseException as error:
        if isinstance(error, SystemExit) and os.getpid() != pid:
            raise  # a forked child that is to end as programs do
        sys.excepthook(type(error), error, error.__traceback__)
        text = f"raises {type(error).__name__}: {error}"
    print(f"outcome: {text}".replace("\n", " ")[:200], flush=True)
    os._exit(status)  # exits are judged in scenarios of their own


def hear_ctrl_c():
    """Handle SIGINT as Python does where it was not started with SIGINT ignored.

    A script's background job is, and so is all that it starts.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ours(error):
    """Did a scenario raise it, and not a library?"""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == HERE


def call_program(where, library, kind, *args):
    """Call a function of a scenario's in this process, as its main program."""
    hear_ctrl_c()
    module, _, name = where.partition(":")
    rt = ADAPTERS[library, kind]()
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)(rt, *args)
