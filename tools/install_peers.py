"""Install what ratchet is compared with (the group "peers"), as far as there are wheels of it here.

Where one cannot be had, the benchmarks run without it, and a line says so.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tomllib
from pathlib import Path

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]


def install(*peers: str) -> bool:
    """Install wheels; return False if any of them cannot be had."""
    done = subprocess.run([*PIP, "--only-binary=:all:", *peers], capture_output=True, check=False)
    return done.returncode == 0


def main() -> None:
    """Install all at once, or else one after the other."""
    page = Path(__file__).parents[1] / "pyproject.toml"
    peers = tomllib.loads(page.read_text(encoding="utf-8"))["dependency-groups"]["peers"]
    if install(*peers):
        return
    missing = [peer for peer in peers if not install(peer)]
    if missing:
        here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        print(f"left out, as pip finds no wheel for {here}: {', '.join(missing)}", file=sys.stderr)


if __name__ == "__main__":
    main()
