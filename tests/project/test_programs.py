"""Every program of `examples/programs` runs to its end by itself and prints its figures."""

import re
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "examples" / "programs"
SAYS = {
    "arrays.py": r"100 of 100 pictures whole; \d+ pictures/s, [\d.]+ GB/s",
    "chat_room.py": (
        r"50 members, all read the same: True; \d+ lines/s read, [\d.]+ ms from saying to reading "
        r"\(median\)"
    ),
    "engine.py": (
        r"50 clients, all answers right: True; \d+ tokens/s; engine to client [\d.]+ ms, 99 of 100 "
        r"within [\d.]+ ms; \d+ tokens made for who had cancelled"
    ),
    "jobs.py": r"500 jobs, all done right: True, in \d+ runs; \d+ jobs/s",
    "metrics.py": (
        r"1000 connections, \d+ reports/s, \d+ us of CPU time each; counted (\d+), collected \1"
    ),
    "sensors.py": (
        r"1000 sensors, \d+ values/s, [\d.]+ ms old at a reader; who joins late has all after "
        r"\d+ ms"
    ),
}


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.name)
def test_a_program(path, ahead):
    if path.name == "arrays.py":
        pytest.importorskip("numpy")
    status, err, out = ahead.result(path)
    assert (status, err) == (0, "")
    assert re.fullmatch(SAYS[path.name] + "\n", out)


def test_no_program_is_missing():
    assert SAYS.keys() == {path.name for path in PROGRAMS.glob("*.py")}
