"""The ``with`` and ``async with`` of what has a `close`: `Closing` and `AwaitedClosing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["AwaitedClosing", "Closing"]


class Closing:
    """A context manager that closes itself at the end. A subclass has `close`."""

    __slots__ = ()

    def close(self) -> None:
        """Give everything back."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AwaitedClosing(Closing):
    """What closes itself at the end of an ``async with`` as well."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.close()
