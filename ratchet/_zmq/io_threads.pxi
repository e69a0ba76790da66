# Layer 4. The choice of an I/O thread for each connection, so that names are looked up apart.
#
# libzmq looks a name up in the I/O thread that connects, with getaddrinfo(3), again before each
# attempt. If the name server does not answer, that takes many seconds, in which the thread does
# nothing else: none of its other connections moves a byte. So connections by name have threads of
# their own, in groups, and a host always has the same group. ZMQ_AFFINITY chooses among threads
# when libzmq connects or binds; a connection that is lost and made again stays with its thread
# (docs/decisions/024-names-apart.md).

cdef extern from *:
    """
    /* Bind or connect, to be served by one of these I/O threads (a mask; 0: by any) unless the
       socket's own affinity says which. errno is that of the call afterwards. */
    static int ratchet_call_on(
            int (*call)(void *, const char *), void *s, const char *endpoint, uint64_t threads) {
        uint64_t chosen = 0;
        size_t size = sizeof(chosen);
        int rc, error;
        if (threads == 0 || zmq_getsockopt(s, ZMQ_AFFINITY, &chosen, &size) < 0 || chosen != 0)
            return call(s, endpoint);
        zmq_setsockopt(s, ZMQ_AFFINITY, &threads, sizeof(threads));
        rc = call(s, endpoint);
        error = errno;
        zmq_setsockopt(s, ZMQ_AFFINITY, &chosen, sizeof(chosen));
        errno = error;
        return rc;
    }
    """
    int ratchet_call_on(
        int (*call)(void *, const char *) noexcept nogil,
        void *s, const char *endpoint, uint64_t threads) noexcept

cdef int AFFINITY_BITS = 64  # of a mask of ZMQ_AFFINITY
cdef int io_threads = 1      # for connections without a name; `configure` sets it

cdef dict host_groups = {}   # a host -> its group
cdef int next_group = 0


cdef int name_groups():
    """Return how many groups there are: fewer if the mask has no bits for them all."""
    if io_threads == 0:
        return 0
    return max(0, min(NAME_GROUPS, AFFINITY_BITS // io_threads - 1))


cdef int all_threads():
    """Return how many I/O threads the context has."""
    return io_threads * (1 + name_groups())


cdef uint64_t threads_for(str endpoint) except? 1:
    """Return the mask of threads for a connection; 0: any.

    Args:
        endpoint: what it connects to; None for a bind, which looks nothing up.
    """
    cdef int groups = name_groups()
    cdef uint64_t own
    if groups == 0:
        return 0
    own = (<uint64_t> 1 << io_threads) - 1
    host = None if endpoint is None else host_to_look_up(endpoint)
    return own if host is None else own << (io_threads * (1 + group_of(host, groups)))


cdef str host_to_look_up(str endpoint):
    """Return the name that libzmq will look up in its I/O thread, or None."""
    transport, _, address = endpoint.partition("://")
    if transport != "tcp":
        return None  # other transports have no names, or look them up in the caller's thread
    host = address.rpartition(";")[2].rpartition(":")[0].strip("[]")
    return None if is_address(host) else host.lower()


cdef bint is_address(str host):
    """Return True for an address in figures, which takes no look-up."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
            return True
        except (OSError, ValueError):
            pass
    return False


cdef int group_of(str host, int groups) except -1:
    """Return the group that serves a host: the next in turn, and from then on the same."""
    global next_group
    found = host_groups.get(host)
    if found is None:
        if len(host_groups) >= KNOWN_HOSTS:
            host_groups.clear()
        found = host_groups[host] = next_group
        next_group = (next_group + 1) % groups
    return found % groups
