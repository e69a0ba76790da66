"""ratchet: ZeroMQ sockets that pause the thread that calls them.

::

    from ratchet import zmqsocket

    zsock = zmqsocket.new("PULL")
    zsock.bind("tcp://*:1337")
    data, more = zsock.recv()          # sleeps until a message is there

- `ratchet.zmqsocket`: sockets.
- `ratchet.new`, `ratchet.run` and `ratchet.thread`: cooperative threads for very many sockets.
- `ratchet.proxy` and `ratchet.Proxy`: what comes at one socket goes to another.
- `ratchet.options`: every option of a socket, its unit and default.
- `ratchet.errors`: every exception; those that a program catches are here as well.
"""

try:
    from . import errors, options, zmqsocket
except ImportError as _error:
    # There is the folder of the extension's sources, but no extension: this is a checkout that is
    # not built, and Python has found it before the package that was installed.
    if _error.name == f"{__name__}._zmq" and _error.path is None:
        raise ImportError(
            f"ratchet is not built in {__path__[0]}: run the program in another folder than the"
            " checkout, or build it there by `pip install -e .`",
            name=_error.name,
        ) from None
    raise
from ._on_demand import on_demand
from ._zmq import configure, curve_keypair, curve_public, has, libzmq_version
from .errors import (
    Alarm,
    ArgumentError,
    ClosedError,
    DeadlockError,
    Error,
    ForkedError,
    Killed,
    StateError,
    Timeout,
    UriError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import thread
    from ._ratchet import Ratchet, new, run
    from .proxying import Proxy, ProxyStats, proxy

__version__ = "0.1.0"

__all__ = [
    "Alarm",
    "ArgumentError",
    "ClosedError",
    "DeadlockError",
    "Error",
    "ForkedError",
    "Killed",
    "Proxy",
    "ProxyStats",
    "Ratchet",
    "StateError",
    "Timeout",
    "UriError",
    "__version__",
    "configure",
    "curve_keypair",
    "curve_public",
    "errors",
    "has",
    "libzmq_version",
    "new",
    "options",
    "proxy",
    "run",
    "thread",
    "zmqsocket",
]

# Imported by those who need them: ratchet threads, and proxies.
__getattr__, __dir__ = on_demand(
    globals(),
    {
        "Proxy": "proxying",
        "ProxyStats": "proxying",
        "Ratchet": "_ratchet",
        "new": "_ratchet",
        "proxy": "proxying",
        "run": "_ratchet",
        "thread": "thread",
    },
)
