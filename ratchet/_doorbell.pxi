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
# A runtime may stop: a loop between two `run_until_complete`, a kernel that an exception left. Its
# waiters keep their places, but those that run go first: `leader` passes over the others, `call`
# wakes them as well, so that they look for themselves when they run again, and a half message of
# theirs is set `aside` until they come back. Nobody tells when a runtime stops after one of its
# waiters was woken; so whoever stands behind one of another runtime also looks now and then
# (`depends`; docs/decisions/023-stopped-runtimes.md).
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

    cdef object runtime(self):
        """What runs it and may stop: a kernel, a loop. None: nothing; an OS thread runs always."""
        return None

    cdef bint stopped(self) except -1:
        """Does its runtime not run now?"""
        return False

    cdef bint gone(self) except -1:
        """Has its runtime ended, so that it never runs again?"""
        return False

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

    cpdef object runtime(self):
        """As of a Caller."""
        return None

    cpdef bint stopped(self):
        """As of a Caller; asked only if there is a runtime."""
        return False

    cpdef promote(self):
        """Told to a sleeping waiter that has become the head and must watch the bell itself."""


cdef class Line:
    """Who waits for one direction of a socket, in order, and who is in the middle of a message."""
    cdef readonly int event
    cdef readonly int count
    cdef readonly bint shut  # see `update`: the one thing a hot path has to read
    cdef bint detour  # the socket has more to do for a call than the hot path does
    cdef dict aside   # half messages of callers that are stopped; None: there are none
    cdef readonly Caller owner
    cdef readonly Waiter first, last

    def __init__(self, int event):
        self.event = event

    cdef Waiter turn(self, Waiter me):
        """Whose turn it is: the leader's, or of who is in the middle of a message. None: nobody's.

        ``me``: it asks, and so it runs.
        """
        cdef Waiter waiter = self.first
        if self.owner is None or not self.owner.alive or self.owner.stopped():
            return self.leader(me)
        if self.owner.queued == 0:
            return None
        while waiter is not None and waiter.caller is not self.owner:
            waiter = waiter.behind
        return waiter

    cdef Waiter leader(self, Waiter me):
        """The first that runs; the first of all if none does."""
        cdef Waiter waiter = self.first
        if waiter is self.last:
            return waiter
        stopped = None
        while waiter is not None:
            if waiter is me:
                return waiter
            runtime = waiter.runtime()
            if runtime is None:
                return waiter
            if runtime is not stopped:
                if not waiter.stopped():
                    return waiter
                stopped = runtime
            waiter = waiter.behind
        return self.first

    cdef bint leads(self, Waiter waiter) noexcept:
        """Do all before ``waiter``, which runs, not run? Then it watches the bell."""
        return self.leader(waiter) is waiter

    cdef void promote(self) noexcept:
        """Another one has become the leader."""
        cdef Waiter leader = self.leader(None)
        if leader is not None and not leader.woken:
            leader.promote()

    cdef bint depends(self, Waiter me) noexcept:
        """May what is before ``me`` stop without a word, while ``me`` runs?

        Only the first of those who stand together and have one runtime: it looks for them all.
        """
        if me.ahead is not None:
            before = me.ahead.runtime()
        elif self.owner is not None:
            before = self.owner.runtime()
        else:
            return False
        return before is not None and before is not me.runtime()

    cdef inline bint is_detour(self) noexcept:
        """Is it shut only for the sake of more to do, with nobody before?"""
        return self.detour and self.count == 0 and self.owner is None

    cdef void to_end(self, Waiter waiter) noexcept:
        """Let the others go first; it is not the last one."""
        if waiter.ahead is None:
            self.first = waiter.behind
        else:
            waiter.ahead.behind = waiter.behind
        waiter.behind.ahead = waiter.ahead
        self.last.behind, waiter.ahead = waiter, self.last
        self.last, waiter.behind = waiter, None

    cdef void update(self) noexcept:
        self.shut = (
            self.count > 0 or self.owner is not None or self.detour or self.aside is not None
        )

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

    def must_look(self, Waiter waiter not None):
        """Nobody may tell ``waiter`` that it can go on: is it to look now and then?"""
        return waiter.line is not None and waiter.line.depends(waiter)

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
                ask_to_forget(watcher, self.descriptor(), remains)

    cdef void enter(self, Line line, Waiter waiter) noexcept:
        while line.first is not None and is_gone(line.first):
            line.unlink(line.first)
            self.waiting -= 1
        if line.first is not None and (
            waiter.nested or line.owner is waiter.caller
            or line.aside is not None and waiter.caller in line.aside
        ):
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
        if waiter.behind is not None:
            self.warn(line, waiter.behind)

    cdef void warn(self, Line line, Waiter waiter) noexcept:
        """What is before ``waiter`` has changed, while it sleeps: it may have to look by itself."""
        if waiter.line is line and not waiter.woken and line.depends(waiter):
            tell(waiter)

    cdef void exit(self, Waiter waiter) noexcept:
        cdef Line line = waiter.line
        cdef Waiter behind
        cdef bint head
        if line is None:
            return
        head = line.first is waiter or line.leads(waiter)
        behind = waiter.behind
        line.unlink(waiter)
        self.waiting -= 1
        if self.waiting:
            self.ring(self.look(), None)
            if head:
                line.promote()
            if behind is not None:
                self.warn(line, behind)

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
                self.warn(line, line.first)
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
        cdef int told
        while True:
            head = line.turn(but)
            if head is not None and head is not line.first:
                self.remind(line, head)
            if head is None or head is but or head.woken and not is_gone(head):
                return
            if not head.woken:
                told = tell(head)
                if told > 0:
                    return
                if told < 0:  # it can be told again, but the others need not wait for that
                    head.woken = False
                    if head.line is not line or line.last is head or line.owner is head.caller:
                        return
                    line.to_end(head)
                    continue
            # Its runtime is gone (a closed event loop): it will never come, so the next is head.
            if head.line is line:
                line.unlink(head)
                self.waiting -= 1

    cdef void remind(self, Line line, Waiter head) noexcept:
        """Wake the stopped ones before ``head``, so that they look when they run again."""
        cdef Waiter behind, waiter = line.first
        cdef bint stopped = False, gone = False
        before = None
        while waiter is not None and waiter is not head:
            behind = waiter.behind
            runtime = waiter.runtime()
            if runtime is not before:
                before = runtime
                stopped = runtime is not None and waiter.stopped()
                gone = stopped and waiter.gone()
            if stopped and (gone or not waiter.woken):
                if not tell(waiter) and waiter.line is line:
                    line.unlink(waiter)
                    self.waiting -= 1
            waiter = behind


class RuntimeGone(Exception):
    """Raised by `Waiter.wake` when what would run the waiter has ended; another one is woken."""


# What a runtime does here may be Python code, and there a signal handler may run and raise: as
# Ctrl-C does, or a watchdog's SIGALRM. That is no fault of the runtime's, which is asked again; and
# the exception is raised a moment later (`postpone`), for the message just taken must not be lost
# to it. Who fails as often as this has a fault of its own.
cdef enum:
    TRIES = 3


cdef int tell(Waiter waiter) noexcept:
    """Wake one: 1; or its runtime is gone: 0; or that fails again and again: -1."""
    cdef int left = TRIES
    cdef list caught = []
    waiter.woken = True
    while True:
        try:
            waiter.wake()
            break
        except RuntimeGone:
            left = -1
            break
        except MemoryError as error:  # it stays in line, for the next time that somebody looks
            waiter.woken = False
            report(error, waiter)
            break
        except BaseException as error:
            caught.append(error)
            left -= 1
            if left == 0:
                break
    postpone(caught, left != 0, waiter)
    return -1 if left == 0 else left > 0


cdef bint is_gone(Waiter waiter) noexcept:
    """Has what would run it ended?"""
    cdef int left = TRIES
    cdef list caught = []
    cdef bint gone = False
    while left > 0:
        try:
            gone = waiter.gone()
            break
        except BaseException as error:
            left -= 1
            caught.append(error)
    postpone(caught, left > 0, waiter)
    return gone


cdef void ask_to_forget(watcher, Py_ssize_t fd, remains) noexcept:
    """Have a runtime forget a descriptor."""
    cdef int left = TRIES
    cdef list caught = []
    while left > 0:
        try:
            watcher.forget(fd, remains)
            break
        except BaseException as error:
            left -= 1
            caught.append(error)
    postpone(caught, left > 0, watcher)


cdef extern from "Python.h":
    ctypedef struct PyFrameObject:
        pass
    PyFrameObject *PyEval_GetFrame() noexcept
    int PyFrame_GetLasti(PyFrameObject *frame) noexcept
    int Py_AddPendingCall(int (*call)(void *) except -1, void *arg) noexcept
    int PyThreadState_SetAsyncExc(unsigned long ident, object kind) noexcept

cdef list postponed = []  # exceptions for the main thread
cdef PyFrameObject *not_in = NULL  # the call that was being made then; only compared
cdef int not_at = -1


cdef void postpone(list caught, bint passing, where) noexcept:
    """Have exceptions raised in this thread, but not before the call that is being made is over.

    Args:
        passing: they came from outside, for the same was done without them afterwards.
    """
    global not_in, not_at
    cdef PyFrameObject *frame
    cdef Py_ssize_t left = len(caught)
    try:
        for error in caught:
            left -= 1
            if not current_thread_is_main():
                # No signal handlers run here. Somebody may end threads by exceptions (C API).
                if passing and PyThreadState_SetAsyncExc(threading.get_ident(), type(error)) == 1:
                    continue
            elif passing or not isinstance(error, Exception):
                frame = PyEval_GetFrame()
                not_in, not_at = frame, -1 if frame == NULL else PyFrame_GetLasti(frame)
                postponed.append(error)
                if Py_AddPendingCall(raise_postponed, NULL) == 0:
                    continue
                postponed.pop()
            if passing or left == 0:  # what fails fails in the same way each time
                report(error, where)
    except BaseException as error:  # no memory
        report(error, where)


cdef int raise_postponed(void *nothing) except -1:
    """Called by Python between two instructions of the main thread."""
    global not_in, not_at
    cdef PyFrameObject *frame = PyEval_GetFrame()
    # Python looks for signals right after a call, when what it returned is not yet anybody's.
    if frame != NULL and frame == not_in and PyFrame_GetLasti(frame) == not_at:
        if Py_AddPendingCall(raise_postponed, NULL) == 0:
            return 0
    not_in, not_at = NULL, -1
    if postponed:
        raise postponed.pop(0)
    return 0


cdef void await_end(Caller owner, Doorbell bell) noexcept:
    if owner.alive:
        if owner.awaited is None:
            owner.awaited = set()
        owner.awaited.add(bell)
