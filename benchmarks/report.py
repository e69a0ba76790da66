"""Turns samples into medians, ratios, aligned tables and the made part of a page."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from .cases import WORKS, Case


class Sample(NamedTuple):
    """What one library did with one case in one run."""

    figure: float  # messages a second, or µs for a round trip
    cpu: float  # µs of CPU time for each message, of both sides


Samples = dict[tuple[Case, str], list[Sample]]


def timed(case: Case) -> bool:
    """Whether the figures of this case are times, of which less is better."""
    return case.work in ("round-trip", "empty")


def write_json(path: Path | None, **parts: Any) -> None:
    """Write what was asked for with --json, if it was."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")


def write_page(page: Path, target: str, lines: list[str]) -> None:
    """Put the lines between the two marks that this make target has in the page."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- made by make {target} -->", f"<!-- end of what make {target} made -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no {begin} and {end}")
    body = "\n".join(lines)
    page.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")


def figure(value: float) -> str:
    """Three digits that count: 2.51M, 874k, 43.7."""
    for limit, suffix in ((999_500, "M"), (999.5, "k")):
        if value >= limit:
            return f"{value / (1e6 if suffix == 'M' else 1e3):#.3g}".rstrip(".") + suffix
    return f"{value:#.3g}".rstrip(".")


def spread(values: list[float]) -> tuple[float, float, float]:
    """What is shown of the runs: the median, the lowest and the highest."""
    return median(values), min(values), max(values)


def cell(values: list[float]) -> str:
    """A median and how far the runs lie apart."""
    if isnan(values[0]):
        return "-"
    return "{} ({}-{})".format(*map(figure, spread(values)))


def ratios(case: Case, mine: list[Sample], other: list[Sample], cpu: bool = False) -> list[float]:
    """How many times better mine is: of the medians, and in the worst and the best pair of runs."""
    less = cpu or timed(case)

    def ratio(mine: float, other: float) -> float:
        return other / mine if less else mine / other

    pairs = [ratio(one[cpu], two[cpu]) for one, two in zip(mine, other, strict=True)]
    medians = [median(one[cpu] for one in samples) for samples in (mine, other)]
    return [ratio(*medians), min(pairs), max(pairs)]


def rows(samples: Samples, case: Case, libraries: list[str]) -> list[list[str]]:
    """The lines of one case: each library, and how many times better the first one is."""
    mine = samples[case, libraries[0]]
    found = []
    for name in libraries:
        if values := samples.get((case, name)):
            line = [case.transport, case.size_name, name]
            for cpu in (False, True):
                compared = "{:.2f}x ({:.2f}-{:.2f})".format(*ratios(case, mine, values, cpu))
                line += [cell([one[cpu] for one in values]), compared if values != mine else ""]
            found.append(line)
    return found


def tables(samples: Samples, cases: list[Case], libraries: list[str]) -> list[str]:
    """A table for each kind of work that the first library did, and another one if there is any."""
    lines: list[str] = []
    for work, kind in WORKS.items():
        chosen = [c for c in cases if c.work == work and (c, libraries[0]) in samples]
        found = [row for case in chosen for row in rows(samples, case, libraries)]
        if not found or (libraries[1:] and len(found) == len(chosen)):
            continue
        unit = "µs" if timed(chosen[0]) else "messages/s"
        head = ["", "", "", unit, "against it", "CPU µs a message", "against it"]
        lines += ["", kind.title, *align([head, *found], left=3)]
    return lines


def align(rows: list[list[str]], left: int = 2) -> list[str]:
    """Columns of even width: so many flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if index < left else f"{text:>{width}}"
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown(rows: list[list[str]]) -> list[str]:
    """A table in Markdown, whose first row is its head: the first column flush left."""
    head, *others = rows
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in [head, marks, *others]]


def rounded(value: float) -> float:
    """Five digits, more than there is to know."""
    return float(f"{value:.5g}")


def document(samples: Samples) -> list[dict[str, Any]]:
    """Every sample."""
    return [
        {
            "work": case.work,
            "transport": case.transport,
            "size": case.size,
            "unit": "µs" if timed(case) else "messages/s",
            "library": name,
            "samples": [rounded(one.figure) for one in values],
            "cpu µs": [rounded(one.cpu) for one in values],
        }
        for (case, name), values in samples.items()
    ]
