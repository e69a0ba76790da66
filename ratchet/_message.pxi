# Messages between Python's memory and a zmq_msg_t: copies, buffers, and what a call is given.

cdef class Frame:
    """A large part, still in libzmq's memory. No object fields: making it collects nothing."""
    cdef zmq_msg_t msg

    def __cinit__(self):
        zmq_msg_init(&self.msg)

    def __dealloc__(self):
        zmq_msg_close(&self.msg)


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


cdef bytes copy_out(zmq_msg_t *msg):
    """The message's bytes; closes it."""
    cdef size_t size = zmq_msg_size(msg)
    cdef char *to
    try:
        if size < LARGE:
            return PyBytes_FromStringAndSize(<char *> zmq_msg_data(msg), size)
        data = PyBytes_FromStringAndSize(NULL, size)
        to = PyBytes_AS_STRING(data)
        with nogil:
            memcpy(to, zmq_msg_data(msg), size)
        return data
    finally:
        zmq_msg_close(msg)


cdef extern from *:
    """
    /* (data, False). For speed: the pair returned last is used again when nobody else has it, as
       zip() does it; making one costs half as much as a receive. Large data is not kept alive. */
    static PyObject *ratchet_pair(PyObject *data) {
        static PyObject *spare = NULL;
        if (PyBytes_GET_SIZE(data) >= 4096) return PyTuple_Pack(2, data, Py_False);
        if (spare != NULL && Py_REFCNT(spare) == 1) {
            PyObject *old = PyTuple_GET_ITEM(spare, 0);
            Py_INCREF(data);
            PyTuple_SET_ITEM(spare, 0, data);
            Py_DECREF(old);
        } else {
            PyObject *fresh = PyTuple_Pack(2, data, Py_False);
            if (fresh == NULL) return NULL;
            Py_XSETREF(spare, fresh);
        }
        Py_INCREF(spare);
        return spare;
    }
    """
    tuple single "ratchet_pair"(bytes data)


# What is received first. libzmq frees what was in it before (zmq_msg_recv(3)), so it need not be
# closed, which costs as much as copying out what is small; but only what a zmq_msg_t holds in
# itself may stay in it, not memory that a sender waits for.
cdef zmq_msg_t hand
cdef int ITSELF = 32  # bytes; zmq_msg_t has 64
zmq_msg_init(&hand)


cdef inline bytes small_one(void *handle, int *size):
    """The next message if it has one part and is not large; else None: `Core.other_one` goes on."""
    size[0] = zmq_msg_recv(&hand, handle, ZMQ_DONTWAIT)
    if size[0] < 0 or size[0] >= <int> LARGE or zmq_msg_more(&hand):
        return None
    data = PyBytes_FromStringAndSize(<char *> zmq_msg_data(&hand), size[0])
    if size[0] > ITSELF:
        zmq_msg_close(&hand)
        zmq_msg_init(&hand)
    return data


cdef int copy_in(zmq_msg_t *msg, const char *data, size_t size) except -1:
    """A new message with these bytes."""
    if zmq_msg_init_size(msg, size) < 0:
        raise MemoryError(f"no memory for a message of {size} bytes")
    if size < LARGE:
        memcpy(zmq_msg_data(msg), data, size)
    else:
        with nogil:
            memcpy(zmq_msg_data(msg), data, size)
    return 0


cdef int get_view(data, Py_buffer *view) except -1:
    """The buffer of ``data``, held until it is released: its owner cannot resize it meanwhile."""
    if isinstance(data, str):
        raise TypeError("a message is bytes, not str: encode it, as in text.encode()")
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(
            f"a message is bytes or another object with a buffer, not {kind_of(data)}"
        ) from None
    return 0


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


cdef list to_messages(items, str what):
    """A list of bytes of our own, so that nobody can change it while the call is paused."""
    cdef list found
    cdef Py_ssize_t i
    if isinstance(items, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"{what} must be an iterable of bytes-like objects, not {kind_of(items)}")
    found = list(items)
    for i in range(len(found)):
        if type(found[i]) is not bytes:
            found[i] = snapshot(found[i])
    return found


cdef Py_ssize_t to_most(most) except -1:
    """How many messages recv_many may take."""
    if not hasattr(most, "__index__"):
        raise TypeError(f"recv_many takes a number of messages, not {kind_of(most)}")
    if not 1 <= most < 1 << 62:
        raise errors.argument_error(f"recv_many takes from one message up, not {most}")
    return most
