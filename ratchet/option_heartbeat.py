"""The option that sets libzmq's three options of heartbeats."""

from __future__ import annotations

from .option_kinds import Time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Heartbeat"]


class Heartbeat(Time["float | None", float]):
    """Ratchet's own: three of libzmq's options together, which are set and read as one."""

    accepts = "{unit} as a float from {} to {} (heartbeat_ttl, twice that, is at most 6553.5 s)"
    high = 6553500 // 2
    own = True

    # The timeout, which cannot be unset, is left alone when heartbeats are turned off: it means
    # nothing without them.
    parts = ("HEARTBEAT_IVL", "HEARTBEAT_TIMEOUT", "HEARTBEAT_TTL")
    numbers = (75, 77, 76)

    def _store(self, zsock: Any, raw: int) -> None:
        for number, value in zip(self.numbers, (raw, raw, self._ttl(raw)), strict=True):
            if raw or number != 77:
                zsock._set_int(number, value)

    def _fetch(self, zsock: Any) -> int | None:
        interval, timeout, ttl = (zsock._get_int(number) for number in self.numbers)
        as_set = interval == 0 or (timeout in (interval, -1) and ttl == self._ttl(interval))
        return interval if as_set else None

    def _decode(self, raw: int | None) -> float | None:
        return None if raw is None else raw / self.scale

    @staticmethod
    def _ttl(raw: int) -> int:
        return -(-2 * raw // 100) * 100  # libzmq sends it in tenths of a second
