# The life of the process: the hidden context, forks, the exit, and what the library can do.

import atexit
import signal
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
# How long (seconds) the exit waits for loops in daemon threads to forget the sockets' descriptors.
# What rang there when Python has ended would have a callback run: uvloop aborts.
cdef double LET_GO = 0.2
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
    """The process's context, made when the first socket is."""
    global context, reserve
    if exiting:
        end_quietly()
        raise errors.ClosedError(errors.ETERM, "cannot make a socket: the interpreter is exiting")
    if context != NULL:
        return context
    head_room(HEAD_ROOM + 2 * io_threads, "start libzmq")
    thread_room(1 + io_threads, "start libzmq")  # its reaper, and who moves the traffic
    if context != NULL:  # another thread was faster, while this one opened descriptors
        return context
    fresh = zmq_ctx_new()
    if fresh == NULL:
        raise from_errno(zmq_errno(), "cannot start libzmq")
    zmq_ctx_set(fresh, ZMQ_MAX_SOCKETS, zmq_ctx_get(fresh, ZMQ_SOCKET_LIMIT))
    zmq_ctx_set(fresh, ZMQ_IO_THREADS, io_threads)
    context = fresh
    reserve = os.open(os.devnull, os.O_RDONLY)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Children of multiprocessing end with os._exit, without atexit and before their threads.
        sys.modules["multiprocessing.util"].Finalize(None, _exit_child, exitpriority=0)
    return context


def configure(*, io_threads=None, max_sockets=None, spin=None):
    """Set up the process's context, before the first socket is made.

    Args:
        io_threads (int): libzmq's threads for sockets' traffic (zmq_ctx_set(3); default 1). One
            moves about a gigabyte a second.
        max_sockets (int): how many sockets may be open at once (default: libzmq's limit, 65,535).
        spin (float): who receives after a send may look this many seconds before it sleeps, as
            long as answers come so soon (default 0.0001; 0: never).

    Raises:
        StateError: a socket was made already.
    """
    settings(io_threads, max_sockets, spin)


cdef int settings(threads, sockets, seconds) except -1:
    global io_threads, max_sockets, spin
    cdef double look
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
            look = to_number(seconds)
        except TypeError:
            raise TypeError(f"spin must be a number of seconds, not {kind_of(seconds)}") from None
        except ValueError:
            look = -1
        if not 0 <= look <= 1:
            raise errors.argument_error(f"spin must be from 0 to 1 s, not {seconds}")
        spin = look
    if threads is not None:
        io_threads = threads
    if sockets is not None:
        max_sockets = sockets
    return 0


# The wake-up descriptor for signals that a kernel has set; -1: none has.
cdef Py_ssize_t signal_fd = -1


# Fork: the child has no I/O threads, so the context and its sockets are the parent's alone. They
# are left as they are, memory and descriptors included; the child starts with none. The handler is
# libc's, because Python drops the other threads' objects before it runs its own.

cdef void forked() noexcept nogil:
    global generation, context, exiting, looping, plain, ratchet_kernel_here
    generation += 1
    plain = generation
    context = NULL
    exiting = False
    looping = 0
    ratchet_kernel_here = NULL  # the kernel of this thread says so again itself


def hear_signals(Py_ssize_t fd):
    """As signal.set_wakeup_fd, which it returns, for a kernel's descriptor: a fork takes it back."""
    global signal_fd
    before = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    signal_fd = fd
    return before


def _after_fork():
    global signal_fd
    if signal_fd >= 0:  # a signal would be written to it by number
        fd = signal.set_wakeup_fd(-1)
        if fd != signal_fd:
            signal.set_wakeup_fd(fd)  # the program's own, set since
        signal_fd = -1
    open_sockets.clear()
    remaining.clear()
    closed_lately.clear()
    given_up.clear()


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
    cdef Core zsock
    cdef double began
    cdef bint told = False
    cdef int acquired
    cdef unsigned int born = generation
    if context != NULL and "multiprocessing" in sys.modules:
        # They may need this process's sockets to come to an end.
        for child in sys.modules["multiprocessing"].active_children():
            if not child.daemon and child._parent_pid == os.getpid():
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
    while remaining and monotonic() - began < LET_GO:
        with nogil:
            ratchet_nap()
    letting_go = False
    for remains in list(remaining):
        (<Remains> remains).close()  # whose loop has no turn any more
    if born != generation:  # a signal handler has forked
        return
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
                    f"socket's linger says ({'; '.join(closed_lately)}). Ctrl-C gives up."
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
