# Layer 5. What a socket tells those who watch it: monitors, `peers.py`, waits for readiness.

cdef class WatchedSocket(SocketBase):
    """A libzmq socket whose connections and readiness can be watched."""

    def _send_events_to(self, EventReader reader not None, int mask):
        """Have ``reader`` get the events that ``mask`` names (libzmq's numbers) from now on."""
        cdef Feed feed = self.feed
        name = self.describe()
        self.require("monitor")
        if self.home is not None:
            raise errors.StateError(errno.EPERM, f"{name}: it is in a context of the program's own")
        if feed is None or feed.pair == NULL:
            feed = Feed()
            reader.begin(feed, mask, name)
            feed.begin(self.handle, f"monitor the {name}")
            self.feed = feed
        else:
            feed.take_in()  # what came before is not for this reader
            reader.begin(feed, mask, name)

    def _track_peers(self):
        """Know who is connected from now on, and of a publisher what is subscribed."""
        from .peers import Peers

        self._peers = Peers(self)
        self.counts = self.kind.publishes
        self.update_bypass()

    def _entries(self):
        """Return its endpoints: how, as libzmq resolved it, as it was given."""
        return list(self.endpoints)

    def _wants(self, prefix):
        """Return True if it has subscribed to messages that begin with ``prefix``; None: to any."""
        if prefix is None:
            return bool(self.wanted)
        for known in self.wanted or ():
            if prefix.startswith(known):
                return True
        return False

    def _forget_error(self):
        """Have the next `Timeout` say anew what the connections do."""
        self.empty_error_args = None

    def _watch_in_thread(self, on):
        """Have a thread look at the socket when it rings, for callers that wait elsewhere."""
        if self.born == generation and self.feed is not None and self.feed.thread is not None:
            self.feed.thread.watch_bell(self, on)

    cdef bint could_go_on(self, Waiter waiter) except -1:
        cdef Line line = waiter.line
        cdef int events
        self.require("wait")
        waiter.woken = False
        if line is None or line.entitled(waiter) is not waiter:
            return False
        events = self.look()
        self.ring(events, waiter)
        return (events & line.event) != 0
