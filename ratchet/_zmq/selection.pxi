# Layer 8. Waiting for several sockets and descriptors at once, without taking anything from them.
#
# A Selection is a doorbell of its own: a descriptor that rings when one of its members does (an
# epoll or kqueue over their descriptors), and a line in which its caller waits as in that of a
# socket. So callers of all kinds pause in it without a word about them here.
#
# Sockets are looked at only if something may have happened since the last look: their descriptor
# rang, or a call was made on them, of which the doorbell tells its observers. That is why the cost
# of a select grows with what happens and not with how many members there are. A member that was
# ready and has not been taken from stays in `unsettled`, and is looked at again: readiness is a
# level, not an edge.

cdef enum:
    SOMETHING = 4  # beside RX and TX: of a member of which it is enough that it rang


cdef class Member(Observer):
    """One socket of a Selection."""
    cdef SocketBase zsock
    cdef Selection selection
    cdef Py_ssize_t fd
    cdef bint noted  # it is among the unsettled
    cdef object name  # what the Selection calls it

    def __init__(self, Selection selection not None, SocketBase zsock not None, int mask):
        self.selection, self.zsock, self.mask = selection, zsock, mask
        self.fd = zsock.fd
        self.name = id(zsock)

    cdef bint call_made(self) noexcept:
        if self.selection.waiting:
            return True
        self.note()
        return False

    cdef void rung(self) noexcept:
        self.note()
        self.selection.tell_caller()

    cdef void note(self) noexcept:
        if not self.noted:
            self.noted = True
            self.selection.unsettled.append(self)

    cdef int ready(self) except -1:
        """Return the directions of `mask` that are ready now; raise if the socket is closed."""
        cdef int events
        self.zsock.require("wait")
        events = self.zsock.look()
        if self.zsock.waiting > 1:
            self.zsock.ring(events, None)
        return events & self.mask


cdef class RawMember(Member):
    """The descriptor of a socket of ratchet's, waited for by its number: it rings, and says no
    more.

    Other calls may silence it before its caller looks, so the bell has to tell.
    """
    cdef bint rang

    def __init__(self, Selection selection not None, SocketBase zsock not None):
        super().__init__(selection, zsock, RX | TX)
        self.name = ~<object> self.fd

    cdef void rung(self) noexcept:
        self.rang = True
        Member.rung(self)

    cdef int ready(self) except -1:
        cdef bint rang = self.rang or ratchet_readable(self.fd)
        self.rang = False
        return RX if rang else 0


cdef SocketBase socket_of(Py_ssize_t fd):
    """Return the open socket of this process whose descriptor that is, or None."""
    cdef SocketBase zsock
    for zsock in list(open_sockets):
        if zsock.born == generation and zsock.fd == fd:
            return zsock
    return None


cdef class Selection(Doorbell):
    """Several sockets and descriptors, as one thing to wait for."""
    cdef object poll            # over the descriptors of all members
    cdef dict sockets           # id of a socket -> its Member
    cdef dict by_fd             # descriptor -> its Member
    cdef dict others            # descriptor -> what is waited for there, RX | TX
    cdef set always             # plain files, which are always ready
    cdef list trackers          # and monitors, whose descriptors are among the others
    cdef list unsettled         # members of which the last look is not known to hold
    cdef object wakeup          # rings for callers that wait by the descriptor alone; or None
    cdef unsigned int born
    cdef list held              # what is closed while a descriptor is registered; None: none is
    cdef object __weakref__

    def __init__(self):
        self.sockets, self.by_fd, self.others, self.always = {}, {}, {}, set()
        self.unsettled, self.trackers = [], []
        self.born = generation
        try:
            self.poll = new_poll()
        except OSError as error:
            raise from_errno(error.errno, "cannot wait for several things") from None
        pin(self.poll)  # in a forked child for good: its destructor would close by number

    def __dealloc__(self):
        if self.poll is not None and self.born == generation:
            unpin(self.poll)

    cdef int require(self) except -1:
        if self.poll is None:
            raise errors.ClosedError(errno.EBADF, "this selector is closed")
        if self.born != generation:
            self.adopt()
        return 0

    cdef int adopt(self) except -1:
        """In a forked child, wait with a poll of its own. Its sockets and trackers are the
        parent's."""
        cdef Member member
        for tracker in self.trackers:
            tracker.fileno()  # raises if it is under way
        for member in self.sockets.values():
            member.zsock.require("wait")
        poll = new_poll()
        pin(poll)
        self.poll, self.born, self.wakeup = poll, generation, None
        for fd, mask in self.others.items():
            try:
                poll.watch(fd, (mask & RX) != 0, (mask & TX) != 0)
            except OSError:  # the child has closed it: the call that is made next will tell
                self.always.add(fd)
        return 0

    cdef Py_ssize_t descriptor(self) noexcept:
        return -1 if self.poll is None else self.poll.fileno()

    cdef int look(self) noexcept:
        return RX  # the caller that waits finds out

    def fileno(self):
        """Return the descriptor that rings when a member does; -1 where the system has none."""
        self.require()
        return self.poll.fileno()

    def __repr__(self):
        cdef Member member
        named = []
        for member in list(self.sockets.values())[:3]:
            named.append(repr(member.zsock))
        named += [f"descriptor {fd}" for fd in list(self.others)[:3]]
        count = len(self.sockets) + len(self.others)
        return f"<select of {count} things: {', '.join(named[:3])}>"

    def __reduce__(self):
        raise TypeError("a selector cannot be copied or pickled; make a new one")

    # Members

    def add_socket(self, SocketBase zsock not None, int mask):
        """Wait for a socket from now on; ``mask`` is of RX and TX."""
        cdef Member member
        self.require()
        zsock.require("wait")
        self.enroll(Member(self, zsock, mask))

    cdef int enroll(self, Member member) except -1:
        """Have the poll watch a socket.

        That releases the GIL, so another OS thread may close the socket meanwhile. What it closes
        is held, so that the descriptor's number cannot be another file's before it is watched.
        """
        cdef SocketBase zsock = member.zsock
        cdef bint outer = self.held is None
        self.sockets[member.name] = self.by_fd[member.fd] = member
        zsock.observe(member)
        if zsock.watchers is None:
            zsock.watchers = set()
        zsock.watchers.add(self)
        member.note()
        if outer:
            self.held = []
        try:
            self.poll.watch_edge(member.fd)
            if zsock.closed:  # perhaps before it was watched
                self.poll.forget(member.fd)
        except BaseException as error:
            del self.sockets[member.name]
            self.dismiss(member)
            if not isinstance(error, OSError):
                raise
            zsock.require("wait")
            raise from_errno(error.errno, f"cannot wait for {zsock!r}") from None
        finally:
            if outer:
                self.held = None
        return 0

    def remove_socket(self, SocketBase zsock not None):
        """Wait for it no more; it may be closed."""
        self.dismiss(self.sockets.pop(id(zsock)))

    cdef int dismiss(self, Member member) except -1:
        cdef SocketBase zsock = member.zsock
        zsock.unobserve(member)
        if zsock.watchers is not None:
            zsock.watchers.discard(self)
        self.forget(member.fd, None)
        if member in self.unsettled:
            self.unsettled.remove(member)
        return 0

    def change_socket(self, SocketBase zsock not None, int mask):
        """Wait for other directions of a socket."""
        cdef Member member = self.sockets[id(zsock)]
        member.mask = mask
        member.note()

    def forget(self, fd, closing=None):
        """Watch a socket's descriptor no more: it is about to be closed. From any OS thread."""
        if self.held is not None and closing is not None:
            self.held.append(closing)
        if self.by_fd.pop(fd, None) is not None and self.born == generation:
            if self.poll is not None:
                self.poll.forget(fd)

    def add_descriptor(self, Py_ssize_t fd, int mask):
        """Wait for a descriptor that is no socket of ratchet's, or for other directions of it."""
        cdef SocketBase zsock
        self.require()
        zsock = socket_of(fd)
        if zsock is not None:
            if ~<object> fd not in self.sockets:
                self.enroll(RawMember(self, zsock))
            return
        try:
            self.poll.watch(fd, (mask & RX) != 0, (mask & TX) != 0)
        except PermissionError:
            self.always.add(fd)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None) or errno.EBADF
            raise from_errno(number, f"cannot wait for descriptor {fd}") from None
        self.others[fd] = mask

    def add_tracker(self, Doorbell tracker not None):
        """Note a tracker or monitor whose descriptor is waited for: in a forked child it never
        rings."""
        self.trackers.append(tracker)

    def remove_descriptor(self, Py_ssize_t fd):
        """Wait for it no more; it may be closed."""
        raw = self.sockets.pop(~<object> fd, None)
        if raw is not None:
            self.dismiss(raw)
            return
        del self.others[fd]
        if fd in self.always:
            self.always.discard(fd)
        elif self.born == generation and self.poll is not None:
            self.poll.forget(fd)

    # Waiting

    cdef void tell_caller(self) noexcept:
        """Wake the caller that waits here."""
        if self.rx.count:
            self.ring(RX, None)
        elif self.wakeup is not None:
            ratchet_signal(self.wakeup.write_fileno())

    def rings(self):
        """Have the descriptor ring for all that happens: for a caller that waits by it alone."""
        self.require()
        if self.wakeup is None:
            self.wakeup = new_wakeup()
            self.poll.watch(self.wakeup.fileno(), True, False)
            self.waiting += 1  # from here on, a call on a member looks and tells

    def no_more_rings(self):
        """Undo `rings`."""
        if self.wakeup is not None:
            self.waiting -= 1
            if self.born == generation and self.poll is not None:
                self.poll.forget(self.wakeup.fileno())
            self.wakeup = None

    def harvest(self, seconds=0.0):
        """Return what is ready: a dict from sockets' ids and descriptors to RX | TX.

        Args:
            seconds: how long to sleep in the system for it; None: for ever. Only where nothing else
            can.
        """
        cdef dict found = {}
        cdef list again = [], pending
        cdef Member member
        cdef int events
        self.require()
        for fd in self.always:
            found[~fd] = self.others[fd]
        for fd, mask in self.poll.wait(seconds):
            member = self.by_fd.get(fd)
            if member is not None:
                member.note()
            elif fd in self.others:
                # Whatever else the mask says, the call that is made next will tell.
                events = (RX if mask & READS else 0) | (TX if mask & WRITES else 0)
                found[~fd] = self.others[fd] & events or self.others[fd]
            elif self.wakeup is not None:
                ratchet_drain(self.wakeup.fileno())
        # A member stays noted while it is looked at, for a look may tell of itself.
        pending, self.unsettled = self.unsettled, []
        try:
            while pending:
                member = pending[len(pending) - 1]
                events = member.ready()  # raises if it is closed, and so it stays noted
                pending.pop()
                if events and self.sockets.get(member.name) is member:  # it is not taken out
                    found[member.name] = events
                    again.append(member)
                else:
                    member.noted = False
        finally:
            self.unsettled += again
            self.unsettled += pending
        return found

    cpdef double look_by(self, double deadline):
        """Return when to look again at the latest: at ``deadline`` (monotonic seconds), or sooner
        where no descriptor stands for many."""
        return deadline if self.descriptor() >= 0 else min(deadline, monotonic() + NO_POLL_SLICE)

    def wait(self, double deadline):
        """Pause the calling thread, of whatever kind, until something is ready; return it.

        An empty dict: nothing was ready until ``deadline`` (monotonic seconds).
        """
        cdef Waiter me
        found = self.harvest()
        if found or monotonic() >= deadline:
            return found
        me = waiter_here()
        self.join(self.rx, me)
        try:
            while True:
                me.woken = False
                found = self.harvest()
                if found or monotonic() >= deadline:
                    return found
                if me.runtime is None and self.descriptor() < 0:
                    self.poll.wait(max(0.0, self.look_by(deadline) - monotonic()))
                    breathe()
                    PyErr_CheckSignals()
                else:
                    me.pause(self, soon_if(self.rx.depends(me), self.look_by(deadline)))
        finally:
            self.leave(me)

    def close(self):
        """Give the descriptor back, and leave every member. Idempotent."""
        cdef Member member
        if self.poll is None:
            return
        for member in list(self.sockets.values()):
            member.zsock.unobserve(member)
            if member.zsock.watchers is not None:
                member.zsock.watchers.discard(self)
        self.sockets.clear()
        self.by_fd.clear()
        self.unsettled.clear()
        self.no_more_rings()
        self.unwatch(None)
        poll, self.poll = self.poll, None
        if self.born == generation:
            poll.close()
            unpin(poll)
        self.wake_all()
