"""Checks what is in a wheel of ratchet and what it needs: a finding a line, and status 1.

    python tools/check_wheel.py WHEEL...
    python tools/check_wheel.py --refuse WHEEL...    succeeds if every one of them is found bad

It reads the wheel and runs nothing of it. What libraries need and export is read from wheels for
Linux only.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ratchet"
# What manylinux (PEP 600) and musllinux (PEP 656) let a wheel expect of the system, as far as it is
# anything of ours. libstdc++ and libgcc_s are not on the list of musllinux.
SYSTEM = {
    "manylinux": {
        *("libc.so.6", "libm.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2"),
        *("libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6"),
        *("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"),
    },
    "musllinux": {"libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"},
}
EXTENSION = re.compile(r"^ratchet/_zmq\.[^/]*(?:\.so|\.pyd)$")
BUNDLED = re.compile(r"^(?:ratchet_zmq\.libs|ratchet/\.dylibs)/[^/.][^/]*$")


class Wheel:
    """One wheel and what was found wrong with it."""

    def __init__(self, path: Path) -> None:
        self.platform = path.stem.split("-")[-1]
        self.archive = zipfile.ZipFile(path)
        self.names = [name for name in self.archive.namelist() if not name.endswith("/")]
        self.info = next(n for n in self.names if n.endswith(".dist-info/METADATA"))[:-8]
        self.bundled = {Path(name).name: name for name in self.names if BUNDLED.match(name)}
        self.wrong: list[str] = []

    def check(self) -> None:
        """Look at everything."""
        self.check_contents()
        self.check_record()
        self.check_licences()
        if not any(name.startswith("libzmq") for name in self.bundled):
            self.wrong.append("libzmq is not in it")
        if "linux" in self.platform:
            self.check_linux()

    def check_contents(self) -> None:
        """The Python files, the stub and the mark of the types; no source of the extension."""
        wanted = {f"ratchet/{path.name}" for path in PACKAGE.glob("*.py*") if path.suffix != ".pyx"}
        wanted |= {"ratchet/py.typed", *(f"{self.info}{name}" for name in ("METADATA", "WHEEL"))}
        wanted |= {f"{self.info}RECORD", f"{self.info}licenses/LICENSE"}
        self.wrong += [f"{name} is missing" for name in sorted(wanted - set(self.names))]
        known = {*wanted, *self.bundled.values(), f"{self.info}top_level.txt"}
        other = [n for n in self.names if n not in known and not EXTENSION.match(n)]
        fine = (f"{self.info}licenses/", f"{self.info}sboms/")
        if "win" in self.platform:
            fine += (f"{self.info}DELVEWHEEL", "ratchet_zmq.libs/.load-order")
        self.wrong += [f"{name} has no place in it" for name in other if not name.startswith(fine)]
        extensions = sum(1 for name in self.names if EXTENSION.match(name))
        if extensions != 1:
            self.wrong.append(f"it has {extensions} extension modules, not 1")

    def check_record(self) -> None:
        """RECORD names every file, with its right hash."""
        text = self.archive.read(f"{self.info}RECORD").decode()
        record = {row[0]: row[1] for row in csv.reader(io.StringIO(text))}
        self.wrong += [f"{name} is not in RECORD" for name in self.names if name not in record]
        for name, stated in record.items():
            if name == f"{self.info}RECORD":
                continue
            if name not in self.names:
                self.wrong.append(f"{name} is in RECORD only")
                continue
            digest = base64.urlsafe_b64encode(hashlib.sha256(self.archive.read(name)).digest())
            if stated != f"sha256={digest.decode().rstrip('=')}":
                self.wrong.append(f"{name} is not as RECORD says")

    def check_licences(self) -> None:
        """Every bundled library is in BUNDLED.txt with its licences, and they are here."""
        folder = f"{self.info}licenses/"
        text = ""
        if f"{folder}BUNDLED.txt" in self.names:
            text = self.archive.read(f"{folder}BUNDLED.txt").decode()
        lines = {line.split(": ")[0]: line for line in text.splitlines()}
        for name in sorted(self.bundled):
            if name not in lines:
                self.wrong.append(f"{name} is not named in licenses/BUNDLED.txt")
                continue
            _, package, texts = re.fullmatch(r"(\S+): (.+?):(.*)", lines[name]).groups()
            if not texts.split() and not package.startswith("Microsoft"):
                self.wrong.append(f"{name} of {package} has no licence")
            for text in texts.split():
                if folder + text not in self.names or not self.archive.read(folder + text).strip():
                    self.wrong.append(f"{name} of {package}: licenses/{text} is not in it")
        declared = re.findall(
            r"^License-File: (.+)$",
            self.archive.read(f"{self.info}METADATA").decode().partition("\n\n")[0],
            re.MULTILINE,
        )
        for name in declared:
            if f"{self.info}licenses/{name}" not in self.names:
                self.wrong.append(f"License-File {name} is not in it")

    def check_linux(self) -> None:
        """What the extension and the libraries need, where they look for it, what they export."""
        from elftools.elf.elffile import ELFFile

        kind = re.split(r"[_.]", self.platform)[0]
        if kind not in SYSTEM:
            self.wrong.append(f"the platform is {self.platform}: neither manylinux nor musllinux")
        system = SYSTEM.get(kind, SYSTEM["manylinux"])
        needed, found = set(), {}
        for name in filter(EXTENSION.match, self.names):
            found[name] = "$ORIGIN/../ratchet_zmq.libs"
        found |= dict.fromkeys(self.bundled.values(), "$ORIGIN")
        for name, folder in found.items():
            elf = ELFFile(io.BytesIO(self.archive.read(name)))
            tags = list(elf.get_section_by_name(".dynamic").iter_tags())
            mine = {tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"}
            paths = [tag.runpath for tag in tags if tag.entry.d_tag == "DT_RUNPATH"]
            paths += [tag.rpath for tag in tags if tag.entry.d_tag == "DT_RPATH"]
            needed |= mine - self.bundled.keys()
            for need in sorted(mine - self.bundled.keys() - system):
                self.wrong.append(f"{name} needs {need}, which is not in it")
            if mine & self.bundled.keys() and paths != [folder]:
                self.wrong.append(f"{name} looks for libraries in {paths or 'no folder'}")
            if EXTENSION.match(name):
                exports = {
                    symbol.name
                    for symbol in elf.get_section_by_name(".dynsym").iter_symbols()
                    if symbol.entry.st_shndx != "SHN_UNDEF"
                    and symbol.entry.st_info.bind != "STB_LOCAL"
                }
                if exports != {"PyInit__zmq"}:
                    self.wrong.append(f"{name} exports {', '.join(sorted(exports)) or 'nothing'}")
        print("  of the system:", *sorted(needed & system))


def main() -> int:
    """Check each wheel."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--refuse", action="store_true", help="succeed if all are found bad")
    parser.add_argument("wheels", nargs="+", type=Path)
    arguments = parser.parse_args()
    bad = 0
    for path in arguments.wheels:
        print(path.name)
        wheel = Wheel(path)
        print("  bundled:", *sorted(wheel.bundled))
        wheel.check()
        bad += bool(wheel.wrong)
        mark = "as it should" if arguments.refuse else "WRONG"
        print("".join(f"  {mark}: {wrong}\n" for wrong in wheel.wrong), end="")
    good = len(arguments.wheels) - bad
    if arguments.refuse and good:
        print("a wheel that should be refused was not")
    return int(bool(good if arguments.refuse else bad))


if __name__ == "__main__":
    sys.exit(main())
