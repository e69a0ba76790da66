"""A checkout that is not built, found before the installed package: the error says what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ratchet"


@pytest.mark.skipif(not PACKAGE.exists(), reason="an installed wheel is tested")
def test_an_import_of_sources_that_are_not_built(tmp_path):
    sources = tmp_path / "ratchet"
    shutil.copytree(PACKAGE, sources, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", "import ratchet"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: ratchet is not built in {sources}: run the program in")
