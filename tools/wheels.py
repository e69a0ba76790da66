"""Builds, repairs and checks wheels.

    python tools/wheels.py build [--versions "3.11 3.12"] [--full] [ARGUMENT OF PYTEST...]
    python tools/wheels.py repair WHEEL FOLDER
    python tools/wheels.py check WHEEL...

build: the sdist and, from it, a wheel for each Python there is here, into dist/. Each is repaired,
checked and installed into a clean environment, where the tests of the sdist run in another folder.
On Linux the libraries that were bundled are hidden meanwhile, in a mount namespace, and the wheel
as it was before its repair must fail there. The Python that runs this gets the whole test suite,
the others QUICK, or all of them the whole with --full.

repair: auditwheel, delocate or delvewheel put libzmq and what it needs into the wheel. The licences
come from the packages that the libraries are from, and go to licenses/PACKAGE/ in the .dist-info
folder; a line for each library in licenses/BUNDLED.txt names its package and its licences. A
library of no package, or of one without a licence, is an error.

check: a finding a line, and status 1.
"""

import argparse
import base64
import hashlib
import io
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
DIST = ROOT / "dist"
VERSIONS = "3.11 3.12 3.13 3.14 3.15"
# Every runtime, transport and option; seconds, where the whole suite is minutes.
QUICK = ["tests/unit", "tests/sockets"]
EXTENSION = re.compile(r"^ratchet/(_zmq|_pyzmq)\.[^/]*(?:\.so|\.pyd)$")
BUNDLED = re.compile(r"^(?:ratchet_zmq\.libs|ratchet/\.dylibs)/([^/.][^/]*)$")
# auditwheel and delvewheel put a part of the file's hash into its name.
HASH = re.compile(r"-[0-9a-f]{8,32}(?=\.)")
LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|copyright|notice)")


def run(*command, hide=(), **rest):
    """Run a command, after the words that hide libraries; SystemExit if it fails."""
    print("+", *("(hidden)" for _ in hide[:1]), *command, flush=True)
    if subprocess.run([*hide, *map(str, command)], check=False, **rest).returncode:
        raise SystemExit(f"wheels.py: failed: {' '.join(map(str, command))}")


def ask(*command, **rest):
    """What a command says, or None if it fails or is not there."""
    try:
        done = subprocess.run(
            [*map(str, command)], capture_output=True, encoding="utf-8", check=True, **rest
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


# Repair: where a library is from, as (package, version, licence files by name)


def files(paths):
    """The contents of those that are files."""
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def debian(library):
    """Debian's and Ubuntu's: /usr/share/doc/PACKAGE/copyright and the texts it refers to."""
    names = [library, Path("/", *library.parts[2:])]  # /usr/lib, which dpkg may know as /lib
    owner = next(filter(None, (ask("dpkg-query", "--search", name) for name in names)), "")
    package = owner.partition(":")[0]
    version = ask("dpkg-query", "--show", "--showformat=${Version}", owner.rpartition(": ")[0])
    texts = files([Path("/usr/share/doc", package, "copyright")])
    named = re.findall(rb"/usr/share/common-licenses/([\w.-]+\w)", b"".join(texts.values()))
    common = [Path("/usr/share/common-licenses", name.decode()) for name in sorted(set(named))]
    return package, version, texts | files(common)


def rpm(library):
    """Fedora's, RHEL's and their kin's: marked as licences in the package, or at least named."""
    form = "%{NAME}\t%{VERSION}\t%{LICENSE} %{URL}\n"
    query = ask("rpm", "--query", "--queryformat", form, "--file", library) or "\t\t"
    package, version, terms = query.split("\t")
    listed = ask("rpm", "--query", "--licensefiles", package) or ""
    texts = files([Path(line) for line in listed.splitlines() if line.startswith("/")])
    return package, version, texts or {"TERMS.txt": f"{terms}\n".encode()}


def alpine(library):
    """Alpine's, whose packages have no licence files: their name and where to read them."""
    owner = (ask("apk", "info", "--who-owns", library) or "").rpartition(" ")[2]
    package, _, version = re.sub(r"-(?=\d)", "\t", owner, count=1).partition("\t")
    terms = ask("apk", "info", "--license", "--webpage", package)
    return package, version, {"TERMS.txt": f"{terms}\n".encode()}


def homebrew(library):
    """Homebrew's: .../Cellar/PACKAGE/VERSION/LICENSE."""
    parts = library.resolve().parts
    at = parts.index("Cellar") if "Cellar" in parts else 0
    here = sorted(Path(*parts[: at + 3]).iterdir()) if at else []
    return parts[at + 1], parts[at + 2], files([path for path in here if LICENCE.match(path.name)])


def vcpkg(library):
    """vcpkg's: share/PORT/copyright; info/PORT_VERSION_TRIPLET.list names a port's files."""
    root = library.parent.parent
    for listing in sorted((root.parent / "vcpkg" / "info").glob("*.list")):
        if f"/bin/{library.name}\n" in listing.read_text(encoding="utf-8"):
            port, version, _ = listing.stem.split("_", 2)
            return port, version, files([root / "share" / port / "copyright"])
    return "", "", {}


def origin_of(library):
    """The package of a library, or SystemExit."""
    for look in (debian, rpm, alpine, homebrew, vcpkg):
        for path in dict.fromkeys([library, library.resolve()]):
            package, version, texts = look(path)
            if package and version and texts:
                return package, version, texts
    raise SystemExit(f"wheels.py: {library} is of no package with a licence in it")


def linked(extension):
    """The libraries that an extension would load here."""
    if sys.platform == "win32":
        return sorted(Path(os.environ["RATCHET_ZMQ_PREFIX"], "bin").glob("*.dll"))
    if sys.platform == "darwin":
        found, new = set(), [extension]
        while new:
            paths = re.findall(r"^\s+(/\S+)", ask("otool", "-L", new.pop()) or "", re.MULTILINE)
            more = {Path(path) for path in paths if Path(path).exists()} - found
            found |= more
            new += more
        return sorted(found)
    return [Path(path) for path in re.findall(r"=> (/\S+)", ask("ldd", extension) or "")]


def extension_of(wheel, folder):
    """The extension of a wheel that is linked with libzmq, unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        found = filter(EXTENSION.match, archive.namelist())
        return Path(archive.extract(next(n for n in found if "/_zmq." in n), folder))


def static():
    """The packages whose archives are linked into the extension: (file, package, version, texts).

    Both tools/own_libzmq.sh and vcpkg leave the licences in share/PACKAGE/copyright.
    """
    root = Path(os.environ.get("RATCHET_ZMQ_STATIC") or os.devnull)
    for file, package in (("libzmq", "zeromq"), ("libsodium", "libsodium")):
        place = root / "share" / package
        if root.is_dir():
            told = [*place.glob("version"), *(root.parent / "vcpkg/info").glob(f"{package}_*.list")]
            texts = files([place / "copyright"])
            if not told or not texts:
                raise SystemExit(f"wheels.py: {place} has no version or no licence")
            named = told[0].stem.split("_")[1:2] or [told[0].read_text(encoding="utf-8").strip()]
            yield f"{file} (static)", package, named[0], texts


def licences(wheel, bundled):
    """What to add to licenses/, for the libraries that were put into the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        sources = linked(extension_of(wheel, folder))
    by_name = {name: path for path in sources for name in (path.name, path.resolve().name)}
    lines, texts, known = [], {}, {}
    for name in sorted(bundled):
        if name.startswith(("msvcp", "vcruntime", "concrt")):
            lines.append(f"{name}: Microsoft Visual C++ Redistributable:\n")
            continue
        package, version, found = origin_of(by_name[HASH.sub("", name, count=1)])
        places = [known.setdefault(data, f"{package}/{text}") for text, data in found.items()]
        texts |= {known[data]: data for data in found.values()}  # each text once
        lines.append(f"{name}: {package} {version}: {' '.join(places)}\n")
    for name, package, version, found in static():
        lines.append(f"{name}: {package} {version}: {package}/copyright\n")
        texts |= {f"{package}/{text}": data for text, data in found.items()}
    return {"BUNDLED.txt": "".join(lines).encode(), **texts}


def digest(data):
    """The hash of a file as RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def add(wheel, target, texts):
    """Copy a wheel, with these files in its licenses/ and named in its metadata."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        (record,) = (name for name in old.namelist() if name.endswith(".dist-info/RECORD"))
        info, stamp = record.removesuffix("RECORD"), old.getinfo(record).date_time
        contents = [(item, old.read(item)) for item in old.infolist() if item.filename != record]
        contents += [(zipfile.ZipInfo(f"{info}licenses/{n}", stamp), d) for n, d in texts.items()]
        lines = []
        for item, was in contents:
            data = was
            if item.filename == f"{info}METADATA":
                head, gap, body = was.partition(b"\n\n")
                data = head + "".join(f"\nLicense-File: {n}" for n in texts).encode() + gap + body
            item.external_attr = item.external_attr or 0o644 << 16
            new.writestr(item, data, zipfile.ZIP_DEFLATED)
            lines.append(f"{item.filename},{digest(data)},{len(data)}\n")
        new.writestr(old.getinfo(record), "".join([*lines, f"{record},,\n"]))


def repair(wheel, target):
    """Bundle with this platform's tool, then add the licences of what was bundled."""
    commands = {"darwin": ["delocate-wheel"], "linux": ["auditwheel", "repair"]}
    if sys.platform == "win32":  # as [tool.cibuildwheel.windows] in pyproject.toml has vcpkg do
        commands["win32"] = ["delvewheel", "repair"]
        if prefix := os.environ.get("RATCHET_ZMQ_PREFIX"):
            commands["win32"] += ["--add-path", str(Path(prefix, "bin"))]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run(*commands[sys.platform], "--wheel-dir", folder, wheel)
        (made,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            bundled = [m[1] for name in archive.namelist() if (m := BUNDLED.match(name))]
        found = licences(wheel, bundled) if bundled or any(static()) else {}
        add(made, target / made.name, found)
    return target / made.name


# Check


def findings(path):
    """What is wrong with a wheel. auditwheel has seen what a Linux one needs of the system."""
    archive = zipfile.ZipFile(path)
    held = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    info = next(name for name in held if name.endswith(".dist-info/METADATA"))[:-8]
    bundled = {Path(name).name: name for name in held if BUNDLED.match(name)}
    print(path.name, "bundles", *sorted(bundled))
    package = ROOT / "ratchet"
    wanted = {f"ratchet/{p.name}" for p in package.glob("*.py*") if p.suffix != ".pyx"}
    wanted |= {"ratchet/py.typed", *(f"{info}{n}" for n in ("WHEEL", "RECORD", "licenses/LICENSE"))}
    yield from (f"{name} is missing" for name in sorted(wanted - held.keys()))
    sources = [name for name in held if name.endswith((".pyx", ".pxi", ".pxd", ".c"))]
    yield from (f"{name} has no place in it" for name in sources)
    stated = dict(line.rsplit(",", 2)[:2] for line in held[f"{info}RECORD"].decode().splitlines())
    for name, data in held.items():
        if name != f"{info}RECORD" and stated.get(name) != digest(data):
            yield f"{name} is not as RECORD says"
    text = held.get(f"{info}licenses/BUNDLED.txt", b"").decode()
    lines = {line.split(": ")[0]: line for line in text.splitlines()}
    carried = {*bundled, *(name for name in lines if name.endswith("(static)"))}
    print("  statically linked:", *sorted(carried - bundled.keys()))
    if not any(name.startswith("libzmq") for name in carried):
        yield "libzmq is not in it"
    for name in sorted(carried):
        if "Microsoft" in lines.get(name, ""):
            continue
        texts = lines.get(name, ":").rpartition(":")[2].split()
        if not texts or not all(held.get(f"{info}licenses/{one}") for one in texts):
            yield f"{name} has no licence in licenses/BUNDLED.txt"
    if "linux" in path.stem:
        yield from exports(held)


def exports(held):
    """An extension exports its entry alone: not what another library might take for its own."""
    from elftools.elf.elffile import ELFFile

    for name in filter(EXTENSION.match, held):
        symbols = ELFFile(io.BytesIO(held[name])).get_section_by_name(".dynsym").iter_symbols()
        defined = [symbol for symbol in symbols if symbol.entry.st_shndx != "SHN_UNDEF"]
        names = {one.name for one in defined if one.entry.st_info.bind != "STB_LOCAL"}
        if names != {f"PyInit_{EXTENSION.match(name)[1]}"}:
            yield f"{name} exports {', '.join(sorted(names)) or 'nothing'}"


def check(wheels):
    """Print what is wrong; is anything?"""
    wrong = [f"  WRONG: {finding}" for path in wheels for finding in findings(path)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


# Build


def find_python(version):
    """A Python of this version with which an extension can be built."""
    look = "import sys, sysconfig, venv, ensurepip; print(*sys.version_info[:2], sep='.'); "
    look += "open(sysconfig.get_path('include') + '/Python.h').close()"
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [sys.executable, *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    candidates.append(shutil.which(f"python{version}") or sys.executable)
    return next((python for python in candidates if ask(python, "-c", look) == version), None)


def hiding(bare, wheel, folder):
    """The words before a command that hide the libraries that were bundled, or none of them."""
    unshare = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    if ask(*unshare, "mount", "--bind", "/dev/null", sys.executable) is None:
        print(f"  NOT HIDDEN: the system's libzmq stays in sight, {unshare[0]} does not work here")
        return ()
    with zipfile.ZipFile(wheel) as archive:
        names = {HASH.sub("", Path(name).name) for name in archive.namelist()}
    libraries = linked(extension_of(bare, folder / "bare"))
    # auditwheel names some after the file and some after the link to it.
    hidden = {str(p.resolve()) for p in libraries if {p.name, p.resolve().name} & names}
    if any(static()):  # nothing that it carries shall come from the system
        known = re.findall(r"=> (/\S+/lib(?:zmq|sodium)\.so\S*)", ask("ldconfig", "-p") or "")
        hidden |= {str(Path(path).resolve()) for path in known}
    print("  hidden:", *sorted(hidden))
    script = 'for file in $1; do mount --bind /dev/null "$file"; done; shift; exec "$@"'
    return (*unshare, "sh", "-euc", script, "hide", " ".join(sorted(hidden)))


def test(wheel, bare, sdist, python, folder, asked):
    """Install the wheel into a clean environment and run tests there."""
    run(python, "-m", "venv", folder / "venv")
    inside = folder / "venv/bin/python"
    pip = [inside, "-m", "pip", "--quiet", "install"]
    run(*pip, "--upgrade", "pip>=25.1")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "sdist", filter="data")
    (source,) = (folder / "sdist").iterdir()
    shutil.rmtree(source / "ratchet")  # what is tested is what is installed
    carried = any(static())
    hide, smoke = hiding(bare, wheel, folder), [inside, "-I", ROOT / "tools/smoke.py"]
    smoke += ["draft"] if carried else []
    run(*pip, bare)
    if hide and not carried and ask(*hide, *smoke, cwd=folder) is not None:
        raise SystemExit("wheels.py: the wheel works unrepaired: nothing was hidden")
    run(*pip, "--force-reinstall", wheel)
    run(*smoke, hide=hide, cwd=folder)
    run(*pip, "--group", "test", cwd=source)
    pytest = ["-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider"]
    run(inside, *pytest, *asked, hide=hide, cwd=source)


def build(versions, full, asked):
    """Build and test."""
    # What is set for this run is not for the environments that are made in it.
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"):
        os.environ.pop(name, None)
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    for version in versions.split():
        python = find_python(version)
        if python is None:
            print(f"Python {version}: SKIPPED, it is not here or has no headers")
            continue
        with tempfile.TemporaryDirectory(prefix="ratchet-wheel-") as name:
            folder = Path(name)
            run(python, "-m", "venv", folder / "build")
            pip = [folder / "build/bin/python", "-m", "pip", "--quiet", "wheel", "--no-deps"]
            run(*pip, "--no-cache-dir", "--wheel-dir", folder / "bare", sdist)
            (bare,) = (folder / "bare").glob("*.whl")
            wheel = repair(bare, folder / "repaired")
            if check([wheel]) or not check([bare]):
                raise SystemExit("wheels.py: the wheel is wrong, or what it was before is not")
            whole = full or version == "{}.{}".format(*sys.version_info)
            test(wheel, bare, sdist, python, folder, asked or ([] if whole else QUICK))
            shutil.copy(wheel, DIST)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    run(sys.executable, "-m", "check_wheel_contents", *sorted(DIST.glob("*.whl")))


def main():
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("build")
    builds.add_argument("--versions", default=VERSIONS, help=f'default: "{VERSIONS}"')
    builds.add_argument("--full", action="store_true", help="the whole test suite on every Python")
    repairs = commands.add_parser("repair")
    repairs.add_argument("wheel", type=Path)
    repairs.add_argument("folder", type=Path)
    commands.add_parser("check").add_argument("wheels", nargs="+", type=Path)
    given, rest = parser.parse_known_args()
    if given.command == "build":
        build(given.versions, given.full, rest)
    elif given.command == "repair":
        repair(given.wheel, given.folder)
    return int(given.command == "check" and check(given.wheels))


if __name__ == "__main__":
    sys.exit(main())
