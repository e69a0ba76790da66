"""``ratchet info``, ``--version`` and help, and that a program pays nothing for the command."""

import json
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


def names():
    return [module.__name__.rpartition(".")[2] for module in COMMANDS]


@pytest.mark.parametrize("name", names())
def test_help_has_examples(main, name):
    result = main(name, "--help")
    assert (result.status, result.err) == (0, "")
    text = result.out.partition("examples:\n")[2]
    assert f"ratchet {name}" in text
    assert all(len(line) <= 110 for line in result.out.splitlines())


def test_help_names_each_command_and_status(main):
    text = main("--help").out
    for word in (*names(), "124 ", "130 "):
        assert f"    {word}" in text or f"  {word}" in text


def test_nothing_to_do_is_an_error(main):
    result = main()
    assert result.status == 2
    assert result.err == (
        "ratchet: the following arguments are required: COMMAND (see ratchet --help)\n"
    )


def test_a_program_pays_nothing():
    text = "import sys, ratchet; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "ratchet.zmqsocket" in loaded
    assert not {"argparse", "rich", "shtab", "ratchet.cli", "ratchet.__main__"} & set(loaded)
