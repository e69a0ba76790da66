# Layer 7. The waits after bind and connect, unbind and disconnect, until libzmq has done its part.
#
# zmq_bind and zmq_connect leave a command in the socket's own mailbox: this listener, or this
# connection, is yours. Until the socket has read that, zmq_unbind and zmq_disconnect return 0 and
# leave open for good what they are to end (own.cpp, process_term_req). They read the mailbox
# before, but where an I/O thread has written a command and is yet to ring for it, nothing rings for
# the one behind (mailbox.cpp), and the mailbox seems empty. So the ring is waited for here. There
# will be one, for zmq_bind and zmq_connect have emptied the mailbox first.


cdef bint launches(SocketBase zsock, EndpointCall which, str endpoint) except -1:
    """Return True if a bind or connect has launched something, or rings for another reason.

    To read what rings harms nothing, and a socket may have thousands of endpoints to look through.
    """
    return (
        which == BIND or not zsock.kind.connects_once or ratchet_readable(zsock.fd)
        or ("connected to", endpoint, endpoint) not in zsock.endpoints
    )


cdef void take_launched(SocketBase zsock) noexcept:
    """Have libzmq read what a bind or connect has put into the mailbox, once it has rung."""
    cdef int events
    cdef size_t size = sizeof(events)
    while ratchet_wait(zsock.fd, -1, -1, LAUNCHED_WITHIN_MS) < 0 and zmq_errno() == EINTR:
        pass
    zmq_getsockopt(zsock.handle, ZMQ_EVENTS, &events, &size)


cdef void take_ended(SocketBase zsock) noexcept:
    """Have libzmq end the connections that an unbind or disconnect has given up.

    Their I/O thread asks the socket, which answers when it is used next: a socket that rests keeps
    them for so long, and what their peers send to it is lost. Where there is still something to
    send or, after an unbind, to receive, the question comes later, and is answered then.
    """
    cdef int events
    cdef size_t size = sizeof(events)
    cdef double until = monotonic() + ENDED_AFTER
    cdef int rang = ratchet_wait(zsock.fd, -1, -1, ENDED_WITHIN_MS)
    while rang != 0:
        zmq_getsockopt(zsock.handle, ZMQ_EVENTS, &events, &size)
        if monotonic() > until:
            break
        rang = ratchet_spin(zsock.fd, -1, -1, ENDED_QUIET)
