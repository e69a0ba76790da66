"""Layers and sizes: imports of the modules, and names in the extension's files."""

import ast
import re
from graphlib import TopologicalSorter

import pytest
from harness.source import EXTENSION, PACKAGE, code, parts

if not EXTENSION.exists():
    pytest.skip("the installed package has no sources", allow_module_level=True)

# What a file defines for others: functions, classes, C types and variables at the margin.
DEFINED = re.compile(
    r"""^(?:
        (?:async\s+)?def\s+(\w+)
        | class\s+(\w+)
        | cdef\s+class\s+(\w+)
        | cdef\s+(?:struct|enum)\s+(\w+)
        | ctypedef\s+.*?\(\s*\*\s*(\w+)
        | cdef[ ]+(?:inline[ ]+)?[\w *\[\]]*?\b(\w+)[ ]*\(
        | cdef[ ]+(?:[\w*\[\]]+[ ]+)+?\*?(\w+)(?:[ ]*=|[ ]*$|,)
        | (\w+)[ ]*=
    )""",
    re.VERBOSE | re.MULTILINE,
)
# The head of a function; a variable that is given a call's result is none.
HEAD = re.compile(r"\s*(?!cdef (?:extern|class))(?:cdef|cpdef|def|async def)\b[^(=]*\(")
LINES = 400  # of a file; more hide a second subject
FUNCTION = 60  # lines of a function
LINK = "../ratchet/_zmq/"  # of the pages in docs


def defined(text):
    return {name for groups in DEFINED.findall(text) for name in groups if name}


def own_names(text):
    """Names that a file declares for itself: fields, variables and parameters of functions."""
    fields = re.findall(r"^[ ]+cdef[ ][^\n(]+$", text, re.MULTILINE)
    heads = re.findall(r"^[ ]*(?:async def|c?p?def)[ ][^\n]*\((?:.|\n)*?\)", text, re.MULTILINE)
    assigned = re.findall(r"^[ ]+(?:for )?([\w, ]+?)(?:[ ]=[ ]| in )", text, re.MULTILINE)
    return set(re.findall(r"\w+", " ".join([*fields, *heads, *assigned])))


def test_every_part_is_included_once_and_named_in_the_architecture():
    assert sorted(parts()) == sorted((PACKAGE / "_zmq").glob("*.pxi"))
    page = (PACKAGE.parent / "docs/architecture.md").read_text()
    assert [path.stem for path in parts() if f"[{path.stem}]({LINK}{path.name})" not in page] == []


def test_layers_stand_on_one_another():
    layers = [int(path.read_text()[len("# Layer ")]) for path in parts()]
    assert layers == sorted(layers)


@pytest.mark.parametrize("part", parts(), ids=lambda path: path.stem)
def test_a_part_uses_only_what_stands_above_it(part):
    files = parts()
    at = files.index(part)
    known = set().union(*(defined(code(path)) for path in files[: at + 1]))
    later = {name: path.name for path in files[at + 1 :] for name in defined(code(path))}
    # A name after a dot, or before an equals sign in a call, is an attribute or argument.
    used = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)\b(?!\s*=[^=])", code(part)))
    used &= set(later) - known - own_names(code(part))
    wrong = sorted(f"{name} of {later[name]}" for name in used)
    assert not wrong, f"{part.name} uses {', '.join(wrong)}"


@pytest.mark.parametrize("part", [EXTENSION, *parts()], ids=lambda path: path.stem)
def test_a_part_states_its_layer_and_is_short(part):
    text = part.read_text()
    assert part == EXTENSION or re.match(r"# Layer \d\. \w.+\.$", text.splitlines()[0])
    assert len(text.splitlines()) <= LINES


def functions(path):
    """Each function of a file and how many lines it has."""
    lines = path.read_text().splitlines()
    start = indent = None
    for number, line in enumerate([*lines, "end"]):
        outside = line.strip() and not line.lstrip().startswith((")", "#"))
        if start is not None and outside and len(line) - len(line.lstrip()) <= indent:
            yield lines[start].strip(), number - start
            start = None
        if start is None and HEAD.match(line):
            start, indent = number, len(line) - len(line.lstrip())


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_is_short(path):
    lines = LINES
    assert len(path.read_text().splitlines()) <= lines


@pytest.mark.parametrize("path", [EXTENSION, *parts(), *MODULES], ids=lambda path: path.name)
def test_no_function_is_long(path):
    long = [f"{head} ({count})" for head, count in functions(path) if count > FUNCTION]
    assert not long, f"{path.name}: {'; '.join(long)}"


def imports(path):
    """The modules of this package that a module imports when it is imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found.update(names)
    return {name for name in found if (PACKAGE / f"{name}.py").exists() or name == "_zmq"}


def test_modules_import_one_way():
    graph = {path.stem: imports(path) for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    direct = re.findall(r"^from \.(\w+) import", EXTENSION.read_text(), re.MULTILINE)
    graph["_zmq"] = {"errors", *direct}
    order = list(TopologicalSorter(graph).static_order())  # raises for a cycle
    assert order.index("errors") < order.index("_zmq") < order.index("zmqsocket")
