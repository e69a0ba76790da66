# Layer 6. Messages taken out of libzmq, whole.
#
# Between taking the first part from libzmq and the last, nothing here may allocate an object that
# the garbage collector knows: a collection could run a finalizer that uses the same socket.
# (Python 3.11 collects at an allocation; from 3.12 on it waits for the next bytecode.)

cdef enum:
    NO_MEMORY = -2  # as the size of a message: it was taken, and there was no memory for its bytes
    FEW_PARTS = 16  # of a message that `take_parts` takes without a list

cdef enum Returned:
    PAIR   # as `recv` returns it
    BYTES  # used again, if nobody holds them by then
    MANY   # of many in a list, which the program holds longer

cdef list parts_being_taken = []  # made beforehand, and replaced when it is handed on
cdef Caller TAKING = Caller()     # owns a line while its message is being taken


# The message that is received first. libzmq frees what was in it before (zmq_msg_recv(3)), so it
# need not be closed, which costs as much as copying out what is small. Only what a zmq_msg_t holds
# in itself may stay in it, not memory that a sender waits for.
cdef zmq_msg_t recv_buffer
zmq_msg_init(&recv_buffer)
cdef bint buffer_lent = False  # but for that of a batch, until its next one or its end


cdef inline bint has_more(zmq_msg_t *msg) noexcept:
    """Return True if another part follows: zmq_msg_more(3), four instructions shorter."""
    return zmq_msg_get(msg, ZMQ_MORE)


cdef inline PyObject *small_one(void *handle, int *size, Returned how) noexcept:
    """Take the next message if it has one part and is not large; else NULL: see `other_one`.

    It raises nothing, so that a fast path need not look for the others after an error as well.

    Returns:
        A new reference.
    """
    cdef PyObject *found
    size[0] = zmq_msg_recv(&recv_buffer, handle, ZMQ_DONTWAIT)
    if <unsigned int> size[0] >= <unsigned int> LARGE or has_more(&recv_buffer):
        return NULL
    found = from_buffer(size[0], how)
    if found == NULL:
        empty_buffer()
        size[0] = NO_MEMORY
    return found


cdef inline PyObject *made_of(char *start, int size, Returned how) noexcept:
    if how == PAIR:
        return pair_of(start, size)
    return bytes_of(start, size) if how == BYTES else one_of_batch(start, size)


cdef inline PyObject *from_buffer(int size, Returned how) noexcept:
    """Make of what is in `recv_buffer` what `small_one` returns, and empty it.

    NULL, and no error: no memory, and it stays.
    """
    cdef char *start = <char *> zmq_msg_data(&recv_buffer)
    cdef PyObject *found
    if <size_t> (start - <char *> &recv_buffer) >= sizeof(recv_buffer):
        return copy_outside(start, size, how)
    found = made_of(start, size, how)
    if found == NULL:
        PyErr_Clear()
    else:
        ratchet_left_in(&recv_buffer)
    return found


cdef PyObject *copy_outside(char *start, int size, Returned how) noexcept:
    """Do the same with what a sender may wait for; of a batch, it stays until `empty_buffer`."""
    global buffer_lent
    cdef PyObject *found = made_of(start, size, how)
    if found == NULL:
        PyErr_Clear()
    elif how == MANY:
        ratchet_left_in(&recv_buffer)
        buffer_lent = True
    else:
        empty_buffer()
    return found


cdef void empty_buffer() noexcept:
    """Give back what is in `recv_buffer`."""
    global buffer_lent
    zmq_msg_close(&recv_buffer)
    zmq_msg_init(&recv_buffer)
    buffer_lent = False


cdef int take(SocketBase zsock, zmq_msg_t *msg) except -1:
    """Take the next frame: 1, and it must be closed; or 0 for not now."""
    cdef int error
    zmq_msg_init(msg)
    while zmq_msg_recv(msg, zsock.handle, ZMQ_DONTWAIT) < 0:
        error = zmq_errno()
        if error == EAGAIN:
            return 0
        if error != EINTR:
            raise zsock.fail(error, "receive")
    return 1


cdef object take_parts(SocketBase zsock):
    """Take a whole message: a list of its parts as bytes, or NOT_NOW."""
    cdef PyObject *few[FEW_PARTS]
    cdef zmq_msg_t msg
    cdef int size, count = 0
    cdef bint more
    if zsock.conflate:
        return take_rest(zsock, &msg, False) if take(zsock, &msg) else NOT_NOW
    while True:
        size = zmq_msg_recv(&recv_buffer, zsock.handle, ZMQ_DONTWAIT)
        if <unsigned int> size >= <unsigned int> LARGE or count == FEW_PARTS:
            break
        more = has_more(&recv_buffer)
        few[count] = from_buffer(size, BYTES)
        if few[count] == NULL:
            break
        count += 1
        if not more:
            return ratchet_list(few, count)
    return take_others(zsock, few, count, size, zmq_errno() if size < 0 else 0)


cdef object take_others(SocketBase zsock, PyObject **few, int count, int size, int error):
    """Go on after `take_parts` has taken some parts: the next one is large, or one too many, or
    was not there."""
    cdef zmq_msg_t msg
    try:
        if size >= 0:
            zmq_msg_init(&msg)
            zmq_msg_move(&msg, &recv_buffer)
        elif error != EAGAIN and error != EINTR:
            raise zsock.fail(error, "receive")
        elif error == EAGAIN or not take(zsock, &msg):
            if count == 0:
                return NOT_NOW
            raise errors.Error(errno.EPROTO, "libzmq returned half a message")
        return take_rest(zsock, &msg, False, few, count)
    finally:
        while count > 0:
            count -= 1
            Py_DECREF(<object> few[count])


cdef list take_rest(
    SocketBase zsock, zmq_msg_t *msg, bint frames, PyObject **few=NULL, int count=0
):
    """Take every part of the message that begins with ``msg``: as bytes, or all as Frames.

    Args:
        few: bytes of the parts before it; ``count``: how many there are.
    """
    global parts_being_taken
    cdef list parts
    cdef Frame frame
    cdef Py_ssize_t i
    cdef bint large = False, more = zmq_msg_more(msg)
    if zsock.conflate and more:
        tear(zsock, msg)
    parts, parts_being_taken = parts_being_taken, None
    if parts is None:  # in a finalizer, while the end of this function makes a new list
        parts = []
    try:
        for i in range(count):
            parts.append(<object> few[i])
        while True:
            if not frames and zmq_msg_size(msg) < LARGE:
                parts.append(copy_out(msg))
            else:
                large = True
                frame = Frame()
                zmq_msg_move(&frame.msg, msg)
                parts.append(frame)
            if not more:
                break
            if not take(zsock, msg):
                raise errors.Error(errno.EPROTO, "libzmq returned half a message")
            more = zmq_msg_more(msg)
    except BaseException:
        zmq_msg_close(msg)
        while more and take(zsock, msg):  # no memory: lose the whole message, not its head only
            more = zmq_msg_more(msg)
            zmq_msg_close(msg)
        parts_being_taken = []
        raise
    parts_being_taken = []
    if large and not frames:
        for i in range(len(parts)):
            parts[i] = as_bytes(parts[i])
    return parts


cdef int tear(SocketBase zsock, zmq_msg_t *msg) except -1:
    """Give up a socket with conflate whose peer sends several parts, and close ``msg``.

    libzmq keeps the part that came last, whichever message it belongs to. If that says that more
    follow, it expects the next, and ends the process when that is not there (fq.cpp, 4.3.4).
    """
    zmq_msg_close(msg)
    zsock.broken = True
    raise torn(zsock)


cdef torn(SocketBase zsock):
    return errors.Error(
        errno.EPROTO,
        f"{zsock.describe()}: a peer sends messages of several parts, of which conflate=True "
        "keeps the part that came last; have it send one part, or make a new socket without "
        "conflate. This one receives no more",
    )
