"""Waiting for several sockets and descriptors at once: `select` and `Selector`.

Both work in every kind of thread whose calls block; `ratchet.asyncio.select` is for tasks. What is
ready and not taken is reported again. Nothing is taken: another thread may be faster, so a call
after a select still may have to pause.
"""

from __future__ import annotations

import math
import selectors
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import errors
from ._zmq import (
    EventReader,
    Selection,
    SocketBase,
    Tracker,
    breathe_here,
    descriptor_for,
    picked,
    ready_now,
    selection_of,
    to_deadline,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Selector", "select"]

# Of selectors' masks and ours the numbers are the same: 1 to read or receive, 2 to write or send.
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def select(
    reads: Iterable[Any], writes: Iterable[Any] = (), timeout: float | None = None
) -> tuple[list[Any], list[Any]]:
    """Pause until at least one of many things is ready.

    Args:
        reads: what to receive or read from: sockets of ratchet, trackers, monitors, anything with
            ``fileno()`` or ``get_fd()``, and descriptors (int).
        writes: what to send or write to.
        timeout: seconds; None or negative: for ever; 0: only look.

    Returns:
        tuple[list, list]: those of ``reads`` and of ``writes`` that are ready, in the order given.
        Both are empty when the time is up.

    Raises:
        ClosedError: a socket is closed, or was closed meanwhile; it names the socket.
        TypeError: something has no descriptor.
        ValueError: nothing to wait for and no timeout.
    """
    deadline = to_deadline(timeout)
    reads, writes = listed(reads), listed(writes)
    breathe_here()
    found = first_look(reads, writes, timeout)
    if found is not None:
        return found
    selection = selection_of(reads, writes)
    try:
        return picked(selection.wait(deadline), reads, writes)
    finally:
        selection.close()


def first_look(
    reads: list[Any], writes: list[Any], timeout: float | None
) -> tuple[list[Any], list[Any]] | None:
    """Return what a select returns without a wait, or None if it has to wait."""
    found: tuple[list[Any], list[Any]] | None = ready_now(reads, writes)
    if found is None and timeout == 0:
        return [], []
    if not reads and not writes and to_deadline(timeout) == math.inf:
        raise errors.argument_error("select() with nothing to wait for and no timeout")
    return found


def listed(items: Iterable[Any]) -> list[Any]:
    """Make a list of what is to be waited for.

    A socket, a monitor and a file are none: to iterate them would receive and read.
    """
    if type(items) is list:
        return items
    single = isinstance(items, (str, bytes)) or hasattr(items, "fileno") or hasattr(items, "get_fd")
    if single or not isinstance(items, Iterable):
        raise TypeError(f"a list of things to wait for is needed, as in [zsock], not {items!r}")
    return list(items)


class Selector(selectors.BaseSelector):
    """A `selectors.BaseSelector` that takes sockets of ratchet too, plain and asyncio ones.

    A `select` costs what has happened since the last one, however many sockets are registered. A
    socket that is closed makes `select` raise `ClosedError` until it is unregistered.
    """

    def __init__(self) -> None:
        self._selection: Any = Selection()
        self._keys: dict[int, selectors.SelectorKey] = {}  # by the id of a socket, or ~descriptor
        self._map = _Map(self._keys)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for a socket, an object with ``fileno()`` or ``get_fd()``, or a descriptor.

        Args:
            fileobj: what to wait for.
            events: of selectors.EVENT_READ and selectors.EVENT_WRITE.
            data: whatever `select` shall return with it.

        Raises:
            ValueError: other events, or no descriptor.
            KeyError: it is registered already.
            ClosedError: the socket is closed.
        """
        _check(events)
        try:
            fd = descriptor_for(fileobj)
        except TypeError as error:
            raise ValueError(str(error)) from None  # as of selectors
        key = selectors.SelectorKey(fileobj, fd, events, data)
        name = _name(fileobj, key.fd)
        if name in self._keys:
            raise KeyError(f"{fileobj!r} (descriptor {key.fd}) is registered already")
        if isinstance(fileobj, SocketBase):
            self._selection.add_socket(fileobj, events)
        else:
            self._selection.add_descriptor(key.fd, events)
            if isinstance(fileobj, (EventReader, Tracker)):
                self._selection.add_tracker(fileobj)
        self._keys[name] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Wait for it no more; it may be closed.

        Raises:
            KeyError: it is not registered.
        """
        key = self._keys.pop(self._map.name(fileobj))
        if isinstance(key.fileobj, SocketBase):
            self._selection.remove_socket(key.fileobj)
        else:
            self._selection.remove_descriptor(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change the events or the data of what is registered.

        Raises:
            KeyError: it is not registered.
        """
        _check(events)
        name = self._map.name(fileobj)
        key = self._keys[name]
        if events != key.events:
            if isinstance(key.fileobj, SocketBase):
                self._selection.change_socket(key.fileobj, events)
            else:
                self._selection.add_descriptor(key.fd, events)
        key = self._keys[name] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Pause until something is ready.

        Args:
            timeout: seconds; None: for ever; 0 or negative: only look, as in `selectors`.

        Returns:
            list[tuple[SelectorKey, int]]: what is ready, and for which events.

        Raises:
            ClosedError: a registered socket is closed; unregister it to go on.
        """
        deadline = to_deadline(timeout)
        if timeout is not None and timeout <= 0:
            deadline = 0.0  # as of selectors, and not for ever
        breathe_here()
        found = self._selection.wait(deadline)
        # What another thread has unregistered meanwhile is not there any more.
        keys = self._keys
        return [(keys[name], events) for name, events in found.items() if name in keys]

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        self._selection.close()
        self._keys.clear()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return a mapping from what is registered to its key."""
        return self._map

    def fileno(self) -> int:
        """Return a descriptor that rings when something has happened (epoll, kqueue)."""
        return int(self._selection.fileno())


class _Map(Mapping[Any, selectors.SelectorKey]):
    """What is registered, by socket, object or descriptor."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def name(self, fileobj: Any) -> int:
        """Return the key of ``fileobj`` in the selector's own table."""
        if isinstance(fileobj, SocketBase):
            name = id(fileobj)
        else:
            try:
                name = ~descriptor_for(fileobj)
            except (TypeError, ValueError, errors.Error):  # it is closed: look for itself
                name = next((n for n, key in self._keys.items() if key.fileobj is fileobj), 0)
        if name not in self._keys:
            raise KeyError(f"{fileobj!r} is not registered")
        return name

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[self.name(fileobj)]

    def __iter__(self) -> Iterator[Any]:
        # A socket stands for itself: its descriptor may be registered as well, and once it is
        # closed, the number may be another file's.
        return iter([_name_of(key) for key in self._keys.values()])

    def __len__(self) -> int:
        return len(self._keys)


def _name_of(key: selectors.SelectorKey) -> Any:
    """Return by what a key is found: a socket, or a descriptor."""
    return key.fileobj if isinstance(key.fileobj, SocketBase) else key.fd


def _name(fileobj: Any, fd: int) -> int:
    return id(fileobj) if isinstance(fileobj, SocketBase) else ~fd


def _check(events: Any) -> None:
    if not isinstance(events, int) or not events or events & ~(READ | WRITE):
        raise ValueError(f"events are EVENT_READ, EVENT_WRITE or both, not {events!r}")
