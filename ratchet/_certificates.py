"""CURVE key pairs, and the files that hold them: those of CZMQ and pyzmq.

A certificate is a text in two sections, ``metadata`` and ``curve`` (ZeroMQ's RFC 4)::

    curve
        public-key = "…"

``NAME.key`` is for everybody, ``NAME.key_secret`` has the secret key as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import z85
from ._zmq import curve_keypair, curve_public, has
from .errors import ArgumentError, Error, argument_error

__all__ = ["CurveKeys", "generate", "is_key", "load", "parse", "read", "save"]

LARGEST = 65536  # bytes of a certificate, which has about 400
SECRET = "_secret"  # noqa: S105 - what is added to the name of the file with the secret key

_LINE = re.compile(
    r"""(?P<indent>[ \t]*)(?P<name>[A-Za-z0-9$\-_@.&+/]+)
    [ \t]*(?:=[ \t]*(?P<value>"[^"]*"|'[^']*'|[^"'\s](?:[^#]*[^#\s])?|))?[ \t]*(?:\#.*)?""",
    re.VERBOSE,
)
_FILE = re.compile(r"[^./\\\0][^/\\\0]*")
_NAME = re.compile(r"[A-Za-z0-9$\-_@.&+/]+")


def is_key(text: object) -> bool:
    """Return True for a key: 40 characters of Z85."""
    try:
        return isinstance(text, str) and len(z85.decode(text)) == 32
    except (ValueError, OverflowError):
        return False


@dataclass(frozen=True, slots=True, repr=False)
class CurveKeys:
    """A CURVE key pair: two str of 40 characters of Z85. Its repr does not show the secret.

    ``secret`` is None where only the public key is known. ``metadata`` is what its certificate says
    of its owner.
    """

    public: str
    secret: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name, key in (("public", self.public), ("secret", self.secret)):
            if not (is_key(key) or (name == "secret" and key is None)):
                raise argument_error(
                    f"{name} takes a key as a str of 40 characters of Z85 (RFC 32)"
                )
        # Two that were swapped would show the secret one wherever the public one is shown.
        if self.secret is not None and has("curve") and curve_public(self.secret) != self.public:
            raise argument_error(
                "public is not the key that belongs to secret: give the two of one pair, in this "
                "order"
            )

    def __repr__(self) -> str:
        secret = "None" if self.secret is None else "(not shown)"
        return f"<ratchet.auth.CurveKeys public={self.public!r} secret={secret}>"


def generate() -> CurveKeys:
    """Make a new key pair (zmq_curve_keypair(3)).

    Raises:
        Error: ENOTSUP: this libzmq has no CURVE.
    """
    return CurveKeys(*curve_keypair())


def parse(text: str) -> CurveKeys:
    """Return the keys of a certificate.

    Raises:
        ValueError: the text is none, or says something twice; it is not quoted.
    """
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = _LINE.fullmatch(line.rstrip())
        if entry is None:
            raise ValueError(f"line {number} is none of a certificate")
        name, value = entry["name"], entry["value"]
        if not entry["indent"]:
            if name in found:
                raise ValueError(f"line {number} begins a section anew")
            section = found[name] = {}
        elif section is None or value is None:
            raise ValueError(f"line {number} is none of a certificate")
        elif name in section:
            raise ValueError(f"line {number} says something anew")
        else:
            section[name] = value[1:-1] if value[:1] in {'"', "'"} else value
    curve = found.get("curve", {})
    public, secret = curve.get("public-key", ""), curve.get("secret-key")
    if not is_key(public):
        raise ValueError("it has no public-key of 40 characters of Z85 in a section curve")
    if secret is not None and not is_key(secret):
        raise ValueError("its secret-key is not 40 characters of Z85")
    try:
        return CurveKeys(public, secret, found.get("metadata", {}))
    except ArgumentError as error:
        raise ValueError(error.strerror) from None  # without its code, which the caller adds


def read(path: str | os.PathLike[str]) -> tuple[str, os.stat_result]:
    """Return the text of a certificate, and what the system says of its file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, too large, or no text.
    """
    # An int would be a descriptor of the program's own, which `open` would read and close.
    with open(os.fspath(path), "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    try:
        return data.decode("utf-8-sig"), status
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def _open(path: str, flags: int) -> int:
    """Open a file, also a pipe, for which nobody waits."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def load(path: str | os.PathLike[str]) -> CurveKeys:
    """Read a certificate of ratchet, pyzmq or CZMQ: ``NAME.key`` or ``NAME.key_secret``.

    Returns:
        CurveKeys: with ``metadata``; ``secret`` is None from a public certificate.

    Raises:
        Error: EACCES: it has a secret key, and others than its owner may read it.
        ArgumentError: it is no certificate.
        OSError: it cannot be read.
    """
    try:
        text, status = read(path)
        keys = parse(text)
    except ValueError as error:
        raise argument_error(f"{os.fspath(path)!r} is no certificate: {error}") from None
    if keys.secret is not None and os.name == "posix" and status.st_mode & 0o077:
        raise Error(
            errno.EACCES,
            f"{os.fspath(path)!r} has a secret key, and others may read it: "
            f"chmod 600 {os.fspath(path)}, and if somebody has read it, make new keys",
        )
    return keys


def save(
    folder: str | os.PathLike[str],
    name: str,
    keys: CurveKeys,
    metadata: Mapping[str, str] | None = None,
) -> tuple[Path, Path | None]:
    """Write ``NAME.key``, for everybody, and ``NAME.key_secret``, for its owner alone (mode 0600).

    The folder is made if it is not there; files of these names are replaced, each in one step, so
    that who reads it meanwhile sees the old or the new one.

    Args:
        folder: where to write.
        name: whose keys these are: a file's name without its end.
        keys: without a secret key, only ``NAME.key`` is written.
        metadata: what else the certificates shall say; None: what ``keys.metadata`` has.

    Returns:
        tuple: the paths of both files; None for one that was not written.

    Raises:
        ArgumentError: a name or a value that cannot be written.
        OSError: the files cannot be written.
    """
    if not isinstance(keys, CurveKeys):
        raise TypeError(f"save() takes CurveKeys, not {type(keys).__name__}")
    if not _FILE.fullmatch(str(name)) or not isinstance(name, str):
        raise argument_error(f"{name!r} cannot be the name of a certificate: it becomes a file's")
    about = _metadata(keys.metadata if metadata is None else metadata)
    Path(folder).mkdir(parents=True, exist_ok=True)
    public = Path(folder, f"{name}.key")
    secret = None if keys.secret is None else Path(folder, f"{name}.key{SECRET}")
    if secret is not None:
        head = "# A CURVE secret key. Whoever reads this file can pass for its owner.\n"
        lines = f'    public-key = "{keys.public}"\n    secret-key = "{keys.secret}"\n'
        _write(secret, f"{head}{about}curve\n{lines}", 0o600)
    head = "# A CURVE public key. Everybody may have it; see that it arrives unchanged.\n"
    _write(public, f'{head}{about}curve\n    public-key = "{keys.public}"\n', 0o644)
    return public, secret


def _metadata(metadata: Mapping[str, str]) -> str:
    """Return the section of a certificate."""
    if not isinstance(metadata, Mapping):
        raise TypeError(
            f"metadata is a dict of what the certificate says, not {type(metadata).__name__}"
        )
    lines = ["metadata\n"]
    for name, value in metadata.items():
        if not _NAME.fullmatch(str(name)):
            raise argument_error(
                f"{name!r} cannot be a name in metadata: it has letters, digits and $-_@.&+/"
            )
        if '"' in str(value) or not str(value).isprintable():
            raise argument_error(
                f"metadata {name} takes a str of one line without double quotes, not {value!r}"
            )
        lines.append(f'    {name} = "{value}"\n')
    return "".join(lines)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file in one step, that no other may read meanwhile."""
    descriptor, made = tempfile.mkstemp(prefix=".", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(made).chmod(mode)
        Path(made).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(made).unlink()
        raise
