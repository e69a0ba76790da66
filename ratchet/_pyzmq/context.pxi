# Contexts: what a program makes, sets up and ends.

cdef class Context:
    """A context of libzmq's: pyzmq's Context inherits from it."""
    cdef object core
    cdef public bint closed

    def __init__(self, int io_threads=1, size_t shadow=0):
        self.closed = False
        try:
            if shadow:
                self.core = context_at(shadow)
            else:
                self.core = core.ProgramContext()
                self.core.set(zmq.constants.ContextOption.IO_THREADS, io_threads)
        except CoreError as error:
            raise translated(error) from error

    @property
    def underlying(self):
        """The address of libzmq's context; 0 once it has ended."""
        return self.core.address

    @property
    def handle(self):
        """The same as ``underlying``."""
        return self.core.address

    def term(self):
        """Wake every call on its sockets with ETERM, wait until they are closed, and end it."""
        if self.core is not None:
            try:
                self.core.term()
            except CoreError as error:
                raise translated(error) from error
        self.closed = True

    def set(self, int option, optval):
        """Set an option (zmq_ctx_set(3))."""
        if self.closed:
            raise RuntimeError("Context has been destroyed")
        if not isinstance(optval, int):
            raise TypeError(f"expected int, got: {optval!r}")
        try:
            self.core.set(option, optval)
        except CoreError as error:
            raise translated(error) from error

    def get(self, int option):
        """Return an option (zmq_ctx_get(3))."""
        if self.closed:
            raise RuntimeError("Context has been destroyed")
        try:
            return self.core.get(option)
        except CoreError as error:
            raise translated(error) from error


cdef object context_at(address):
    """Return the context of this process with that address."""
    for one in list(core.program_contexts):
        if one.address == address and not one.closed:
            return one
    raise ZMQError(
        errno.EFAULT,
        "no context of ratchet's has this address; another library's cannot be shared",
    )
