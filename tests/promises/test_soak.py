"""The soak (`torture/soak`): seconds of it, and that it finds what it is there to find."""

import json
import os
import subprocess
import sys
import types

import pytest

from torture import ROOT
from torture.soak import __main__ as tool

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")

# Every process imports this at its start: one of the calls spoils some of what it receives.
SABOTAGE = """
from ratchet import zmqsocket

class Spoiled(zmqsocket.ZMQSocket):
    turn = 0

    def recv_all(self, **options):
        if self.turn == 150:
            self.turn += 1
            return self.last
        self.last = data = super().recv_all(**options)  # which may time out
        self.turn = (self.turn + 1) % 200
        if self.turn == 50:
            return super().recv_all(**options)
        if self.turn == 100:
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

zmqsocket.new = Spoiled
"""


def soak(tmp_path, *args):
    """Seconds of it, with many faults; (exit status, what it prints, its figures)."""
    figures = tmp_path / "soak.json"
    command = [sys.executable, "-m", "torture.soak", "--every", "0.05", "--json", str(figures)]
    path = [str(tmp_path), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [*command, *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=55,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
    )
    return done.returncode, done.stdout, json.loads(figures.read_text())


def test_seconds_of_it(tmp_path):
    status, printed, figures = soak(tmp_path, "--minutes", "0.12", "--seed", "7")
    assert status == 0, printed
    assert printed.startswith("seed 7\n")
    assert printed.endswith("\npassed\n")
    for kind, counts in figures["messages"].items():
        assert counts["received"] > 100, kind
        assert counts["received"] >= counts["sent"] - counts["written off"], kind
        assert not any(counts[name] for name in ("lost", "duplicated", "misordered", "torn"))
    injected = {
        *("OS threads replaced", "ratchet threads killed", "tasks cancelled"),
        *("receives timed out", "sockets closed under a paused receiver", "signals handled"),
    }
    assert injected <= figures["faults"].keys(), printed
    assert figures["growth"].keys() == {
        *("left rss", "left descriptors", "right rss", "right descriptors")
    }


def test_it_finds_what_is_lost_duplicated_or_torn(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    status, printed, figures = soak(tmp_path, "--minutes", "0.05", "--stall", "1", "--every", "1")
    assert status == 1
    assert printed.endswith("\nFAILED\n")
    for what in ("lost", "duplicated", "misordered", "torn"):
        assert any(kind[what] for kind in figures["messages"].values()), (what, printed)


@pytest.mark.parametrize(
    ("what", "grown", "found"),
    [("rss", 20 << 20, False), ("rss", 24 << 20, True), ("descriptors", 25, True)],
)
def test_it_finds_growth_after_the_warm_up_alone(tmp_path, what, grown, found):
    args = types.SimpleNamespace(minutes=10, seed=0)
    run = tool.Soak(args, tmp_path)
    usage = {"rss": 50 << 20, "descriptors": 40}
    for second in range(600):
        warm = min(second, 120) * (1 << 20)  # growth that is no fault
        own = usage | {what: usage[what] + grown * second // 600 + (what == "rss") * warm}
        run.samples.append({"seconds": second, "left": own, "right": usage})
    assert run.growth()["right rss"]["a minute"] == 0
    assert len(run.failures) == found
    assert all(failure.startswith(f"left: {what} grew") for failure in run.failures)


@pytest.mark.parametrize(
    ("sent", "noticed", "outages", "lost"),
    [
        ([5.0] * 3, 6.0, [[4.0, 7.0, 0]], 0),
        ([7.1], 8.0, [[4.0, 7.0, 0]], 1),  # after the outage
        ([2.0], 3.0, [[4.0, 7.0, 0]], 1),  # noticed before it
        ([5.0] * 70, 6.0, [[4.0, 7.0, 0]], 6),  # more than a window
        ([5.0] * 70, 6.0, [[4.0, 7.0, 0], [5.5, 7.0, 0]], 0),
    ],
)
def test_what_an_outage_excuses(tmp_path, sent, noticed, outages, lost):
    run = tool.Soak(types.SimpleNamespace(minutes=1, seed=0), tmp_path)
    run.outages[3] = outages
    run.gaps = [[3, at, noticed] for at in sent] + [[4, 5.0, 6.0]]
    mine = {"sent": 1000, "answered": 1000 - len(sent), "duplicated": 0, "torn": 0, "open": 0}
    figures = dict.fromkeys(tool.FIGURES, 0)
    run.judge_asked(figures, {"stream": 3}, mine, {})
    assert (figures["lost"], figures["written off"]) == (lost, len(sent) - lost)
