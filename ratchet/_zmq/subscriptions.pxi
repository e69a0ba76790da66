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
    cdef PeersBase peers = zsock._peers
    if peers.taking_in:
        peers.takes_more = True
        return 0
    peers.taking_in = peers.takes_more = True
    try:
        while peers.takes_more:
            peers.takes_more = False
            take_in_now(zsock, peers)
    except BaseException:  # as a signal handler raises, while events are read in Python
        peers.taking_in = False
        peers.wake_all()  # they go on with what is left
        raise
    peers.taking_in = False
    return 1


cdef int take_in_now(SocketBase zsock, PeersBase peers) except -1:
    """Take in what is there by now, and what an exception has left uncounted.

    Between two portions other threads run, and signal handlers: who sends without a rest must not
    have this process do nothing else.
    """
    cdef bint more = True, any = False
    if peers._taken:  # before newer ones: a number may have become another connection's
        any = True
        peers.before_counting()
        count_taken(zsock, peers)
    while more:
        more = take_portion(zsock, peers)
        if peers._taken:
            any = True
            peers.before_counting()
            count_taken(zsock, peers)
    if any:
        peers.subscriptions.read()
    return 0


cdef bint take_portion(SocketBase zsock, PeersBase peers) except -1:
    """Take up to TAKEN_AT_ONCE messages; return False if no more are there."""
    cdef zmq_msg_t msg
    cdef int fd, left = TAKEN_AT_ONCE
    while left > 0:
        if zsock.born != generation or not take(zsock, &msg):
            return False
        fd = zmq_msg_get(&msg, ZMQ_SRCFD)  # -1: over inproc, and from who has gone
        peers._taken.append((fd, take_rest(zsock, &msg, zsock.kind.receives)))
        left -= 1
    return True


cdef int count_taken(SocketBase zsock, PeersBase peers) except -1:
    """Count what was taken, each once, and have the program receive what it shall.

    No Python code runs in between, so no exception of a signal handler's comes here.
    """
    cdef list parts
    while peers._taken and zsock.born == generation:
        fd, parts = peers._taken.popleft()
        if peers.counted(fd, parts) and zsock.kind.receives:
            parts.reverse()
            if zsock.prefetched is None:
                zsock.prefetched = []
            zsock.prefetched.append(parts)
    zsock.update_bypass()
    peers.wake_all()
    return 0
