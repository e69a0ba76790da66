# Layer 3. How a kernel asks the operating system what has happened, spins and sleeps for it.

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
    cdef double polled_at               # when it asked, while threads were ready
    cdef bint expects                   # a reply, and is to spin or to sleep for it
    cdef Reply reply                    # that it does so for
    cdef ReplyTimes replies

    def __cinit__(self, *args, **kwargs):
        self.ready = deque()
        self.write_fd = self.poll_fd = -1

    cdef bint spin_for_reply(self, Reply *reply, Py_ssize_t fd, double until) except -1:
        """Spin for a reply in the thread that pauses for it, where no other one can run.

        That saves the switch to the hub and back, and what the operating system tells. Whatever
        else the kernel watches ends it, and what is there when it begins goes first.

        Args:
            reply: what is known of it.
            fd: the descriptor of the socket from which it comes; -1: the kernel is to spin.
            until: when the thread is to go on (monotonic seconds).

        Returns:
            bool: True: the socket has rung. False: pause, as long as it takes.
        """
        if fd < 0 or not self.is_idle():
            self.expects = self.expects or reply.began_at == 0
            return False
        if reply.began_at == 0:
            expect_reply(reply, &self.replies)
        if not reply.spun:
            return False
        if self.heap:
            until = min(until, <double> (<tuple> self.heap[0])[0])
        self.asleep = True  # from here on, a resume from another OS thread wakes this one
        try:
            return not self.ready and spin_for(reply, self.poll_fd, fd, until)
        finally:
            self.asleep = False

    cdef bint is_idle(self):
        """Return True if no other thread can run and nothing has happened that concerns one."""
        return not (
            self.turn_left > 0 or self.ready or self.stopping or gevent_met or self.poll_fd < 0
            or self.born != generation or ratchet_readable(self.poll_fd)
        )

    cdef object ask(self, object seconds, bint block):
        """Return what the operating system says has happened; sleep that long for it."""
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
            if self.expects and seconds != 0.0 and self.poll_fd >= 0:
                self.expects = False
                expect_reply(&self.reply, &self.replies)
                seconds = self.spin_before_sleep(seconds)
            if gevent_met and self.sleep_in_hub(seconds):
                seconds = 0.0
                if self.born != generation:
                    return ()  # what it asks is the parent's
            return self.poll_wait(None if seconds is None else min(seconds, LONGEST_SLEEP))
        finally:
            self.asleep = False
            note_reply(&self.reply, &self.replies)

    cdef object spin_before_sleep(self, object seconds):
        """Spin, in the hub; return for how long to sleep then."""
        cdef double until = INFINITY if seconds is None else monotonic() + <double> seconds
        spin_for(&self.reply, -1, self.poll_fd, until)
        return None if seconds is None else max(0.0, until - monotonic())

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
        if self.ready and now - self.polled_at < LOOK_EVERY:
            return False
        self.polled_at = now
        return True
