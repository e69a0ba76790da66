"""Find libzmq and build the extensions; pyproject.toml says all else."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import SetupError

OLDEST = (4, 3)  # in Debian 11 and RHEL 8; nothing here needs a later or a draft function

INSTALL = """\
Install it with the line for this system:
  Debian, Ubuntu   apt-get install libzmq3-dev
  Fedora           dnf install zeromq-devel
  RHEL and kin     dnf install epel-release && dnf install zeromq-devel
  Alpine           apk add zeromq-dev
  Arch             pacman -S zeromq
  macOS            brew install zeromq
  conda            conda install -c conda-forge zeromq
  Windows          vcpkg install zeromq
or name the folder that holds its include/ and lib/ in RATCHET_ZMQ_PREFIX."""


class Place(NamedTuple):
    """One place where libzmq may be: the source that names it, and the folders to look in."""

    source: str
    include: Path
    libs: list[Path]


class Libzmq(NamedTuple):
    """The libzmq that was found."""

    include: Path
    library: Path


def prefix_place(source: str, prefix: str) -> Place:
    """Return the folders under a prefix, the most particular library folder first."""
    root = Path(prefix)
    multiarch = sysconfig.get_config_var("MULTIARCH")  # "x86_64-linux-gnu", where Debian puts it
    libs = [root / "lib" / multiarch] if multiarch else []
    return Place(source, root / "include", [*libs, root / "lib64", root / "lib"])


def pkg_config_place() -> Place | None:
    """Return the place where pkg-config has libzmq.

    It is asked for the plain variables, since --cflags and --exists fail as soon as any library
    that libzmq merely uses inside (Kerberos, PGM, ...) has no .pc file on this system.
    """
    command = shlex.split(os.environ.get("PKG_CONFIG", "pkg-config"))
    folders = []
    for variable in ("includedir", "libdir"):
        try:
            answer = subprocess.run(
                [*command, f"--variable={variable}", "libzmq"],
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        folders.append(answer.stdout.strip())
    return Place("pkg-config", Path(folders[0]), [Path(folders[1])]) if all(folders) else None


def places() -> list[Place]:
    """Return the places to look in, the best first. A prefix that the user names is the only."""
    for variable in ("RATCHET_ZMQ_STATIC", "RATCHET_ZMQ_PREFIX"):
        if prefix := os.environ.get(variable):
            return [prefix_place(variable, prefix)]
    found = []
    # Before pkg-config: an activated conda environment is the user's choice, and the system's
    # pkg-config knows nothing of it.
    if conda := os.environ.get("CONDA_PREFIX"):
        inside = Path(conda, "Library") if sys.platform == "win32" else Path(conda)
        found.append(prefix_place("CONDA_PREFIX", str(inside)))
    if place := pkg_config_place():
        found.append(place)
    if sys.platform != "win32":
        # Homebrew on Apple silicon, by hand and Homebrew on Intel, MacPorts, the system.
        defaults = ["/opt/homebrew", "/usr/local", "/opt/local", "/usr"]
        if brew := os.environ.get("HOMEBREW_PREFIX"):
            defaults.insert(0, brew)
        found.extend(prefix_place("default", prefix) for prefix in dict.fromkeys(defaults))
    return found


def header_version(header: Path) -> tuple[int, ...]:
    """Return the version that zmq.h's own macros tell, such as (4, 3, 4); () without them."""
    text = header.read_text(encoding="utf-8", errors="replace")
    numbers = [
        re.search(rf"^#define ZMQ_VERSION_{part} +(\d+)", text, re.MULTILINE)
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    return tuple(int(n[1]) for n in numbers if n)


def library_in(folders: list[Path], static: bool) -> Path | None:
    """Return the file to link: a static archive if ``static``, otherwise that of -lzmq."""
    if sys.platform == "win32":  # vcpkg and conda: libzmq-mt-4_3_5.lib, libzmq-mt-s-4_3_5.lib
        names = ["libzmq*-s-*.lib", "libzmq*.lib"] if static else ["libzmq*.lib"]
    else:
        names = ["libzmq.a"] if static else ["libzmq.so", "libzmq.dylib"]
    return next((f for n in names for d in folders for f in sorted(d.glob(n))), None)


def find_libzmq(static: bool) -> Libzmq:
    """Return the first good libzmq.

    Raises SetupError, which pip, build and uv show without a traceback.
    """
    tried = []
    for place in places():
        header = place.include / "zmq.h"
        if not header.is_file():
            problem = "no such file"
        elif (version := header_version(header)) < OLDEST:
            problem = f"version {'.'.join(map(str, version)) or 'unknown'} is too old"
        elif library := library_in(place.libs, static):
            return Libzmq(place.include, library)
        else:
            kind = "static" if static else "shared"
            problem = f"found, but no {kind} libzmq in {', '.join(map(str, place.libs))}"
        tried.append(f"  {header} ({place.source}): {problem}")
    looked = "\n".join(tried or ["  nowhere: no usual place is known on this system"])
    oldest = ".".join(map(str, OLDEST))
    raise SetupError(
        f"ratchet needs libzmq {oldest} or later with its header zmq.h, and did not find it.\n"
        f"Looked for:\n{looked}\n{INSTALL}"
    )


class BuildExt(build_ext):
    """A build that looks for libzmq only to compile something: metadata and sdist need none."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.cython_c_in_temp = True  # the generated C goes to build/, not beside its source

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # timestamps do not show another libzmq, Cython or CFLAGS

    def build_extensions(self) -> None:
        if sys.implementation.name != "cpython":  # blocking.pxi and coroutine.pxi know its insides
            raise SetupError(f"ratchet needs CPython; this is {sys.implementation.name}")
        static = bool(os.environ.get("RATCHET_ZMQ_STATIC"))
        zmq = find_libzmq(static)
        for extension in self.extensions:
            extension.include_dirs.append(str(zmq.include))
            if os.environ.get("RATCHET_DEBUG"):
                extension.define_macros.append(("RATCHET_DEBUG", None))  # ratchet/_zmq/debug.pxi
            if self.compiler.compiler_type != "msvc":
                self.flags_for_gcc(extension)
            if extension.name == "ratchet._zmq":  # the other one calls libzmq through it
                (self.link_static if static else self.link_shared)(extension, zmq.library)
                if static and sys.platform != "win32":
                    self.link_as_a_whole(extension)
        super().build_extensions()

    @staticmethod
    def flags_for_gcc(extension: Extension) -> None:
        extension.extra_compile_args.append("-fvisibility=hidden")
        if "CFLAGS" not in os.environ:  # they would come last and win over a packager's or -O0 -g
            extension.extra_compile_args += ["-O3", "-g0"]
            if sys.platform.startswith("linux"):  # calls of libzmq in one step, not in two
                extension.extra_compile_args.append("-fno-plt")

    @staticmethod
    def link_shared(extension: Extension, library: Path) -> None:
        folder = str(library.parent)
        extension.library_dirs.append(folder)
        extension.libraries.append("zmq" if library.suffix != ".lib" else library.stem)
        if sys.platform == "win32":
            extension.libraries.append("ws2_32")  # for send and recv, which wake threads
        # Outside the system's own folders (conda, /opt) the loader has to be told.
        elif not folder.startswith(("/usr/lib", "/lib")):
            extension.runtime_library_dirs.append(folder)

    @staticmethod
    def link_static(extension: Extension, library: Path) -> None:
        extension.extra_objects.append(str(library))
        if sys.platform == "win32":
            extension.define_macros.append(("ZMQ_STATIC", None))
            extension.libraries += ["ws2_32", "iphlpapi", "advapi32"]
            sodium = library.with_name("libsodium.lib")
            extension.extra_objects += [str(sodium)] if sodium.is_file() else []
            return
        sodium = library.with_name("libsodium.a")  # libzmq's CURVE is usually built on it
        if sodium.is_file():
            extension.extra_objects.append(str(sodium))
        if sys.platform == "darwin":
            extension.libraries.append("c++")
        else:
            extension.libraries += ["stdc++", "pthread", "rt"]

    def link_as_a_whole(self, extension: Extension) -> None:
        """Optimise a static libzmq and the extension together, and export the entry alone.

        Otherwise another libzmq in the process (pyzmq's) could answer ratchet's calls, and
        ratchet's libzmq the other's; and what may be called from outside cannot be inlined away.
        """
        entry = f"PyInit_{extension.name.rpartition('.')[2]}"
        if sys.platform == "darwin":
            extension.extra_link_args.append(f"-Wl,-exported_symbol,_{entry}")
        else:
            exports = Path(self.build_temp, "exports.map")
            exports.parent.mkdir(parents=True, exist_ok=True)
            exports.write_text(f"{{ global: {entry}; local: *; }};\n", encoding="ascii")
            extension.extra_link_args += [
                f"-Wl,--version-script={exports}",
                "-Wl,--exclude-libs,ALL",
            ]
        if "CFLAGS" not in os.environ:  # an archive without LTO is linked as any other
            extension.extra_compile_args.append("-flto")
            extension.extra_link_args += ["-flto", "-O3"]


setup(
    ext_modules=[
        Extension(
            "ratchet._zmq",
            # The .pyx itself, not cythonize(): that would put the generated C into the sdist
            # in its place. setuptools runs Cython where it is installed.
            sources=["ratchet/_zmq.pyx"],
            depends=["setup.py", *map(str, sorted(Path("ratchet").rglob("*.px[di]")))],
        ),
        Extension(
            "ratchet._pyzmq",
            sources=["ratchet/_pyzmq.pyx"],
            depends=[
                "setup.py",
                "ratchet/_zmq.pxd",
                *map(str, Path("ratchet/_pyzmq").glob("*.pxi")),
            ],
        ),
    ],
    cmdclass={"build_ext": BuildExt},
)
