"""Lists of who may connect: public keys, folders of certificates, and networks.

A folder is read again when it has changed, which its own times and those of its files tell. Times
are coarse: what is written twice within one tick of the clock shows the same. So what changed so
lately that it may change again within the tick is read again the next time.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import z85
from ._certificates import SECRET, CurveKeys, is_key, parse, read
from .errors import argument_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Stamp = tuple[int, ...]

__all__ = ["Folder", "KeyList", "Networks", "to_address"]

# What the name of a public certificate ends with: as pyzmq and ratchet write it, and as CZMQ's
# tools and manual do. An editor's copies, and what is put away by a new name, do not count.
ENDS = (".key", ".cert", ".txt")

# Seconds: one tick of a file system's clock (Linux: 10 ms at most), and one where it counts in
# whole or even seconds (FAT).
TICK, COARSE_TICK = 0.05, 2.5

# The files of a folder with more than so many are looked at for at most one part in LOOKS of the
# time (10,000 take 20 ms). What is added, taken away or replaced is seen at once all the same.
FEW, LOOKS = 200, 20

# What the process lacks for the moment: then nobody can be told that he is not in the list.
LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def _stamp(status: os.stat_result) -> Stamp:
    """Return what changes with a file. A copy may keep the mtime; nothing keeps the ctime."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_settled(status: os.stat_result) -> bool:
    """Return True if another change would show in the times."""
    latest = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = TICK if latest % 1_000_000_000 else COARSE_TICK
    return time.time() - latest / 1e9 > tick


class Folder:
    """The public keys of the certificates in one folder."""

    def __init__(self, path: str, tell: Callable[[str], object]) -> None:
        self.path, self.tell = path, tell
        self.keys: dict[bytes, str] = {}
        self._files: dict[str, tuple[Stamp, bool, bytes | None]] = {}  # settled? its key
        self._read: Stamp | None = None  # the folder's stamp when it was read; None: not settled
        self._next_look = 0.0
        self._wrong: dict[str, str] = {}  # what has been told, of each file

    def look(self) -> None:
        """Read again what has changed.

        Raises:
            OSError: the folder cannot be read; it has no keys then.
        """
        try:
            status = Path(self.path).stat()
            if self._read == _stamp(status) and time.monotonic() < self._next_look:
                return
            began = time.monotonic()
            settled = self._scan()
        except BaseException:
            self._read, self.keys, self._files = None, {}, {}
            raise
        self._read = _stamp(status) if settled and _is_settled(status) else None
        ended = time.monotonic()
        self._next_look = ended + (ended - began) * LOOKS if len(self._files) > FEW else 0.0

    def _scan(self) -> bool:
        """Read the files that have changed; return False if they may change without a trace."""
        files: dict[str, tuple[Stamp, bool, bytes | None]] = {}
        settled = True
        with os.scandir(self.path) as entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(ENDS) or name[0] == ".":
                    continue
                try:
                    status = entry.stat()
                    known = self._files.get(name)
                    stamp = _stamp(status)
                    if known is None or not known[1] or known[0] != stamp:
                        known = stamp, _is_settled(status), self._key_in(name)
                except OSError as error:
                    if error.errno in LACKS:
                        raise
                    if error.errno != errno.ENOENT:  # it has just gone
                        self._say(name, error.strerror or "it cannot be read")
                    continue
                files[name] = known
                settled = settled and known[1]
        if files != self._files:
            self.keys = {key: z85.encode(key) for _, _, key in files.values() if key is not None}
        self._files = files
        return settled

    def _key_in(self, name: str) -> bytes | None:
        """Return the public key of one file; None: it has none, and keeps only its owner out."""
        try:
            keys = parse(read(Path(self.path, name))[0])
        except ValueError as error:
            self._say(name, str(error))
        else:
            self._wrong.pop(name, None)
            return z85.decode(keys.public)
        return None

    def _say(self, name: str, why: str) -> None:
        """Tell of a file that lets nobody in, once for each reason."""
        if self._wrong.get(name) != why:
            self._wrong[name] = why
            self.tell(f"{str(Path(self.path, name))!r} lets nobody in: {why}")


class KeyList:
    """Public keys, and folders of them."""

    def __init__(self, given: Iterable[Any], tell: Callable[[str], object]) -> None:
        self.keys: dict[bytes, str] = {}
        self.folders: list[Folder] = []
        for one in given:
            key = _public(one)
            if key is not None:
                self.keys[z85.decode(key)] = key
            elif isinstance(one, (str, os.PathLike)):
                self.folders.append(Folder(_folder(one), tell))
                self.folders[-1].look()
            else:
                raise TypeError(
                    "CLIENTS takes public keys (a str of 40 characters) and folders (a Path), not "
                    f"{type(one).__name__}"
                )

    def find(self, key: bytes) -> str | None:
        """Return a key as text if it is in the list.

        Raises:
            OSError: it is in none of the folders that can be read, and one cannot.
        """
        found = self.keys.get(key)
        failure = None
        for folder in self.folders if found is None else ():
            try:
                folder.look()
            except OSError as error:
                failure = error
            found = found or folder.keys.get(key)
        if found is None and failure is not None:
            raise failure
        return found


def _public(one: object) -> str | None:
    """Return a public key that stands in a list; None: it is something else."""
    if isinstance(one, CurveKeys):
        return one.public
    if isinstance(one, bytes):
        try:
            one = z85.encode(one) if len(one) == 32 else one.decode()
        except UnicodeDecodeError:
            one = ""
        if not is_key(one):
            raise argument_error("CLIENTS takes a key as 40 characters of Z85, or as 32 bytes")
    if not isinstance(one, str):
        return None
    if not is_key(one) and is_key(one.strip()):
        raise argument_error("CLIENTS: a key has white space around it; key.strip() takes it off")
    return str.__str__(one) if is_key(one) else None


def _folder(path: str | os.PathLike[str]) -> str:
    """Return a folder's whole path: the program may change its working directory later."""
    folder = Path(os.fsdecode(path))
    if folder.is_dir():
        return str(folder.absolute())
    if folder.is_file():
        why = f"is a file; give its folder, or auth.load({str(path)!r}).public"
        if folder.name.endswith(SECRET):
            why = "is a file with a secret key; a server needs the public ones of its clients"
    else:
        why = "is no folder, and no key, which has 40 characters of Z85"
    # What may be a mistyped key is not shown: it may be a secret one.
    name = os.fsdecode(path)
    shown = repr(name) if not 35 <= len(name) <= 45 else f"a str of {len(name)} characters"
    raise argument_error(f"CLIENTS: {shown} {why}")


def to_address(text: str) -> Address:
    """Return an address without IPv6's wrapping of IPv4; ValueError if it is none."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


class Networks:
    """Addresses and networks, to be asked whether one address is among them."""

    def __init__(self, option: str, given: Iterable[Any]) -> None:
        # By version and by how many bits are cut off: as many look-ups as there are lengths.
        self._heads: dict[tuple[int, int], set[int]] = {}
        for one in given:
            network = _network(option, one)
            cut = network.max_prefixlen - network.prefixlen
            head = int(network.network_address) >> cut
            self._heads.setdefault((network.version, cut), set()).add(head)

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(
            version == address.version and number >> cut in heads
            for (version, cut), heads in self._heads.items()
        )


def _network(option: str, one: object) -> Network:
    """Return a network, that of IPv4 where IPv6 wraps it."""
    if isinstance(one, (bool, int, bytes, tuple)):  # which ipaddress takes for something else
        raise TypeError(f"{option} takes addresses and networks as str, not {type(one).__name__}")
    try:
        network = ipaddress.ip_network(one)  # type: ignore[arg-type]
    except ValueError as error:
        hint = f"; {error}" if "host bits" in str(error) else ", such as '10.0.0.0/8' or '::1'"
        raise argument_error(f"{option} takes addresses and networks, not {one!r}{hint}") from None
    if network.version == 6 and network.prefixlen >= 96:
        wrapped = network.network_address.ipv4_mapped
        if wrapped is not None:
            return ipaddress.IPv4Network((wrapped, network.prefixlen - 96))
    return network
