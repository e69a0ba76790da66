# Layer 8. One call that is awaited: a coroutine in C that tries again when it is resumed.
#
# `Call` is what `await zsock.recv()` awaits. It begins when it is awaited, not when it is made, and
# takes its message in the very step that returns it: a task that is cancelled before or while it
# waits has taken nothing. It is written by hand, since a coroutine of Python or Cython costs more
# than the receive itself; the slot `am_send` spares a ready call the StopIteration. `await` uses
# that slot in Python 3.11; from 3.12 on `await` uses `tp_iternext`, which can return a value only
# by an exception. The exception is made before the step: a message that was taken must not be lost
# to a MemoryError.
#
# In the middle of a message, the caller is known by the contextvars.Context in which its call was
# made: each task has its own, and wait_for() and create_task() run the call in another task than
# the one that goes on with the message.

cdef enum Stage:
    NEW, YIELDED, WAITING, OVER


@cython.final
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
        return ratchet_step(self, None, False)

    def send(self, value):
        """Resume it with a value, as for any coroutine."""
        return ratchet_step(self, value, False)

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
            self.leave(waiter)
            if waiter.born == generation:
                waiter.loop.gave_up(self.zsock, waiter)
            else:  # its reader is the parent's, in an epoll that is the parent's too
                waiter.loop.finished(waiter)

    def __dealloc__(self):
        if self.waiter is not None:
            self.leave(self.waiter)
        elif self.stage == NEW and self.zsock is not None:
            never_awaited(self.op)

    cdef void leave(self, TaskWaiter waiter) noexcept:
        """Leave the line without a result."""
        self.zsock.leave(waiter)
        if self.op == &REQUEST:
            (<Request> self.arg).end()

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

    # What trio reads of a coroutine to show the stack of its task.
    gi_frame = None

    @property
    def gi_yieldfrom(self):
        """What it runs now."""
        return self.suspended

    @property
    def taken(self):
        """Of a `send_many`: how many messages have been sent by now, however the call ends.

        The exception says it too, but not every way to end a task lets that through: in Python 3.11
        `asyncio.timeout` does not refer to it, `wait_for` drops it, and a TaskGroup always does.
        """
        if self.op != &SEND_MANY:
            raise AttributeError(f"{self!r} has no 'taken': only a send_many has")
        return (<Batch> self.arg).sent

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
            if result is NOT_NOW and self.waiter is not None:
                result = self.spin_for_reply()
        except BaseException as error:
            self.close()
            self.zsock.after()  # it may have called libzmq before it failed
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

        Where the loop has checkpoints of its own, such an iterator does that.
        """
        self.stage = YIELDED
        if self.op == &SEND_MANY:
            (<Batch> self.arg).slice = TASK_BATCH
        elif self.op == &RECV_MANY:
            self.arg = min(self.arg, TASK_BATCH)
        spend_task_budget(1)
        if ratchet_task_budget > 0 or ratchet_task_budget > OWED and self.will_wait():
            if self.zsock.checkpoint is not None:
                self.suspended = self.zsock.checkpoint.due(False)
            return False
        reset_task_budget()
        if self.zsock.checkpoint is not None:
            self.suspended = self.zsock.checkpoint.due(True)
        return self.suspended is None

    cdef bint will_wait(self) except -1:
        """Return True if it cannot be done now, so that the loop has its turn in any case.

        It then queues up at once: in a turn before that, calls that come later would go first. If
        it fails instead, the next call lets the loop run.
        """
        global ratchet_task_budget
        cdef Line line = line_of(self.zsock, self.op)
        if self.limit == 0 or self.zsock.check() & line.event:
            return False
        ratchet_task_budget = OWED
        return True

    cdef object pass_on(self, object value):
        """Resume the runtime's iterator with ``value``; `suspended` is None if it has ended."""
        cdef PyObject *found
        cdef bint goes_on = iterator_send(self.suspended, value, &found)
        result = own(found)
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
            if type(me) is TaskCaller:
                self.come_back(line, <TaskCaller> me)
        result = NOT_NOW
        if not line.contended or line.only_bypasses() or me is not None and line.owner is me:
            try:
                result = attempt(zsock, self.op, self.arg, UNNAMED_TASK if me is None else me)
            except BaseException:  # the part is still there, for this task
                self.name_owner(line)
                raise
        if result is NOT_NOW and self.limit == 0:
            if self.op == &SEND_MANY and (<Batch> self.arg).pausing:
                self.stage = YIELDED  # and go on in the next turn of the loop
                return NOT_NOW
            if not line.contended:
                result = now_or_never(zsock, self.op, self.arg, UNNAMED_TASK)
        if result is not NOT_NOW:
            if line.owner is UNNAMED_TASK:
                self.name_owner(line)
            zsock.after()
            return result
        return self.queue_up(line, me)

    cdef object queue_up(self, Line line, Caller me):
        """Stand in line from here on, and try again."""
        cdef AwaitableSocket zsock = self.zsock
        cdef bint tried = not line.contended and self.op != &REQUEST
        cdef unsigned int touched = zsock.touched
        cdef AwaitedRuntime runtime = zsock.runtime_here()
        if me is None or me is UNNAMED_TASK:
            # Calls that belong together must be known as such before the first has its turn.
            me = self.find(TaskCaller(runtime) if self.op.partial else None, runtime)
        self.waiter = TaskWaiter(TaskCaller(runtime) if me is None else me, runtime)
        self.waiter.deadline = deadline_of(self.limit)
        zsock.join(line, self.waiter)
        self.stage = WAITING
        if zsock.watcher is not runtime and self.limit != 0:
            runtime.watch(zsock)
        # What is above may have let others run, which may have woken this one already.
        return self.again(tried and zsock.touched == touched)

    cdef int name_owner(self, Line line) except -1:
        """Give the task its name if it is in the middle of a message now: its next call is known by
        it."""
        cdef AwaitedRuntime runtime
        if line.owner is UNNAMED_TASK:
            try:
                runtime = self.zsock.runtime_here()
                self.zsock.set_owner(line, self.find(TaskCaller(runtime), runtime))
            except BaseException:  # no memory: nobody could go on with it
                self.zsock.abandon(line)
                raise
        return 0

    cdef int come_back(self, Line line, TaskCaller me) except -1:
        """Note that ``me`` runs in this loop now; it may go on with a message set aside."""
        cdef AwaitedRuntime runtime = self.zsock.runtime_here()
        if me.runtime is not runtime:
            me.runtime = runtime
        if line.aside is not None and line.owner is None:
            take_back(self.zsock, line, me)
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
            if me.reply.began_at != 0:
                me.loop.has_reply(me)
            self.waiter = None
            zsock.leave(me)
            if me.timer is None and isinstance(me.loop, AsyncioBase):
                me.future = None
            else:
                me.loop.finished(me)
        elif me.deadline != INFINITY and monotonic() >= me.deadline:
            raise timed_out(zsock, line, self.limit)
        elif self.op == &REQUEST:
            me.until = soon_if(knock, (<Request> self.arg).wakes_at())
        else:
            me.until = soon_if(knock, me.deadline)
        return result

    cdef object spin_for_reply(self):
        """Try again as long as the runtime spins for the reply to what was sent."""
        cdef TaskWaiter me = self.waiter
        if ratchet_task_budget <= 0:
            return NOT_NOW  # the loop is to have its turn: see `will_wait`
        if me.woken or me.line.first is not me or not self.zsock.reply_expected(me.line):
            return NOT_NOW
        while me.loop.spin_for_reply(me, self.zsock):
            result = self.again(False)
            if result is not NOT_NOW:
                spend_task_budget(SPIN_SHARE)
                return result
        return NOT_NOW

    cdef object pause(self):
        """Suspend the task in its runtime; return what that hands to the event loop."""
        cdef TaskWaiter me = self.waiter
        if me is None or me.woken or self.op == &SEND_MANY and (<Batch> self.arg).pausing:
            return self.pass_turn()
        reset_task_budget()
        self.suspended = me.loop.suspend(me)
        if me.woken:  # meanwhile, by another OS thread, which found nothing to wake
            self.suspended.close()
            self.suspended = me.future = None
            return self.pass_turn()
        return self.pass_on(None)

    cdef object pass_turn(self):
        """Let the loop run a turn."""
        if self.zsock.checkpoint is not None:
            self.suspended = self.zsock.checkpoint.due(True)
        return None if self.suspended is None else self.pass_on(None)


cdef object at_once(Call call):
    """Perform a call with a limit of 0 in the task that makes it, without an await."""
    if not event_loop_runs_here():
        return block(call)  # no task: it is the OS thread's
    call.awaited = True
    call.stage = YIELDED
    if ratchet_task_budget > 0:
        spend_task_budget(1)  # the next call that is awaited lets the loop run, if it is time
    try:
        result = call.first_try()
    except BaseException:
        call.close()
        raise
    call.stage = OVER
    return result


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


cdef int call_send(object call, object value, PyObject **result) except -1:
    """Fill the slot am_send: 1 is PYGEN_NEXT, 0 is PYGEN_RETURN."""
    found = (<Call> call).step(value)
    Py_INCREF(found)
    result[0] = <PyObject *> found
    return 0 if (<Call> call).stage == OVER else 1


cdef void call_end(object call) noexcept:
    (<Call> call).close()


if ratchet_set_slots(Call, call_send, call_end) < 0:
    raise ImportError("ratchet's coroutines cannot be made with this Python and Cython")
