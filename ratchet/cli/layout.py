"""How help is laid out: as wide as the terminal, 100 columns at most, with examples to copy."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Formatter", "examples"]

WIDEST = 100  # columns; longer lines are hard to read


class Formatter(argparse.HelpFormatter):
    """Fills each paragraph; one with a line that is indented stays as it is."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(shutil.get_terminal_size().columns, WIDEST) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002 (its signature)
        return "\n\n".join(
            paragraph if "\n " in paragraph else textwrap.fill(paragraph, width)
            for paragraph in text.strip("\n").split("\n\n")
        )


def examples(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the section of examples: what each does, and below it the line to copy.

    What a shell would read as a pattern of file names stands in quotes: zsh and fish refuse to run
    a line with a pattern that no file has.
    """
    return "examples:\n" + "\n".join(f"  # {what}\n  {line}" for what, line in pairs)
