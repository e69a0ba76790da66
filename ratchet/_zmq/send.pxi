# Layer 6. Whole messages into libzmq, and the operations that send them.
#
# libzmq is at a message boundary whenever the GIL can change hands: all parts go in at once. Parts
# sent with more=True are held in the socket until the last one, so a sender that ends half way, or
# is cancelled, leaves nothing torn. The functions return 1 when libzmq has taken the message, 0 for
# "not now".

cdef extern from "Python.h":
    PyObject **items_of "PySequence_Fast_ITEMS"(list parts)

cdef class Batch:
    """The messages of a send_many, and how many of them libzmq has taken."""
    cdef list messages
    cdef Py_ssize_t count, sent
    cdef Py_ssize_t slice  # messages after which it pauses to let others run; 0: it does not
    cdef bint pausing      # it has done so, and the socket could take more

    def __init__(self, messages):
        self.messages = to_messages(messages, "messages")
        self.count = len(self.messages)


cdef inline int put_small(SocketBase zsock, const char *data, size_t size) except -1:
    """Send one part that is not large. Inline, for a batch of them."""
    cdef int error
    while zmq_send(zsock.handle, data, size, ZMQ_DONTWAIT) < 0:
        error = zmq_errno()
        if error == EAGAIN:
            zsock.touched += 1
            return 0
        if error != EINTR:
            raise zsock.fail(error, "send")
    zsock.asked = ASKED | SENT
    return 1


cdef int put(SocketBase zsock, const char *data, size_t size) except -1:
    """Send one part of memory that must be copied."""
    cdef zmq_msg_t msg
    if size < LARGE:
        return put_small(zsock, data, size)
    if zsock.kind.full_is_unwritable and not zsock.look() & TX:
        return 0  # find out before the copy, not after it
    copy_in(&msg, data, size)
    return put_msg(zsock, &msg)


cdef int put_msg(SocketBase zsock, zmq_msg_t *msg) except -1:
    """Send one part, and close it."""
    cdef int error
    try:
        zsock.require("send")  # making it may have let other threads run, or a finalizer
        while zmq_msg_send(msg, zsock.handle, ZMQ_DONTWAIT) < 0:
            error = zmq_errno()
            if error == EAGAIN:
                zsock.touched += 1
                return 0
            if error != EINTR:
                raise zsock.fail(error, "send")
        zsock.asked = ASKED | SENT
        return 1
    finally:
        zmq_msg_close(msg)


cdef int put_part(SocketBase zsock, part) except -1:
    """Send one part, bytes or a Loan."""
    cdef zmq_msg_t msg
    if not is_lent(part):
        return put_small(zsock, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
    ratchet_collect()
    lend(&msg, part)
    if not put_msg(zsock, &msg):
        return 0
    clear_pending(part)
    return 1


cdef list to_frames(list parts):
    """Make a message of each part, bytes or a Loan; None if no part is lent."""
    cdef Frame frame
    cdef list frames
    for part in parts:
        if is_lent(part):
            break
    else:
        return None
    frames = []
    ratchet_collect()
    for part in parts:
        frame = Frame()
        if is_lent(part):
            lend(&frame.msg, part)
        else:
            copy_in(&frame.msg, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        frames.append(frame)
    return frames


cdef inline Py_ssize_t put_small_parts(
    void *handle, PyObject **parts, Py_ssize_t first, Py_ssize_t count
) noexcept:
    """Send parts, which are bytes, from one on; return where it ended: errno says why."""
    cdef Py_ssize_t i = first
    while i < count:
        if zmq_send(
            handle, start_of(parts[i]), size_of(parts[i]),
            ZMQ_DONTWAIT | ZMQ_SNDMORE if i < count - 1 else ZMQ_DONTWAIT
        ) >= 0:
            i += 1
        elif zmq_errno() != EINTR:
            break
    return i


cdef Py_ssize_t put_made(void *handle, list frames, Py_ssize_t first) noexcept:
    """Send the same in the frames that were made of parts."""
    cdef Py_ssize_t i, count = len(frames)
    for i in range(first, count):
        if zmq_msg_send(
            &(<Frame> frames[i]).msg, handle,
            ZMQ_DONTWAIT | ZMQ_SNDMORE if i < count - 1 else ZMQ_DONTWAIT
        ) < 0:
            return i
    return count


cdef int put_all(SocketBase zsock, list parts) except -1:
    """Send one message of many parts, bytes or Loans."""
    cdef list frames = to_frames(parts)
    if frames is not None:
        zsock.require("send")  # making them may have run a finalizer
    return put_rest(zsock, parts, frames, 0, EINTR)


cdef int put_rest(
    SocketBase zsock, list parts, list frames, Py_ssize_t sent, int error
) except -1:
    """Go on with a message of which ``sent`` parts have been taken, then came ``error``."""
    cdef Py_ssize_t count = len(parts)
    while sent < count:
        if error == EAGAIN:
            end_half(zsock, sent, count)
            return send_again(zsock, parts, sent)
        if error != EINTR:
            raise zsock.fail(error, "send")
        if frames is None:
            sent = put_small_parts(zsock.handle, items_of(parts), sent, count)
        else:
            sent = put_made(zsock.handle, frames, sent)
        if sent < count:
            error = zmq_errno()
    if frames is not None:
        for part in parts:
            clear_pending(part)
    zsock.asked = ASKED | SENT
    return 1


# After "not now" for a message of which ``sent`` parts have been taken: if there are any, their
# peer went away between two parts and libzmq has taken them back.

cdef void end_half(SocketBase zsock, Py_ssize_t sent, Py_ssize_t count) noexcept:
    """Have libzmq begin a new message, before anything runs that might send on this socket."""
    # A load balancer (lb.cpp, 4.3.4) swallows what is sent next, up to the end of that message.
    if 0 < sent < count - 1 and zsock.kind.balances:
        zmq_send(zsock.handle, NULL, 0, ZMQ_DONTWAIT)


cdef int send_again(SocketBase zsock, list parts, Py_ssize_t sent) except -1:
    """Send the message anew if any of its parts had been taken."""
    zsock.touched += 1
    if sent == 0:
        return 0
    if zsock.kind.requests:
        raise zsock.fail(EHOSTUNREACH, "send: the peer left in mid-message")
    return put_all(zsock, parts)


cdef int put_last(SocketBase zsock, list parts) except -1:
    """Send ``parts`` as the end of the message whose earlier parts are held."""
    if zsock.held is None:
        return put_all(zsock, parts)
    try:
        if not put_all(zsock, zsock.held + parts):
            return 0
    except MemoryError:
        raise  # nothing is sent, and what is held stays so
    except BaseException:
        zsock.abandon(zsock.tx)  # refused, not postponed: the message is the caller's again
        raise
    zsock.abandon(zsock.tx)
    return 1


cdef int put_many(SocketBase zsock, Batch batch) except -1:
    """Send what is left of a batch: 1 if all of it has been taken now."""
    cdef double began = 0
    cdef Py_ssize_t stop = batch.sent + batch.slice
    cdef size_t size
    cdef bytes data
    batch.pausing = False
    while batch.sent < batch.count:
        data = <bytes> batch.messages[batch.sent]
        size = PyBytes_GET_SIZE(data)
        if size < LEND:
            if not put_small(zsock, PyBytes_AS_STRING(data), size):
                return 0
        elif not put_part(zsock, data):
            return 0
        batch.sent += 1
        if batch.sent % BATCH == 0 or size >= LARGE:
            zsock.after()
            if batch.slice:
                if size >= LARGE:
                    stop -= batch.slice // LARGE_SHARE
                if batch.sent >= stop and batch.sent < batch.count:
                    batch.pausing = True
                    return 0
            elif runtime_here() is not None:
                runtime_here().let_others_run()
            else:
                began = interlude(began)
            PyErr_CheckSignals()
            zsock.require("send")
    return 1


# The operations.

cdef object try_send(SocketBase zsock, object part, Caller me):
    if put_part(zsock, part) if zsock.held is None else put_last(zsock, [part]):
        return tracker_of(part)
    return NOT_NOW


cdef object try_hold(SocketBase zsock, object part, Caller me):
    """Keep a part of a message whose last part is still to come."""
    cdef list parts
    if zsock.held is None:
        parts = [part]  # first of all: there may be no memory for it
        zsock.set_owner(zsock.tx, caller_here() if me is None else me)
        zsock.held = parts
    else:
        zsock.held.append(part)
    return tracker_of(part)


cdef object try_send_multipart(SocketBase zsock, object arg, Caller me):
    cdef list parts = arg
    return tracker_of(parts[0]) if put_last(zsock, parts) else NOT_NOW


cdef object try_send_many(SocketBase zsock, object arg, Caller me):
    cdef Batch batch = arg
    if zsock.held is not None:
        raise errors.StateError(
            errno.EBUSY,
            f"{zsock.describe()}: in the middle of a message; send its last part first",
        )
    return batch.count if put_many(zsock, batch) else NOT_NOW


cdef Operation SEND = operation(b"send", True, False, try_send)
cdef Operation HOLD = operation(b"send", True, True, try_hold)
cdef Operation SEND_MULTIPART = operation(b"send_multipart", True, False, try_send_multipart)
cdef Operation SEND_MANY = operation(b"send_many", True, False, try_send_many)
