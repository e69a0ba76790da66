"""Whoever calls libzmq on a socket owes a look to those that wait there: a reading of the code.

A call on libzmq may silence the bell for which others sleep (`doorbell.pxi`), and whoever forgets
them lets one sleep for ever. The operations of layer 6 leave the look to who performs them. Of
everything above, and of the socket itself, each function looks, after an error too, or is one whose
callers do.
"""

import re

import pytest
from harness.source import EXTENSION, code, parts

if not EXTENSION.exists():
    pytest.skip("the installed package has no sources", allow_module_level=True)

CALL = re.compile(
    r"\b(?:zmq_(?:msg_)?(?:send|recv)|zmq_(?:get|set)sockopt|zmq_(?:un)?bind|zmq_(?:dis)?connect"
    r"|ratchet_call_on|op\.attempt)[(,]"
)
NAMES = re.compile(r"(?<![\w.])(?<!def )(?:(?:self|zsock|self\.zsock)\.)?(\w+)\(")
LOOK = re.compile(r"\.(?:after|ring|leave)\(")
LOOK_AFTER_ERRORS = re.compile(
    r"\b(finally|except BaseException).*:\n(?:.*\n){0,4}?.*\.(after|leave)\("
)
FUNCTION = re.compile(
    r"^(?P<margin> *)(?P<kind>c?def)(?! (?:extern|class|enum|struct))\b[^(=\n]*?(?P<name>\w+)\("
    r"(?:.|\n)*?\)[^)\n]*:\n(?P<text>(?:(?P=margin) +.*\n|\s*\n)+)",
    re.MULTILINE,
)
ROW = re.compile(r"\boperation\([^)]*?(\w+)\)")  # of an operation, whose function it names last
SOCKET, OPERATIONS = 5, 6  # layers; a row may stand above its layer
OTHER_BELLS = {"selection", "fork", "exit"}  # files whose `look` or `close` is no socket's
# Where nobody can wait: a socket begins there, or ends, and wakes everybody.
NOBODY_WAITS = {"__init__", "set_defaults", "__dealloc__", "close", "free_endpoints"}
# They begin with calls that raise nothing and have looked when something can fail, or are noexcept.
RAISE_NOTHING = {
    *("small_one", "put_small_parts", "look", "try_endpoint", "count_subscribers"),
    "take_launched",
}
RESUMED = {"again"}  # by `step` as well
# After an error their caller leaves the line, or ends its coroutine, and looks.
LOOKED_FOR = {"try_in_line": {"wait", "again", "program_try"}, "first_try": {"step"}}


class Function:
    """A function of the extension, as its text tells."""

    def __init__(self, file, layer, found, rows):
        self.file, self.name, self.text = file, found["name"], found["text"]
        self.layer = OPERATIONS if self.name in rows else layer
        self.public = found["kind"] == "def"
        self.calls = set(NAMES.findall(self.text))

    def may_owe(self):
        return self.name not in NOBODY_WAITS and (
            self.layer == OPERATIONS or not LOOK.search(self.text)
        )


def functions():
    for path in parts():
        layer = int(re.match(r"# Layer (\d)", path.read_text())[1])
        if layer >= SOCKET and path.stem not in OTHER_BELLS:
            text = code(path) + "\n"
            rows = set(ROW.findall(text))
            for found in FUNCTION.finditer(text):
                yield Function(path.stem, layer, found, rows)


def owing():
    """The names of the functions that leave the look to who calls them."""
    everything = [function for function in functions() if function.may_owe()]
    owes, before = {f.name for f in everything if CALL.search(f.text)}, None
    while owes != before:
        before = set(owes)
        owes |= {f.name for f in everything if f.calls & owes}
    return owes


def test_no_way_into_the_extension_leaves_without_a_look():
    """What Python calls by a pointer is called by nobody here, so it is an error as well."""
    owes = owing()
    called = set().union(*(function.calls for function in functions()))
    wrong = [
        f"{function.file}: {function.name}"
        for function in functions()
        if function.name in owes
        and (function.public or (function.layer != OPERATIONS and function.name not in called))
    ]
    assert not wrong


def test_they_look_after_an_error_as_well():
    fail = owing() - RAISE_NOTHING
    wrong = [
        f"{function.file}: {function.name} calls {', '.join(sorted(function.calls & fail))}"
        for function in functions()
        if function.layer != OPERATIONS
        and function.name not in fail | set(LOOKED_FOR) | RAISE_NOTHING
        and function.calls & fail
        and not LOOK_AFTER_ERRORS.search(function.text)
    ]
    assert not wrong


@pytest.mark.parametrize("name", LOOKED_FOR)
def test_their_callers_look_after_an_error(name):
    callers = [function for function in functions() if name in function.calls]
    assert {function.name for function in callers} == LOOKED_FOR[name]
    known = [f for f in callers if f.name not in RESUMED]
    assert all(LOOK_AFTER_ERRORS.search(function.text) for function in known)
