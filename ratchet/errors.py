"""Every exception that ratchet raises, and the table that turns an errno into one of them.

::

    OSError
     └─ Error                       errno, code (the symbol, "EADDRINUSE"), strerror
         ├─ Timeout                 also TimeoutError; taken: messages handed over before it
         ├─ ArgumentError           also ValueError: an argument that cannot mean anything
         │   └─ UriError            not a ratchet URI
         ├─ StateError              also RuntimeError: right call, wrong moment (a REQ out of turn)
         ├─ ClosedError             the socket was closed, before the call or during it
         ├─ ForkedError             also RuntimeError: the socket belongs to the parent process
         ├─ DeadlockError           also RuntimeError: no ratchet thread can ever run again
         └─ Alarm                   a ratchet thread outlived its alarm
    BaseException
     └─ Killed                      raised inside a ratchet thread that is being killed

No class here defines ``__init__``, so that C code alone makes an exception: making it is most of
the price of a call that times out.
"""

from __future__ import annotations

import errno

__all__ = [
    "Alarm",
    "ArgumentError",
    "ClosedError",
    "DeadlockError",
    "Error",
    "ForkedError",
    "Killed",
    "StateError",
    "Timeout",
    "UriError",
    "argument_error",
    "from_errno",
]

# libzmq's own numbers start here (zmq.h), out of every system's way.
_HAUSNUMERO = 156384712
EFSM = _HAUSNUMERO + 51
ENOCOMPATPROTO = _HAUSNUMERO + 52
ETERM = _HAUSNUMERO + 53
EMTHREAD = _HAUSNUMERO + 54

_SYMBOLS: dict[int, str] = {
    # Windows has two names for what Winsock reports: EADDRINUSE is WSAEADDRINUSE.
    **{number: name.removeprefix("WSA") for number, name in errno.errorcode.items()},
    EFSM: "EFSM",
    ENOCOMPATPROTO: "ENOCOMPATPROTO",
    ETERM: "ETERM",
    EMTHREAD: "EMTHREAD",
    # Some systems give one number two names; these are the ones the man pages use.
    errno.EAGAIN: "EAGAIN",
    errno.EDEADLK: "EDEADLK",
    errno.ENOTSUP: "ENOTSUP",
}


class Error(OSError):
    """Any failure of a socket: ``Error(errno, message)``.

    ``errno`` is the number that libzmq or the system gave, ``code`` is its symbol, such as
    ``"EADDRINUSE"`` (zmq_errno(3)), and ``strerror`` is the whole message.
    """

    # The number of messages that a ``send_many`` had handed over when this was raised.
    taken: int = 0

    @property
    def code(self) -> str:
        """The symbol of ``errno``, such as ``"EADDRINUSE"``; ``"ERROR"`` when there is none."""
        return "ERROR" if self.errno is None else _SYMBOLS.get(self.errno, str(self.errno))

    def __str__(self) -> str:
        if self.strerror is None:
            return super().__str__()
        return f"{self.strerror} [{self.code}]"


class Timeout(Error, TimeoutError):
    """The time was up first. Nothing was sent or lost, but see ``taken`` for a ``send_many``."""


class ArgumentError(Error, ValueError):
    """An argument that no call could make sense of: a wrong name, form or range."""


class UriError(ArgumentError):
    """A text that is no ratchet URI; the form is ``zmq:TYPE:ENDPOINT``."""


class StateError(Error, RuntimeError):
    """A call at the wrong moment, such as a send of a REQ that has to receive first."""


class ClosedError(Error):
    """The socket is closed, or was closed by another thread while the call was paused."""


class ForkedError(Error, RuntimeError):
    """The socket was made before a fork and belongs to the parent process."""


class DeadlockError(Error, RuntimeError):
    """Every ratchet thread is paused, and nothing is left that could wake one."""

    @property
    def code(self) -> str:
        """``"DEADLOCK"``."""
        return "DEADLOCK"


class Alarm(Error):
    """Raised in a ratchet thread that is still running when its alarm goes off."""

    @property
    def code(self) -> str:
        """``"ALARM"``."""
        return "ALARM"


class Killed(BaseException):
    """Ends a ratchet thread from within, so that its ``finally`` blocks run.

    A BaseException, like GeneratorExit: ``except Exception`` must not stop it.
    """


def argument_error(message: str) -> ArgumentError:
    """Make an `ArgumentError` (code EINVAL) that says ``message``."""
    return ArgumentError(errno.EINVAL, message)


# errno -> advice. An errno that is in neither table is a plain Error.
_REMEDIES: dict[int, str] = {
    errno.EINVAL: "check the endpoint's form, or the option's value and type",
    errno.EPROTONOSUPPORT: "use tcp://, ipc:// or inproc://; ratchet.has() tells what else",
    ENOCOMPATPROTO: "this socket type cannot use that transport",
    errno.ENAMETOOLONG: "the path of an ipc:// endpoint has at most 107 bytes, on macOS 103",
    errno.EADDRINUSE: (
        "another socket listens there: close it first, or bind to port * and read last_endpoint"
    ),
    errno.EADDRNOTAVAIL: "no network interface of this machine has that address; * means all",
    errno.ENODEV: "no network interface has that name or address; tcp://*:PORT means all",
    errno.EACCES: "ports below 1024 and other users' paths need more rights",
    errno.ENOENT: "this socket does not use that endpoint, or its folder does not exist",
    errno.EHOSTUNREACH: (
        "no peer with that identity is connected; "
        "a ROUTER with router_mandatory=False drops such messages"
    ),
    errno.EMFILE: (
        "close sockets, or raise the limit of descriptors (ulimit -n) or of sockets "
        "(ratchet.configure(max_sockets=...))"
    ),
    errno.ENFILE: "the whole system is out of descriptors",
    EFSM: (
        "REQ must send, then receive, then send again, and REP the other way round; "
        "req_relaxed=True with req_correlate=True lets a REQ send again without the reply"
    ),
    ETERM: "its context has been ended, or the interpreter is exiting",
    errno.ENOTSOCK: "the socket was closed meanwhile",
    EMTHREAD: "no I/O thread is left; see ratchet.configure()",
}

_CLASSES: dict[int, type[Error]] = {
    errno.EAGAIN: Timeout,
    errno.ETIMEDOUT: Timeout,
    errno.EINVAL: ArgumentError,
    errno.EPROTONOSUPPORT: ArgumentError,
    errno.ENAMETOOLONG: ArgumentError,
    ENOCOMPATPROTO: ArgumentError,
    EFSM: StateError,
    ETERM: ClosedError,
    errno.ENOTSOCK: ClosedError,
}


def refusal(number: int, message: str) -> Error:
    """Make the exception for ``number`` with ``message``, which contains its own remedy."""
    return _CLASSES.get(number, Error)(number, message)


def from_errno(number: int, what: str, reason: str) -> Error:
    """Make the exception for ``number``, with a remedy if there is one.

    Args:
        number: an errno.
        what: what was tried.
        reason: the system's text for ``number``.
    """
    remedy = _REMEDIES.get(number)
    if number == errno.EAGAIN:
        number = errno.ETIMEDOUT
    text = f"{what}: {reason}; {remedy}" if remedy else f"{what}: {reason}"
    return _CLASSES.get(number, Error)(number, text)
