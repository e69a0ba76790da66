# Layer 6. The operations that receive, and messages that are handed out in parts.
#
# A message received part by part is taken whole (`taking.pxi`) and handed out, so a receiver that
# ends half way leaves nothing torn.

cdef object other_one(SocketBase zsock, int size, bint joined, Caller me):
    """Go on after `small_one`: a large message or one of many parts, an error, or NOT_NOW.

    What ``me`` is must have been found before `small_one`; None: it is found where it matters.
    """
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
        return copy_out(&msg), False
    keep(zsock, &msg, me, False)
    return next_part(zsock)


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


cdef int receive_next(SocketBase zsock, message) except -1:
    """Have a message, its parts last first, received before all others."""
    if zsock.prefetched is None:
        zsock.prefetched = []
    zsock.prefetched.insert(0, message)
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
            me = zsock.caller()  # may let other threads run, which may close
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
    cdef PyObject *found
    if zsock.parts:
        return next_part(zsock)
    found = small_one(zsock.handle, &size, PAIR)
    return other_one(zsock, size, False, me) if found == NULL else own(found)


cdef object try_recv_all(SocketBase zsock, object arg, Caller me):
    cdef int size
    cdef PyObject *found
    if zsock.parts:
        parts = zsock.parts
        joined = b"".join(rest(zsock, False))
        drop_handed_out(zsock, parts, 0)
        return joined
    found = small_one(zsock.handle, &size, BYTES)
    return other_one(zsock, size, True, me) if found == NULL else own(found)


cdef object try_recv_multipart(SocketBase zsock, object arg, Caller me):
    if zsock.parts:
        parts = zsock.parts
        found = rest(zsock, False)
        drop_handed_out(zsock, parts, 0)
        return found
    return take_parts(zsock)


cdef object try_recv_many(SocketBase zsock, object arg, Caller me):
    cdef Py_ssize_t most = arg, count = 0
    cdef list found = list_for(min(most, zsock.took))
    cdef double began = 0
    cdef int size
    cdef bint drained = False
    cdef PyObject *small
    begin_batch()
    if zsock.parts:
        found.append(None)  # make room for it before it is handed out
        found[0] = try_recv_all(zsock, None, me)
        count = 1
    # A large part is copied without the GIL: another caller may be in mid-message after it.
    try:
        if zsock.counts:
            most = count  # the others are to be counted first
        while count < most and zsock.rx.owner is None and zsock.prefetched is None:
            small = small_one(zsock.handle, &size, MANY)
            if small != NULL:
                put_in(found, small)
            elif size == -1 and zmq_errno() == EAGAIN:
                drained = True
                break
            else:
                data = one_of_many(zsock, size, count > 0)
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
    finally:
        if buffer_lent:
            empty_buffer()
    zsock.touched += 1
    if drained:
        zsock.empty_since = zsock.touched
    if count == 0:
        return NOT_NOW
    zsock.took = min(count, MOST_ROOM)
    return found


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
