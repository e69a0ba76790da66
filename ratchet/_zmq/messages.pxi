# Layer 4. Messages between Python's memory and a zmq_msg_t: frames, copies and buffers.

# What the messages of a socket must look like. Others are refused, since libzmq would spoil or drop
# them.
cdef enum Form:
    ANY_PARTS
    ONE_PART        # with conflate, libzmq keeps the last part of whatever is in the queue
    PEER_AND_DATA   # STREAM, and a ROUTER that is raw: a peer, and bytes for it
    PEER_AND_PARTS  # a ROUTER that promises to raise: a peer, and at least one more part


cdef class Frame:
    """One part of a message in libzmq's memory: nothing is copied until it is asked for.

    It has the buffer protocol, read-only: ``memoryview(frame)``, ``numpy.frombuffer(frame, …)``.
    """
    # No object fields: making one must not start a garbage collection (see `taking.pxi`).
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
        """A copy of its data (bytes)."""
        return copy_of(&self.msg)

    def __bytes__(self):
        return copy_of(&self.msg)

    @property
    def peer_address(self):
        """The address of the peer it came from (str), None over inproc (zmq_msg_gets(3)).

        Over ipc it is no address but the peer's user, group and process.
        """
        return self.property(b"Peer-Address")

    @property
    def user_id(self):
        """Who sent it, as the handler of ZAP said (str); None: nobody asked.

        It is a CURVE client's public key, a PLAIN client's name, or what the callable returned that
        let it in.
        """
        return self.property(b"User-Id") or None

    @property
    def socket_type(self):
        """The type of the peer's socket (str), None over inproc."""
        return self.property(b"Socket-Type")

    def get(self, str name not None):
        """Return what its sender's socket tells of itself, or None (zmq_msg_gets(3)).

        Args:
            name: "X-…", as the sender's option ``metadata`` has it; or libzmq's name of a property.
        """
        return self.property(name.encode())

    cdef object property(self, bytes name):
        cdef const char *found = zmq_msg_gets(&self.msg, name)
        return None if found == NULL else found.decode("utf-8", "replace")

    def __repr__(self):
        more = ", more to come" if self.more else ""
        return f"<ratchet.zmqsocket.Frame of {len(self)} bytes{more}>"


cdef inline void copy_memory(void *to, const void *source, size_t size) noexcept:
    """Copy; without the GIL if that takes long."""
    if size < LARGE:
        memcpy(to, source, size)
    else:
        spend_copied(size)
        with nogil:
            memcpy(to, source, size)


cdef void spend_copied(size_t size) noexcept:
    """Count a long copy as what it costs others, in the burst of who makes it."""
    cdef int calls = <int> min(size // COPIED_SHARE, 1_000_000)
    cdef Runtime runtime
    if ratchet_task_budget > 0:
        spend_task_budget(calls)
    if ratchet_runtime_here != NULL:
        runtime = <Runtime> ratchet_runtime_here
        if runtime.budget > 0:
            runtime.budget -= calls


cdef bytes copy_of(zmq_msg_t *msg):
    """Return the message's bytes."""
    cdef size_t size = zmq_msg_size(msg)
    data = PyBytes_FromStringAndSize(NULL, size)
    copy_memory(PyBytes_AS_STRING(data), zmq_msg_data(msg), size)
    return data


cdef bytes copy_out(zmq_msg_t *msg):
    """Return the message's bytes, and close it."""
    try:
        return copy_of(msg)
    finally:
        zmq_msg_close(msg)


cdef bytes as_bytes(part):
    """Return a part that was kept, as bytes."""
    return copy_of(&(<Frame> part).msg) if type(part) is Frame else <bytes> part


cdef Frame as_frame(part, bint more):
    """Return a part that was kept, as a Frame."""
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


cdef int copy_in(zmq_msg_t *msg, const char *data, size_t size) except -1:
    """Fill a new message with these bytes."""
    if zmq_msg_init_size(msg, size) < 0:
        raise MemoryError(f"no memory for a message of {size} bytes")
    copy_memory(zmq_msg_data(msg), data, size)
    return 0


cdef int refuse_objects(data) except -1:
    """Refuse an array of Python objects, which numpy gives out as the bytes of its pointers."""
    if isinstance(data, memoryview):
        data = data.obj
    dtype = getattr(data, "dtype", None)
    if getattr(dtype, "hasobject", False):
        raise TypeError(f"a message is bytes, and an array of {dtype} holds Python objects")
    return 0


cdef int get_view(data, Py_buffer *view) except -1:
    """Get the buffer of ``data``, which its owner cannot resize until it is released."""
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
    """Make the exception for an object that refuses its buffer; numpy raises ValueError then."""
    if isinstance(data, memoryview):
        return error  # it was released
    return BufferError(
        f"the buffer of {kind_of(data)} cannot be used: {error}; it has to be C-contiguous, as "
        "numpy.ascontiguousarray() makes it, and to receive into it, writable"
    )


cdef bytes snapshot(data):
    """Return the bytes as they are now; bytes themselves are not copied."""
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    get_view(data, &view)
    if view.len >= LARGE:
        spend_copied(view.len)
    try:
        return PyBytes_FromStringAndSize(<char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
