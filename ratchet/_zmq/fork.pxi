# Layer 9. The fork: a child keeps nothing of its parent's.
#
# The child has no I/O threads, so the context and its sockets are the parent's alone. They are left
# as they are, memory and descriptors included, and the child starts with none. The handler is
# libc's, because Python drops the objects of the other threads before it runs its own
# (docs/decisions/007-fork.md).

# The wake-up descriptor for signals that a kernel has set; -1: none has.
cdef Py_ssize_t signal_fd = -1


cdef void forked() noexcept nogil:
    """Make the process another generation."""
    global generation, context, exiting, runtimes, quick_generation, ratchet_runtime_here
    global main_ident
    main_ident = PyThread_get_thread_ident()
    generation += 1
    quick_generation = <unsigned int> -1 if gevent_met else generation
    context = NULL
    exiting = False
    runtimes = gevent_met
    ratchet_runtime_here = NULL  # the runtime of this thread says so again itself


def hear_signals(Py_ssize_t fd):
    """Do what signal.set_wakeup_fd does, for a kernel's descriptor: a fork undoes it."""
    global signal_fd
    before = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    signal_fd = fd
    return before


def _after_fork():
    """Forget what Python objects know of the parent."""
    global signal_fd, feed_thread
    feed_thread = None
    if signal_fd >= 0:  # a signal would be written to it by number
        fd = signal.set_wakeup_fd(-1)
        if fd != signal_fd:
            signal.set_wakeup_fd(fd)  # the program's own, set since
        signal_fd = -1
    open_sockets.clear()
    closing_handles.clear()
    given_up.clear()
    lingering.clear()
    inproc_bound.clear()
    inproc_pending.clear()


ratchet_at_fork(forked)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
