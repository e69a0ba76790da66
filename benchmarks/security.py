"""Measures what security costs: handshakes with an allow-list, and messages after them.

Run as `python -m benchmarks.security`. A handshake with the list of 10,000 keys is compared with
one of a CURVE server without a handler, by the CPU time of the server's process and by the clock;
messages, in batches, with those of plain C, by the CPU time of both sides and by the clock. The two
of a pair take turns; the median ratio counts. On a machine that does other things too the clock
tells little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ratchet import auth, zmqsocket

from .workers import WorkerError, run, zmq_flags

KEYS = 10_000
AT_ONCE = 50  # clients that shake hands at the same time
SIZES = (16, 1024)
BATCH = 100  # messages that ratchet sends in one call
LIMIT = 120.0  # seconds for one measurement
COMPILER = "cc"
HERE = Path(__file__).parent


def used() -> float:
    """Seconds of CPU that this process has used."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def serve(how: str, secret: str, folder: str) -> None:
    """Be a server: print the endpoint, then for each line on stdin the CPU time used so far."""
    keys = auth.load(secret)
    options = {
        "no handler": {"curve_server": True, "curve_secretkey": keys.secret},
        "keys": {"curve": keys},
        "folder": {"curve": keys, "clients": [Path(folder)]},
    }[how]
    if how == "keys":
        listed = [auth.generate().public for _ in range(KEYS - 1)]
        options["clients"] = [*listed, auth.load(Path(folder, "client0.key")).public]
    with zmqsocket.new("ROUTER", backlog=1000, linger=0, **options) as router:
        print(router.bind("tcp://127.0.0.1:*"), flush=True)
        while True:
            readable, _ = zmqsocket.select([router, sys.stdin])
            if sys.stdin in readable:
                if not sys.stdin.readline():
                    return
                print(used(), flush=True)
            if router in readable:
                with contextlib.suppress(TimeoutError):
                    while True:
                        router.send_multipart(router.recv_multipart(timeout=0))


def shake(endpoint: str, own: auth.CurveKeys, server: str, count: int) -> None:
    """Connect so many clients, and wait until each has had an answer."""
    while count > 0:
        clients = [
            zmqsocket.new("DEALER", curve=own, server=server, linger=0)
            for _ in range(min(AT_ONCE, count))
        ]
        for client in clients:
            client.connect(endpoint)
            client.send(b"x")
        for client in clients:
            client.recv(timeout=LIMIT)
            client.close()
        count -= len(clients)


class Server:
    """A server in a process of its own."""

    def __init__(self, how: str, secret: Path, folder: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.security", "--serve", how, str(secret), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = self.process.stdout.readline().strip()  # type: ignore[union-attr]

    def used(self) -> float:
        self.process.stdin.write("\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        return float(self.process.stdout.readline())  # type: ignore[union-attr]

    def close(self) -> None:
        self.process.communicate()


def handshakes(how: list[str], rounds: int, count: int) -> dict[str, list[tuple[float, float]]]:
    """Measure (CPU seconds of the server, seconds) of so many handshakes, in turns."""
    found: dict[str, list[tuple[float, float]]] = {one: [] for one in how}
    with tempfile.TemporaryDirectory() as folder:
        client, server = auth.generate(), auth.generate()
        _, secret = auth.save(Path(folder, "server"), "server", server)
        assert secret is not None
        places = {one: Path(folder, one) for one in how}
        for one, place in places.items():
            auth.save(place, "client0", client)
            for number in range(1, KEYS if one == "folder" else 0):
                text = f'curve\n    public-key = "{auth.generate().public}"\n'
                Path(place, f"client{number}.key").write_text(text, encoding="utf-8")
        servers = {one: Server(one, secret, str(places[one])) for one in how}
        for one in how:
            shake(servers[one].endpoint, client, server.public, AT_ONCE)  # and read the folder
        time.sleep(3)  # so that it counts as settled
        for _ in range(rounds):
            for one, running in servers.items():
                before, began = running.used(), time.monotonic()
                shake(running.endpoint, client, server.public, count)
                took = time.monotonic() - began
                found[one].append((running.used() - before, took))
        for running in servers.values():
            running.close()
    return found


def messages(program: Path, size: int, count: int, library: str) -> tuple[float, float]:
    """Return the (CPU seconds of both sides, seconds) of so many messages between two processes.

    The CPU time is that from before the connect, or from the first message on, until the last has
    come: to begin and to end, Python takes as much as 100,000 messages do.
    """
    keys = auth.generate()
    assert keys.secret is not None
    ours = [sys.executable, "-m", "benchmarks.security"]
    pull = [str(program), "pull"] if library == "C" else [*ours, "--pull"]
    push = [str(program), "push"] if library == "C" else [*ours, "--push"]
    puller = subprocess.Popen([*pull, keys.secret, str(count)], stdout=subprocess.PIPE, text=True)
    assert puller.stdout is not None
    endpoint = puller.stdout.readline().strip().strip("\0")
    pusher = subprocess.Popen(
        [*push, keys.public, endpoint, str(count), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    took, *pulling = map(float, puller.communicate(timeout=LIMIT)[0].split())
    pushing = [float(text) for text in pusher.communicate("all\n", timeout=LIMIT)[0].split()]
    return pulling[1] - pulling[0] + pushing[1] - pushing[0], took


def be_pull(secret: str, count: str) -> None:
    keys = auth.CurveKeys(zmq_public(secret), secret)
    with zmqsocket.new("PULL", curve=keys, clients=auth.ANY) as pull:
        print(pull.bind("tcp://127.0.0.1:*"), flush=True)
        pull.recv()
        left, began, begun = int(count) - 1, time.perf_counter(), used()
        while left:
            left -= len(pull.recv_many(left))
        print(time.perf_counter() - began, begun, used())


def zmq_public(secret: str) -> str:
    from ratchet import curve_public

    return curve_public(secret)


def be_push(server: str, endpoint: str, count: str, size: str) -> None:
    data = bytes(int(size))
    with zmqsocket.new("PUSH", curve=auth.generate(), server=server, linger=60) as push:
        begun = used()
        push.connect(endpoint)
        for _ in range(0, int(count), BATCH):
            push.send_many([data] * BATCH)
        sys.stdin.readline()  # all have come
        print(begun, used())


def compare(name: str, ratios: list[float], least: float) -> None:
    low, mid, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"{name:44} {mid:.2f} ({low:.2f} to {high:.2f}; at least {least})", flush=True)


def main() -> int:
    """Measure it all."""
    roles = {"--serve": serve, "--pull": be_pull, "--push": be_push}
    if sys.argv[1:2] and sys.argv[1] in roles:
        roles[sys.argv[1]](*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.security",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
    )
    parser.add_argument("--rounds", type=int, default=5, help="%(default)s")
    parser.add_argument("--handshakes", type=int, default=500, help="a round (%(default)s)")
    parser.add_argument("--messages", type=int, default=200_000, help="a round (%(default)s)")
    parser.add_argument("--json", type=Path, help="write every sample there")
    args = parser.parse_args()
    samples: dict[str, object] = {}
    found = handshakes(["no handler", "keys", "folder"], args.rounds, args.handshakes)
    samples["handshakes"] = found
    for one, what in (("keys", f"{KEYS:,} keys"), ("folder", f"a folder of {KEYS:,}")):
        pairs = list(zip(found["no handler"], found[one], strict=True))
        cpu = [bare[0] / ours[0] for bare, ours in pairs]
        compare(f"handshakes, {what}: CPU of the server", cpu, 0.7)
        compare(f"handshakes, {what}: by the clock", [a[1] / b[1] for a, b in pairs], 0.7)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "curve_peer")
        try:
            flags = zmq_flags()
            run([COMPILER, "-O2", "-o", str(program), str(HERE / "curve_peer.c"), *flags])
        except (OSError, WorkerError) as error:
            print(f"no C program: {error}")
            return 0
        for size in SIZES:
            taken: dict[str, list[tuple[float, float]]] = {"C": [], "ratchet": []}
            for _ in range(args.rounds):
                for library, pairs in taken.items():
                    pairs.append(messages(program, size, args.messages, library))
            samples[f"messages of {size}"] = taken
            both = list(zip(taken["C"], taken["ratchet"], strict=True))
            what = f"messages of {size} bytes over CURVE, of C"
            compare(f"{what}: CPU of both sides", [c[0] / r[0] for c, r in both], 0.95)
            compare(f"{what}: by the clock", [c[1] / r[1] for c, r in both], 0.95)
    if args.json:
        args.json.write_text(json.dumps(samples), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
