"""The rules of one socket: who may connect to it, and what a handshake is answered.

The options of `option_access.py` fill them in, and ratchet's handler (`_zap.py`) asks them. What
they cannot tell, for whatever reason, is answered with a refusal.
"""

from __future__ import annotations

import enum
import hmac
import ipaddress
import itertools
import logging
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from . import z85
from ._allow_lists import KeyList, Networks, to_address
from ._certificates import CurveKeys

__all__ = ["ANY", "Access", "Answer", "Clients", "NetworkList", "Question", "Users", "log"]

log = logging.getLogger("ratchet.auth")
log.addHandler(logging.NullHandler())  # silent unless the program sets logging up


class Anybody(enum.Enum):
    """The type of `ANY`."""

    ANY = "ratchet.auth.ANY"

    def __repr__(self) -> str:
        return self.value


ANY: Final = Anybody.ANY

# A user id, True for the key or the name itself, None or False to refuse.
Verdict: TypeAlias = str | bool | None
ClientCallable: TypeAlias = Callable[[str, str | None], Verdict]
UserCallable: TypeAlias = Callable[[str, str, str | None], Verdict]
Clients: TypeAlias = (
    Iterable[str | bytes | os.PathLike[str] | CurveKeys] | ClientCallable | Literal[Anybody.ANY]
)
Users: TypeAlias = Mapping[str, str] | UserCallable
NetworkList: TypeAlias = Iterable[str | ipaddress.IPv4Network | ipaddress.IPv6Network]
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 27: let in; come again later, without a word; refused, which ends libzmq's connection for
# good; the handler failed.
IN, LATER, REFUSED, FAILED = b"200", b"300", b"400", b"500"

# What libzmq says of a peer by ipc: a host, or nothing, and who runs it (Linux, macOS).
_BY_IPC = re.compile(r"[^:]*:\d+:\d*:\d*", re.ASCII)
_numbers = itertools.count(1)
LONGEST = 255  # bytes of a name, a password (RFC 24) and a user id


class Answer(NamedTuple):
    """What a handshake is answered."""

    status: bytes
    why: str
    user: str = ""


class Question(NamedTuple):
    """A callable of the program that must be asked first."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    itself: str  # what True stands for


class Passwords(dict[str, str]):
    """Names and passwords, which its repr does not show."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: (not shown)" for name in self) + "}"


class Access:
    """The rules of one socket."""

    def __init__(self, zsock: Any) -> None:
        self._zsock = weakref.ref(zsock)
        self.domain = f"ratchet-{next(_numbers)}"
        self.given: dict[str, Any] = {}  # by the option's name, as it reads
        self.timeout = 5.0  # seconds
        self.over_tcp = False  # has it ever listened on tcp?
        self._clients: Any = None
        self._users: Any = None
        self._allow: Networks | None = None
        self._deny: Networks | None = None

    @property
    def guards(self) -> bool:
        """Return True if there is anything to ask the handler."""
        return not {"CLIENTS", "USERS", "ALLOW", "DENY"}.isdisjoint(self.given)

    @property
    def mechanism(self) -> str:
        """The mechanism that the rules are for."""
        if "CLIENTS" in self.given:
            return "CURVE"
        return "PLAIN" if "USERS" in self.given else "NULL"

    def describe(self) -> str:
        """Return the socket's type and endpoints, for the log."""
        zsock = self._zsock()
        return "a socket that is gone" if zsock is None else zsock._described()

    def tell(self, what: str) -> None:
        """Log what keeps somebody out."""
        log.warning("%s: %s", self.describe(), what)

    def closed(self) -> None:
        """Ask for nothing any more: the socket has been closed."""
        zap = sys.modules.get(f"{__package__}._zap")
        if zap is not None:
            zap.release(self)

    # What the options set

    def set_clients(self, clients: Any) -> None:
        """Let in these."""
        if clients is ANY or callable(clients):
            self._clients = self.given["CLIENTS"] = clients
        else:
            clients = list(clients)
            self._clients = KeyList(clients, self.tell)
            self.given["CLIENTS"] = clients

    def set_users(self, users: Any) -> None:
        """Let in these."""
        self._users = users if callable(users) else Passwords(users)
        self.given["USERS"] = self._users

    def set_networks(self, option: str, networks: list[Any]) -> None:
        """Let in these alone (ALLOW), or never these (DENY)."""
        found = Networks(option, networks)
        if option == "ALLOW":
            self._allow = found
        else:
            self._deny = found
        self.given[option] = networks

    # What the handler asks

    def judge(self, mechanism: str, peer: str, credentials: list[bytes]) -> Answer | Question:
        """Say what one handshake is answered.

        Args:
            mechanism: the one that libzmq asks for.
            peer: its address, as libzmq has it.
            credentials: a public key, or a name and a password.
        """
        if mechanism != self.mechanism:
            return Answer(REFUSED, f"it came with {mechanism}, not {self.mechanism}")
        try:
            address = self._address(peer)
        except ValueError:
            return Answer(REFUSED, "its address cannot be known")
        if address is not None:
            if self._deny is not None and address in self._deny:
                return Answer(REFUSED, "deny has its address")
            if self._allow is not None and address not in self._allow:
                return Answer(REFUSED, "allow does not have its address")
        where = None if address is None else str(address)
        if mechanism == "CURVE":
            (key,) = credentials
            return self._judge_key(key, where)
        if mechanism == "PLAIN":
            try:
                name, password = (text.decode() for text in credentials)
            except UnicodeDecodeError:
                return Answer(REFUSED, "its name or password is no text in UTF-8")
            return self._judge_user(name, password, where)
        return Answer(IN, "")

    def _address(self, peer: str) -> Address | None:
        """Return a peer's address; None: it comes by ipc.

        Raises:
            ValueError: it cannot be known: who resets a tcp connection at once has none.
        """
        try:
            return to_address(peer)  # first: 2001:100:: looks like a peer by ipc
        except ValueError:
            if _BY_IPC.fullmatch(peer) or (not peer and not self.over_tcp):
                return None
            raise

    def _judge_key(self, key: bytes, where: str | None) -> Answer | Question:
        if len(key) != 32:
            return Answer(REFUSED, "it has no key")
        clients = self._clients
        if isinstance(clients, KeyList):
            try:
                text = clients.find(key)
            except OSError as error:
                self.tell(f"a folder of clients cannot be read: {error.strerror}")
                return Answer(LATER, "a folder of clients cannot be read")
            return (
                Answer(IN, "", text) if text else Answer(REFUSED, "clients does not have its key")
            )
        text = z85.encode(key)
        return Answer(IN, "", text) if clients is ANY else Question(clients, (text, where), text)

    def _judge_user(self, name: str, password: str, where: str | None) -> Answer | Question:
        if not isinstance(self._users, Passwords):
            return Question(self._users, (name, password, where), name)
        known = self._users.get(name)
        # It takes as long for a name that nobody has.
        same = hmac.compare_digest((known or "").encode(), password.encode())
        if known is None or not same:
            return Answer(REFUSED, "users does not have its name with this password")
        return Answer(IN, "", name)

    @staticmethod
    def verdict(question: Question, found: object) -> Answer:
        """Say what a handshake is answered after a callable has returned."""
        if found is None or found is False:
            return Answer(REFUSED, f"{name_of(question.function)} refused it")
        user = question.itself if found is True else found
        try:
            size = len(user.encode()) if isinstance(user, str) else 0
        except UnicodeEncodeError:
            size = 0
        # libzmq hands it on as a C string, which ends at a zero.
        if not 0 < size <= LONGEST or "\0" in str(user):
            what = f"what {name_of(question.function)} returned ({type(found).__name__})"
            why = f"a str of 1 to {LONGEST} bytes in UTF-8, none of them zero"
            return Answer(FAILED, f"{what} is no user id: {why}")
        return Answer(IN, "", str(user))


def name_of(function: object) -> str:
    """Return the name of a callable, for the log."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))
