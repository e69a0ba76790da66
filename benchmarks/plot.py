"""Draws the plots of docs/benchmarks.md as SVG and PNG, with matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cases import SIZES, Case
from .report import Sample, Samples, ratios, spread

# Of each point: where it is, the median, and the lowest and the highest round.
Line = list[tuple[float, float, float, float]]
Ticks = dict[float, str]
# A colour for each library, dashes for the kind of thread, in all plots.
COLORS = {"ratchet": "C0", "pyzmq": "C1", "pyomq": "C2", "pynng": "C4", "c": "black"}
DASHES = {
    "threads": "--",
    "gevent": "-.",
    "green": "--",
    "asyncio": ":",
    "frames": "-.",
    "own": (0, (5, 1)),
}
LIBRARIES = (
    "ratchet", "ratchet-own", "ratchet-threads", "ratchet-gevent", "ratchet-asyncio",
    "ratchet-frames", "c",
    "pyzmq", "pyzmq-green", "pyzmq-asyncio", "pyzmq-frames", "pyomq", "pyomq-asyncio", "pynng",
)  # fmt: skip
VERSUS = (
    ("ratchet", "pyzmq"),
    ("ratchet-own", "pyzmq"),
    ("ratchet-threads", "pyzmq-green"),
    ("ratchet-gevent", "pyzmq-green"),
    ("ratchet-asyncio", "pyzmq-asyncio"),
    ("ratchet-asyncio", "pyomq-asyncio"),
    ("ratchet", "pyomq"),
    ("ratchet-own", "pyomq"),
    ("ratchet", "pynng"),
    ("ratchet", "c"),
)


def draw(
    path: Path, title: str, axes: tuple[str, str], lines: dict[str, Line], ticks: Ticks
) -> list[str]:
    """Lines on two logarithmic axes, with the spread of each point; the page's lines for it."""
    try:
        import matplotlib as mpl
    except ImportError:
        print(f"left out: {path.name}: there is no matplotlib")
        return []
    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    figure, plot = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for index, (name, points) in enumerate(lines.items()):
        xs, middle, low, high = zip(*points, strict=True)
        errors = [[m - v for m, v in zip(middle, low, strict=True)]]
        errors += [[v - m for m, v in zip(middle, high, strict=True)]]
        color, dashes = f"C{index}", "-" if index < 10 else "--"
        if name in LIBRARIES:
            library, _, kind = name.partition("-")
            color, dashes = COLORS[library], DASHES.get(kind, "-")
        plot.errorbar(
            xs, middle, yerr=errors, label=name, color=color, linestyle=dashes, marker="o",
            markersize=4, capsize=2, elinewidth=0.8,
        )  # fmt: skip
    plot.set(title=title, xlabel=axes[0], ylabel=axes[1], xscale="log", yscale="log")
    shown = sorted({x for points in lines.values() for x, *_ in points} & set(ticks))
    plot.set_xticks(shown, [ticks[x] for x in shown])
    plot.minorticks_off()
    plot.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=110)
    plt.close(figure)
    return [f"![{title}]({path.parent.name}/{path.stem}.svg)", ""]


def series(
    samples: Samples,
    cases: dict[float, Case],
    names: tuple[str, ...],
    value: Callable[[Sample], float],
) -> dict[str, Line]:
    """The lines of these libraries over these cases, of those that did more than one."""
    lines = {
        name: [
            (x, *spread([value(one) for one in samples[case, name]]))
            for x, case in cases.items()
            if (case, name) in samples
        ]
        for name in names
    }
    return {name: line for name, line in lines.items() if len(line) > 1}


def report(samples: Samples, folder: Path) -> list[str]:
    """All plots of the full run; the lines that show them in the page."""
    names: dict[float, str] = {value: f"{name}B" for name, value in SIZES.items()}
    names[16] = "16 B"
    one_call: dict[float, Case] = {SIZES[name]: Case("one-call", "tcp", name) for name in SIZES}
    trips = {SIZES[name]: Case("round-trip", "tcp", name) for name in SIZES}
    subscribers = {float(n): Case(f"pub-sub-{n}", "tcp", "16") for n in (1, 10, 100)}
    versus: dict[str, Line] = {}
    for mine, other in VERSUS:
        found = [
            (x, *ratios(case, samples[case, mine], samples[case, other]))
            for x, case in one_call.items()
            if (case, mine) in samples and (case, other) in samples
        ]
        if found:
            versus[f"{mine} / {other}"] = found
    some = tuple(name for name in LIBRARIES if "frames" not in name)
    plots: list[tuple[str, str, tuple[str, str], Any, Ticks]] = [
        (
            "ratio",
            "One send and one recv per message, tcp",
            ("size of a message", "messages a second, ratchet / other"),
            versus,
            names,
        ),
        (
            "round-trip",
            "Round trip, REQ to REP and back, tcp",
            ("size of a message", "µs"),
            series(samples, trips, some, lambda one: one.figure),
            names,
        ),
        (
            "pub-sub",
            "One PUB to N SUB, 16 bytes, tcp",
            ("subscribers", "messages received a second"),
            series(samples, subscribers, some, lambda one: one.figure),
            {n: f"{n:.0f}" for n in subscribers},
        ),
        (
            "cpu",
            "CPU time of both processes, one send and one recv per message, tcp",
            ("size of a message", "µs a message"),
            series(samples, one_call, LIBRARIES, lambda one: one.cpu),
            names,
        ),
    ]
    lines = []
    for name, title, axes, found, ticks in plots:
        if found:
            lines += draw(folder / name, title, axes, found, ticks)
    return lines
