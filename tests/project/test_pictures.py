"""The pictures that scripts draw: up to date, and legible on a light page and a dark one."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WHITE, DARK = "#ffffff", "#131416"  # pages: GitHub's and the theme's; the theme's dark one


@pytest.mark.parametrize(
    ("name", "folder", "pattern"),
    [
        ("badges", "badges", "*"),
        ("patterns", "patterns", "*"),
        ("rates", "benchmarks", "rates.svg"),
    ],
)
def test_they_are_up_to_date(name, folder, pattern, tmp_path):
    tool = f"tools/draw_{name}.py"
    subprocess.run([sys.executable, str(ROOT / tool), str(tmp_path)], check=True)
    there, made = (
        {path.name: path.read_text(encoding="utf-8") for path in where.glob(pattern)}
        for where in (DOCS / folder, tmp_path)
    )
    assert made, tool
    assert there == made, f"run: python {tool} docs/{folder}"


def test_each_pattern_is_shown():
    page = (DOCS / "patterns.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"!\[([^\]]+)\]\(patterns/([\w.-]+)\)", page))
    drawn = {path.name: path.read_text("utf-8") for path in (DOCS / "patterns").iterdir()}
    assert set(shown.values()) == set(drawn)
    for words, name in shown.items():  # who cannot see it is told the same
        assert f"<title>{words}</title>" in drawn[name]


def luminance(color):
    """As WCAG 2 has it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_they_are_legible_on_light_and_dark_pages():
    """WCAG 2 asks for 4.5 between a text and what is behind it, and for 3 of lines."""
    patterns = runpy.run_path(str(ROOT / "tools" / "draw_patterns.py"))
    badges = runpy.run_path(str(ROOT / "tools" / "draw_badges.py"))
    fills = [*patterns["COLORS"].values(), patterns["TAG"]]
    fills += [badges[name] for name in ("GREY", "BLUE", "GREEN", "ORANGE")]
    for fill in fills:
        assert contrast(fill, patterns["TEXT"]) >= 4.5, fill
    rates = runpy.run_path(str(ROOT / "tools" / "draw_rates.py"))
    for color in ("TEXT", "NOTE"):
        assert contrast(rates[color], rates["GROUND"]) >= 4.5, color
    for page in (WHITE, DARK):
        assert contrast(patterns["LINE"], page) >= 3, page
