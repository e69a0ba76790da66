"""What a wheel carries: licences of all that is linked into it; and what an extension exports."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet import _pyzmq, _zmq

ROOT = Path(__file__).parents[2]


@pytest.fixture
def wheels():
    spec = importlib.util.spec_from_file_location("wheels", ROOT / "tools/wheels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prefix(root, texts=("zeromq", "libsodium"), versions=("zeromq", "libsodium")):
    """A libzmq as tools/own_libzmq.sh makes it."""
    for package in {*texts, *versions}:
        (root / "share" / package).mkdir(parents=True)
    for package in texts:
        (root / "share" / package / "copyright").write_text(f"{package} is free\n")
    for package in versions:
        (root / "share" / package / "version").write_text("4.3.4-6\n")
    return str(root)


def test_nothing_is_static_without_a_prefix(wheels, monkeypatch):
    monkeypatch.delenv("RATCHET_ZMQ_STATIC", raising=False)
    assert list(wheels.static()) == []


def test_licences_of_what_is_linked_statically(wheels, monkeypatch, tmp_path):
    monkeypatch.setenv("RATCHET_ZMQ_STATIC", prefix(tmp_path))
    found = wheels.licences(fake_wheel(tmp_path), [])
    assert found["zeromq/copyright"] == b"zeromq is free\n"
    assert found["BUNDLED.txt"].decode().splitlines() == [
        "libzmq (static): zeromq 4.3.4-6: zeromq/copyright",
        "libsodium (static): libsodium 4.3.4-6: libsodium/copyright",
    ]


def test_licences_of_vcpkg(wheels, monkeypatch, tmp_path):
    monkeypatch.setenv("RATCHET_ZMQ_STATIC", prefix(tmp_path / "here", versions=()))
    info = tmp_path / "vcpkg/info"
    info.mkdir(parents=True)
    for port in ("zeromq_4.3.5_x64-linux", "libsodium_1.0.20_x64-linux", "other_1_x64-linux"):
        (info / f"{port}.list").touch()
    assert [(package, version) for _, package, version, _ in wheels.static()] == [
        ("zeromq", "4.3.5"),
        ("libsodium", "1.0.20"),
    ]


@pytest.mark.parametrize("lacks", ["texts", "versions"])
def test_a_licence_that_is_missing_stops_the_build(wheels, monkeypatch, tmp_path, lacks):
    monkeypatch.setenv("RATCHET_ZMQ_STATIC", prefix(tmp_path, **{lacks: ("zeromq",)}))
    with pytest.raises(SystemExit, match="libsodium has no version or no licence"):
        list(wheels.static())


def fake_wheel(folder):
    import zipfile

    path = folder / "ratchet.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(sys.executable, "ratchet/_zmq.cpython.so")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="looks into an ELF file")
@pytest.mark.skipif(not shutil.which("nm"), reason="there is no nm here")
@pytest.mark.parametrize("module", [_zmq, _pyzmq])
def test_an_extension_exports_its_entry_alone(module):
    line = ["nm", "--dynamic", "--defined-only", module.__file__]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    assert names == {f"PyInit_{module.__name__.rpartition('.')[2]}"}
