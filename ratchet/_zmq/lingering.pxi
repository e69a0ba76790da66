# Layer 4. Closed sockets whose messages may still have to leave, so that the exit waits for them.

# Rows of: when the linger ends (monotonic seconds); the descriptor that libzmq closes when it has
# delivered all; the socket's type and endpoints; True if the exit waits only so long for it, and no
# longer than `DEFAULT_LINGER` (of a socket in a context of the program's own).
lingering = []
cdef int linger_ledger = -1  # it knows these descriptors (`platform.pxi`)
cdef unsigned int ledger_born = 0  # the process generation that made it
cdef Py_ssize_t many_linger = LINGERING  # from which on it is looked which are done


cdef void open_ledger() noexcept:
    """Have a ledger of this process's, before its first socket."""
    global linger_ledger, ledger_born
    if ledger_born != generation:
        linger_ledger = ratchet_ledger()
        ledger_born = generation


cdef int note_linger(
    void *handle, Py_ssize_t fd, str type, list endpoints, bint bounded
) except -1:
    """Remember a socket that is being closed and has sent, unless it does not linger."""
    global many_linger
    cdef int ms = 0
    cdef size_t size = sizeof(ms)
    cdef double until
    if zmq_getsockopt(handle, ZMQ_LINGER, &ms, &size) < 0 or ms == 0:
        return 0
    until = INFINITY if ms < 0 else monotonic() + ms * 0.001
    lingering.append((until, ratchet_enter(linger_ledger, fd), type, endpoints, bounded))
    if len(lingering) > many_linger:
        anything_lingers()
        many_linger = max(LINGERING, 2 * len(lingering))
    return 0


cdef bint anything_lingers():
    """Forget what is delivered or given up; return True if anything is left."""
    cdef double now = monotonic()
    lingering[:] = [
        entry for entry in lingering
        if entry[0] > now and not ratchet_is_closed(linger_ledger, entry[1])
    ]
    return len(lingering) > 0


def still_lingers():
    """Return True while a closed socket has messages left to deliver, and time left for it."""
    return anything_lingers()


cdef int bound_lingers() except -1:
    """At the exit, wait no longer than `DEFAULT_LINGER` for those that are bounded."""
    cdef double latest = monotonic() + DEFAULT_LINGER
    lingering[:] = [
        (min(until, latest) if bounded else until, fd, kind, ends, bounded)
        for until, fd, kind, ends, bounded in lingering
    ]
    return 0
