# Layer 7. The needs of bind beside zmq_bind: endpoints given up just now, the program's listeners.
#
# libzmq closes a listener in the background: zmq_close hands the socket to its reaper, which tells
# the I/O thread. Until both have run the endpoint is in use, and another bind to it fails with
# EADDRINUSE, a third to a half of the time. So this process remembers what it has given up, and a
# bind to such an endpoint tries again for a while; any other EADDRINUSE is raised at once. An
# inproc name is given back by `close` itself, where zmq_unbind only takes it out of libzmq's table.
# For tcp and ipc zmq_unbind would end the connections as well, with what they have to send.

cdef tuple EVERY_HOST = ("*", "0.0.0.0", "[::]", "::")
given_up = OrderedDict()  # an endpoint, as libzmq resolved it -> when (monotonic)


cdef int give_up(str endpoint, str given) except -1:
    """Remember that an endpoint is free as soon as libzmq has closed its listener."""
    if given.startswith("ipc://*"):
        return 0  # its folder goes with it, so it cannot be bound to again
    given_up[endpoint] = monotonic()
    given_up.move_to_end(endpoint)
    while len(given_up) > GIVEN_UP:
        given_up.popitem(last=False)
    return 0


cdef int clash(str one, str other) except -1:
    """Return 2 if only one of two endpoints can be listened on, 1 if perhaps, 0 if both can."""
    if one == other:
        return 2
    transport, _, where = one.partition("://")
    same, _, there = other.partition("://")
    if transport != same:
        return 0
    if transport == "ipc" and where[:1] != "@" and there[:1] != "@":
        return 2 if os.path.abspath(where) == os.path.abspath(there) else 0
    host, _, port = where.rpartition(":")
    place, _, gate = there.rpartition(":")
    if transport != "tcp" or not (port.isdigit() and gate.isdigit()) or int(port) != int(gate):
        return 0
    if host == place or host in EVERY_HOST or place in EVERY_HOST:
        return 2
    # The name of a host or of an interface may be that address; two addresses are two.
    return 0 if host[:1] in "[0123456789" and place[:1] in "[0123456789" else 1


cdef bint listened_on(str endpoint) except -1:
    """Return True if an open socket of this process listens there."""
    cdef SocketBase zsock
    for zsock in list(open_sockets):
        if zsock.handle == NULL:
            continue
        for how, at, _ in list(zsock.endpoints):
            if how == "bound to" and clash(endpoint, at) == 2:
                return True
    return False


cdef bint soon_free(str endpoint, double slept) except -1:
    """Return True if the endpoint is in use by what is left of a socket closed just now.

    After so many seconds of sleep in vain, another process has it.
    """
    cdef double now = monotonic()
    for other, when in reversed(list(given_up.items())):
        if now - when > GIVEN_UP_FOR:
            return False
        if clash(endpoint, other):
            if slept < FREE_WITHIN:
                return not listened_on(endpoint)
            given_up.pop(other, None)
    return False


cdef bint left_by_us(str endpoint) except -1:
    """Return True if this process has given up the listener at this ipc path.

    A path can be taken over at once. It has to be if a child that was forked before still holds the
    old listener. Linux tells which process has called listen().
    """
    cdef long long process
    if not hasattr(socket, "SO_PEERCRED") or listened_on(endpoint):
        return False
    for other in list(given_up):
        if clash(endpoint, other) == 2:
            process = process_listening(endpoint[6:])
            if process == 0 or process == os.getpid():
                return True
            given_up.pop(other, None)  # another process was faster, so there is nothing to wait for
    return False


cdef long long process_listening(str path) except -2:
    """Return which process has called listen() for the socket at ``path``; 0: none listens there.

    None may listen there any more although a probe has just found a listener: libzmq closes what
    this process has given up at any time. -1: it cannot be told.
    """
    asking = socket.socket(socket.AF_UNIX)
    try:
        asking.setblocking(False)
        answer = asking.connect_ex(os.fsencode(path))
        if answer in (errno.ECONNREFUSED, errno.ENOENT):
            return 0
        if answer != 0:
            return -1
        peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4)  # a pid_t; ids follow
        return int.from_bytes(peer, sys.byteorder, signed=True)
    except OSError:
        return -1
    finally:
        asking.close()


cdef str path_fault(str endpoint):
    """Find why bind must not have this ipc path."""
    if not endpoint.startswith("ipc://") or endpoint[6:7] == "*" or os.name == "nt":
        return None
    why = file_fault(endpoint[6:])
    return None if why is LISTENS_THERE and left_by_us(endpoint) else why


cdef class Listener:
    """A listening socket of the program's (``use_fd``), by a descriptor of ratchet's own.

    libzmq closes the descriptor that it binds with, and ends the process when one is no listener
    any more. So each bind gets a new one, and this one stays for the next.
    """
    cdef Py_ssize_t fd
    cdef unsigned int born
    cdef bint local            # it is one of ipc
    cdef readonly object name  # as getsockname() returns it

    def __cinit__(self, descriptor):
        self.fd = -1
        self.born = generation
        self.fd = duplicate(descriptor, "use it as a listener")
        probe = socket.socket(fileno=self.fd)
        try:
            self.local = probe.family == getattr(socket, "AF_UNIX", None)
            self.name = probe.getsockname()
        finally:
            probe.detach()

    def __dealloc__(self):
        if self.fd >= 0 and self.born == generation:  # in a child, another file may have the number
            ratchet_close(self.fd)

    cdef str where(self):
        """Return its endpoint."""
        if self.local:
            name = self.name
            return f"ipc://@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"ipc://{name}"
        host = f"[{self.name[0]}]" if ":" in self.name[0] else self.name[0]
        return f"tcp://{host}:{self.name[1]}"

    cdef bint serves(self, str transport, str address) except -1:
        """Return True if such an endpoint means this listener: libzmq does not check that."""
        if (transport == "ipc") != self.local:
            return False
        if self.local:
            where = self.where()
            path = where[6:]
            if address == "*" or address == path:
                return True
            return address[:1] != "@" and path[:1] != "@" and (
                os.path.abspath(address) == os.path.abspath(path) or same_file(address, path))
        port = address.rpartition(":")[2]
        return not port.isdigit() or int(port) in (0, self.name[1])


cdef bint same_file(one, other) except -1:
    """Return True if two paths lead to one file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


cdef Py_ssize_t duplicate(Py_ssize_t descriptor, what) except -1:
    """Return a second descriptor of a socket."""
    try:
        return socket.dup(descriptor)
    except OSError as error:
        raise from_errno(error.errno, f"cannot {what}") from None
