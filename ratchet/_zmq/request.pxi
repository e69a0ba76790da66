# Layer 6. A request and the answer to it, on a REQ: in turn, tried again, mistaken for no other.
#
# A request is one call that stands in the line for sending from its first try to its answer, so
# requests and sends of others queue up behind it; and it owns the line for receiving, so nobody
# else takes the answer. What the line is rung for changes on the way: room to send, then something
# to receive. That is all there is to a turn. Who has it may lose it: another call goes first if the
# runtime of this one stops, or if this one cannot go on before that does (a signal handler's). Then
# the request is sent once more when the turn comes back, for what is received is an answer to what
# was sent last.
#
# libzmq does the rest: with req_relaxed a REQ may send before it has received, and with
# req_correlate it drops whatever is no answer to what it sent last (req.cpp, 4.3.4).

cdef class Request:
    """One request: what is asked, how often, and where it stands."""
    cdef SocketBase zsock
    cdef list parts
    cdef bint joined      # the answer's parts are
    cdef double limit     # seconds for each try; negative: for ever
    cdef Py_ssize_t left  # tries after this one
    cdef Py_ssize_t tries
    cdef Caller caller    # who has the turn, or had it
    cdef bint sent
    cdef double until     # the end of this try, in monotonic seconds

    def __init__(self, SocketBase zsock not None, data, double limit):
        self.zsock, self.limit = zsock, limit
        self.joined = not isinstance(data, (list, tuple))
        self.parts = [snapshot(data)] if self.joined else to_messages(data, "parts")
        if not self.parts:
            raise errors.argument_error("a message has at least one part; b'' is one")

    cdef int set_retries(self, retries) except -1:
        """Take the number of tries after the first."""
        if not is_whole(retries):
            raise TypeError(f"retries is a number of tries, not {kind_of(retries)}")
        if not 0 <= retries < 1 << 62:
            raise errors.argument_error(f"retries is a number from 0 up, not {retries}")
        if retries and self.limit < 0:
            raise errors.argument_error(
                "retries without a timeout: the first try would wait for ever; give timeout=, the "
                "seconds for each try, or set_timeout()"
            )
        self.left = retries
        return 0

    cdef bint has_turn(self):
        """Return True if nothing was sent or received by others since its turn began."""
        cdef SocketBase zsock = self.zsock
        return (
            zsock.asking is self and zsock.rx.owner is self.caller
            and (not self.sent or zsock.asked & BY_REQUEST != 0)
        )

    cdef double wakes_at(self):
        """Return when to go on though nothing rang, in monotonic seconds."""
        return self.until if self.zsock.asking is self else INFINITY

    cdef int end(self) except -1:
        """Give up the turn, if it has it, and let the next one have it."""
        cdef SocketBase zsock = self.zsock
        if zsock.asking is not self:
            return 0
        zsock.asking = None
        zsock.tx.event = TX
        if zsock.rx.owner is self.caller and zsock.parts is None:
            zsock.set_owner(zsock.rx, None)
        if zsock.waiting:
            zsock.ring(zsock.look() | TX, None)
        return 0


cdef bint begin_turn(SocketBase zsock, Request asked, Caller me) except -1:
    """Have the turn; False: not now, for somebody else is in the middle of receiving a message."""
    cdef Request before = zsock.asking
    if zsock.rx.owner is not None and before is not None and zsock.rx.owner is before.caller:
        if zsock.parts is None:
            zsock.set_owner(zsock.rx, None)  # its turn is over, since it is not first any more
    if zsock.rx.owner is not None or zsock.rx.aside is not None:
        make_way(zsock, zsock.rx, me)
    if zsock.rx.owner is not None and zsock.rx.owner is not me:
        return False
    if zsock.parts is not None:
        raise not_between(zsock, "the rest of an answer is still to be received: recv() it")
    if zsock.held is not None:
        raise not_between(zsock, "a message is half sent: send its last part, and receive")
    refuse_if_due(zsock)
    relax(zsock)
    zsock.asking = asked
    zsock.set_owner(zsock.rx, me)
    asked.caller, asked.sent = me, False
    asked.until = deadline_of(asked.limit)
    return True


cdef object not_between(SocketBase zsock, why):
    return errors.StateError(errno.EBUSY, f"{zsock.describe()}: cannot request now: {why} first")


cdef int refuse_if_due(SocketBase zsock) except -1:
    """Raise if the answer to a plain send is due: it would be dropped."""
    cdef zmq_msg_t msg
    cdef int error = EAGAIN
    if zsock.prefetched is None:
        if zsock.asked & BY_REQUEST or not zsock.asked & SENT:
            return 0
        zmq_msg_init(&msg)
        zsock.touched += 1
        while zmq_msg_recv(&msg, zsock.handle, ZMQ_DONTWAIT) < 0:
            error = zmq_errno()
            if error == EFSM:
                return 0
            if error == EAGAIN:
                break
            if error != EINTR:
                raise zsock.fail(error, "request")
        else:  # it is there, and stays so
            message = take_rest(zsock, &msg, True)
            message.reverse()
            zsock.prefetched = [message]
            zsock.update_bypass()
    zsock.after()
    raise not_between(zsock, "the answer to what was sent before is still due: recv() it")


cdef int relax(SocketBase zsock) except -1:
    """Let the socket send before it has received, and drop what is no answer to that."""
    cdef int one = 1
    cdef dict known = zsock._remembered
    if known is not None and known.get("REQ_RELAXED") and known.get("REQ_CORRELATE"):
        return 0
    zmq_setsockopt(zsock.handle, ZMQ_REQ_RELAXED, &one, sizeof(one))
    zmq_setsockopt(zsock.handle, ZMQ_REQ_CORRELATE, &one, sizeof(one))
    zsock._remembered = {**(known or {}), "REQ_RELAXED": True, "REQ_CORRELATE": True}
    # Who is next in line can begin its turn at once, whether or not there is room to send.
    zsock.tx.handed_on = TX
    return 0


cdef bint ask(SocketBase zsock, Request asked) except -1:
    """Send it now; False: no peer can take it."""
    try:
        # Send sees only what libzmq has noticed; a look makes it notice.
        if not put_all(zsock, asked.parts):
            if not (zsock.look() & TX and put_all(zsock, asked.parts)):
                return False
    except errors.Error as error:
        if error.errno != EHOSTUNREACH:
            raise
        # The peer left between two parts. libzmq goes on with that message: end it.
        zmq_send(zsock.handle, NULL, 0, ZMQ_DONTWAIT)
        return False
    zsock.asked |= BY_REQUEST
    asked.tries += 1
    return True


cdef object try_request(SocketBase zsock, object arg, Caller me):
    cdef Request asked = arg
    if me is None or type(me) is Caller:
        return NOT_NOW  # a turn begins in the line
    if not asked.has_turn() and not begin_turn(zsock, asked, me):
        return NOT_NOW
    while True:
        if not asked.sent:
            asked.sent = ask(zsock, asked)
        if asked.sent:
            found = (
                try_recv_all(zsock, None, me) if asked.joined
                else try_recv_multipart(zsock, None, me)
            )
            if found is not NOT_NOW:
                asked.end()
                return found
        if monotonic() < asked.until:
            zsock.tx.event = RX if asked.sent else TX
            return NOT_NOW
        if asked.left == 0:
            raise unanswered(zsock, asked)
        asked.left -= 1
        asked.sent = False
        asked.until = deadline_of(asked.limit)


cdef object unanswered(SocketBase zsock, Request asked):
    """Make the exception for a request of which all tries were in vain."""
    if asked.tries == 0:
        what, remedy = "no peer could take the request", "is one connected, and does it receive?"
    else:
        times = "once" if asked.tries == 1 else f"{asked.tries} times"
        what, remedy = f"no answer to a request that was sent {times}", "does a server answer?"
    return errors.Timeout(
        errno.ETIMEDOUT,
        f"{zsock.describe()}: {what}, within {asked.limit:g} s each time; "
        f"{known_cause(zsock, remedy)} A longer timeout waits longer, and retries send again",
    )


cdef Operation REQUEST = operation(b"request", True, False, try_request)
