# Layer 7. The course of every call: try; if not now, queue, look, pause, and try again.
#
# The first tries stand in `quick_calls.pxi` and `call.pxi`; both come here when one says "not now"
# or the line is contended.

# Options of those whom a server may refuse.
cdef frozenset OF_CLIENTS = frozenset(("CURVE_SERVERKEY", "PLAIN_USERNAME"))


cdef object attempt(SocketBase zsock, const Operation *op, object arg, Caller me):
    """Perform ``op`` now or return NOT_NOW. The caller, ``me``, must be entitled to it.

    ``me`` may be None: the caller is then looked up where it matters.
    """
    cdef Line line = line_of(zsock, op)
    if line.owner is not None or line.aside is not None:
        make_way(zsock, line, me)
    if line.bypass_fast_path:
        if line is zsock.tx:
            before_send(zsock, op, arg)
        else:
            before_receive(zsock, me)
            if zsock.counts and zsock.parts is None:
                return NOT_NOW  # what has come since then is to be counted first
    return op.attempt(zsock, arg, me)


cdef inline object attempt_alone(
    SocketBase zsock, const Operation *op, object arg, Caller me
):
    """Perform ``op`` now or return NOT_NOW, for a caller that stands in no line.

    Done or failed, the others are looked for. After NOT_NOW the caller goes on, and whatever it
    does next looks for them.
    """
    cdef bint owed = True
    try:
        result = attempt(zsock, op, arg, me)
        owed = result is not NOT_NOW
        if owed and op == &RECV_MANY:  # it has counted itself in `touched`
            owed = False
            if zsock.waiting:
                zsock.settle()
        return result
    finally:
        if owed:
            zsock.after()


cdef object now_or_never(SocketBase zsock, const Operation *op, object arg, Caller me):
    """Make the second and last attempt of a call with timeout=0 when nobody is queued before it."""
    cdef Line line = line_of(zsock, op)
    # Send and receive see only what libzmq has noticed; a look makes it notice (4.3.4:
    # process_commands is throttled to once in about a millisecond on the send side).
    try:
        if line is zsock.tx and zsock.look() & TX:
            result = attempt(zsock, op, arg, me)
            if result is not NOT_NOW:
                return result
    finally:
        zsock.after()
    raise timed_out(zsock, line, 0)


cdef object try_in_line(
    SocketBase zsock, Waiter me, const Operation *op, object arg, bint tried, bint *knock
):
    """Do what a waiter does before it sleeps and whenever it was woken: try, if it may.

    Args:
        tried: the caller has just found that it cannot be done now.
        knock: set if nobody may tell when to try again (`REKNOCK`).
    """
    cdef Line line = me.line
    cdef int events
    knock[0] = False
    zsock.require("send" if line is zsock.tx else "receive")
    me.woken = False
    zsock.touched += 1  # by this try, or the one just before
    knock[0] = line.depends(me)
    if line.entitled(me) is not me:
        if line.leads(me):
            zsock.ring(zsock.look(), me)  # the leader watches the bell, so it has to look
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
            knock[0] = True
            return result
    return NOT_NOW


cdef object perform_now(SocketBase zsock, const Operation *op, object arg, double limit):
    """Perform an operation in the way of a blocking call."""
    breathe()
    if zsock.born != generation:
        zsock.require("send" if op.sends else "receive")
    if not line_of(zsock, op).contended and not (limit < 0 and is_empty(zsock, op)):
        result = attempt_alone(zsock, op, arg, None)
        if result is not NOT_NOW:
            return result
    return proceed(zsock, op, arg, limit)


cdef inline bint is_empty(SocketBase zsock, const Operation *op) noexcept:
    """Return True if a receive would find nothing: the last one took all, and the bell is silent.

    For speed: a try costs two more, and a system call. It looks at the bell instead of sleeping on
    it at once, since that releases the GIL; but not if it has slept a moment ago, for then it took
    all a moment ago.
    """
    if op.sends or zsock.empty_since != zsock.touched:
        return False
    return just_woken() or not ratchet_readable(zsock.fd)


cdef object proceed(SocketBase zsock, const Operation *op, object arg, double limit):
    """Go on with a blocking call: its line is contended, or a first try said not now."""
    cdef Line line = line_of(zsock, op)
    cdef bint tried = not line.contended
    if line.aside is not None and line.owner is None:
        take_back(zsock, line, caller_here())
    if (
        not tried and not line.contended or line.only_bypasses()
        or line.owner is not None and line.owner is caller_here()
    ):
        result = attempt_alone(zsock, op, arg, line.owner)
        if result is not NOT_NOW:
            return result
    if limit == 0 and not line.contended:
        return now_or_never(zsock, op, arg, None)
    return wait(zsock, line, op, arg, limit, None)


cdef object wait(
    SocketBase zsock, Line line, const Operation *op, object arg, double limit, Caller name
):
    """Queue, and try whenever woken, until it is done or the time is up.

    Args:
        name: whose message it is, if not that of the caller that waits.
    """
    # Otherwise it stands behind others or has more to do. Only in its turn does a request try.
    cdef bint tried = not line.contended and op != &REQUEST
    cdef unsigned int touched = zsock.touched
    cdef Waiter me
    cdef Caller own
    cdef double deadline
    cdef bint knock = False, owed = True
    try:
        me = waiter_here()  # may let other threads run
        owed = False  # it will leave the line
    finally:
        if owed:
            zsock.after()
    deadline = deadline_of(limit)
    own = me.caller
    if name is not None:
        me.caller = name
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
            if op == &REQUEST:
                me.pause(zsock, soon_if(knock, (<Request> arg).wakes_at()))
            else:
                me.pause(zsock, soon_if(knock, deadline))
    finally:
        zsock.leave(me)
        me.caller = own
        me.is_over()
        if op == &REQUEST:
            (<Request> arg).end()


cdef object timed_out(SocketBase zsock, Line line, double limit):
    """Make the exception for a call whose time is up."""
    if line is zsock.rx:
        what, remedy = "nothing came", "does a peer send, and is its endpoint the right one?"
    else:
        what, remedy = "no peer could take it", "is one connected, and does it receive?"
    return errors.Timeout(
        errno.ETIMEDOUT,
        f"{zsock.describe()}: {what} within {limit:g} s; {known_cause(zsock, remedy)} A longer "
        "timeout waits longer",
    )


cdef object known_cause(SocketBase zsock, otherwise):
    """Say what the connections are doing, if the socket knows; else what to check.

    That a server has refused it, only events tell, and to read those costs a socket more than its
    other parts together (docs/decisions/039-who-may-connect.md).
    """
    if zsock._peers is not None:
        return f"{zsock._peers.why()}."
    if zsock._judged is not None and not zsock._judged.isdisjoint(OF_CLIENTS):
        return (
            f"{otherwise} Make the socket with track_peers=True to learn whether the server has "
            "refused it."
        )
    return otherwise
