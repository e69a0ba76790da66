"""docs/command-line.md: each example prints what the page says, and each option is on it."""

import argparse
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.cli.parser import COMMANDS, make

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"^```sh\n((?:[^`].*\n|\n)+)```\n\n```text\n((?:[^`].*\n)+)```", re.MULTILINE)


@pytest.fixture
def path(tmp_path):
    """The search path of a shell that finds this Python, and its ratchet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in (("ratchet", "-m ratchet"), ("python3", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {line} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("text", "shown"), [pytest.param(*found, id=found[0][:60]) for found in SHOWN.findall(PAGE)]
)
def test_examples(text, shown, path, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        ["bash", "-c", text.replace("5555", str(port))],
        capture_output=True,
        env={**os.environ, "PATH": path},
        cwd=tmp_path,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr) == (shown, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_each_option(name):
    section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    common = {"--help", "--bind", "--connect", "--option", "--curve", "--server", "--clients"}
    found = make()._subparsers._group_actions[0].choices[name]._option_string_actions
    for option in set(found) - common:
        if option.startswith("--") and found[option].help != argparse.SUPPRESS:
            assert f"`{option}" in section, f"{name} {option}"
    assert all(f"`{option}" in PAGE for option in common - {"--help"})
