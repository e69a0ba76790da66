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
    cdef dict wanted  # descriptor -> how often it was told since it began
    # Descriptors of connections that have ended, whose end here is still to come from libzmq;
    # and of how many that had such a number it has been told.
    cdef list gone
    cdef dict known
    cdef Py_ssize_t local  # without a descriptor: over inproc
    # Told when the number had just been given to another connection: it may be of the one
    # before, of which `Subscriptions.reads` tells when it ended. So many were, as ends tell
    # that nothing else accounts for; which, is known when the next one is told of too.
    cdef dict fresh
    cdef Py_ssize_t owed
    cdef dict cleared  # of which all that the one before told is accounted for

    def __cinit__(self):
        self.wanted, self.known, self.fresh, self.cleared = {}, {}, {}, {}
        self.gone = []

    cdef Py_ssize_t count(self) noexcept:
        return len(self.wanted) - self.owed + len(self.gone) + self.local

    cdef set there(self):
        """Return the descriptors of those that are there, as far as is known."""
        if not self.owed:
            return set(self.wanted)
        likely = sorted(self.fresh, key=self.fresh.get, reverse=True)
        return set(self.wanted).difference(likely[:self.owed])

    cdef int add(self, fd) except -1:
        """Note that one was told."""
        self.wanted[fd] = self.wanted.get(fd, 0) + 1
        if self.owed and fd in self.fresh and self.wanted[fd] > 1:
            self.owed -= 1
            self.settle(fd)
        return 0

    cdef int settle(self, fd) except -1:
        """Note that one of the two that were told of a number was the connection's before."""
        self.wanted[fd] -= 1
        self.cleared[fd] = self.fresh.pop(fd)
        return 0

    cdef int go(self, fd) except -1:
        """Note that one has ended."""
        self.gone.append(fd)
        self.known[fd] = self.known.get(fd, 0) + 1
        return 0

    cdef int leave(self, fd) except -1:
        """Account for the end of one that had gone."""
        self.gone.remove(fd)
        return 0

    cdef bint take_out(self, fd) except -1:
        """Leave one out that is there; return False if it was not, but only the one before."""
        del self.wanted[fd]
        self.fresh.pop(fd, None)
        if self.owed > len(self.fresh):
            self.owed -= 1
            return False
        return True

    cdef list end_one(self):
        """Account for the end of a connection that is not named; return who is not there then."""
        cdef list twice = [], latest = []
        if self.gone:
            self.leave(self.gone[0])
            return []
        for fd in self.fresh:
            if self.wanted[fd] > 1:
                twice.append(fd)
        if twice:
            self.settle(max(twice, key=self.fresh.get))
            return []
        if self.fresh:
            last = max(self.fresh.values())
            for fd in self.fresh:
                if self.fresh[fd] == last:
                    latest.append(fd)
        if len(latest) == 1 and not self.owed:
            return self.drop(latest)
        if self.owed < len(self.fresh):
            self.owed += 1
            if self.owed == len(self.fresh):  # so all are
                self.owed = 0
                return self.drop(list(self.fresh))
        elif self.local:
            self.local -= 1
        return []

    cdef list drop(self, list told):
        """Leave out what was told by connections before; return their descriptors."""
        for fd in told:
            del self.wanted[fd]
            self.cleared[fd] = self.fresh.pop(fd)
        return told


cdef class Subscriptions:
    """The subscriptions of all connections."""
    cdef dict prefixes      # prefix -> PrefixSubscribers
    cdef dict of            # descriptor of a connection that is open -> set of its prefixes
    cdef dict ends          # descriptors that have ended, and how often
    cdef Py_ssize_t reads   # how often all that subscribers had sent was read
    cdef dict ended         # descriptors that have ended, and what `reads` was then

    def __cinit__(self):
        self.prefixes, self.of, self.ends, self.ended = {}, {}, {}, {}

    cpdef int read(self) except -1:
        """Note that all was read: what comes next was sent later, but for the last moment's."""
        self.reads += 1
        return 0

    cpdef int begin(self, fd) except -1:
        """Note a new connection."""
        if fd in self.of:
            self.end(fd)  # of which nothing was told
        self.of[fd] = set()
        return 0

    cpdef int end(self, fd) except -1:
        """Note that a connection has ended."""
        cdef PrefixSubscribers known
        for prefix in self.of.pop(fd, ()):
            known = self.prefixes[prefix]
            if fd in known.fresh and known.wanted[fd] > 1:
                known.go(fd)  # the one before: its end is still to come as well
            if known.take_out(fd):
                known.go(fd)
            self.forget(prefix, known)
        self.ended[fd] = self.reads
        self.ends[fd] = self.ends.get(fd, 0) + 1
        return 0

    cpdef tuple told(self, fd, bint wants, bytes prefix):
        """Take in one message of a subscriber.

        Returns:
            Is it the first of its prefix, or the last? This is what an XPUB tells by itself.
        """
        cdef PrefixSubscribers known = self.prefixes.get(prefix)
        cdef bint first
        if known is None:
            known = self.prefixes[prefix] = PrefixSubscribers()
        first = not known.count()
        if wants:
            self.add(known, fd, prefix)
            return first, False
        if fd < 0:
            for dropped in known.end_one():
                (<set> self.of[dropped]).discard(prefix)
        elif fd in known.wanted:
            known.take_out(fd)
            (<set> self.of[fd]).discard(prefix)
        elif fd in known.gone:
            known.leave(fd)
        elif known.count():
            return False, True  # libzmq tells of one that was none
        return False, self.forget(prefix, known)

    cdef bint forget(self, prefix, PrefixSubscribers known) except -1:
        """Drop a prefix that nobody wants any more; return False if somebody does."""
        if known.count() or known.wanted:
            return not known.count()
        self.prefixes.pop(prefix, None)
        return True

    cdef int add(self, PrefixSubscribers known, fd, prefix) except -1:
        if fd < 0:
            known.local += 1
            return 0
        if fd not in self.of and fd in self.ended:
            if known.known.get(fd, 0) < self.ends[fd]:
                known.go(fd)
            return 0
        ended = self.ended.get(fd, -9)
        if fd not in known.wanted and self.reads - ended <= 1 and known.cleared.get(fd) != ended:
            known.fresh[fd] = ended
        known.add(fd)
        self.of.setdefault(fd, set()).add(prefix)
        return 0

    def matching(self, prefix):
        """Return the connections that want messages which begin with ``prefix`` (bytes; None:
        anything), and how many do over inproc at least.
        """
        cdef set found = set()
        cdef Py_ssize_t local = 0, end
        cdef PrefixSubscribers known
        chosen = []
        if prefix is None:
            chosen = list(self.prefixes.values())
        elif len(prefix) > len(self.prefixes):  # a message of megabytes has as many beginnings
            for one, known in self.prefixes.items():
                if prefix.startswith(one):
                    chosen.append(known)
        else:
            for end in range(len(prefix) + 1):
                known = self.prefixes.get(prefix[:end])
                if known is not None:
                    chosen.append(known)
        for known in chosen:
            found |= known.there()
            local = max(local, known.local)
        return found, local
