# Layer 3. How a kernel asks the operating system what has happened, spins and sleeps for it.

cdef enum Expects:  # what a kernel does for a reply to what one of its threads has sent
    NOTHING
    UNDECIDED  # to spin or to sleep, once no thread is ready
    SLEEPS     # this time
    HAS_SPUN   # in vain, since `spun_since`


cdef class KernelSleep(Runtime):
    """What of a kernel is about its sleep."""
    cdef readonly object ready          # deque of threads
    cdef Py_ssize_t turn_left           # how many of this turn are still to run
    cdef public list heap               # of deadlines
    cdef public bint stopping
    cdef public bint asleep             # the loop sleeps in the operating system
    cdef public unsigned int born       # the process generation that made its descriptors
    cdef public Py_ssize_t write_fd     # wakes the loop when it sleeps
    cdef public Py_ssize_t poll_fd
    cdef public object poll_wait
    cdef double asked_at                # when it asked, while threads were ready
    cdef Expects reply
    cdef ReplyTimes replies
    cdef double spun_since

    def __cinit__(self, *args, **kwargs):
        self.ready = deque()
        self.write_fd = self.poll_fd = -1

    cdef bint look_for_reply(self, double until) except -1:
        """Spin for a reply in the thread that pauses for it, where no other one can run.

        That saves the switch to the hub and back, and what the operating system tells. What has
        happened already when it begins is not the reply: for that the thread has just looked.

        Args:
            until: when the thread is to go on (monotonic seconds).

        Returns:
            bool: True: something has happened, most likely that the reply has come.
        """
        cdef double began, look
        cdef int found
        self.reply = UNDECIDED
        if (
            self.turn_left > 0 or self.ready or self.stopping or gevent_met or self.poll_fd < 0
            or self.born != generation or ratchet_readable(self.poll_fd)
        ):
            return False
        if not worth_spinning(&self.replies):
            self.reply = SLEEPS
            return False
        began = monotonic()
        look = min(spin, until - began)
        if self.heap:
            look = min(look, <double> (<tuple> self.heap[0])[0] - began)
        self.asleep = True  # from here on, a resume from another OS thread wakes this one
        try:
            if self.ready:
                return False
            with nogil:
                found = ratchet_spin(self.poll_fd, -1, -1, look)
        finally:
            self.asleep = False
        if found == 0:
            self.reply, self.spun_since = HAS_SPUN, began
            return False
        self.reply = NOTHING
        record_reply(&self.replies, True, monotonic() - began)
        return True

    cdef object ask(self, object seconds, bint block):
        """Return what the operating system says has happened; sleep that long for it."""
        cdef double began = 0
        cdef bint spins = False
        self.asleep = True  # from here on, a resume from another OS thread wakes this one
        try:
            if self.ready or not block or self.stopping:
                seconds = 0.0
            # Merely to look, epoll_wait releases the GIL and takes it back at once, again and
            # again: an OS thread that waits for the GIL would be woken each time and never get it.
            if seconds == 0.0 and not self.worth_asking():
                if gevent_met:
                    self.sleep_in_hub(seconds)
                return ()
            if self.reply != NOTHING and seconds != 0.0 and self.poll_fd >= 0:
                began = self.spun_since if self.reply == HAS_SPUN else monotonic()
                spins = self.reply == HAS_SPUN
                if self.reply == UNDECIDED and worth_spinning(&self.replies):
                    spins = True
                    seconds = self.spin_before_sleep(seconds)
            if gevent_met and self.sleep_in_hub(seconds):
                seconds = 0.0
                if self.born != generation:
                    return ()  # what it asks is the parent's
            events = self.poll_wait(None if seconds is None else min(seconds, LONGEST_SLEEP))
            if began:
                self.reply = NOTHING
                record_reply(&self.replies, spins, monotonic() - began)
            return events
        finally:
            self.asleep = False

    cdef object spin_before_sleep(self, object seconds):
        """Spin, in the hub; return for how long to sleep then."""
        cdef double look = spin if seconds is None else min(spin, <double> seconds)
        with nogil:
            ratchet_spin(self.poll_fd, -1, -1, look)
        return None if seconds is None else <double> seconds - look

    cdef bint sleep_in_hub(self, object seconds) except -1:
        """Let gevent's hub run its greenlets until there is something to ask for.

        With seconds of 0 they have one turn. False: no hub of gevent's is here that can.
        """
        cdef Runtime hub = gevent_runtime() if self.poll_fd >= 0 else None
        if hub is None:
            return False
        put_runtime(hub)
        try:
            return hub.sleep_on(self.poll_fd, seconds)
        finally:
            put_runtime(self)

    cdef bint worth_asking(self):
        """Return True if the operating system may have something to tell at once."""
        cdef double now
        if self.poll_fd >= 0:
            return ratchet_readable(self.poll_fd)
        now = monotonic()
        if self.ready and now - self.asked_at < LOOK_EVERY:
            return False
        self.asked_at = now
        return True
