# Layer 1. Where callers wait: their runtime, one paused call, the line for one direction.
#
# A runtime may stop: an event loop between two `run_until_complete`, a kernel that an exception
# left. Its waiters keep their places, but those that run go first: `leader` passes over the others,
# and a half message of theirs is set `aside` until they come back. Nobody tells when a runtime
# stops after one of its waiters was woken, so a waiter that stands behind one of another runtime
# also looks now and then (`depends`; docs/decisions/023-stopped-runtimes.md).

cdef enum:
    RX = 1  # ZMQ_POLLIN
    TX = 2  # ZMQ_POLLOUT


cdef class Bell:
    """What a waiter knows of the socket that it waits for."""
    cdef object watcher  # the runtime that registered the descriptor last

    cdef int look(self) noexcept:
        """Return what the socket is ready for, RX | TX. Silences the bell."""
        return 0

    cdef void check_lines(self) noexcept:
        """Look, and wake the waiters that can go on now."""

    cdef Py_ssize_t descriptor(self) noexcept:
        """Return the descriptor that rings."""
        return -1

    cdef bint reply_expected(self, Line line) noexcept:
        """Return True for the first pause of a receive after a send."""
        return False


cdef class Runtime:
    """The seam between sockets and what runs their callers: a kernel, a hub, an event loop.

    A new kind of thread is a subclass of this and of Waiter, in a module of its own. An OS thread
    needs none: it always runs.
    """
    cdef int budget  # calls until the running caller must let the others run

    cdef Caller caller(self):
        """Return the caller that runs now; None: none of this runtime, but the OS thread."""
        return None

    cdef Waiter waiter(self, Caller me):
        """Return a waiter for ``me``, of a call that blocks."""
        raise NotImplementedError

    cdef int let_others_run(self) except -1:
        """Give every other caller that can run its turn. Called when `budget` is used up."""
        return 0

    cdef bint stopped(self) except -1:
        """Return True if nothing runs here now, though it may later."""
        return False

    cdef bint ended(self) except -1:
        """Return True if nothing can ever run here again: its waiters leave their lines."""
        return False

    def sleep_on(self, fd, seconds):
        """Let its callers run until ``fd`` is readable, for ``seconds`` at most (None: no limit).

        For a kernel that sleeps in the OS thread of another runtime. False: it cannot.
        """
        return False

    def watch(self, bell):
        """Ring ``bell`` when its descriptor does, from now on."""
        raise NotImplementedError

    def forget(self, fd, closing):
        """Watch a descriptor no more. From any OS thread; hold ``closing`` until that is done."""
        raise NotImplementedError


cdef class Caller:
    """One thread of any kind (OS thread, ratchet thread, task), as the owner of a message.

    Its runtime calls `end` when the thread is over, so that a message that it left half done does
    not block the socket for everybody else.
    """
    cdef readonly bint ended
    cdef Runtime runtime    # None: an OS thread
    cdef bint silent        # nobody may tell when it is over
    cdef set blocked_bells  # the bells where others wait for this caller to finish its message
    cdef int calls_in_line  # how many calls of its own stand in lines

    def end(self):
        """Mark this caller as ended: drop its unfinished messages and wake the next waiter."""
        self.finish()

    cdef void finish(self) noexcept:
        cdef Bell bell
        self.ended = True
        if self.blocked_bells is not None:
            bells, self.blocked_bells = self.blocked_bells, None
            for bell in bells:
                bell.check_lines()

    cdef bint stopped(self) except -1:
        return self.runtime is not None and self.runtime.stopped()

    cdef bint gone(self) except -1:
        """Return True if it can never go on: it has ended, or its runtime has."""
        return self.ended or (self.runtime is not None and self.runtime.ended())


cdef class Waiter:
    """One call that waits. A subclass has `wake`, and `pause` if its calls block."""
    cdef readonly Caller caller
    cdef Runtime runtime    # None: an OS thread
    cdef public bint woken  # there is reason to try again; cleared by the one that tries
    cdef bint nested        # its caller waits already, and cannot go on before this call does
    cdef Line line
    cdef Waiter before, behind

    def __init__(self, Caller caller not None):
        self.caller = caller

    cpdef wake(self):
        """Make the paused call go on soon. From any OS thread; called once per ring."""
        raise NotImplementedError

    cpdef pause(self, Bell bell, double until):
        """Sleep until woken, until the bell is readable, or until ``until`` (monotonic seconds)."""
        raise NotImplementedError

    cpdef promote(self):
        """Tell a sleeping waiter that it has become the leader, and so has to watch the bell."""

    cdef void is_over(self) noexcept:
        """Note that its call waits no more, whatever has come of it."""

    cdef bint stopped(self) except -1:
        """Return True if its runtime does not run now."""
        return self.runtime.stopped()


cdef class Observer:
    """One wait for readiness that takes nothing, of a select (`selecting.pxi`)."""
    cdef int mask  # RX | TX

    cdef bint call_made(self) noexcept:
        """Note a call, which may have silenced the bell. True: it sleeps, and a look is owed."""
        return False

    cdef void rung(self) noexcept:
        """Note that the socket is ready for something in `mask`, or is closed."""


cdef class Line:
    """The waiters for one direction of a socket, in order, and the owner of a half message."""
    cdef readonly int event  # what its waiters are woken for: RX, TX
    cdef int handed_on       # what the next one is woken for, whatever has happened: TX, or 0
    cdef readonly int count
    cdef readonly bint contended  # see `update`: all that a fast path has to read
    cdef bint bypass_fast_path    # the socket has more to do for a call than the fast path does
    cdef dict aside               # half messages of callers that are stopped; None: there are none
    cdef readonly Caller owner
    cdef readonly Waiter first, last

    def __init__(self, int event):
        self.event = event

    cdef Waiter entitled(self, Waiter me):
        """Return the waiter that may try next, or None if nobody may.

        That is the owner of an unfinished message if it stands in line, else the leader.

        Args:
            me: the one that asks, which therefore runs.
        """
        cdef Waiter waiter = self.first
        if self.owner is None or self.owner.ended or self.owner.stopped():
            return self.leader(me)
        if self.owner.calls_in_line == 0:
            return None
        while waiter is not None and waiter.caller is not self.owner:
            waiter = waiter.behind
        return waiter

    cdef Waiter leader(self, Waiter me):
        """Return the first waiter whose runtime runs; the first of all if none does."""
        cdef Waiter waiter = self.first
        cdef Runtime stopped = None
        if waiter is self.last:
            return waiter
        while waiter is not None:
            if waiter is me or waiter.runtime is None:
                return waiter
            if waiter.runtime is not stopped:
                if not waiter.stopped():
                    return waiter
                stopped = waiter.runtime
            waiter = waiter.behind
        return self.first

    cdef bint leads(self, Waiter waiter) noexcept:
        """Return True if ``waiter``, which runs, has to watch the bell: nothing before it runs."""
        return self.leader(waiter) is waiter

    cdef void promote_leader(self) noexcept:
        """Tell the waiter that leads now."""
        cdef Waiter leader = self.leader(None)
        if leader is not None and not leader.woken:
            leader.promote()

    cdef bint depends(self, Waiter me) noexcept:
        """Return True if what is before ``me`` may stop without a word while ``me`` runs.

        Of neighbours of one runtime only the first depends: it looks for them all.
        """
        cdef Runtime before
        if me.before is not None:
            before = me.before.runtime
        elif self.owner is not None:
            if self.owner.silent:
                return True
            before = self.owner.runtime
        else:
            return False
        return before is not None and before is not me.runtime

    cdef inline bint only_bypasses(self) noexcept:
        """Return True if it is contended merely because the fast path must be bypassed."""
        return self.bypass_fast_path and self.count == 0 and self.owner is None

    cdef void update(self) noexcept:
        self.contended = (
            self.count > 0 or self.owner is not None or self.bypass_fast_path
            or self.aside is not None
        )

    cdef void put_first(self, Waiter waiter) noexcept:
        waiter.behind = self.first
        if self.first is None:
            self.last = waiter
        else:
            self.first.before = waiter
        self.first = waiter
        waiter.line = self

    cdef void put_last(self, Waiter waiter) noexcept:
        waiter.before = self.last
        if self.last is None:
            self.first = waiter
        else:
            self.last.behind = waiter
        self.last = waiter
        waiter.line = self

    cdef void take_out(self, Waiter waiter) noexcept:
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
