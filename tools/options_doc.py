"""Prints docs/options.md, made from ratchet.options.TABLE.

Run as `python tools/options_doc.py > docs/options.md`; a test tells when that is due.
"""

from __future__ import annotations

import sys

from ratchet.options import ALIASES, TABLE

HEAD = """\
# Options

<!-- Made by tools/options_doc.py from ratchet.options.TABLE; do not edit. -->

Every stable option of zmq_setsockopt(3) and zmq_getsockopt(3), in seconds and bytes. An option is

- a property of a socket, in lower case: `zsock.sndhwm = 1000`;
- a keyword when the socket is made: `zmqsocket.new("PUSH", sndhwm=1000)`;
- a name, in any case: `zsock.setsockopt("SNDHWM", 1000)`, `zsock.getsockopt("SNDHWM")`.

`help(zmqsocket.ZMQSocket.sndhwm)` shows its range as well. None stands for "no limit" or "as the
system has it". An option acts on the binds and connects after it, but for linger, the high-water
marks and those of REQ, ROUTER and XPUB, which act at once.

*Remembered* means that libzmq does not tell the value, so it reads as it was last set.

| name | type | unit | default | what it does |
| --- | --- | --- | --- | --- |
"""


def row(name: str) -> str:
    """One option as a line of the table."""
    option = TABLE[name]
    # The docstring is "type, in unit: what it does", an empty line, and notes for `help`.
    notes = [(option.__doc__ or "").partition("\n\n")[0].partition(": ")[2]]
    if option.only:
        notes.append(f"Only {', '.join(option.only)}.")
    if option.needs:
        notes.append(f"Needs a libzmq with {option.needs}.")
    if option.write_only:
        notes.append("Remembered.")
    if option.read_only:
        notes.append("Read-only.")
    if option.own:
        notes.append("Ratchet's own.")
    method = name in {"SUBSCRIBE", "UNSUBSCRIBE"}
    if method:
        notes.append("A method, not a property.")
    cells = [
        f"`{name}`",
        f"`{option.takes}`",
        option.unit,
        "" if option.read_only or method else f"`{option.default!r}`",
        " ".join(notes),
    ]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def page() -> str:
    """The whole page."""
    olds = ", ".join(f"`{old}` for `{new}`" for old, new in sorted(ALIASES.items()))
    tail = f"\nOld names are taken by `setsockopt` and `getsockopt` as well: {olds}.\n"
    return HEAD + "".join(map(row, TABLE)) + tail


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(page())
