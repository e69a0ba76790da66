# What bind has to do beside zmq_bind: a listener of the user's, and an endpoint given up just now.
#
# libzmq closes a listener in the background: zmq_close hands the socket to its reaper, which tells
# the I/O thread. Until both have run the endpoint is in use, and whoever binds to it gets
# EADDRINUSE, a third to a half of the time. So this process remembers what it has given up, and a
# bind to such an endpoint tries again for a while; any other EADDRINUSE is raised at once. An
# inproc name is taken back at `close` itself, where zmq_unbind only takes it out of libzmq's table.
# Of tcp and ipc it would end the connections as well, with what they have to send.

# How long (seconds) after it was given up an endpoint may be in use by what is left of its socket.
# On two cores that eight compilers shared, tcp needed 0.12 ms in the middle, and 2.6 ms was the
# longest of 1,000. A bind that waits in vain holds up its event loop no longer than this.
cdef double GIVEN_UP_FOR = 0.5
# How many of them are remembered: a broker that starts anew has hundreds.
cdef Py_ssize_t GIVEN_UP = 1024
# The first wait (seconds) before the next try, and the longest; each is twice the one before.
cdef double FIRST_NAP = 50e-6
cdef double LONGEST_NAP = 0.01
cdef tuple EVERY_HOST = ("*", "0.0.0.0", "[::]", "::")
given_up = collections.OrderedDict()  # endpoint, as libzmq resolved it -> when (monotonic)


cdef int give_up(str endpoint, str given) except -1:
    """It is free as soon as libzmq has closed its listener."""
    if given.startswith("ipc://*"):
        return 0  # its folder goes with it, so it cannot be bound to again
    given_up[endpoint] = monotonic()
    given_up.move_to_end(endpoint)
    while len(given_up) > GIVEN_UP:
        given_up.popitem(last=False)
    return 0


cdef int clash(str one, str other) except -1:
    """Can only one of two endpoints be listened on? 2: yes, 1: perhaps, 0: no."""
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
    """Does an open socket of this process listen there?"""
    cdef Core zsock
    for zsock in list(open_sockets):
        if zsock.handle == NULL:
            continue
        for how, at, _ in list(zsock.endpoints):
            if how == "bound to" and clash(endpoint, at) == 2:
                return True
    return False


cdef bint soon_free(str endpoint) except -1:
    """Is it in use by what is left of a socket that this process has just closed?"""
    cdef double now = monotonic()
    for other, when in reversed(list(given_up.items())):
        if now - when > GIVEN_UP_FOR:
            return False
        if clash(endpoint, other):
            return not listened_on(endpoint)
    return False


cdef bint left_by_us(str endpoint) except -1:
    """Is the listener at this ipc path one that this process has given up?

    A path can be taken over at once, and must be where a child that was forked before still holds
    the old listener. Linux tells who has called listen().
    """
    if not hasattr(socket, "SO_PEERCRED") or listened_on(endpoint):
        return False
    for other in list(given_up):
        if clash(endpoint, other) == 2:
            if listener_is_ours(endpoint[6:]):
                return True
            del given_up[other]  # another process was faster, so there is nothing to wait for
    return False


cdef bint listener_is_ours(str path) except -1:
    """Has this process called listen() for the socket at ``path``?"""
    asking = socket.socket(socket.AF_UNIX)
    try:
        asking.setblocking(False)
        if asking.connect_ex(os.fsencode(path)) != 0:
            return False
        peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4)  # a pid_t; two ids follow
        return int.from_bytes(peer, sys.byteorder) == os.getpid()
    except OSError:
        return False
    finally:
        asking.close()


cdef str path_fault(str endpoint):
    """Why must bind not have this ipc path?"""
    if not endpoint.startswith("ipc://") or endpoint[6:7] == "*" or os.name == "nt":
        return None
    why = file_fault(endpoint[6:])
    return None if why is LISTENS_THERE and left_by_us(endpoint) else why


cdef int bind_anew(Core zsock, bytes data, str endpoint) except -1:
    """zmq_bind; waits, without the GIL, for what this process has just given up."""
    cdef double nap = FIRST_NAP
    while True:
        try:
            why = path_fault(endpoint)
            if why is not None:
                raise errors.refusal(
                    errno.EADDRINUSE,
                    f"{zsock.describe()}: cannot bind to {endpoint!r}: {why}",
                )
            return zsock.endpoint_call(0, data, endpoint)
        except errors.Error as error:
            if error.errno != errno.EADDRINUSE or not soon_free(endpoint):
                raise
        sleep(nap)  # Ctrl-C ends it
        nap = min(2 * nap, LONGEST_NAP)


cdef class Listener:
    """A listening socket of the user's (``use_fd``), by a descriptor of ratchet's own.

    libzmq closes what it binds with, and ends the process when a descriptor is no listener any
    more. So each bind gets a new one, and this one stays for the next.
    """
    cdef Py_ssize_t fd
    cdef unsigned int born
    cdef bint local     # of ipc
    cdef readonly object name  # as getsockname() has it

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
        if self.fd >= 0 and self.born == generation:  # a child may have another one by that number
            ratchet_close(self.fd)

    cdef str where(self):
        """Its endpoint."""
        if self.local:
            name = self.name
            return f"ipc://@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"ipc://{name}"
        host = f"[{self.name[0]}]" if ":" in self.name[0] else self.name[0]
        return f"tcp://{host}:{self.name[1]}"

    cdef bint serves(self, str transport, str address) except -1:
        """Is it what such an endpoint means? libzmq does not look at the address."""
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
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


cdef Py_ssize_t duplicate(Py_ssize_t descriptor, what) except -1:
    try:
        return socket.dup(descriptor)
    except OSError as error:
        raise from_errno(error.errno, f"cannot {what}") from None


cdef int bind_listener(Core zsock, bytes data, str endpoint) except -1:
    """zmq_bind with the user's listener."""
    cdef Listener listener = zsock.listener
    cdef int rc, error, fd, none = -1
    cdef str what = f"bind to {endpoint!r}"
    transport, _, address = endpoint.partition("://")
    if not listener.serves(transport, address):
        raise errors.argument_error(
            f"{zsock.describe()}: cannot {what}: use_fd is a listener of {listener.where()}; bind "
            "to that, or set use_fd to None first"
        )
    zsock.alive(what)
    head_room(3, what)
    fd = duplicate(listener.fd, what)
    if os.name != "nt":
        # A peer that another process, or another bind, was faster to accept would stop libzmq's
        # I/O thread for good.
        os.set_blocking(fd, False)
    # No Python code from here on: what it binds would take the same descriptor.
    rc = zmq_setsockopt(zsock.handle, ZMQ_USE_FD, &fd, sizeof(fd))
    while rc == 0:
        rc = zmq_bind(zsock.handle, data)
        if rc == 0 or zmq_errno() != EINTR:
            break
        rc = 0
    error = zmq_errno()
    zmq_setsockopt(zsock.handle, ZMQ_USE_FD, &none, sizeof(none))
    if rc < 0:
        ratchet_close(fd)  # a bind that fails has not taken it (4.3.4, 4.3.5)
        raise zsock.fail(error, what)
    zsock.used = True
    return 0
