# Layer 4. Paths of ipc that are refused: those where a file or another listener is.
#
# Before it binds, libzmq removes whatever is at the path, without asking (ipc_listener.cpp).

cdef str LISTENS_THERE = "another socket listens there: close it first, or choose another path"


cdef str file_fault(str path):
    """Find why bind must not have this path: only what a dead socket has left may be removed."""
    cdef int answer
    # For an abstract endpoint, libzmq tries to remove a file of that name as well.
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return None  # nothing is there, or libzmq says more
    if path.startswith("@"):
        return f"libzmq would remove the file {path!r} here; choose another name"
    if not stat.S_ISSOCK(mode):
        return f"{kind_of_file(mode)} is there: remove it, or choose another path"
    answer = probe(path)
    if answer in (errno.ECONNREFUSED, errno.ENOENT):
        return None
    if answer == errno.EACCES:
        return "a socket is there that this user may not write to: choose another path"
    if answer == errno.ENAMETOOLONG:
        return "a socket is there, and the path is too long to ask whose: bind to a shorter one"
    return LISTENS_THERE


cdef str no_socket_fault(str path):
    """Find why no listener can ever be at this path, to which connect shall go."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None  # it may be made later
    if not stat.S_ISSOCK(mode):
        return f"{kind_of_file(mode)} is there, where no peer can listen"
    if probe(path) == 0:
        return "a datagram socket is there; ZeroMQ speaks to stream sockets alone"
    return None


cdef int probe(str path):
    """Return the errno of connecting a datagram socket to a path, which no listener notices.

    EPROTOTYPE: the socket there is of another kind and alive, listening or not. ECONNREFUSED: the
    process that made the path has closed its socket.
    """
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        asking.setblocking(False)
        return asking.connect_ex(os.fsencode(path))
    except OSError:
        return errno.ENAMETOOLONG  # Python says so without a number
    finally:
        asking.close()


cdef str kind_of_file(mode):
    """Name the kind of a file that is no socket."""
    for test, kind in (
        (stat.S_ISREG, "a file"), (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISLNK, "a symbolic link"),
    ):
        if test(mode):
            return kind
    return "a device"
