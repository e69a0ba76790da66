"""Metrics of a thousand processes, counted in one place.

Each process reports totals, not changes: a report that is lost is made good by the next one, and a
report that comes twice counts once. So a report is never waited for: if the one before has not been
sent yet, as no collector is there, it is left out. A collector that is started anew has all totals
again after one period.

Here four processes stand for a thousand: each has 250 ratchet threads with a socket, and so a
connection, of its own.
"""

import contextlib
import json
import multiprocessing
import sys
import time

from ratchet import Timeout, run, thread, zmqsocket

PROCESSES, EACH = 4, 250
SECONDS, PERIOD = 2.0, 0.5  # of the measurement; between two reports


class Metrics:
    """The totals of one process, and where they are reported."""

    def __init__(self, endpoint, name):
        self.name, self.totals = name, {}
        self.push = zmqsocket.new("PUSH", sndhwm=1, reconnect_ivl=0.05)
        self.push.connect(endpoint)

    def add(self, metric, amount=1):
        """Count something."""
        self.totals[metric] = self.totals.get(metric, 0) + amount

    def report(self, timeout=0):
        """Have the totals sent, unless the report before still waits after ``timeout`` seconds."""
        with contextlib.suppress(Timeout):
            self.push.send(json.dumps([self.name, self.totals]).encode(), timeout=timeout)


class Collector:
    """The newest totals of each process."""

    def __init__(self):
        self.totals, self.reports = {}, 0

    def take(self, pull, timeout=...):
        """Take in the reports that are there, or the next one."""
        for report in pull.recv_many(1000, timeout=timeout):
            name, totals = json.loads(report)
            known = self.totals.setdefault(name, {})
            for metric, total in totals.items():
                known[metric] = max(total, known.get(metric, 0))
            self.reports += 1

    def sum(self, metric):
        """Return the sum over all processes."""
        return sum(totals.get(metric, 0) for totals in self.totals.values())


def program(endpoint, name, period, over):
    """Count requests and report them, until it is over; the rest of a program is left out."""
    metrics = Metrics(endpoint, name)
    with metrics.push:
        while not over.is_set():
            thread.timer(period)
            metrics.add("requests", 10)
            metrics.report()
        metrics.report(timeout=5.0)  # the last one is waited for
    return metrics.totals["requests"]


def process(endpoint, number, each, period, over, counted):
    """Be so many processes of a system; put what they have counted into a queue."""

    def entry():
        threads = []
        for one in range(each):
            threads.append(thread.attach(program, endpoint, f"{number}.{one}", period, over))
            thread.timer(period / each)  # real ones would not report all at once
        return sum(one.result() for one in threads)

    total = run(entry)
    counted.put(total)


def main():
    """Collect for some seconds; compare what has come with what was counted."""
    spawn = multiprocessing.get_context("spawn")
    counted, over, collector = spawn.Queue(), spawn.Event(), Collector()
    with zmqsocket.new("PULL") as pull:
        endpoint = pull.bind("tcp://127.0.0.1:*")
        processes = [
            spawn.Process(target=process, args=[endpoint, n, EACH, PERIOD, over, counted])
            for n in range(PROCESSES)
        ]
        for one in processes:
            one.start()
        while len(collector.totals) < PROCESSES * EACH:
            collector.take(pull, timeout=20.0)
        began, cpu, reports = time.monotonic(), time.process_time(), collector.reports
        while time.monotonic() < began + SECONDS:
            collector.take(pull, timeout=20.0)
        over.set()
        seconds, reports = time.monotonic() - began, collector.reports - reports
        cpu = (time.process_time() - cpu) / reports
        right = 0
        for _ in processes:
            while counted.empty():  # and the last reports come
                with contextlib.suppress(Timeout):
                    collector.take(pull, timeout=0.1)
            right += counted.get()
        while collector.sum("requests") < right:
            collector.take(pull, timeout=20.0)
        for one in processes:
            one.join()
    print(
        f"{PROCESSES * EACH} connections, {reports / seconds:.0f} reports/s, {cpu * 1e6:.0f} us of "
        f"CPU time each; counted {right}, collected {collector.sum('requests')}"
    )
    return collector.sum("requests") == right


if __name__ == "__main__":
    sys.exit(not main())
