# Layer 7. How every call goes: try; if it cannot be done now, queue, look, pause, and try again.
#
# The fast paths stand in `blocking.pxi` and `awaitable.pxi`; both come here when a first try says "not
# now" or the line is contended.

cdef object attempt(SocketBase zsock, const Operation *op, object arg, Caller me):
    """Perform ``op`` now or return NOT_NOW. The caller, ``me``, must be entitled to it.

    ``me`` may be None: the caller is then looked up where it matters.
    """
    cdef Line line = line_of(zsock, op)
    if line.owner is not None and line.owner.ended:
        zsock.abandon(line)  # its thread has ended: nobody can finish the message
    if line.bypass_fast_path:
        if line is zsock.tx:
            before_send(zsock, op, arg)
        elif zsock.parts is None and zsock.prefetched is not None:
            begin_prefetched(zsock, me)
    return op.attempt(zsock, arg, me)


cdef int before_send(SocketBase zsock, const Operation *op, object arg) except -1:
    """Do what some sockets need before a send; `SocketBase.update_bypass` tells which."""
    if zsock.kind.replies and zsock.prefetched is not None:
        raise zsock.fail(EFSM, "send")  # its caller has not received the request
    if zsock.low_sndhwm:
        zsock.look()  # has libzmq read that there is room (see LOW_SNDHWM)
    if zsock.kind.parts:
        check_parts(zsock, op, arg)
    return 0


cdef int check_parts(SocketBase zsock, const Operation *op, object arg) except -1:
    """Raise for a message of a number of parts that libzmq would take, and misread all that follow."""
    cdef Py_ssize_t count = 0 if zsock.held is None else len(zsock.held)
    if op == &HOLD or op == &SEND_MANY and count:
        return 0  # the last part tells; a batch in mid-message is refused anyway
    count += len(<list> arg) if op == &SEND_MULTIPART else 1
    if count == zsock.kind.parts:
        return 0
    if zsock.held is not None:
        zsock.abandon(zsock.tx)
    raise errors.argument_error(
        f"{zsock.describe()}: cannot send a message of {count} "
        f"part{'' if count == 1 else 's'}: it is two, the peer's routing id and the bytes"
    )


cdef object now_or_never(SocketBase zsock, const Operation *op, object arg, Caller me):
    """Make the second and last attempt of a call with timeout=0 when nobody is queued before it."""
    cdef Line line = line_of(zsock, op)
    # Send and receive see only what libzmq has noticed; a look makes it notice (4.3.4:
    # process_commands is throttled to once in about a millisecond on the send side).
    result = NOT_NOW
    if line is zsock.tx and zsock.look() & TX:
        result = attempt(zsock, op, arg, me)
    if result is NOT_NOW:
        zsock.after()
        raise timed_out(zsock, line, 0)
    return result


cdef object try_in_line(
    SocketBase zsock, Waiter me, const Operation *op, object arg, bint tried, bint *knock
):
    """Do what a waiter does before it sleeps and whenever it was woken: try, if it may.

    Args:
        tried: the caller has just found that it cannot be done now.
        knock: set if the bell will not tell when to try again (`REKNOCK`).
    """
    cdef Line line = me.line
    cdef int events
    knock[0] = False
    zsock.require("send" if line is zsock.tx else "receive")
    me.woken = False
    if line.entitled() is not me:
        if line.first is me:
            zsock.ring(zsock.look(), me)  # the head watches the bell, so it has to look
        return NOT_NOW
    if not tried:
        result = attempt(zsock, op, arg, me.caller)
        if result is not NOT_NOW:
            return result
    # A receive that found nothing has looked for itself: libzmq did all it had to. A send may not
    # have, and neither tells what the others wait for.
    if line is zsock.tx or zsock.waiting > 1:
        events = zsock.look()
        zsock.ring(events, me)
        if events & line.event:
            result = attempt(zsock, op, arg, me.caller)
            knock[0] = result is NOT_NOW
            return result
    return NOT_NOW


cdef object perform_now(SocketBase zsock, const Operation *op, object arg, double limit):
    """Perform an operation in the way of a blocking call."""
    breathe()
    if zsock.born != generation:
        zsock.require("send" if op.sends else "receive")
    if not line_of(zsock, op).contended:
        result = attempt(zsock, op, arg, None)
        if result is not NOT_NOW:
            zsock.after()
            return result
    return proceed(zsock, op, arg, limit)


cdef object proceed(SocketBase zsock, const Operation *op, object arg, double limit):
    """Go on with a blocking call: its line is contended, or a first try said not now."""
    cdef Line line = line_of(zsock, op)
    if line.owner is not None and line.owner is caller_here():
        result = attempt(zsock, op, arg, None)
        if result is not NOT_NOW:
            zsock.after()
            return result
    if limit == 0 and not line.contended:
        result = now_or_never(zsock, op, arg, None)
        zsock.after()
        return result
    return wait(zsock, line, op, arg, limit)


cdef object wait(SocketBase zsock, Line line, const Operation *op, object arg, double limit):
    """Queue, and try whenever woken, until it is done or the time is up."""
    # Only a receive has looked by trying, and a copy of something large has let others run.
    cdef bint tried = line is zsock.rx and not line.contended
    cdef unsigned int touched = zsock.touched
    cdef Waiter me = waiter_here()  # may let other threads run
    cdef double deadline = deadline_of(limit)
    cdef bint knock = False
    ratchet_collect()
    zsock.join(line, me)
    tried = tried and zsock.touched == touched
    try:
        while True:
            result = try_in_line(zsock, me, op, arg, tried, &knock)
            if result is not NOT_NOW:
                return result
            if limit >= 0 and monotonic() >= deadline:
                raise timed_out(zsock, line, limit)
            tried = False
            me.pause(zsock, min(deadline, monotonic() + REKNOCK) if knock else deadline)
    finally:
        zsock.leave(me)


cdef object timed_out(SocketBase zsock, Line line, double limit):
    """Make the exception for a call whose time is up."""
    if line is zsock.rx:
        what, remedy = "nothing came", "does a peer send, and is its endpoint the right one?"
    else:
        what, remedy = "no peer could take it", "is one connected, and does it receive?"
    return errors.Timeout(
        errno.ETIMEDOUT,
        f"{zsock.describe()}: {what} within {limit:g} s; {remedy} A longer timeout waits longer",
    )
