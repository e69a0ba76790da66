# Layer 7. What is done before a call that bypasses the fast path; the messages that are refused.
#
# libzmq would take those, and then spoil or drop them, or end the process.

cdef int before_receive(SocketBase zsock, Caller me) except -1:
    """Do what a socket needs before a receive that bypasses the fast path."""
    if zsock.broken:
        raise torn(zsock)
    if zsock.counts:
        if not zsock.kind.receives:
            raise zsock.fail(ENOTSUP, "receive")
        take_in_subscriptions(zsock)
    if zsock.parts is None and zsock.prefetched is not None:
        begin_prefetched(zsock, me)
    return 0


cdef int before_send(SocketBase zsock, const Operation *op, object arg) except -1:
    """Do what a socket needs before a send that bypasses the fast path."""
    if zsock.counts and zsock.touched % TAKE_IN_EVERY == 0:
        take_in_subscriptions(zsock)
    if zsock.form != ANY_PARTS:
        check_form(zsock, op, arg)
    elif zsock.kind.subscribes == "message":
        check_prefixes(zsock, op, arg)
    elif zsock.prefetched is not None and (zsock.kind.replies or zsock.kind.requests):
        raise zsock.fail(EFSM, "send")  # what was received is still here
    elif zsock.low_sndhwm:
        zsock.look()  # has libzmq read that there is room (see LOW_SNDHWM)
    return 0


cdef int check_form(SocketBase zsock, const Operation *op, object arg) except -1:
    """Raise unless libzmq sends such a message whole."""
    cdef Py_ssize_t count = 0 if zsock.held is None else len(zsock.held)
    if op == &SEND_MANY and (count or (<Batch> arg).sent == (<Batch> arg).count):
        return 0  # refused anyway in mid-message; or there is nothing to send
    if op == &HOLD and zsock.form != ONE_PART:
        return 0  # the last part tells
    if op == &HOLD:
        count = 2
    else:
        count += len(<list> arg) if op == &SEND_MULTIPART else 1
    if zsock.form == ONE_PART:
        if count == 1:
            return 0
    elif count == 2 or count > 2 and zsock.form == PEER_AND_PARTS:
        return 0
    if zsock.held is not None:
        zsock.abandon(zsock.tx)
    raise errors.argument_error(f"{zsock.describe()}: {wrong_form(zsock.form, count, op)}")


cdef str wrong_form(Form form, Py_ssize_t count, const Operation *op):
    """Say what is wrong with a message of so many parts, and what to do."""
    if form == ONE_PART:
        parts = "more=True" if op == &HOLD else f"a message of {count} parts"
        return (
            f"cannot send {parts} with conflate=True, which keeps only the last part of all; send "
            "one part (pack several into one, as with struct or json), or do without conflate"
        )
    parts = f"cannot send a message of {count} part{'' if count == 1 else 's'}"
    if form == PEER_AND_DATA:
        return f"{parts}: it is two, the peer's routing id and the bytes"
    many = ", for each message, since send_many sends messages of one part" * (op == &SEND_MANY)
    return (
        f"{parts}: the first part names the peer, and nothing follows it; use send_multipart("
        f"[routing_id, data]){many}. A ROUTER with router_mandatory=False drops such messages"
    )


cdef int check_prefixes(SocketBase zsock, const Operation *op, object arg) except -1:
    """Raise unless an XSUB can send it: to libzmq, what begins with 1 or 0 subscribes or
    unsubscribes."""
    cdef Py_ssize_t size
    if op == &SEND_MANY:
        if zsock.held is not None or (<Batch> arg).sent:
            return 0  # refused anyway; or checked before
        parts = (<Batch> arg).messages
    else:
        parts = arg if op == &SEND_MULTIPART else [arg]
    try:
        for part in parts:
            size = prefix_in(part)
            if size > MAX_PREFIX:
                check_prefix(zsock, "send", size)
    except BaseException:
        if zsock.held is not None:
            zsock.abandon(zsock.tx)
        raise
    return 0


cdef Py_ssize_t prefix_in(part) except -1:
    """Return how many bytes of a part are a prefix to an XSUB."""
    cdef const char *start
    cdef Py_ssize_t size
    if type(part) is Loan:
        start = <char *> (<Loan> part).view.buf
        size = (<Loan> part).view.len
    elif type(part) is Frame:
        start = <char *> zmq_msg_data(&(<Frame> part).msg)
        size = len(part)
    else:
        start, size = PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part)
    return size - 1 if size and start[0] in (0, 1) else 0


cdef int check_prefix(SocketBase zsock, what, Py_ssize_t size) except -1:
    """Raise for a prefix that would make libzmq overflow a thread's stack."""
    if size <= MAX_PREFIX:
        return 0
    raise errors.argument_error(
        f"{zsock.describe()}: cannot {what} a subscription to a prefix of {size} bytes: at most "
        f"{MAX_PREFIX} are accepted, since libzmq would overflow the stack; subscribe to the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
        if what == "send" else
        f"{zsock.describe()}: cannot {what} a prefix of {size} bytes: at most {MAX_PREFIX} are "
        "accepted, since libzmq would overflow the stack; use the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
    )
