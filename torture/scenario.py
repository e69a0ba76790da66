"""What every scenario is made of: its promise, where it runs, its scale, and exact accounting."""

import inspect
import os
import random
import resource
import signal
import time
from collections import Counter
from typing import Any, NamedTuple

from harness.waiting import LONG

from .adapters import KINDS

LIBRARIES = ("ratchet", "pyzmq", "pyzmq-on-ratchet")


class Skip(Exception):
    """It cannot be tried here; the text says why."""


class Scenario(NamedTuple):
    """One promise and what tries to break it."""

    function: Any
    kinds: tuple[str, ...]
    libraries: tuple[str, ...]

    @property
    def name(self):
        return self.function.__name__

    @property
    def promise(self):
        return " ".join((inspect.getdoc(self.function) or "").split())


class Scale:
    """How much of it: the short form or the full one; and the dice."""

    def __init__(self, full, seed):
        self.full = full
        self.seed = seed
        self.random = random.Random(seed)

    def of(self, short, full):
        return full if self.full else short


SCENARIOS = {}


def scenario(*kinds, libraries=LIBRARIES):
    """Enter `function(runtime, scale)`; its docstring is the promise. No kinds: all of them."""

    def enter(function):
        here = tuple(kind for kind in kinds or KINDS if kind in KINDS)
        SCENARIOS[function.__name__] = Scenario(function, here, libraries)
        return function

    return enter


def account(sent, got, ordered=False):
    """Every message sent has come, once."""
    want, have = Counter(sent), Counter(got)
    lost, extra = want - have, have - want
    strays = {message: n for message, n in extra.items() if message not in want}
    faults = []
    if lost:
        faults.append(f"lost {lost.total()} of {want.total()}")
    if strays:
        faults.append(
            f"{sum(strays.values())} came that were not sent, as {next(iter(strays))!r:.40}"
        )
    if extra.total() > sum(strays.values()):
        faults.append(f"{extra.total() - sum(strays.values())} of {want.total()} came twice")
    assert not faults, ", ".join(faults)
    assert not ordered or list(sent) == list(got), "reordered"


def numbers(count, start=0):
    """Messages that can be told from each other."""
    return [b"%d" % n for n in range(start, start + count)]


async def drain(rt, sock, count, patience=2.0):
    """Up to `count` messages; fewer, when nothing comes any more."""
    got = []
    try:
        while len(got) < count:
            got.append(await rt.recv(sock, patience))
    except rt.timeouts:
        pass
    return got


async def fill(rt, sock, prefix=b"fill"):
    """Send until nothing more is taken."""
    sent = []
    try:
        while len(sent) < 100_000:
            await rt.send(sock, b"%s %d" % (prefix, len(sent)), 0 if sent else 5.0)
            sent.append(b"%s %d" % (prefix, len(sent)))
    except rt.timeouts:
        pass
    return sent


def fate(status):
    """In words: how a process ended, or nothing if it ended well."""
    if status >= 0:
        return f"exit status {status}" if status else ""
    number = -status
    name = signal.Signals(number).name
    words = {"SIGABRT": "aborts", "SIGKILL": "killed", "SIGTERM": "killed"}
    return f"{words.get(name, 'crashes')} ({name})"


class End(NamedTuple):
    """How a forked child ended."""

    status: int | None  # None: it hung, and was killed
    cpu: float

    @property
    def fault(self):
        """In words, or nothing if it ended well."""
        return "hangs" if self.status is None else fate(self.status)


def fork(rt, function):
    """Start a child that runs it: its status is what is returned, or 1 after an error."""
    pid = int(rt.fork())
    if pid == 0:
        leave_with(function)
    return pid


def leave_with(function):
    """Run it and end this process."""
    status = 1
    try:
        status = function() or 0
    except BaseException as error:  # noqa: BLE001 - the status tells
        os.write(2, f"in a child: {error!r}\n".encode())
    finally:
        os._exit(status)


def reap(pid, limit=LONG):
    """The child's end."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found, code, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return End(os.waitstatus_to_exitcode(code), usage.ru_utime + usage.ru_stime)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    return End(None, usage.ru_utime + usage.ru_stime)


def limit_to(what, soft):
    """Set a resource limit; the hard one stays, so that it can be lifted again."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
