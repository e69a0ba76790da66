"""The pages for users: their programs run, their links lead somewhere, what they name exists.

A block that is marked ``python`` is a complete program: it runs, writes nothing to stderr, and
prints what the ``text`` block right after it shows, if there is one. A block that is marked
``python fragment`` needs only be Python, and one that is marked ``python pytest`` is a test
file, which `tests/testing/test_page.py` runs.
"""

import ast
import importlib
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq.asyncio

import ratchet.anyio
import ratchet.asyncio
import ratchet.trio
from ratchet import auth, errors, testing, zmqsocket

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINKED = sorted({*PAGES, *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"})
HAS_SOURCES = (ROOT / "ratchet").exists()  # not where an installed wheel is tested

BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FILE = re.compile(r"\{(?:literal)?include\} (\S+)")


class Block(NamedTuple):
    """One block of code in a page."""

    name: str
    code: str
    output: str | None


def name_of(page):
    return page.relative_to(ROOT).as_posix()


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
            found.append(Block(f"{name_of(page)}:{line}", fence[2], after[2] if follows else None))
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
    # -X dev has asyncio tell what took 0.1 s, on a machine that is busy.
    said = re.sub(r"Executing .* took [\d.]+ seconds\n", "", result.stderr)
    assert (result.returncode, said) == (0, "")
    if block.output is not None:
        assert result.stdout == block.output


def test_fragments_are_python():
    for block in blocks("python fragment"):
        compile(block.code, block.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_block_has_a_known_mark():
    known = {
        "python",
        "python fragment",
        "python pytest",
        "text",
        "sh",
        "ini",
        "dockerfile",
        "{toctree}",
        "{eval-rst}",
    }
    for page in PAGES:
        for fence in BLOCK.finditer(page.read_text(encoding="utf-8")):
            mark = fence[1].strip()
            if file := FILE.fullmatch(mark):
                assert (page.parent / file[1]).is_file(), mark
            else:
                assert mark in known, f"{name_of(page)}: {fence[0]}"


def test_every_example_is_shown_or_linked():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in (ROOT / "examples").rglob("*.py"):
        assert f"](../{name_of(path)})" in text, path.name


def anchors(page):
    """What GitHub makes of the headings of a page."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)
    }


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_somewhere(page):
    text = CODE.sub("", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        if path.startswith("../ratchet/") and not HAS_SOURCES:
            continue
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


# How pages call things, and what these are.
NAMES = {
    "ratchet": ratchet,
    "zmqsocket": zmqsocket,
    "zsock": zmqsocket.ZMQSocket,
    "push": zmqsocket.ZMQSocket,
    "auth": auth,
    "tracker": zmqsocket.Tracker,
    "thread": ratchet.thread,
    "zmq": zmq,
    "s": zmq.Socket,
    "context": zmq.Context,
}
NAMED = re.compile(r"(?<![\w./\"])([a-z]+)((?:\.\w+)+)")


def has(thing, attributes):
    """Is there such an attribute, or such a module?"""
    for attribute in attributes:
        if thing is zmq.Socket and attribute.upper() in zmq.SocketOption.__members__:
            return True  # an option; pyzmq has no attribute of the class for it
        if inspect.ismodule(thing) and not hasattr(thing, attribute):
            module = f"{thing.__name__}.{attribute}"
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                return error.name != module  # else it is there, and what it builds on is not
            except ImportError:
                return True  # ratchet.pyzmq, where pyzmq is imported with its own backend
        if not hasattr(thing, attribute):
            return False
        thing = getattr(thing, attribute)
        if not inspect.ismodule(thing) and not inspect.isclass(thing):
            return True  # what it returns or holds is not to be known here
    return True


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_named_in_the_text_exists(page):
    for code in CODE.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        for name, attributes in NAMED.findall(code):
            if name not in NAMES or attributes.endswith((".py", ".pyx", ".pxi")):
                continue
            kinds = [NAMES[name], *([ratchet.asyncio.ZMQSocket] if name == "zsock" else [])]
            known = any(has(kind, attributes[1:].split(".")) for kind in kinds)
            assert known, f"{code}: {name} has no {attributes}"


def test_the_tests_that_hold_the_promises_exist():
    """As the page has them: a file, or a file and those of its tests that are meant."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    found = re.findall(r"`(?:tests/\w+/)?(test_\w+\.py)`(?: \(((?:`test_\w+`(?:, )?)+)\))?", page)
    assert found
    for file, names in found:
        missing = [name for name in CODE.findall(names) if f"def {name}(" not in texts[file]]
        assert not missing, f"{file} has no {', '.join(missing)}"


def listed():
    """The names on the page of the API, by module."""
    found = {}
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for module, names in re.findall(r"^\.\. api:: (\S+)\n\n((?: .*\n)+)", page, re.MULTILINE):
        found.setdefault(module, set()).update(names.split())
    return found


def members(owner):
    """The public ones that users call; options have a page of their own."""
    inner = {"identity", *map(str.lower, ratchet.options.TABLE)}
    public = {name for name in dir(owner) if not name.startswith("_")} - inner
    return {f"{owner.__name__}.{name}" for name in public}


def test_the_page_of_the_api_is_complete():
    found = listed()
    inside = {"errors", "options", "thread", "zmqsocket", "__version__"}
    assert found["ratchet"] >= set(ratchet.__all__) - inside
    assert found["ratchet"] >= members(ratchet.Ratchet)
    assert found["ratchet.zmqsocket"] >= set(zmqsocket.__all__)
    kept = {f"ZMQSocket.{name}" for name in ("type", "last_endpoint", "subscribe", "unsubscribe")}
    assert found["ratchet.zmqsocket"] >= members(zmqsocket.ZMQSocket) | kept
    assert found["ratchet.zmqsocket"] >= members(zmqsocket.Frame) | members(zmqsocket.Tracker)
    assert found["ratchet.auth"] >= {*auth.__all__} - {"ANY", "log"}
    assert found["ratchet.testing"] >= set(testing.__all__).union(
        *map(members, (testing.Line, testing.Peer, testing.Way))
    )
    assert found["ratchet.thread"] >= set(ratchet.thread.__all__) - {"current"}
    for module in (ratchet.asyncio, ratchet.trio, ratchet.anyio):
        assert found[module.__name__] >= set(module.__all__)
    changed = {
        f"ZMQSocket.{name}"
        for name in dir(ratchet.asyncio.ZMQSocket)
        if not name.startswith("_")
        and getattr(ratchet.asyncio.ZMQSocket, name) is not getattr(zmqsocket.ZMQSocket, name, None)
    }
    assert found["ratchet.asyncio"] >= changed


def test_the_page_of_options_is_up_to_date():
    tool = [sys.executable, str(ROOT / "tools" / "options_doc.py")]
    made = subprocess.run(tool, capture_output=True, encoding="utf-8", check=True).stdout
    assert (DOCS / "options.md").read_text(encoding="utf-8") == made, (
        "run: python tools/options_doc.py > docs/options.md"
    )


def test_the_tree_of_errors_is_up_to_date():
    tree = errors.__doc__.partition("::\n\n")[2].partition("\n\n")[0]
    tree = "".join(line.removeprefix("    ") + "\n" for line in tree.splitlines())
    assert tree in (DOCS / "errors.md").read_text(encoding="utf-8")
