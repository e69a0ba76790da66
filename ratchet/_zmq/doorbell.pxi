# Layer 1. The edge rule of ZMQ_FD: when to look, and which waiter to wake.
#
# ZMQ_FD is a doorbell. It rings once for everything that has happened since the socket was last
# looked at, it does not say what happened, and any call on the socket may silence it
# (zmq_getsockopt(3): the descriptor is edge-triggered). So a call on libzmq may swallow a ring that
# was meant for another caller, and owes that caller a look:
#
#     after a call on the socket:     if bell.waiting: bell.ring(bell.look(), None)
#     before sleeping:                try; look and ring for the others; try again if events say so
#     when giving up:                 leave(), which passes the wake-up on
#
# To look is to read ZMQ_EVENTS, which silences the bell. To ring is to wake those whom the events
# concern. A wake-up carries no message: the woken waiter tries again itself, so a waiter that is
# cancelled, killed or out of time at that moment has nothing to lose. `waiting` makes this cheap:
# while it is 0, the whole rule costs one comparison; a look costs three times a send.
#
# Each direction has a Line, first come first served: only its leader is ever woken, and only the
# leader may try. A newcomer that finds the line `contended` queues up. A caller in the middle of a
# multi-part message owns the line until the message is complete; its calls go to the front and all
# others wait.
#
# Nothing here knows libzmq or an event loop. All of it runs with the GIL held and never releases
# it, but `wake` and `look` may be Python code. join, leave and ring take constant time.

cdef enum:
    ASKED = 1  # something was sent since a receive last paused
    SENT = 2   # something was ever sent: at the exit it may still have to leave
    BY_REQUEST = 4  # what was sent last was by a `request`


cdef class Doorbell(Bell):
    """The two lines of one socket and the rule above. A subclass supplies `look`."""
    cdef Line rx, tx
    cdef int waiting   # waiters in both lines, and observers
    cdef int asked     # ASKED | SENT by the one store that a send can afford, and BY_REQUEST
    cdef set watchers  # every runtime that watches; each is told to `forget` before it closes
    cdef list observers  # those that want to know of readiness and take nothing; None: nobody does

    def __cinit__(self, *args, **kwargs):
        self.rx = Line(RX)
        self.tx = Line(TX)

    cdef void check_lines(self) noexcept:
        self.ring(self.look(), None)

    cdef bint could_go_on(self, Waiter waiter) except -1:
        """Return True if ``waiter``, which stands in a line here, could try with success now.

        For callers that wait for readiness only. Rings for the others, since it looks.
        """
        return False

    cdef bint reply_expected(self, Line line) noexcept:
        cdef bint asked = (self.asked & ASKED) != 0 and line.event == RX
        if asked:
            self.asked &= ~ASKED
        return asked

    cdef void observe(self, Observer observer):
        """Tell ``observer`` of readiness from now on; it takes no turn in any line."""
        if self.observers is None:
            self.observers = []
        self.observers.append(observer)
        self.waiting += 1

    cdef void unobserve(self, Observer observer):
        if self.observers is not None and observer in self.observers:
            self.observers.remove(observer)
            self.waiting -= 1
            if not self.observers:
                self.observers = None

    cdef void settle(self) noexcept:
        """After a call on the socket, look for those that sleep, and note it for others."""
        cdef Observer observer
        cdef bint sleeps = self.rx.count > 0 or self.tx.count > 0
        if self.observers is not None:
            for observer in self.observers:
                sleeps = observer.call_made() or sleeps
        if sleeps:
            self.ring(self.look(), None)

    cdef void wake_all(self) noexcept:
        """Wake every waiter: the socket is going away."""
        cdef Line line
        cdef Waiter waiter
        if self.observers is not None:
            for observer in list(self.observers):
                (<Observer> observer).rung()
        for line in (self.rx, self.tx):
            waiter = line.first
            while waiter is not None:
                tell(waiter)
                waiter = waiter.behind

    cdef void unwatch(self, closing) noexcept:
        """Have every runtime forget the descriptor, given back when ``closing`` is dropped."""
        watchers, self.watchers, self.watcher = self.watchers, None, None
        if watchers is not None:
            for watcher in list(watchers):  # another one may be joining them
                forget_in(watcher, self.descriptor(), closing)

    cdef void join(self, Line line, Waiter waiter) noexcept:
        """Queue up; the owner of an unfinished message goes to the front."""
        while line.first is not None and has_ended(line.first):
            self.unlink(line.first)
        if line.first is not None and (
            waiter.nested or line.owner is waiter.caller
            or line.aside is not None and waiter.caller in line.aside
        ):
            line.put_first(waiter)
        else:
            if line.owner is not None:
                note_blocked(line.owner, self)
            line.put_last(waiter)
        waiter.caller.calls_in_line += 1
        line.count += 1
        ratchet_count_waiters(1)
        line.contended = True
        self.waiting += 1
        if waiter.behind is not None:
            self.warn(line, waiter.behind)

    cdef void unlink(self, Waiter waiter) noexcept:
        """Take ``waiter`` out of its line."""
        cdef Line line = waiter.line
        line.take_out(waiter)
        waiter.caller.calls_in_line -= 1
        line.count -= 1
        ratchet_count_waiters(-1)
        line.update()
        self.waiting -= 1

    cdef void warn(self, Line line, Waiter waiter) noexcept:
        """Wake a sleeping waiter if a change before it means that it has to look by itself."""
        if waiter.line is line and not waiter.woken and line.depends(waiter):
            tell(waiter)

    cdef void leave(self, Waiter waiter) noexcept:
        """Give up or be done; pass on what was rung meanwhile."""
        cdef Line line = waiter.line
        cdef Waiter behind
        cdef bint led
        if line is None:
            return
        led = line.first is waiter or line.leads(waiter)
        behind = waiter.behind
        self.unlink(waiter)
        if self.waiting:
            self.ring(self.look() | line.handed_on, None)
            if led:
                line.promote_leader()
            if behind is not None:
                self.warn(line, behind)

    cdef void set_owner(self, Line line, Caller caller) noexcept:
        """Make ``caller`` the one in the middle of a message; None: nobody is any more."""
        cdef Caller before = line.owner
        line.owner = caller
        line.update()
        if before is not None and before.blocked_bells is not None:
            if self.rx.owner is not before and self.tx.owner is not before:
                before.blocked_bells.discard(self)
        if line.count:
            if caller is not None:
                note_blocked(caller, self)
                self.warn(line, line.first)
            else:
                self.ring(self.look(), None)

    cdef void ring(self, int events, Waiter but) noexcept:
        """In each direction that ``events`` names, wake the waiter that may try, once.

        ``but`` is not woken: it is the one that looked.
        """
        if events & RX:
            self.ring_line(self.rx, but)
        if events & self.tx.event:
            self.ring_line(self.tx, but)
        if self.observers is not None:
            for observer in list(self.observers):
                if events & (<Observer> observer).mask:
                    (<Observer> observer).rung()

    cdef void ring_line(self, Line line, Waiter but) noexcept:
        cdef Waiter head
        cdef Told told
        while True:
            head = line.entitled(but)
            if head is not None and head is not line.first:
                self.remind(line, head)
            if head is None or head is but or head.woken and not has_ended(head):
                return
            if not head.woken:
                told = tell(head)
                if told == HEARD:
                    return
                if told == DEAF:  # it can be told again, but the others need not wait for that
                    head.woken = False
                    if head.line is not line or line.last is head or line.owner is head.caller:
                        return
                    line.take_out(head)
                    line.put_last(head)
                    continue
            # Its runtime has ended (a closed event loop), so it will never try: go to the next one.
            if head.line is line:
                self.unlink(head)

    cdef void remind(self, Line line, Waiter head) noexcept:
        """Wake the stopped waiters before ``head``, so that they look when they run again."""
        cdef Waiter behind, waiter = line.first
        cdef Runtime before = None
        cdef bint stopped = False, ended = False
        while waiter is not None and waiter is not head:
            behind = waiter.behind
            if waiter.runtime is not before:
                before = waiter.runtime
                stopped = before is not None and before.stopped()
                ended = stopped and before.ended()
            if stopped and (ended or not waiter.woken):
                if tell(waiter) == GONE and waiter.line is line:
                    self.unlink(waiter)
            waiter = behind


class RuntimeGone(Exception):
    """Raised by `Waiter.wake` when what would run the waiter has ended; another one is woken."""


cdef void note_blocked(Caller owner, Doorbell bell) noexcept:
    """Have ``bell`` rung when ``owner`` ends: others wait there for it to finish its message."""
    if not owner.ended:
        if owner.blocked_bells is None:
            owner.blocked_bells = set()
        owner.blocked_bells.add(bell)


# A runtime's `wake` may be Python code, in which a signal handler may run and raise: as Ctrl-C
# does, or a watchdog's SIGALRM. That is no fault of the runtime, which is asked again; and the
# exception is raised a moment later (`postpone`), for the message just taken must not be lost to
# it.

cdef enum Told:
    GONE   # its runtime has ended
    HEARD
    DEAF   # waking it failed each time

cdef enum:
    TRIES = 3  # what fails so often has a fault of its own


cdef list also(list caught, error):
    """Add an error to those that were caught."""
    if caught is None:
        return [error]
    caught.append(error)
    return caught


cdef Told tell(Waiter waiter) noexcept:
    """Wake a waiter. An error is reported or postponed, not raised."""
    cdef int left = TRIES
    cdef list caught = None  # made when it is needed: there may be no memory to wake anybody
    cdef Told told = HEARD
    waiter.woken = True
    while True:
        try:
            waiter.wake()
            break
        except RuntimeGone:
            told = GONE
            break
        except MemoryError as error:  # it stays in line, for the next look
            waiter.woken = False
            report(error, waiter)
            break
        except BaseException as error:
            caught = also(caught, error)
            left -= 1
            if left == 0:
                told = DEAF
                break
    if caught is not None:
        postpone(caught, told != DEAF, waiter)
    return told


cdef bint has_ended(Waiter waiter) noexcept:
    """Return True if the waiter's runtime has ended."""
    cdef int left = TRIES
    cdef list caught = None
    cdef bint ended = False
    if waiter.runtime is None:
        return False
    while left > 0:
        try:
            ended = waiter.runtime.ended()
            break
        except BaseException as error:
            left -= 1
            caught = also(caught, error)
    if caught is not None:
        postpone(caught, left > 0, waiter)
    return ended


cdef void forget_in(watcher, Py_ssize_t fd, closing) noexcept:
    """Have a runtime forget a descriptor."""
    cdef int left = TRIES
    cdef list caught = None
    while left > 0:
        try:
            watcher.forget(fd, closing)
            break
        except BaseException as error:
            left -= 1
            caught = also(caught, error)
    if caught is not None:
        postpone(caught, left > 0, watcher)
