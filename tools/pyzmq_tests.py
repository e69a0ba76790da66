"""Run the tests of pyzmq and of what builds on it, with pyzmq and on ratchet, and compare.

What is run is installed from PyPI into build/pyzmq, with tests from the source distributions or a
program of tools/pyzmq_programs. zerorpc's own tests are in its repository alone: where that cannot
be reached they are left out, and what the page says of them stays.

Every test that passes with pyzmq and not on ratchet must have its reason in REASONS; any other
difference makes this fail. A test that fails is run once more, with both: these tests have races
of their own.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "pyzmq"
PROGRAMS = ROOT / "tools" / "pyzmq_programs"
BEGIN, END = "<!-- begin: make pyzmq -->", "<!-- end: make pyzmq -->"
LIMIT = 1800  # seconds for one suite on one side
SIDES = ("pyzmq", "ratchet")


class Suite(NamedTuple):
    """The tests of one release."""

    name: str
    package: str  # whose source distribution, or installed package, has the tests
    requirement: str
    pyzmq: str  # the release of pyzmq below
    also: tuple[str, ...] = ()  # what the tests need beside it
    tests: str = "tests"
    without: tuple[str, ...] = ()  # tests that say nothing about pyzmq
    options: tuple[str, ...] = ()
    program: str = ""  # of tools/pyzmq_programs, in place of the package's tests
    archive: str = ""  # where the tests are, if not on PyPI


TOOLS = (
    "pytest>=8,<9",
    "pytest-timeout",
    "pytest-asyncio>=0.23,<1.2",
    "tornado",
    "gevent",
    "greenlet",
)
OWN = ("test_mypy.py", "test_cython.py")  # of types, and of compiling against pyzmq's own headers
SUITES = (
    Suite("pyzmq, newest", "pyzmq", "pyzmq==27.*", "pyzmq==27.*", ("pymongo",), without=OWN),
    Suite(
        "pyzmq, oldest", "pyzmq", "pyzmq==25.1.0", "pyzmq==25.1.0", ("pymongo",), "zmq/tests", OWN
    ),
    Suite(
        "jupyter_client",
        "jupyter_client",
        "jupyter_client==8.*",
        "pyzmq==27.*",
        ("ipykernel", "pytest-jupyter[client]", "paramiko", "msgpack", "pytest-cov"),
        options=("-o", "addopts="),
    ),
    Suite(
        "ipykernel",
        "ipykernel",
        "ipykernel==6.*",
        "pyzmq==27.*",
        ("flaky", "ipyparallel", "matplotlib", "trio", "curio", "pre-commit", "pytest-cov"),
        options=("-o", "addopts="),
    ),
    Suite(
        "zerorpc",
        "zerorpc",
        "zerorpc==0.6.3",
        "pyzmq==27.*",
        archive="https://github.com/0rpc/zerorpc-python/archive/668af5b.tar.gz",
    ),
    Suite(
        "a program of zerorpc's",
        "zerorpc",
        "zerorpc==0.6.3",
        "pyzmq==27.*",
        program="test_zerorpc.py",
    ),
    Suite(
        "locust with two workers", "locust", "locust==2.*", "pyzmq==27.*", program="test_locust.py"
    ),
    Suite(
        "a live kernel",
        "ipykernel",
        "ipykernel==6.*",
        "pyzmq==27.*",
        ("jupyter_client==8.*",),
        program="test_kernel.py",
    ),
)

# Why a test that passes with pyzmq does not on ratchet, by a part of its name.
REASONS = {
    "TestFrame::test_above_30": "looks into pyzmq's collector thread, which is not used",
    "TestFrame::test_lifecycle1": "looks into pyzmq's collector thread, which is not used",
    "TestFrame::test_lifecycle2": "looks into pyzmq's collector thread, which is not used",
    "TestFrame::test_noncopying_memoryview": (
        "asks for a writable received frame, whose memory may be the sender's bytes"
    ),
    "TestSocketGreen::test_warn_get_timeo": (
        "asks for the warning that timeouts have no effect in zmq.green; they have one"
    ),
    "TestPubLog::": (
        "a test sends in the instant in which it subscribes, and loses that race with pyzmq too, "
        "if less often; the others find the handler that it left"
    ),
}


def run(*command, **rest):
    """Run a command; SystemExit if it fails."""
    print("+", *command, flush=True)
    done = subprocess.run([*map(str, command)], check=False, **rest)
    if done.returncode:
        raise SystemExit(f"pyzmq_tests.py: failed: {' '.join(map(str, command))}")


def pip(*arguments):
    """Have pip do something."""
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def prepare(suite, archives):
    """Install what a suite needs, once; return its folder; None: its tests are out of reach."""
    folder = PLACE / re.sub(r"\W+", "-", suite.name)
    made = folder / "made.json"
    program = PROGRAMS / suite.program if suite.program else None
    wanted = json.dumps([*suite, program.read_text(encoding="utf-8") if program else ""])
    if made.exists() and made.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pip(
        *("install", "--target", folder / "packages", suite.requirement, suite.pyzmq),
        *(*suite.also, *TOOLS),
    )
    inside = folder / "packages" / suite.tests
    if program:
        (folder / "source" / "tests").mkdir(parents=True)
        shutil.copy(program, folder / "source" / "tests")
    elif inside.is_dir() and not suite.archive:
        shutil.copytree(inside, folder / "source" / "tests")
    else:
        if not suite.archive:
            pip(
                *("download", "--no-deps", "--no-binary", suite.package, "--dest", folder),
                f"{suite.package}=={version(folder, suite.package)}",
            )
        elif not fetch(suite, folder, archives):
            return None
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        next(path for path in folder.glob("*/") if path.name != "packages").rename(
            folder / "source"
        )
        # Beside its package, the tests would import that and not what is installed.
        for name in (suite.package, suite.requirement.partition("=")[0], "zmq"):
            shutil.rmtree(folder / "source" / name, ignore_errors=True)
    config = folder / "source" / "pytest.ini"
    if not config.exists() and not (folder / "source" / "pyproject.toml").exists():
        config.write_text("[pytest]\n")  # or this project's own would be theirs
    made.write_text(wanted)
    return folder


def fetch(suite, folder, archives):
    """Copy or download the archive with a suite's tests; return False if it is out of reach."""
    target = folder / f"{suite.package}.tar.gz"
    if archives and (archives / target.name).exists():
        shutil.copy(archives / target.name, target)
        return True
    try:
        urllib.request.urlretrieve(suite.archive, target)  # noqa: S310 (https, and in SUITES)
    except OSError as error:
        print(f"{suite.name}: left out, for its tests are out of reach: {error}", flush=True)
        return False
    return True


def version(folder, package):
    """The version of a package that is installed in a folder."""
    for path in (folder / "packages").glob("*.dist-info"):
        name, _, number = path.stem.rpartition("-")
        if name.lower().replace("-", "_") == package.lower().replace("-", "_"):
            return number
    raise SystemExit(f"pyzmq_tests.py: {package} was not installed")


def outcomes(suite, folder, side, only=()):
    """Run the tests; return what became of each: a dict from a name to a word."""
    report = folder / f"{side}.xml"
    report.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONPATH": str(folder / "packages"), "PYTHONSAFEPATH": "1"}
    env.pop("PYZMQ_BACKEND", None)
    if side == "ratchet":
        env["PYZMQ_BACKEND"] = "ratchet.pyzmq.backend"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"),
        *("--timeout", "60", "--timeout-method", "signal", "-o", "asyncio_mode=auto"),
        *("-o", "junit_family=xunit1", f"--junitxml={report}", *suite.options),
        *(f"--ignore=tests/{name}" for name in suite.without),
    ]
    with (folder / f"{side}.log").open("a") as log:
        try:
            subprocess.run(
                [*command, *(only or ["tests"])],
                env=env,
                cwd=folder / "source",
                check=False,
                timeout=LIMIT,
                stdout=log,
                stderr=log,
            )
        except subprocess.TimeoutExpired:
            print(f"{suite.name} on {side}: not done within {LIMIT} s", flush=True)
    return parse(report) if report.exists() else {}


def parse(report):
    """Read a report of pytest's."""
    found = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (pytest wrote it)
        path = case.get("classname", "").rpartition(".")
        name = f"{case.get('file')}::{path[2]}::{case.get('name')}"
        word = "passed"
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                word = {"failure": "failed", "error": "failed"}.get(child.tag, child.tag)
        if found.get(name) != "failed":  # a test that passes may fail in its end
            found[name] = word
    return found


def compare(suite, folder):
    """Run a suite on both sides; return its row of the table, and what is not explained."""
    found = {}
    for side in SIDES:
        (folder / f"{side}.log").unlink(missing_ok=True)
        found[side] = outcomes(suite, folder, side)
        again = {name.split("::")[0] for name, word in found[side].items() if word == "failed"}
        if again:
            second = outcomes(suite, folder, side, sorted(again))
            for name, word in found[side].items():
                if word == "failed" and second.get(name) == "passed":
                    found[side][name] = "passed"
    worse = sorted(
        name
        for name, word in found["pyzmq"].items()
        if word == "passed" and found["ratchet"].get(name) != "passed"
    )
    reasons = {name: reason_of(name) for name in worse}
    label = f"{suite.name} ({suite.package} {version(folder, suite.package)})"
    if suite.package != "pyzmq":
        label += f" on pyzmq {version(folder, 'pyzmq')}"
    cells = [
        ", ".join(
            f"{sum(word == one for word in found[side].values())} {one}"
            for one in ("passed", "failed", "skipped")
        )
        for side in SIDES
    ]
    row = f"| {label} | {cells[0]} | {cells[1]} |"
    print(row, flush=True)
    for name, reason in reasons.items():
        print(f"  {name}: {reason or 'NO REASON'}", flush=True)
    return row, reasons, not found["pyzmq"] or not found["ratchet"]


def reason_of(name):
    """The reason why a test need not pass, or None."""
    return next((why for part, why in REASONS.items() if part in name), None)


def table(results, before):
    """The text between the marks of the page; what was not run stays as it is in ``before``."""
    lines = [BEGIN, "", "| tests of | with pyzmq | on ratchet |", "| --- | --- | --- |"]
    known = {}
    rows = {name: row for name, (row, _, _) in results.items()}
    for line in before.splitlines():
        if line.startswith("| `") and len(rows) < len(SUITES):
            name, _, reason = line.strip("| ").partition(" | ")
            known[name.strip("`")] = reason
        for suite in SUITES:
            if line.startswith(f"| {suite.name} ("):
                rows.setdefault(suite.name, line)
    lines += [rows[suite.name] for suite in SUITES if suite.name in rows]
    known |= {
        name.partition("::")[2]: reason
        for _, reasons, _ in results.values()
        for name, reason in reasons.items()
    }
    if known:
        lines += ["", "| passes with pyzmq, and not on ratchet | reason |", "| --- | --- |"]
        lines += [f"| `{name}` | {reason or '?'} |" for name, reason in sorted(known.items())]
    return "\n".join([*lines, "", END])


def main():
    """Run the suites that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="suites whose names begin so, with commas between them")
    parser.add_argument("--write", type=Path, help="the page whose table is to be written anew")
    parser.add_argument("--archives", type=Path, help="a folder of NAME.tar.gz, had already")
    arguments = parser.parse_args()
    beginnings = tuple((arguments.only or "").split(","))
    suites = [suite for suite in SUITES if suite.name.startswith(beginnings)]
    folders = {suite: prepare(suite, arguments.archives) for suite in suites}
    results = {suite.name: compare(suite, folder) for suite, folder in folders.items() if folder}
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        arguments.write.write_text(
            before + table(results, rest.partition(END)[0]) + rest.partition(END)[2],
            encoding="utf-8",
        )
    unexplained = [
        name for _, reasons, _ in results.values() for name, why in reasons.items() if not why
    ]
    if unexplained or any(broken for _, _, broken in results.values()):
        sys.exit(f"pyzmq_tests.py: without a reason: {', '.join(unexplained) or 'no tests ran'}")


if __name__ == "__main__":
    main()
