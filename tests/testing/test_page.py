"""The test files of `docs/testing.md`, as a user has them."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"(?ms)^```python pytest\n(.*?)^```$", PAGE.read_text("utf-8"))


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_file_of_the_page(pytester, block):
    pytester.makeconftest("pytest_plugins = ['ratchet.testing']")
    pytester.makepyfile(block)
    tests = [node for node in ast.parse(block).body if getattr(node, "name", "").startswith("test")]
    unused = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    result = pytester.runpytest_inprocess("-W", "error", *unused)
    result.assert_outcomes(passed=len(tests))


def test_there_are_such_files():
    assert len(BLOCKS) > 2
