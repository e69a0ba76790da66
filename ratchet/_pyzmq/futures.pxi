# zmq.asyncio on ratchet: calls that act when they are made, and futures from which nothing is lost.
#
# A call tries at once. If it cannot be done now, its future stands in a queue, of which the first
# has a waiter in the line of the socket, as any other caller has. A message may be in a future from
# which nobody takes it: its task was cancelled in the same turn, or the future was dropped. Then it
# goes back to the socket, to be received next.

cdef object BaseFuture = asyncio.Future
cdef object running_loop = asyncio._get_running_loop
cdef object runtime_of_loop = None  # of `ratchet.asyncio`, which the first that waits imports
cdef bint turn_owed = False  # a task has used up its turn, but is in mid-message
cdef double REKNOCK = program_reknock()  # seconds; of `_zmq/tuning.pxi`
cdef str POLL = "poll"
cdef str SEND_MORE = "send_more"  # of a part that is not the last

cdef enum:
    MOST_SERVED = 256  # calls that are done in one turn of a loop


class GivesBack:
    """What the future of a call has beside what futures have: it gives back what nobody took."""

    # The Calls it waits among, the operation and its argument; what was received, as it came from
    # the socket; how often it was told; what makes an object of it; its timeout.
    calls = name = arg = kept = load = timer = None
    answer = None  # of a send
    midway = False  # it has sent a part that is not the last
    told = 0

    def __await__(self):
        return Awaiting(self)

    __iter__ = __await__

    def result(self):
        self.told += 1
        return super().result()

    def cancel(self, *args, **kwargs):
        done = super().cancel(*args, **kwargs)
        if done and self.calls is not None:
            (<Calls> self.calls).gave_up()
        return done

    def __del__(self):
        if self.kept is not None and not self.told:
            give_back(self)
        super().__del__()


class CallFuture(GivesBack, BaseFuture):
    """The future of one call of asyncio's."""


cdef dict futures = {BaseFuture: CallFuture}  # a class of pyzmq's -> ours; tornado's has its own


cdef object new_future(Socket self, loop):
    """Make a future of the kind that this kind of socket returns."""
    base = self._Future
    kind = futures.get(base)
    if kind is None:
        kind = futures[base] = type("CallFuture", (GivesBack, base), {})
    return kind(loop=loop)


cdef int give_back(future) except -1:
    """Have the message of a future received next."""
    kept, future.kept = future.kept, None
    program_give_back((<Calls> future.calls).core, kept, future.name)
    return 0


cdef object exception_of(kind, value):
    """Return the exception that a ``throw`` of these arguments raises."""
    if not isinstance(kind, type):
        return kind
    if isinstance(value, BaseException):
        return value
    return kind() if value is None else kind(value)


cdef bint is_turn(bint midway, Calls calls) except -1:
    """Return True if the loop has to run others now; not between two parts of a message.

    Args:
        midway: the call has sent a part that is not the last.
        calls: of a receive, else None.
    """
    global turn_owed
    if not spend_turn() and not turn_owed:
        return False
    turn_owed = midway or is_between_parts(calls)
    return not turn_owed


cdef bint is_between_parts(Calls calls) except -1:
    """Return True if a part was received that is not the last."""
    try:
        return calls is not None and calls.core.is_rcvmore()
    except CoreError:
        return False  # closed meanwhile


cdef class Awaiting:
    """What a task that awaits a `CallFuture` runs."""
    cdef object future
    cdef bint suspended, waits

    def __init__(self, future):
        self.future = future

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Go on: suspend the task, or end with the result."""
        future = self.future
        if not self.suspended:
            self.suspended = True
            if not future.done():
                future._asyncio_future_blocking = True
                self.waits = True
                return future
            if is_turn(future.midway, future.calls):
                return None  # a socket that is always ready lets the loop run
        elif not future.done():
            raise RuntimeError("await wasn't used with future")
        # There may be no memory for it, and then what was received has to be still there.
        over = StopIteration(BaseFuture.result(future))
        future.kept = None
        future.told += 1
        raise over

    def throw(self, kind, value=None, traceback=None):
        """End the wait: what has come, of which the task was told at most, is given back."""
        future = self.future
        # The task tells itself when it goes on from the future, and not when it let the loop run.
        if future.kept is not None and future.told <= self.waits:
            give_back(future)
        raise exception_of(kind, value)

    def close(self):
        """End the wait, as for any iterator of a coroutine."""


cdef object finished(future, Calls calls, str name, found):
    """Give a future its result."""
    if calls is not None and not calls.writes and name is not POLL:
        future.calls, future.name = calls, name
        future.kept = found
        found = calls.converted(name, found)
    if future.load is not None:
        try:
            found = future.load(found)
        except Exception as error:
            future.kept = None
            future.set_exception(error)
            return future
    future.set_result(found)
    return future


# A future tells its task in the loop's next turn that it is done, for which the loop would ask the
# operating system once more. Where the loop has called us, the task can as well go on at once.

cdef object BuiltinFunction = type(len)
cdef object Task = asyncio.Task


cdef tuple take_task(future):
    """Take from a future that is about to be done how the task goes on that alone waits for it.

    None: it is not known of whom it tells.
    """
    callbacks = future._callbacks
    if not callbacks or len(callbacks) != 1:
        return None
    callback, context = callbacks[0]
    if type(callback) is not BuiltinFunction or not isinstance(callback.__self__, Task):
        return None
    found = callback, future, context
    future.remove_done_callback(callback)
    return found


cdef int let_go_on(list tasks) except -1:
    """Let tasks go on, each in its own context."""
    cdef Py_ssize_t count = 0
    try:
        for callback, future, context in tasks:
            count += 1
            context.run(callback, future)
    except BaseException:  # KeyboardInterrupt and such leave the loop; the others go on later
        for callback, future, context in tasks[count:]:
            future.get_loop().call_soon(callback, future, context=context)
        raise
    return 0


cdef class Calls:
    """The calls of one direction of one socket that wait in a loop, in their order."""
    cdef object core
    cdef bint writes
    cdef bint plain        # its futures are asyncio's
    cdef object queue      # futures; the first of them has a waiter in the line
    cdef object runtime    # of the loop in which they wait
    cdef object waiter
    cdef bint scheduled, serving
    cdef list going        # tasks of what is served: they go on when all is; None: in a task's call
    cdef object __weakref__

    def __init__(self, Socket socket, bint writes):
        self.core, self.writes = socket.core, writes
        self.plain = socket._Future is BaseFuture
        self.queue = collections.deque()

    # What wakes a waiter asks of that for which it stands.

    def wake_soon(self):
        """Serve the queue in the loop's next turn: something may have come."""
        if not self.scheduled and self.runtime is not None:
            loop = self.runtime.loop
            if loop is not None:
                loop.call_soon(self.serve)
                self.scheduled = True

    cdef object converted(self, str name, found):
        """Return what a receive returns for what came from the socket."""
        if name == "recv_frame":
            return received(found, False)
        if name == "recv_frames":
            return [received(frame, False) for frame in found]
        return found

    cdef int wait(self, future, str name, arg, double limit) except -1:
        """Queue a future; ``limit`` in seconds, negative: for ever."""
        global runtime_of_loop
        if runtime_of_loop is None:
            from ratchet.asyncio import _runtime as runtime_of_loop
        if self.runtime is None or not self.runtime.runs_here():
            self.drop()  # what waited in another loop waits for ever, as the loop does
            self.runtime = runtime_of_loop()
        future.calls, future.name, future.arg = self, name, arg
        self.queue.append(future)
        if limit >= 0:
            future.timer = self.runtime.loop.call_later(limit, time_up, future)
        if self.waiter is None:
            try:
                self.stand_in_line()
            except BaseException as error:  # no descriptor is left to watch by, or it is closed
                self.withdraw(future)
                if isinstance(error, CoreError):
                    raise translated(error) from error
                raise
        return 0

    cdef int withdraw(self, future) except -1:
        """Undo `wait`."""
        if future in self.queue:
            self.queue.remove(future)
        if future.timer is not None:
            future.timer.cancel()
        if not self.queue:
            self.leave(True)
        return 0

    cdef int stand_in_line(self) except -1:
        waiter = core.TaskWaiter(program_thread(), self.runtime)
        waiter.future = self
        self.waiter = waiter
        core.join(self.core, self.writes, waiter)
        if not program_is_watched(self.core, self.runtime):
            self.runtime.watch(self.core)
        self.serve_queue()  # once in line, it has to look

    cdef int gave_up(self) except -1:
        """Leave the line if no future is left that anybody waits for."""
        while self.queue and self.queue[0].done():
            self.queue.popleft()
        if not self.queue and not self.serving:
            self.leave(True)
        return 0

    cdef int leave(self, bint in_vain) except -1:
        """Leave the line; ``in_vain``: nothing was done, and the loop need not go on watching."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            core.leave(self.core, waiter)
            if in_vain:
                try:
                    self.runtime.gave_up(self.core, waiter)
                except CoreError:
                    pass  # it is closed, or the parent process's: nobody watches it here
            else:
                waiter.future = None
        return 0

    cdef int drop(self) except -1:
        self.queue.clear()
        self.scheduled = False
        self.leave(True)
        return 0

    def serve(self):
        """Perform what can be performed now, and let its tasks go on: called by the loop."""
        self.going = []
        try:
            self.serve_queue()
        finally:
            going, self.going = self.going, None
            if going:
                let_go_on(going)

    cdef int serve_queue(self) except -1:
        """Perform what can be performed now, in order."""
        cdef bint knock = False
        cdef int left = MOST_SERVED
        self.scheduled = False
        self.serving = True
        try:
            while self.queue and left > 0:
                left -= 1
                future = self.queue[0]
                if future.done():
                    self.queue.popleft()
                    continue
                if not self.perform(future, &knock):
                    break
        except BaseException:  # of what makes an object of a message: the others shall go on
            if self.queue:
                self.wake_soon()
            raise
        finally:
            self.serving = False
        if not self.queue:
            self.leave(False)
        elif left == 0:
            self.wake_soon()
        elif knock:
            self.runtime.loop.call_later(REKNOCK, self.serve)
        return 0

    cdef bint perform(self, future, bint *knock) except -1:
        """Perform a call if it can be done now, and take it out of the queue."""
        name = future.name
        try:
            found = program_try(
                self.core, self.waiter, None if name is POLL else name, future.arg, knock)
            if found is NOT_NOW:
                return False
        except CoreError as error:
            found = translated(error)
            found.__cause__ = error
        self.queue.popleft()
        if future.timer is not None:
            future.timer.cancel()
        task = None if self.going is None else take_task(future)
        try:
            if isinstance(found, BaseException):
                future.set_exception(found)
            elif name is POLL:
                future.set_result(None)
            else:
                finished(future, self, name, future.answer if self.writes else found)
        finally:
            if task is not None:
                self.going.append(task)
        return True

    def cancel_all(self):
        """Cancel what waits: the socket is being closed."""
        waiting = list(self.queue)
        self.queue.clear()
        self.leave(True)
        for future in waiting:
            if not future.done():
                future.calls = None
                try:
                    future.cancel()
                except RuntimeError:
                    pass  # its loop is closed


def time_up(future):
    """End a call that has waited too long."""
    if not future.done():
        future.set_exception(again())
        (<Calls> future.calls).gave_up()
