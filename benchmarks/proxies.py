"""Measures messages a second through a proxy: ratchet's, libzmq's in C, and two loops in Python.

All proxies run side by side, each in a process of its own, and one load after the other goes
through each of them in turn. The load is in C (c_proxy.c). The seconds of CPU time that a proxy's
process used for a message are shown as well: they tell less by chance on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from . import machine, workers

KINDS = {"ROUTER": "DEALER", "XSUB": "XPUB"}
PROXIES = ("ratchet", "c", "loops")
SIZES = (16, 1024)
HERE = Path(__file__).resolve().parent
# Seconds of one run that count, and messages of the run that guesses how many that are.
RUN = 0.6
GUESS = 20_000


def serve(name: str, front_type: str) -> None:
    """Be a proxy: bind both sides and print where."""
    import ratchet
    from ratchet import zmqsocket

    front, back = zmqsocket.new(front_type), zmqsocket.new(KINDS[front_type])
    if back.type == "XPUB":
        back.sndhwm = 0  # as in c_proxy.c
    for zsock in (front, back):
        zsock.linger = 0
        print(zsock.bind("tcp://127.0.0.1:*"), flush=True)
    if name == "ratchet":
        ratchet.proxy(front, back)
        return

    def forward(source: zmqsocket.ZMQSocket, target: zmqsocket.ZMQSocket) -> None:
        while True:
            try:
                target.send_multipart(source.recv_multipart())
            except ratchet.Error:  # a client that has left
                if source.closed or target.closed:
                    return

    threading.Thread(target=forward, args=(back, front), daemon=True).start()
    forward(front, back)


class Proxy:
    """One proxy that runs."""

    def __init__(self, name: str, kind: str, program: Path) -> None:
        line = [str(program), "proxy", kind]
        if name != "c":
            line = [sys.executable, "-m", f"{__package__}.proxies", "--serve", name, kind]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
        assert self.process.stdout
        self.program, self.kind = program, kind
        self.where = [self.process.stdout.readline().strip() for _ in range(2)]
        self.pass_through(SIZES[0], 100)

    def pass_through(self, size: int, count: int) -> tuple[float, float]:
        """Put a load on it; messages a second, and microseconds of its CPU time for each."""
        before = self.cpu()
        order = [str(self.program), "load", self.kind, *self.where, str(size), str(count)]
        seconds = float(workers.run(order, workers.LIMIT))
        return count / seconds, 1e6 * (self.cpu() - before) / count

    def cpu(self) -> float:
        """The seconds of CPU time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        user, system = fields.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def compiled(folder: Path) -> Path:
    """Compile the C side."""
    program = folder / "c_proxy"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = str(HERE / "c_proxy.c")
    workers.run([*compiler, "-O2", "-pthread", "-o", str(program), source, *workers.zmq_flags()])
    return program


def measure(kind: str, size: int, proxies: dict[str, Proxy], rounds: int) -> list[str]:
    """One table: each proxy once a round, nobody always first."""
    rates: dict[str, list[float]] = {name: [] for name in proxies}
    costs: dict[str, list[float]] = {name: [] for name in proxies}
    counts = {
        name: int(proxy.pass_through(size, GUESS)[0] * RUN) for name, proxy in proxies.items()
    }
    for number in range(rounds):
        names = list(proxies)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rate, cost = proxies[name].pass_through(size, counts[name])
            rates[name].append(rate)
            costs[name].append(cost)
    lines = [f"{kind}-{KINDS[kind]}, tcp, {size} bytes"]
    for name in proxies:
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        ratios = [mine / other for mine, other in zip(rates["ratchet"], rates[name], strict=True)]
        lines.append(
            f"  {name:8} {rate:10,.0f} /s  {cost:6.2f} us of CPU   ratchet against it: "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    return lines


def main() -> int:
    """Measure everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxies", description=__doc__)
    add = parser.add_argument
    add("--serve", nargs=2, metavar=("NAME", "TYPE"), help=argparse.SUPPRESS)
    add("--rounds", type=int, default=9, help="how many rounds count (9)")
    add("--only", choices=KINDS, help="one kind of proxy")
    args = parser.parse_args()
    if args.serve:
        serve(*args.serve)
        return 0
    print(machine.heading(machine.describe(), {}), flush=True)
    with workers.workshop() as folder, ExitStack() as stack:
        program = compiled(folder)
        for kind in [args.only] if args.only else KINDS:
            proxies = {}
            for name in PROXIES:
                proxies[name] = Proxy(name, kind, program)
                stack.callback(proxies[name].stop)
            for size in SIZES:
                print("", *measure(kind, size, proxies, args.rounds), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
