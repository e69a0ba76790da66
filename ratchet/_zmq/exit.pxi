# Layer 9. The exit of the process, which delivers what was sent within each socket's linger.
#
# It closes what is open, and waits until libzmq has delivered what was sent. A context ends in a
# thread of C (`context_end.pxi`), and this one waits in slices that hear Ctrl-C. zmq_ctx_term
# returns when libzmq's threads have ended, one of which may be looking up a name; so this thread
# keeps the time itself.
#
# Exit handlers may still send, even those that were registered before ratchet was imported and so
# run after any that ratchet could register. When all have run, Python drops them, and with them the
# last reference to `AtEnd`: its finalizer runs when no handler is left, and while Python is still
# whole.

def _exit_child():
    """End a child of multiprocessing, whose threads still run here."""
    if not leaves_at_once():
        return
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    _exit()


cdef bint leaves_at_once():
    """Return True if this child of multiprocessing ends with os._exit; a spawned one does not."""
    frame = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module in ("multiprocessing.popen_fork", "multiprocessing.forkserver"):
            return True
        if module == "multiprocessing.spawn" and frame.f_code.co_name == "spawn_main":
            return False
        frame = frame.f_back
    return False


at_child_exit = _exit_child


cdef class AtEnd:
    """A handler of atexit that acts when it is dropped, which is when all handlers have run."""
    cdef bint due

    def __call__(self):
        self.due = True

    def __del__(self):
        if self.due:  # else nothing ends: the list of handlers was cleared
            _exit()


cdef bint was_waited_for(child) except -1:
    """Return True if a child has ended although multiprocessing takes it for alive.

    It does so for good if another one has waited for it: the program, or the system where SIGCHLD
    is ignored.
    """
    if os.name == "nt" or child._popen.method == "forkserver":  # the latter is the server's child
        return False
    try:
        return os.waitpid(child.pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


cdef int wait_for_children() except -1:
    """Wait for children of multiprocessing, which may need this process's sockets to end."""
    if context == NULL or "multiprocessing" not in sys.modules:
        return 0
    try:
        for child in sys.modules["multiprocessing"].active_children():
            if not child.daemon and child._parent_pid == os.getpid():
                # In slices: a Ctrl-C that comes just before the system call does not end it.
                while child.is_alive() and not was_waited_for(child):
                    child.join(EXIT_SLICE_MS / 1000.0)
    except BaseException as error:  # whatever a signal handler raised: what was sent comes first
        if not isinstance(error, (KeyboardInterrupt, SystemExit)):
            report(error, "the wait for child processes at the exit")
        tell_stderr("gave up waiting for child processes.")
    return 0


def _exit():
    """End the process's part of libzmq: deliver what was sent, and end the context."""
    global context, exiting
    cdef void *old
    cdef list ends
    cdef unsigned int born = generation
    for call in at_the_end:
        try:
            call()
        except BaseException as error:
            report(error, call)
    wait_for_children()
    exiting = True
    old, context = context, NULL
    own = program_contexts_here()
    if old == NULL and not own:
        return
    close_all()
    if born != generation:  # a signal handler has forked
        return
    bound_lingers()
    ends = [program_context_end(one) for one in own]
    if old != NULL:
        os.close(reserve)
        ends.append(end_of(old))
    if None in ends:
        tell_stderr("no thread could be started to deliver what was sent; it may be lost.")
    wait_for_libzmq([end for end in ends if end is not None])


cdef int close_all() except -1:
    """Close every socket, and wait until event loops have forgotten their descriptors."""
    global letting_go
    cdef SocketBase zsock
    cdef double began
    letting_go = True
    leaving = list(open_sockets)
    # A socket all of whose peers are being closed here as well has nobody to linger for.
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
        (<ClosingHandle> closing).close()  # its loop runs no more
    return 0


cdef int wait_for_libzmq(list ends) except -1:
    """Wait until libzmq has ended, until no linger is left, or until Ctrl-C."""
    cdef double began = monotonic()
    cdef double until = began + LIBZMQ_ENDS
    cdef bint told = False
    cdef unsigned int born = generation
    while ends:
        if (<ContextEnd> ends[len(ends) - 1]).over_within(EXIT_SLICE_MS):
            ends.pop()
            continue
        if born != generation:
            return 0
        if anything_lingers():
            until = monotonic() + LIBZMQ_ENDS
        elif monotonic() > until:
            return 0
        try:
            PyErr_CheckSignals()
            if not told and monotonic() - began > SILENT:
                told = tell_what_lingers()
        except (KeyboardInterrupt, SystemExit):
            tell_stderr("gave up; undelivered messages are lost.")
            return 0
        except Exception as error:  # of a signal handler
            report(error, "the wait for messages to be delivered at the exit")


cdef bint tell_what_lingers() except -1:
    """Say on stderr which sockets the exit waits for, and how long. False: it is full."""
    if not lingering:
        return True
    found = sorted(lingering, reverse=True)
    left = found[0][0] - monotonic()
    limit = "for ever" if left == INFINITY else f"for up to {max(left, 0):.1f} s"
    which = "; ".join([describe_socket(kind, ends) for _, _, kind, ends, _ in found[:NAMED]])
    if len(found) > NAMED:
        which += f"; {len(found) - NAMED} more"
    return tell_stderr(
        f"waiting {limit}, as the linger says, for messages that were sent and not yet delivered "
        f"({which}). Ctrl-C gives up."
    )


cdef bint tell_stderr(text) except -1:
    """Write a line to stderr, if there is one. False: it would wait for a reader, so it has not."""
    try:
        if sys.stderr is not None:
            if is_full(sys.stderr):
                return False
            print(f"ratchet: {text}", file=sys.stderr, flush=True)
    except Exception:
        pass  # it is closed, or an object of the program's that fails
    return True


cdef bint is_full(file) except -1:
    """Return True if a file is a pipe, or the like, that would take nothing now."""
    cdef ratchet_pollfd item
    cdef Py_ssize_t fd
    try:
        fd = file.fileno()
    except Exception:  # an object of the program's, which need not have one
        return False
    if fd < 0:
        return False  # poll(2) would leave it out
    ratchet_set_item(&item, fd, TX)
    return ratchet_poll(&item, 1) == 0


atexit.register(AtEnd())
