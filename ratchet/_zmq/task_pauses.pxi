# Layer 8. How a task of asyncio's sleeps and goes on.
#
# A future of asyncio's tells its task in the loop's next turn that it is done, for which the loop
# asks the operating system once more. `TaskPause` is as much of a future as a task asks of one,
# and its task goes on where the descriptor's ring is answered.
#
# A task that expects a reply spins for it before it sleeps, as other threads do, if the loop has
# nothing else to do: no callback is ready and no other call is paused. What else the loop watches
# ends the spin, for the reply may depend on it: the one who answers may run in this loop. It spins
# in its own step, so what a signal handler raises ends the call as anywhere else.

cdef object running_loop = None  # asyncio's function of that name

cdef extern from "Python.h":
    int enter_context "PyContext_Enter"(object) except -1
    int exit_context "PyContext_Exit"(object) except -1


cdef enum PauseState:
    PENDING, GOES_ON, CANCELLED


@cython.final
@cython.freelist(64)
@cython.no_gc_clear  # its runtime counts it
cdef class TaskPause:
    """What a paused task waits for."""
    cdef readonly object _loop
    cdef AsyncioBase runtime
    cdef object callback, context  # by which the task goes on; None: it has, or does not sleep yet
    cdef object message            # of a cancellation
    cdef PauseState state
    cdef bint handed_out           # to the task
    cdef public bint _asyncio_future_blocking

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.state == PENDING:
            if self.handed_out:
                raise RuntimeError("a pause was resumed before its end")
            self.handed_out = self._asyncio_future_blocking = True
            return self
        if self.state == CANCELLED:
            self.result()
        raise StopIteration

    def close(self):
        """End the iteration: nobody waits for it."""
        self.finish_as(GOES_ON)

    cdef void finish_as(self, PauseState how) noexcept:
        if self.state == PENDING:
            self.state = how
            self.runtime.paused -= 1

    def __dealloc__(self):
        if self.runtime is not None:
            self.finish_as(GOES_ON)

    def __repr__(self):
        return f"<{'pending' if self.state == PENDING else 'finished'} pause of ratchet's>"

    def get_loop(self):
        """Return the task's loop."""
        return self._loop

    def done(self):
        """Return True if the task goes on."""
        return self.state != PENDING

    def cancelled(self):
        """Return True if it was cancelled."""
        return self.state == CANCELLED

    def cancel(self, msg=None):
        """Have the task go on with a CancelledError."""
        if self.state != PENDING:
            return False
        self.message = msg
        self.finish_as(CANCELLED)
        self.tell_soon()
        return True

    def result(self):
        """Return None, or raise CancelledError."""
        if self.state == PENDING:
            raise asyncio_error("InvalidStateError")("the task pauses")
        if self.state == CANCELLED:
            error = asyncio_error("CancelledError")
            raise error() if self.message is None else error(self.message)
        return None

    def exception(self):
        """Return None, or raise CancelledError."""
        return self.result()

    def add_done_callback(self, callback, *, context=None):
        """Have the task's own callback called when it goes on."""
        if self.state != PENDING:
            self._loop.call_soon(callback, self, context=context)
        elif self.callback is not None:
            raise RuntimeError("a pause is one task's")
        else:
            self.context, self.callback = context, callback

    def remove_done_callback(self, callback):
        """Return how many callbacks there were of that kind, which are forgotten."""
        if self.callback is None or self.callback != callback:
            return 0
        self.callback = None
        return 1

    cdef int wake(self) except -1:
        """Have the task go on: now, if the loop answers a descriptor; else in its next turn.

        In the loop's own OS thread. May be called again, if a signal handler has raised in it.
        """
        self.finish_as(GOES_ON)
        if self.callback is not None:
            if self.runtime.due is not None:
                (<list> self.runtime.due).append(self)
            else:
                self.tell_soon()
        return 0

    cdef int tell_soon(self) except -1:
        if self.callback is not None:
            self._loop.call_soon(self.go_on, context=self.context)
        return 0

    def wake_soon(self):
        """Do what `wake` does, in the loop's own OS thread."""
        self.wake()

    def go_on(self):
        """Let the task go on, in whose context this is called."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback(self)

    cdef int go_on_now(self) except -1:
        """Let the task go on, from outside its context."""
        context = self.context
        if context is None:
            self.go_on()
            return 0
        enter_context(context)
        try:
            self.go_on()
        finally:
            exit_context(context)
        return 0


cdef object asyncio_error(str name):
    return getattr(modules["asyncio"], name)


cdef class AsyncioBase(AwaitedRuntime):
    """What of the runtime of an asyncio loop a waiting call passes through; `asyncio.py` has the
    rest."""
    cdef object reference     # weak, to the loop
    cdef list due             # pauses that end; not None while a descriptor is answered
    cdef object queue         # the loop's own, of callbacks that are ready; None: it is not known
    cdef Py_ssize_t poll_fd   # readable if anything is that the loop watches; -1: it is not known
    cdef Py_ssize_t paused    # calls that a ring, a timer or a cancellation lets go on
    cdef Py_ssize_t to_go_on  # those that have been rung for and have not had their step
    cdef ReplyTimes replies

    def set_loop(self, reference, queue, Py_ssize_t poll_fd):
        """Take a weak reference to the loop and what tells whether it has anything to do.

        Args:
            queue: of callbacks that are ready; None: its calls never spin.
            poll_fd: readable if anything is that the loop watches; -1: there is none.
        """
        self.reference = reference
        self.queue = queue
        self.poll_fd = poll_fd

    cpdef bint runs_here(self) except -1:
        """Return True if its loop runs in the OS thread that asks."""
        here = running_loop()
        if here is None or self.reference() is not here:
            return False
        if self.ident != PyThread_get_thread_ident():
            self.ident = PyThread_get_thread_ident()
        return True

    # Sleeping

    def suspend(self, TaskWaiter waiter not None):
        """Return an iterator that suspends the running task until `wake`, or its deadline."""
        cdef TaskPause pause = TaskPause.__new__(TaskPause)
        pause._loop, pause.runtime = running_loop(), self
        self.paused += 1
        waiter.future = pause
        if waiter.until != INFINITY:
            self.arm(waiter)
        return pause

    def wake(self, TaskWaiter waiter not None):
        """End the waiter's pause, or serve the calls that it stands for. From any OS thread."""
        future = waiter.future
        if future is None:
            return
        here = running_loop()
        if here is None or self.reference() is not here:
            self.have_called(future.wake_soon)
        elif type(future) is TaskPause:
            (<TaskPause> future).wake()
        elif self.due is not None:
            self.due.append(future)
        else:
            future.wake_soon()

    def rang(self, reference):
        """Look at a socket whose descriptor is readable; what can go on does so now."""
        cdef Doorbell bell = reference()
        if bell is None:
            return
        self.due = []
        try:
            bell.ring(bell.look(), None)
        finally:
            due, self.due = self.due, None
            if due:
                self.let_go_on(due)

    cdef int let_go_on(self, list due) except -1:
        cdef Py_ssize_t count = 0
        try:
            for future in due:
                count += 1
                self.to_go_on = len(due) - count
                if type(future) is TaskPause:
                    (<TaskPause> future).go_on_now()
                else:
                    future.serve()
        except BaseException:  # KeyboardInterrupt and such leave the loop; the others go on later
            self.to_go_on = 0
            for future in due[count:]:
                future.wake_soon()
            raise
        return 0

    # Spinning

    cdef bint spin_for_reply(self, TaskWaiter waiter, SocketBase zsock) except -1:
        if waiter.reply.began_at == 0:
            if self.queue is None or self.queue or self.paused or self.to_go_on:
                return False
            expect_reply(&waiter.reply, &self.replies)
        return waiter.reply.spun and spin_for(
            &waiter.reply, self.poll_fd, self.copy_of(zsock), waiter.until)

    cdef void has_reply(self, TaskWaiter waiter) noexcept:
        note_reply(&waiter.reply, &self.replies)

    # What `asyncio.py` supplies.

    def copy_of(self, zsock):
        """Return the duplicate of its descriptor that the loop watches; -1: there is none."""
        raise NotImplementedError

    def arm(self, waiter):
        """Wake ``waiter`` at ``waiter.until``."""
        raise NotImplementedError

    def have_called(self, callback):
        """Have the loop call it, from outside the loop; raises `RuntimeGone` if it never can."""
        raise NotImplementedError


def use_asyncio(running):
    """Take asyncio's function that returns the loop which runs in an OS thread, or None."""
    global running_loop
    running_loop = running
    add_event_loop(running)
