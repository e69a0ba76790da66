# How an OS thread pauses: in poll(2), without the GIL, on the bell and on a descriptor of its own.
#
# The descriptor of its own is what another thread writes to when it has answered the bell and
# found that this one can go on. Only the head of a line watches the bell, so that a message
# does not wake sixteen threads of which fifteen go back to sleep.

cdef extern from *:
    """
    #ifdef _WIN32
    #include <winsock2.h>
    #include <zmq.h>
    static int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) {
        zmq_pollitem_t items[2] = {
            {0, (SOCKET) mine, ZMQ_POLLIN, 0}, {0, (SOCKET) bell, ZMQ_POLLIN, 0}};
        int rc = zmq_poll(items, bell == -1 ? 1 : 2, ms);
        return rc <= 0 ? rc : (items[0].revents ? 1 : 0) | (items[1].revents ? 4 : 0);
    }
    static void ratchet_nap(void) { Sleep(1); }
    static int ratchet_spin(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) {
        return 0;
    }
    static void ratchet_signal(Py_ssize_t fd) { send((SOCKET) fd, "wakewake", 8, 0); }
    static void ratchet_drain(Py_ssize_t fd) {
        char scrap[512];
        while (recv((SOCKET) fd, scrap, sizeof(scrap), 0) == (int) sizeof(scrap)) {}
    }
    #else
    #include <poll.h>
    #include <sched.h>
    #include <stdint.h>
    #include <time.h>
    #include <unistd.h>
    /* Not zmq_poll: it calls poll(2) twice, once to look and once to sleep. */
    static int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) {
        struct pollfd items[3] = {  /* poll skips negative descriptors */
            {(int) mine, POLLIN, 0}, {(int) tick, POLLIN, 0}, {(int) bell, POLLIN, 0}};
        int rc = poll(items, 3, ms);
        return rc <= 0 ? rc : (items[0].revents ? 1 : 0) | (items[1].revents ? 2 : 0)
                              | (items[2].revents ? 4 : 0);
    }
    static double ratchet_clock(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
    }
    /* Looks instead of sleeping, and lets whoever else wants the core have it in between. */
    static int ratchet_spin(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) {
        double until = ratchet_clock() + seconds;
        int rc;
        while ((rc = ratchet_wait(mine, tick, bell, 0)) == 0 && ratchet_clock() < until)
            sched_yield();
        return rc;
    }
    static void ratchet_nap(void) { usleep(20); }
    static void ratchet_signal(Py_ssize_t fd) {
        uint64_t one = 1;  /* what an eventfd takes; a socket takes anything */
        if (write((int) fd, &one, sizeof(one)) < 0) {}  /* full: it is readable already */
    }
    static void ratchet_drain(Py_ssize_t fd) {
        char scrap[512];
        while (read((int) fd, scrap, sizeof(scrap)) == (ssize_t) sizeof(scrap)) {}
    }
    #endif
    static int ratchet_readable(Py_ssize_t fd) { return ratchet_wait(fd, -1, -1, 0) > 0; }
    #ifdef __linux__
    #include <sys/timerfd.h>
    /* A descriptor that is readable every so many milliseconds; -1: not here. */
    static Py_ssize_t ratchet_ticker(int ms) {
        struct itimerspec when = {{0, ms * 1000000L}, {0, ms * 1000000L}};
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (fd >= 0) timerfd_settime(fd, 0, &when, 0);
        return fd;
    }
    static void ratchet_close(Py_ssize_t fd) { if (fd >= 0) close((int) fd); }
    #else
    static Py_ssize_t ratchet_ticker(int ms) { return -1; }
    static void ratchet_close(Py_ssize_t fd) {}
    #endif
    """
    int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) noexcept nogil
    int ratchet_spin(
        Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) noexcept nogil
    Py_ssize_t ratchet_ticker(int ms) noexcept
    void ratchet_close(Py_ssize_t fd) noexcept
    bint ratchet_readable(Py_ssize_t fd) noexcept nogil
    void ratchet_nap() noexcept nogil
    void ratchet_signal(Py_ssize_t fd) noexcept nogil
    void ratchet_drain(Py_ssize_t fd) noexcept nogil

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


cdef class OSThread(Caller):
    """One OS thread, known by its own wake-up descriptor."""
    cdef object wakeup      # made at the first pause
    cdef Py_ssize_t wake_fd, write_fd
    cdef Py_ssize_t tick_fd
    cdef unsigned int born  # a forked child must not share its parent's descriptor
    cdef bint main
    cdef Answers answers
    cdef OSWaiter spare     # one pause at a time is the rule; a signal handler that pauses nests

    def __init__(self):
        self.born = generation
        self.wake_fd = self.write_fd = self.tick_fd = -1
        self.main = current_thread_is_main()

    cdef int prepare(self) except -1:
        if self.wakeup is None:
            try:
                self.wakeup = Wakeup()
            except OSError as error:
                raise from_errno(error.errno, "cannot pause this thread") from None
            self.wake_fd = self.wakeup.fileno()
            self.write_fd = self.wakeup.write_fileno()
            if self.main:
                self.tick_fd = ratchet_ticker(SIGNAL_SLICE_MS)
        return 0

    def __dealloc__(self):
        ratchet_close(self.tick_fd)

    cdef OSWaiter waiter(self):
        cdef OSWaiter waiter = self.spare
        if waiter is None:
            waiter = self.spare = OSWaiter(self)
        elif waiter.line is not None:
            waiter = OSWaiter(self)
        # No thread of a kernel that loops here goes on before this call does.
        waiter.nested = waiter is not self.spare or ratchet_kernel_here != NULL
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
        if self.asleep:
            ratchet_signal(self.thread.write_fd)

    cpdef promote(self):
        if self.asleep and not self.watching:
            ratchet_signal(self.thread.write_fd)

    cpdef pause(self, Doorbell bell, double until):
        cdef Py_ssize_t mine, watched
        cdef int ready, slice_ms
        cdef bint expecting, looks
        cdef double left, began
        self.thread.prepare()
        mine = self.thread.wake_fd
        while not self.woken:
            self.watching = self.line is not None and self.line.first is self
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
            self.asleep = True
            with nogil:
                ready = 0
                if looks:
                    ready = ratchet_spin(mine, self.thread.tick_fd, watched, spin)
                if ready == 0:
                    ready = ratchet_wait(mine, self.thread.tick_fd, watched, slice_ms)
            self.asleep = False
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
