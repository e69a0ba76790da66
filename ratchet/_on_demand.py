"""Names of a module that are imported when they are first asked for, and stay there (PEP 562)."""

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["on_demand"]

_homes: set[str] = set()  # the modules in which such names are


def _before_fork() -> None:
    """Import the rest: in a child, what another thread is importing would never be ready."""
    if _thread._count() > 0:
        for home in sorted(_homes):
            __import__(home)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


def on_demand(
    names: dict[str, Any], where: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a module.

    They are assigned, not defined: type checkers take a module that defines ``__getattr__`` for one
    that has every name.

    Args:
        names: what `globals` returns in the module.
        where: for each such name, the module of this package that has it, or that it is.
    """
    _homes.update(f"{__package__}.{home}" for home in where.values())

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(
                f"module {names['__name__']!r} has no attribute {name!r}",
                name=name,
                obj=sys.modules[names["__name__"]],
            )
        home = __import__(f"{__package__}.{where[name]}", fromlist=[name])
        found = names[name] = home if where[name] == name else getattr(home, name)
        return found

    def listed() -> list[str]:
        return sorted({*names, *where})

    return find, listed
