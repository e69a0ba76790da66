# Layer 4. The process's context: made with the first socket, sized by `configure`.

cdef void *context = NULL
cdef int max_sockets = 0  # 0: as many as libzmq can
open_sockets = WeakSet()     # of this process, for the exit
closing_handles = WeakSet()  # of sockets that are closed but for their descriptor
# What a child of multiprocessing has to call before it ends (`exit.pxi` sets it).
cdef object at_child_exit = None
# A descriptor that is given back at the end, when libzmq may need one to end (ctx.cpp, 4.3.4).
cdef int reserve = -1


cdef int head_room(int count, what) except -1:
    """Raise unless the process can open ``count`` more descriptors; libzmq would abort."""
    found = []
    try:
        for _ in range(count):
            found.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise from_errno(error.errno, f"cannot {what}") from None
    finally:
        for fd in found:
            os.close(fd)
    return 0


cdef int resolver_room(what) except -1:
    """Raise unless a name can be resolved: what `head_room` does, at each bind and connect."""
    cdef int error = ratchet_room(RESOLVER_ROOM)
    if error < 0:
        return head_room(RESOLVER_ROOM, what)
    if error > 0:
        raise from_errno(error, f"cannot {what}")
    return 0


cdef int thread_room(int count, what) except -1:
    """Raise unless the process can start ``count`` threads; libzmq would abort."""
    # Twice as many: one that has just ended may still be counted for a moment.
    cdef int error = ratchet_try_threads(2 * count)
    if error:
        raise errors.Error(
            error,
            f"cannot {what}: no thread can be started ({os.strerror(error)}); end others, or raise "
            "the limit of this user's processes (ulimit -u), of memory, or of the container",
        )
    return 0


cdef void *the_context() except NULL:
    """Return the process's context, which is made for the first socket."""
    global context, reserve
    refuse_at_exit()
    if context != NULL:
        return context
    context_room(all_threads())
    if context != NULL:  # another thread was faster, while this one opened descriptors
        return context
    fresh = zmq_ctx_new()
    if fresh == NULL:
        raise from_errno(zmq_errno(), "cannot start libzmq")
    zmq_ctx_set(fresh, ZMQ_MAX_SOCKETS, zmq_ctx_get(fresh, ZMQ_SOCKET_LIMIT))
    zmq_ctx_set(fresh, ZMQ_IO_THREADS, all_threads())
    context = fresh
    reserve = os.open(os.devnull, os.O_RDONLY)
    note_context()
    return context


cdef int refuse_at_exit() except -1:
    """Raise if it is too late for a socket."""
    if exiting:
        end_quietly()
        raise errors.ClosedError(errors.ETERM, "cannot make a socket: the interpreter is exiting")
    return 0


cdef int context_room(int threads) except -1:
    """Raise unless a context with so many I/O threads can start; libzmq would abort."""
    head_room(HEAD_ROOM + 2 * threads, "start libzmq")
    return thread_room(1 + threads, "start libzmq")  # its reaper as well


cdef int note_context() except -1:
    """Prepare the exit of a process that has a context."""
    open_ledger()
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Its children may end with os._exit, without atexit and before their threads. Of its own
        # exit handlers this is the last, whatever others are registered.
        sys.modules["multiprocessing.util"].Finalize(
            None, at_child_exit, exitpriority=-sys.maxsize)
    return 0


cdef str open_rule = "allow"  # what a bind does that lets in strangers; `configure` sets it


def configure(*, io_threads=None, max_sockets=None, spin=None, open_sockets=None):
    """Set up the process's context, before the first socket is made.

    Args:
        io_threads (int): libzmq's threads for sockets' traffic (zmq_ctx_set(3); default 1). One
            moves about a gigabyte a second. Connections to hosts by name have four times as many
            to themselves, since looking a name up stalls a thread.
        max_sockets (int): how many sockets may be open at once (default: libzmq's limit, 65,535).
        spin (float): how many seconds a receive that follows a send may look for the answer
            before it sleeps, as long as answers come so soon (default 0.0001; 0: never).
        open_sockets (str): what a bind does on a tcp endpoint that other machines reach and nothing
            protects: "allow" (the default), "warn" (a RuntimeWarning) or "refuse" (an Error,
            EACCES). At any time, for the binds after it.

    Raises:
        StateError: a socket was made already, for all but ``open_sockets``.
    """
    global open_rule
    if open_sockets is not None and open_sockets not in ("allow", "warn", "refuse"):
        raise errors.argument_error(
            f"open_sockets must be 'allow', 'warn' or 'refuse', not {open_sockets!r}")
    if (
        io_threads is not None or max_sockets is not None or spin is not None
        or open_sockets is None
    ):
        settings(io_threads, max_sockets, spin)
    if open_sockets is not None:
        open_rule = str.__str__(open_sockets)


def rule_for_open_sockets():
    """Return what `configure` has set for ``open_sockets``."""
    return open_rule


cdef int settings(threads, sockets, seconds) except -1:
    """Check and store what `configure` got."""
    global io_threads, max_sockets, spin
    cdef double number
    if context != NULL:
        raise errors.StateError(
            errno.EBUSY, "configure() must be called before the first socket is made"
        )
    for name, value, least in (("io_threads", threads, 0), ("max_sockets", sockets, 1)):
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {kind_of(value)}")
        if not least <= value <= 65535:
            raise errors.argument_error(f"{name} must be from {least} to 65535, not {value}")
    if seconds is not None:
        try:
            number = to_number(seconds)
        except TypeError:
            raise TypeError(f"spin must be a number of seconds, not {kind_of(seconds)}") from None
        except ValueError:
            number = -1
        if not 0 <= number <= 1:
            raise errors.argument_error(f"spin must be from 0 to 1 s, not {seconds}")
        spin = number
    if threads is not None:
        io_threads = threads
    if sockets is not None:
        max_sockets = sockets
    return 0
