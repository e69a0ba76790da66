# Layer 6. Whole messages out of libzmq, and the operations that receive them.
#
# A message received part by part is taken whole and handed out, so a receiver that ends half way
# leaves nothing torn. Between taking the first part from libzmq and the last, nothing here may
# allocate an object that the garbage collector knows: a collection could run a finalizer that uses
# the same socket. (Python 3.11 collects at an allocation; from 3.12 on it waits for the next
# bytecode.)

cdef enum:
    NO_MEMORY = -2  # as the size of a message: it was taken, and there was no memory for its bytes

cdef list parts_being_taken = []  # made beforehand, and replaced when it is handed on
cdef Caller TAKING = Caller()     # owns a line while its message is being taken


# The message that is received first. libzmq frees what was in it before (zmq_msg_recv(3)), so it
# need not be closed, which costs as much as copying out what is small. Only what a zmq_msg_t holds
# in itself may stay in it, not memory that a sender waits for.
cdef zmq_msg_t recv_buffer
zmq_msg_init(&recv_buffer)


cdef inline bytes small_one(void *handle, int *size):
    """Take the next message if it has one part and is not large; else None: see `other_one`.

    It raises nothing, so that a fast path need not look for the others after an error as well.
    """
    cdef char *start
    cdef PyObject *data
    size[0] = zmq_msg_recv(&recv_buffer, handle, ZMQ_DONTWAIT)
    if size[0] < 0 or size[0] >= <int> LARGE or zmq_msg_more(&recv_buffer):
        return None
    start = <char *> zmq_msg_data(&recv_buffer)
    data = new_bytes(start, size[0])
    if <size_t> (start - <char *> &recv_buffer) >= sizeof(recv_buffer):
        zmq_msg_close(&recv_buffer)
        zmq_msg_init(&recv_buffer)
    else:
        ratchet_left_in(&recv_buffer)
    if data == NULL:
        PyErr_Clear()
        size[0] = NO_MEMORY
        return None
    return own(data)


cdef object other_one(SocketBase zsock, int size, bint joined, Caller me):
    """Go on after `small_one`: a large message or one of many parts, an error, or NOT_NOW."""
    cdef zmq_msg_t msg
    cdef int error
    if size < 0:
        if size == NO_MEMORY:
            raise MemoryError("no memory for a message, which is lost")
        error = zmq_errno()
        if error == EAGAIN:
            return NOT_NOW
        if error != EINTR:
            raise zsock.fail(error, "receive")
        return try_recv_all(zsock, None, me) if joined else try_recv(zsock, None, me)
    zmq_msg_init(&msg)
    zmq_msg_move(&msg, &recv_buffer)
    if joined:
        return b"".join(take_rest(zsock, &msg, False)) if zmq_msg_more(&msg) else copy_out(&msg)
    if not zmq_msg_more(&msg):
        return single(copy_out(&msg))
    keep(zsock, &msg, me, False)
    return next_part(zsock)


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


cdef list take_rest(SocketBase zsock, zmq_msg_t *msg, bint frames):
    """Take every part of the message that begins with ``msg``: as bytes, or all as Frames."""
    global parts_being_taken
    cdef list parts
    cdef Frame frame
    cdef Py_ssize_t i
    cdef bint large = False, more = True
    if zsock.conflate and zmq_msg_more(msg):
        tear(zsock, msg)
    parts, parts_being_taken = parts_being_taken, None
    if parts is None:  # in a finalizer, while the end of this function makes a new list
        parts = []
    try:
        while more:
            more = zmq_msg_more(msg)
            if not frames and zmq_msg_size(msg) < LARGE:
                parts.append(copy_out(msg))
            else:
                large = True
                frame = Frame()
                zmq_msg_move(&frame.msg, msg)
                parts.append(frame)
            if more and not take(zsock, msg):
                raise errors.Error(errno.EPROTO, "libzmq returned half a message")
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

    libzmq keeps the part that came last, whichever message it belongs to. After one with more to
    come
    it expects the next, and ends the process if that is not there (fq.cpp, 4.3.4).
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


# Prefetched messages: taken by a look or a failed recv_many, and received next.

cdef int prefetch(SocketBase zsock) except -1:
    """Take the next message if it is there: a disconnect would have libzmq drop half of it."""
    cdef zmq_msg_t msg
    if zsock.conflate:
        return 0  # it has one part
    try:
        if not take(zsock, &msg):
            return 0
    except errors.StateError:  # a REP that has to reply first
        return 0
    message = take_rest(zsock, &msg, True)
    message.reverse()
    if zsock.prefetched is None:
        zsock.prefetched = []
    zsock.prefetched.append(message)
    zsock.update_bypass()
    return 0


cdef int begin_prefetched(SocketBase zsock, Caller me) except -1:
    """Make the first prefetched message the one that is being handed out."""
    message = zsock.prefetched[0]
    parts = message if type(message) is list else [message]
    del zsock.prefetched[0]
    zsock.set_owner(zsock.rx, me)
    zsock.parts = parts
    if not zsock.prefetched:
        zsock.prefetched = None
        zsock.update_bypass()
    return 0


# A message that is handed out part by part. Each result is made before its part is removed: if
# there is no memory for it, the part is there for the next call. Copying a large part lets other
# threads run, which may close the socket.

cdef int keep(SocketBase zsock, zmq_msg_t *msg, Caller me, bint frames) except -1:
    """Take the message that begins with ``msg``, to be handed out part by part to its owner."""
    zsock.rx.owner = TAKING  # large parts are copied without the GIL
    zsock.rx.contended = True
    try:
        parts = take_rest(zsock, msg, frames)
        parts.reverse()
        if me is None:
            me = caller_here()  # may let other threads run, which may close
        zsock.parts = parts
        zsock.set_owner(zsock.rx, me)
    except BaseException:
        zsock.set_owner(zsock.rx, None)
        raise
    return 0


cdef int drop_handed_out(SocketBase zsock, list parts, Py_ssize_t left) except -1:
    """Keep the first ``left`` parts; release the line's ownership when none remain."""
    if zsock.parts is parts:
        del parts[left:]
        if not parts:
            zsock.parts = None
            zsock.set_owner(zsock.rx, None)
    return 0


cdef object next_part(SocketBase zsock):
    cdef list parts = zsock.parts
    cdef Py_ssize_t left = len(parts) - 1
    found = as_bytes(parts[left]), left > 0
    drop_handed_out(zsock, parts, left)
    return found


cdef list rest(SocketBase zsock, bint frames):
    """Return what is left of the message that is being handed out, in order."""
    cdef list found = zsock.parts[::-1]
    cdef Py_ssize_t i
    for i in range(len(found)):
        found[i] = as_frame(found[i], i < len(found) - 1) if frames else as_bytes(found[i])
    return found


# The operations. In the middle of a message, each of them goes on with it.

cdef object try_recv(SocketBase zsock, object arg, Caller me):
    cdef int size
    if zsock.parts:
        return next_part(zsock)
    data = small_one(zsock.handle, &size)
    return other_one(zsock, size, False, me) if data is None else single(data)


cdef object try_recv_all(SocketBase zsock, object arg, Caller me):
    cdef int size
    if zsock.parts:
        parts = zsock.parts
        found = b"".join(rest(zsock, False))
        drop_handed_out(zsock, parts, 0)
        return found
    data = small_one(zsock.handle, &size)
    return other_one(zsock, size, True, me) if data is None else data


cdef object try_recv_multipart(SocketBase zsock, object arg, Caller me):
    cdef zmq_msg_t msg
    if zsock.parts:
        parts = zsock.parts
        found = rest(zsock, False)
        drop_handed_out(zsock, parts, 0)
        return found
    return take_rest(zsock, &msg, False) if take(zsock, &msg) else NOT_NOW


cdef object try_recv_many(SocketBase zsock, object arg, Caller me):
    cdef Py_ssize_t most = arg, count = 0
    cdef list found = []
    cdef double began = 0
    cdef int size
    if zsock.parts:
        found.append(None)  # make room for it before it is handed out
        found[0] = try_recv_all(zsock, None, me)
        count = 1
    # A large part is copied without the GIL: another caller may be in mid-message after it.
    try:
        while count < most and zsock.rx.owner is None and zsock.prefetched is None:
            data = small_one(zsock.handle, &size)
            if data is None:
                data = one_of_many(zsock, size, len(found) > 0)
                if data is NOT_NOW:
                    break
            found.append(data)
            count += 1
            if count % BATCH == 0:
                # Signal handlers must not run here: what they raise would lose `found`.
                zsock.after()
                if zsock.born != generation:
                    break
                if began == 0:
                    began = monotonic()
                elif monotonic() - began > LONGEST_BATCH:
                    break
    except MemoryError:  # for one message; the others are received next, joined
        if found:
            zsock.prefetched = found
            zsock.update_bypass()
        raise
    return found if found else NOT_NOW


cdef object one_of_many(SocketBase zsock, int size, bint enough):
    """Go on after `small_one` in a recv_many, which is content with what it has if it has any."""
    try:
        return other_one(zsock, size, True, None)
    except errors.Error:
        if enough:
            return NOT_NOW  # a REP or REQ can take only one; the next call raises this
        raise


cdef object try_recv_frame(SocketBase zsock, object arg, Caller me):
    cdef Frame frame
    cdef list parts
    cdef Py_ssize_t left
    if not zsock.parts:
        frame = Frame()
        if not take(zsock, &frame.msg):
            return NOT_NOW
        if not zmq_msg_more(&frame.msg):
            return frame
        keep(zsock, &frame.msg, me, True)
    parts = zsock.parts
    left = len(parts) - 1
    frame = as_frame(parts[left], left > 0)
    drop_handed_out(zsock, parts, left)
    return frame


cdef object try_recv_frames(SocketBase zsock, object arg, Caller me):
    cdef zmq_msg_t msg
    cdef list parts
    cdef Py_ssize_t i
    if zsock.parts:
        parts = zsock.parts
        found = rest(zsock, True)
        drop_handed_out(zsock, parts, 0)
        return found
    if not take(zsock, &msg):
        return NOT_NOW
    parts = take_rest(zsock, &msg, True)
    for i in range(len(parts) - 1):
        (<Frame> parts[i]).more = True
    return parts


cdef object try_recv_into(SocketBase zsock, object arg, Caller me):
    cdef Target target = arg
    cdef zmq_msg_t msg
    cdef list parts
    cdef object found
    cdef Py_ssize_t size
    if not zsock.parts:
        if not take(zsock, &msg):
            return NOT_NOW
        size = zmq_msg_size(&msg)
        if size <= target.view.len and not zmq_msg_more(&msg):
            copy_memory(target.view.buf, zmq_msg_data(&msg), size)
            zmq_msg_close(&msg)
            return size
        keep(zsock, &msg, me, True)
    parts = zsock.parts
    part = parts[len(parts) - 1]
    found = size = len(part)
    if size > target.view.len:
        raise errors.argument_error(
            f"{zsock.describe()}: recv_into() was given a buffer of {target.view.len} bytes, "
            f"and the next part has {size}; it is still there, to be received by this caller"
        )
    if type(part) is Frame:
        copy_memory(target.view.buf, zmq_msg_data(&(<Frame> part).msg), size)
    else:
        copy_memory(target.view.buf, PyBytes_AS_STRING(part), size)
    drop_handed_out(zsock, parts, len(parts) - 1)
    return found


cdef Operation RECV = operation(b"recv", False, True, try_recv)
cdef Operation RECV_ALL = operation(b"recv_all", False, False, try_recv_all)
cdef Operation RECV_MULTIPART = operation(b"recv_multipart", False, False, try_recv_multipart)
cdef Operation RECV_MANY = operation(b"recv_many", False, False, try_recv_many)
cdef Operation RECV_FRAME = operation(b"recv_frame", False, True, try_recv_frame)
cdef Operation RECV_FRAMES = operation(b"recv_frames", False, False, try_recv_frames)
cdef Operation RECV_INTO = operation(b"recv_into", False, True, try_recv_into)
