# Layer 5. The handle of a closed socket, while something may still watch its descriptor.

cdef class ClosingHandle:
    """A closed socket's handle while something is about to watch its descriptor.

    The number may be given back only afterwards: the next file to get it would be taken for this
    socket. At the exit event loops hold this object too, until they have forgotten their duplicates
    of the descriptor.
    """
    cdef void *handle
    cdef unsigned int born
    cdef readonly ProgramContext home  # of the socket
    cdef object __weakref__

    def __cinit__(self):
        self.born = generation
        closing_handles.add(self)

    cdef void close(self) noexcept:
        if self.born == generation:
            zmq_close(self.handle)
        self.handle = NULL

    def close_now(self):
        """Close it although something that does not run may still watch the descriptor."""
        self.close()

    def __dealloc__(self):
        self.close()
