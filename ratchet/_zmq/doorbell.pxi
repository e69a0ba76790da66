# Layer 1. The edge rule of ZMQ_FD: where callers wait, when to look, and which waiter to wake.
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
# Each direction has a Line, first come first served: only its head is ever woken, and only the head
# may try. A newcomer that finds the line `contended` queues up. A caller in the middle of a multi-part
# message owns the line until the message is complete; its calls go to the front and all others wait.
#
# Nothing here knows libzmq or an event loop. All of it runs with the GIL held and never releases it,
# but `wake` and `look` may be Python code. join, leave and ring take constant time.

cdef enum:
    RX = 1  # ZMQ_POLLIN
    TX = 2  # ZMQ_POLLOUT


cdef class Caller:
    """One thread of any kind (OS thread, ratchet thread, task), as the owner of a message.

    Its runtime calls `end` when the thread is over, so that a message that it left half done does
    not block the socket for everybody else.
    """
    cdef readonly bint ended
    cdef set blocked_bells  # the bells where others wait for this caller to finish its message
    cdef int calls_in_line  # how many calls of its own stand in lines

    def end(self):
        """Mark this caller as ended: drop its unfinished messages and wake the next waiter."""
        self.finish()

    cdef void finish(self) noexcept:
        cdef Doorbell bell
        self.ended = True
        if self.blocked_bells is not None:
            bells, self.blocked_bells = self.blocked_bells, None
            for bell in bells:
                bell.ring(bell.look(), None)


cdef class Waiter:
    """One call that waits. A runtime overrides `wake`, and `pause` if its calls block."""
    cdef readonly Caller caller
    cdef public bint woken  # there is reason to try again; cleared by the one that tries
    cdef bint nested        # its caller waits already, and cannot go on before this call does
    cdef Line line
    cdef Waiter before, behind

    def __init__(self, Caller caller not None):
        self.caller = caller

    cpdef wake(self):
        """Make the paused call go on soon. From any OS thread; called once per ring."""
        raise NotImplementedError

    cpdef pause(self, Doorbell bell, double until):
        """Sleep until woken, until the bell is readable, or until ``until`` (monotonic seconds)."""
        raise NotImplementedError

    cpdef bint runtime_ended(self):
        """Return True if the kernel or loop that runs this waiter has ended: it is then skipped."""
        return False

    cpdef promote(self):
        """Tell a sleeping waiter that it has become the head, and so has to watch the bell."""


cdef class Line:
    """The waiters for one direction of a socket, in order, and the owner of an unfinished message."""
    cdef readonly int event
    cdef readonly int count
    cdef readonly bint contended  # see `update`: all that a fast path has to read
    cdef bint bypass_fast_path    # the socket has more to do for a call than the fast path does
    cdef readonly Caller owner
    cdef readonly Waiter first, last

    def __init__(self, int event):
        self.event = event

    cdef Waiter entitled(self):
        """Return the waiter that may try next, or None if nobody may.

        That is the owner of an unfinished message if it stands in line, else the first in line.
        """
        cdef Waiter waiter = self.first
        if self.owner is None or self.owner.ended:
            return waiter
        if self.owner.calls_in_line == 0:
            return None
        while waiter is not None and waiter.caller is not self.owner:
            waiter = waiter.behind
        return waiter

    cdef void update(self) noexcept:
        self.contended = self.count > 0 or self.owner is not None or self.bypass_fast_path

    cdef void unlink(self, Waiter waiter) noexcept:
        if waiter.before is None:
            self.first = waiter.behind
        else:
            waiter.before.behind = waiter.behind
        if waiter.behind is None:
            self.last = waiter.before
        else:
            waiter.behind.before = waiter.before
        waiter.before = waiter.behind = None
        waiter.line = None
        waiter.caller.calls_in_line -= 1
        self.count -= 1
        ratchet_count_waiters(-1)
        self.update()


cdef class Doorbell:
    """The two lines of one socket and the rule above. A subclass supplies `look`."""
    cdef Line rx, tx
    cdef int waiting     # waiters in both lines
    cdef bint asked      # something was sent since a receive last paused
    cdef object watcher  # the runtime that registered the descriptor last
    cdef set watchers    # every runtime that has; each is told to `forget` it before it closes

    def __cinit__(self, *args, **kwargs):
        self.rx = Line(RX)
        self.tx = Line(TX)

    cdef int look(self) noexcept:
        """Return what the socket is ready for, RX | TX. Silences the bell."""
        return 0

    cdef Py_ssize_t descriptor(self) noexcept:
        """Return the descriptor that rings."""
        return -1

    cdef bint could_go_on(self, Waiter waiter) except -1:
        """Return True if ``waiter``, which stands in a line here, could try with success now.

        For callers that wait for readiness only. Rings for the others, since it looks.
        """
        return False

    cdef bint reply_expected(self, Line line) noexcept:
        """Return True for the first pause of a receive after a send."""
        cdef bint asked = self.asked and line is self.rx
        if asked:
            self.asked = False
        return asked

    cdef void wake_all(self) noexcept:
        """Wake every waiter: the socket is going away."""
        cdef Line line
        cdef Waiter waiter
        for line in (self.rx, self.tx):
            waiter = line.first
            while waiter is not None:
                tell(waiter)
                waiter = waiter.behind

    cdef void unwatch(self, closing) noexcept:
        """Have every runtime forget the descriptor; it is given back when ``closing`` is dropped."""
        watchers, self.watchers, self.watcher = self.watchers, None, None
        if watchers is not None:
            for watcher in list(watchers):  # another one may be joining them
                watcher.forget(self.descriptor(), closing)

    cdef void join(self, Line line, Waiter waiter) noexcept:
        """Queue up; the owner of an unfinished message goes to the front."""
        while line.first is not None and line.first.runtime_ended():
            line.unlink(line.first)
            self.waiting -= 1
        if line.first is not None and (waiter.nested or line.owner is waiter.caller):
            waiter.behind = line.first
            line.first.before = waiter
            line.first = waiter
        else:
            if line.owner is not None:
                note_blocked(line.owner, self)
            waiter.before = line.last
            if line.last is None:
                line.first = waiter
            else:
                line.last.behind = waiter
            line.last = waiter
        waiter.line = line
        waiter.caller.calls_in_line += 1
        line.count += 1
        ratchet_count_waiters(1)
        line.contended = True
        self.waiting += 1

    cdef void leave(self, Waiter waiter) noexcept:
        """Give up or be done; pass on what was rung meanwhile."""
        cdef Line line = waiter.line
        cdef bint head
        if line is None:
            return
        head = line.first is waiter
        line.unlink(waiter)
        self.waiting -= 1
        if self.waiting:
            self.ring(self.look(), None)
            if head and line.first is not None and not line.first.woken:
                line.first.promote()

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
            else:
                self.ring(self.look(), None)

    cdef void ring(self, int events, Waiter but) noexcept:
        """In each direction that ``events`` names, wake the waiter that may try, once.

        ``but`` is not woken: it is the one that looked.
        """
        if events & RX:
            self.ring_line(self.rx, but)
        if events & TX:
            self.ring_line(self.tx, but)

    cdef void ring_line(self, Line line, Waiter but) noexcept:
        cdef Waiter head
        while True:
            head = line.entitled()
            if head is None or head is but or head.woken and not head.runtime_ended():
                return
            if not head.woken and tell(head):
                return
            # Its runtime has ended (a closed event loop), so it will never try: go to the next one.
            if head.line is line:
                line.unlink(head)
                self.waiting -= 1


class RuntimeGone(Exception):
    """Raised by `Waiter.wake` when what would run the waiter has ended; another one is woken."""


cdef bint tell(Waiter waiter) noexcept:
    """Wake a waiter. An error is reported, not raised: a message just taken must not be lost to it."""
    waiter.woken = True
    try:
        waiter.wake()
        return True
    except RuntimeGone:
        return False
    except MemoryError as error:  # it stays in line, for the next look
        waiter.woken = False
        report(error, waiter)
        return True
    except BaseException as error:
        report(error, waiter)
        return False


cdef void note_blocked(Caller owner, Doorbell bell) noexcept:
    """Have ``bell`` rung when ``owner`` ends: others wait there for it to finish its message."""
    if not owner.ended:
        if owner.blocked_bells is None:
            owner.blocked_bells = set()
        owner.blocked_bells.add(bell)


# What Python code of this package may do with a bell. They are functions, since a socket is a
# Doorbell and its users have no use for them.

def check(Doorbell bell not None, Waiter but=None):
    """Look, and wake the waiters that can go on now, except ``but``."""
    bell.ring(bell.look(), but)


def waiting_calls(Doorbell bell not None):
    """Return how many calls wait in both lines."""
    return bell.waiting


def lines_of(Doorbell bell not None):
    """Return the two lines of a bell, for receiving and for sending."""
    return bell.rx, bell.tx


def join(Doorbell bell not None, bint write, Waiter waiter not None):
    """Queue up for sending (``write``) or for receiving."""
    bell.join(bell.tx if write else bell.rx, waiter)


def leave(Doorbell bell not None, Waiter waiter not None):
    """Give up or be done."""
    bell.leave(waiter)


def could_go_on(Doorbell bell not None, Waiter waiter not None):
    """Return True if ``waiter``, which stands in a line of ``bell``, could go on now."""
    return bell.could_go_on(waiter)


def add_watcher(Doorbell bell not None, runtime):
    """Note that ``runtime`` watches the descriptor, so that it is told before that closes.

    Returns:
        bool: False: it does so already.
    """
    bell.watcher = runtime
    if bell.watchers is None:
        bell.watchers = set()
    if runtime in bell.watchers:
        return False
    bell.watchers.add(runtime)
    return True


def remove_watcher(Doorbell bell not None, runtime):
    """Note that ``runtime`` watches no more. Returns False if it did not."""
    if bell.watcher is runtime:
        bell.watcher = None
    if bell.watchers is None or runtime not in bell.watchers:
        return False
    bell.watchers.discard(runtime)
    return True


cdef class OpenDoorbell(Doorbell):
    """A doorbell whose readiness a subclass in Python tells: for tests of the rule."""

    cdef int look(self) noexcept:
        return self.events()

    def events(self):
        """Return what it is ready for; a look."""
        return 0

    def own(self, bint write, Caller caller):
        """Make ``caller`` the owner of a line; None: nobody."""
        self.set_owner(self.tx if write else self.rx, caller)

    def close(self):
        """Wake every waiter, as a socket does that closes."""
        self.wake_all()
