# How an asyncio task pauses: a coroutine in C that asks again whenever its future is done.
#
# `Call` is what `await zsock.recv()` awaits. It begins when it is awaited, not when it is made,
# and takes its message in the very step that returns it: a task that is cancelled before or while
# it waits has taken nothing. Written by hand, since a coroutine of Python or Cython costs more
# than the receive itself; `am_send` is the slot that spares a ready call the StopIteration.
# `await` uses it in Python 3.11; from 3.12 on it asks `tp_iternext`, which has only an exception to
# return a value with. That one is made before the call is: a message that was taken must not be
# lost to a MemoryError.
#
# Who a call belongs to, in the middle of a message, is known by the contextvars.Context in which
# the call was made: each task has its own, and wait_for() and create_task() run the call in
# another task than the one that goes on with the message.
#
# What knows the event loop (readers, timers, futures) is the Looper of `asyncio.py`.

cdef extern from *:
    """
    RATCHET_LOCAL int ratchet_task_budget = 0;
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
    static void (*ratchet_end_call)(PyObject *) = NULL;
    static PyObject *ratchet_spare_stop = NULL;  /* a StopIteration that is not in use */
    /* The next step of a call. A call that is over is a StopIteration with its result; if it has
       none and `bare`, it is NULL and no exception, as the slot allows. */
    static PyObject *ratchet_step(PyObject *call, int bare) {
        PyObject *result = NULL, *stop = ratchet_spare_stop;
        ratchet_spare_stop = NULL;  /* it is ours, whoever runs meanwhile */
        if (stop == NULL && (stop = PyObject_CallNoArgs(PyExc_StopIteration)) == NULL) {
            PyErr_Clear();
            ratchet_end_call(call);
            return PyErr_NoMemory();
        }
        int over = Py_TYPE(call)->tp_as_async->am_send(call, Py_None, &result) == PYGEN_RETURN;
        if (over && !(bare && result == Py_None)) {
            Py_XSETREF(((PyStopIterationObject *) stop)->value, result);
        #if PY_VERSION_HEX >= 0x030C0000
            PyErr_SetRaisedException(stop);
        #else
            PyErr_Restore(Py_NewRef(PyExc_StopIteration), stop, NULL);
        #endif
            return NULL;
        }
        if (ratchet_spare_stop == NULL) ratchet_spare_stop = stop;
        else Py_DECREF(stop);
        if (over) Py_CLEAR(result);
        return result;
    }
    static PyObject *ratchet_next(PyObject *call) {
        return ratchet_step(call, 1);
    }
    static void ratchet_set_send(
        PyObject *type, int (*send)(PyObject *, PyObject *, PyObject **), void (*end)(PyObject *)
    ) {
        ratchet_end_call = end;
        ((PyTypeObject *) type)->tp_as_async->am_send = (sendfunc) send;
        ((PyTypeObject *) type)->tp_iternext = ratchet_next;
        PyType_Modified((PyTypeObject *) type);
    }
    """
    object ratchet_step(object call, bint bare)
    int ratchet_task_budget  # calls until the tasks of this OS thread must let the loop run
    object ratchet_context()
    void ratchet_set_send(
        object type, int (*send)(object, object, PyObject **) except -1,
        void (*end)(object) noexcept)

# Ready calls in a row, all tasks of a loop together, before one lets the loop run its turn.
cdef int task_burst = 128

# How many messages of a batch a task may move before it lets the loop run: a fraction of a
# millisecond if they are small.
cdef Py_ssize_t TASK_BATCH = 2000

cdef enum Stage:
    NEW, YIELDED, WAITING, OVER


cdef bint loop_stopped(looper) except -1:
    """Does the loop not run?"""
    loop = looper._loop()
    if loop is None:
        return True
    # To ask asyncio's own is_running() may run a signal handler, whose exception nobody could take.
    return loop._thread_id is None if looper.plain else not loop.is_running()


cdef class TaskCaller(Caller):
    """A task, or whoever else made calls in one context, as the owner of a message."""
    cdef object looper

    def __init__(self, looper):
        self.looper = looper

    cdef object runtime(self):
        return self.looper

    cdef bint stopped(self) except -1:
        return loop_stopped(self.looper)

    cdef bint gone(self) except -1:
        return self.looper.loop is None


cdef class TaskWaiter(Waiter):
    """A paused task."""
    cdef readonly object looper
    cdef public object future
    cdef public double deadline
    cdef public int entries  # in the looper's heap
    cdef unsigned int born
    cdef public list callbacks  # of its future, while that is being set

    @property
    def queued(self):
        """Is it still in a line?"""
        return self.line is not None

    def __init__(self, Caller caller, looper):
        self.caller = caller
        self.looper = looper
        self.born = generation
        self.deadline = INFINITY

    cpdef wake(self):
        if self.future is None:
            return
        if (exiting or self.born != generation) and self.looper.ident != threading.get_ident():
            return  # see `Call.step`; and a child must not write to the loops of its parent
        self.looper.wake(self)

    cpdef bint gone(self):
        return self.looper.loop is None

    cpdef object runtime(self):
        return self.looper

    cpdef bint stopped(self):
        return loop_stopped(self.looper)


NAMES = (
    "send", "send", "send_multipart", "send_many",
    "recv", "recv_all", "recv_multipart", "recv_many", "recv_frame", "recv_frames", "recv_into",
)


@cython.freelist(64)
@cython.no_gc_clear  # a call that is collected while it waits must still leave its line
cdef class Call:
    """One call that an asyncio task awaits: a coroutine."""
    cdef AsyncSocket zsock
    cdef object arg
    cdef object context     # in which it was made
    cdef TaskWaiter waiter
    cdef double limit
    cdef Op op
    cdef Stage stage
    cdef bint awaited
    cdef bint iterating  # a closed socket is the end of an `async for`

    def __await__(self):
        if self.awaited or self.stage != NEW:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.awaited = True
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return ratchet_step(self, False)

    def send(self, value):
        """As any coroutine's."""
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        """As any coroutine's: a task that is cancelled has this called."""
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        if self.op == SEND_MANY:
            value.taken = (<Batch> self.arg).taken
        raise value

    def close(self):
        """As any coroutine's. Who was woken and gives up passes the wake on."""
        cdef TaskWaiter waiter = self.waiter
        self.stage = OVER
        if waiter is not None:
            self.waiter = None
            self.zsock.exit(waiter)
            if waiter.born == generation:
                waiter.looper.gone(self.zsock, waiter)
            else:  # its reader is the parent's, in an epoll that is the parent's too
                waiter.looper.done(waiter)

    def __dealloc__(self):
        if self.waiter is not None:
            self.zsock.exit(self.waiter)
        elif self.stage == NEW and self.zsock is not None:
            never_awaited(self.op)

    @property
    def __name__(self):
        return NAMES[<int> self.op]

    @property
    def __qualname__(self):
        return f"ZMQSocket.{NAMES[<int> self.op]}"

    def __repr__(self):
        return f"<{self.__qualname__} of {self.zsock!r}>"

    @property
    def cr_await(self):
        """What it waits for, for debuggers."""
        return None if self.waiter is None else self.waiter.future

    @property
    def taken(self):
        """Of `send_many`: how many messages have gone by now, however the call ends.

        The exception says it too, but not every way to end a task lets that through: in Python 3.11
        `asyncio.timeout` does not refer to it, `wait_for` drops it, and a TaskGroup always does.
        """
        if self.op != SEND_MANY:
            raise AttributeError(f"{self!r} has no 'taken': it is of send_many")
        return (<Batch> self.arg).taken

    cdef object step(self):
        """Go on: the result, when `stage` is OVER then, or something for the loop to wait for."""
        cdef Py_ssize_t moved = 0
        if self.stage == NEW:
            task_budget_spend(1)
            if ratchet_task_budget <= 0:
                self.stage = YIELDED
                task_budget_reset()
                return None
        elif self.stage == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        elif self.waiter is not None and self.waiter.future is not None:
            if not self.waiter.future.done():  # it is another task's, and would be forgotten
                raise RuntimeError("coroutine is being awaited already")
            self.waiter.future = None
        if self.op == SEND_MANY:
            moved = (<Batch> self.arg).taken
        try:
            if self.stage != WAITING:
                result = self.first_try()
            else:
                result = self.again(False)
        except BaseException as error:
            self.close()
            if exiting and isinstance(error, SystemExit):
                # In a daemon thread. A task that ended so would be reported by its loop.
                self.stage = WAITING
                return never()
            if self.op == SEND_MANY:
                error.taken = (<Batch> self.arg).taken
            if self.iterating and isinstance(error, errors.ClosedError):
                raise StopAsyncIteration from None
            raise
        if self.op == SEND_MANY:
            task_budget_spend((<Batch> self.arg).taken - moved)  # a batch counts as what it moves
        if result is NOT_NOW:
            return self.pause()
        self.stage = OVER
        if self.op == RECV_MANY:
            task_budget_spend(len(<list> result))
        return result

    cdef object first_try(self):
        cdef AsyncSocket zsock = self.zsock
        cdef Line line = zsock.line_of(self.op)
        cdef Caller me = TASK
        cdef bint tried
        cdef unsigned int touched
        zsock.alive("send" if line is zsock.tx else "receive")
        if line.shut:
            me = self.find(None)
            if type(me) is TaskCaller:
                self.go_on(line, <TaskCaller> me)
        result = NOT_NOW
        if not line.shut or line.is_detour() or me is not None and line.owner is me:
            try:
                result = zsock.attempt(self.op, self.arg, me)
            except BaseException:  # the part is still there, for this task
                self.settle(line)
                raise
        if result is NOT_NOW and self.limit == 0:
            if self.op == SEND_MANY and (<Batch> self.arg).pausing:
                self.stage = YIELDED  # and go on in the next turn of the loop
                return NOT_NOW
            if not line.shut:
                result = zsock.now_or_never(self.op, self.arg, TASK)
        if result is not NOT_NOW:
            self.settle(line)
            zsock.after()
            return result
        # From here on it waits in line. Only a receive has looked by trying.
        tried = line is zsock.rx and not line.shut
        touched = zsock.touched
        looper = running_looper()
        if me is None or me is TASK:
            # Calls that belong together must be known as such before the first has its turn.
            owns = self.op == HOLD or self.op in (RECV, RECV_FRAME, RECV_INTO)
            me = self.find(TaskCaller(looper) if owns else None)
        self.waiter = TaskWaiter(TaskCaller(looper) if me is None else me, looper)
        self.waiter.deadline = deadline_of(self.limit)
        zsock.enter(line, self.waiter)
        self.stage = WAITING
        if zsock.watcher is not looper:
            looper.watch(zsock)
        # What is above may have let others run, which may have woken this one already.
        return self.again(tried and zsock.touched == touched)

    cdef int settle(self, Line line) except -1:
        """In the middle of a message now? Then the next call must be known as this one's."""
        if line.owner is TASK:
            try:
                self.zsock.seize(line, self.find(TaskCaller(running_looper())))
            except BaseException:  # no memory: nobody could go on with it
                self.zsock.abandon(line)
                raise
        return 0

    cdef int go_on(self, Line line, TaskCaller me) except -1:
        """The one of this context may be in the middle of a message; it runs in this loop now."""
        if me.looper._loop() is not loop_here():
            me.looper = running_looper()
        if line.aside is not None and line.owner is None:
            self.zsock.take_back(line, me)
        return 0

    cdef Caller find(self, Caller new):
        """Whose call this is; ``new`` if that is not known yet."""
        return find_caller(self.context, new, self.context is ratchet_context())

    cdef object again(self, bint tried):
        """In the line: try, as `Traffic.wait` does."""
        cdef AsyncSocket zsock = self.zsock
        cdef TaskWaiter me = self.waiter
        cdef Line line = me.line
        cdef bint knock = False
        if line is None and zsock.born == generation:
            raise errors.Error(errno.ECANCELED, f"{zsock.describe()}: the event loop was closed")
        result = zsock.try_in_line(me, self.op, self.arg, tried, &knock)
        if result is not NOT_NOW:
            self.waiter = None
            zsock.exit(me)
            me.looper.done(me)
        elif me.deadline != INFINITY and monotonic() >= me.deadline:
            raise zsock.timeout(line, self.limit)
        elif knock:
            me.looper.knock(me, min(me.deadline, monotonic() + REKNOCK))
        return result

    cdef object pause(self):
        """A future for the task to wait for."""
        cdef TaskWaiter me = self.waiter
        if me is None or me.woken or self.op == SEND_MANY and (<Batch> self.arg).pausing:
            return None
        task_budget_reset()
        me.future = me.looper.future(me)
        if me.woken:  # meanwhile, by another OS thread, which found no future
            me.future = None
            return None
        return me.future


cdef void never_awaited(Op op) noexcept:
    """Warn as Python does of a coroutine."""
    try:
        warnings.warn(f"coroutine 'ZMQSocket.{NAMES[<int> op]}' was never awaited", RuntimeWarning)
    except Warning as warning:  # they are errors here
        report(warning, NAMES[<int> op])


cdef inline void task_budget_spend(Py_ssize_t calls) noexcept:
    global ratchet_task_budget
    ratchet_task_budget -= <int> min(calls, 1_000_000)


cdef inline void task_budget_reset() noexcept:
    global ratchet_task_budget
    ratchet_task_budget = task_burst


cdef int call_send(object call, object value, PyObject **result) except -1:
    """The slot am_send: 1 is PYGEN_NEXT, 0 is PYGEN_RETURN."""
    found = (<Call> call).step()
    Py_INCREF(found)
    result[0] = <PyObject *> found
    return 0 if (<Call> call).stage == OVER else 1


cdef void call_end(object call) noexcept:
    (<Call> call).close()


ratchet_set_send(Call, call_send, call_end)

# Set by `asyncio.py`, which is imported only by those who use it.
running_looper = None
find_caller = None
never = None
loop_here = None


def use_asyncio(looper, caller, never_done, here):
    """How to find the Looper of the running loop, the Caller of the running task, and the loop."""
    global running_looper, find_caller, never, loop_here
    running_looper, find_caller, never, loop_here = looper, caller, never_done, here


def set_task_burst(int calls):
    """`ratchet.asyncio.set_burst`."""
    global task_burst
    task_burst = calls


cdef class AsyncSocket(PausingSocket):
    """The calls that pause the task that awaits them. What a call refuses, it refuses when made."""

    cdef Call later(self, Op op, object arg, object timeout):
        cdef double limit = limit_of(self, op, timeout)
        cdef Call call = Call.__new__(Call)
        call.zsock = self
        call.op = op
        call.arg = arg
        call.limit = limit
        call.context = ratchet_context()
        return call

    def send(self, data, more=False, *, timeout=..., copy=True):
        """As `ratchet.zmqsocket.ZMQSocket.send`, awaited. Cancelled, it has sent nothing."""
        if more and not self.can_send:
            raise self.fail(ENOTSUP, "send")
        part = snapshot(data) if copy else Loan(data, Tracker())
        return self.later(HOLD if more else SEND, part, timeout)

    def send_multipart(self, parts, *, timeout=..., copy=True):
        """As `ratchet.zmqsocket.ZMQSocket.send_multipart`, awaited. Cancelled: sent nothing."""
        message = to_messages(parts, "parts", None if copy else Tracker())
        if not message:
            raise errors.argument_error("a message has at least one part; b'' is one")
        return self.later(SEND_MULTIPART, message, timeout)

    def send_many(self, messages, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.send_many`, awaited.

        However it ends, ``taken`` of what this returns says how many went; so does that of
        the CancelledError or the Timeout.
        """
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        return self.later(SEND_MANY, Batch(messages, TASK_BATCH), timeout)

    def recv(self, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv`, awaited. Cancelled, it has taken nothing."""
        return self.later(RECV, None, timeout)

    def recv_all(self, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_all`, awaited. Cancelled, it has taken nothing."""
        return self.later(RECV_ALL, None, timeout)

    def recv_multipart(self, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_multipart`, awaited. Cancelled: taken nothing."""
        return self.later(RECV_MULTIPART, None, timeout)

    def recv_many(self, max, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_many`, awaited; at most 2000 messages at once.

        Cancelled, it has taken nothing.
        """
        return self.later(RECV_MANY, min(to_most(max), TASK_BATCH), timeout)

    def recv_frame(self, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_frame`, awaited. Cancelled: it has taken nothing."""
        return self.later(RECV_FRAME, None, timeout)

    def recv_frames(self, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_frames`, awaited. Cancelled: taken nothing."""
        return self.later(RECV_FRAMES, None, timeout)

    def recv_into(self, buffer, *, timeout=...):
        """As `ratchet.zmqsocket.ZMQSocket.recv_into`, awaited. Cancelled: it has taken nothing."""
        return self.later(RECV_INTO, Target(buffer), timeout)

    def __aiter__(self):
        """``async for data in zsock``: until the socket is closed, or its timeout raises."""
        return self

    def __anext__(self):
        cdef Call call = self.later(RECV_ALL, None, UNSET)
        call.iterating = True
        return call

    def __iter__(self):
        raise TypeError("use async for: this socket belongs to asyncio")
