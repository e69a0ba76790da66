"""Draws the pictures of docs/patterns.md, docs/patterns/*.svg: who talks with whom in each pattern.

Run as `python tools/draw_patterns.py docs/patterns`; a test tells when that is due. All text stands
on a filled box, so that a picture reads the same on a light page and on a dark one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

# Fills carry white text; a test computes the contrasts of all, on white and on the dark theme.
COLORS = {"ask": "#2a6496", "work": "#2e7d32", "between": "#7d5ba6", "gone": "#6b6b6b"}
LINE, TAG, TEXT = "#808080", "#6b6b6b", "#ffffff"

# Pixels. Three columns fit on a phone at nearly their full size.
WIDTH, HEIGHT = 112, 46
ACROSS, DOWN, EDGE = 164, 60, 10
LETTER = 7.4  # of a bold letter of 13 px, or a little more

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">
<title>{title}</title>
<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{line}"/></marker></defs>
<g font-family="Helvetica, Arial, DejaVu Sans, sans-serif" text-anchor="middle">
"""


@dataclass
class Picture:
    """Boxes on a grid, and arrows between them."""

    title: str
    boxes: dict[str, tuple[float, float]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)

    def box(
        self, name: str, at: tuple[float, float], says: str, under: str = "", kind: str = "ask"
    ) -> Picture:
        """A program or a socket at (column, row), with a title and a line below it."""
        for text in (says, under):
            if len(text) * LETTER > WIDTH:
                raise ValueError(f"too long for a box: {text}")
        x, y = EDGE + at[0] * ACROSS, EDGE + at[1] * DOWN
        self.boxes[name] = (x, y)
        dashes = ' stroke="#808080" stroke-width="2" stroke-dasharray="5 4"' * (kind == "gone")
        self.above.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
            f' fill="{COLORS[kind]}"{dashes}/>'
        )
        lines = [(says, ' font-weight="bold"', 20 if under else 28), (under, "", 37)]
        for text, weight, down in lines:
            if text:
                self.above.append(
                    f'<text x="{x + WIDTH / 2:g}" y="{y + down:g}" font-size="13"{weight}'
                    f' fill="{TEXT}">{text}</text>'
                )
        return self

    def arrow(
        self, start: str, end: str, tag: str = "", *, both: bool = False, dashed: bool = False,
        up: float = 0,
    ) -> Picture:  # fmt: skip
        """A line from one box to another: from side to side, or from below to above."""
        (x1, y1), (x2, y2) = self.boxes[start], self.boxes[end]
        if x1 == x2:
            x1, x2 = x1 + WIDTH / 2, x2 + WIDTH / 2
            y1, y2 = (y1 + HEIGHT, y2) if y1 < y2 else (y1, y2 + HEIGHT)
        else:
            x1, x2 = (x1 + WIDTH, x2) if x1 < x2 else (x1, x2 + WIDTH)
            y1, y2 = y1 + HEIGHT / 2 + up, y2 + HEIGHT / 2 + up
        more = ' marker-start="url(#a)"' * both + ' stroke-dasharray="5 4"' * dashed
        self.parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}"'
            f' stroke-width="2" marker-end="url(#a)"{more}/>'
        )
        if tag:
            width = len(tag) * 6.6 + 12
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            self.above.append(
                f'<rect x="{x - width / 2:g}" y="{y - 9:g}" width="{width:g}" height="18" rx="9"'
                f' fill="{TAG}"/><text x="{x:g}" y="{y + 4:g}" font-size="12" fill="{TEXT}">'
                f"{tag}</text>"
            )
        return self

    def frame(self, at: tuple[float, float], size: tuple[float, float]) -> Picture:
        """A dashed border around what is in one process."""
        x, y = at[0] * ACROSS + 2, at[1] * DOWN + 2
        width, height = (size[0] - 1) * ACROSS + WIDTH + 16, (size[1] - 1) * DOWN + HEIGHT + 16
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="none"'
            f' stroke="{LINE}" stroke-width="1.5" stroke-dasharray="3 3"/>'
        )
        return self

    def svg(self) -> str:
        """The whole file."""
        w = max(x for x, _ in self.boxes.values()) + WIDTH + EDGE
        h = max(y for _, y in self.boxes.values()) + HEIGHT + EDGE
        head = HEAD.format(w=f"{w:g}", h=f"{h:g}", title=self.title, line=LINE)
        return head + "\n".join([*self.parts, *self.above]) + "\n</g>\n</svg>\n"


def request(p: Picture) -> None:
    """Two clients ask one service and get its answers."""
    p.box("a", (0, 0), "client", "REQ").box("b", (0, 1), "client", "REQ")
    p.box("s", (2, 0.5), "service", "REP", "work")
    p.arrow("a", "s", "question", both=True).arrow("b", "s", "answer", both=True)


def pipeline(p: Picture) -> None:
    """A source deals out jobs to three workers, which send their results to a sink."""
    p.box("source", (0, 1), "source", "PUSH").box("sink", (2, 1), "sink", "PULL")
    for n in range(3):
        p.box(f"w{n}", (1, n), "worker", "PULL, PUSH", "work")
        p.arrow("source", f"w{n}").arrow(f"w{n}", "sink")


def publish(p: Picture) -> None:
    """A publisher sends each message to those who have subscribed to its prefix."""
    p.box("pub", (0, 1), "publisher", "PUB")
    for n, prefix in enumerate(("oslo", "rome", "everything")):
        p.box(f"s{n}", (2, n), "subscriber", f"SUB {prefix}", "work")
    p.arrow("pub", "s0", "oslo 3").arrow("pub", "s1", dashed=True).arrow("pub", "s2", "oslo 3")


def broker(p: Picture) -> None:
    """Clients and workers know only the broker between them."""
    p.box("b", (1, 0.5), "broker", "Proxy", "between")
    for n in range(2):
        p.box(f"c{n}", (0, n), "client", "REQ").box(f"w{n}", (2, n), "worker", "REP", "work")
        p.arrow(f"c{n}", "b", both=True).arrow("b", f"w{n}", both=True)


def presence(p: Picture) -> None:
    """A server knows that two peers are connected, and that one has left."""
    p.box("s", (0, 1), "server", "track_peers", "between")
    p.box("a", (2, 0), "peer", "connected", "work").box("b", (2, 1), "peer", "connected", "work")
    p.box("c", (2, 2), "peer", "has left", "gone")
    p.arrow("s", "a", "heartbeat", both=True).arrow("s", "b", "heartbeat", both=True)
    p.arrow("s", "c", dashed=True)


def reliable(p: Picture) -> None:
    """A client asks again when the first server does not answer, and the second one does."""
    p.box("c", (0, 0.5), "client", "request()")
    p.box("a", (2, 0), "server", "no answer", "gone").box("b", (2, 1), "server", "REP", "work")
    p.arrow("c", "a", "first try", dashed=True).arrow("c", "b", "second try", both=True)


def last_value(p: Picture) -> None:
    """A slow reader and a late one get the newest value and no older one."""
    p.box("s", (0, 0.5), "sensor", "1, 2, 3, 4").box("c", (1, 0.5), "cache", "keeps 4", "between")
    p.box("a", (2, 0), "slow reader", "recv_latest()", "work")
    p.box("b", (2, 1), "late reader", "SUB", "work")
    p.arrow("s", "c").arrow("c", "a", "4").arrow("c", "b", "4")


def file_transfer(p: Picture) -> None:
    """A reader asks for chunks of a file, and the owner sends one for each question."""
    p.box("r", (0, 0), "reader", "DEALER").box("o", (2, 0), "owner", "ROUTER", "work")
    p.arrow("r", "o", "next, please", up=-12).arrow("o", "r", "chunk", up=12)


def remote_call(p: Picture) -> None:
    """A caller sends the name and the arguments of a function and gets its result."""
    p.box("c", (0, 0), "caller", "REQ").box("s", (2, 0), "functions", "REP", "work")
    p.arrow("c", "s", "add 2 3", up=-12).arrow("s", "c", "5", up=12)


def thread_pool(p: Picture) -> None:
    """Three threads of one process receive from one socket."""
    p.frame((1, 0), (2, 3))
    p.box("s", (0, 1), "source", "PUSH").box("p", (1, 1), "one socket", "PULL", "between")
    p.arrow("s", "p")
    for n in range(3):
        p.box(f"t{n}", (2, n), f"thread {n + 1}", "recv()", "work").arrow("p", f"t{n}")


PICTURES = (
    request, pipeline, publish, broker, presence, reliable, last_value, file_transfer, remote_call,
    thread_pool,
)  # fmt: skip


def main() -> None:
    """Write all of them into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for draw in PICTURES:
        picture = Picture((draw.__doc__ or "").removesuffix("."))
        draw(picture)
        path = folder / f"{draw.__name__.replace('_', '-')}.svg"
        path.write_text(picture.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
