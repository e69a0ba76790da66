# The life of the process: the hidden context, forks, the exit, and what the library can do.

import collections
import sys

cdef extern from "Python.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() noexcept
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) noexcept
    int PyThread_acquire_lock_timed(
        PyThread_type_lock lock, long long microseconds, int interruptible) noexcept
    void PyThread_release_lock(PyThread_type_lock lock) noexcept
    unsigned long PyThread_start_new_thread(void (*run)(void *) noexcept, void *arg) noexcept

# What the line on stderr can name: sockets closed with messages that may not have left yet.
closed_lately = collections.deque(maxlen=8)
# How long (seconds) the exit stays silent; delivering over a live connection takes far less.
cdef double SILENT = 1.0


cdef void *the_context() except NULL:
    """The process's context, made when the first socket is."""
    global context
    if context != NULL:
        return context
    if exiting:
        raise errors.ClosedError(ETERM, "cannot make a socket: the interpreter is exiting")
    spare = []
    try:
        for _ in range(HEAD_ROOM + 2 * io_threads):
            spare.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise from_errno(error.errno, "cannot start libzmq") from None
    finally:
        for fd in spare:
            os.close(fd)
    fresh = zmq_ctx_new()
    if fresh == NULL:
        raise from_errno(zmq_errno(), "cannot start libzmq")
    zmq_ctx_set(fresh, ZMQ_MAX_SOCKETS, max_sockets or zmq_ctx_get(fresh, ZMQ_SOCKET_LIMIT))
    zmq_ctx_set(fresh, ZMQ_IO_THREADS, io_threads)
    context = fresh
    if "multiprocessing.util" in sys.modules:
        # Its children end with os._exit and without atexit.
        sys.modules["multiprocessing.util"].Finalize(None, _exit, exitpriority=0)
    return context


def configure(*, io_threads=None, max_sockets=None):
    """Set up the process's context, before the first socket is made.

    Args:
        io_threads (int): libzmq's threads for sockets' traffic (zmq_ctx_set(3); default 1). One
            moves about a gigabyte a second.
        max_sockets (int): how many sockets may be open at once (default: libzmq's limit, 65,535).

    Raises:
        StateError: a socket was made already.
    """
    global_settings(io_threads, max_sockets)


cdef int global_settings(threads, sockets) except -1:
    global io_threads, max_sockets
    if context != NULL:
        raise errors.StateError(
            errno.EBUSY, "configure() must be called before the first socket is made"
        )
    for name, value, least in (("io_threads", threads, 0), ("max_sockets", sockets, 1)):
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {type(value).__name__}")
        if not least <= value <= 65535:
            raise errors.argument_error(f"{name} must be from {least} to 65535, not {value}")
    if threads is not None:
        io_threads = threads
    if sockets is not None:
        max_sockets = sockets
    return 0


# Fork: the child has no I/O threads, so the context and its sockets are the parent's alone. They are
# left as they are, memory and descriptors included; the child starts with none.

def _after_fork():
    global generation, context, exiting
    generation += 1
    context = NULL
    exiting = False
    open_sockets.clear()
    closed_lately.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# Exit: close what is open, then wait, at most as long as the lingers say, until libzmq has delivered
# what was sent. zmq_ctx_term cannot be interrupted, so it runs in a thread of C, and this one waits
# in slices that hear Ctrl-C.

cdef PyThread_type_lock term_lock = NULL


cdef void term_thread(void *old) noexcept nogil:
    zmq_ctx_term(old)
    PyThread_release_lock(term_lock)


def _exit():
    """Registered with atexit: deliver what was sent, and end the context."""
    global context, exiting, term_lock
    cdef void *old = context
    cdef double began
    cdef bint told = False
    cdef int acquired
    if old == NULL:
        exiting = True
        return
    exiting = True
    for zsock in list(open_sockets):
        zsock.close()
    context = NULL
    term_lock = PyThread_allocate_lock()
    PyThread_acquire_lock(term_lock, 1)
    PyThread_start_new_thread(term_thread, old)
    began = monotonic()
    while True:
        with nogil:
            acquired = PyThread_acquire_lock_timed(term_lock, 50_000, 0)
        if acquired:
            return
        try:
            PyErr_CheckSignals()
            if not told and monotonic() - began > SILENT:
                told = True
                names = "; ".join(closed_lately)
                print(
                    "ratchet: waiting for messages that were sent and not yet delivered, as long as "
                    f"each socket's linger says ({names}). Ctrl-C gives up.",
                    file=sys.stderr, flush=True,
                )
        except KeyboardInterrupt:
            print("ratchet: gave up; undelivered messages are lost.", file=sys.stderr, flush=True)
            return


import atexit
atexit.register(_exit)


cdef int sleep_for_ever() except -1:
    """What becomes of a daemon thread when the interpreter exits: it stops, without a traceback."""
    cdef PyThread_type_lock lock = PyThread_allocate_lock()
    PyThread_acquire_lock(lock, 1)
    with nogil:
        PyThread_acquire_lock(lock, 1)
    return 0


def libzmq_version():
    """libzmq's version at run time: (major, minor, patch)."""
    cdef int major, minor, patch
    zmq_version(&major, &minor, &patch)
    return major, minor, patch


def has(str capability not None):
    """Was libzmq built with it? ``"curve"``, ``"ipc"``, ``"gssapi"``, … (zmq_has(3))."""
    return zmq_has(capability.encode()) == 1


def curve_keypair():
    """A new CURVE key pair, public and secret, in Z85: 40 characters each (zmq_curve_keypair(3))."""
    cdef char public[41]
    cdef char secret[41]
    if zmq_curve_keypair(public, secret) < 0:
        raise from_errno(zmq_errno(), "cannot make a CURVE key pair")
    return public[:40].decode("ascii"), secret[:40].decode("ascii")


def curve_public(str secret not None):
    """The public key that belongs to a secret one, both in Z85 (zmq_curve_public(3))."""
    cdef char public[41]
    key = secret.encode("ascii", "replace")
    if len(key) != 40 or zmq_curve_public(public, key) < 0:
        raise errors.argument_error("a CURVE secret key in Z85 has 40 characters; this is not one")
    return public[:40].decode("ascii")
