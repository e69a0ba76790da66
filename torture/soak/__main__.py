"""Soaks ratchet: traffic of every runtime in several processes, with faults; each message counts.

Run as `python -m torture.soak --minutes 20 --plot soak.png`. Two processes, `left` and `right`,
live all the time; three victims, one of each runtime, are killed and started again. Each message
has a stream, a session, a number and a checksum. There are four kinds:

- steady: between `left` and `right`, and inside each. Every message must come exactly once, and in
  order unless several receivers share the socket. A sender may close its socket and open another,
  which begins a new session.
- asked: a client in `left` or `right` numbers its questions, and a server in a victim echoes them.
  A question may stay unanswered only if it was under way when the server was killed or closed, and
  never are there more of these than the client's window, each time.
- told: the same the other way round. Of each life of a victim's client the server must get the
  questions 0, 1, 2, … without a gap, and when it is killed all but the last window of them.
- churn: pairs of sockets that are opened, used, and closed under a paused receiver.

Meanwhile receives and sends time out, tasks are cancelled, ratchet threads killed, OS threads
replaced, sockets reopened; processes are stopped, continued, forked, and get storms of signals.
Ends with status 1 if a message is lost, duplicated, torn or out of order, if anything fails or
hangs, or if memory or descriptors of `left` or `right` grew by more than the slack after the
warm-up.
"""

import argparse
import importlib.util
import itertools
import json
import os
import queue
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from torture import ROOT

TRAFFIC = f"{__package__}.traffic"
STEADY = ("left", "right")
RUNTIMES = ("threads", "ratchet", "asyncio")
WINDOW = 64  # questions of a client that are not answered yet
NOTICE = 1.0  # seconds after a server is back in which its client may still be unaware of it
LATE = 10.0  # seconds; a message that takes longer was stuck, for no fault lasts so long
PATIENCE = 60.0  # seconds for an answer of a process
# What may come on top after the warm-up: a heap that settles. Five bytes a message of 20 minutes
# would be more.
SLACK = {"rss": 16 << 20, "descriptors": 16}
PORTS = range(20_000, 32_000)  # below those that the system gives to whoever connects
KINDS = ("steady", "asked", "told", "churn")
FIGURES = ("sent", "received", "lost", "written off", "duplicated", "misordered", "torn")


class Peer:
    """A process with traffic."""

    def __init__(self, soak, name, spec):
        self.soak, self.name, self.spec = soak, name, spec
        self.life = -1
        self.errors = soak.folder / f"{name}.err"
        self.start()

    def start(self):
        """Start it, again perhaps, and wait until it is ready."""
        self.life += 1
        self.lines = {
            key: queue.Queue() for key in ("ready", "done", "report", "forked", "reopened")
        }
        for client in self.spec["clients"]:
            if client["counter"]:
                client["session"] = self.life
                Path(client["counter"]).write_bytes(bytes(8))
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", TRAFFIC],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        self.send(json.dumps(self.spec))
        self.reader = threading.Thread(
            target=self.read, args=(self.process, self.lines), daemon=True
        )
        self.reader.start()
        self.expect("ready")

    def send(self, line):
        """Give an order."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.soak.fail(f"{self.name} is gone")

    def read(self, process, lines):
        """Sort what it says."""
        for line in process.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle
            for key, value in json.loads(line).items():
                if key == "failure":
                    self.soak.fail(f"{self.name}: {value}")
                elif key == "gap":
                    self.soak.gaps.append(value)
                else:
                    lines[key].put(value)

    def expect(self, key):
        """What it answers."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                return self.lines[key].get(timeout=0.1)
            except queue.Empty:
                if self.process.poll() is not None and self.lines[key].empty():
                    break
        self.signal(signal.SIGUSR2)  # its stacks go to its stderr
        time.sleep(0.5)
        raise Broken(f"{self.name} is not {key}, its status is {self.process.poll()}")

    def signal(self, number):
        """Send a signal, if it is there."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)

    def kill(self):
        """End it at once, and wait until it has."""
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def usage(self):
        """Resident memory in bytes and open descriptors; None where there is no /proc."""
        root = Path("/proc", str(self.process.pid))
        try:
            rss = int((root / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            return {"rss": rss, "descriptors": len(list((root / "fd").iterdir()))}
        except (OSError, IndexError):
            return None


class Broken(Exception):
    """No use in going on."""


def plan(folder, total_rate, stall, rng):
    """What each process does: a specification for each, by name."""
    ports = iter(free_ports(40, rng))
    numbers = itertools.count()

    def endpoint(transport):
        if transport == "tcp":
            return f"tcp://127.0.0.1:{next(ports)}"
        return f"{transport}://" + (f"{folder}/" * (transport == "ipc")) + f"soak-{next(numbers)}"

    streams = itertools.count(1)
    rate = total_rate / 24  # streams and clients; below
    plans = {
        name: {"seed": rng.random(), "stall": stall, "main": None}
        | {key: [] for key in ("ends", "clients", "servers", "churns")}
        for name in (*STEADY, *RUNTIMES)
    }

    def connect(source, target, senders, receivers, transport, types=("PUSH", "PULL"), **more):
        """Both ends of a connection; with DEALER both send."""
        both = types[0] == types[1]
        out = [[next(streams), name] for name in senders]
        back = [[next(streams), name] for name in receivers if both]
        common = {
            "endpoint": endpoint(transport), "rate": rate, "reopen": 0, "ordered": True,
            "options": {},
        } | more  # fmt: skip
        ends = [
            {"type": types[1], "how": "bind", "in": [n for n, _ in out], "out": back,
             "receivers": receivers, **common, "reopen": 0},
            {"type": types[0], "how": "connect", "in": [n for n, _ in back], "out": out,
             "receivers": senders if both else [], **common},
        ]  # fmt: skip
        for name, end in zip((target, source), ends, strict=True):
            plans[name]["ends"].append(end)

    queues, buffers = {"sndhwm": 10, "rcvhwm": 10}, {"sndbuf": 4096, "rcvbuf": 4096}
    for n, (sender, receiver) in enumerate(itertools.product(RUNTIMES, RUNTIMES)):
        source, target = STEADY if n % 2 else STEADY[::-1]
        # A sender that closes its socket may lose what libzmq has in hand: over ipc when the
        # receiver's queue is full (its issue 4660), over tcp when the system's buffers are. So
        # senders that reopen their sockets use tcp, with large buffers.
        connect(
            source, target, [sender], [receiver], ("tcp", "ipc")[n % 2],
            options=queues | (buffers if n % 2 else {}) if n % 4 < 2 else {},
            reopen=0 if n % 2 else 0.02,
        )  # fmt: skip
    every = list(RUNTIMES)
    connect("left", "right", every, every, "tcp", ("DEALER", "DEALER"), ordered=False)
    connect("left", "left", ["threads"], ["ratchet", "asyncio"], "inproc", ordered=False)
    connect(
        "right", "right", ["asyncio"], ["threads"], "inproc", options={"sndhwm": 5, "rcvhwm": 5}
    )
    connect("left", "right", ["threads"], ["threads"], "ipc")
    for name in STEADY:  # where signals are handled
        plans[name]["main"] = plans[name]["ends"].pop()
        plans[name]["churns"] = [
            {"runtime": each, "folder": str(folder), "patience": stall} for each in RUNTIMES
        ]
    for n, victim in enumerate(RUNTIMES):
        for client, server, runtimes in (
            (STEADY[n % 2], victim, (RUNTIMES[n - 1], victim)),
            (victim, STEADY[n % 2], (victim, RUNTIMES[n - 2])),
        ):
            told = client == victim
            common = {"stream": next(streams), "endpoint": endpoint(("tcp", "ipc")[n % 2])}
            counter = str(folder / f"{victim}.sent") if told else None
            plans[client]["clients"].append(
                {**common, "runtime": runtimes[0], "rate": rate, "session": 0, "counter": counter,
                 "window": WINDOW}
            )  # fmt: skip
            plans[server]["servers"].append({**common, "runtime": runtimes[1], "counts": told})
    return plans


def free_ports(count, rng):
    """Ports that nobody has."""
    probes, ports = [], []
    try:
        for port in rng.sample(PORTS, len(PORTS)):
            probes.append(probe := socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    finally:
        for probe in probes:
            probe.close()
    raise Broken(f"no {count} free ports")


class Soak:
    """One run."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.rng = random.Random(args.seed)
        self.failures, self.gaps, self.samples = [], [], []
        self.faults = Counter()
        self.outages = {}  # [begin, end, questions written off so far], by stream
        self.lives = {}  # questions a killed client had sent at most, by stream and session
        self.peers = {}
        self.over, self.early = threading.Event(), threading.Event()
        self.began = time.monotonic()

    def fail(self, what):
        """Something that must not be."""
        if len(self.failures) < 100:
            self.failures.append(what)
        print(f"FAILURE {what}", file=sys.stderr, flush=True)

    def run(self):
        """The whole of it; the outcome as a dictionary."""
        sampler = threading.Thread(target=self.sample, daemon=True)
        reports = {}
        try:
            for name, spec in plan(self.folder, self.args.rate, self.args.stall, self.rng).items():
                self.peers[name] = Peer(self, name, spec)
            self.began = time.monotonic()
            sampler.start()
            signal.signal(signal.SIGINT, lambda *_: self.early.set())  # after the fault in progress
            self.inject(self.began + self.args.minutes * 60)
            reports = self.end()
        except Broken as error:
            self.fail(str(error))
        finally:
            self.over.set()
            for peer in self.peers.values():
                peer.signal(signal.SIGCONT)
                peer.kill()
                if text := peer.errors.read_text():
                    self.fail(f"stderr of {peer.name}: {text[-20_000:]}")
        return self.judge(reports)

    def sample(self):
        """Memory and descriptors over time."""
        while not self.over.is_set():
            usages = {name: peer.usage() for name, peer in list(self.peers.items())}
            self.samples.append({"seconds": round(time.monotonic() - self.began, 2), **usages})
            self.over.wait(min(1.0, self.args.minutes))

    # Faults

    def inject(self, until):
        """One fault after another, each kind as often as the others, in random order."""
        victims = [self.peers[name] for name in RUNTIMES]
        steady = [self.peers[name] for name in STEADY]
        deck = []
        while time.monotonic() < until and not self.early.is_set():
            if not deck:
                deck = [(self.kill, victim) for victim in victims]
                deck += [(self.close, victim) for victim in victims]
                deck += [
                    (fault, peer) for fault in (self.fork, self.storm, self.stop) for peer in steady
                ]
                deck += [(fault, self.rng.choice(victims)) for fault in (self.storm, self.stop)]
                self.rng.shuffle(deck)
            fault, peer = deck.pop()
            fault(peer)
            for peer in self.peers.values():
                if peer.process.poll() is not None:
                    raise Broken(f"{peer.name} ended with status {peer.process.poll()}")
            time.sleep(self.rng.uniform(0.0, 2 * self.args.every))

    def outage(self, victim, begin, end):
        """Questions to the victim under way in between may be lost."""
        for server in victim.spec["servers"]:
            self.outages.setdefault(server["stream"], []).append([begin, end + NOTICE, 0])

    def kill(self, victim):
        """SIGKILL, and a new life."""
        begin = time.monotonic()
        victim.kill()
        for client in victim.spec["clients"]:
            sent = int.from_bytes(Path(client["counter"]).read_bytes(), "little")
            self.lives[client["stream"], victim.life] = sent
        time.sleep(self.rng.uniform(0, 0.3))
        victim.start()
        self.outage(victim, begin, time.monotonic())
        self.faults["processes killed and started again"] += 1

    def close(self, victim):
        """Its server's socket is closed under it; it opens another."""
        begin = time.monotonic()
        victim.send("close")
        self.outage(victim, begin, victim.expect("reopened"))
        self.faults["servers' sockets closed and reopened"] += 1

    def fork(self, peer):
        """A child that tries an inherited socket, and uses one of its own."""
        peer.send("fork")
        if status := peer.expect("forked"):
            self.fail(f"a forked child of {peer.name} ended with {status}")
        self.faults["forks"] += 1

    def storm(self, peer):
        """Signals as fast as they are heard."""
        for _ in range(200):
            peer.signal(signal.SIGUSR1)
            time.sleep(0.001)
        self.faults["storms of 200 signals"] += 1

    def stop(self, peer):
        """SIGSTOP, and SIGCONT a while later."""
        peer.signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.05, 0.5))
        peer.signal(signal.SIGCONT)
        self.faults["processes stopped and continued"] += 1

    # The end

    def end(self):
        """Let everything come to its end; what each process reports."""
        time.sleep(NOTICE)
        for peer in self.peers.values():
            peer.send("stop")
        for peer in self.peers.values():
            peer.expect("done")
        self.over.set()
        reports = {}
        for name in (*RUNTIMES, *STEADY):
            peer = self.peers[name]
            peer.send("end")
            reports[name] = peer.expect("report")
            try:
                status = peer.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise Broken(f"{name} has reported and does not exit") from None
            if status:
                self.fail(f"{name} ended with status {status}")
        return reports

    def judge(self, reports):
        """The figures, and the verdict."""
        figures = {kind: dict.fromkeys(FIGURES, 0) for kind in KINDS}
        for report in reports.values():
            for stream, sent in report["sent"].items():
                ledger = next(
                    r["ledgers"][stream] for r in reports.values() if stream in r["ledgers"]
                )
                add(figures["steady"], ledger, sent=sent, lost=sent - ledger["received"])
            sent, received = report["churn"].get("sent", 0), report["churn"].get("received", 0)
            add(figures["churn"], {}, sent=sent, received=received, lost=sent - received)
            self.faults.update(report["faults"])
        for client in (c for peer in self.peers.values() for c in peer.spec["clients"]):
            owner = next(
                (r for r in reports.values() if str(client["stream"]) in r["clients"]), None
            )
            if owner is None:
                continue
            mine = owner["clients"][str(client["stream"])]
            kind = "told" if client["counter"] else "asked"
            (self.judge_told if client["counter"] else self.judge_asked)(
                figures[kind], client, mine, reports
            )
        for kind, found in figures.items():
            for name in ("lost", "duplicated", "misordered", "torn"):
                if found[name]:
                    self.fail(f"{kind}: {found[name]} {name}")
        slowest = max((report["slowest"] for report in reports.values()), default=0.0)
        if slowest > LATE:
            self.fail(f"a message took {slowest:.1f} s, although no fault lasts so long")
        growth = self.growth()
        return {
            "seed": self.args.seed, "minutes": self.args.minutes, "messages": figures,
            "slowest": round(slowest, 2), "faults": dict(sorted(self.faults.items())),
            "growth": growth, "failures": self.failures, "samples": self.samples,
        }  # fmt: skip

    def judge_asked(self, figures, client, mine, _):
        """What is unanswered was under way in an outage, and at most a window of it in each."""
        excused = 0
        outages = self.outages.get(client["stream"], [])
        gaps = [gap for gap in self.gaps if gap[0] == client["stream"]]
        for _, sent, noticed in gaps:
            for outage in outages:
                if sent <= outage[1] and noticed >= outage[0] and outage[2] < WINDOW:
                    outage[2] += 1
                    excused += 1
                    break
            else:
                near = [outage for outage in outages if abs(outage[0] - sent) < LATE]
                self.fail(
                    f"a question of {sent} was left out, as seen at {noticed}: {client} {near}"
                )
        lost = mine["sent"] - mine["answered"] - excused
        add(figures, mine, sent=mine["sent"], received=mine["answered"], lost=lost)
        figures["written off"] += excused

    def judge_told(self, figures, client, mine, reports):
        """Each life but the last may lack its last window."""
        server = next(
            r["servers"][str(client["stream"])]
            for name, r in reports.items()
            if name in STEADY and str(client["stream"]) in r["servers"]
        )
        lives = {
            life: sent for (stream, life), sent in self.lives.items() if stream == client["stream"]
        }
        last = client["session"]
        for life, sent in {**lives, last: mine["sent"]}.items():
            missing = sent - server["sessions"].get(str(life), 0)
            off = missing if life != last and 0 <= missing <= WINDOW else 0
            add(figures, {}, sent=sent, lost=missing - off)
            figures["written off"] += off
        add(figures, server)
        # Its server is never killed, so the last life lacks no answer; earlier ones told of gaps.
        gaps = sum(gap[0] == client["stream"] for gap in self.gaps)
        figures["lost"] += gaps + mine["open"]

    def growth(self):
        """How memory and descriptors of the processes that live all the time developed."""
        warm_up = min(120.0, self.args.minutes * 60 / 4)
        found = {}
        for name in STEADY:
            rows = [(row["seconds"], row[name]) for row in self.samples if row.get(name)]
            warm = [row for row in rows if row[0] >= warm_up]
            if len(warm) < 4:
                continue
            tenth = max(1, len(warm) // 10)
            for what in ("rss", "descriptors"):
                first, last = (
                    int(statistics.median(usage[what] for _, usage in part))
                    for part in (warm[:tenth], warm[-tenth:])
                )
                slope = statistics.linear_regression(
                    [seconds / 60 for seconds, _ in warm], [usage[what] for _, usage in warm]
                ).slope
                found[f"{name} {what}"] = {
                    "start": rows[0][1][what], "warm": first, "end": last,
                    "a minute": round(slope, 1),
                }  # fmt: skip
                if last - first > SLACK[what]:
                    self.fail(f"{name}: {what} grew from {first} to {last}")
        return found


def add(figures, found, **more):
    """Add what was found, as far as there is a column for it."""
    for name, count in {**found, **more}.items():
        if name in figures:
            figures[name] += count


# Output


def show(outcome):
    """Print the summary."""
    print(f"\n{'messages':<10}" + "".join(f"{name:>12}" for name in FIGURES))
    for kind, figures in outcome["messages"].items():
        print(f"{kind:<10}" + "".join(f"{figures[name]:>12,}" for name in FIGURES))
    print(f"\nthe slowest message took {outcome['slowest']} s")
    print("\nfaults")
    for name, count in outcome["faults"].items():
        print(f"{count:>12,}  {name}")
    print(f"\n{'growth':<20}{'start':>12}{'warmed up':>12}{'end':>12}{'a minute':>12}")
    for name, row in outcome["growth"].items():
        unit = 1 << 20 if name.endswith("rss") else 1
        values = (f"{value / unit:>12,.{2 if unit > 1 else 0}f}" for value in row.values())
        print(f"{name + (' MiB' if unit > 1 else ''):<20}" + "".join(values))
    if not outcome["growth"]:
        print("not measured: too short, or no /proc here")
    print()
    for failure in outcome["failures"]:
        print(f"FAILURE {failure}")
    print("FAILED" if outcome["failures"] else "passed")


def plot(outcome, path):
    """Draw memory and descriptors over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, what, label, unit in zip(
        axes, ("rss", "descriptors"), ("resident memory, MiB", "descriptors"), (1 << 20, 1),
        strict=True,
    ):  # fmt: skip
        for name in STEADY:
            rows = [row for row in outcome["samples"] if row.get(name)]
            axis.plot(
                [row["seconds"] / 60 for row in rows],
                [row[name][what] / unit for row in rows],
                label=name,
            )
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower right")
    axes[1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main():
    """Run and report; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m torture.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="of traffic (%(default)g)")
    parser.add_argument(
        "--rate", type=float, default=3000.0, help="messages a second (%(default)g)"
    )
    parser.add_argument(
        "--every", type=float, default=0.5, help="seconds between faults (%(default)g)"
    )
    parser.add_argument(
        "--stall", type=float, default=20.0,
        help="seconds without progress at the end after which the rest is lost (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, help="a file for the figures and samples")
    parser.add_argument("--plot", type=Path, help="a PNG for memory and descriptors over time")
    args = parser.parse_args()
    if args.plot and importlib.util.find_spec("matplotlib") is None:
        print("no plot: it needs 'pip install --group soak', which is matplotlib", file=sys.stderr)
        args.plot = None
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = Soak(args, Path(folder)).run()
    show(outcome)
    if args.json:
        args.json.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plot(outcome, args.plot)
    return 1 if outcome["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
