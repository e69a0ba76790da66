"""The short form of `python -m torture.hostile`: nobody comes in, and who may is let in."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet import has

TORTURE = os.environ.get("RATCHET_TORTURE", "") not in ("", "0")
HUNG = 7200 if TORTURE else 55

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has all of 127.0.0.0/8"
)


@linux
@pytest.mark.skipif(not has("curve"), reason="this libzmq has no CURVE")
@pytest.mark.timeout(HUNG + 5)
def test_nobody_comes_in():
    seed = os.environ.get("RATCHET_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
    command = [sys.executable, "-m", "torture.hostile", "--seed", seed]
    command += ["--attempts", "1000000" if TORTURE else "5000"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
