"""Prints docs/options.md, made from ratchet.options.TABLE.

Run as `python tools/options_doc.py > docs/options.md`; a test tells when that is due.
"""

from __future__ import annotations

import sys

from ratchet.options import ALIASES, TABLE

HEAD = """\
# Options

<!-- Made by tools/options_doc.py from ratchet.options.TABLE; do not edit. -->

Every option of zmq_setsockopt(3) and zmq_getsockopt(3), in seconds and bytes. An option is

- a property of a socket, in lower case: `zsock.sndhwm = 1000`;
- a keyword when the socket is made: `zmqsocket.new("PUSH", sndhwm=1000)`;
- a name, in any case: `zsock.setsockopt("SNDHWM", 1000)`, `zsock.getsockopt("SNDHWM")`.

`help(zmqsocket.ZMQSocket.sndhwm)` also shows its range. None means "no limit", or "as the system
has it". An option counts for each `bind` and `connect` after it. Linger, the high-water marks, and
the options of REQ, ROUTER and XPUB count at once.

*Remembered* means that libzmq does not tell the value: you read the value that was set last.
*Draft* means that not every libzmq has it: [see below](#draft-options).

| name | type | unit | default | what it does |
| --- | --- | --- | --- | --- |
"""


DRAFTS = """

## Draft options

libzmq 4.3 has options that it does not promise to keep. `ratchet.has("draft")` and `ratchet info`
say whether it was built with all of them, as the one in ratchet's wheels is and those of
distributions are not. Which are there is found out when the program runs, by libzmq's version and
build; setting one that is not there is an `ArgumentError` that says so. Their numbers are those
of 4.3, and no other version gets them. Draft socket types are not offered.

**Batches.** libzmq reads and writes `in_batch_size` and `out_batch_size` bytes at once. With
ratchet's 64 KiB instead of libzmq's 8, messages of 1 to 16 KiB cost about half of the CPU time;
small and very large ones cost the same ([044](decisions/044-drafts-and-the-wheels-libzmq.md) has
the figures). Each connection by tcp or ipc keeps a buffer of each kind while it is used. In the
process that binds, a quiet connection costs 27 KiB with either, and one that has carried bursts
in both directions 67 KiB with batches of 8 KiB, 205 KiB with 64. A message of more than 33 bytes
that waits in a queue, or is held as a `Frame`, keeps the buffer alive in which it came. **Who has
ten thousand connections** sets both back on the socket that binds, `zmqsocket.new("ROUTER",
in_batch_size=8192, out_batch_size=8192)`, which is libzmq's own size: bursts on all of them then
take 0.7 GB in place of 2. Who sends messages of about 64 KiB over ipc sets both to 131072: each
then fits, and takes two thirds of the CPU time.

**What is refused**, because libzmq 4.3 ends the process over it or does not recover:

| | why |
| --- | --- |
| batches of less than 256 bytes | it aborts with 1, and nothing is gained by so few |
| `hello_msg` and `bind` to inproc | it aborts if one that had connected there was closed |
| `disconnect_msg` before 4.3.5 | it crashes when the ROUTER is closed at that moment |
| `router_notify` of 2 or 3 and `connect` | it forgets a peer's name if a handshake fails |
| `priority` above 6 | it aborts where Linux says no, at any later connection |
| `zap_enforce_domain` and PLAIN without `users` or `zap_domain` | it aborts when a peer comes |
| `xpub_manual_last_value` with `track_peers` | nobody could count the subscribers |
| `NORM_…` and `WSS_…` | these transports are refused as well: it aborts in both |
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
    if option.since:
        older = "" if option.since <= (4, 3, 2) else f" of {'.'.join(map(str, option.since))}"
        notes.append(f"Draft{older}{', needs a build with drafts' if option.in_drafts else ''}.")
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
    return HEAD + "".join(map(row, TABLE)) + tail + DRAFTS


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(page())
