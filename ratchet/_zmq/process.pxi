# The life of the process: the hidden context, forks, the exit, and what the library can do.

cdef extern from "Python.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() noexcept
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) noexcept
    int PyThread_acquire_lock_timed(
        PyThread_type_lock lock, long long microseconds, int interruptible) noexcept
    void PyThread_release_lock(PyThread_type_lock lock) noexcept
    unsigned long PyThread_start_new_thread(void (*run)(void *) noexcept, void *arg) noexcept

# How long (seconds) the exit stays silent; delivering over a live connection takes far less.
cdef double SILENT = 1.0
# How long (seconds) the exit waits for loops in daemon threads to forget the sockets' descriptors.
# What rang there when Python has ended would have a callback run: uvloop aborts.
cdef double LET_GO = 0.2


# Fork: the child has no I/O threads, so the context and its sockets are the parent's alone. They
# are left as they are, memory and descriptors included; the child starts with none. The handler is
# libc's, because Python drops the other threads' objects before it runs its own.

cdef void forked() noexcept nogil:
    global generation, context, exiting, runtimes, quick_generation, ratchet_runtime_here
    generation += 1
    quick_generation = generation
    context = NULL
    exiting = False
    runtimes = 0
    ratchet_runtime_here = NULL  # the runtime of this thread says so again itself


def _after_fork():
    open_sockets.clear()
    closed_lately.clear()


ratchet_at_fork(forked)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# Exit: close what is open, then wait, at most as long as the lingers say, until libzmq has
# delivered what was sent. zmq_ctx_term cannot be interrupted, so it runs in a thread of C, and
# this one waits in slices that hear Ctrl-C.

cdef PyThread_type_lock term_lock = NULL


cdef void term_thread(void *old) noexcept nogil:
    zmq_ctx_term(old)
    PyThread_release_lock(term_lock)


def _exit_child():
    """The exit of a child of multiprocessing, whose threads still run here."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    _exit()


def _exit():
    """Registered with atexit: deliver what was sent, and end the context."""
    global context, exiting, letting_go, term_lock, reserve
    cdef void *old
    cdef SocketBase zsock
    cdef double began
    cdef bint told = False
    cdef int acquired
    cdef unsigned int born = generation
    if context != NULL and "multiprocessing" in sys.modules:
        # They may need this process's sockets to come to an end.
        for child in sys.modules["multiprocessing"].active_children():
            if not child.daemon:
                child.join()
    exiting = True
    old, context = context, NULL
    if old == NULL:
        return
    letting_go = True
    leaving = list(open_sockets)
    # Who has only peers that are being closed here as well has nobody to linger for.
    ours = {at for zsock in leaving for how, at, _ in zsock.endpoints if how == "bound to"}
    for zsock in leaving:
        hows = {how for how, _, _ in zsock.endpoints}
        alone = hows == {"connected to"} and {at for _, at, _ in zsock.endpoints} <= ours
        zsock.close(0 if alone else None)
    for zsock in list(open_sockets):
        zsock.close(0)  # made by a daemon thread while the others were being closed
    began = monotonic()
    while closing_handles and monotonic() - began < LET_GO:
        with nogil:
            ratchet_nap()
    letting_go = False
    for closing in list(closing_handles):
        (<ClosingHandle> closing).close()  # whose loop has no turn any more
    os.close(reserve)
    term_lock = PyThread_allocate_lock()
    PyThread_acquire_lock(term_lock, 1)
    if PyThread_start_new_thread(term_thread, old) == <unsigned long> -1:
        tell_stderr("no thread could be started to deliver what was sent; it may be lost.")
        return
    began = monotonic()
    while True:
        with nogil:
            acquired = PyThread_acquire_lock_timed(term_lock, 50_000, 0)
        if acquired or born != generation:
            return
        try:
            PyErr_CheckSignals()
            if not told and monotonic() - began > SILENT:
                told = True
                tell_stderr(
                    "waiting for messages that were sent and not yet delivered, as long as each "
                    f"socket's linger says ({'; '.join([describe_socket(kind, ends) for kind, ends in closed_lately])}). Ctrl-C gives up."
                )
        except KeyboardInterrupt:
            tell_stderr("gave up; undelivered messages are lost.")
            return


cdef tell_stderr(text):
    try:
        if sys.stderr is not None:
            print(f"ratchet: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass  # nobody reads it


atexit.register(_exit)


def libzmq_version():
    """libzmq's version at run time: (major, minor, patch)."""
    cdef int major, minor, patch
    zmq_version(&major, &minor, &patch)
    return major, minor, patch


def has(str capability not None):
    """Was libzmq built with it? ``"curve"``, ``"ipc"``, ``"gssapi"``, … (zmq_has(3))."""
    return zmq_has(capability.encode()) == 1


def curve_keypair():
    """A new CURVE key pair, public and secret, 40 characters of Z85 each (zmq_curve_keypair(3))."""
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
