"""``ratchet info``, ``--version`` and help, and that a program pays nothing for the command."""

import json
import re
import subprocess
import sys

import pytest

import ratchet
from ratchet.cli.parser import COMMANDS


def test_for_programs(main):
    result = main("info", "--json")
    found = json.loads(result.out)
    assert (result.status, result.err) == (0, "")
    assert found["versions"]["ratchet"] == ratchet.__version__
    assert found["versions"]["libzmq"] == ".".join(map(str, ratchet.libzmq_version()))
    assert found["libzmq has"]["curve"] is ratchet.has("curve")
    assert found["beside it"]["pyzmq"]
    assert found["limits"]["processors"] >= 1


def test_for_people(main):
    result = main("info")
    assert (result.status, result.err) == (0, "")
    assert f"  {ratchet.__version__}\n" in result.out
    assert "\x1b" not in result.out


def test_what_is_not_installed(run, without_extra):
    result = run("info", env=without_extra)
    assert (result.status, result.err) == (0, "")
    assert b"versions\n" in result.out


def test_as_a_module():
    line = [sys.executable, "-m", "ratchet", "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == f"ratchet {ratchet.__version__}\n"


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_wide_as_the_terminal(main, name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    result = main(name, "--help")
    assert (result.status, result.err) == (0, "")
    text, _, examples = result.out.partition("examples:\n")
    assert all(len(line) <= min(columns, 100) for line in text.splitlines())
    for what, line in COMMANDS[name].EXAMPLES:  # they stand as they are to be copied
        assert f"  # {what}\n  {line}\n" in f"{examples}\n"


def test_examples_are_what_every_shell_takes():
    """A pattern of file names outside of quotes is an error in zsh and fish."""
    for module in COMMANDS.values():
        for _, line in module.EXAMPLES:
            assert "ratchet" in line
            assert not re.search(r"[*\[?]", re.sub(r"'[^']*'", "", line)), line


def test_help_names_each_command_and_status(main):
    text = main("--help").out
    for word in (*COMMANDS, "124 ", "130 "):
        assert f"    {word}" in text or f"  {word}" in text


def test_nothing_to_do_is_an_error(main):
    result = main()
    assert result.status == 2
    assert result.err == (f"ratchet: give a command: {', '.join(COMMANDS)} (see ratchet --help)\n")


def test_a_program_pays_nothing():
    text = "import sys, ratchet; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "ratchet.zmqsocket" in loaded
    assert not {"argparse", "rich", "shtab", "ratchet.cli", "ratchet.__main__"} & set(loaded)
