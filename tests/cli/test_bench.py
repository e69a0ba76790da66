"""``ratchet bench``: what it measures, shows and draws, on this machine and between two."""

import json
import signal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from harness.waiting import until

from ratchet.cli.bench import near, table
from ratchet.cli.bench.far import pattern_for
from ratchet.cli.bench.libraries import LIBRARIES, hwm_for
from ratchet.cli.bench.near import Bench, FarSide

SHORT = ("--seconds", "0.1", "--sizes", "16")


def test_all_is_measured(run):
    result = run("bench", *SHORT, "--json")
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    measured = {(one["work"], one["library"]) for one in found["results"]}
    both = [name for name in LIBRARIES if name != "ratchet many"]
    assert measured == {*(("rate", name) for name in LIBRARIES), *(("trip", name) for name in both)}
    for one in found["results"]:
        assert len(one["samples"]) == 3
        assert min(one["samples"]) > 0
        assert one["size"] == 16
    assert found["here"]["libraries"].keys() == LIBRARIES.keys()


def test_a_table_and_a_picture(run, tmp_path):
    path = tmp_path / "bench.svg"
    result = run("bench", *SHORT, "--plot", path)
    assert (result.status, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    assert lines[0].startswith("ratchet-zmq ")
    assert "messages a second" in lines
    assert "round trip, µs" in lines
    assert sum(line.startswith("      16 B  ") for line in lines) == 2
    assert f"drawn: {path}" in lines
    picture = ET.fromstring(path.read_text())
    words = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert {"16 B", *LIBRARIES} <= set(words)
    bars = [one for one in picture.iter() if one.tag.endswith("rect") and one.get("rx")]
    assert len(bars) == 9


def test_a_live_table(terminal):
    bench = terminal("bench", *SHORT)
    bench.shows(b"\x1b[32m")  # the best so far, in green
    assert bench.end() == 0
    assert b"round trip" in bench.screen.rpartition(b"\x1b[1A")[2]  # and all of it at the end


def test_the_table_fits_80_columns(bench):
    for row in bench.rows:
        bench.samples |= {(row, name): [9_999_999.0] for name in bench.measured(row)}
    lines = table.whole(bench).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[4].split() == " ".join(bench.libraries).split()
    bench.samples[bench.rows[0], "pyzmq"] = [10_000_000.0]
    green = [span for span in table.whole(bench).spans if span.style == "green"]
    assert table.whole(bench).plain[green[0].start : green[0].end].strip() == "10,000,000"


def test_at_a_terminal_without_rich(terminal, without_extra):
    bench = terminal("bench", *SHORT, env={"PYTHONPATH": without_extra["PYTHONPATH"]})
    assert bench.end() == 0
    assert b"\x1b" not in bench.screen
    assert b"round trip" in bench.screen


def bound_to(far):
    line = far.process.stderr.readline().decode()
    assert "on the other machine: ratchet bench tcp://" in line
    return line.split("bound to ")[1].split(";")[0]


def test_between_two_machines(command, run, ipc):
    far = command("bench", "tcp://127.0.0.1:*")
    endpoint = bound_to(far)
    for uri in (endpoint, f"zmq:req:{endpoint}"):
        result = run("bench", uri, *SHORT)
        assert (result.status, result.err) == (0, "")
        assert f", {endpoint}; medians of 3 runs" in result.out.decode()
    far.interrupt()
    assert far.end() == (-signal.SIGINT, b"", "")


def test_over_ipc(command, run, ipc):
    far = command("bench", ipc, "--bind")
    far.process.stderr.readline()
    result = run("bench", ipc, *SHORT)
    assert (result.status, result.err) == (0, "")
    far.interrupt(signal.SIGTERM)
    assert far.end() == (-signal.SIGTERM, b"", "")


def test_nobody_answers(main, monkeypatch):
    monkeypatch.setattr(near, "CONNECT", 0.1)
    result = main("bench", "tcp://127.0.0.1:1")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("ratchet bench: nobody answers at tcp://127.0.0.1:1; start it on")
    assert result.err.count("\n") == 1


def test_two_at_a_time(command, run):
    far = command("bench", "tcp://127.0.0.1:*")
    endpoint = bound_to(far)
    first = command("bench", endpoint, "--seconds", "60", "--sizes", "16")
    assert first.line()  # it measures
    result = run("bench", endpoint, *SHORT)
    assert (result.status, result.out) == (1, b"")
    assert result.err.startswith("ratchet bench: the other side cannot obey: another one measures")
    first.interrupt()
    assert first.end()[::2] == (-signal.SIGINT, "")
    assert run("bench", endpoint, *SHORT).status == 0  # at once


def test_the_other_side_is_killed(command):
    far = command("bench", "tcp://127.0.0.1:*")
    bench = command("bench", bound_to(far), "--seconds", "8", "--sizes", "16")
    until(lambda: b"second" in bench.line(), "the first row")
    far.process.kill()
    words = "ratchet bench: the other side has ended, or its connection has\n"
    assert bench.end()[::2] == (1, words)


@pytest.mark.parametrize("answer", [b"nonsense", b"[]", b"{}", None], ids=str)
def test_what_is_no_bench(command, peer, answer):
    rep = peer("REP")
    port = rep.bind_to_random_port("tcp://127.0.0.1")
    bench = command("bench", f"tcp://127.0.0.1:{port}")
    order = rep.recv()
    rep.send(order if answer is None else answer)
    words = f"ratchet bench: what answers at tcp://127.0.0.1:{port} is no ratchet bench\n"
    assert bench.end() == (1, b"", words)


@pytest.mark.parametrize(
    "order",
    [
        b"nonsense",
        b"[]",
        b'{"do": "run"}',
        b'{"do": "__init__"}',
        b'{"do": "open", "library": "none", "type": "PULL", "hwm": 1}',
        b'{"do": "open", "library": "ratchet", "type": "ROUTER", "hwm": 1}',
        b'{"do": "pull", "library": "ratchet", "count": "x", "size": 1}',
    ],
)
def test_orders_that_make_no_sense(command, peer, order):
    far = command("bench", "tcp://127.0.0.1:*")
    req = peer("REQ", connect=bound_to(far))
    req.send(order)
    assert "error" in json.loads(req.recv())
    req.send(b'{"do": "facts"}')
    assert json.loads(req.recv())["libraries"]


def children(process):
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return listed.read_text().split() if listed.exists() else []


def test_ctrl_c_ends_both_processes(command):
    bench = command("bench")
    assert bench.line()
    until(lambda: children(bench.process), "the other side")
    others = children(bench.process)
    bench.interrupt()
    result = bench.end()
    assert (result.status, result.err) == (-signal.SIGINT, "")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others), "their end")


def test_the_other_side_ends_with_this_one(command):
    """However this one ends."""
    bench = command("bench", "--seconds", "60")
    assert bench.line()
    until(lambda: children(bench.process), "the other side")
    (other,) = children(bench.process)
    bench.process.kill()
    until(lambda: not Path(f"/proc/{other}").exists(), "its end")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["host:5555"], "'host:5555' is no endpoint over tcp or ipc"),
        (["inproc://x"], "'inproc://x' is no endpoint over tcp or ipc"),
        (["--plot", "bench.png"], "'bench.png' does not end with .svg"),
        (["--plot", "no such folder/bench.svg"], "there is no folder 'no such folder'"),
        (["--sizes", "16,x"], "'x' is no count"),
        (["--sizes", "0"], "sizes are from 1 to"),
        (["tcp://*:5555", "--json"], "the other machine has the figures"),
    ],
)
def test_what_cannot_be_meant(main, args, words):
    result = main("bench", *args)
    assert (result.status, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1


@pytest.fixture
def bench():
    """One whose samples are given."""
    side = {"libraries": dict.fromkeys(LIBRARIES, "1"), "load": 0.0, "processors": 2}
    side |= {"host": "here", "python": "3"}
    return Bench(FarSide(None, None, "", True), side, (16, 1000), 1.0, 3)


@pytest.mark.parametrize(
    ("work", "samples", "text"),
    [
        (0, [1_234_567.0], "1,235,000"),
        (0, [3.0, 1.0, 99_999.4], "3"),
        (2, [12.34, 12.36, 0], "12.3"),
        (2, [12_345.6], "12,346"),
        (0, [], ""),
    ],
)
def test_figures(bench, work, samples, text):
    row = bench.rows[work]
    if samples:
        bench.samples[row, "ratchet"] = samples
    assert table.figure(bench, row, "ratchet") == text
    assert table.figure(bench, bench.rows[2], "ratchet many") == "-"


def test_the_summary(bench):
    assert "pip install pyzmq" in table.summary(bench)
    row = bench.rows[0]
    bench.samples |= {(row, "ratchet"): [30.0], (row, "pyzmq"): [10.0]}
    bench.samples |= {(row, "ratchet asyncio"): [90.0], (row, "pyzmq asyncio"): [3.0]}
    assert table.summary(bench) == (
        "With 16 B, ratchet moved 3.0 times as many messages a second as pyzmq;\n"
        "in asyncio, 30.0 times as many."
    )
    bench.here["load"] = 9.0
    assert "busy" in table.warning(bench)


def test_what_may_be_queued():
    assert [hwm_for(size) for size in (16, 1 << 20, 1 << 28)] == [1000, 32, 1]


def test_endpoints_beside_another():
    assert pattern_for("tcp://0.0.0.0:5555").format(1) == "tcp://0.0.0.0:*"
    assert pattern_for("tcp://[::1]:5555").format(1) == "tcp://[::1]:*"
    assert pattern_for("ipc:///tmp/{x}").format(7) == "ipc:///tmp/{x}-7"
