"""What classes need of `typing` when they are made, without typing, a third of the import.

Type checkers read typing's own. `tests/project/test_import.py` keeps typing out.
"""

from __future__ import annotations

__all__ = ["TYPE_CHECKING", "Any", "Generic", "Never", "Self", "TypeVar", "overload"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, Never, Self, TypeVar, overload
else:
    Any = Never = Self = object

    class Generic:
        """A class that is the same for all types."""

        def __class_getitem__(cls, types):
            return cls

    def TypeVar(name):  # noqa: ARG001, N802 - as typing's
        """Stand for any type."""
        return object

    def overload(function):
        """Return a definition that the next one replaces."""
        return function
