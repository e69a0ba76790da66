"""The traffic of one process of the soak, whose `__main__` tells what it is for and starts this.

What to do comes as a line of JSON on stdin, then orders, a word a line; what happens goes to
stdout, a line of JSON each.
"""

import contextlib
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter

from harness import within
from harness.runtimes import drive

import ratchet
from ratchet import zmqsocket

from .works import (
    LATE,
    RUNTIMES,
    Churn,
    Client,
    End,
    Job,
    Server,
    all_of,
    closing,
    faults,
    forget,
    opened,
    say,
    stopping,
    supervised,
)


class Worker:
    """All traffic of one process."""

    def __init__(self, spec):
        rng = random.Random(spec["seed"])
        self.stall = spec["stall"]

        def each(kind, entries):
            return [kind(entry, random.Random(rng.random())) for entry in entries]

        self.ends = each(End, spec["ends"])
        self.clients = each(Client, spec["clients"])
        self.servers = each(Server, spec["servers"])
        self.churns = each(Churn, spec["churns"])
        works = {name: [] for name in RUNTIMES}
        for rt, work in (pair for part in self.parts() for pair in part.works()):
            works[rt.name].append(supervised(rt, work, random.Random(rng.random())))
        self.threads = [
            threading.Thread(target=self.main, args=(RUNTIMES[name], todo), daemon=True)
            for name, todo in works.items()
            if todo
        ]
        self.own = End(spec["main"], rng) if spec["main"] else None  # the main thread's

    def parts(self):
        """Everything that has works."""
        return [*self.ends, *self.clients, *self.servers, *self.churns]

    def main(self, rt, works):
        """A runtime in its own OS thread."""
        try:
            rt.main(all_of, works)
        except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
            say(failure=traceback.format_exc())

    def run(self):
        """Until told to end."""
        for target in (self.obey, self.watch):
            threading.Thread(target=target, daemon=True).start()
        for one in self.threads:
            one.start()
        say(ready=time.monotonic())
        for _, work in self.own.works() if self.own else ():
            drive(Job(work).run())
        closing.wait()
        for one in self.threads:
            one.join(LATE)
            if one.is_alive():
                say(failure="a runtime does not end although its sockets are closed")
        say(report=self.report())

    def watch(self):
        """Tell when all is sent and received, or stands still; at the end close all sockets."""
        todo = [*self.ends, *self.clients, *self.churns, *([self.own] if self.own else [])]
        stopping.wait()
        before, since = None, time.monotonic()
        while not all(part.done() for part in todo) and time.monotonic() < since + self.stall:
            time.sleep(0.05)
            now = self.report() | {"faults": None}
            if now != before:
                before, since = now, time.monotonic()
        for part in todo:
            if not part.done():
                say(failure=f"stands still: {part.describe()}")
        say(done=True)
        closing.wait()
        for zsock in list(opened):
            zsock.close()

    def report(self):
        """The figures."""
        ends = [*self.ends, *([self.own] if self.own else [])]
        ledgers = {stream: led for end in ends for stream, led in end.ledgers.items()}
        return {
            "sent": {sender.stream: sender.sent for end in ends for sender in end.senders},
            "ledgers": {stream: dict(ledger.count) for stream, ledger in ledgers.items()},
            "slowest": max((ledger.slowest for ledger in ledgers.values()), default=0.0),
            "clients": {client.spec["stream"]: client.report() for client in self.clients},
            "churn": sum((churn.count for churn in self.churns), Counter()),
            "servers": {
                server.spec["stream"]: dict(server.count)
                | {"sessions": {key: value.next for key, value in server.sessions.items()}}
                for server in self.servers
            },
            "faults": dict(faults),
        }

    def obey(self):
        """Do what the lines on stdin say; without them there is nobody to work for."""
        for line in sys.stdin:
            order = line.strip()
            if order == "stop":
                stopping.set()
            elif order == "end":
                closing.set()
                return
            elif order == "fork":
                say(forked=fork())
            elif order == "close":
                for server in self.servers:
                    before = server.opens
                    forget(server.zsock)
                    while server.opens == before:
                        time.sleep(0.005)
                say(reopened=time.monotonic())
        os._exit(3)


def fork():
    """The exit status of a child that uses a parent's socket and one of its own."""
    inherited = list(opened)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are what this is about
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for zsock in inherited:
                with contextlib.suppress(ratchet.ForkedError, ratchet.ClosedError):
                    zsock.is_readable()
                    os._exit(2)
            left, right = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
            left.bind("inproc://child")
            right.connect("inproc://child")
            right.send(b"alive", timeout=LATE)
            status = left.recv(timeout=LATE) != (b"alive", False)
        finally:
            os._exit(status)
    return within.status(pid, LATE)


def main():
    """Be one of the processes with traffic."""

    def count(*_):
        faults["signals handled"] += 1  # no lock: the main thread may hold it

    signal.signal(signal.SIGUSR1, count)
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    Worker(json.loads(sys.stdin.readline())).run()


if __name__ == "__main__":
    main()
