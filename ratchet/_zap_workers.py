"""The threads in which the handler asks callables of the program, 8 at most."""

from __future__ import annotations

import _thread
from collections import Counter, deque
from typing import TYPE_CHECKING

from ._platform import original
from ._real_threads import start_thread
from ._zmq import process_generation

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from ._real_threads import RealThread

    Task = tuple[Callable[[], None], Callable[[], bool]]  # what to do, and is it still wanted?

__all__ = ["Workers"]

MOST = 8  # threads
QUEUE = 1000  # handshakes of one socket that wait for a thread; each takes its time all the same


class Workers:
    """Threads that come with the work and go with it.

    A socket may have as many of them as are left for others. So those whose callables hang leave
    some to the next one. Who is busy is told by the threads that live, and not by a count: an
    exception may be raised in the handler's thread at any point.
    """

    def __init__(self) -> None:
        self._lock = original(_thread, "allocate_lock")()
        # By an object of its own for each: its thread, and for which domain it works.
        self._busy: dict[object, tuple[threading.Thread | RealThread, str]] = {}
        self._waiting: dict[str, deque[Task]] = {}
        self._born = process_generation()

    def ask(self, domain: str, act: Callable[[], None], wanted: Callable[[], bool]) -> bool:
        """Have ``act`` called in a thread, unless it is not ``wanted`` any more by then.

        Returns:
            bool: False if too many wait, or no thread can be started: it will not be called.
        """
        with self._lock:
            queue = self._waiting.setdefault(domain, deque())
            while queue and not queue[0][1]():
                queue.popleft()
            if len(queue) >= QUEUE:
                return False
            queue.append((act, wanted))
            chosen = self._next()
            if chosen is None:
                return True
            me = object()
            try:
                thread = start_thread(lambda: self._work(me, chosen[1]), "ratchet-auth")
            except BaseException:  # noqa: BLE001 - for want of threads, above all
                return chosen[1] is not act
            self._busy[me] = thread, chosen[0]
        return True

    def _next(self) -> tuple[str, Callable[[], None]] | None:
        """Take what may run now, of the sockets in turn. Under the lock."""
        self._busy = {me: busy for me, busy in self._busy.items() if busy[0].is_alive()}
        running = Counter(domain for _, domain in self._busy.values())
        free = MOST - len(self._busy)
        for domain, queue in list(self._waiting.items()):
            while queue and running[domain] < free:
                act, wanted = queue.popleft()
                if wanted():
                    self._waiting[domain] = self._waiting.pop(domain)  # to the end
                    return domain, act
            if not queue:
                del self._waiting[domain]
        return None

    def _work(self, me: object, act: Callable[[], None]) -> None:
        """Do one thing after another, as long as there are any: the body of a thread."""
        while True:
            act()
            if self._born != process_generation():  # the callable has forked
                return
            with self._lock:
                busy = self._busy.pop(me, None)
                chosen = None if busy is None else self._next()
                if busy is None or chosen is None:
                    return
                self._busy[me] = busy[0], chosen[0]
            act = chosen[1]
