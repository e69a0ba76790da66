# Layer 9. The calls of a ProgramSocket by flags, as functions in C for other extension modules.
#
# `_zmq.pxd` declares them; a socket is passed as an object, so that nobody else need know what is
# in it. They answer NOT_NOW, which is no exception, where libzmq would say EAGAIN.

cdef enum:
    NOT_TRIED = -3       # as the size of a message: more stands in the way than a first try can see


cdef object try_recv_part(SocketBase zsock, object arg, Caller me):
    found = try_recv(zsock, None, me)
    return found if found is NOT_NOW else (<tuple> found)[0]


cdef Operation RECV_PART = operation(b"recv", False, True, try_recv_part)


cdef object program_not_now():
    return NOT_NOW


cdef object perform_for(
    ProgramSocket zsock, const Operation *op, object arg, double limit, bint tried
):
    """Perform an operation; NOT_NOW: the time is up.

    Args:
        tried: the caller has just found that it cannot be done now.
    """
    cdef Line line = line_of(zsock, op)
    cdef unsigned int touched = zsock.touched
    cdef Caller me
    breathe()
    zsock.require_alive("send" if op.sends else "receive")
    me = program_caller(zsock, line)
    zsock.may_have_pipes = True
    if line.aside is not None and line.owner is None:
        take_back(zsock, line, me)
    if not line.contended or line.only_bypasses() or line.owner is me:
        if not tried or zsock.touched != touched:  # `wait` tries no more than this either
            result = attempt_alone(zsock, op, arg, me)
            if result is not NOT_NOW:
                return result
        if limit == 0:
            try:
                if line is zsock.tx and zsock.look() & TX:
                    return attempt(zsock, op, arg, me)  # as `now_or_never` does
                return NOT_NOW
            finally:
                if line is zsock.rx:
                    zsock.after_empty()
                else:
                    zsock.after()
    elif limit == 0 and not can_make_way(line):
        return NOT_NOW
    try:
        return wait(zsock, line, op, arg, limit, me)
    except errors.Timeout:
        return NOT_NOW


cdef bint can_make_way(Line line) except -1:
    """Return True if the line is held up by one that has ended or does not run."""
    return line.owner is not None and (line.owner.gone() or line.owner.stopped())


cdef inline double send_limit_of(ProgramSocket zsock, int flags):
    return 0 if flags & ZMQ_DONTWAIT else zsock._send_timeout


cdef inline double recv_limit_of(ProgramSocket zsock, int flags):
    return 0 if flags & ZMQ_DONTWAIT else zsock._recv_timeout


cdef object program_part(object data):
    """Return a part as it is sent: bytes, a Loan or a Frame as they are, another buffer copied."""
    if type(data) is bytes or type(data) is Frame or type(data) is Loan:
        return data
    return snapshot(data)


cdef int program_send_now(PyObject *socket, PyObject *data) noexcept:
    """Send small bytes as a whole message if nothing stands in the way.

    Returns:
        1: it is sent; 0: not tried; -1: libzmq could not take it now. Then `program_send_on` it.
    """
    return send_now(<ProgramSocket> socket, data)


cdef inline int send_now(ProgramSocket zsock, PyObject *data) noexcept:
    if not is_small(data) or not is_quick(zsock) or zsock.tx.contended:
        return 0
    zsock.may_have_pipes = True
    if zmq_send(zsock.handle, start_of(data), size_of(data), ZMQ_DONTWAIT) < 0:
        if zmq_errno() != EAGAIN:
            return 0
        zsock.touched += 1
        return -1
    zsock.asked = ASKED | SENT
    zsock.after()
    return 1


cdef object program_send(object socket, object data, int flags):
    """Send one part; return None or NOT_NOW."""
    cdef int sent = 0 if flags & ZMQ_SNDMORE else program_send_now(
        <PyObject *> socket, <PyObject *> data)
    return None if sent > 0 else program_send_on(socket, data, flags, sent)


cdef object program_send_on(object socket, object data, int flags, int sent):
    """Do what `program_send` does after `program_send_now` has answered ``sent``."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    part = program_part(data)
    if flags & ZMQ_SNDMORE:
        return send_more(zsock, part, flags)
    return send_last(zsock, &SEND, part, flags, sent < 0)


cdef object send_more(ProgramSocket zsock, part, int flags):
    """Keep a part that is not the last; with DONTWAIT refuse the first one of a full socket."""
    zsock.require_alive("send")
    if not zsock.kind.sends:
        raise zsock.fail(ENOTSUP, "send")
    if flags & ZMQ_DONTWAIT and zsock.held is None and zsock.kind.full_is_unwritable:
        if not zsock.look() & TX:
            zsock.after()
            return NOT_NOW
    if perform_for(zsock, &HOLD, part, send_limit_of(zsock, flags), False) is NOT_NOW:
        return NOT_NOW
    return None


cdef object send_last(
    ProgramSocket zsock, const Operation *op, object arg, int flags, bint tried
):
    """Send the end of a message; if it is not sent, drop the parts before it.

    For then the program sends all of it again: with pyzmq the first part would not have been taken.
    """
    cdef bint sent = False
    try:
        sent = perform_for(zsock, op, arg, send_limit_of(zsock, flags), tried) is not NOT_NOW
    finally:
        if not sent and zsock.held is not None and not flags & KEEP_HELD:
            if zsock.tx.owner is program_caller(zsock, zsock.tx):
                zsock.abandon(zsock.tx)
    return None if sent else NOT_NOW


cdef object program_send_parts(object socket, list parts, int flags):
    """Send a whole message, or the end of one; return None or NOT_NOW."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    cdef Py_ssize_t i
    for i in range(len(parts)):
        if type(parts[i]) is not bytes:
            parts[i] = program_part(parts[i])
    return send_last(zsock, &SEND_MULTIPART, parts, flags, False)


cdef inline bint may_take(ProgramSocket zsock):
    """Return True if nothing stands in the way of a receive."""
    return is_quick(zsock) and not zsock.rx.contended and not zsock.home.terminated


cdef PyObject *program_recv_now(PyObject *socket, int *size) noexcept:
    """Receive a small message of one part if nothing stands in the way: a new reference.

    NULL: `program_recv_on` with this ``size``, before anything else.
    """
    return recv_now(<ProgramSocket> socket, size)


cdef inline PyObject *recv_now(ProgramSocket zsock, int *size) noexcept:
    cdef PyObject *found = NULL
    size[0] = NOT_TRIED
    if may_take(zsock):
        zsock.may_have_pipes = True
        found = small_one(zsock.handle, size, BYTES)
        if found != NULL:
            zsock.after()
    return found


cdef object program_recv(object socket, int flags):
    """Receive one part: bytes, or NOT_NOW."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    cdef int size
    cdef PyObject *found
    # When a receive found nothing and no call since may have silenced the bell, it tells all.
    if flags & ZMQ_DONTWAIT and zsock.empty_since == zsock.touched:
        if may_take(zsock) and not ratchet_readable(zsock.fd):
            return NOT_NOW
    found = recv_now(zsock, &size)
    return program_recv_on(socket, flags, size) if found == NULL else own(found)


cdef object program_recv_on(object socket, int flags, int size):
    """Do what `program_recv` does after `program_recv_now` has answered ``size``."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    cdef bint owed = True, empty = False, tried = size != NOT_TRIED
    if tried:
        try:
            found = other_one(zsock, size, False, None)
            if found is not NOT_NOW:
                return (<tuple> found)[0]
            owed = empty = (flags & ZMQ_DONTWAIT) != 0
        finally:
            if empty:
                zsock.after_empty()
            elif owed:
                zsock.after()
        if empty:
            return NOT_NOW
    return perform_for(zsock, &RECV_PART, None, recv_limit_of(zsock, flags), tried)


cdef object program_recv_parts(object socket, int flags):
    """Receive a whole message, or the rest of one: a list of bytes, or NOT_NOW."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    return perform_for(zsock, &RECV_MULTIPART, None, recv_limit_of(zsock, flags), False)


cdef object program_recv_frame(object socket, int flags):
    """Receive one part: a Frame, or NOT_NOW."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    return perform_for(zsock, &RECV_FRAME, None, recv_limit_of(zsock, flags), False)


cdef object program_recv_frames(object socket, int flags):
    """Receive a whole message, or the rest of one: a list of Frames, or NOT_NOW."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    return perform_for(zsock, &RECV_FRAMES, None, recv_limit_of(zsock, flags), False)


# For callers that wait by themselves (`_pyzmq/futures.pxi`): the attempt of a waiter in its line,
# and a message that nobody wants after all.

cdef double program_reknock():
    """Return after how many seconds to try again where nobody may tell when."""
    return REKNOCK


cdef double program_limit(object socket, bint writes):
    """Return the seconds that SNDTIMEO (``writes``) or RCVTIMEO says; negative: no limit."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    return zsock._send_timeout if writes else zsock._recv_timeout


cdef object program_thread():
    """Return the caller that the running OS thread is."""
    return this_thread()


cdef const Operation *operation_named(str name) except NULL:
    """Return the row of an operation that a future may be of."""
    if name == "recv":
        return &RECV_PART
    if name == "recv_multipart":
        return &RECV_MULTIPART
    if name == "recv_frame":
        return &RECV_FRAME
    if name == "recv_frames":
        return &RECV_FRAMES
    if name == "send":
        return &SEND
    if name == "send_more":
        return &HOLD
    if name == "send_multipart":
        return &SEND_MULTIPART
    raise ValueError(name)


cdef object program_try(object socket, object waiter, str name, object arg, bint *knock):
    """Perform an operation of a waiter that stands in its line, or answer NOT_NOW.

    Args:
        name: of the operation; None: only look if the socket is ready for it.
        knock: set if nobody may tell when to try again.
    """
    cdef ProgramSocket zsock = <ProgramSocket> socket
    cdef TaskWaiter me = <TaskWaiter> waiter
    cdef int events
    zsock.require_alive("wait")
    if name is None:
        me.woken = False
        events = zsock.look()
        zsock.ring(events, me)
        knock[0] = False
        return True if events & me.line.event else NOT_NOW
    # A receive that has just found nothing need not try again: the bell tells all since then.
    cdef bint tried = me.line is zsock.rx and zsock.empty_since == zsock.touched
    try:
        return try_in_line(zsock, me, operation_named(name), arg, tried, knock)
    except BaseException:
        zsock.after()  # the waiter stays in its line
        raise


cdef bint program_is_watched(object socket, object runtime):
    """Return True if ``runtime`` watches the socket's descriptor already."""
    return (<ProgramSocket> socket).watcher is runtime


cdef int program_give_back(object socket, object found, str name) except -1:
    """Have what a receive has taken received next: its caller was cancelled before it had it."""
    cdef ProgramSocket zsock = <ProgramSocket> socket
    cdef OSThread me
    if zsock.born != generation or zsock.home.terminated:
        return 0
    if name == "recv" or name == "recv_frame":
        me = this_thread()
        if zsock.parts is not None and zsock.rx.owner is me:
            zsock.parts.append(found)
            zsock.check()
            return 0
        found = [found]
    receive_next(zsock, found[::-1])
    zsock.check()
    return 0
