# The edge rule of ZMQ_FD: who waits for which direction, when to look, and whom to wake.
#
# ZMQ_FD is a doorbell. It rings once for everything that has happened since the socket was last
# looked at, it does not say what, and any call on the socket may answer it (zmq_getsockopt(3):
# the descriptor is edge-triggered). So whoever calls libzmq may have silenced a ring that was
# meant for someone else, and owes them a look:
#
#     after a call on the socket:     if bell.waiting: bell.ring(bell.look(), None)
#     before sleeping:                try; then look, ring for the others, try again if it says so
#     who gives up:                   leave(), which passes the wake on
#
# A wake carries nothing: the woken waiter tries again itself, so one that is cancelled, killed or
# timed out at that very moment has nothing to lose. `waiting` is what makes this cheap: while
# nobody waits, the whole rule costs one comparison, and a look costs three times a send.
#
# Each direction is a Line, first come first served: only its head is ever woken, and only the
# head may take. A newcomer who finds the line `shut` queues up. A caller in the middle of a
# multi-part message owns the line until the message is complete; it goes to the front, everybody
# else waits.
#
# Nothing here knows libzmq or an event loop. All of it runs with the GIL held and never releases
# it, but `wake` and `look` may be Python code. Cost: join, leave and ring are O(1).

cdef enum:
    RX = 1  # ZMQ_POLLIN
    TX = 2  # ZMQ_POLLOUT

cdef enum:
    ASKED = 1  # something was sent since a receive paused last
    SENT = 2   # something was ever sent: at the exit it may still have to leave


cdef class Caller:
    """One thread of any kind (OS thread, ratchet thread, task), as the owner of a message.

    Its runtime calls `end` when it is over, so that a message it left half done does not shut
    the socket for everybody else.
    """
    cdef readonly bint alive
    cdef set awaited  # the bells at which others wait for this caller to finish its message
    cdef int queued   # how many calls of its own are in lines

    def __cinit__(self):
        self.alive = True

    def end(self):
        """The thread is over: its unfinished messages are dropped and the next waiter wakes."""
        self.finish()

    cdef void finish(self) noexcept:
        cdef Doorbell bell
        self.alive = False
        if self.awaited is not None:
            awaited, self.awaited = self.awaited, None
            for bell in awaited:
                bell.ring(bell.look(), None)


cdef class Waiter:
    """One paused call. A runtime overrides `wake` and `pause`."""
    cdef readonly Caller caller
    cdef public bint woken  # there is reason to try again; cleared by who tries
    cdef bint nested        # its caller waits already, and cannot go on before this call does
    cdef Line line
    cdef Waiter ahead, behind

    def __init__(self, Caller caller not None):
        self.caller = caller

    cpdef wake(self):
        """Make `pause` return soon. From any OS thread; called once per ring."""
        raise NotImplementedError

    cpdef pause(self, Doorbell bell, double until):
        """Sleep until woken, the bell is readable, or ``until`` (monotonic seconds)."""
        raise NotImplementedError

    cpdef bint gone(self):
        """Has what would run it ended? Then it is out of the line."""
        return False

    cpdef promote(self):
        """Told to a sleeping waiter that has become the head and must watch the bell itself."""


cdef class Line:
    """Who waits for one direction of a socket, in order, and who is in the middle of a message."""
    cdef readonly int event
    cdef readonly int count
    cdef readonly bint shut  # see `update`: the one thing a hot path has to read
    cdef bint detour  # the socket has more to do for a call than the hot path does
    cdef readonly Caller owner
    cdef readonly Waiter first, last

    def __init__(self, int event):
        self.event = event

    cdef Waiter turn(self):
        """Whose turn it is: the head's, or of who is in the middle of a message. None: nobody's."""
        cdef Waiter waiter = self.first
        if self.owner is None or not self.owner.alive:
            return waiter
        if self.owner.queued == 0:
            return None
        while waiter is not None and waiter.caller is not self.owner:
            waiter = waiter.behind
        return waiter

    cdef void update(self) noexcept:
        self.shut = self.count > 0 or self.owner is not None or self.detour

    cdef void unlink(self, Waiter waiter) noexcept:
        if waiter.ahead is None:
            self.first = waiter.behind
        else:
            waiter.ahead.behind = waiter.behind
        if waiter.behind is None:
            self.last = waiter.ahead
        else:
            waiter.behind.ahead = waiter.ahead
        waiter.ahead = waiter.behind = None
        waiter.line = None
        waiter.caller.queued -= 1
        self.count -= 1
        ratchet_count_waiters(-1)
        self.update()


cdef class Doorbell:
    """The two lines of one socket and the rule above. A subclass supplies `look` (or `events`)."""
    cdef readonly Line rx, tx
    cdef readonly int waiting  # in both lines
    cdef int asked             # ASKED, SENT: both are set by the one store that a send can afford
    cdef public object watcher  # the runtime that registered the descriptor last
    cdef public set watchers    # all that have; each is told to `forget` it before it closes

    def __cinit__(self, *args, **kwargs):
        self.rx = Line(RX)
        self.tx = Line(TX)

    cdef int look(self) noexcept:
        """What the socket is ready for, RX | TX. Answers the descriptor's signal."""
        return self.events()

    cdef Py_ssize_t descriptor(self) noexcept:
        """The descriptor that rings."""
        return -1

    cdef bint answer_expected(self, Line line) noexcept:
        """Is the one that pauses in ``line`` the first since a send? Asked once for each pause."""
        cdef bint asked = (self.asked & ASKED) != 0 and line is self.rx
        if asked:
            self.asked &= ~ASKED
        return asked

    def join(self, Line line not None, Waiter waiter not None):
        """Queue up; the owner of an unfinished message goes to the front."""
        self.enter(line, waiter)

    def leave(self, Waiter waiter not None):
        """Give up or be done, and pass on what was rung meanwhile."""
        self.exit(waiter)

    def answer(self, Waiter but=None):
        """Look, and wake who can go on now, except ``but``."""
        self.ring(self.look(), but)

    def own(self, Line line not None, Caller caller):
        """``caller`` is in the middle of a message from now on; None: nobody is."""
        self.seize(line, caller)

    def wake_all(self):
        """Wake every waiter: the socket is going away."""
        cdef Line line
        cdef Waiter waiter
        for line in (self.rx, self.tx):
            waiter = line.first
            while waiter is not None:
                tell(waiter)
                waiter = waiter.behind

    cdef void unwatch(self, remains) noexcept:
        """The descriptor is given back when everybody has let go of ``remains``."""
        watchers, self.watchers, self.watcher = self.watchers, None, None
        if watchers is not None:
            for watcher in list(watchers):  # one may be joining them
                watcher.forget(self.descriptor(), remains)

    cdef void enter(self, Line line, Waiter waiter) noexcept:
        while line.first is not None and line.first.gone():
            line.unlink(line.first)
            self.waiting -= 1
        if line.first is not None and (waiter.nested or line.owner is waiter.caller):
            waiter.behind = line.first
            line.first.ahead = waiter
            line.first = waiter
        else:
            if line.owner is not None:
                await_end(line.owner, self)
            waiter.ahead = line.last
            if line.last is None:
                line.first = waiter
            else:
                line.last.behind = waiter
            line.last = waiter
        waiter.line = line
        waiter.caller.queued += 1
        line.count += 1
        ratchet_count_waiters(1)
        line.shut = True
        self.waiting += 1

    cdef void exit(self, Waiter waiter) noexcept:
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

    cdef void seize(self, Line line, Caller caller) noexcept:
        cdef Caller before = line.owner
        line.owner = caller
        line.update()
        if before is not None and before.awaited is not None:
            if self.rx.owner is not before and self.tx.owner is not before:
                before.awaited.discard(self)
        if line.count:
            if caller is not None:
                await_end(caller, self)
            else:
                self.ring(self.look(), None)

    cdef void ring(self, int events, Waiter but) noexcept:
        """Wake whose turn it is in each line that ``events`` lets go on, once."""
        if events & RX:
            self.call(self.rx, but)
        if events & TX:
            self.call(self.tx, but)

    cdef void call(self, Line line, Waiter but) noexcept:
        cdef Waiter head
        while True:
            head = line.turn()
            if head is None or head is but or head.woken and not head.gone():
                return
            if not head.woken and tell(head):
                return
            # Its runtime is gone (a closed event loop): it will never come, so the next is head.
            if head.line is line:
                line.unlink(head)
                self.waiting -= 1


class RuntimeGone(Exception):
    """Raised by `Waiter.wake` when what would run the waiter has ended; another one is woken."""


cdef bint tell(Waiter waiter) noexcept:
    """Wake one. An error is reported, not raised: the message just taken must not be lost to it."""
    waiter.woken = True
    try:
        waiter.wake()
        return True
    except RuntimeGone:
        return False
    except MemoryError as error:  # it stays in line, for the next time that somebody looks
        waiter.woken = False
        report(error, waiter)
        return True
    except BaseException as error:
        report(error, waiter)
        return False


cdef void await_end(Caller owner, Doorbell bell) noexcept:
    if owner.alive:
        if owner.awaited is None:
            owner.awaited = set()
        owner.awaited.add(bell)
