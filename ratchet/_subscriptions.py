"""Who has subscribed to what at a publisher: for `peers.py`.

Subscriptions come with the descriptor of their connection. One that is repeated comes again and
ends once, so it counts once. What a connection that closes had subscribed to ends without a
descriptor, one message for each prefix; `DISCONNECTED` tells earlier who has gone. Over inproc
nothing has a descriptor: the subscriptions are those that the other sockets know of themselves.
"""

from __future__ import annotations

__all__ = ["Subscriptions"]


class _Prefix:
    """Who has subscribed to one prefix."""

    __slots__ = ("fresh", "gone", "late", "local", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[int, int] = {}  # descriptor -> how often it was told since it began
        # Descriptors of connections that have ended, whose end here is still to come from libzmq,
        # and of such that were told of only afterwards.
        self.gone: list[int] = []
        self.late: set[int] = set()
        self.local = 0  # without a descriptor: over inproc
        # Told when the number had just been given to another connection: it may be of the one
        # before, of which `Subscriptions._reads` tells when it ended.
        self.fresh: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.wanted) + len(self.gone) + self.local

    def leave(self, fd: int) -> None:
        """Account for the end of one that had gone."""
        self.gone.remove(fd)
        self.late.discard(fd)

    def end_one(self) -> int:
        """Account for the end of a connection that is not named; return its descriptor, or -1."""
        if self.gone:
            self.leave(self.gone[0])
        elif self.fresh:  # what its number seemed to have told was told by the one before
            fd = max(self.fresh, key=lambda fd: (self.fresh[fd], self.wanted[fd]))
            if self.wanted[fd] > 1:
                self.wanted[fd] -= 1
            else:
                del self.wanted[fd]
                return fd
        elif self.local:
            self.local -= 1
        return -1


class Subscriptions:
    """The subscriptions of all connections."""

    def __init__(self) -> None:
        self._prefixes: dict[bytes, _Prefix] = {}
        self._of: dict[int, set[bytes]] = {}  # the prefixes of each connection that is open
        self._reads = 0  # how often all that subscribers had sent was read
        self._ended: dict[int, int] = {}  # descriptors that have ended, and what `_reads` was then

    def read(self) -> None:
        """Note that all was read: what comes next was sent later, but for the last moment's."""
        self._reads += 1

    def begin(self, fd: int) -> None:
        """Note a new connection."""
        self._of.setdefault(fd, set())

    def end(self, fd: int) -> None:
        """Note that a connection has ended."""
        for prefix in self._of.pop(fd, ()):
            known = self._prefixes[prefix]
            del known.wanted[fd]
            known.fresh.pop(fd, None)
            known.gone.append(fd)
        self._ended[fd] = self._reads

    def told(self, fd: int, wants: bool, prefix: bytes) -> tuple[bool, bool]:
        """Take in one message of a subscriber.

        Returns:
            Is it the first of its prefix, or the last? This is what an XPUB tells by itself.
        """
        known = self._prefixes.get(prefix)
        if known is None:
            known = self._prefixes[prefix] = _Prefix()
        first = not len(known)
        if wants:
            self._add(known, fd, prefix)
            return first, False
        if fd < 0:
            fd = known.end_one()
        elif known.wanted.pop(fd, None) is None:
            if fd in known.gone:
                known.leave(fd)
            elif len(known):
                return False, True  # libzmq tells of one that was none
        known.fresh.pop(fd, None)
        self._of.get(fd, set()).discard(prefix)
        if len(known):
            return False, False
        del self._prefixes[prefix]
        return False, True

    def _add(self, known: _Prefix, fd: int, prefix: bytes) -> None:
        if fd < 0:
            known.local += 1
            return
        if fd not in self._of and fd in self._ended:
            if fd not in known.late:
                known.late.add(fd)
                known.gone.append(fd)
            return
        if fd not in known.wanted and self._reads - self._ended.get(fd, -9) <= 1:
            known.fresh[fd] = self._ended[fd]
        known.wanted[fd] = known.wanted.get(fd, 0) + 1
        self._of.setdefault(fd, set()).add(prefix)

    def matching(self, prefix: bytes | None) -> tuple[set[int], int]:
        """Return the connections that want messages which begin with ``prefix``, and how many do
        over inproc at least.
        """
        found: set[int] = set()
        local = 0
        if prefix is None:
            chosen = list(self._prefixes.values())
        else:
            parts = [prefix[:end] for end in range(len(prefix) + 1)]
            chosen = [self._prefixes[part] for part in parts if part in self._prefixes]
        for known in chosen:
            found.update(known.wanted)
            local = max(local, known.local)
        return found, local
