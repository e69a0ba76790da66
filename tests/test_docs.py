"""The pages for users: their programs run, their links lead somewhere, their tables are up to date.

A block that is marked ``python`` is a complete program: it runs, writes nothing to stderr, and
prints what the ``text`` block right after it shows, if there is one. A block that is marked
``python fragment`` needs only be Python.
"""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ratchet import errors

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINKED = sorted({*PAGES, *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"})

BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """One block of code in a page."""

    name: str
    code: str
    output: str | None


def blocks(mark):
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = list(BLOCK.finditer(text))
        for fence, after in itertools.zip_longest(fences, fences[1:]):
            if fence[1].strip() != mark:
                continue
            line = text.count("\n", 0, fence.start()) + 1
            follows = after and after[1] == "text" and not text[fence.end() : after.start()].strip()
            name = f"{page.relative_to(ROOT).as_posix()}:{line}"
            found.append(Block(name, fence[2], after[2] if follows else None))
    return found


def named(block):
    return block.name


@pytest.mark.parametrize("block", blocks("python"), ids=named)
def test_programs_run(block, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(block.code, encoding="utf-8")
    command = [sys.executable, "-X", "dev", "-X", "utf8", "-W", "error", str(path)]
    result = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=40, cwd=tmp_path, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    if block.output is not None:
        assert result.stdout == block.output


def test_fragments_are_python():
    for block in blocks("python fragment"):
        compile(block.code, block.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_block_has_a_known_mark():
    known = {"python", "python fragment", "text", "sh"}
    for page in PAGES:
        for fence in BLOCK.finditer(page.read_text(encoding="utf-8")):
            assert fence[1].strip() in known, f"{page.name}: {fence[0]}"


def anchors(page):
    """What GitHub makes of the headings of a page."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)
    }


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_the_page_of_options_is_up_to_date():
    tool = [sys.executable, str(ROOT / "tools" / "options_doc.py")]
    made = subprocess.run(tool, capture_output=True, encoding="utf-8", check=True).stdout
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == made, (
        "run: python tools/options_doc.py > docs/options.md"
    )


def test_the_tree_of_errors_is_up_to_date():
    tree = errors.__doc__.partition("::\n\n")[2].partition("\n\n")[0]
    tree = "".join(line.removeprefix("    ") + "\n" for line in tree.splitlines())
    assert tree in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
