"""From messages to lines and back: text, hex, json and raw."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from .ends import Failure

__all__ = ["FORMATS", "Encoder", "decoder", "encoder"]

Encoder: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]  # from parts to what is written

FORMATS = ("text", "hex", "json", "raw")

# What would end the line, move a terminal's cursor or command it: C0, DEL and C1.
_CONTROLS = {
    n: {9: "\\t", 10: "\\n", 13: "\\r"}.get(n, f"\\x{n:02x}")
    for n in (*range(32), *range(127, 160))
}


def encoder(name: str, separator: str = "\t") -> Encoder:
    """Return what makes of a message's parts the pieces to be written: one line, or the raw parts.

    Args:
        name: one of `FORMATS`.
        separator: what stands between parts in text.
    """
    between = separator.encode()

    def as_text(parts: Sequence[bytes]) -> Iterable[bytes]:
        return (between.join([_visible(part) for part in parts]), b"\n")

    def as_hex(parts: Sequence[bytes]) -> Iterable[bytes]:
        return (" ".join([part.hex() for part in parts]).encode(), b"\n")

    def as_json(parts: Sequence[bytes]) -> Iterable[bytes]:
        text = json.dumps({"parts": [_to_json(part) for part in parts]}, ensure_ascii=False)
        return (text.encode(), b"\n")

    def as_they_are(parts: Sequence[Any]) -> Iterable[Any]:
        return parts

    return {"text": as_text, "hex": as_hex, "json": as_json, "raw": as_they_are}[name]


def decoder(name: str) -> Callable[[bytes], list[bytes]]:
    """Return what makes a message's parts of a line, or for "raw" of all there is.

    Raises:
        Failure: (by what is returned) the line is no such message.
    """
    return {"text": _whole, "hex": _from_hex, "json": _from_json, "raw": _whole}[name]


def _visible(part: bytes) -> bytes:
    """Escape in a text what would not stay in its line, and bytes that are not UTF-8."""
    if part.isascii() and part.decode().isprintable():
        return part
    return part.decode("utf-8", "backslashreplace").translate(_CONTROLS).encode()


def _to_json(part: bytes) -> Any:
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part).decode()}


def _whole(line: bytes) -> list[bytes]:
    return [line]


def _from_hex(line: bytes) -> list[bytes]:
    try:
        return [binascii.unhexlify(part) for part in line.split(b" ")]
    except ValueError as error:
        raise Failure(f"not a message in hex: {line[:80]!r}: {error}") from None


def _from_json(line: bytes) -> list[bytes]:
    try:
        parts = json.loads(line)["parts"]
        found = [
            part.encode() if isinstance(part, str) else base64.b64decode(part["base64"], None, True)
            for part in (parts if isinstance(parts, list) else [parts])
        ]
        return [found[0], *found[1:]]  # at least one
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise Failure(
            f'not a message in json: {line[:80]!r}: {error!r}; the form is {{"parts": ["text", '
            '{"base64": "AAE="}]}'
        ) from None
