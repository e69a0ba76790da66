# Frames: one part of a message, made by a program or received, and when it has left.

class SentEvent(threading.Event):
    """What pyzmq's MessageTracker asks: is set when libzmq no longer needs the memory."""

    def __init__(self, tracker):
        super().__init__()
        self._tracker = tracker

    def is_set(self):
        return self._tracker.done

    isSet = is_set

    def wait(self, timeout=None):
        try:
            self._tracker.wait(timeout)
        except errors.Timeout:
            return False
        return True


cdef class Frame:
    """One part of a message: pyzmq's Frame inherits from it."""
    cdef object core             # ratchet's Frame, in which the message is
    cdef object data             # what it was made from
    cdef object view             # a weak reference to the memoryview that was asked for last
    cdef object copied           # its bytes, once they were asked for
    cdef public bint more
    cdef public object tracker
    cdef public object tracker_event

    def __init__(self, data=None, track=False, copy=None, copy_threshold=None, **kwargs):
        cdef bint copies
        self.more = False
        self.data = data
        self.tracker = zmq._FINISHED_TRACKER if track else None
        self.tracker_event = None
        if isinstance(data, str):
            raise TypeError("a frame is made from bytes or a buffer, not from str")
        if data is None:
            self.core = core.new_frame(None)
            return
        data = as_it_lies(data)
        if copy is None:
            if copy_threshold is None:
                copy_threshold = zmq.COPY_THRESHOLD
            copies = copy_threshold and buffer_size(data) < copy_threshold
        else:
            copies = copy
        if copies:
            self.core = core.new_frame(data)
            return
        tracker = core.Tracker()
        self.core = core.new_frame(data, tracker)
        if track:
            self.tracker_event = SentEvent(tracker)
            self.tracker = zmq.MessageTracker(self.tracker_event)

    def __len__(self):
        return len(self.core)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        cdef Py_buffer inner
        PyObject_GetBuffer(self.core, &inner, PyBUF_SIMPLE)
        try:
            PyBuffer_FillInfo(buffer, self, inner.buf, inner.len, 1, flags)
        finally:
            PyBuffer_Release(&inner)

    def __copy__(self):
        return self.fast_copy()

    def fast_copy(self):
        """Return a second frame of the same message; what is large is shared."""
        cdef Frame copy = <Frame> type(self).__new__(type(self))
        copy.core = core.copy_frame(self.core)
        copy.data, copy.copied = self.data, self.copied
        copy.tracker, copy.tracker_event = self.tracker, self.tracker_event
        return copy

    @property
    def buffer(self):
        """A memoryview of the data."""
        found = None if self.view is None else self.view()
        if found is None:
            found = memoryview(self)
            self.view = weakref.ref(found)
        return found

    @property
    def bytes(self):
        """A copy of the data, made once."""
        if self.copied is None:
            self.copied = self.core.bytes
        return self.copied

    def get(self, option):
        """Return a property: an int by its number, a str by its name (zmq_msg_gets(3))."""
        if not isinstance(option, (int, str, bytes)):
            raise TypeError(f"the name of a property is a str, not {option!r}")
        try:
            return core.frame_property(self.core, option)
        except CoreError as error:
            raise translated(error) from error

    def set(self, option, value):
        """Set a property: libzmq has none to be set but those of draft socket types."""
        raise ZMQError(errno.EINVAL)


cdef Frame received(object frame, bint track):
    """Return pyzmq's frame of one of ratchet's."""
    global FrameClass
    cdef Frame found
    if FrameClass is None:
        FrameClass = zmq.Frame
    found = <Frame> FrameClass.__new__(FrameClass)
    found.core = frame
    found.more = frame.more
    if track:
        found.tracker = zmq._FINISHED_TRACKER
    return found


cdef Py_ssize_t buffer_size(data) except -1:
    """Return the bytes of a buffer."""
    cdef Py_buffer view
    cdef Py_ssize_t size
    if type(data) is bytes:
        return len(<bytes> data)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)  # no memoryview, which knows not every dtype
    size = view.len
    PyBuffer_Release(&view)
    return size


cdef object as_it_lies(data):
    """Return what has the bytes of ``data`` in the order in which they lie in memory.

    That is ``data``, unless it is an array in Fortran's order, which pyzmq sends so.
    """
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except Exception:  # BufferError, numpy's ValueError, or TypeError: it has no buffer
        if isinstance(data, memoryview):
            return data.tobytes("A") if data.f_contiguous else data
        return getattr(data, "T", data)  # of numpy: the same memory, its axes in the other order
    PyBuffer_Release(&view)
    return data
