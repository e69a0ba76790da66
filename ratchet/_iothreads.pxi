# Which of libzmq's I/O threads serves a connection: names are looked up apart.
#
# libzmq looks a name up in the I/O thread that connects, with getaddrinfo(3), again before each
# attempt. If the name server does not answer, that takes many seconds, in which the thread does
# nothing else: no other connection of its moves a byte. So connections by name have threads of
# their own, in groups, and a host always has the same group. ZMQ_AFFINITY chooses among threads
# when libzmq connects or binds, and connections that are made again stay where they were
# (docs/decisions/024-names-apart.md).

cdef extern from *:
    """
    /* Bind or connect, served by one of these I/O threads (a mask; 0: by any) unless the socket's
       affinity says which; errno stays the call's. */
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

# How many groups of threads there are for names, each as large as `io_threads`: so many hosts have
# one to themselves, and what cannot be looked up stalls no other. An idle thread costs two
# descriptors and 8 KiB.
cdef int NAME_GROUPS = 4
# A mask of ZMQ_AFFINITY has this many bits.
cdef int AFFINITY_BITS = 64
# How many hosts are remembered with their group (a name and an int each); then it starts anew.
cdef int KNOWN_HOSTS = 1024

cdef dict host_groups = {}
cdef int next_group = 0


cdef int name_groups():
    """How many groups there are: fewer where the mask has no bits for them."""
    if io_threads == 0:
        return 0
    return max(0, min(NAME_GROUPS, AFFINITY_BITS // io_threads - 1))


cdef int all_threads():
    """How many I/O threads the context has."""
    return io_threads * (1 + name_groups())


cdef uint64_t threads_for(Core zsock, str endpoint) except? 1:
    """The threads for what connects to ``endpoint``, or binds (None: it looks nothing up)."""
    cdef int groups = name_groups()
    cdef uint64_t own
    if groups == 0:
        return 0
    own = (<uint64_t> 1 << io_threads) - 1
    host = None if endpoint is None else host_to_look_up(zsock, endpoint)
    return own if host is None else own << (io_threads * (1 + group_of(host, groups)))


cdef str host_to_look_up(Core zsock, str endpoint):
    """The name that libzmq will look up in its I/O thread, or None."""
    transport, _, address = endpoint.partition("://")
    if transport != "tcp":
        return None  # the others have no names, or are looked up by who calls connect
    try:
        proxy = os.fsdecode(zsock._get_bytes(ZMQ_SOCKS_PROXY, 1024).rstrip(b"\0"))
    except errors.Error:  # this libzmq has none
        proxy = ""
    host = (proxy or address.rpartition(";")[2]).rpartition(":")[0].strip("[]")
    return None if is_address(host) else host.lower()


cdef bint is_address(str host):
    """Is it an address in figures, which takes no look-up?"""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
            return True
        except (OSError, ValueError):
            pass
    return False


cdef int group_of(str host, int groups) except -1:
    """The group that serves a host: in turn, and from then on the same."""
    global next_group
    found = host_groups.get(host)
    if found is None:
        if len(host_groups) >= KNOWN_HOSTS:
            host_groups.clear()
        found = host_groups[host] = next_group
        next_group = (next_group + 1) % groups
    return found % groups
