# Layer 8. A proxy: both directions, and how it waits, stops and lets others run.
#
# It passes messages on in bursts (`transfer.pxi`) and waits as a select does (`selection.pxi`): for
# a message where the other side has room, for room where a message is there.

cdef class Side(Member):
    """One socket of a proxy, in the Selection in which it waits."""
    cdef bint any_ring  # whatever happens there is a reason to go on
    cdef bint known     # it is known that nothing is to be received
    cdef bint asleep    # nobody looks before the bell rings; else the proxy does, before it sleeps

    cdef void begin(self) noexcept:
        self.mask, self.any_ring, self.known = 0, False, False

    cdef bint call_made(self) noexcept:
        return self.asleep

    cdef bint is_ready(self) except -1:
        """Return True if it is ready for something in `mask`; else its bell rings for that."""
        cdef SocketBase zsock = self.zsock
        if self.mask == 0 or self.mask == RX and self.known:
            return False
        if zsock.touched != zsock.looked_at:
            zsock.require("wait")
            zsock.look()
            if zsock.waiting > 1:
                zsock.ring(zsock.events, None)
        return (zsock.events & self.mask) != 0

    cdef int ready(self) except -1:
        cdef bint rang = self.any_ring and ratchet_readable(self.fd)
        return Member.ready(self) | (SOMETHING if rang else 0)


cdef class Forwarding:
    """Both directions of a proxy, and its waits. `proxying.py` runs it."""
    cdef SocketBase frontend, backend, capture
    cdef Transfer there, back   # from the frontend, and from the backend; None: nothing goes there
    cdef Selection selection
    cdef Side front, rear       # one and the same for an echo
    cdef bint paused, stopping
    cdef double stop_at         # monotonic seconds: the end of the time to pass on what was taken
    cdef double began           # when other OS threads last had the GIL
    cdef bint gil_wanted        # they did want it
    cdef object ended           # a Wakeup

    def __init__(self, SocketBase frontend, SocketBase backend, SocketBase capture):
        self.frontend, self.backend, self.capture = frontend, backend, capture
        self.stop_at = INFINITY
        self.require()
        if frontend.kind.receives and backend.kind.sends:
            self.there = Transfer(frontend, backend, capture)
        if backend is not frontend and backend.kind.receives and frontend.kind.sends:
            self.back = Transfer(backend, frontend, capture)
        self.selection = Selection()
        try:
            self.front = self.rear = Side(self.selection, frontend, 0)
            self.selection.enroll(self.front)
            if backend is not frontend:
                self.rear = Side(self.selection, backend, 0)
                self.selection.enroll(self.rear)
            if capture is not None:
                self.selection.enroll(Side(self.selection, capture, 0))
        except BaseException:
            self.selection.close()
            raise

    cdef int require(self) except -1:
        """Raise unless all sockets are open."""
        self.frontend.require("proxy")
        self.backend.require("proxy")
        if self.capture is not None:
            self.capture.require("proxy")
        return 0

    def fault(self):
        """Return why there can be no such proxy, or None."""
        cdef SocketBase capture = self.capture
        if self.there is None and self.back is None:
            return (
                f"cannot proxy between {self.frontend.describe()} and {self.backend.describe()}: "
                "of neither what it receives can be sent by the other"
            )
        if capture is None:
            return None
        if capture is self.frontend or capture is self.backend:
            return f"the capture, a {capture.describe()}, is one of the two sockets of the proxy"
        if not (capture.kind.full_is_unwritable or capture.kind.publishes):
            return (
                f"a {capture.describe()} cannot be the capture of a proxy; a PUB, XPUB, PUSH, "
                "DEALER or PAIR can"
            )
        return None

    def move(self):
        """Pass on what can be, up to a burst each way. Returns False if it has to wait now."""
        cdef bint reads = not (self.paused or self.stopping), more = False
        self.front.asleep = self.rear.asleep = False
        self.require()
        if self.there is not None:
            self.there.move(reads)
            more = self.there.left == MORE
        if self.back is not None:
            self.back.move(reads)
            more = more or self.back.left == MORE
        return more

    def let_others_run(self):
        """Between two bursts, let other callers of this runtime, or other OS threads, go on."""
        cdef Runtime runtime = runtime_here()
        cdef double now
        if runtime is not None:
            runtime.let_others_run()
            return
        now = monotonic()
        if now - self.began < (PROXY_SLICE if self.gil_wanted else 4 * PROXY_SLICE):
            return
        with nogil:
            ratchet_nap()
        self.began = monotonic()
        self.gil_wanted = self.began - now > SLOW_GIL

    # Waiting

    cpdef double prepare(self):
        """Find out what to wait for, and look; return until when to wait at the latest.

        0: there is no need to wait.
        """
        cdef double until = self.stop_at
        cdef Transfer transfer
        cdef Side side
        self.front.begin()
        self.rear.begin()
        for transfer in (self.there, self.back):
            if transfer is None or (transfer.count == 0 and (self.paused or self.stopping)):
                continue
            if transfer.left == EMPTY:
                side = self.side_of(transfer.source)
                side.mask |= RX
                side.known = transfer.is_empty()
            elif transfer.left == FULL:
                side = self.side_of(transfer.target)
                side.mask |= TX
            elif transfer.left == STUCK:
                self.side_of(transfer.target).any_ring = True
                until = min(until, monotonic() + REKNOCK)
            else:
                until = min(until, monotonic() + PROXY_SLICE)
        if self.front.is_ready() or self.rear.is_ready():
            return 0
        self.front.asleep = self.rear.asleep = True
        return until

    cdef Side side_of(self, SocketBase zsock):
        return self.front if zsock is self.frontend else self.rear

    def wait(self):
        """Pause the calling thread, of whatever kind, until there is reason to go on."""
        cdef Selection selection = self.selection
        cdef Waiter me = waiter_here()
        selection.join(selection.rx, me)
        try:
            me.woken = False
            until = self.prepare()
            if until == 0 or self.over():
                return
            if me.runtime is None and selection.descriptor() < 0:
                selection.harvest(max(0.0, selection.look_by(until) - monotonic()))
                breathe()
                PyErr_CheckSignals()
            else:
                me.pause(selection, soon_if(selection.rx.depends(me), selection.look_by(until)))
        finally:
            selection.leave(me)
        selection.harvest()  # look at what rang, and silence it

    @property
    def bell(self):
        """The Selection, for callers that wait by its descriptor."""
        return self.selection

    def is_time(self):
        """Return True if it is time to let others run, for a loop whose turns cost more."""
        cdef double now = monotonic()
        if now - self.began < PROXY_SLICE:
            return False
        self.began = now
        return True

    # Orders, from any thread

    def order(self, bint paused):
        """Have it read no more, or read again."""
        self.paused = paused
        self.selection.tell_caller()

    def stop(self, double stop_at):
        """Have it end when what was taken is passed on, or at ``stop_at`` (monotonic seconds)."""
        self.stopping = True
        self.stop_at = stop_at
        self.selection.tell_caller()

    cpdef bint over(self):
        """Return True if it was told to stop, and has."""
        if not self.stopping:
            return False
        if self.there is not None and self.there.count or self.back is not None and self.back.count:
            return monotonic() >= self.stop_at
        return True

    def make_end(self):
        """Have a descriptor that is readable once `tell_end` was called."""
        self.ended = new_wakeup()

    def tell_end(self):
        """Tell that nothing is passed on any more."""
        ratchet_signal(self.ended.write_fileno())

    def fileno(self):
        """Return the descriptor of `make_end`."""
        return self.ended.fileno()

    def counts(self):
        """Return messages and bytes from the frontend, the same from the backend, and dropped."""
        cdef Transfer there = self.there, back = self.back
        cdef uint64_t dropped = 0
        found = []
        for transfer in (there, back):
            if transfer is None:
                found += [0, 0]
            else:
                found += [(<Transfer> transfer).messages, (<Transfer> transfer).volume]
                dropped += (<Transfer> transfer).dropped
        return (*found, dropped)

    def close(self):
        """Hand back what was taken and not passed on, and leave the sockets. Idempotent."""
        try:
            if self.there is not None:
                self.there.hand_back()
            if self.back is not None:
                self.back.hand_back()
        finally:
            self.selection.close()
