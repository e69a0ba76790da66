"""Messages as lines: what each format shows, and that hex and json bring every message back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.cli.ends import Failure
from ratchet.cli.formats import decoder, encoder

MESSAGES = st.lists(st.binary(max_size=20), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ([b"hello"], "hello\n"),
        ([b"topic", b"body"], "topic\tbody\n"),
        ([b""], "\n"),
        ([b"two\nlines\r\n"], "two\\nlines\\r\\n\n"),
        ([b"a\tb"], "a\\tb\n"),
        ([b"\x1b[2Jgone\x07\x7f"], "\\x1b[2Jgone\\x07\\x7f\n"),
        (["\x9b2J".encode()], "\\x9b2J\n"),  # CSI in one character, which terminals obey as well
        ([b"\xff\x00"], "\\xff\\x00\n"),
        (["süß ☃\u00a0".encode()], "süß ☃\u00a0\n"),
        ([b'{"path": "C:\\\\x"}'], '{"path": "C:\\\\x"}\n'),
    ],
)
def test_text(parts, line):
    assert b"".join(encoder("text")(parts)).decode() == line


@given(MESSAGES)
def test_every_message_is_one_line(parts):
    for name in ("text", "hex", "json"):
        line = b"".join(encoder(name)(parts))
        assert line.endswith(b"\n")
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize("name", ["hex", "json"])
@given(parts=MESSAGES)
def test_a_line_brings_the_message_back(name, parts):
    line = b"".join(encoder(name)(parts))
    assert decoder(name)(line.removesuffix(b"\n")) == parts


def test_raw_adds_nothing():
    assert b"".join(encoder("raw")([b"a\n", b"", b"\xff"])) == b"a\n\xff"


@pytest.mark.parametrize("line", [b"0", b"0g", b"00  zz", "süß".encode()])
def test_what_is_no_hex_is_refused(line):
    with pytest.raises(Failure, match="not a message in hex"):
        decoder("hex")(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"parts": []}',
        b'{"parts": 7}',
        b'{"parts": [7]}',
        b'{"parts": [{"base64": "!"}]}',
        b'{"parts": ["\\ud800"]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_json_message_is_refused(line):
    with pytest.raises(Failure, match="not a message in json"):
        decoder("json")(line)
