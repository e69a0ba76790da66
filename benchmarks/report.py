"""Turns samples into medians, ratios and aligned tables."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from .cases import WORKS, Case

# Of each case and library, one sample a round: messages per second, or µs for a round trip.
Samples = dict[tuple[Case, str], list[float]]


def unit(case: Case) -> str:
    """What the samples of this case count."""
    return "µs" if case.work == "round-trip" else "messages/s"


def write_json(path: Path | None, **parts: Any) -> None:
    """Write what was asked for with --json, if it was."""
    if path:
        path.write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")


def figure(value: float) -> str:
    """Three digits that count: 2.51M, 874k, 43.7."""
    for limit, suffix in ((999_500, "M"), (999.5, "k")):
        if value >= limit:
            return f"{value / (1e6 if suffix == 'M' else 1e3):#.3g}".rstrip(".") + suffix
    return f"{value:#.3g}".rstrip(".")


def cell(values: list[float]) -> str:
    """A median and how far the rounds lie apart."""
    return f"{figure(median(values))} ({figure(min(values))}-{figure(max(values))})"


def compare(case: Case, mine: list[float], other: list[float]) -> str:
    """How many times faster mine is: the ratio of the medians, and the ratios of the rounds."""

    def ratio(mine: float, other: float) -> float:
        return other / mine if case.work == "round-trip" else mine / other

    rounds = [ratio(*pair) for pair in zip(mine, other, strict=True)]
    return f"{ratio(median(mine), median(other)):.2f}x ({min(rounds):.2f}-{max(rounds):.2f})"


def tables(samples: Samples, cases: list[Case], libraries: list[str]) -> str:
    """A table for each kind of work; the first library is compared with each of the others."""
    lines = []
    for work, (title, _) in WORKS.items():
        chosen = [case for case in cases if case.work == work]
        if not chosen:
            continue
        rows = [[unit(chosen[0]), "", *libraries, *(f"against {name}" for name in libraries[1:])]]
        for case in chosen:
            values = [samples[case, name] for name in libraries]
            ratios = [compare(case, values[0], other) for other in values[1:]]
            rows.append([case.transport, case.size_name, *map(cell, values), *ratios])
        lines += ["", title, *align(rows)]
    lines += ["", "Median (lowest-highest round)."]
    if libraries[1:]:
        lines[-1] += f" Against: how many times faster {libraries[0]} is, above 1 is better."
    return "\n".join(lines)


def align(rows: list[list[str]], left: int = 2) -> list[str]:
    """The rows as text; all but the first columns to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def document(samples: Samples) -> list[dict[str, Any]]:
    """The same for a program: every sample, with the median."""
    return [
        {
            "work": case.work,
            "transport": case.transport,
            "size": case.size,
            "library": library,
            "unit": unit(case),
            "median": median(values),
            "samples": values,
        }
        for (case, library), values in samples.items()
    ]
