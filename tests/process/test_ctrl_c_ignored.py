"""The tests pass where they are started with SIGINT ignored, as a script's background job is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SOME = "ctrl_c and (recv or without or loop or paused)"  # not all of them twice
INSIDE = "RATCHET_TEST_SIGINT_IGNORED"

pytestmark = [
    pytest.mark.skipif(
        sys.platform == "win32" or INSIDE in os.environ, reason="starts a shell, and itself"
    ),
    pytest.mark.timeout(120),  # for several tests in one; it takes 3 s
]


def without_sigint(*command):
    """Run it as ``command &`` in a script does."""
    done = subprocess.run(
        ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, *command],
        cwd=TESTS.parent,
        env={**os.environ, INSIDE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_shell_has_it_ignored():
    assert "True" in without_sigint(
        "-c", "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )


@pytest.mark.parametrize(
    "file", ["tasks/test_loops.py", "process/test_signals.py", "ratchet_threads/test_block_on.py"]
)
def test_tests_of_ctrl_c(file):
    command = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", SOME]
    assert "passed" in without_sigint(*command, f"tests/{file}")


def test_torture():
    without_sigint(
        *("-m", "torture", "--short", "--libs", "ratchet", "--kinds", "threads,asyncio"),
        *("--only", "control_c"),
    )
