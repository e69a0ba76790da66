"""The patterns of the ZeroMQ Guide: each example does what it says, and the tables are true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "guide").glob("*.py"))
SAYS = {
    "clone.py": r"1 table in three clones",
    "espresso.py": (
        r"seen: b'\\x01news', b'news 0' \.\.\. b'news 99'\n100 heard, 100 counted, all seen: True"
    ),
    "freelance.py": r"10 answers, all right: True",
    "last_value_cache.py": r"rome 18, oslo -4, oslo -4",
    "lazy_pirate.py": r"6 right answers, in \d+ lives of the server",
    "majordomo.py": r"YOUR MAJESTY, Your Majesty, your majestyyour majesty",
    "paranoid_pirate.py": r"all 12 answers are right: True",
    "simple_pirate.py": r"12 right answers, though two of three workers died",
    "suicidal_snail.py": r"one was too slow, and ended itself, one heard the last one",
}
LINES = 60  # which none of them reaches


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example(path, ahead):
    status, err, out = ahead.result(path)
    assert (status, err) == (0, "")
    assert re.fullmatch(SAYS[path.name] + "\n", out)


def test_no_example_is_missing():
    assert SAYS.keys() == {path.name for path in EXAMPLES}


def test_the_tables_name_every_file_and_its_length():
    page = (ROOT / "docs" / "guide-examples.md").read_text(encoding="utf-8")
    told = re.findall(r"\[(\w+\.py)\]\(\.\./examples/guide/\1\) \| (\d+) \|", page)
    true = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES}
    assert {name: int(lines) for name, lines in told} == true
    assert max(true.values()) < LINES
