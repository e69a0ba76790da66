# Layer 4. Who has subscribed to what at a publisher.
#
# Subscriptions come with the descriptor of their connection. One that is repeated comes again and
# ends once, so it counts once. What a connection that closes had subscribed to ends without a
# descriptor, one message for each prefix; `DISCONNECTED` tells earlier who has gone. Over inproc
# nothing has a descriptor: the subscriptions are those that the other sockets know of themselves.
#
# It is C because each step is whole then: a signal handler runs in Python code only, and one that
# raises there would leave a subscription half counted.

cdef class PrefixSubscribers:
    """Who has subscribed to one prefix."""
    cdef dict told         # descriptor -> subscriptions since its connection began
    cdef list ended        # descriptors of connections that ended: libzmq has yet to say so here
    cdef dict seen         # descriptor -> how many connections with that number stood in `ended`
    cdef Py_ssize_t local  # subscriptions without a descriptor: over inproc
    # A subscription that comes just after its descriptor's number was given to another connection
    # may be the earlier one's. Descriptor -> what `Subscriptions.reads` was when that one ended.
    cdef dict doubtful
    # How many of these were the earlier one's: so many ends came that nothing else accounts for.
    # Which they were is known once a connection subscribes again, or all were.
    cdef Py_ssize_t owed
    cdef dict cleared      # the same as `doubtful`, once it is known whose the subscription was

    def __cinit__(self):
        self.told, self.seen, self.doubtful, self.cleared = {}, {}, {}, {}
        self.ended = []

    cdef Py_ssize_t count(self) noexcept:
        return len(self.told) - self.owed + len(self.ended) + self.local

    cdef set there(self):
        """Return the descriptors of those that are there, as far as is known."""
        if not self.owed:
            return set(self.told)
        likely = sorted(self.doubtful, key=self.doubtful.get, reverse=True)
        return set(self.told).difference(likely[:self.owed])

    cdef int add(self, fd) except -1:
        """Note a subscription."""
        self.told[fd] = self.told.get(fd, 0) + 1
        if self.owed and fd in self.doubtful and self.told[fd] > 1:
            self.owed -= 1
            self.resolve(fd)
        return 0

    cdef int resolve(self, fd) except -1:
        """Of two subscriptions with one number, count the first as the earlier connection's."""
        self.told[fd] -= 1
        self.cleared[fd] = self.doubtful.pop(fd)
        return 0

    cdef int go(self, fd) except -1:
        """Note that a connection has ended: libzmq will say so here."""
        self.ended.append(fd)
        self.seen[fd] = self.seen.get(fd, 0) + 1
        return 0

    cdef int leave(self, fd) except -1:
        """Account for that."""
        self.ended.remove(fd)
        return 0

    cdef bint take_out(self, fd) except -1:
        """Leave out a connection; return False if the subscription was the earlier one's."""
        del self.told[fd]
        self.doubtful.pop(fd, None)
        if self.owed > len(self.doubtful):
            self.owed -= 1
            return False
        return True

    cdef list end_one(self):
        """Account for an end without a descriptor; return the descriptors that go with it."""
        cdef list twice = [], latest = []
        if self.ended:
            self.leave(self.ended[0])
            return []
        for fd in self.doubtful:
            if self.told[fd] > 1:
                twice.append(fd)
        if twice:
            self.resolve(max(twice, key=self.doubtful.get))
            return []
        if self.doubtful:
            last = max(self.doubtful.values())
            for fd in self.doubtful:
                if self.doubtful[fd] == last:
                    latest.append(fd)
        if len(latest) == 1 and not self.owed:
            return self.drop(latest)
        if self.owed < len(self.doubtful):
            self.owed += 1
            if self.owed == len(self.doubtful):  # so all are
                self.owed = 0
                return self.drop(list(self.doubtful))
        elif self.local:
            self.local -= 1
        return []

    cdef list drop(self, list fds):
        """Leave out subscriptions of earlier connections; return their descriptors."""
        for fd in fds:
            del self.told[fd]
            self.cleared[fd] = self.doubtful.pop(fd)
        return fds


cdef class Subscriptions:
    """The subscriptions of all connections."""
    cdef dict prefixes      # prefix -> PrefixSubscribers
    cdef dict prefixes_of   # descriptor of a connection that is open -> set of its prefixes
    cdef dict end_counts    # descriptor -> how many connections with that number have ended
    cdef Py_ssize_t reads   # how often all that subscribers had sent was read
    cdef dict ended_at      # descriptor -> what `reads` was when its last connection ended

    def __cinit__(self):
        self.prefixes, self.prefixes_of, self.end_counts, self.ended_at = {}, {}, {}, {}

    cpdef int read(self) except -1:
        """Note that all was read: what comes next was sent later, but for the last moment's."""
        self.reads += 1
        return 0

    cpdef int begin(self, fd) except -1:
        """Note a new connection."""
        if fd in self.prefixes_of:
            self.end(fd)  # of which nothing was told
        self.prefixes_of[fd] = set()
        return 0

    cpdef int end(self, fd) except -1:
        """Note that a connection has ended."""
        cdef PrefixSubscribers entry
        for prefix in self.prefixes_of.pop(fd, ()):
            entry = self.prefixes[prefix]
            if fd in entry.doubtful and entry.told[fd] > 1:
                entry.go(fd)  # the one before: its end is still to come as well
            if entry.take_out(fd):
                entry.go(fd)
            self.forget(prefix, entry)
        self.ended_at[fd] = self.reads
        self.end_counts[fd] = self.end_counts.get(fd, 0) + 1
        return 0

    cpdef tuple told(self, fd, bint wants, bytes prefix):
        """Take in one message of a subscriber.

        Returns:
            Is it the first of its prefix, or the last? This is what an XPUB tells by itself.
        """
        cdef PrefixSubscribers entry = self.prefixes.get(prefix)
        cdef bint first
        if entry is None:
            entry = self.prefixes[prefix] = PrefixSubscribers()
        first = not entry.count()
        if wants:
            self.add(entry, fd, prefix)
            return first, False
        if fd < 0:
            for dropped in entry.end_one():
                (<set> self.prefixes_of[dropped]).discard(prefix)
        elif fd in entry.told:
            entry.take_out(fd)
            (<set> self.prefixes_of[fd]).discard(prefix)
        elif fd in entry.ended:
            entry.leave(fd)
        elif entry.count():
            return False, True  # libzmq tells of one that was none
        return False, self.forget(prefix, entry)

    cdef bint forget(self, prefix, PrefixSubscribers entry) except -1:
        """Drop a prefix that nobody wants any more; return False if somebody does."""
        if entry.count() or entry.told:
            return not entry.count()
        self.prefixes.pop(prefix, None)
        return True

    cdef int add(self, PrefixSubscribers entry, fd, prefix) except -1:
        if fd < 0:
            entry.local += 1
            return 0
        if fd not in self.prefixes_of and fd in self.ended_at:
            if entry.seen.get(fd, 0) < self.end_counts[fd]:
                entry.go(fd)
            return 0
        before = self.ended_at.get(fd, -9)
        if fd not in entry.told and self.reads - before <= 1 and entry.cleared.get(fd) != before:
            entry.doubtful[fd] = before
        entry.add(fd)
        self.prefixes_of.setdefault(fd, set()).add(prefix)
        return 0

    def matching(self, prefix):
        """Return the connections that want messages which begin with ``prefix`` (bytes; None:
        anything), and how many do over inproc at least.
        """
        cdef set found = set()
        cdef Py_ssize_t local = 0, end
        cdef PrefixSubscribers entry
        chosen = []
        if prefix is None:
            chosen = list(self.prefixes.values())
        elif len(prefix) > len(self.prefixes):  # a message of megabytes has as many beginnings
            for one, entry in self.prefixes.items():
                if prefix.startswith(one):
                    chosen.append(entry)
        else:
            for end in range(len(prefix) + 1):
                entry = self.prefixes.get(prefix[:end])
                if entry is not None:
                    chosen.append(entry)
        for entry in chosen:
            found |= entry.there()
            local = max(local, entry.local)
        return found, local
