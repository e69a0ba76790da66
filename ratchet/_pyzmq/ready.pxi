# The futures of zmq.asyncio's calls that are done when they return, which most are.
#
# asyncio's own future costs several messages: its `__init__` asks the loop, and a subclass finds
# its attributes in a dict. One that is done needs nothing of that. It says of itself that it is a
# `CallFuture`, since programs ask with isinstance().

cdef extern from *:
    """
    /* Gives a type the slot by which a coroutine that awaits it goes on; -1: it has no room. */
    static int ratchet_set_send(PyObject *type, int (*send)(PyObject *, PyObject *, PyObject **)) {
        PyAsyncMethods *slots = ((PyTypeObject *) type)->tp_as_async;
        if (slots == NULL) return -1;
        slots->am_send = (sendfunc) send;
        PyType_Modified((PyTypeObject *) type);
        return 0;
    }
    """
    int ratchet_set_send(
        object type, int (*send)(object, object, PyObject **) except -1)
    int PYGEN_RETURN, PYGEN_NEXT


@cython.final  # without a free list: an object from there would never be finalized again
cdef class ReadyFuture:
    """The future of a call that is done, with its result."""
    cdef object loop, value
    cdef object kept    # what was received, as it came from the socket, until somebody has it
    cdef Calls calls
    cdef str name       # of the operation
    cdef int told       # how often the result was asked for
    cdef dict __dict__
    cdef object __weakref__

    _callbacks = _exception = _source_traceback = _cancel_message = None
    _log_traceback = False
    _state = "FINISHED"

    def __init__(self):
        raise TypeError("such futures are made by calls of zmq.asyncio alone")

    @property
    def __class__(self):
        """The class of such futures: of those that wait."""
        return CallFuture

    @property
    def _asyncio_future_blocking(self):
        return False

    @property
    def _loop(self):
        return self.loop

    @property
    def _result(self):
        return self.value

    def __repr__(self):
        return f"<CallFuture finished result={self.value!r}>"

    def __await__(self):
        return ReadyAwait(self)

    def __iter__(self):
        return ReadyAwait(self)

    def __del__(self):
        if self.kept is not None and not self.told:
            self.give_back()

    cdef int give_back(self) except -1:
        """Have the message received next."""
        kept, self.kept = self.kept, None
        program_give_back(self.calls.core, kept, self.name)
        return 0

    def get_loop(self):
        """Return the loop in which the call was made."""
        return self.loop

    def done(self):
        """Return True."""
        return True

    def cancelled(self):
        """Return False."""
        return False

    def cancel(self, msg=None):
        """Return False: it is done."""
        return False

    def result(self):
        """Return the result."""
        self.told += 1
        return self.value

    def exception(self):
        """Return None: it has not failed."""
        return None

    def set_result(self, result):
        """Refuse: it is done."""
        raise asyncio.InvalidStateError("invalid state")

    def set_exception(self, exception):
        """Refuse: it is done."""
        raise asyncio.InvalidStateError("invalid state")

    def add_done_callback(self, callback, *, context=None):
        """Call ``callback(future)`` in the loop's next turn."""
        self.loop.call_soon(callback, self, context=context)

    def remove_done_callback(self, callback):
        """Return 0: all callbacks are on their way."""
        return 0


cdef ReadyFuture new_ready(loop, Calls calls, str name):
    """Make the future of a call that is about to be done."""
    cdef ReadyFuture future = ReadyFuture.__new__(ReadyFuture)
    future.loop, future.calls, future.name = loop, calls, name
    return future


@cython.final
@cython.freelist(16)
cdef class ReadyAwait:
    """What a task runs that awaits a `ReadyFuture`."""
    cdef ReadyFuture future
    cdef bint suspended

    def __cinit__(self, ReadyFuture future not None):
        self.future = future

    def __await__(self):
        return self  # so that Cython makes room for the slots of a coroutine

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Go on: let the loop run a turn, or end with the result."""
        cdef PyObject *result = NULL
        cdef int how = resume_ready(self, value, &result)
        found = <object> result
        Py_DECREF(found)
        if how == PYGEN_NEXT:
            return found
        raise StopIteration(found)

    def throw(self, kind, value=None, traceback=None):
        """End the wait: what has come and nobody was told of is given back."""
        cdef ReadyFuture future = self.future
        if future.kept is not None and not future.told:
            future.give_back()
        raise exception_of(kind, value)

    def close(self):
        """End the wait, as for any iterator of a coroutine."""


cdef int resume_ready(object awaiting, object value, PyObject **result) except -1:
    """Do what `ReadyAwait.send` says; ``result`` is a new reference."""
    cdef ReadyAwait me = <ReadyAwait> awaiting
    cdef ReadyFuture future = me.future
    if not me.suspended:
        me.suspended = True
        if is_turn(future.name is SEND_MORE, None if future.calls.writes else future.calls):
            result[0] = new_reference(None)
            return PYGEN_NEXT  # a socket that is always ready lets the loop run
    future.kept = None
    future.told += 1
    result[0] = new_reference(future.value)
    return PYGEN_RETURN


# On a Python without the slot a task asks `__next__`.
ratchet_set_send(ReadyAwait, resume_ready)
