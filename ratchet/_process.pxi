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

# Sockets that were closed with messages that may not have left: when the linger ends (monotonic
# seconds), the descriptor that libzmq closes when they have, and which socket it is.
lingering = []
cdef int ledger = -1     # of these descriptors
cdef Py_ssize_t many = 64  # from so many on it is looked which are over
# How many the line on stderr names.
cdef int NAMED = 8
# How long (seconds) the exit stays silent; delivering over a live connection takes far less.
cdef double SILENT = 1.0
# How long (seconds) the exit waits for loops in daemon threads to forget the sockets' descriptors.
# What rang there when Python has ended would have a callback run: uvloop aborts.
cdef double LET_GO = 0.2
# How long (seconds) the exit waits for libzmq itself when no message is left to wait for: it takes
# milliseconds, but the look-up of a name in one of its threads takes any time.
cdef double LIBZMQ_ENDS = 0.5
# A descriptor that is given back at the end, when libzmq may need one to end (ctx.cpp, 4.3.4).
cdef int reserve = -1

# Called without arguments when all exit handlers have run, before the sockets are closed.
at_the_end = []


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
    global context, reserve, ledger
    if exiting:
        end_quietly()
        raise errors.ClosedError(errors.ETERM, "cannot make a socket: the interpreter is exiting")
    if context != NULL:
        return context
    head_room(HEAD_ROOM + 2 * all_threads(), "start libzmq")
    thread_room(1 + all_threads(), "start libzmq")  # its reaper, and who moves the traffic
    if context != NULL:  # another thread was faster, while this one opened descriptors
        return context
    fresh = zmq_ctx_new()
    if fresh == NULL:
        raise from_errno(zmq_errno(), "cannot start libzmq")
    zmq_ctx_set(fresh, ZMQ_MAX_SOCKETS, zmq_ctx_get(fresh, ZMQ_SOCKET_LIMIT))
    zmq_ctx_set(fresh, ZMQ_IO_THREADS, all_threads())
    context = fresh
    ledger = ratchet_ledger()
    reserve = os.open(os.devnull, os.O_RDONLY)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Its children may end with os._exit, without atexit and before their threads. Of its own
        # exit handlers this is the last, whatever others are registered.
        sys.modules["multiprocessing.util"].Finalize(None, _exit_child, exitpriority=-sys.maxsize)
    return context


def configure(*, io_threads=None, max_sockets=None, spin=None):
    """Set up the process's context, before the first socket is made.

    Args:
        io_threads (int): libzmq's threads for sockets' traffic (zmq_ctx_set(3); default 1). One
            moves about a gigabyte a second. Connections to hosts by name have four times as many
            to themselves, since looking a name up stalls a thread.
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
    given_up.clear()
    lingering.clear()


ratchet_at_fork(forked)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# Exit: close what is open, then wait, at most as long as the lingers say, until libzmq has
# delivered what was sent. zmq_ctx_term cannot be interrupted, so it runs in a thread of C, and
# this one waits in slices that hear Ctrl-C. It ends when libzmq has, and libzmq when its threads
# have, one of which may be looking up a name; so this one keeps the time itself.
#
# Exit handlers may still send, those too that were registered before ratchet was imported and so
# run after what it could register. But when all have run, Python drops them, and nobody else has
# `AtEnd`: its finalizer runs when no handler is left to run, and when Python is still whole.

cdef PyThread_type_lock term_lock = NULL


cdef void term_thread(void *old) noexcept nogil:
    zmq_ctx_term(old)
    PyThread_release_lock(term_lock)


def _exit_child():
    """The exit of a child of multiprocessing, whose threads still run here."""
    if not leaves_at_once():
        return
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    _exit()


cdef bint leaves_at_once():
    """Does this child of multiprocessing end with os._exit? One that was spawned does not."""
    frame = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module in ("multiprocessing.popen_fork", "multiprocessing.forkserver"):
            return True
        if module == "multiprocessing.spawn" and frame.f_code.co_name == "spawn_main":
            return False
        frame = frame.f_back
    return False


cdef int note_linger(Core zsock, void *handle) except -1:
    """A socket is being closed: remember until when what was sent may still have to leave."""
    global many
    cdef int ms = 0
    cdef size_t size = sizeof(ms)
    cdef double until
    if not zsock.asked & SENT or zmq_getsockopt(handle, ZMQ_LINGER, &ms, &size) < 0 or ms == 0:
        return 0
    until = INFINITY if ms < 0 else monotonic() + ms * 0.001
    lingering.append((until, ratchet_enter(ledger, zsock.fd), zsock.describe()))
    if len(lingering) > many:
        look_what_lingers()
        many = max(64, 2 * len(lingering))
    return 0


cdef bint look_what_lingers():
    """Forget what is delivered or given up; is anything left?"""
    cdef double now = monotonic()
    lingering[:] = [
        entry for entry in lingering if entry[0] > now and not ratchet_gone(ledger, entry[1])
    ]
    return len(lingering) > 0


cdef class AtEnd:
    """A handler of atexit that acts when it is dropped, for that is when all handlers have run."""
    cdef bint due

    def __call__(self):
        self.due = True

    def __del__(self):
        if self.due:  # else nothing ends: somebody has cleared the list
            _exit()


cdef int wait_for_children() except -1:
    """Let children of multiprocessing end, which may need this process's sockets for it."""
    if context == NULL or "multiprocessing" not in sys.modules:
        return 0
    try:
        for child in sys.modules["multiprocessing"].active_children():
            if not child.daemon and child._parent_pid == os.getpid():
                child.join()
    except KeyboardInterrupt:
        tell_stderr("gave up waiting for child processes.")
    return 0


def _exit():
    """The end of the process: deliver what was sent, and end the context."""
    global context, exiting, letting_go, term_lock, reserve
    cdef void *old
    cdef Core zsock
    cdef double began
    cdef unsigned int born = generation
    for call in at_the_end:
        try:
            call()
        except BaseException as error:
            report(error, call)
    wait_for_children()
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
    wait_for_libzmq()


cdef int wait_for_libzmq() except -1:
    """Until it has ended, no linger is left, or Ctrl-C."""
    cdef double began = monotonic()
    cdef double until = began + LIBZMQ_ENDS
    cdef bint told = False
    cdef int acquired
    cdef unsigned int born = generation
    while True:
        with nogil:
            acquired = PyThread_acquire_lock_timed(term_lock, 50_000, 0)
        if acquired or born != generation:
            return 0
        if look_what_lingers():
            until = monotonic() + LIBZMQ_ENDS
        elif monotonic() > until:
            return 0
        try:
            PyErr_CheckSignals()
            if not told and monotonic() - began > SILENT:
                told = True
                tell_what_lingers()
        except KeyboardInterrupt:
            tell_stderr("gave up; undelivered messages are lost.")
            return 0


cdef tell_what_lingers():
    if not lingering:
        return
    found = sorted(lingering, reverse=True)
    left = found[0][0] - monotonic()
    limit = "for ever" if left == INFINITY else f"for up to {max(left, 0):.1f} s"
    which = "; ".join([text for _, _, text in found[:NAMED]])
    if len(found) > NAMED:
        which += f"; {len(found) - NAMED} more"
    tell_stderr(
        f"waiting {limit}, as the linger says, for messages that were sent and not yet delivered "
        f"({which}). Ctrl-C gives up."
    )


cdef tell_stderr(text):
    try:
        if sys.stderr is not None:
            print(f"ratchet: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass  # nobody reads it


atexit.register(AtEnd())


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
