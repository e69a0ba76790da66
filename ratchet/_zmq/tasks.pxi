# Layer 8. How a task waits, and the runtime of an event loop, which a module in Python supplies.
#
# Nothing here knows an event loop: its readers, timers and futures are the business of the runtime,
# in `asyncio.py` or another module.

# Ready calls in a row, of all tasks of a loop together, before one lets the loop run its turn.
cdef int task_burst = BURST

cdef enum:
    OWED = -1_000_000_000  # of a budget: a call that was to let the loop run has not paused yet

cdef Caller UNNAMED_TASK = Caller()  # stands for the running task as long as its name is not needed
callers = {}  # the callers in the middle of a message, by the id of the context of their calls


cdef class AwaitedRuntime(Runtime):
    """A runtime whose callers await: one event loop. `asyncio.py` and `trio.py` have subclasses."""
    cdef public unsigned long ident  # of the OS thread that runs it

    def suspend(self, TaskWaiter waiter):
        """Return an iterator that the task runs until ``waiter`` is woken or ``waiter.until`` is
        over."""
        raise NotImplementedError

    def wake(self, TaskWaiter waiter):
        """Let a suspended task go on. From any OS thread; raises `RuntimeGone` if it never can."""
        raise NotImplementedError

    def finished(self, TaskWaiter waiter):
        """A call has its result: it needs no deadline any more."""
        raise NotImplementedError

    def gave_up(self, Doorbell bell, TaskWaiter waiter):
        """A call has ended without a result: if no other waits, its bell need not be watched."""
        raise NotImplementedError

    def never(self):
        """Return an iterator that suspends the running task for good."""
        raise NotImplementedError

    def at_end(self, end):
        """Have ``end(object)`` called when the running task has ended, if that can be known."""

    cdef bint spin_for_reply(self, TaskWaiter waiter, SocketBase zsock) except -1:
        """Spin instead of suspending the running task. True: something has happened."""
        return False

    cdef void has_reply(self, TaskWaiter waiter) noexcept:
        """Learn from how long a reply took that was spun or slept for."""

    cdef bint stopped(self) except -1:
        return self.is_stopped()

    cdef bint ended(self) except -1:
        return self.has_ended()

    def is_stopped(self):
        """Return True if the loop does not run now."""
        raise NotImplementedError

    def has_ended(self):
        """Return True if the loop is closed."""
        raise NotImplementedError


cdef class TaskCaller(Caller):
    """A task, or whatever else makes calls in one context, as the owner of a message."""

    def __init__(self, AwaitedRuntime runtime not None):
        self.runtime = runtime


cdef class TaskWaiter(Waiter):
    """A paused task."""
    cdef readonly AwaitedRuntime loop  # its runtime
    cdef unsigned int born     # the process generation
    cdef public object future  # what the runtime wakes it by, while it is suspended
    cdef double deadline       # monotonic seconds
    cdef readonly double until  # the deadline, or an earlier time to try again
    cdef public object timer   # its `Deadline`, if it has one
    cdef Reply reply           # to what was sent before

    def __init__(self, Caller caller, AwaitedRuntime runtime):
        self.caller = caller
        self.runtime = self.loop = runtime
        self.born = generation
        self.deadline = self.until = INFINITY

    cpdef wake(self):
        if self.future is None:
            return
        if (exiting or self.born != generation) and self.loop.ident != PyThread_get_thread_ident():
            return  # see `Call.step`; and a child must not write to the loops of its parent
        self.loop.wake(self)

    def time_up(self):
        """Wake it because its time is up."""
        self.woken = True
        self.wake()


def task_waiter(AwaitedRuntime runtime not None, double deadline):
    """Return a waiter for the running task, which waits until ``deadline`` and owns no message."""
    waiter = TaskWaiter(TaskCaller(runtime), runtime)
    waiter.deadline = waiter.until = deadline
    return waiter


def caller_of(context, Caller new, AwaitedRuntime runtime, bint own):
    """Return the caller whose calls are made in ``context``; ``new`` becomes it if there is none.

    Args:
        own: it is the running task's own context, so the caller ends with the task.
    """
    key = id(context)
    known = callers.get(key)
    if known is not None:
        return known[0]
    if new is None:
        return None

    def end(_):
        known = callers.get(key)
        if known is not None and known[0] is new:
            del callers[key]
            new.end()

    callers[key] = new, weak_ref(context, end)
    if own and runtime is not None:
        runtime.at_end(end)
    return new


cdef void never_awaited(const Operation *op) noexcept:
    """Warn as Python does of a coroutine."""
    name = op.name.decode()
    try:
        warnings.warn(f"coroutine 'ZMQSocket.{name}' was never awaited", RuntimeWarning)
    except Warning as warning:  # they are errors here
        report(warning, name)


cdef inline void reset_task_budget() noexcept:
    global ratchet_task_budget
    ratchet_task_budget = task_burst


cpdef bint spend_turn() noexcept:
    """Count one ready call of a task. Returns True if it must let the loop run a turn first."""
    spend_task_budget(1)
    if ratchet_task_budget > 0:
        return False
    reset_task_budget()
    return True


def set_task_burst(int calls):
    """Do what `ratchet.asyncio.set_burst` says."""
    global task_burst
    task_burst = calls
