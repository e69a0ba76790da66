"""Who is connected to a socket, and what is subscribed at it: `peers`, `wait_peers` and the like.

Made with ``track_peers=True`` a socket has `Peers`, which reads the events of its connections as
they come (`_zmq/events.pxi`), asks the table of connections over inproc
(`_zmq/inproc_links.pxi`), and is given what subscribers send (`_zmq/subscriptions.pxi`). Callers
that wait look here whenever any of these has something new. Imported with the first such socket.
"""

from __future__ import annotations

import contextlib
import errno
import weakref
from typing import TYPE_CHECKING, Any

from . import errors
from ._connections import Attempts, Endpoint, Ledger, Peer, port_of, same_port
from ._zmq import (
    PeersBase,
    SubscriberWatch,
    address_of,
    check,
    inproc_links_of,
    to_deadline,
    track_changes,
    wait_at,
)
from .monitoring import ALL, NUMBERS
from .socket_types import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._zmq import AwaitableSocket, WatchedSocket

__all__ = ["Peer", "Peers"]

XPUB_VERBOSER = 78  # the option's number (zmq.h)
# How many endpoints that were given up last are remembered, of 100 bytes each. libzmq tells of a
# connection that it was making there within milliseconds.
GIVEN_UP = 1000
_OF_CONNECTIONS = ("ACCEPTED", "CONNECTED", "DISCONNECTED", "HANDSHAKE_")


class Peers(PeersBase):
    """What one socket knows of its peers.

    A signal handler may raise between any two steps here. What is not done then is done by the next
    call: an event stays the first until `_note` has taken it out, and what is done again until then
    does no harm.
    """

    _endpoints: dict[str, Endpoint]  # by what libzmq calls them

    def __init__(self, zsock: WatchedSocket) -> None:
        self._zsock = weakref.ref(zsock)
        self._attempts: dict[str, Attempts] = {}
        # Endpoints that were given up, the last one last: what libzmq still connects there ends
        # without a word.
        self._given_up: dict[str, None] = {}
        self._ledger: Ledger | None = None
        self._count = TYPES[zsock.type].publishes
        zsock._send_events_to(self, ALL)
        if self._count:
            zsock._set_int(XPUB_VERBOSER, 1)  # type: ignore[attr-defined]
        track_changes.add(self)

    # What happens. Who takes it in may be any thread, and each waits for the one that does: an
    # event before what came after it.

    def _act(self) -> None:
        """Act on what has happened since."""
        with self._lock:
            while (event := self._first()) is not None:
                self._told(event)
            while self._undone:
                entry = self._undone[0]
                self._drop(entry)
                self._done_with(entry)
        zsock = self._zsock()
        if self._has_ended() and self._count and zsock is not None and not zsock.closed:
            check(zsock)  # what it had sent is read before its number can be another's

    def _end(self) -> None:
        """Give up what is under way: the socket is closed."""
        with self._lock:
            for attempts in list(self._attempts.values()):
                attempts.forget_probe()
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None

    def _told(self, event: tuple[int, int, str]) -> None:
        """Take in an event: number, value, what libzmq calls its endpoint."""
        number, value, identifier = event
        name = NUMBERS.get(number, "")
        address = None
        raw = self._is_raw()
        at = self._at(identifier) if name.startswith(_OF_CONNECTIONS) else None
        if name in {"ACCEPTED", "CONNECTED"}:
            address = address_of(value)
            if self._ledger is not None and identifier in self._given_up:
                self._ledger.enter(value)
        if name not in {"ACCEPTED", "LISTENING", "MONITOR_STOPPED"}:
            attempts = self._attempts.get(identifier)
            if attempts is None and self._connects(identifier):
                attempts = self._attempts[identifier] = Attempts(raw)
            if attempts is not None:
                attempts.told(name, value, identifier)
        zsock = self._zsock()
        if zsock is not None:
            zsock._forget_error()
        self._note(event, name, at, address, raw)

    def _at(self, identifier: str) -> Endpoint:
        endpoint = self._endpoints.get(identifier)
        if endpoint is None:
            if self._ledger is not None and not self._has(identifier):
                self._remember(identifier)  # a name was given up that stands for it
            endpoint = self._endpoints[identifier] = Endpoint()
        return endpoint

    def _is_raw(self) -> bool:
        zsock: Any = self._zsock()
        if zsock is None:
            return False
        raw = TYPES[zsock.type].raw or (zsock._remembered or {}).get("ROUTER_RAW")
        return bool(raw)

    def changed(self) -> None:
        """Look again: something was bound, connected, closed or subscribed over inproc."""
        zsock = self._zsock()
        if zsock is not None:
            zsock._forget_error()
        self._wake()

    def dropped(self) -> None:
        """Forget the connections of endpoints that were unbound or disconnected just now."""
        with contextlib.suppress(errors.Error):
            self._refresh("drop peers")
        self._wake()

    def _drop(self, entry: tuple[str, str, str]) -> None:
        """Forget the connections of one endpoint: libzmq ends them without a word."""
        if entry in self._entries():
            return  # another one like it is left
        self._ledger = self._ledger or Ledger()
        self._remember(entry[1])
        for identifier in {*self._endpoints, *self._attempts}:
            if self._name(identifier, [entry]) is None:
                continue
            self._remember(identifier)
            self._give_up(identifier)
            attempts = self._attempts.pop(identifier, None)
            if attempts is not None:
                attempts.forget_probe()

    def _remember(self, identifier: str) -> None:
        """Note an endpoint that was given up; forget the one that was so the longest time ago."""
        self._given_up.pop(identifier, None)
        self._given_up[identifier] = None
        while len(self._given_up) > GIVEN_UP:
            oldest = next(iter(self._given_up))
            if oldest in self._endpoints:
                if self._has(oldest):
                    self._drop_vanished(self._endpoints[oldest])
                else:
                    self._give_up(oldest)
            self._given_up.pop(oldest, None)

    def before_counting(self) -> None:
        """Take in events, before what subscribers have sent is counted (`_taken`).

        Who has ended is known then before what it ended with.
        """
        with contextlib.suppress(errors.Error):
            self._refresh("count subscribers")

    # What is known

    def _entries(self) -> list[tuple[str, str, str]]:
        zsock: Any = self._zsock()
        return [] if zsock is None else zsock._entries()

    def _connects(self, identifier: str) -> bool:
        """Return True if that may be an endpoint that the socket has connected to."""
        return any(
            how == "connected to" and same_port(identifier, endpoint)
            for how, endpoint, _ in self._entries()
        )

    def _name(self, identifier: str, entries: list[tuple[str, str, str]]) -> str | None:
        """Return the endpoint, as the program knows it, that libzmq calls ``identifier``."""
        for _, endpoint, _ in entries:
            if endpoint == identifier:
                return endpoint
        for _, endpoint, _ in entries:
            if same_port(identifier, endpoint):
                return endpoint
        return None

    def _has(self, identifier: str) -> bool:
        """Return True if that may be an endpoint that the socket has."""
        entries = self._entries()
        return self._name(identifier, entries) is not None or any(
            port_of(identifier) == port_of(one) for _, one, _ in entries
        )

    def _there(self) -> Iterator[tuple[str, Endpoint]]:
        """Return what is connected by the endpoints that the socket has.

        A connection that was made just when its endpoint was given up ends without a word.
        """
        entries = self._entries()
        known = {endpoint for _, endpoint, _ in entries}
        self._drop_all_vanished()
        # Lists, since a signal handler may come in between and call what changes these.
        for identifier, endpoint in list(self._endpoints.items()):
            if identifier in known:
                yield identifier, endpoint
            elif (name := self._name(identifier, entries)) is not None:
                yield name, endpoint
            elif any(port_of(identifier) == port_of(one) for one in known):
                yield identifier, endpoint

    def _drop_all_vanished(self) -> None:
        for identifier, endpoint in list(self._endpoints.items()):
            if identifier in self._given_up:
                self._drop_vanished(endpoint)

    def _drop_vanished(self, endpoint: Endpoint) -> None:
        """Leave out what libzmq has closed without a word."""
        for fd in (*endpoint.begun, *endpoint.done):
            if self._ledger is not None and self._ledger.is_closed(fd):
                self._vanish(endpoint, fd)

    def _all_peers(self) -> Iterator[Peer]:
        for name, endpoint in self._there():
            yield from endpoint.peers(name)
        zsock = self._zsock()
        if zsock is not None:
            for name, _, since in inproc_links_of(zsock):
                yield Peer(name, None, since)

    def peers(self) -> tuple[Peer, ...]:
        """Tell who is connected, the oldest first."""
        self._refresh("tell its peers")
        with self._lock:
            return tuple(sorted(self._all_peers(), key=lambda peer: peer.since))

    def _count_peers(self) -> int:
        self._refresh("wait for peers")
        zsock = self._zsock()
        local = 0 if zsock is None else len(inproc_links_of(zsock))
        with self._lock:
            return local + sum(len(endpoint) for _, endpoint in self._there())

    def subscribers(self, prefix: bytes | None) -> int:
        """Count the connections that want messages which begin with ``prefix``."""
        if prefix is not None and not isinstance(prefix, (bytes, bytearray, memoryview)):
            raise TypeError(f"a prefix is bytes, not {type(prefix).__name__}; of a str, .encode()")
        wanted = None if prefix is None else bytes(prefix)
        self._refresh("count subscribers")
        with self._lock:
            self._drop_all_vanished()
        zsock: Any = self._zsock()
        links = [] if zsock is None else inproc_links_of(zsock)
        # The other side tells what it wants when it is looked at, and this side hears of it at its
        # own look, which comes last.
        for _, other, _ in links:
            check(other)
        wants = [other._wants(wanted) for _, other, _ in links]
        # An XSUB's program can send subscriptions as messages, which only this side sees. Those of
        # a SUB are known: it sends one that is repeated each time, and its end once.
        most = sum(
            one or TYPES[other.type].subscribes != "option"
            for one, (_, other, _) in zip(wants, links, strict=True)
        )
        if zsock is not None:
            check(zsock)
        found, told = self._matching(wanted)
        return len(found) + max(sum(wants), min(told, most))

    def why(self) -> str:
        """Say what the connections are doing, for a `Timeout`."""
        with self._lock, contextlib.suppress(errors.Error):
            self._refresh("tell why")
        with self._lock:
            return "; ".join(dict.fromkeys(self._whys()))

    def _whys(self) -> list[str]:
        said = []
        entries = self._entries()
        named = {one: self._name(one, entries) for one in list(self._attempts)}
        for how, endpoint, _ in entries:
            if how == "bound to" or endpoint.startswith("inproc://"):
                continue
            known = [one for one, name in named.items() if name == endpoint]
            there = sum(len(self._at(one)) for one in known)
            known_attempts = [self._attempts.get(one) for one in known]
            whys = [one.why(endpoint) for one in known_attempts if one is not None]
            why = next((text for text in whys if text), None)
            if there:
                said.append(f"{endpoint}: connected")
            else:
                said.append(why or f"{endpoint}: no connection yet")
        there = sum(1 for _ in self._all_peers())
        if any(how == "bound to" or end.startswith("inproc://") for how, end, _ in entries):
            said.append(
                f"{there} peer{'' if there == 1 else 's'} connected" if there else "no peer yet"
            )
        elif not entries:
            said.append("it is neither bound nor connected")
        return said

    # Waiting

    def _timed_out(self, found: int, count: int, what: str, limit: float) -> errors.Timeout:
        zsock: Any = self._zsock()
        named = "the socket" if zsock is None else zsock._described()
        return errors.Timeout(
            errno.ETIMEDOUT,
            f"{named}: {found} of {count} {what} within {limit:g} s; {self.why()}. A longer "
            "timeout waits longer",
        )

    def wait_peers(self, count: int, limit: float) -> int:
        """Pause the calling thread until so many peers are connected."""
        _check_count(count)
        found = wait_at(self, self._enough(self._count_peers, count), _deadline(limit))
        if found is None:
            raise self._timed_out(self._count_peers(), count, "peers were there", limit)
        return found

    def wait_subscribers(self, prefix: bytes | None, count: int, limit: float) -> int:
        """Pause the calling thread until so many connections have subscribed."""
        _check_count(count)
        with self.watch():
            look = self._enough(lambda: self.subscribers(prefix), count)
            found = wait_at(self, look, _deadline(limit))
        if found is None:
            found = self.subscribers(prefix)
            raise self._timed_out(found, count, "subscribers were there", limit)
        return found

    async def awaited_wait_peers(self, zsock: AwaitableSocket, count: int, limit: float) -> int:
        """Pause the running task until so many peers are connected."""
        from ._awaited_bell import awaited_wait_at

        _check_count(count)
        look = self._enough(self._count_peers, count)
        found = await awaited_wait_at(zsock, self, look, _deadline(limit))
        if found is None:
            raise self._timed_out(self._count_peers(), count, "peers were there", limit)
        return found

    async def awaited_wait_subscribers(
        self, zsock: AwaitableSocket, prefix: bytes | None, count: int, limit: float
    ) -> int:
        """Pause the running task until so many connections have subscribed."""
        from ._awaited_bell import awaited_wait_at

        _check_count(count)
        with self.watch():
            look = self._enough(lambda: self.subscribers(prefix), count)
            found = await awaited_wait_at(zsock, self, look, _deadline(limit))
        if found is None:
            found = self.subscribers(prefix)
            raise self._timed_out(found, count, "subscribers were there", limit)
        return found

    def watch(self) -> SubscriberWatch:
        """Have a thread look at the publisher when it rings, within a `with`."""
        return SubscriberWatch(self, self._watch_in_thread)

    def _watch_in_thread(self, on: bool) -> None:
        zsock = self._zsock()
        if zsock is not None and not zsock.closed:
            zsock._watch_in_thread(on)

    def _enough(self, number: Callable[[], int], count: int) -> Callable[[], int | None]:
        def look() -> int | None:
            found = number()
            return found if found >= count else None

        return look


def _deadline(limit: float) -> float:
    return to_deadline(None if limit < 0 else limit)


def _check_count(count: int) -> None:
    if type(count) is not int:
        raise TypeError(f"count is an int, not {type(count).__name__}")
    if count < 1:
        raise errors.argument_error(f"count is from 1 up, not {count}")
