"""The kinds of socket options: each checks Python's values and converts them to libzmq's."""

from __future__ import annotations

import math
from _collections_abc import Iterable  # collections.abc without all of collections
from _operator import index

from ._typing import TYPE_CHECKING, Any, Generic, Never, Self, TypeVar, overload
from ._zmq import has, libzmq_version, real_number
from .errors import ArgumentError, argument_error
from .z85 import decode

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTES = (bytes, bytearray, memoryview)
NAMETYPES = ("GSSAPI_PRINCIPAL_NAMETYPE", "GSSAPI_SERVICE_PRINCIPAL_NAMETYPE")
# Options that `setup_rules.setup_fault` judges at bind and connect, up to their first underscore.
JUDGED = ("PLAIN", "CURVE", "GSSAPI", "SOCKS", "BINDTODEVICE")
# The versions of libzmq that number draft options as the table does; others may do it otherwise.
NUMBERED = (4, 3)

Got = TypeVar("Got")  # the type that reading an option gives
Taken = TypeVar("Taken")  # the type that may be assigned to it


class Option(Generic[Got, Taken]):
    """One option: a property of sockets and, on the class, its own description.

    Each kind of option is a subclass with two methods: `_encode` checks Python's value and converts
    it to libzmq's, and `_decode` converts it back.
    """

    name: str
    takes = ""  # the annotation of values to assign, as in OptionArguments
    accepts = ""  # the same in words, with places for the range
    unit = ""
    low, high = 0, 2**31 - 1  # as libzmq counts; of bytes and str, of the length
    via = "int"  # the type in C: int, int64, uint64 or bytes
    scale = 1  # how many of libzmq's units make one of ratchet's
    step = 1  # libzmq cuts its number down to a multiple of this
    optional = False  # None may be assigned: -1 to libzmq, or no bytes
    write_only = False  # libzmq does not tell it, so it reads as last set
    secret = False  # never shown in an error
    needs = ""  # the library with which libzmq must be built
    read_only = False
    own = False  # not one of libzmq's: it stands for several of them
    since: tuple[
        int, ...
    ] = ()  # of a draft option: the first libzmq that has it, and is safe with it
    in_drafts = False  # only a libzmq that is built with its drafts has it

    def __init__(
        self, name: str, number: int, default: Got, doc: str, only: str = "", **rest: Any
    ) -> None:
        self.name, self.number, self.default = name, number, default
        self.only = tuple(only.split())  # the socket types that know the option; none: all
        self.__dict__.update(rest)  # any of the attributes above
        limits = (n / self.scale if self.scale > 1 else n for n in (self.low, self.high))
        legal = self.accepts.format(*limits, unit=self.unit).strip()
        self.legal = legal + (" or None" if self.optional else "")
        if self.optional:
            self.takes += " | None"
        notes = [] if self.read_only else [f"takes {self.legal}", f"default {default!r}"]
        notes += ["reads as last set"] if self.write_only else []
        notes += ["read-only"] if self.read_only else []
        notes += [f"only for {', '.join(self.only)}"] if only else []
        notes += [f"only if libzmq is built with {self.needs}"] if self.needs else []
        notes += [self.draft] if self.since else []
        kind = f"{self.takes}, in {self.unit}" if self.unit else self.takes
        named = f"{name}, ratchet's own" if self.own else f"ZMQ_{name}, {number}"
        self.__doc__ = f"{kind}: {doc}\n\n{named}: {'; '.join(notes)}."

    @property
    def draft(self) -> str:
        """Which libzmq has it, if it is a draft option."""
        version = "4.3" if self.since == (4, 3, 0) else ".".join(map(str, self.since))
        built = ", built with its drafts" if self.in_drafts else ""
        return f"a draft option of libzmq {version} and later{built}"

    def _require(self) -> None:
        """Raise unless this libzmq has the option, by the number that the table knows."""
        if not self.since:
            return
        version = libzmq_version()
        built = not self.in_drafts or has("draft")
        if version[:2] == NUMBERED and version >= self.since and built:
            return
        here = ".".join(map(str, version))
        raise argument_error(
            f"{self.name} is {self.draft}, up to the last 4.3, and this is {here}"
            + ("" if built else ", built without them")
            + "; ratchet's wheels bring a libzmq that has it (ratchet.has('draft') tells), or "
            "build libzmq with ENABLE_DRAFTS and name it in RATCHET_ZMQ_PREFIX"
        )

    @overload
    def __get__(self, zsock: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, zsock: object, owner: type | None = None) -> Got: ...
    def __get__(self, zsock: Any, owner: type | None = None) -> Self | Got:
        return self if zsock is None else self._read(zsock)

    def __set__(self, zsock: Any, value: Taken) -> None:
        raw = self._encode(value)
        if self.only and zsock.type not in self.only:
            raise argument_error(
                f"{self.name} means nothing to {zsock.type} sockets, only to {', '.join(self.only)}"
            )
        self._require()
        try:
            self._store(zsock, raw)
        except ArgumentError as error:
            if value is None and self._read(zsock) is None:
                return  # some options are None, but cannot be set to it
            raise self._refused(zsock, f"to set it to {self._show(value)}") from error
        if self.write_only:
            zsock._remembered = {**(zsock._remembered or {}), self.name: self._decode(raw)}
        if self.name.partition("_")[0] in JUDGED:
            self._note(zsock, bool(raw))

    def _note(self, zsock: Any, on: bool) -> None:
        """Remember for bind and connect that it was set; off, it turns all of its kind off."""
        judged: frozenset[str] = getattr(zsock, "_judged", None) or frozenset()
        kind = self.name.partition("_")[0]
        if on:
            judged |= {self.name}
        elif self.name not in {"GSSAPI_PLAINTEXT", *NAMETYPES}:
            judged = frozenset(name for name in judged if name.partition("_")[0] != kind)
        zsock._judged = judged

    def _encode(self, value: Taken) -> Any:
        raise NotImplementedError

    def _decode(self, raw: Any) -> Got:
        raise NotImplementedError

    def _read(self, zsock: Any) -> Got:
        self._require()
        if self.write_only:
            value: Got = (zsock._remembered or {}).get(self.name, self.default)
            return value
        try:
            return self._decode(self._fetch(zsock))
        except ArgumentError as error:
            raise self._refused(zsock, "to tell it") from error

    def _fetch(self, zsock: Any) -> Any:
        if self.via == "bytes":
            return zsock._get_bytes(self.number, self.high + 1)  # one more: a string's final zero
        return getattr(zsock, f"_get_{self.via}")(self.number)

    def _store(self, zsock: Any, raw: Any) -> None:
        getattr(zsock, f"_set_{self.via}")(self.number, raw)

    def _show(self, value: object) -> str:
        import reprlib

        shown = "(not shown)" if self.secret else reprlib.repr(value)
        return "None" if value is None else f"{type(value).__name__} {shown}"

    def _wrong(self, value: object, make: Callable[[str], Exception]) -> Exception:
        return make(f"{self.name} takes {self.legal}, not {self._show(value)}")

    def _refused(self, zsock: Any, act: str) -> ArgumentError:
        why = f"; was it built with {self.needs}?" if self.needs else ""
        return argument_error(f"{self.name}: libzmq refuses {act} on a {zsock.type} socket{why}")

    def _integer(self, value: Any, low: int, high: int) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise self._wrong(value, TypeError)
        number = index(value)
        if not low <= number <= high and not (self.optional and number == -1):
            raise self._wrong(value, argument_error)
        return number


class Int(Option[Got, Got]):
    """An integer in a range."""

    takes, accepts = "int", "an int from {} to {} {unit}"

    def _encode(self, value: Any) -> int:
        if value is None and self.optional:
            return -1
        return self._integer(value, self.low, self.high)

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else int(raw)


class OptionalInt(Int[int | None]):
    """An integer in a range, or None."""

    optional = True


class Bool(Option[Got, Got]):
    """True or False."""

    takes, accepts = "bool", "True or False"

    def _encode(self, value: Any) -> int:
        if value is None and self.optional:
            return -1
        return int(value) if isinstance(value, bool) else self._integer(value, 0, 1)

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else bool(raw)


class Time(Option[Got, Taken]):
    """A time, which libzmq counts in milliseconds."""

    takes, accepts, unit = "float", "{unit} as a float from {} to {}", "seconds"
    scale = 1000

    def _encode(self, value: Any) -> Any:
        seconds = self._seconds(value)
        if seconds is None:
            return -1
        if not self.low / self.scale <= seconds <= self.high / self.scale:
            raise self._wrong(value, argument_error)
        # Up to the next whole step: a short time must not become 0, which often means "for ever".
        # The rounding first takes off what floats add: 0.07 * 1000 is 70.00000000000001.
        units = math.ceil(round(seconds * self.scale / self.step, 9)) * self.step
        return max(units, self.step) if seconds else 0

    def _seconds(self, value: Any) -> float | None:
        """Return the time as a float. Negative or infinite is None where None is allowed."""
        if value is None and self.optional:
            return None
        try:
            seconds: float = real_number(value)
        except TypeError:
            raise self._wrong(value, TypeError) from None
        except ValueError:
            raise self._wrong(value, argument_error) from None
        return None if self.optional and (seconds < 0 or seconds == math.inf) else seconds

    def _decode(self, raw: Any) -> Any:
        return None if self.optional and raw < 0 else raw / self.scale


class Seconds(Time[Got, Got]):
    """A time that reads as it is set."""


class OptionalSeconds(Seconds[float | None]):
    """A time, or None for no limit."""

    optional = True


class Timeout(OptionalSeconds):
    """The socket's own timeout: libzmq, in which ratchet never waits, is not told."""

    accepts = "{unit} as a float"

    def _encode(self, value: Any) -> float:
        seconds = self._seconds(value)
        return -1.0 if seconds is None else seconds

    def _decode(self, raw: Any) -> float | None:
        return None if raw < 0 else float(raw)

    def _fetch(self, zsock: Any) -> Any:
        return zsock._recv_timeout if self.name == "RCVTIMEO" else zsock._send_timeout

    def _store(self, zsock: Any, raw: Any) -> None:
        setattr(zsock, "_recv_timeout" if self.name == "RCVTIMEO" else "_send_timeout", raw)


class Bytes(Option[bytes, bytes]):
    """Any bytes."""

    takes, accepts, via = "bytes", "bytes", "bytes"

    def _encode(self, value: Any) -> bytes:
        if not isinstance(value, _BYTES):
            raise self._wrong(value, TypeError)
        return bytes(value)

    def _decode(self, raw: Any) -> bytes:
        return bytes(raw)


class RoutingId(Bytes):
    """A peer's name."""

    accepts, low, high = "{} to {} bytes of which the first is not zero", 1, 255

    def _encode(self, value: Any) -> bytes:
        raw = super()._encode(value)
        if not self.low <= len(raw) <= self.high or raw[0] == 0:
            raise self._wrong(value, argument_error)
        return raw


class Text(Option["str | None", "str | None"]):
    """A text, or None."""

    takes, optional, via = "str", True, "bytes"
    accepts, low, high = "a str of {} to {} bytes in UTF-8, none of them zero,", 1, 255

    def _encode(self, value: Any) -> bytes:
        if value is None:
            return b""
        if not isinstance(value, str):
            raise self._wrong(value, TypeError)
        raw = value.encode(errors="surrogateescape")
        if not self.low <= len(raw) <= self.high or b"\0" in raw:
            raise self._wrong(value, argument_error)
        return raw

    def _decode(self, raw: Any) -> str | None:
        return raw.partition(b"\0")[0].decode(errors="surrogateescape") or None


class Credential(Text):
    """A PLAIN client's. None when another option has undone it, though libzmq still tells it."""

    def _read(self, zsock: Any) -> str | None:
        return super()._read(zsock) if zsock.mechanism == "PLAIN" else None


class Key(Option["str | None", "str | bytes"]):
    """A CURVE key: taken as Z85 or raw, read as Z85."""

    takes, accepts = "str | bytes", "a key as 40 characters of Z85 (str or bytes) or as 32 bytes"
    via, high = "bytes", 40

    def _encode(self, value: Any) -> bytes:
        if not isinstance(value, (str, *_BYTES)):
            raise self._wrong(value, TypeError)
        if not isinstance(value, str) and len(bytes(value)) == 32:
            return bytes(value)
        try:
            return decode(value if isinstance(value, str) else bytes(value).decode())
        except (ValueError, OverflowError):
            raise self._wrong(value, argument_error) from None

    def _decode(self, raw: Any) -> str | None:
        text: str = raw[:40].decode()
        return None if text == "0" * 40 else text  # 32 zero bytes: it was never set


class Report(Option[Got, Never]):
    """An option that can only be read, by a function of its own."""

    read_only = True

    def __init__(
        self, name: str, number: int, takes: str, ask: Callable[[Any], Got], doc: str, **rest: Any
    ) -> None:
        self.ask = ask
        no_default: Any = None
        super().__init__(name, number, no_default, doc, takes=takes, **rest)

    def __set__(self, zsock: Any, value: Never) -> None:
        raise AttributeError(f"{self.name} can only be read")

    def _read(self, zsock: Any) -> Got:
        self._require()
        try:
            return self.ask(zsock)
        except ArgumentError as error:
            raise self._refused(zsock, "to tell it") from error


class Prefixes(Option[Any, "bytes | Iterable[bytes]"]):
    """Subscriptions: they have methods and no property, but are options by name and keyword."""

    takes, accepts = "bytes | Iterable[bytes]", "a prefix as bytes (of a str, .encode()) or several"

    def _encode(self, value: Any) -> list[bytes]:
        several = isinstance(value, Iterable) and not isinstance(value, (str, *_BYTES))
        prefixes = list(value) if several else [value]
        for prefix in prefixes:
            if not isinstance(prefix, _BYTES):
                raise self._wrong(prefix, TypeError)
        return [bytes(prefix) for prefix in prefixes]

    def __set__(self, zsock: Any, value: bytes | Iterable[bytes]) -> None:
        self._store(zsock, self._encode(value))  # ratchet itself explains what it refuses

    def _store(self, zsock: Any, raw: list[bytes]) -> None:
        for prefix in raw:
            getattr(zsock, self.name.lower())(prefix)

    def _read(self, zsock: Any) -> Never:
        raise argument_error(f"{self.name} of a {zsock.type} socket can only be set")
