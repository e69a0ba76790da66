"""Libraries put before libc in a process (LD_PRELOAD), to change one of its functions."""

import os
import shutil
import subprocess
import sys

import pytest

needed = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is the linker's"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]


def library(folder, text):
    """Compile C for it; return where it is."""
    source, made = folder / "preloaded.c", folder / "preloaded.so"
    source.write_text(text, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def put_first(monkeypatch, made):
    """Have the programs that begin from now on use it, behind what is there (a sanitizer's)."""
    before = os.environ.get("LD_PRELOAD")
    monkeypatch.setenv("LD_PRELOAD", f"{before}:{made}" if before else str(made))
