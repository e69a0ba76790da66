# Layer 6. A publisher that knows its subscribers: what they send is taken in, and counted.
#
# Such a PUB is an XPUB to libzmq, which puts what subscribers send into a queue without a limit. It
# is taken in with every 32nd send, before each receive, and at each look.

cdef int take_in_subscriptions(SocketBase zsock) except -1:
    """Take in what subscribers have sent, and keep what the program shall receive."""
    cdef zmq_msg_t msg
    cdef list taken = None
    cdef int fd
    if zsock.taking_in:
        return 0
    zsock.taking_in = True
    try:
        while zsock.born == generation and take(zsock, &msg):
            fd = zmq_msg_get(&msg, ZMQ_SRCFD)  # -1: over inproc, and from who has gone
            parts = take_rest(zsock, &msg, zsock.kind.receives)
            if taken is None:
                taken = []
            taken.append((fd, parts))
        if taken is not None:
            kept = zsock._peers.subscribed(taken)
            if kept and zsock.kind.receives:
                for parts in kept:
                    parts.reverse()
                zsock.prefetched = [*(zsock.prefetched or ()), *kept]
                zsock.update_bypass()
    finally:
        zsock.taking_in = False
    return 0
