"""The benchmarks do what they say: each kind of work, counted exactly, and a page of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report, summary, workers
from benchmarks.cases import FULL, WORKS, Case, expand
from benchmarks.scale import slope

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU time and memory are Linux's")


def run(module, *words):
    command = [sys.executable, "-m", module, *words, "--rounds", "1"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )


def test_every_work_is_in_the_full_report():
    assert {case.work for case in expand(FULL)} == set(WORKS)


@pytest.mark.parametrize("library", ["ratchet", "ratchet-threads", "ratchet-asyncio"])
def test_works_between_processes(library, tmp_path):
    works = ["one-call", "round-trip", "fan-in", "fan-out", "pub-sub-10", "proxy"]
    words = ",".join([*works, "tcp", "16"])
    path = tmp_path / "result.json"
    done = run(
        "benchmarks", "--libs", library, "--only", words, "--seconds", "1", "--json", str(path)
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text())["results"]
    assert [one["work"] for one in results] == works
    assert [len(one["samples"]) for one in results] == [5, 5, 1, 1, 1, 5]
    assert all(min(one["samples"] + one["cpu µs"]) > 0 for one in results)


def test_scale_names_the_slope():
    done = run("benchmarks.scale", "--only", "peers-inproc", "--libs", "ratchet", "--seconds", "0")
    assert done.returncode == 0, done.stderr
    assert "N = 1,000" in done.stdout
    assert slope([(1, 50.0), (10, 3.0), (100, 30.0), (1000, 300.0)]) == pytest.approx(1)


def test_waits():
    done = run("benchmarks.waits", "--calls", "5", "--many", "50")
    assert done.returncode == 0, done.stderr
    assert "Selector, 50 sockets against 10: " in done.stdout


def test_connections(tmp_path):
    path = tmp_path / "result.json"
    words = ["--number", "20", "--libs", "ratchet,c", "--json", str(path)]
    done = run("benchmarks.connections", *words)
    assert done.returncode == 0, done.stderr
    samples = json.loads(path.read_text())["samples"]
    assert list(samples) == ["ratchet", "c"]
    for (found,) in samples.values():
        assert list(found) == ["new", "connect", "first message", "close"]
        assert all(phase["wall"] >= phase["calls"] > 0 for phase in found.values())


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"python3": (11, 0)}, "python3 .venv"),
        ({"python3": (13, 0), "python3.12": (12, 0)}, "python3 .venv"),
        ({"python3": (11, 0), "python3.12": (12, 0)}, "python3.12 .venv-3.12"),
        (
            {"python3": (11, 0), "python3.12": (12, 0), "python3.13": (13, 0)},
            "python3.13 .venv-3.13",
        ),
        ({"python3": (11, 0), "python3.13": (13, 1)}, "python3 .venv"),  # without its headers
    ],
)
def test_the_python_of_benchmarks(here, said, tmp_path):
    for name, (minor, status) in here.items():
        fake = tmp_path / name
        fake.write_text(
            f'#!/bin/sh\ncase "$2" in *version_info*) echo {minor};; *) exit {status};; esac\n'
        )
        fake.chmod(0o755)
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    line = ["/bin/sh", str(ROOT / "tools/bench_python.sh")]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{said}\n"


def test_a_peer_without_a_wheel_is_left_out(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import install_peers

    asked = []

    def install(*peers):
        asked.append(peers)
        return len(peers) == 1 and not peers[0].startswith("pyomq")

    monkeypatch.setattr(install_peers, "install", install)
    install_peers.main()
    assert len(asked[0]) > 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith(": pyomq>=0.21\n")


def test_the_page_begins_with_ratios_of_what_was_measured():
    one, trip = Case("one-call", "tcp", "16"), Case("round-trip", "tcp", "16")
    samples = {
        (one, "ratchet"): [report.Sample(3e6, 1.0)],
        (one, "ratchet-own"): [report.Sample(4e6, 1.0)],
        (one, "pyzmq"): [report.Sample(2e6, 3.0)],
        (one, "c"): [report.Sample(4e6, 1.0)],
        (one, "c-own"): [report.Sample(5e6, 0.5)],
        (trip, "ratchet"): [report.Sample(20.0, 1.0)],
        (trip, "c"): [report.Sample(30.0, 1.0)],
    }
    assert summary.table(samples)[2:] == [
        "| 16 bytes, tcp | 4.00M/s | 2 / 3 | – | – | 0.8 / 0.5 |",
        "| round trip, tcp | 20 µs | – | – | – | 1.5 / 1 |",
    ]


def test_ratios_are_above_one_for_who_is_better():
    fast, slow = report.Sample(4.0, 1.0), report.Sample(2.0, 3.0)
    rate, trip = Case("one-call", "tcp", "16"), Case("round-trip", "tcp", "16")
    assert report.ratios(rate, [fast], [slow]) == [2, 2, 2]
    assert report.ratios(trip, [slow], [fast]) == [2, 2, 2]
    assert report.ratios(rate, [fast], [slow], cpu=True) == [3, 3, 3]


def test_only_what_is_between_the_marks_changes(tmp_path):
    page = tmp_path / "page.md"
    marks = ["<!-- made by make it -->", "<!-- end of what make it made -->"]
    page.write_text(f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n")
    report.write_page(page, "it", ["new"])
    assert page.read_text() == f"before\n{marks[0]}\n\nnew\n\n{marks[1]}\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        report.write_page(page, "other", ["new"])


def test_the_other_build_is_found_before_this_one(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "OWN", tmp_path)
    with pytest.raises(workers.WorkerError, match="make bench-full makes it"):
        workers.command("ratchet-own", tmp_path)
    with pytest.raises(workers.WorkerError, match="make bench-full makes build/own"):
        workers.command("c-own", tmp_path)
    version = "{}.{}".format(*sys.version_info)
    package = tmp_path / f"site-{version}/ratchet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "__version__ = 'own'\n"
        "def has(capability): return True\n"
        "def libzmq_version(): return 4, 3, 9\n"
    )
    done = subprocess.run(
        workers.command("ratchet-own", tmp_path),
        input='{"do":"facts","limit":20}\n',
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert json.loads(done.stdout) == {"version": "own", "libzmq": "4.3.9 with drafts"}
