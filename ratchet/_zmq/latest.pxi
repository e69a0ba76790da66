# Layer 6. Receiving only the newest message.

cdef list newest(SocketBase zsock, Caller me):
    """Take every message that is there and return the parts of the last; None for not now.

    libzmq does not tell how many are queued. Messages that arrive meanwhile count as well, so a
    time limit ends it beside a sender that never rests.
    """
    cdef double began = 0
    cdef Py_ssize_t count = 0
    found = None
    while True:
        if zsock.prefetched is not None and zsock.parts is None:
            begin_prefetched(zsock, me)
        if zsock.counts and zsock.parts is None:
            return found
        try:
            newer = try_recv_multipart(zsock, None, me)
        except (errors.Error, MemoryError):
            if found is None:
                raise
            return found  # the next call raises it
        if newer is NOT_NOW:
            return found
        found = newer
        count += 1
        if count % BATCH == 0:
            zsock.after()
            if zsock.born != generation or zsock.rx.owner is not None:
                return found
            if began == 0:
                began = monotonic()
            elif monotonic() - began > LONGEST_BATCH:
                return found


cdef object try_recv_latest(SocketBase zsock, object arg, Caller me):
    found = newest(zsock, me)
    return NOT_NOW if found is None else found[0] if len(found) == 1 else b"".join(found)


cdef object try_recv_latest_multipart(SocketBase zsock, object arg, Caller me):
    found = newest(zsock, me)
    return NOT_NOW if found is None else found


cdef Operation RECV_LATEST = operation(b"recv_latest", False, False, try_recv_latest)
cdef Operation RECV_LATEST_MULTIPART = operation(
    b"recv_latest_multipart", False, False, try_recv_latest_multipart)
