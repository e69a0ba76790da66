# Layer 4. Which endpoints are refused before libzmq sees them: those that it misreads or dies of.

cdef int check_endpoint(str endpoint) except -1:
    """Refuse what libzmq misreads or dies of; everything else is libzmq's to judge."""
    cdef str why = None
    transport, slashes, address = endpoint.partition("://")
    host, colon, port = address.rpartition(":")
    if "\0" in endpoint:
        why = "it has a NUL character in it"
    elif not slashes or not transport or not address:
        why = "the form is TRANSPORT://ADDRESS, such as 'tcp://*:1337'"
    elif transport == "tcp" and not (
        colon and (port in ("*", "!") or port.isascii() and port.isdigit() and int(port) < 65536)
    ):
        why = "a tcp endpoint ends with a port from 1 to 65535, or * to have one picked"
    elif transport == "norm":
        why = "ratchet does not use norm: libzmq 4.3 may abort the process"
    elif transport == "pgm" and not raw_socket_allowed():
        why = "pgm needs the right to open raw sockets; libzmq would abort the process"
    if why is not None:
        raise errors.argument_error(f"not an endpoint that can be used: {endpoint!r}; {why}")
    return 0


cdef bint ipc_taken(str endpoint):
    """Is this ipc path somebody's: one who listens, or a file? libzmq would delete it unasked."""
    if not endpoint.startswith("ipc://") or endpoint[6:7] in ("*", "@") or os.name == "nt":
        return False
    try:
        if not stat.S_ISSOCK(os.lstat(endpoint[6:]).st_mode):
            return True
    except (OSError, ValueError):
        return False  # nothing is there, or libzmq says more
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.setblocking(False)
        return probe.connect_ex(os.fsencode(endpoint[6:])) in (0, errno.EAGAIN)
    except OSError:
        return False  # such as a path that is too long, about which libzmq says more
    finally:
        probe.close()


cdef bint raw_socket_allowed():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 113).close()
    except OSError:
        return False
    return True
