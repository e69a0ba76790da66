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

    __slots__ = ("cleared", "fresh", "gone", "known", "local", "owed", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[int, int] = {}  # descriptor -> how often it was told since it began
        # Descriptors of connections that have ended, whose end here is still to come from libzmq;
        # and of how many that had such a number it has been told.
        self.gone: list[int] = []
        self.known: dict[int, int] = {}
        self.local = 0  # without a descriptor: over inproc
        # Told when the number had just been given to another connection: it may be of the one
        # before, of which `Subscriptions._reads` tells when it ended. So many were, as ends tell
        # that nothing else accounts for; which, is known when the next one is told of too.
        self.fresh: dict[int, int] = {}
        self.owed = 0
        self.cleared: dict[int, int] = {}  # of which all that the one before told is accounted for

    def __len__(self) -> int:
        return len(self.wanted) - self.owed + len(self.gone) + self.local

    def there(self) -> set[int]:
        """Return the descriptors of those that are there, as far as is known."""
        if not self.owed:
            return set(self.wanted)
        likely = sorted(self.fresh, key=lambda fd: -self.fresh[fd])
        return set(self.wanted).difference(likely[: self.owed])

    def add(self, fd: int) -> None:
        """Note that one was told."""
        self.wanted[fd] = self.wanted.get(fd, 0) + 1
        if self.owed and fd in self.fresh and self.wanted[fd] > 1:
            self.owed -= 1
            self.settle(fd)

    def settle(self, fd: int) -> None:
        """Note that one of the two that were told of a number was the connection's before."""
        self.wanted[fd] -= 1
        self.cleared[fd] = self.fresh.pop(fd)

    def go(self, fd: int) -> None:
        """Note that one has ended."""
        self.gone.append(fd)
        self.known[fd] = self.known.get(fd, 0) + 1

    def leave(self, fd: int) -> None:
        """Account for the end of one that had gone."""
        self.gone.remove(fd)

    def take_out(self, fd: int) -> bool:
        """Leave one out that is there; return False if it was not, but only the one before."""
        del self.wanted[fd]
        self.fresh.pop(fd, None)
        if self.owed > len(self.fresh):
            self.owed -= 1
            return False
        return True

    def end_one(self) -> list[int]:
        """Account for the end of a connection that is not named; return who is not there then."""
        if self.gone:
            self.leave(self.gone[0])
            return []
        twice = [fd for fd in self.fresh if self.wanted[fd] > 1]
        latest = [fd for fd in self.fresh if self.fresh[fd] == max(self.fresh.values())]
        if twice:
            self.settle(max(twice, key=self.fresh.__getitem__))
        elif len(latest) == 1 and not self.owed:
            return self.drop(latest)
        elif self.owed < len(self.fresh):
            self.owed += 1
            if self.owed == len(self.fresh):  # so all are
                self.owed = 0
                return self.drop(list(self.fresh))
        elif self.local:
            self.local -= 1
        return []

    def drop(self, told: list[int]) -> list[int]:
        """Leave out what was told by connections before; return their descriptors."""
        for fd in told:
            del self.wanted[fd]
            self.cleared[fd] = self.fresh.pop(fd)
        return told


class Subscriptions:
    """The subscriptions of all connections."""

    def __init__(self) -> None:
        self._prefixes: dict[bytes, _Prefix] = {}
        self._of: dict[int, set[bytes]] = {}  # the prefixes of each connection that is open
        self._ends: dict[int, int] = {}  # descriptors that have ended, and how often
        self._reads = 0  # how often all that subscribers had sent was read
        self._ended: dict[int, int] = {}  # descriptors that have ended, and what `_reads` was then

    def read(self) -> None:
        """Note that all was read: what comes next was sent later, but for the last moment's."""
        self._reads += 1

    def begin(self, fd: int) -> None:
        """Note a new connection."""
        if fd in self._of:
            self.end(fd)  # of which nothing was told
        self._of[fd] = set()

    def end(self, fd: int) -> None:
        """Note that a connection has ended."""
        for prefix in self._of.pop(fd, ()):
            known = self._prefixes[prefix]
            if fd in known.fresh and known.wanted[fd] > 1:
                known.go(fd)  # the one before: its end is still to come as well
            if known.take_out(fd):
                known.go(fd)
            self._forget(prefix, known)
        self._ended[fd] = self._reads
        self._ends[fd] = self._ends.get(fd, 0) + 1

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
            for dropped in known.end_one():
                self._of[dropped].discard(prefix)
        elif fd in known.wanted:
            known.take_out(fd)
            self._of[fd].discard(prefix)
        elif fd in known.gone:
            known.leave(fd)
        elif len(known):
            return False, True  # libzmq tells of one that was none
        return False, self._forget(prefix, known)

    def _forget(self, prefix: bytes, known: _Prefix) -> bool:
        """Drop a prefix that nobody wants any more; return False if somebody does."""
        if len(known) or known.wanted:
            return not len(known)
        self._prefixes.pop(prefix, None)
        return True

    def _add(self, known: _Prefix, fd: int, prefix: bytes) -> None:
        if fd < 0:
            known.local += 1
            return
        if fd not in self._of and fd in self._ended:
            if known.known.get(fd, 0) < self._ends[fd]:
                known.go(fd)
            return
        ended = self._ended.get(fd, -9)
        if fd not in known.wanted and self._reads - ended <= 1 and known.cleared.get(fd) != ended:
            known.fresh[fd] = ended
        known.add(fd)
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
            found |= known.there()
            local = max(local, known.local)
        return found, local
