# Layer 4. Contexts of a program's own: libzmq's defaults, their own inproc names, and an end.
#
# Ratchet's sockets need none of this. Programs that were written for pyzmq do (`ratchet.pyzmq`):
# they end a context to wake all that waits in its sockets. `shutdown` has libzmq answer ETERM to
# every call from then on, and ring every socket's bell, so that whoever sleeps tries again and
# hears it. `term` waits, in any thread, until all sockets are closed and have lingered.

# Of this process: for the exit, and for those that know only an address.
program_contexts = WeakSet()


cdef class ProgramContext:
    """A context that a program makes, and ends. Its sockets are `ProgramSocket`s."""
    cdef void *handle
    cdef unsigned int born        # the process generation
    cdef readonly bint terminated  # it has been shut down
    cdef readonly object sockets  # those that are open
    cdef int io_threads
    cdef int reserve              # a descriptor for libzmq to end with; -1: it has not started
    cdef ContextEnd end
    cdef dict monitored           # endpoint of a monitor -> weak reference to the socket
    cdef list unheard             # of closed PAIRs to which libzmq may still tell something
    cdef object __weakref__

    def __cinit__(self):
        self.reserve = -1
        self.io_threads = 1
        self.sockets = WeakSet()
        self.monitored, self.unheard = {}, []

    def __init__(self):
        refuse_at_exit()
        self.handle = zmq_ctx_new()
        if self.handle == NULL:
            raise from_errno(zmq_errno(), "cannot make a context")
        self.born = generation
        program_contexts.add(self)

    def __dealloc__(self):
        if self.handle != NULL and self.born == generation and self.end is None:
            # No socket is left, for each refers to its context; messages may be.
            self.give_back_reserve()
            self.end = end_of(self.handle)

    @property
    def address(self):
        """The address of libzmq's context (int); 0 once it has ended."""
        return <size_t> self.handle

    @property
    def closed(self):
        """True once it has ended, or in a forked child."""
        return self.handle == NULL or self.born != generation

    def set(self, int option, int value):
        """Set one of libzmq's context options by number (zmq_ctx_set(3))."""
        self.require("set an option of")
        if zmq_ctx_set(self.handle, option, value) < 0:
            raise from_errno(zmq_errno(), f"cannot set context option {option} to {value}")
        if option == ZMQ_IO_THREADS:
            self.io_threads = value

    def get(self, int option):
        """Return one of libzmq's context options by number (zmq_ctx_get(3))."""
        self.require("read an option of")
        value = zmq_ctx_get(self.handle, option)
        if value < 0:
            raise from_errno(zmq_errno(), f"cannot read context option {option}")
        return value

    cdef int require(self, what) except -1:
        if self.handle == NULL or self.born != generation:
            raise errors.ClosedError(
                errno.EFAULT, f"cannot {what} a context that has ended, or is the parent process's"
            )
        return 0

    cdef void *new_socket(self, int number) except? NULL:
        """Make libzmq's socket; NULL: errno says why not."""
        cdef int fd
        refuse_at_exit()
        self.require("make a socket in")
        if self.reserve < 0 and not self.terminated:
            context_room(self.io_threads)
            note_context()
            fd = os.open(os.devnull, os.O_RDONLY)
            if self.reserve >= 0 or self.terminated:  # another thread was faster
                ratchet_close(fd)
            else:
                self.reserve = fd
        return NULL if self.handle == NULL else zmq_socket(self.handle, number)

    def shutdown(self):
        """Have every call on its sockets but `close` fail with ETERM from now on. Idempotent."""
        if self.handle != NULL and self.born == generation and not self.terminated:
            self.terminated = True
            zmq_ctx_shutdown(self.handle)
            self.unheard.clear()
            for zsock in list(self.sockets):
                (<Doorbell> zsock).wake_all()

    def term(self):
        """Shut it down, wait until its sockets are closed and what they sent has left, and end it.

        That may take for ever, as the sockets' linger says. Other threads of all kinds run
        meanwhile; Ctrl-C ends the wait, and another call goes on with it. Idempotent.
        """
        cdef Runtime others
        if self.handle == NULL or self.born != generation:
            self.handle = NULL
            return
        self.shutdown()
        if self.begin_end() is None:
            raise errors.Error(errno.EAGAIN, "cannot end a context: no thread can be started")
        others = runtime_here()
        if others is None:
            others = gevent_runtime()
        while not self.end.over_within(EXIT_SLICE_MS if others is None else 1):
            PyErr_CheckSignals()
            if others is not None:
                others.let_others_run()
            if self.born != generation:  # a signal handler has forked
                return
            for closing in list(closing_handles):
                # Something that does not run was to watch its descriptor no more.
                if closing.home is self:
                    closing.close_now()
        self.handle = NULL
        program_contexts.discard(self)

    cdef ContextEnd begin_end(self):
        """Have libzmq end it, in a thread; None: no thread can be started."""
        self.unheard.clear()
        if self.end is None:
            self.give_back_reserve()
            self.end = end_of(self.handle)
        return self.end

    cdef void give_back_reserve(self) noexcept:
        if self.reserve >= 0:
            ratchet_close(self.reserve)
            self.reserve = -1

    def __reduce__(self):
        raise TypeError("a context cannot be copied or pickled; make a new one where it is needed")


cdef bint may_be_told(void *pair) noexcept:
    """Drop what has come at the PAIR of a monitor; return True while that may still send more.

    libzmq closes the other end with the monitor. Then there is nobody to send to.
    """
    cdef zmq_msg_t msg
    cdef int events = 0, found = 0
    cdef size_t size = sizeof(events)
    while found >= 0:
        zmq_msg_init(&msg)
        found = zmq_msg_recv(&msg, pair, ZMQ_DONTWAIT)
        zmq_msg_close(&msg)
    return zmq_getsockopt(pair, ZMQ_EVENTS, &events, &size) == 0 and (events & TX) != 0


cdef int end_monitor(ProgramContext home, void *watched, bytes unheard) except -1:
    """End the monitor of a socket; ``unheard``: its endpoint, if nobody is connected there.

    Its last event waits for somebody, so there is a PAIR then for as long as that takes.
    """
    cdef void *pair = NULL
    cdef int none = 0
    if unheard is not None:
        pair = zmq_socket(home.handle, ZMQ_PAIR)
        if pair == NULL:
            return 0
        zmq_setsockopt(pair, ZMQ_LINGER, &none, sizeof(none))
        zmq_connect(pair, <const char *> unheard)
    zmq_socket_monitor(watched, NULL, 0)
    if pair != NULL:
        zmq_close(pair)
    return 0


cdef list program_contexts_here():
    """Return those of this process that have not ended."""
    return [one for one in list(program_contexts) if not one.closed]


cdef ContextEnd program_context_end(ProgramContext one):
    """At the exit, begin to end a context whose sockets are closed."""
    one.terminated = True
    return one.begin_end()


cdef Py_ssize_t sockets_in_program_contexts() except -1:
    return sum([len(one.sockets) for one in list(program_contexts)])
