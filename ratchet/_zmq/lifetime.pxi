# Layer 1. Whether the process is exiting, which every layer above has to know.

cdef bint exiting = False
cdef bint letting_go = False  # the exit waits for event loops to forget descriptors


cdef int end_quietly() except -1:
    """End a daemon thread that goes on during the exit, without a traceback."""
    if exiting and not current_thread_is_main():
        raise SystemExit
    return 0
