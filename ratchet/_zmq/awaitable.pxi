# Layer 9. The socket whose calls are awaited: a coroutine in C that tries again whenever it is resumed.
#
# `Call` is what `await zsock.recv()` awaits. It begins when it is awaited, not when it is made, and takes
# its message in the very step that returns it: a task that is cancelled before or while it waits has
# taken nothing. It is written by hand, since a coroutine of Python or Cython costs more than the receive
# itself; the slot `am_send` spares a ready call the StopIteration.
#
# In the middle of a message, the caller is known by the contextvars.Context in which its call was made:
# each task has its own, and wait_for() and create_task() run the call in another task than the one that
# goes on with the message.
#
# What knows the event loop (readers, timers, futures) is the runtime in `asyncio.py` or another module.

cdef extern from *:
    """
    RATCHET_LOCAL int ratchet_task_budget = 0;
    #if PY_VERSION_HEX >= 0x03100000
    #warning "ratchet_context() reads a field of PyThreadState: check that it is still there"
    #endif
    static PyObject *ratchet_context(void) {
        PyObject *context = PyThreadState_Get()->context;
        if (context == NULL) {  /* a new OS thread: copying makes it one */
            context = PyContext_CopyCurrent();
            Py_XDECREF(context);
            if (context == NULL) return NULL;
            context = PyThreadState_Get()->context;
        }
        Py_INCREF(context);
        return context;
    }
    /* Gives a type the slot am_send; -1 if Cython made the type without slots for coroutines. */
    static int ratchet_set_send(PyObject *type, int (*send)(PyObject *, PyObject *, PyObject **)) {
        PyAsyncMethods *slots = ((PyTypeObject *) type)->tp_as_async;
        if (slots == NULL) return -1;
        slots->am_send = (sendfunc) send;
        PyType_Modified((PyTypeObject *) type);
        return 0;
    }
    """
    int ratchet_task_budget  # calls until the tasks of this OS thread must let the loop run
    object ratchet_context()
    int ratchet_set_send(object type, int (*send)(object, object, PyObject **) except -1)

cdef extern from "Python.h":
    int iterator_send "PyIter_Send"(object iterator, object value, PyObject **result) except -1
    object stolen "ratchet_own"(PyObject *new)

# Ready calls in a row, of all tasks of a loop together, before one lets the loop run its turn.
cdef int task_burst = BURST

cdef enum Stage:
    NEW, YIELDED, WAITING, OVER

cdef Caller UNNAMED_TASK = Caller()  # stands for the running task as long as its name is not needed
callers = {}  # the callers in the middle of a message, by the id of the context of their calls


cdef class AwaitedRuntime(Runtime):
    """A runtime whose callers await: one event loop. `asyncio.py` and `trio.py` have subclasses."""
    cdef public object ident  # of the OS thread that runs it

    def suspend(self, TaskWaiter waiter):
        """Return an iterator that the task runs until ``waiter`` is woken or ``waiter.until`` is over."""
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


cdef class TaskWaiter(Waiter):
    """A paused task."""
    cdef readonly AwaitedRuntime runtime
    cdef public object future  # what the runtime wakes it by, while it is suspended
    cdef double deadline       # monotonic seconds
    cdef readonly double until # the deadline, or an earlier time to try again
    cdef public object timer   # its `Deadline`, if it has one

    def __init__(self, Caller caller, AwaitedRuntime runtime):
        self.caller = caller
        self.runtime = runtime
        self.deadline = self.until = INFINITY

    @property
    def in_line(self):
        """True while it stands in a line."""
        return self.line is not None

    cpdef wake(self):
        if self.future is not None and not (
            exiting and self.runtime.ident != threading.get_ident()
        ):  # see `Call.step`
            self.runtime.wake(self)

    cpdef bint runtime_ended(self):
        return self.runtime.ended()

    def time_up(self):
        """Wake it because its time is up."""
        self.woken = True
        self.wake()


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

    callers[key] = new, weakref.ref(context, end)
    if own and runtime is not None:
        runtime.at_end(end)
    return new


@cython.freelist(64)
@cython.no_gc_clear  # a call that is collected while it waits must still leave its line
cdef class Call:
    """One call that a task awaits: a coroutine."""
    cdef AwaitableSocket zsock
    cdef object arg
    cdef object context    # in which it was made
    cdef TaskWaiter waiter
    cdef object suspended  # the runtime's iterator, while the call is suspended in it
    cdef double limit
    cdef const Operation *op
    cdef Stage stage
    cdef bint awaited
    cdef bint iterating    # a closed socket is the end of an `async for`

    def __await__(self):
        if self.awaited or self.stage != NEW:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.awaited = True
        return self

    def __iter__(self):
        return self

    def __next__(self):
        value = self.step(None)
        if self.stage == OVER:
            raise StopIteration(value)
        return value

    def send(self, value):
        """Resume it with a value, as for any coroutine."""
        found = self.step(value)
        if self.stage == OVER:
            raise StopIteration(found)
        return found

    def throw(self, kind, value=None, traceback=None):
        """Raise an exception in it, as for any coroutine: what cancelling a task does."""
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        self.note_sent(value)
        raise value

    def close(self):
        """End it, as for any coroutine. If it was woken, the wake-up is passed on."""
        cdef TaskWaiter waiter = self.waiter
        self.stage = OVER
        self.suspended = None
        if waiter is not None:
            self.waiter = None
            self.zsock.leave(waiter)
            waiter.runtime.gave_up(self.zsock, waiter)

    def __dealloc__(self):
        if self.waiter is not None:
            self.zsock.leave(self.waiter)
        elif self.stage == NEW and self.zsock is not None:
            never_awaited(self.op)

    @property
    def __name__(self):
        return self.op.name.decode()

    @property
    def __qualname__(self):
        return f"ZMQSocket.{self.__name__}"

    def __repr__(self):
        return f"<{self.__qualname__} of {self.zsock!r}>"

    @property
    def cr_await(self):
        """What it waits for, for debuggers."""
        return None if self.waiter is None else self.waiter.future

    cdef int note_sent(self, error) except -1:
        """Tell in ``taken`` of an exception how many messages a send_many has sent."""
        if self.op == &SEND_MANY:
            error.taken = (<Batch> self.arg).sent
        return 0

    cdef object step(self, object value):
        """Go on: return the result, with `stage` OVER, or something for the event loop."""
        cdef Py_ssize_t sent_before = 0
        if self.stage == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if self.waiter is not None and self.waiter.future is not None:
            if not self.waiter.future.done():  # it is another task's, which would be forgotten
                raise RuntimeError("coroutine is being awaited already")
        try:
            if self.stage == NEW and self.must_yield():
                return None
            if self.suspended is not None:
                result = self.pass_on(value)
                if self.suspended is not None:
                    return result
            if self.waiter is not None:
                self.waiter.future = None
            if self.op == &SEND_MANY:
                sent_before = (<Batch> self.arg).sent
            result = self.again(False) if self.stage == WAITING else self.first_try()
        except BaseException as error:
            self.close()
            if exiting and isinstance(error, SystemExit):
                # In a daemon thread. A task that ended so would be reported by its loop.
                self.stage = WAITING
                self.suspended = self.zsock.runtime_here().never()
                return self.pass_on(None)
            self.note_sent(error)
            if self.iterating and isinstance(error, errors.ClosedError):
                raise StopAsyncIteration from None
            raise
        if self.op == &SEND_MANY:  # a batch counts as what it moves
            spend_task_budget((<Batch> self.arg).sent - sent_before)
        if result is NOT_NOW:
            return self.pause()
        self.stage = OVER
        if self.op == &RECV_MANY:
            spend_task_budget(len(<list> result))
        return result

    cdef bint must_yield(self) except -1:
        """At its start: return True to let the loop run a turn first.

        A runtime that has its own checkpoints does so by an iterator.
        """
        self.stage = YIELDED
        if self.op == &SEND_MANY:
            (<Batch> self.arg).slice = TASK_BATCH
        elif self.op == &RECV_MANY:
            self.arg = min(self.arg, TASK_BATCH)
        if self.zsock.checkpoint is not None:
            self.suspended = self.zsock.checkpoint()
            return False
        spend_task_budget(1)
        if ratchet_task_budget > 0:
            return False
        reset_task_budget()
        return True

    cdef object pass_on(self, object value):
        """Resume the runtime's iterator with ``value``; `suspended` is None if it has ended."""
        cdef PyObject *found
        cdef bint goes_on = iterator_send(self.suspended, value, &found)
        result = stolen(found)
        if not goes_on:
            self.suspended = None
        return result

    cdef object first_try(self):
        """Try before standing in line."""
        cdef AwaitableSocket zsock = self.zsock
        cdef Line line = line_of(zsock, self.op)
        cdef Caller me = UNNAMED_TASK
        zsock.require("send" if line is zsock.tx else "receive")
        if line.contended:
            me = self.find(None, None)
        result = NOT_NOW
        if not line.contended or me is not None and line.owner is me:
            try:
                result = attempt(zsock, self.op, self.arg, UNNAMED_TASK)
            except BaseException:  # the part is still there, for this task
                self.settle(line)
                raise
        if result is NOT_NOW and self.limit == 0:
            if self.op == &SEND_MANY and (<Batch> self.arg).pausing:
                self.stage = YIELDED  # and go on in the next turn of the loop
                return NOT_NOW
            if not line.contended:
                result = now_or_never(zsock, self.op, self.arg, UNNAMED_TASK)
        if result is not NOT_NOW:
            self.settle(line)
            zsock.after()
            return result
        return self.queue_up(line, me)

    cdef object queue_up(self, Line line, Caller me):
        """Stand in line from here on, and try again."""
        cdef AwaitableSocket zsock = self.zsock
        # Only a receive has looked by trying.
        cdef bint tried = line is zsock.rx and not line.contended
        cdef unsigned int touched = zsock.touched
        cdef AwaitedRuntime runtime = zsock.runtime_here()
        if me is None or me is UNNAMED_TASK:
            # Calls that belong together must be known as such before the first has its turn.
            me = self.find(Caller() if self.op.partial else None, runtime)
        self.waiter = TaskWaiter(Caller() if me is None else me, runtime)
        self.waiter.deadline = deadline_of(self.limit)
        zsock.join(line, self.waiter)
        self.stage = WAITING
        if zsock.watcher is not runtime:
            runtime.watch(zsock)
        # What is above may have let others run, which may have woken this one already.
        return self.again(tried and zsock.touched == touched)

    cdef int settle(self, Line line) except -1:
        """Give the task its name if it is in the middle of a message now: its next call is known by it."""
        if line.owner is UNNAMED_TASK:
            try:
                self.zsock.set_owner(line, self.find(Caller(), self.zsock.runtime_here()))
            except BaseException:  # no memory: nobody could go on with it
                self.zsock.abandon(line)
                raise
        return 0

    cdef Caller find(self, Caller new, AwaitedRuntime runtime):
        """Return the caller; it is ``new`` if it is not known yet."""
        return caller_of(self.context, new, runtime, self.context is ratchet_context())

    cdef object again(self, bint tried):
        """In the line: try, as `wait` of `engine.pxi` does."""
        cdef AwaitableSocket zsock = self.zsock
        cdef TaskWaiter me = self.waiter
        cdef Line line = me.line
        cdef bint knock = False
        if line is None and zsock.born == generation:
            raise errors.Error(errno.ECANCELED, f"{zsock.describe()}: the event loop was closed")
        result = try_in_line(zsock, me, self.op, self.arg, tried, &knock)
        if result is not NOT_NOW:
            self.waiter = None
            zsock.leave(me)
            me.runtime.finished(me)
        elif me.deadline != INFINITY and monotonic() >= me.deadline:
            raise timed_out(zsock, line, self.limit)
        else:
            me.until = min(me.deadline, monotonic() + REKNOCK) if knock else me.deadline
        return result

    cdef object pause(self):
        """Suspend the task in its runtime; return what that hands to the event loop."""
        cdef TaskWaiter me = self.waiter
        if me is None or me.woken or self.op == &SEND_MANY and (<Batch> self.arg).pausing:
            return self.pass_turn()
        reset_task_budget()
        self.suspended = me.runtime.suspend(me)
        if me.woken:  # meanwhile, by another OS thread, which found nothing to wake
            self.suspended = me.future = None
            return self.pass_turn()
        return self.pass_on(None)

    cdef object pass_turn(self):
        """Let the loop run a turn."""
        if self.zsock.checkpoint is None:
            return None
        self.suspended = self.zsock.checkpoint()
        return self.pass_on(None)


def block(Call call not None):
    """Perform a call in the thread that makes it, instead of awaiting it."""
    if call.awaited or call.stage != NEW:
        raise RuntimeError("cannot reuse already awaited coroutine")
    call.stage = OVER
    try:
        return perform_now(call.zsock, call.op, call.arg, call.limit)
    except BaseException as error:
        call.note_sent(error)
        raise


cdef void never_awaited(const Operation *op) noexcept:
    """Warn as Python does of a coroutine."""
    name = op.name.decode()
    try:
        warnings.warn(f"coroutine 'ZMQSocket.{name}' was never awaited", RuntimeWarning)
    except Warning as warning:  # they are errors here
        report(warning, name)


cdef inline void spend_task_budget(Py_ssize_t calls) noexcept:
    global ratchet_task_budget
    ratchet_task_budget -= <int> min(calls, 1_000_000)


cdef inline void reset_task_budget() noexcept:
    global ratchet_task_budget
    ratchet_task_budget = task_burst


cdef int call_send(object call, object value, PyObject **result) except -1:
    """Fill the slot am_send: 1 is PYGEN_NEXT, 0 is PYGEN_RETURN."""
    found = (<Call> call).step(value)
    Py_INCREF(found)
    result[0] = <PyObject *> found
    return 0 if (<Call> call).stage == OVER else 1


if ratchet_set_send(Call, call_send) < 0:
    raise ImportError("ratchet's coroutines cannot be made with this Python and Cython")


def set_task_burst(int calls):
    """Do what `ratchet.asyncio.set_burst` says."""
    global task_burst
    task_burst = calls


cdef class AwaitableSocket(Calls):
    """A socket whose calls pause the task that awaits them. An argument is refused at the call."""
    cdef object checkpoint  # returns an iterator to run at the start of each call; or None

    def __cinit__(self, *args, **kwargs):
        self.checkpoint = self._checkpoint

    _checkpoint = None

    cdef AwaitedRuntime runtime_here(self):
        """Return the runtime of the event loop that runs here."""
        return self._runtime_here()

    cdef object perform(self, const Operation *op, object arg, double limit):
        cdef Call call = Call.__new__(Call)
        call.zsock = self
        call.op = op
        call.arg = arg
        call.limit = limit
        call.context = ratchet_context()
        return call

    def __aiter__(self):
        """``async for data in zsock``: until the socket is closed, or its timeout raises."""
        return self

    def __anext__(self):
        cdef Call call = <Call> self.perform(&RECV_ALL, None, self._recv_timeout)
        call.iterating = True
        return call

    def __iter__(self):
        raise TypeError("use async for: this socket is used with await")
