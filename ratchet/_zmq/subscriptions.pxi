# Layer 6. A publisher that knows its subscribers: what they send is taken in, and counted.
#
# Such a PUB is an XPUB to libzmq, which puts what subscribers send into a queue without a limit. It
# is taken in with every 32nd send, before each receive, and at each look.

cdef int take_in_subscriptions(SocketBase zsock) except -1:
    """Take in what subscribers have sent, and keep what the program shall receive.

    Counting lets other threads run. One that looks meanwhile, and so silences the descriptor, has
    this one go on.

    Returns:
        1, or 0: another thread is at it.
    """
    if zsock.taking_in:
        zsock.takes_more = True
        return 0
    zsock.taking_in = zsock.takes_more = True
    try:
        while zsock.takes_more:
            zsock.takes_more = False
            take_in_now(zsock)
    finally:
        zsock.taking_in = False
    return 1


cdef int take_in_now(SocketBase zsock) except -1:
    """Take in what is there by now."""
    cdef zmq_msg_t msg
    cdef list taken = []
    cdef int fd
    while zsock.born == generation and take(zsock, &msg):
        fd = zmq_msg_get(&msg, ZMQ_SRCFD)  # -1: over inproc, and from who has gone
        taken.append((fd, take_rest(zsock, &msg, zsock.kind.receives)))
    if not taken:
        return 0
    kept = zsock._peers.subscribed(taken)
    if kept and zsock.kind.receives:
        for parts in kept:
            parts.reverse()
        zsock.prefetched = [*(zsock.prefetched or ()), *kept]
        zsock.update_bypass()
    return 0
