# Messages between Python's memory and a zmq_msg_t: copies, buffers, and what a call is given.

cdef class Frame:
    """One part of a message in libzmq's memory: nothing is copied until it is asked for.

    It has the buffer protocol, read-only: ``memoryview(frame)``, ``numpy.frombuffer(frame, …)``.
    """
    # No object fields: making one must collect nothing (see the top of `_zmq.pyx`).
    cdef zmq_msg_t msg
    cdef readonly bint more  # another part of the same message follows

    def __cinit__(self):
        zmq_msg_init(&self.msg)

    def __dealloc__(self):
        zmq_msg_close(&self.msg)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, zmq_msg_data(&self.msg), zmq_msg_size(&self.msg), 1, flags)

    def __len__(self):
        return zmq_msg_size(&self.msg)

    def __reduce__(self):
        raise TypeError("a Frame cannot be copied or pickled; take its bytes")

    @property
    def bytes(self):
        """A copy (bytes)."""
        return copy_of(&self.msg)

    def __bytes__(self):
        return copy_of(&self.msg)

    @property
    def peer_address(self):
        """The address of the peer it came from (str), None over inproc (zmq_msg_gets(3))."""
        return self.property(b"Peer-Address")

    @property
    def user_id(self):
        """Who the peer is, as a ZAP handler said (str), or None."""
        return self.property(b"User-Id")

    @property
    def socket_type(self):
        """The type of the peer's socket (str), None over inproc."""
        return self.property(b"Socket-Type")

    cdef object property(self, bytes name):
        cdef const char *found = zmq_msg_gets(&self.msg, name)
        return None if found == NULL else found.decode("utf-8", "replace")

    def __repr__(self):
        more = ", more to come" if self.more else ""
        return f"<ratchet.zmqsocket.Frame of {len(self)} bytes{more}>"


cdef class Batch:
    """What a send_many is to send, and how far it is."""
    cdef list messages
    cdef Py_ssize_t count, taken
    cdef Py_ssize_t slice  # messages after which it pauses of itself; 0: never
    cdef bint pausing  # it has: the socket could take more

    def __init__(self, messages, Py_ssize_t slice):
        self.messages = to_messages(messages, "messages")
        self.count = len(self.messages)
        self.slice = slice


cdef inline void copy_memory(void *to, const void *source, size_t size) noexcept:
    """memcpy; without the GIL if it takes long."""
    if size < LARGE:
        memcpy(to, source, size)
    else:
        with nogil:
            memcpy(to, source, size)


cdef bytes copy_of(zmq_msg_t *msg):
    """The message's bytes."""
    cdef size_t size = zmq_msg_size(msg)
    data = PyBytes_FromStringAndSize(NULL, size)
    copy_memory(PyBytes_AS_STRING(data), zmq_msg_data(msg), size)
    return data


cdef bytes copy_out(zmq_msg_t *msg):
    """The message's bytes; closes it."""
    try:
        return copy_of(msg)
    finally:
        zmq_msg_close(msg)


cdef bytes as_bytes(part):
    """A part that was kept."""
    return copy_of(&(<Frame> part).msg) if type(part) is Frame else <bytes> part


cdef Frame as_frame(part, bint more):
    """A part that was kept, as a Frame."""
    cdef Frame frame
    if type(part) is Frame:
        frame = <Frame> part
    else:
        frame = Frame()
        copy_in(&frame.msg, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    frame.more = more
    return frame


cdef class Target:
    """A buffer to receive into."""
    cdef Py_buffer view

    def __cinit__(self, buffer):
        refuse_objects(buffer)
        try:
            PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE)
        except TypeError:
            raise TypeError(
                f"recv_into() takes a writable buffer, such as a bytearray, not {kind_of(buffer)}"
            ) from None
        except ValueError as error:
            raise buffer_error(buffer, error) from None

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef extern from *:
    """
    /* (data, False). For speed: the pair returned last is used again when nobody else has it, as
       zip() does it; making one costs half as much as a receive. Large data is not kept alive.
       zip() also has the garbage collector track its tuple again, which may have stopped; bytes and
       a bool are in no cycle. Without the GIL a reference count proves nothing. */
    #if PY_VERSION_HEX >= 0x030E0000  /* from 3.14 on a tuple remembers its hash */
    #define RATCHET_FORGET_HASH(pair) (((PyTupleObject *) (pair))->ob_hash = -1)
    #else
    #define RATCHET_FORGET_HASH(pair) ((void) 0)
    #endif
    #ifdef Py_GIL_DISABLED
    #define ratchet_pair(data) PyTuple_Pack(2, data, Py_False)
    #else
    RATCHET_INLINE PyObject *ratchet_pair(PyObject *data) {
        static PyObject *spare = NULL;
        if (PyBytes_GET_SIZE(data) >= 4096) return PyTuple_Pack(2, data, Py_False);
        if (spare != NULL && Py_REFCNT(spare) == 1) {
            PyObject *old = PyTuple_GET_ITEM(spare, 0);
            Py_INCREF(data);
            PyTuple_SET_ITEM(spare, 0, data);
            RATCHET_FORGET_HASH(spare);
            Py_DECREF(old);
        } else {
            PyObject *fresh = PyTuple_Pack(2, data, Py_False);
            if (fresh == NULL) return NULL;
            Py_XSETREF(spare, fresh);
        }
        Py_INCREF(spare);
        return spare;
    }
    #endif
    """
    tuple single "ratchet_pair"(bytes data)


# What is received first. libzmq frees what was in it before (zmq_msg_recv(3)), so it need not be
# closed, which costs as much as copying out what is small; but only what a zmq_msg_t holds in
# itself may stay in it, not memory that a sender waits for.
cdef zmq_msg_t hand
zmq_msg_init(&hand)


cdef extern from *:
    """
    #define ratchet_own(thing) (thing)
    """
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) noexcept
    bytes own "ratchet_own"(PyObject *new)  # raises the error that came with a NULL


cdef inline bytes small_one(void *handle, int *size):
    """The next message if it has one part and is not large; else None: see `Traffic.other_one`."""
    cdef char *start
    cdef PyObject *data
    size[0] = zmq_msg_recv(&hand, handle, ZMQ_DONTWAIT)
    if size[0] < 0 or size[0] >= <int> LARGE or zmq_msg_more(&hand):
        return None
    start = <char *> zmq_msg_data(&hand)
    data = new_bytes(start, size[0])
    if <size_t> (start - <char *> &hand) >= sizeof(hand):
        zmq_msg_close(&hand)
        zmq_msg_init(&hand)
    else:
        ratchet_left_in(&hand)
    return own(data)


cdef int copy_in(zmq_msg_t *msg, const char *data, size_t size) except -1:
    """A new message with these bytes."""
    if zmq_msg_init_size(msg, size) < 0:
        raise MemoryError(f"no memory for a message of {size} bytes")
    copy_memory(zmq_msg_data(msg), data, size)
    return 0


cdef int refuse_objects(data) except -1:
    """numpy gives out an array of Python objects as the bytes of its pointers."""
    if isinstance(data, memoryview):
        data = data.obj
    dtype = getattr(data, "dtype", None)
    if getattr(dtype, "hasobject", False):
        raise TypeError(f"a message is bytes, and an array of {dtype} holds Python objects")
    return 0


cdef int get_view(data, Py_buffer *view) except -1:
    """The buffer of ``data``, held until it is released: its owner cannot resize it meanwhile."""
    if isinstance(data, str):
        raise TypeError("a message is bytes, not str: encode it, as in text.encode()")
    if type(data) is not bytes and type(data) is not bytearray:
        refuse_objects(data)
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(
            f"a message is bytes or another object with a buffer, not {kind_of(data)}"
        ) from None
    except ValueError as error:
        raise buffer_error(data, error) from None
    return 0


cdef object buffer_error(data, error):
    """What to raise when it has a buffer but does not give it: numpy says ValueError of it."""
    if isinstance(data, memoryview):
        return error  # it was released
    return BufferError(
        f"the buffer of {kind_of(data)} cannot be used: {error}; it has to be C-contiguous, as "
        "numpy.ascontiguousarray() makes it, and to receive into it, writable"
    )


cdef bytes snapshot(data):
    """The bytes as they are now; bytes themselves are never copied."""
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    get_view(data, &view)
    try:
        return PyBytes_FromStringAndSize(<char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef list to_messages(items, str what, Tracker tracker=None):
    """A list of bytes of our own, so that nobody can change it while the call is paused.

    With a tracker, of loans.
    """
    cdef list found
    cdef Py_ssize_t i
    if isinstance(items, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"{what} must be an iterable of bytes-like objects, not {kind_of(items)}")
    found = list(items)
    for i in range(len(found)):
        if tracker is not None:
            found[i] = Loan(found[i], tracker)
        elif type(found[i]) is not bytes:
            found[i] = snapshot(found[i])
    return found


cdef Py_ssize_t to_most(most) except -1:
    """How many messages recv_many may take."""
    if not hasattr(most, "__index__"):
        raise TypeError(f"recv_many takes a number of messages, not {kind_of(most)}")
    if not 1 <= most < 1 << 62:
        raise errors.argument_error(f"recv_many takes from one message up, not {most}")
    return most
