"""Compares the wheels that there will be, or are, with those that are promised.

    python tools/check_identifiers.py           what cibuildwheel would build, asked offline
    python tools/check_identifiers.py FOLDER    the wheels in a folder

Promised is, for each platform in PLATFORMS, a wheel for each Python in the classifiers of
pyproject.toml, and for the free-threaded builds from FREE_THREADED on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FREE_THREADED = 14  # cibuildwheel 4 has dropped that of 3.13, which was experimental
# Of each system, the processors of the runners in wheels.yml, and what comes of it.
PLATFORMS = {
    "linux": (
        "x86_64 aarch64",
        ["manylinux_x86_64", "musllinux_x86_64", "manylinux_aarch64", "musllinux_aarch64"],
    ),
    "macos": ("x86_64 arm64", ["macosx_x86_64", "macosx_arm64"]),
    "windows": ("AMD64", ["win_amd64"]),
}


def promised() -> set[str]:
    """The wheels by the names that cibuildwheel has for them, such as cp314t-win_amd64."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = int(re.fullmatch(r">=3\.(\d+)", project["requires-python"])[1])
    one = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
    minors = sorted(int(m[1]) for m in map(one.fullmatch, project["classifiers"]) if m)
    if minors != list(range(oldest, minors[-1] + 1)):
        raise SystemExit(f"requires-python is from 3.{oldest} on, but the classifiers are {minors}")
    pythons = [f"cp3{n}" for n in minors] + [f"cp3{n}t" for n in minors if n >= FREE_THREADED]
    kinds = [kind for _, kinds in PLATFORMS.values() for kind in kinds]
    return {f"{python}-{kind}" for python in pythons for kind in kinds}


def planned() -> list[str]:
    """What cibuildwheel would build."""
    found = []
    for platform, (archs, _) in PLATFORMS.items():
        done = subprocess.run(
            [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers"],
            cwd=ROOT,
            env={**os.environ, "CIBW_PLATFORM": platform, "CIBW_ARCHS": archs},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found += done.stdout.split()
    return found


def built(folder: Path) -> list[str]:
    """The wheels in a folder."""
    found = []
    for wheel in folder.glob("*.whl"):
        _, _, _, abi, platform = wheel.stem.split("-")
        # The first of several platforms, without the version of its C library or system.
        kind = re.sub(r"^([a-z]+)_(?:\d+_\d+_)?", r"\1_", platform.split(".")[0])
        found.append(f"{abi}-{kind}")
    return found


def main() -> int:
    """Compare."""
    wanted = promised()
    found = built(Path(sys.argv[1])) if sys.argv[1:] else planned()
    print(f"{len(found)} wheels, {len(wanted)} promised")
    wrong = [f"{name} is promised, and not there" for name in sorted(wanted - set(found))]
    wrong += [f"{name} is not promised" for name in sorted(set(found) - wanted)]
    wrong += [f"{name} is there twice" for name in sorted(wanted) if found.count(name) > 1]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
