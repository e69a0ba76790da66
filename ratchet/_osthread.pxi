# How an OS thread pauses: in poll(2) on the bell and on a descriptor of its own, and when it looks
# before it sleeps. It sleeps without the GIL.
#
# The descriptor of its own is what another thread writes to when it has answered the bell and
# found that this one can go on. Only the leader of a line watches the bell, so that a message
# does not wake sixteen threads of which fifteen go back to sleep.

# The main thread runs the signal handlers, but the signal may land on any thread, or just before
# the sleep: the main one looks this often, and Ctrl-C is heard within 0.1 s. A timer that ticks all
# the time is cheaper than a timeout of each poll (docs/decisions/005-poll-not-zmq-poll.md).
cdef int SIGNAL_SLICE_MS = 80


# An answer to what was just sent is often near, and to sleep until then costs more than the answer:
# two threads are put to sleep and woken, on a core that has gone to sleep as well. So who receives
# after a send may look this long (seconds) before it sleeps (docs/decisions/016-spin.md).
cdef double spin = 0.0001


cdef struct Answers:  # how long the last ones took, in who waits for them
    bint late        # the last one was not near: there is nothing to be won
    int turn
    double slept     # seconds, a running mean; 0: not known
    double looked    # the same of those that were looked for


cdef bint worth_a_look(Answers *answers) noexcept:
    """Look for the next answer? If that is faster by a tenth; now and then the other is tried."""
    cdef bint faster = answers.looked < 0.9 * answers.slept
    if answers.late or answers.slept == 0 or spin == 0:
        return False
    answers.turn += 1
    return faster != (answers.turn % 32 == 0)


cdef void answered(Answers *answers, bint looked, double seconds) noexcept:
    """The answer took that long."""
    cdef double *mean = &answers.looked if looked else &answers.slept
    answers.late = seconds > 2 * spin
    if not answers.late:
        mean[0] = seconds if mean[0] == 0 else mean[0] + (seconds - mean[0]) / 8


# Beside a thread that never gives the GIL up, who does so gets it back when Python forces the other
# one, 5 ms later. So who has waited longer than this (seconds) looks first, for `spin` seconds but
# no longer than such a thread would keep it, and gives the GIL up if there is nothing
# (docs/decisions/019-hand-over.md).
cdef double SLOW = 0.0005


cdef struct Gil:  # what giving it up has cost
    bint slow        # the last time it took long to get it back
    unsigned int found
    int missed, skip


cdef bint worth_keeping(Gil *gil) noexcept:
    """Look before giving the GIL up?"""
    if not gil.slow or spin == 0:
        return False
    if gil.skip > 0:
        gil.skip -= 1
        return False
    return True


cdef void kept(Gil *gil, bint found) noexcept:
    """It has. Who finds nothing looks ever less; who does gives the GIL up now and then, to see."""
    if found:
        gil.missed = 0
        gil.found += 1
        gil.skip = gil.found % 512 == 0
    else:
        gil.missed = min(gil.missed + 1, 5)
        gil.skip = (1 << gil.missed) - 1


cdef new_wakeup():
    try:
        return Wakeup()
    except OSError as error:
        raise from_errno(error.errno, "cannot pause this thread") from None


cdef class OSThread(Caller):
    """One OS thread, known by its own wake-up descriptor."""
    cdef object wakeup      # made at the first pause
    cdef Py_ssize_t wake_fd, write_fd
    cdef Py_ssize_t tick_fd
    cdef unsigned int born  # a forked child must not share its parent's descriptor
    cdef bint main
    cdef Answers answers
    cdef Gil gil
    cdef OSWaiter spare     # one pause at a time is the rule; a signal handler that pauses nests

    def __init__(self):
        self.born = generation
        self.wake_fd = self.write_fd = self.tick_fd = -1
        self.main = current_thread_is_main()

    cdef int prepare(self) except -1:
        if self.wakeup is None:
            wakeup = new_wakeup()
            self.wake_fd = wakeup.fileno()
            self.write_fd = wakeup.write_fileno()
            self.wakeup = wakeup  # now it is prepared
            if self.main:
                self.tick_fd = ratchet_ticker(SIGNAL_SLICE_MS)
        return 0

    def __dealloc__(self):
        if self.tick_fd >= 0 and self.born == generation:
            ratchet_close(self.tick_fd)

    cdef OSWaiter waiter(self):
        cdef OSWaiter waiter = self.spare
        if waiter is None:
            waiter = self.spare = OSWaiter(self)
        elif waiter.line is not None:
            waiter = OSWaiter(self)
        # No thread of a kernel or task of a loop that runs here goes on before this call does.
        waiter.nested = waiter is not self.spare or ratchet_kernel_here != NULL or (
            loop_here is not None and loop_here() is not None)
        return waiter


cdef class ThreadEnd:
    """Lives in the thread's own dictionary, so it dies with the thread, and says so."""
    cdef OSThread thread

    def __dealloc__(self):
        if self.thread is not None:
            self.thread.spare = None  # it refers to the thread, which has a descriptor to give back
            self.thread.finish()


cdef class OSWaiter(Waiter):
    """A paused OS thread."""
    cdef OSThread thread
    cdef bint asleep, watching

    def __init__(self, OSThread thread not None):
        self.caller = self.thread = thread

    cpdef wake(self):
        if self.asleep and self.thread.born == generation:  # a child has not got that thread
            ratchet_signal(self.thread.write_fd)

    cpdef promote(self):
        if self.asleep and not self.watching and self.thread.born == generation:
            ratchet_signal(self.thread.write_fd)

    cpdef pause(self, Doorbell bell, double until):
        cdef Py_ssize_t mine, watched
        cdef int ready, slice_ms
        cdef bint expecting, looks
        cdef double left, look, began, back
        self.thread.prepare()
        mine = self.thread.wake_fd
        # A signal handler may fork, and the child has nothing to wait for here.
        while not self.woken and self.thread.born == generation:
            self.watching = self.line is not None and (
                self.line.first is self or self.line.leads(self))
            watched = bell.descriptor() if self.watching else -1
            slice_ms = SIGNAL_SLICE_MS if self.thread.main and self.thread.tick_fd < 0 else -1
            if until != INFINITY:
                left = (until - monotonic()) * 1000
                if left <= 0:
                    break
                if left < 1e9 and (slice_ms < 0 or left < slice_ms):
                    slice_ms = <int> left + 1  # poll(2) counts whole milliseconds: never early
            expecting = self.watching and bell.answer_expected(self.line)
            looks = expecting and worth_a_look(&self.thread.answers)
            if expecting:
                began = monotonic()
            ready = 0
            look = spin if slice_ms < 0 else min(spin, slice_ms * 0.001)
            if self.watching and worth_keeping(&self.thread.gil):
                ready = ratchet_spin(
                    mine, self.thread.tick_fd, watched, min(look, <double> getswitchinterval()))
                kept(&self.thread.gil, ready != 0)
                looks = looks or ready != 0
            if ready == 0:
                self.asleep = True
                with nogil:
                    if looks:
                        ready = ratchet_spin(mine, self.thread.tick_fd, watched, look)
                        if slice_ms > 0:
                            slice_ms -= <int> (look * 1000)
                    if ready == 0:
                        ready = ratchet_wait(mine, self.thread.tick_fd, watched, slice_ms)
                    back = ratchet_clock()
                self.asleep = False
                self.thread.gil.slow = ratchet_clock() - back > SLOW
            if expecting:
                answered(&self.thread.answers, looks, monotonic() - began)
            if ready > 0 and ready & 1:
                ratchet_drain(mine)
            if ready > 0 and ready & 2:
                ratchet_drain(self.thread.tick_fd)
            PyErr_CheckSignals()
            if ready > 0 and ready & 5:
                break


cdef OSThread this_thread():
    """The OS thread that runs this."""
    cdef ThreadEnd end
    local = <object> PyThreadState_GetDict()
    end = local.get(OSThread)
    if end is None or end.thread.born != generation:
        end = ThreadEnd()
        end.thread = OSThread()
        local[OSThread] = end
    return end.thread
