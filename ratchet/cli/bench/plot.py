"""The picture of a benchmark: bars, as SVG written here, readable on light and dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .near import WORKS
from .table import figure, heading, size_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .near import Bench, Row

__all__ = ["svg"]

COLORS = {
    "ratchet": "#2a78b8",
    "ratchet many": "#5ba3d9",
    "ratchet asyncio": "#8ec5ee",
    "pyzmq": "#c8701a",
    "pyzmq asyncio": "#e5a35e",
}
NOTES = {"rate": "more is better", "trip": "less is better"}
# Pixels.
WIDTH, MARGIN, PANEL = 860, 20, 400
LINE, BAR, NAME, VALUE = 20, 14, 110, 75
TOP = 88  # of the panels, below the heading

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 15px; font-weight: 600 } .note { fill: #666 }
.page { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .note { fill: #999 } .page { fill: #161616 }
}"""


def svg(bench: Bench) -> str:
    """Return the picture: a panel for each work, and in it a group of bars for each size."""
    body, height = [], 0
    for number, work in enumerate(WORKS):
        rows = [row for row in bench.rows if row.work == work]
        panel, bottom = draw_panel(bench, work, rows, MARGIN + number * (PANEL + MARGIN))
        body += panel
        height = max(height, bottom)
    first, second = heading(bench).splitlines()
    size = f'width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" {size}/>',
            text(MARGIN, 24, first, "title"),
            text(MARGIN, 44, second, "note"),
            *body,
            "</svg>\n",
        ]
    )


def draw_panel(bench: Bench, work: str, rows: list[Row], left: int) -> tuple[list[str], int]:
    """Draw the groups of one work below each other; return the elements and where they end."""
    found = [text(left, TOP - 12, f"{WORKS[work]} ({NOTES[work]})", "title")]
    y = TOP
    for row in rows:
        y += LINE
        found.append(text(left, y - 5, size_name(row.size), "note"))
        for line in bars(bench, row, left, y):
            found += line
            y += LINE
        y += LINE // 2
    return found, y + MARGIN


def bars(bench: Bench, row: Row, left: int, y: int) -> Iterator[list[str]]:
    """Go through the bars of one size; the longest is as long as the panel allows."""
    values = {name: bench.median(row, name) or 0.0 for name in bench.measured(row)}
    most = max(values.values()) or 1.0
    for name, value in values.items():
        length = max(1.0, (PANEL - NAME - VALUE) * value / most)
        start = left + NAME
        box = f'x="{start}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"'
        yield [
            text(start - 8, y + 11, name, anchor="end"),
            f'<rect {box} fill="{COLORS[name]}"/>',
            text(start + round(length) + 6, y + 11, figure(bench, row, name)),
        ]
        y += LINE


def text(x: int, y: int, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text element."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{style}>{escape(words)}</text>'
