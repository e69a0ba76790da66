# Layer 3. How an OS thread pauses: in poll(2), on the bell and on a descriptor of its own.
#
# Another thread writes to that descriptor when it has silenced the bell and found that this thread
# can go on. Only the leader of a line watches the bell, so that one message does not wake sixteen
# threads of which fifteen go back to sleep. The thread sleeps without the GIL.

cdef new_wakeup():
    try:
        return Wakeup()
    except OSError as error:
        raise from_errno(error.errno, "cannot pause this thread") from None


cdef class OSThread(Caller):
    """One OS thread, which has a wake-up descriptor once it has paused."""
    cdef object wakeup      # made at the first pause
    cdef Py_ssize_t wake_fd, write_fd
    cdef Py_ssize_t tick_fd
    cdef unsigned int born  # a forked child must not share its parent's descriptor
    cdef bint main
    cdef ReplyTimes replies
    cdef GilCost gil
    cdef OSWaiter spare     # one pause at a time is the rule; a signal handler that pauses nests

    def __init__(self):
        self.born = generation
        self.wake_fd = self.write_fd = self.tick_fd = -1
        self.main = current_thread_is_main()

    cdef int prepare(self) except -1:
        """Make the descriptors, at the first pause."""
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
        # A kernel or event loop that runs in this thread cannot go on before this call does.
        waiter.nested = (
            waiter is not self.spare or ratchet_runtime_here != NULL or event_loop_runs_here()
        )
        return waiter


cdef bint event_loop_runs_here() except -1:
    """Return True if this OS thread runs an event loop, so that a blocking call holds it up."""
    for running in event_loops_here:
        if running() is not None:
            return True
    return False


cdef list event_loops_here = []  # what tells the running loop; each awaited runtime adds its own


def add_event_loop(running):
    """Have ``running()`` asked for the event loop that runs in this OS thread, if there is one."""
    event_loops_here.append(running)


cdef extern from *:
    """
    RATCHET_LOCAL void *ratchet_thread_here = 0;
    RATCHET_LOCAL uint64_t ratchet_state_here = 0;
    RATCHET_LOCAL double ratchet_woken_at = 0;  /* by its clock: 0 on Windows */
    #define ratchet_state() PyThreadState_GetID(PyThreadState_Get())
    """
    void *ratchet_thread_here  # what `this_thread` returned last in this OS thread, borrowed
    uint64_t ratchet_state_here  # the number of Python's thread state then
    double ratchet_woken_at  # when this OS thread had the GIL back from its last sleep
    uint64_t ratchet_state()


cdef inline bint just_woken() noexcept:
    """Return True if this OS thread has slept in a call a moment ago."""
    return ratchet_woken_at > 0 and ratchet_clock() - ratchet_woken_at < JUST_WOKEN


cdef class ThreadEnd:
    """Lives in the thread's own dictionary, so that it dies with the thread and says so."""
    cdef OSThread thread

    def __dealloc__(self):
        global ratchet_thread_here
        if ratchet_thread_here == <void *> self.thread:
            ratchet_thread_here = NULL
        if self.thread is not None:
            self.thread.spare = None  # it refers to the thread, which has descriptors to give back
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

    cpdef pause(self, Bell bell, double until):
        cdef Py_ssize_t watched
        cdef int ready, slice_ms
        cdef bint expecting, spins
        cdef double began = 0, longest
        cdef OSThread me = self.thread
        me.prepare()
        # A signal handler may fork, and the child has nothing to wait for here.
        while not self.woken and me.born == generation:
            self.watching = self.line is not None and (
                self.line.first is self or self.line.leads(self))
            watched = bell.descriptor() if self.watching else -1
            slice_ms = self.time_slice(until)
            if slice_ms == 0:
                break
            expecting = self.watching and bell.reply_expected(self.line)
            spins = expecting and worth_spinning(&me.replies)
            if expecting:
                began = monotonic()
            longest = spin if slice_ms < 0 else min(spin, slice_ms * 0.001)
            ready = 0
            if self.watching and worth_keeping(&me.gil):
                ready = ratchet_spin(
                    me.wake_fd, me.tick_fd, watched, min(longest, <double> getswitchinterval()))
                record_kept(&me.gil, ready != 0)
                spins = spins or ready != 0
            if ready == 0:
                ready = self.sleep(watched, slice_ms, longest if spins else 0)
            if expecting:
                record_reply(&me.replies, spins, monotonic() - began)
            if self.rang(ready):
                break

    cdef int time_slice(self, double until) except -2:
        """Return how many milliseconds to sleep at most, -1 for no limit; 0: the time is up."""
        # Without a ticker the main thread wakes up now and then to run signal handlers.
        cdef int slice_ms = SIGNAL_SLICE_MS if self.thread.main and self.thread.tick_fd < 0 else -1
        cdef double left
        if until != INFINITY:
            left = (until - monotonic()) * 1000
            if left <= 0:
                return 0
            if left < 1e9 and (slice_ms < 0 or left < slice_ms):
                return <int> left + 1  # poll(2) counts whole milliseconds: never early
        return slice_ms

    cdef int sleep(self, Py_ssize_t watched, int slice_ms, double spinning) except -2:
        """Release the GIL, spin for ``spinning`` seconds, then sleep. Returns what is readable."""
        global ratchet_woken_at
        cdef OSThread me = self.thread
        cdef int ready = 0
        cdef double back
        self.asleep = True
        with nogil:
            if spinning > 0:
                ready = ratchet_spin(me.wake_fd, me.tick_fd, watched, spinning)
                if slice_ms > 0:
                    slice_ms -= <int> (spinning * 1000)
            if ready == 0:
                ready = ratchet_wait(me.wake_fd, me.tick_fd, watched, slice_ms)
            back = ratchet_clock()
        self.asleep = False
        ratchet_woken_at = ratchet_clock()
        me.gil.slow = ratchet_woken_at - back > SLOW_GIL
        return ready

    cdef bint rang(self, int ready) except -1:
        """Clear what is readable and run signal handlers. True: there is reason to try again."""
        cdef OSThread me = self.thread
        if ready > 0 and ready & 1:
            ratchet_drain(me.wake_fd)
        if ready > 0 and ready & 2:
            ratchet_drain(me.tick_fd)
        PyErr_CheckSignals()
        return ready > 0 and ready & 5


cdef OSThread this_thread():
    """Return the OS thread that runs this."""
    global ratchet_thread_here, ratchet_state_here
    cdef ThreadEnd end
    if ratchet_thread_here != NULL and ratchet_state_here == ratchet_state():
        # For speed: to ask the dictionary takes longer. A thread that is not Python's has a
        # new dictionary for each of its calls into Python, and the old one may end elsewhere.
        if (<OSThread> ratchet_thread_here).born == generation:
            return <OSThread> ratchet_thread_here
    local = <object> PyThreadState_GetDict()
    end = local.get(OSThread)
    if end is None or end.thread.born != generation:
        end = ThreadEnd()
        end.thread = OSThread()
        local[OSThread] = end
    ratchet_thread_here, ratchet_state_here = <void *> end.thread, ratchet_state()
    return end.thread


cdef Caller greenlet_here():
    """Return the ratchet thread or the greenlet of gevent's that makes this call, or None."""
    cdef Runtime runtime = runtime_here()
    cdef Caller caller = None if runtime is None else runtime.caller()
    if caller is None:
        runtime = gevent_runtime()
        if runtime is not None:
            caller = runtime.caller()
    return caller


cdef Caller caller_here():
    """Return the caller that makes this call."""
    cdef Caller caller = greenlet_here()
    return this_thread() if caller is None else caller


cdef Waiter waiter_here():
    """Return a waiter for the caller that makes this call."""
    cdef Caller caller = greenlet_here()
    return this_thread().waiter() if caller is None else caller.runtime.waiter(caller)


cdef double interlude(double began):
    """In a long loop, let another OS thread have the GIL now and then, as Python does after 5 ms.

    Releasing it and taking it back at once would only wake the threads that wait for it, again and
    again; so this sleeps, and rarely.
    """
    cdef double now = monotonic()
    if now - began < SWITCH_INTERVAL:
        return began
    if began == 0:
        return now
    with nogil:
        ratchet_nap()
    return monotonic()
