# Layer 3. How a ratchet thread pauses and wakes: the ready queue and the switch.
#
# Every message passes through here. All else that a kernel does, such as deadlines and descriptors,
# is in `kernel.py` and the modules named there.
#
# A turn gives each thread that was ready at its start one run. A thread that pauses switches
# straight to the next one of its turn, and the last one to the hub, the greenlet that called
# loop(): half the switches of going through the hub each time.
#
# A wake-up (`resume`) delivers nothing, it only makes a thread run. The thread itself checks what
# it paused for, since it may have been resumed for something else. What ends a pause early is an
# exception in `ThreadBase.thrown`.

cdef class ThreadBase(Caller):
    """The part of a ratchet thread that pauses and wakes."""
    cdef readonly KernelBase kernel
    cdef readonly object name
    cdef readonly object glet           # None until it first runs
    cdef public object func, args, kwargs
    cdef readonly bint done
    cdef readonly bint scheduled        # it stands in the ready queue
    cdef public bint background, parked
    cdef public object thrown           # raised in the thread when it next runs
    cdef public object value            # what it returned; while parked, what unpause gave it
    cdef public object error            # what it raised
    cdef public object paused_on        # for `repr` and errors
    cdef public double paused_since
    cdef public object context, scratch, timer, alarm
    cdef public list joiners            # called when it ends
    cdef KernelWaiter spare
    cdef object __weakref__

    def __init__(self, KernelBase kernel not None, func, args, kwargs, background=False):
        self.kernel = self.runtime = kernel
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name = getattr(getattr(func, "func", func), "__qualname__", None) or repr(func)
        self.background = background

    cpdef throw(self, error):
        """Raise ``error`` in the thread when it next runs; nothing replaces a `Killed`."""
        if not isinstance(self.thrown, errors.Killed):
            self.thrown = error

    def _main(self):
        """Run the function: what its greenlet does."""
        func, args, kwargs = self.func, self.args, self.kwargs
        self.func = self.args = self.kwargs = None
        try:
            if self.thrown is not None:
                thrown, self.thrown = self.thrown, None
                raise thrown
            self.value = func(*args, **kwargs)
        except BaseException as error:
            if isinstance(error, GreenletExit) and self.left_behind():
                return
            self.error = error
        func = args = kwargs = None
        self.done = True
        self.kernel.finished.append(self)

    cdef bint left_behind(self) except -1:
        """Return True if its kernel has given it up, so that it ends when nothing refers to it."""
        return self.kernel.closed or self not in self.kernel.threads


cdef class KernelWaiter(Waiter):
    """A paused ratchet thread, in a line of a socket."""
    cdef ThreadBase thread
    cdef Reply reply  # to what was sent before

    def __init__(self, ThreadBase thread not None):
        self.caller = self.thread = thread
        self.runtime = thread.kernel

    cpdef wake(self):
        if self.thread.kernel.closed:
            raise RuntimeGone
        try:
            self.thread.kernel.resume(self.thread)
        except MemoryError:
            self.thread.kernel.missed = True
            ratchet_signal(self.thread.kernel.write_fd)

    cpdef pause(self, Bell bell, double until):
        cdef ThreadBase thread = self.thread
        cdef KernelBase kernel = thread.kernel
        cdef Py_ssize_t fd
        if self.woken:
            return
        if bell.watcher is not kernel:
            kernel.watch(bell)
        if bell.reply_expected(self.line) or self.reply.began_at != 0:
            fd = bell.descriptor() if self.line.first is self else -1  # else it is for another one
            if kernel.spin_for_reply(&self.reply, fd, until):
                return
        kernel.suspend(thread, bell, until)

    cdef void is_over(self) noexcept:
        note_reply(&self.reply, &self.thread.kernel.replies)


cdef class KernelBase(KernelSleep):
    """The part of a kernel that a message passes through."""
    cdef readonly ThreadBase current    # the thread that runs; None: the hub
    cdef readonly object finished       # deque of threads that have ended and are not accounted for
    cdef public object hub
    cdef public object owner            # the OS thread that loops, by its ident; None: none does
    cdef public bint closed
    cdef readonly set threads           # that have not ended
    cdef public Py_ssize_t foreground   # how many of them loop() waits for
    cdef public Py_ssize_t stuck        # how many of them wait for nothing but another thread
    cdef public bint ending
    cdef readonly dict bells            # descriptor -> weak reference to its socket
    cdef public bint edge               # its poll tells of each ring once
    cdef int turns
    cdef bint missed                    # there was no memory to resume one: resume all

    def __cinit__(self, *args, **kwargs):
        self.finished = deque()
        self.threads = set()
        self.bells = {}

    cpdef resume(self, ThreadBase thread):
        """Let ``thread`` run on the next turn. From any OS thread."""
        if not thread.scheduled and not thread.done:
            self.ready.append(thread)
            thread.scheduled = True
            if self.asleep and self.born == generation:
                ratchet_signal(self.write_fd)

    cpdef suspend(self, ThreadBase me, object why, double until):
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

    def wake_up(self):
        """Wake the loop if it sleeps. From any OS thread."""
        if self.asleep and self.born == generation:
            ratchet_signal(self.write_fd)

    def take_hub(self):
        """Make the running greenlet the one that threads return to."""
        if self.hub is not getcurrent():
            self.hub = getcurrent()
            for thread in self.threads:
                if thread.glet is not None:
                    thread.glet.parent = self.hub

    cdef int go(self) except -1:
        """Switch to the next thread of this turn, or to the hub."""
        cdef ThreadBase me = self.current, other = self.next_one()
        if other is me and me is not None:
            return 0
        if other is not None and other.glet is None:
            # A greenlet begins with the recursion depth and the C stack of its starter: the hub.
            other.scheduled = True
            self.ready.appendleft(other)
            self.turn_left += 1
            other = None
        self.enter(other)
        return 0

    cdef ThreadBase next_one(self):
        cdef ThreadBase thread
        while self.turn_left > 0:
            self.turn_left -= 1
            thread = self.ready.popleft()
            thread.scheduled = False
            if not thread.done:
                return thread
        return None

    cdef int enter(self, ThreadBase thread) except -1:
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
        """Run each thread that is ready now once. In the hub; stops early when a thread has ended.

        Returns:
            bool: False: not all have run yet; account for `finished` and call again.
        """
        cdef ThreadBase thread
        if self.turn_left == 0:
            self.turn_left = len(self.ready)
        while True:
            thread = self.next_one()
            if thread is None:
                return True
            self.enter(thread)
            self.current = None
            if self.finished:
                thread = self.finished[0]
                thread.glet = None
                thread.finish()
                return False

    def turn(self, bint block):
        """Run each ready thread once, ask the operating system what has happened, ring deadlines.

        Args:
            block: sleep for something to happen if no thread is ready.
        """
        cdef object seconds = 0.0
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
            else:
                seconds = None
        if self.born != generation:
            self.own()
        self.ring_bells(self.ask(seconds, block))
        if self.heap:
            self.ring_deadlines()

    cdef int ring_bells(self, events) except -1:
        """Ring the bells of sockets whose descriptors are among ``events``; `happened` does the
        rest."""
        cdef Doorbell bell
        for fd, mask in events:
            reference = self.bells.get(fd)
            if reference is None:
                self.happened(fd, mask)
                continue
            bell = reference()
            if bell is not None and (not self.edge or bell.waiting):
                bell.ring(bell.look(), None)
        return 0

    cdef int let_others_run(self) except -1:
        cdef ThreadBase me = self.current
        self.budget = BURST
        if me is not None and getcurrent() is me.glet:
            self.resume(me)
            self.suspend(me, "its turn", INFINITY)
        return 0

    cdef Caller caller(self):
        cdef ThreadBase me = self.current
        # The hub, and a greenlet of other code, pause as the OS thread.
        return me if me is not None and getcurrent() is me.glet else None

    cdef Waiter waiter(self, Caller me):
        cdef ThreadBase thread = <ThreadBase> me
        cdef KernelWaiter waiter = thread.spare
        if waiter is None:
            waiter = thread.spare = KernelWaiter(thread)
        elif waiter.line is not None:  # a finalizer or a signal handler, in the middle of a call
            waiter = KernelWaiter(thread)
            waiter.nested = True
        return waiter

    cdef bint stopped(self) except -1:
        return self.owner is None

    cdef bint ended(self) except -1:
        return self.closed

    # What `kernel.py` supplies.

    def own(self):
        """Have descriptors of this process's."""
        raise NotImplementedError

    def set_deadline(self, ThreadBase thread, double until):
        """Resume ``thread`` at ``until``, if it still wants that."""
        raise NotImplementedError

    def ring_deadlines(self):
        """Act on every deadline that has passed."""
        raise NotImplementedError

    def bury(self):
        """Account for the threads in `finished`."""
        raise NotImplementedError

    def idle(self):
        """Return how long to sleep when every thread waits for another; None: not at all."""
        raise NotImplementedError

    def happened(self, fd, mask):
        """Act on a descriptor that is no socket's."""
        raise NotImplementedError


def current_thread():
    """Return the ratchet thread that runs this, or None."""
    cdef Runtime runtime = runtime_here()
    return (<KernelBase> runtime).current if isinstance(runtime, KernelBase) else None


def current_kernel():
    """Return the kernel that loops in this OS thread, or None."""
    cdef Runtime runtime = runtime_here()
    return runtime if isinstance(runtime, KernelBase) else None
