"""The seam between pyzmq and ratchet: what pyzmq asks of a backend, and no more.

``PYZMQ_BACKEND=ratchet.pyzmq.backend`` has pyzmq import it, in the middle of its own import. The
classes through which messages pass are in C (`ratchet._pyzmq`).
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

OLDEST, TOO_NEW = (25, 1), (28,)  # releases of pyzmq


def _checked_release() -> tuple[int, ...]:
    """Return the release of pyzmq; raise unless it is one that is tested."""
    release = importlib.metadata.version("pyzmq")
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if not OLDEST <= numbers < TOO_NEW:
        oldest, last = ".".join(map(str, OLDEST)), TOO_NEW[0] - 1
        raise ImportError(
            f"ratchet.pyzmq supports pyzmq {oldest} to {last}, and this is pyzmq {release}: "
            "install another, or run the program without ratchet.pyzmq"
        )
    return numbers


_RELEASE = _checked_release()

from .. import _pyzmq  # noqa: E402 (it needs a release that is supported)
from .._pyzmq import zmq_errno, zmq_poll  # noqa: E402
from .._zmq import curve_keypair as _curve_keypair  # noqa: E402
from .._zmq import curve_public as _curve_public  # noqa: E402
from .._zmq import error_text as strerror  # noqa: E402
from .._zmq import has as _has  # noqa: E402
from .._zmq import libzmq_version as zmq_version_info  # noqa: E402
from ._devices import device, monitored_queue, proxy, proxy_steerable  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "IPC_PATH_MAX_LEN",
    "PYZMQ_DRAFT_API",
    "Context",
    "Frame",
    "Message",
    "Socket",
    "curve_keypair",
    "curve_public",
    "device",
    "has",
    "monitored_queue",
    "proxy",
    "proxy_steerable",
    "strerror",
    "zmq_errno",
    "zmq_poll",
    "zmq_version_info",
]


def _leave_out(cls: type, *names: str) -> None:
    """Take methods out of a class of pyzmq's, so that those which it inherits are found."""
    for name in names:
        if name in cls.__dict__:
            delattr(cls, name)


def _module(name: str, **functions: Any) -> ModuleType:
    """Return a module to be imported in place of one of pyzmq's."""
    made = ModuleType(name)
    made.__dict__.update(functions, __all__=list(functions))
    return made


class _OldFrame(_pyzmq.Frame):
    """A frame of pyzmq 25, whose text is that of its data."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.bytes.decode()


Frame = _pyzmq.Frame if _RELEASE >= (26,) else _OldFrame
if _RELEASE < (26,):  # one of its devices is compiled for pyzmq's own sockets
    sys.modules["zmq.devices.monitoredqueue"] = _module(
        "zmq.devices.monitoredqueue", monitored_queue=monitored_queue
    )

Message = Frame
PYZMQ_DRAFT_API = False  # ratchet offers no draft socket types
# What the path of a sockaddr_un has room for, without the NUL at its end.
IPC_PATH_MAX_LEN = 103 if sys.platform == "darwin" else 0 if sys.platform == "win32" else 107


def _levels_to_the_program() -> int:
    """Return how far up the stack the first caller is that is neither pyzmq's nor ours."""
    levels, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("zmq.", "ratchet.")):
        levels, frame = levels + 1, frame.f_back
    return levels


def _set_in_green(self: Any, option: int, value: Any) -> None:
    """Set an option of a socket of zmq.green's."""
    if option in (27, 28):  # RCVTIMEO, SNDTIMEO
        warnings.warn(
            "RCVTIMEO and SNDTIMEO have an effect in zmq.green on ratchet, and none with pyzmq's "
            "own backend",
            UserWarning,
            stacklevel=_levels_to_the_program(),
        )
    _pyzmq.Socket.set(self, option, value)


_IN_C = (
    *("send", "send_multipart", "recv_multipart"),
    *("send_string", "recv_string", "send_json", "recv_json"),
)
# What makes a socket of zmq.green's wait in gevent's hub, once in each.
_GREEN = (
    *("__init__", "close", "get", "set"),
    *("send", "send_multipart", "recv", "recv_multipart", "recv_into"),
    *("_wait_read", "_wait_write", "_Socket__setup_events", "_Socket__cleanup_events"),
    *("_Socket__state_changed", "_gevent_bug_timeout", "_debug_gevent"),
)

_find_option: Any = None  # what pyzmq finds an option of a context with, once sockets need it not


class Context(_pyzmq.Context):
    """A context; pyzmq's own class inherits from it."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave pyzmq's own class its options as attributes."""
        super().__init_subclass__(**kwargs)
        if cls.__module__ == "zmq.sugar.context" and not hasattr(cls, "__getattr__"):
            cls.__getattr__ = _find_option  # type: ignore[attr-defined]


def _set_attribute(self: Any, name: str, value: Any) -> None:
    _pyzmq.set_attribute(self, name, value)


class Socket(_pyzmq.Socket):
    """A socket; pyzmq's own class inherits from it."""

    __slots__ = ()
    __setattr__ = _set_attribute

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Have pyzmq's own classes leave the calls of messages, waits and options to C."""
        super().__init_subclass__(**kwargs)
        if cls.__module__ == "zmq.sugar.socket":
            _leave_out(cls, *_IN_C)
            _pyzmq.plain_loads.append(cls._deserialize)
            _have_attributes_found_in_c(cls)
            cls.__init__ = _begun_without_a_dict(cls)  # type: ignore[method-assign]
        elif cls.__module__ == "zmq._future" and cls.__name__ == "_AsyncSocket":
            _pyzmq.give_calls(cls)
        elif cls.__module__ == "zmq.green.core" and cls.__name__ == "_Socket":
            # Every call of ratchet's lets gevent's hub run. What is left out watches ZMQ_FD there.
            _leave_out(cls, *_GREEN)
            cls.set = _set_in_green  # type: ignore[assignment,method-assign]
            _leave_out(cls.__dict__["_poller_class"], "poll", "_get_descriptors")
            sys.modules["zmq.green.device"] = _module("zmq.green.device", device=device)


def _have_attributes_found_in_c(cls: type) -> None:
    """Give sockets their options as descriptors, in place of ``__getattr__`` (attributes.pxi)."""
    global _find_option
    from zmq import constants

    _pyzmq.give_options(cls, vars(constants))
    _leave_out(cls, "__setattr__", "_type_name")
    for base in cls.__mro__:
        if base.__module__ == "zmq.sugar.attrsettr" and "__getattr__" in base.__dict__:
            _find_option = base.__dict__["__getattr__"]
            del base.__getattr__  # type: ignore[attr-defined]
            _pyzmq.set_unusual.append(base.__dict__["__setattr__"])


def _begun_without_a_dict(cls: type) -> Callable[..., None]:
    """Return an ``__init__`` that does what pyzmq's does, but uses no dict (attributes.pxi)."""
    from zmq.constants import SocketType

    usual = cls.__dict__["__init__"]

    @functools.wraps(usual)
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) == 2 and not isinstance(args[0], _pyzmq.Socket) and "shadow" not in kwargs:
            super(cls, self).__init__(*args, **kwargs)  # type: ignore[arg-type]
            self.type, self._type_name = SocketType(args[1]), SocketType(args[1]).name
        else:
            usual(self, *args, **kwargs)
            self.type = self.__dict__.pop("type", None)

    return begin


def has(capability: str) -> bool:
    """Return True if libzmq was built with it; never with "draft", of which nothing is offered."""
    return capability != "draft" and _has(capability)


def curve_keypair() -> tuple[bytes, bytes]:
    """Make a CURVE key pair, public and secret, in Z85."""
    public, secret = _curve_keypair()
    return public.encode(), secret.encode()


def curve_public(secret_key: str | bytes) -> bytes:
    """Return the public key that belongs to a secret one, both in Z85."""
    if isinstance(secret_key, bytes):
        secret_key = secret_key.decode("ascii", "replace")
    if len(secret_key) != 40:
        raise ValueError("secret key must be a 40 byte z85 encoded string")
    try:
        return _curve_public(secret_key).encode()
    except ValueError as error:
        from zmq.error import ZMQError

        raise ZMQError(getattr(error, "errno", None)) from error
