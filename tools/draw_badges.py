"""Draws the README's badges, docs/badges/*.svg, from what the project's own files say.

Run as `python tools/draw_badges.py docs/badges`; a test tells when that is due.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
GREY, BLUE, GREEN, ORANGE = "#555555", "#2f6f9f", "#3a7d34", "#9a5b13"

# Pixels. The text is fitted into its half by textLength, so no font has to be known.
HEIGHT, LETTER, PAD = 20, 6.6, 7.0

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" role="img">
<title>{label}: {text}</title>
<clipPath id="r"><rect width="{width:g}" height="{height}" rx="3"/></clipPath>
<g clip-path="url(#r)">
<rect width="{left:g}" height="{height}" fill="{grey}"/>
<rect x="{left:g}" width="{right:g}" height="{height}" fill="{color}"/>
</g>
<g fill="#ffffff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{pad:g}" y="14" textLength="{label_width:g}">{label}</text>
<text x="{text_x:g}" y="14" textLength="{text_width:g}">{text}</text>
</g>
</svg>
"""


def badge(label: str, text: str, color: str) -> str:
    """One badge: what it is about on grey, what is so on a colour."""
    label_width, text_width = len(label) * LETTER, len(text) * LETTER
    left, right = label_width + 2 * PAD, text_width + 2 * PAD
    return SVG.format(
        width=left + right, height=HEIGHT, left=left, right=right, grey=GREY, color=color,
        pad=PAD, label=label, label_width=label_width,
        text=text, text_width=text_width, text_x=left + PAD,
    )  # fmt: skip


def badges() -> dict[str, str]:
    """All badges, by the names of their files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, day = re.findall(r"^## \[([\d.]+)\] - (.+)$", changes, re.MULTILINE)[0]
    unpublished = day == "unreleased"
    said = f"{version}, not published yet" if unpublished else version
    typed = "Typing :: Typed" in project["classifiers"]
    return {
        "python.svg": badge("python", project["requires-python"].removeprefix(">=") + "+", BLUE),
        "types.svg": badge("types", "mypy, pyright" if typed else "none", GREEN),
        "license.svg": badge("license", project["license"], GREEN),
        "version.svg": badge("version", said, ORANGE if unpublished else GREEN),
    }


def main() -> None:
    """Write all of them into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in badges().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
