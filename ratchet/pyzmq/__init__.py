"""pyzmq on ratchet's core: its programs run unchanged, faster, and lose nothing.

::

    python -m ratchet.pyzmq program.py …                     this process, and children
    PYZMQ_BACKEND=ratchet.pyzmq.backend python program.py    the same, by the environment
    import ratchet.pyzmq as zmq                              in a program's own text

pyzmq chooses by the environment variable which module stands between it and libzmq; ours is
`ratchet.pyzmq.backend`. This module imports pyzmq with it, and offers all that ``zmq`` does, except
to pyzmq itself, which imports this package on its way to the backend. What differs from pyzmq is on
the page "Running pyzmq's programs" of the manual.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["BACKEND", "in_use", "load"]

BACKEND = "ratchet.pyzmq.backend"
_OURS = frozenset({"backend", "_copying", "_devices", "__main__"})


def in_use() -> bool:
    """Return True if pyzmq runs on ratchet in this process."""
    chosen = getattr(sys.modules.get("zmq.backend"), "Socket", None)
    return chosen is not None and chosen.__module__ == BACKEND


def load() -> ModuleType:
    """Import pyzmq so that it runs on ratchet, here and in children, and return ``zmq``.

    Raises:
        ImportError: it runs on another backend already, is not installed, or is of a release that
            is not supported.
    """
    if "zmq" in sys.modules and not in_use():
        raise ImportError(
            "pyzmq was imported before ratchet.pyzmq, and runs on a backend of its own: import "
            "ratchet.pyzmq first, or start the program with python -m ratchet.pyzmq"
        )
    os.environ["PYZMQ_BACKEND"] = BACKEND
    try:
        import zmq
    except ModuleNotFoundError as error:
        if error.name != "zmq":
            raise
        raise ImportError(
            "ratchet.pyzmq needs pyzmq: pip install 'ratchet-zmq[pyzmq]'", name="zmq"
        ) from None
    return zmq


class _Alias(MetaPathFinder, Loader):
    """Finds ``ratchet.pyzmq.NAME`` where ``zmq.NAME`` is: they are one module."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(f"{__name__}.")
        if package or not name or name in _OURS:
            return None
        load()
        found = importlib.util.find_spec(f"zmq.{name}")
        return None if found is None else ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module("zmq" + spec.name.removeprefix(__name__))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do but to have the module know its own name."""
        alias = module.__spec__
        if alias is not None and alias.loader is self:
            module.__spec__ = alias.loader_state


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(load(), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(load())})


def _asked_by_pyzmq() -> bool:
    """Return True while pyzmq is being imported, and looks for its backend here."""
    zmq = sys.modules.get("zmq")
    return zmq is not None and not hasattr(zmq, "Context")


sys.meta_path.insert(0, _Alias())
if not _asked_by_pyzmq():
    load()
