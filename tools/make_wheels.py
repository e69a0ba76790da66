"""Builds the sdist and, from it, a wheel for each Python there is here; tests what was built.

    python tools/make_wheels.py [--versions "3.11 3.12"] [--full] [ARGUMENT OF PYTEST...]

Each wheel is built from the sdist, repaired (repair_wheel.py), checked (check_wheel.py), and
installed into a clean environment, where the tests of the sdist run in another folder. On Linux
the libzmq of the system and whatever else was bundled are hidden meanwhile, in a mount namespace;
the wheel as it was before its repair must fail there. The Python that runs this gets the whole test
suite, the others QUICK, or all of them the whole with --full. Results are in dist/.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tools"
DIST = ROOT / "dist"
VERSIONS = "3.11 3.12 3.13 3.14 3.15"
# Every runtime, transport and option, some of the exits; seconds, where the whole suite is minutes.
QUICK = ["test_types", "test_uri", "test_errors", "test_options", "test_behaviour", "test_interop"]


def run(*command: str | Path, hide: tuple[str, ...] = (), **rest: object) -> None:
    """Run a command, after the words that hide libraries; SystemExit if it fails."""
    print("+", *("(hidden)" for _ in hide[:1]), *command, flush=True)
    if subprocess.run([*hide, *map(str, command)], check=False, **rest).returncode:
        raise SystemExit(f"make_wheels.py: failed: {' '.join(map(str, command))}")


def quiet(*command: str | Path, **rest: object) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **rest)


def find_python(version: str) -> Path | None:
    """A Python of this version with which an extension can be built."""
    look = "import sys, sysconfig, venv, ensurepip; print(*sys.version_info[:2], sep='.'); "
    look += "open(sysconfig.get_path('include') + '/Python.h').close()"
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [Path(sys.executable), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    if found := shutil.which(f"python{version}"):
        candidates.append(Path(found))
    for python in candidates:
        asked = quiet(python, "-c", look)
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return python
    return None


def namespace() -> list[str] | str:
    """The command that makes a mount namespace, or why there is none."""
    if not shutil.which("unshare"):
        return "there is no unshare here (only Linux has it)"
    command = ["unshare", "--mount"]
    if os.geteuid() != 0:
        command.append("--map-root-user")
    tried = quiet(*command, "mount", "--bind", "/dev/null", sys.executable)
    return command if tried.returncode == 0 else f"{' '.join(command)}: {tried.stderr.strip()}"


def hiding(bare: Path, wheel: Path, folder: Path) -> tuple[tuple[str, ...], str]:
    """The words before a command that hide the system's libraries, or none of them and why.

    Hidden are those that the loader would take for the wheel before its repair, and that were
    bundled.
    """
    unshare = namespace()
    if isinstance(unshare, str):
        return (), unshare
    with zipfile.ZipFile(wheel) as archive:
        names = {re.sub(r"-[0-9a-f]{8}(?=\.)", "", Path(n).name) for n in archive.namelist()}
    with zipfile.ZipFile(bare) as archive:
        (extension,) = (name for name in archive.namelist() if name.endswith(".so"))
        path = archive.extract(extension, folder / "bare")
    found = re.findall(r"=> (/\S+)", quiet("ldd", path).stdout)
    libraries = sorted({path.resolve() for path in map(Path, found) if path.exists()})
    # auditwheel names some after the file and some after the link to it.
    hidden = [str(p) for p in libraries if {p.name, *aliases(p)} & names]
    if not any("libzmq" in path for path in hidden):
        return (), f"no libzmq was bundled that {bare.name} would load"
    print("  hidden:", *hidden)
    script = 'for file in $1; do mount --bind /dev/null "$file"; done; shift; exec "$@"'
    return (*unshare, "sh", "-euc", script, "hide", " ".join(hidden)), ""


def aliases(library: Path) -> set[str]:
    """The names of the links to a library in its folder."""
    stem = library.name.partition(".")[0]
    return {p.name for p in library.parent.glob(f"{stem}*") if p.resolve() == library}


def build(sdist: Path, python: Path, folder: Path) -> Path:
    """A wheel, built from the sdist in a clean environment, and not yet repaired."""
    run(python, "-m", "venv", folder / "build")
    pip = [folder / "build/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", folder / "bare", sdist)
    (wheel,) = (folder / "bare").glob("*.whl")
    return wheel


def test(wheel: Path, bare: Path, sdist: Path, python: Path, folder: Path, ask: list[str]) -> str:
    """Install the wheel into a clean environment and run tests there; how it was tested."""
    run(python, "-m", "venv", folder / "venv")
    inside = folder / "venv/bin/python"
    run(inside, "-m", "pip", "--quiet", "install", "--upgrade", "pip>=25.1")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (source,) = (folder / "sdist").iterdir()
    shutil.rmtree(source / "ratchet")  # what is tested is what is installed
    hide, why = hiding(bare, wheel, folder)
    if why:
        print(f"  NOT HIDDEN: the system's libzmq stays in sight, for {why}")
    else:
        run(inside, "-m", "pip", "--quiet", "install", bare)
        if quiet(*hide, inside, "-I", TOOLS / "smoke.py", cwd=folder).returncode == 0:
            raise SystemExit("make_wheels.py: the wheel works unrepaired: nothing was hidden")
        print("  unrepaired, it fails with the libraries hidden")
    run(inside, "-m", "pip", "--quiet", "install", "--force-reinstall", wheel)
    run(inside, "-I", TOOLS / "smoke.py", hide=hide, cwd=folder)
    run(inside, "-m", "pip", "--quiet", "install", "--group", "test", cwd=source)
    run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ask, hide=hide, cwd=source)
    return "in sight" if why else "hidden"


def main() -> None:
    """Build and test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--versions", default=VERSIONS, help=f'default: "{VERSIONS}"')
    parser.add_argument("--full", action="store_true", help="the whole test suite on every Python")
    arguments, pytest = parser.parse_known_args()
    # What is set for this run is not for the environments that are made in it.
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"):
        os.environ.pop(name, None)
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    done = []
    own = "{}.{}".format(*sys.version_info)
    for version in arguments.versions.split():
        python = find_python(version)
        if python is None:
            done.append(f"Python {version}: SKIPPED, it is not here or has no headers")
            print(done[-1])
            continue
        with tempfile.TemporaryDirectory(prefix="ratchet-wheel-") as name:
            folder = Path(name)
            bare = build(sdist, python, folder)
            run(sys.executable, TOOLS / "repair_wheel.py", bare, folder / "repaired")
            (wheel,) = (folder / "repaired").glob("*.whl")
            run(sys.executable, TOOLS / "check_wheel.py", wheel)
            run(sys.executable, TOOLS / "check_wheel.py", "--refuse", bare)
            full = arguments.full or version == own
            ask = pytest or ([] if full else [f"tests/{name}.py" for name in QUICK])
            how = test(wheel, bare, sdist, python, folder, ask)
            shutil.copy(wheel, DIST)
            what = " ".join(pytest) or ("the whole suite" if full else "the quick tests")
            done.append(f"Python {version}: {wheel.name}: {what}, the system's libzmq {how}")
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    run(sys.executable, "-m", "check_wheel_contents", *sorted(DIST.glob("*.whl")))
    print("", *done, sep="\n")


if __name__ == "__main__":
    main()
