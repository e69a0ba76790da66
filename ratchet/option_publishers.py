"""Options of publishers that mean something else to one that knows its subscribers."""

from __future__ import annotations

from .errors import argument_error
from .option_kinds import Bool
from .socket_types import TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Conflate", "Manual", "Told"]


class Conflate(Bool[bool]):
    """Keep only the last message: libzmq knows this for PUB, and not for the XPUB that it is."""

    def __set__(self, zsock: Any, value: bool) -> None:
        becomes_xpub = TYPES[zsock.type].tracks >= 0 and getattr(zsock, "_peers", None) is not None
        if becomes_xpub and self._encode(value):
            raise argument_error(
                "CONFLATE: a PUB with track_peers is an XPUB to libzmq, which keeps all messages; "
                "give one of the two"
            )
        super().__set__(zsock, value)


class Told(Bool[bool]):
    """Which subscriptions are received: all come from libzmq if ratchet counts them."""

    def _store(self, zsock: Any, raw: int) -> None:
        if getattr(zsock, "_peers", None) is None:
            super()._store(zsock, raw)
        else:
            zsock._peers.tell_all(bool(raw), self.name == "XPUB_VERBOSER" and bool(raw))


class Manual(Bool[bool]):
    """Subscriptions by hand, which nobody could count."""

    def __set__(self, zsock: Any, value: bool) -> None:
        if getattr(zsock, "_peers", None) is not None and self._encode(value):
            raise argument_error(
                f"{self.name}: with track_peers ratchet counts what subscribers ask for, and with "
                f"{self.name.lower()} the program decides on it; give one of the two"
            )
        super().__set__(zsock, value)
