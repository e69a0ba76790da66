"""The list of words, docs/words.md, holds: no page says in its text what the list says not to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs" / "words.md"
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {LIST})
# What is no text: blocks, code, what links lead to, addresses of other sites, comments.
NO_TEXT = re.compile(
    r"^```.*?^```|^    .*?$|`[^`]+`|\]\([^)]*\)|https?://\S+|<!--.*?-->", re.MULTILINE | re.DOTALL
)


def banned(text):
    """The words of each table's last column."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    words = {word for row in rows for word in row[-1].split(", ")}
    return sorted(words - {"do not say"} - {word for word in words if set(word) == {"-"}})


def found(words, text):
    """Those that a text says, whole, in small letters or at the start of a sentence."""
    text = NO_TEXT.sub(lambda m: "\n" * m[0].count("\n"), text)
    return [
        f"line {number}: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in words
        if re.search(
            rf"(?<![\w/.@-])[{word[0]}{word[0].upper()}]{re.escape(word[1:])}(?![\w-])", line
        )
    ]


WORDS = banned(LIST.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_says_them(page):
    assert not found(WORDS, page.read_text(encoding="utf-8"))


def test_the_list_is_read():
    assert {"file descriptor", "e.g.", "via", "PyZMQ"} <= set(WORDS)
    assert found(WORDS, "Set the HWM, e.g. 10.\n\nObviously.") == [
        "line 1: HWM", "line 1: e.g.", "line 3: obviously",
    ]  # fmt: skip
    assert not found(WORDS, "`HWM`, [text](via.md)\n```sh\nfd\n```\nan HWM_OPTION, fd-3, obvious")
