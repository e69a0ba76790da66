# Layer 4. What happens to a socket's peers, noted in whole steps: for `peers.py`.
#
# A signal handler runs in Python code only, and may raise there. So each step is a C function, and
# what is to be noted stands in a queue until the step that notes it. Whoever comes next goes on
# with what an exception has left there.

cdef class PeersBase(EventSink):
    """What one socket knows of its peers, as far as it must not be half known."""
    cdef Subscriptions subscriptions
    cdef readonly object _taken   # deque: (fd, parts) that subscribers have sent, not counted yet
    cdef readonly object _undone  # deque: entries that were unbound or disconnected just now
    cdef readonly dict _endpoints  # what libzmq calls it -> Connections
    cdef readonly object _lock    # held by who acts on events: one that no patch replaces
    cdef bint ended               # a connection has, since `_has_ended` was asked
    cdef bint taking_in, takes_more  # of what subscribers send, and what comes meanwhile
    cdef bint all_wants, all_ends  # of what subscribers ask for, an XPUB's program receives these
    cdef int watching             # how many callers wait for subscribers

    def __cinit__(self, *args, **kwargs):
        self.subscriptions = Subscriptions()
        self._taken, self._undone = deque(), deque()
        self._endpoints = {}
        self._lock = RLock()

    def _first(self):
        """Return the event that is to be noted next, or None."""
        return self.noted[0] if self.noted else None

    def _note(self, event, name, Connections at, address, bint raw):
        """Note what an event says of a connection, unless that has been done.

        Args:
            event: as `_first` returned it; its ``name`` is libzmq's.
            at: those of its endpoint, None if it is not about connections.
            address: of the peer whose connection begins.
            raw: nothing is told of a handshake.
        """
        cdef Connections other
        if not self.noted or self.noted[0] is not event:
            return  # a signal handler came in between, and called what notes events, too
        fd = event[1]
        if at is None:
            pass
        elif name in ("ACCEPTED", "CONNECTED"):
            for other in self._endpoints.values():  # one that has ended without a word
                other.leave_out(fd)
            self.subscriptions.begin(fd)
            at.begin(fd, address)
            if raw:
                at.succeed()
        elif name == "DISCONNECTED":
            at.end(fd)
            self.subscriptions.end(fd)
            self.ended = True
        elif name == "HANDSHAKE_SUCCEEDED":
            at.succeed()
        elif name.startswith("HANDSHAKE_FAILED") and not raw:
            at.failed += 1
        self.noted.popleft()

    def _has_ended(self):
        """Return True if a connection has ended since this was asked last."""
        ended, self.ended = self.ended, False
        return ended

    def _done_with(self, entry):
        """Take out an entry of those undone, of which all connections have been given up."""
        if self._undone and self._undone[0] is entry:
            self._undone.popleft()

    def _give_up(self, identifier):
        """Note that all connections of an endpoint have ended."""
        cdef Connections gone = self._endpoints.pop(identifier, None)
        if gone is not None:
            for fd in (*gone.begun, *gone.done):
                self.subscriptions.end(fd)

    def _vanish(self, Connections at not None, fd):
        """Note that a connection has ended of which nothing was told."""
        at.vanish(fd)
        self.subscriptions.end(fd)

    def tell_all(self, bint wants, bint ends):
        """Do as the options of an XPUB say that its program receives what subscribers ask for."""
        self.all_wants, self.all_ends = wants, ends

    def _matching(self, prefix):
        """Return the connections that want such messages, and how many do over inproc at least."""
        return self.subscriptions.matching(prefix)

    cdef bint counted(self, fd, list parts) except -1:
        """Count a subscription or its end; return True if an XPUB's program receives it."""
        cdef bytes data = bytes(parts[0])
        cdef bint wants, first, last
        if len(parts) > 1 or data[:1] not in (b"\1", b"\0"):
            return True  # a message of a program's own
        wants = data[:1] == b"\1"
        first, last = self.subscriptions.told(fd, wants, data[1:])
        return first or last or (self.all_wants if wants else self.all_ends)


cdef class SubscriberWatch:
    """While somebody waits for subscribers, a thread looks at the publisher when it rings.

    Args:
        watch: called with True when it is to begin, with False when it is to end.
    """
    cdef PeersBase peers
    cdef object watch

    def __init__(self, PeersBase peers not None, watch):
        self.peers, self.watch = peers, watch

    def __enter__(self):
        with self.peers._lock:  # else another thread's end could come after this beginning
            if self.peers.watching == 0:
                self.watch(True)
            self.peers.watching += 1

    def __exit__(self, *error):
        self.peers.watching -= 1  # first: to wait for the lock may raise
        with self.peers._lock:
            if self.peers.watching == 0:
                self.watch(False)
