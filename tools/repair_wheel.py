"""Puts libzmq and what it needs into a wheel, each with its licence.

    python tools/repair_wheel.py WHEEL FOLDER

auditwheel, delocate or delvewheel bundle the libraries. The licences come from the packages that
the libraries are from, and go to licenses/PACKAGE/ in the .dist-info folder; a line for each
library in licenses/BUNDLED.txt, which check_wheel.py reads, names its package and its licences. A
library of no package, or of one without a licence, is an error.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

BUNDLED = re.compile(r"^(?:ratchet_zmq\.libs|ratchet/\.dylibs)/([^/.][^/]*)$")
# auditwheel and delvewheel put a part of the file's hash into its name.
HASH = re.compile(r"-[0-9a-f]{8,32}(?=\.)")
LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|copyright|notice)")
# What installed vcpkg's libraries, see [tool.cibuildwheel.windows] in pyproject.toml.
VCPKG = "RATCHET_ZMQ_PREFIX"


class Origin(NamedTuple):
    """The package that a library is from."""

    package: str
    version: str
    texts: dict[str, bytes]  # licence files, by name


def ask(*command: str | Path) -> str:
    """What a command says, or nothing if it fails or is not there."""
    try:
        done = subprocess.run(
            [*map(str, command)], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def files(paths: list[Path]) -> dict[str, bytes]:
    """The contents of those that are files."""
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def debian(library: Path) -> Origin | None:
    """Debian's and Ubuntu's: /usr/share/doc/PACKAGE/copyright and the texts it refers to."""
    names = [library, Path("/", *library.parts[2:])]  # /usr/lib, which dpkg may know as /lib
    owner = next(filter(None, (ask("dpkg-query", "--search", name) for name in names)), "")
    if not owner:
        return None
    package = owner.partition(":")[0]
    version = ask("dpkg-query", "--show", "--showformat=${Version}", owner.rpartition(": ")[0])
    texts = files([Path("/usr/share/doc", package, "copyright")])
    named = re.findall(rb"/usr/share/common-licenses/([\w.-]+\w)", b"".join(texts.values()))
    common = [Path("/usr/share/common-licenses", name.decode()) for name in sorted(set(named))]
    return Origin(package, version, texts | files(common))


def rpm(library: Path) -> Origin | None:
    """Fedora's, RHEL's and their kin's: marked as licences in the package, or at least named."""
    form = "%{NAME} %{VERSION}\t%{LICENSE} %{URL}"
    query = ask("rpm", "--query", "--queryformat", form, "--file", library)
    if "\t" not in query:
        return None
    name, _, terms = query.partition("\t")
    package, _, version = name.partition(" ")
    listed = ask("rpm", "--query", "--licensefiles", package)
    texts = files([Path(line) for line in listed.splitlines() if line.startswith("/")])
    return Origin(package, version, texts or {"TERMS.txt": f"{terms}\n".encode()})


def alpine(library: Path) -> Origin | None:
    """Alpine's, whose packages have no licence files: their name and where to read them."""
    owner = ask("apk", "info", "--who-owns", library).rpartition(" ")[2]
    if not owner:
        return None
    package, version = re.match(r"(.+)-(\d.*)", owner).groups()
    terms = ask("apk", "info", "--license", "--webpage", package)
    return Origin(package, version, {"TERMS.txt": f"{terms}\n".encode()})


def homebrew(library: Path) -> Origin | None:
    """Homebrew's: .../Cellar/PACKAGE/VERSION/LICENSE."""
    if "Cellar" not in library.parts:
        return None
    at = library.parts.index("Cellar")
    root = Path(*library.parts[: at + 3])
    texts = files([path for path in sorted(root.iterdir()) if LICENCE.match(path.name)])
    return Origin(library.parts[at + 1], library.parts[at + 2], texts)


def vcpkg(library: Path) -> Origin | None:
    """vcpkg's: share/PORT/copyright; info/PORT_VERSION_TRIPLET.list names a port's files."""
    root = library.parent.parent
    for listing in sorted((root.parent / "vcpkg" / "info").glob("*.list")):
        if f"/bin/{library.name}\n" in listing.read_text(encoding="utf-8"):
            port, version, _ = listing.stem.split("_", 2)
            return Origin(port, version, files([root / "share" / port / "copyright"]))
    return None


def linked(extension: Path) -> list[Path]:
    """The libraries that an extension would load here."""
    if sys.platform == "win32":
        return sorted(Path(os.environ[VCPKG], "bin").glob("*.dll"))
    if sys.platform == "darwin":
        found, new = set[Path](), [extension]
        while new:
            paths = re.findall(r"^\s+(/\S+)", ask("otool", "-L", new.pop()), re.MULTILINE)
            more = {Path(path) for path in paths if Path(path).exists()} - found
            found |= more
            new += more
        return sorted(found)
    return [Path(path) for path in re.findall(r"=> (/\S+)", ask("ldd", extension))]


def origin_of(library: Path) -> Origin:
    """The package of a library, or SystemExit."""
    real = library.resolve()
    for look in (debian, rpm, alpine, homebrew, vcpkg):
        for path in dict.fromkeys([library, real]):
            if (origin := look(path)) and origin.texts:
                return origin
    raise SystemExit(f"repair_wheel.py: {library} is of no package with a licence in it")


def bundle(wheel: Path, folder: Path) -> Path:
    """Run this platform's tool; the wheel it has made."""
    if sys.platform == "win32":
        command = ["delvewheel", "repair", "--add-path", str(Path(os.environ[VCPKG], "bin"))]
    elif sys.platform == "darwin":
        command = ["delocate-wheel"]
    else:
        command = ["auditwheel", "repair"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(wheel)], check=True)
    (made,) = folder.glob("*.whl")
    return made


def licences(wheel: Path, bundled: list[str]) -> dict[str, bytes]:
    """What to add to licenses/, for the libraries that were put into the wheel."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (extension,) = (n for n in archive.namelist() if re.search(r"_zmq\.[^/]*(so|pyd)$", n))
        sources = linked(Path(archive.extract(extension, folder)))
    by_name = {name: path for path in sources for name in (path.name, path.resolve().name)}
    lines, texts, known = [], {}, {}
    for name in sorted(bundled):
        if name.startswith(("msvcp", "vcruntime", "concrt")):
            lines.append(f"{name}: Microsoft Visual C++ Redistributable:\n")
            continue
        origin = origin_of(by_name[HASH.sub("", name, count=1)])
        mine = []
        for text, data in origin.texts.items():
            place = known.setdefault(data, f"{origin.package}/{text}")  # each text once
            texts[place] = data
            mine.append(place)
        lines.append(f"{name}: {origin.package} {origin.version}: {' '.join(mine)}\n")
    return {"BUNDLED.txt": "".join(lines).encode(), **texts}


def record_line(name: str, data: bytes) -> str:
    """The line of one file in RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def add(wheel: Path, target: Path, texts: dict[str, bytes]) -> None:
    """Copy a wheel, with these files in its licenses/ and named in its metadata."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        (record,) = (name for name in old.namelist() if name.endswith(".dist-info/RECORD"))
        info = record.removesuffix("RECORD")
        lines = old.read(record).decode().splitlines()
        for item in old.infolist():
            data = old.read(item)
            if item.filename == f"{info}METADATA":
                head, gap, body = data.decode().partition("\n\n")
                head += "".join(f"\nLicense-File: {name}" for name in texts)
                data = (head + gap + body).encode()
                lines = [line for line in lines if not line.startswith(f"{item.filename},")]
                lines.append(record_line(item.filename, data))
            if item.filename != record:
                new.writestr(item, data)
        stamp = old.getinfo(record).date_time
        for name, data in texts.items():
            item = zipfile.ZipInfo(f"{info}licenses/{name}", stamp)
            item.external_attr = 0o644 << 16
            lines.append(record_line(item.filename, data))
            new.writestr(item, data, zipfile.ZIP_DEFLATED)
        new.writestr(old.getinfo(record), "\n".join(lines) + "\n")


def main(wheel: Path, target: Path) -> None:
    """Bundle, then add the licences of what was bundled."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = bundle(wheel, Path(folder))
        with zipfile.ZipFile(made) as archive:
            bundled = [m[1] for name in archive.namelist() if (m := BUNDLED.match(name))]
        if bundled:
            add(made, target / made.name, licences(wheel, bundled))
        else:
            shutil.copy(made, target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
