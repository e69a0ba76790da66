"""Completion in bash: the script that ``--print-completion`` prints, asked as bash asks it."""

import shutil
import subprocess
import sys

import pytest

from ratchet.cli.parser import COMMANDS

ASK = """
source /dev/stdin
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
name=$(complete -p ratchet | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$name
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell):
    line = [sys.executable, "-m", "ratchet", "--print-completion", shell]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is asked")
def test_bash():
    text = script("bash")

    def completed(*words):
        done = subprocess.run(
            ["bash", "-c", ASK, "bash", *words],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert set(COMMANDS) <= set(completed("ratchet", ""))
    assert completed("ratchet", "rec") == ["recv"]
    assert completed("ratchet", "recv", "--subs") == ["--subscribe"]
    assert completed("ratchet", "recv", "--format", "") == ["text", "hex", "json", "raw"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is asked")
def test_zsh():
    """`source <(…)`, as in bash, would call the function and not make it known."""
    ask = 'autoload -Uz compinit; compinit -D; eval "$(cat)"; print -r -- $_comps[ratchet]'
    done = subprocess.run(
        ["zsh", "-f", "-c", ask], input=script("zsh"), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("_shtab_ratchet\n", "")


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is asked")
def test_fish():
    ask = "source -; complete -C 'ratchet rec'; complete -C 'ratchet recv --format '"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask],
        input=script("fish"),
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert words == ["recv", "text", "hex", "json", "raw"]


@pytest.mark.parametrize("shell", ["powershell", "tcsh"])
def test_other_shells(shell):
    assert "ratchet" in script(shell)


def test_without_the_extra(run, without_extra):
    result = run("--print-completion", "bash", env=without_extra)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "ratchet-zmq[cli]" in result.err
