"""Draws lines on two logarithmic axes as an SVG, without any library."""

from __future__ import annotations

from math import ceil, floor, log10

Line = list[tuple[float, float]]

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 220, 40, 50  # margins; names of lines are in the right one
COLORS = ("#0b62a4", "#c9452b", "#2b8a3e", "#8a5fbf", "#b7791f", "#555555")
STYLE = "font-family='sans-serif' font-size='12' fill='#333'"


def svg(lines: dict[str, Line], title: str, horizontal: str) -> str:
    """The drawing. All values must be above zero."""
    xs = [x for line in lines.values() for x, _ in line]
    ys = [y for line in lines.values() for _, y in line]
    x_low, x_high = log10(min(xs)), max(log10(max(xs)), log10(min(xs)) + 0.1)
    y_low, y_high = floor(log10(min(ys))), ceil(log10(max(ys)) + 1e-9)

    def across(x: float) -> float:
        return LEFT + (log10(x) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (log10(y) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
        return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {STYLE} {more}>{words}</text>"

    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
        text(LEFT, 20, title, more="font-weight='bold'"),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, horizontal, "middle"),
    ]
    for power in range(y_low, y_high + 1):
        at = down(10**power)
        parts.append(f"<path d='M{LEFT} {at:.1f}H{WIDTH - RIGHT}' stroke='#ddd'/>")
        parts.append(text(LEFT - 8, at + 4, f"{10.0**power:g}", "end"))
    at = HEIGHT - BOTTOM + 18
    parts += [text(across(x), at, f"{x:,}", "middle") for x in sorted(set(xs))]
    ends = sorted((down(line[-1][1]), name) for name, line in lines.items())
    place = 0.0
    colors = dict(zip(lines, COLORS * len(lines), strict=False))
    for at, name in ends:
        place = max(at, place + 15)  # no name over another
        color = colors[name]
        points = [(across(x), down(y)) for x, y in lines[name]]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>" for x, y in points]
        label = f"{name}: {lines[name][-1][1]:.3g}"
        parts.append(text(WIDTH - RIGHT + 10, place + 4, label, more=f"style='fill:{color}'"))
    return "\n".join([*parts, "</svg>"]) + "\n"
