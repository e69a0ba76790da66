# How a ratchet thread pauses and wakes: the ready queue and the switch, which a message passes
# through. Deadlines, descriptors and everything else a kernel does are in `kernel.py`.
#
# A turn gives each thread that was ready at its start one run. A thread that pauses switches
# straight to the next one of its turn, and the last one to the hub, the greenlet that called
# loop(): half the switches of going through the hub each time.
#
# Nothing is delivered by a wake-up (`resume`), it only makes a thread run; what it paused for it
# must check itself, for it may have been resumed for something else. What ends a pause early is
# an exception left in `ThreadCore.thrown`.

cdef extern from *:
    """
    RATCHET_LOCAL void *ratchet_kernel_here = 0;
    """
    void *ratchet_kernel_here  # the kernel that loops in this OS thread, borrowed

# The operating system is asked after this many turns even if threads are always ready: a system
# call costs as much as several messages.
cdef int POLL_EVERY = 8
# And after this long (seconds) where each look gives the GIL up and takes it back at once, as it
# does but for epoll: who waits for the GIL must wait 5 ms undisturbed until Python hands it over.
cdef double LOOK_EVERY = 0.01

# Who sleeps longer than this (seconds) looks around in between: epoll_wait(2) counts milliseconds
# in an int.
cdef double LONGEST_SLEEP = 1_000_000

# How many kernels loop in this process: while none does, a socket call asks no further.
cdef int looping = 0
# Calls a thread may make before the others get their turn, if it never has to pause
# (docs/decisions/013-bursts.md).
cdef int BURST = 128


cdef class ThreadCore(Caller):
    """A ratchet thread, as far as pausing goes."""
    cdef readonly KernelCore kernel
    cdef readonly object name
    cdef readonly object glet           # None until it first runs
    cdef public object func, args, kwargs
    cdef readonly bint done
    cdef readonly bint queued
    cdef public bint background, parked
    cdef public object thrown           # raised in the thread when it next runs
    cdef public object value            # what it returned; while parked, what unpause gave it
    cdef public object error            # what it raised
    cdef public object paused_on        # for people to read
    cdef public double paused_since
    cdef public object context, scratch, timer, alarm
    cdef public list joiners            # called when it ends
    cdef KernelWaiter spare
    cdef object __weakref__

    def __init__(self, KernelCore kernel not None, func, args, kwargs, background=False):
        self.kernel = kernel
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name = getattr(getattr(func, "func", func), "__qualname__", None) or repr(func)
        self.background = background

    cdef object runtime(self):
        return self.kernel

    cdef bint stopped(self) except -1:
        return self.kernel.owner is None

    cdef bint gone(self) except -1:
        return self.kernel.write_fd < 0

    cpdef throw(self, error):
        """Have it raised when the thread next runs; nothing takes the place of a `Killed`."""
        if not isinstance(self.thrown, errors.Killed):
            self.thrown = error

    def _main(self):
        """What its greenlet runs."""
        func, args, kwargs = self.func, self.args, self.kwargs
        self.func = self.args = self.kwargs = None
        try:
            if self.thrown is not None:
                thrown, self.thrown = self.thrown, None
                raise thrown
            self.value = func(*args, **kwargs)
        except GreenletExit:
            return  # nobody holds it any more, and its kernel is gone
        except BaseException as error:
            self.error = error
        func = args = kwargs = None
        self.done = True
        self.kernel.ended.append(self)


cdef class KernelWaiter(Waiter):
    """A paused ratchet thread, in a line of a socket."""
    cdef ThreadCore thread

    def __init__(self, ThreadCore thread not None):
        self.caller = self.thread = thread

    cpdef wake(self):
        if self.gone():
            raise RuntimeGone
        try:
            self.thread.kernel.resume(self.thread)
        except MemoryError:
            self.thread.kernel.missed = True
            ratchet_signal(self.thread.kernel.write_fd)

    cpdef bint gone(self):
        return self.thread.kernel.closed

    cpdef object runtime(self):
        return self.thread.kernel

    cpdef bint stopped(self):
        return self.thread.kernel.owner is None

    cpdef pause(self, Doorbell bell, double until):
        cdef ThreadCore thread = self.thread
        cdef KernelCore kernel = thread.kernel
        if self.woken:
            return
        if bell.watcher is not kernel:
            kernel.watch(bell)
        if bell.answer_expected(self.line):
            kernel.expecting = True
        kernel.suspend(thread, bell, until)


cdef class KernelCore:
    """The part of a kernel that a message passes through."""
    cdef readonly object ready          # deque of threads
    cdef readonly ThreadCore current        # who runs; None: the hub
    cdef readonly object ended          # deque of threads that have, and are not yet accounted for
    cdef public object hub
    cdef public object owner            # the OS thread that loops, by its ident; None: none does
    cdef public Py_ssize_t write_fd     # wakes the loop when it sleeps
    cdef public bint asleep, closed
    cdef public unsigned int born       # the process generation that made its descriptors
    cdef readonly set threads           # that have not ended
    cdef public Py_ssize_t foreground   # how many of them loop() waits for
    cdef public Py_ssize_t stuck        # how many of them wait for nothing but another thread
    cdef public bint stopping, ending
    cdef readonly list heap             # of deadlines
    cdef readonly dict bells            # descriptor -> weak reference to its socket
    cdef readonly dict waiting          # descriptor -> who waits for it as for any other
    cdef public object poll_wait
    cdef public Py_ssize_t poll_fd
    cdef public bint edge
    cdef int turns
    cdef double looked                  # when it has, while threads were ready
    cdef bint missed                    # no memory to resume one: all are, in the next turn
    cdef bint expecting                 # an answer to what a thread has sent
    cdef Answers answers
    cdef Py_ssize_t turn_left           # how many of this turn are still to run
    cdef int budget                     # calls until the running thread must let others run

    def __cinit__(self, *args, **kwargs):
        self.ready = collections.deque()
        self.ended = collections.deque()
        self.write_fd = self.poll_fd = -1
        self.threads = set()
        self.heap = []
        self.bells = {}
        self.waiting = {}

    cpdef resume(self, ThreadCore thread):
        """Let ``thread`` run on the next turn. From any OS thread."""
        if not thread.queued and not thread.done:
            self.ready.append(thread)
            thread.queued = True
            if self.asleep and self.born == generation:
                ratchet_signal(self.write_fd)

    cpdef suspend(self, ThreadCore me, object why, double until):
        """Pause the running thread until it is resumed, or until a deadline (monotonic seconds)."""
        if me is None or getcurrent() is not me.glet:
            raise errors.StateError(
                errno.EBUSY, f"a greenlet that is not ratchet's cannot pause {me!r}"
            )
        me.paused_on = why
        me.paused_since = monotonic()
        if until != INFINITY:
            self.set_deadline(me, until)
        self.go()
        if until != INFINITY:
            me.timer.wanted = INFINITY
        me.paused_on = None
        if me.thrown is not None:
            thrown, me.thrown = me.thrown, None
            raise thrown

    def breathe(self):
        """As before each call of a socket: a thread that never pauses lets the others run."""
        breathe()

    def wake_up(self):
        """Have the loop take a look around. From any OS thread."""
        if self.asleep and self.born == generation:
            ratchet_signal(self.write_fd)

    def take_hub(self):
        """The running greenlet is the one that threads return to."""
        if self.hub is not getcurrent():
            self.hub = getcurrent()
            for thread in self.threads:
                if thread.glet is not None:
                    thread.glet.parent = self.hub

    cdef int go(self) except -1:
        """Switch to the next of this turn, or to the hub."""
        cdef ThreadCore me = self.current, other = self.next_one()
        if other is me and me is not None:
            return 0
        if other is not None and other.glet is None:
            # A greenlet begins with the recursion depth and the C stack of who starts it: the hub.
            other.queued = True
            self.ready.appendleft(other)
            self.turn_left += 1
            other = None
        self.enter(other)
        return 0

    cdef ThreadCore next_one(self):
        cdef ThreadCore thread
        while self.turn_left > 0:
            self.turn_left -= 1
            thread = self.ready.popleft()
            thread.queued = False
            if not thread.done:
                return thread
        return None

    cdef int enter(self, ThreadCore thread) except -1:
        self.current = thread
        self.budget = BURST
        ratchet_before_switch()
        if thread is None:
            self.hub.switch()
        else:
            if thread.glet is None:
                thread.glet = greenlet(thread._main, self.hub)
                thread.glet.gr_context = thread.context
                thread.context = None
            thread.glet.switch()
        return 0

    def run_turn(self):
        """Run everybody who is ready now, once. In the hub; stops early when a thread has ended.

        Returns:
            bool: False: not all have run yet, see who is in ``ended`` and call again.
        """
        cdef ThreadCore thread
        if self.turn_left == 0:
            self.turn_left = len(self.ready)
        while True:
            thread = self.next_one()
            if thread is None:
                return True
            self.enter(thread)
            self.current = None
            if self.ended:
                thread = self.ended[0]
                thread.glet = None
                thread.finish()
                return False

    def turn(self, bint block):
        """One turn of the loop: run who is ready, ask what has happened, ring deadlines."""
        cdef object seconds = None
        cdef double began = 0, look
        cdef bint looks = False
        cdef Doorbell bell
        if self.missed:
            self.missed = False
            for thread in self.threads:
                self.resume(thread)
        while not self.run_turn():
            self.bury()
        if not self.threads:
            return
        self.turns += 1
        if self.ready and self.turns % POLL_EVERY:
            if self.heap:
                self.ring_deadlines()
            return
        if not self.foreground and not self.ending:
            return
        if not self.ready and block and not self.stopping:
            if self.stuck == len(self.threads):
                seconds = self.idle()
                if seconds is None:
                    return
            elif self.heap:
                seconds = max(0.0, (<tuple> self.heap[0])[0] - monotonic())
        if self.born != generation:
            self.own()
        self.asleep = True  # from here on, who resumes a thread from elsewhere wakes this one
        try:
            if self.ready or not block or self.stopping:
                seconds = 0.0
            # Only to look, epoll_wait gives the GIL up and takes it back at once, again and again:
            # an OS thread that waits for the GIL would be woken each time and never get it.
            if seconds == 0.0 and not self.worth_asking():
                events = ()
            else:
                if self.expecting and seconds != 0.0 and self.poll_fd >= 0:
                    began = monotonic()
                    looks = worth_a_look(&self.answers)
                    if looks:
                        look = spin if seconds is None else min(spin, <double> seconds)
                        with nogil:
                            ratchet_spin(self.poll_fd, -1, -1, look)
                        if seconds is not None:
                            seconds -= look
                events = self.poll_wait(None if seconds is None else min(seconds, LONGEST_SLEEP))
                if began:
                    self.expecting = False
                    answered(&self.answers, looks, monotonic() - began)
        finally:
            self.asleep = False
        for fd, mask in events:
            reference = self.bells.get(fd)
            if reference is not None:
                if self.waiting and fd in self.waiting:
                    self.happened(fd, mask)
                bell = reference()
                if bell is not None and (not self.edge or bell.waiting):
                    bell.ring(bell.look(), None)
            else:
                self.happened(fd, mask)
        if self.heap:
            self.ring_deadlines()

    cdef bint worth_asking(self):
        """May there be something to be told at once?"""
        cdef double now
        if self.poll_fd >= 0:
            return ratchet_readable(self.poll_fd)
        now = monotonic()
        if self.ready and now - self.looked < LOOK_EVERY:
            return False
        self.looked = now
        return True

    cdef int yield_turn(self) except -1:
        """The running thread has used up its burst."""
        cdef ThreadCore me = self.current
        self.budget = BURST
        if me is None:
            return 0
        if getcurrent() is me.glet:
            self.resume(me)
            self.suspend(me, "its turn", INFINITY)
        return 0

    def own(self):
        """Have descriptors of this process's."""
        raise NotImplementedError

    def watch(self, Doorbell bell):
        """Have the bell answered from now on while somebody waits for it."""
        raise NotImplementedError

    def set_deadline(self, ThreadCore thread, double until):
        """Resume ``thread`` at ``until``, if it still wants that."""
        raise NotImplementedError


cdef inline ThreadCore thread_here():
    """The ratchet thread that runs this, or None."""
    if looping == 0 or ratchet_kernel_here == NULL:
        return None
    return (<KernelCore> ratchet_kernel_here).current


cdef inline int breathe() except -1:
    """Before each call: a thread that never pauses must let the others run."""
    cdef KernelCore kernel
    if looping and ratchet_kernel_here != NULL:
        kernel = <KernelCore> ratchet_kernel_here
        kernel.budget -= 1
        if kernel.budget <= 0:
            kernel.yield_turn()
    return 0


def current_thread():
    """The ratchet thread that runs this, or None."""
    return thread_here()


def current_kernel():
    """The kernel that loops in this OS thread, or None."""
    return None if ratchet_kernel_here == NULL else <KernelCore> ratchet_kernel_here


def set_kernel(KernelCore kernel):
    """``kernel`` loops in this OS thread from now on; None: no more."""
    global looping, plain
    global ratchet_kernel_here
    looping += (kernel is not None) - (ratchet_kernel_here != NULL)
    plain = generation if looping == 0 else <unsigned int> -1
    ratchet_kernel_here = <void *> kernel if kernel is not None else NULL
