"""Attacks servers with rules, and counts who was let in and who was kept out.

python -m torture.hostile                       100,000 attempts
python -m torture.hostile --attempts 1000000 --seed 7

The status is 1 if anybody was let in that must not be, or kept out that must be let in.
"""

import argparse
import json
import random
import subprocess
import sys
import threading
import time

from .attacks import Attacker, Known
from .servers import Servers, Trouble

ATTACKERS = 2  # processes
SETTLE = 3.0  # seconds after the last attempt in which somebody could still come in


def attack(text):
    """Be one attacker."""
    given = json.loads(text)
    known = Known(given["ports"], bytes.fromhex(given["recorded"]), b"good", given["server_key"])
    attacker = Attacker(known, given["seed"])
    attacker.run(given["attempts"])
    print(json.dumps(attacker.counts), flush=True)


def begin(servers, recorded, attempts, seed):
    given = {
        "ports": [*servers.ports.values()],
        "recorded": recorded.hex(),
        "server_key": servers.keys.public,
        "seed": seed,
        "attempts": attempts,
    }
    command = [sys.executable, "-m", "torture.hostile", "--attack", json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def besiege(attempts, seed):
    """Run it all; return what is to be told, and whether it is well."""
    rng = random.Random(seed)
    servers = Servers()
    welcomed = kept_out = 0
    try:
        recorded = servers.record()
        servers.let_in.clear()
        began = time.monotonic()
        attackers = [
            begin(servers, recorded, attempts // ATTACKERS, seed + count)
            for count in range(ATTACKERS)
        ]
        trouble = Trouble(servers, seed)
        while any(attacker.poll() is None for attacker in attackers):
            welcomed += 1
            kept_out += not servers.knock(servers.welcome(rng))
            time.sleep(0.02)
        trouble.over.set()
        trouble.join()
        seconds = time.monotonic() - began
        counts = {}
        for attacker in attackers:
            for kind, count in json.loads(attacker.stdout.read()).items():
                counts[kind] = counts.get(kind, 0) + count
            attacker.stdout.close()
        threading.Event().wait(SETTLE)
    finally:
        servers.close()
    failed = any(attacker.returncode for attacker in attackers)
    lines = [f"{count:>9,}  {kind}" for kind, count in counts.items()]
    tried = sum(counts.values()) - counts["not connected"]
    lines += [
        "",
        f"{tried:>9,}  hostile attempts in {seconds:,.0f} s, of which {len(servers.let_in)} got in",
        f"{welcomed:>9,}  clients that may come in, of which {kept_out} were kept out",
        *(f"{count:>9,}  {kind}" for kind, count in trouble.counts.items()),
        *(f"let in: {name}: {parts}" for name, parts in servers.let_in[:20]),
    ]
    return "\n".join(lines), not (servers.let_in or kept_out or failed) and welcomed > 0


def main():
    if sys.argv[1:2] == ["--attack"]:
        attack(sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m torture.hostile",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
    )
    parser.add_argument("--attempts", type=int, default=100_000, help="%(default)s")
    parser.add_argument("--seed", type=int, help="of a run to repeat (default: a new one)")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if args.seed is None else args.seed
    print(f"--seed {seed} repeats this", flush=True)
    text, well = besiege(args.attempts, seed)
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
