"""pyzmq's API on all sides: pyzmq, and ratchet as its backend. ``python -m benchmarks.pyzmq_api``.

Two backends cannot be in one process. So a process for each takes its turn, again and again, and
what is told is the median over the rounds of the quotient of two neighbours.

pyzmq's wheel brings a libzmq of its own, and so do ratchet's: "ratchet-own" is one that was built
with such a libzmq (``make bench-full`` makes it), where there is one. "ratchet" is the one that is
installed here, as a rule with the system's libzmq.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time

from . import workers

HEARTBEAT = "10 ms beat, worst delay"  # beside a busy socket of zmq.asyncio
BACKEND = "ratchet.pyzmq.backend"


def measured(function, count):
    """Nanoseconds for one of ``count`` calls: the best of three."""
    function(count // 10 + 1)
    best = None
    for _ in range(3):
        began = time.perf_counter_ns()
        function(count)
        taken = (time.perf_counter_ns() - began) / count
        best = taken if best is None else min(best, taken)
    return best


def linked(context, left, right, endpoint):
    bound, other = context.socket(left), context.socket(right)
    bound.linger = other.linger = 0
    bound.bind(endpoint)
    other.connect(bound.last_endpoint.decode().rstrip("\0"))
    return bound, other


def one_by_one(send, recv):
    def function(count):
        for _ in range(count):
            send()
            recv()

    return function


def plain(zmq, context, scale):
    """The calls that block."""
    found = {}
    for transport in ("inproc", "tcp"):
        where = "tcp://127.0.0.1:*" if transport == "tcp" else "inproc://plain"
        left, right = linked(context, zmq.PAIR, zmq.PAIR, where)

        def burst(count, left=left, right=right):
            while count > 0:
                some = min(count, 500)
                for _ in range(some):
                    left.send(b"x" * 16)
                for _ in range(some):
                    right.recv()
                count -= some

        found[f"16 B, {transport}"] = measured(burst, int(20_000 * scale))
    parts = [b"a", b"b" * 16, b"c" * 100]
    left, right = linked(context, zmq.PAIR, zmq.PAIR, "inproc://parts")
    cases = {
        "three parts": (lambda: left.send_multipart(parts), right.recv_multipart),
        "string": (lambda: left.send_string("text"), right.recv_string),
        "json": (lambda: left.send_json({"a": 1}), right.recv_json),
        "pyobj": (lambda: left.send_pyobj({"a": 1}), right.recv_pyobj),
    }
    for name, calls in cases.items():
        found[name] = measured(one_by_one(*calls), int(5_000 * scale))

    def empty(count):
        for _ in range(count):
            try:
                right.recv(zmq.NOBLOCK)
            except zmq.Again:
                pass

    found["empty recv(NOBLOCK)"] = measured(empty, int(5_000 * scale))
    poller = zmq.Poller()
    pairs = [linked(context, zmq.PAIR, zmq.PAIR, f"inproc://poll{i}") for i in range(10)]
    for _, one in pairs:
        poller.register(one, zmq.POLLIN)
    pairs[3][0].send(b"x")

    def poll(count):
        for _ in range(count):
            poller.poll()

    found["poll of ten"] = measured(poll, int(3_000 * scale))
    return found


async def heartbeat(left, right, seconds):
    """The worst delay of a heartbeat beside a task whose calls are always ready, in nanoseconds."""
    ends = time.monotonic() + seconds
    worst = 0

    async def beat():
        nonlocal worst
        while time.monotonic() < ends:
            due = time.perf_counter_ns() + 10_000_000
            await asyncio.sleep(0.01)
            worst = max(worst, time.perf_counter_ns() - due)

    beating = asyncio.ensure_future(beat())
    await asyncio.sleep(0)
    while time.monotonic() < ends:
        await left.send(b"x" * 16)
        await right.recv()
    await beating
    return worst


def awaited(scale):
    """The calls of zmq.asyncio."""
    import zmq
    import zmq.asyncio

    async def main():
        context = zmq.asyncio.Context()
        found = {}
        left, right = linked(context, zmq.PAIR, zmq.PAIR, "inproc://ready")
        back, forth = linked(context, zmq.PAIR, zmq.PAIR, "inproc://forth")

        async def ready(count):
            for _ in range(count):
                await left.send(b"x" * 16)
                await right.recv()

        async def echo(count):
            for _ in range(count):
                await back.send(await right.recv())

        async def waiting(count):
            other = asyncio.ensure_future(echo(count))
            for _ in range(count):
                await left.send(b"x" * 16)
                await forth.recv()
            await other

        for name, function, often in (("ready", ready, 5_000), ("waiting", waiting, 2_000)):
            count = int(often * scale)
            await function(count // 10 + 1)
            best = None
            for _ in range(3):
                began = time.perf_counter_ns()
                await function(count)
                taken = (time.perf_counter_ns() - began) / count
                best = taken if best is None else min(best, taken)
            found[f"asyncio, {name}"] = best
        found[HEARTBEAT] = await heartbeat(left, right, scale)
        context.destroy(linger=0)
        return found

    return asyncio.run(main())


def work(scale, site):
    if site:
        sys.path.insert(0, site)
    import zmq

    context = zmq.Context()
    found = plain(zmq, context, scale)
    context.destroy(linger=0)
    print(json.dumps({"libzmq": zmq.zmq_version(), **found, **awaited(scale)}))


def sides():
    """The libraries, each with the folder where its ratchet is, "" where Python finds it."""
    found = {"pyzmq": "", "ratchet": ""}
    try:
        found["ratchet-own"] = str(workers.own_site())
    except workers.WorkerError as error:
        print(f"left out: ratchet-own: {error}", file=sys.stderr)
    return found


def one_round(side, site, scale):
    env = {**os.environ}
    env.pop("PYZMQ_BACKEND", None)
    if side != "pyzmq":
        env["PYZMQ_BACKEND"] = BACKEND
    command = [sys.executable, "-m", "benchmarks.pyzmq_api", "--work", "--site", site]
    command += ["--scale", str(scale)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of how often each call is made")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--site", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.scale, arguments.site)
        return
    taking_part = sides()
    rounds = [
        {side: one_round(side, site, arguments.scale) for side, site in taking_part.items()}
        for _ in range(arguments.rounds)
    ]
    libzmqs = {side: rounds[0][side]["libzmq"] for side in taking_part}
    print("libzmq: " + ", ".join(f"{number} ({side})" for side, number in libzmqs.items()))
    print(f"{'':24}{'pyzmq, ns':>12}", end="")
    print(
        "".join(
            f"{side + ', ns':>18}{'times':>7}{'least to most':>20}" for side in [*taking_part][1:]
        )
    )
    for case in rounds[0]["pyzmq"]:
        if case == "libzmq":
            continue
        print(f"{case:24}{statistics.median(one['pyzmq'][case] for one in rounds):12,.0f}", end="")
        for side in [*taking_part][1:]:
            times = sorted(one["pyzmq"][case] / one[side][case] for one in rounds)
            spread = f"{times[0]:.2f} to {times[-1]:.2f}"
            middle = statistics.median(one[side][case] for one in rounds)
            print(f"{middle:18,.0f}{statistics.median(times):7.2f}{spread:>20}", end="")
        print()


if __name__ == "__main__":
    main()
