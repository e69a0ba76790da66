"""Draws the README's plot, docs/benchmarks/rates.svg, from the samples in results.json beside it.

Run as `python tools/draw_rates.py docs/benchmarks`; `make bench-full` does so, and a test tells
when it is due. The picture has a white ground of its own, so it reads the same on a dark page, and
is so narrow that it can be read on a phone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

SAMPLES = Path(__file__).parents[1] / "docs" / "benchmarks" / "results.json"
SIZES = {16: "16 bytes", 1024: "1 KiB"}
PAIRS = {
    "OS threads": ("ratchet", "pyzmq"),
    "cooperative threads": ("ratchet-threads", "pyzmq-green"),
    "asyncio": ("ratchet-asyncio", "pyzmq-asyncio"),
}
NAMES = {
    "ratchet-threads": "ratchet", "ratchet-asyncio": "ratchet",
    "pyzmq-green": "zmq.green", "pyzmq-asyncio": "zmq.asyncio",
}  # fmt: skip
MINE, OTHER, TEXT, NOTE, GROUND = "#2a6496", "#b0621a", "#1f2328", "#59636e", "#ffffff"

# Pixels.
WIDTH, PAD, NAME, BAR, LINE = 480, 14, 90, 14, 19
LONGEST = WIDTH - 2 * PAD - NAME - 145


def label(x: float, y: float, text: str, color: str = TEXT, more: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:g}" y="{y:g}" fill="{color}"{more}>{text}</text>'


def group(rates: dict[str, float], kind: str, y: float, longest: float) -> list[str]:
    """Two bars: ratchet's and the other's, with their figures behind them."""
    lines = [label(PAD, y + BAR - 1, kind)]
    names = PAIRS[kind]
    for number, name in enumerate(names):
        top = y + (number + 1) * LINE
        width = max(2.0, LONGEST * rates[name] / longest)
        x = PAD + NAME
        times = f", {rates[name] / rates[names[1]]:.2g} times" if number == 0 else ""
        said = f"{rates[name] / 1e6:.2g} million{times}"
        color = OTHER if number else MINE
        lines += [
            label(PAD, top + BAR - 1, NAMES.get(name, name), NOTE),
            f'<rect x="{x}" y="{top + 1:g}" width="{width:.1f}" height="{BAR}" fill="{color}"/>',
            label(x + width + 6, top + BAR - 1, said),
        ]
    return lines


def draw() -> str:
    """The whole file."""
    found = json.loads(SAMPLES.read_text(encoding="utf-8"))
    rates = {
        (one["size"], one["library"]): median(one["samples"])
        for one in found["results"]
        if (one["work"], one["transport"]) == ("one-call", "tcp")
    }
    longest = max(rates[size, name] for size in SIZES for names in PAIRS.values() for name in names)
    title = "Messages a second over tcp, one send and one recv for each"
    body = [label(PAD, 26, title, more=' font-size="15" font-weight="bold"')]
    y = 40
    for size, called in SIZES.items():
        body.append(label(PAD, y + 14, called, more=' font-weight="bold"'))
        y += 22
        for kind, names in PAIRS.items():
            body += group({name: rates[size, name] for name in names}, kind, y, longest)
            y += 3 * LINE + 8
        y += 4
    machine = found["machine"]
    said = f"{machine['python']}, {machine['processor']}: medians of five rounds"
    body.append(label(PAD, y + 14, said, NOTE))
    height = y + 28
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img" font-size="13"'
        ' font-family="Helvetica, Arial, DejaVu Sans, sans-serif">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{GROUND}"/>'
    return "\n".join([head, f"<title>{title}</title>", ground, *body, "</svg>\n"])


def main() -> None:
    """Write it into a folder."""
    (Path(sys.argv[1]) / "rates.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
