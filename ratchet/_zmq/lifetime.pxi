# Layer 1. The process: its generation, and whether it is exiting.

# A forked child is another generation, and what was made before the fork belongs to its parent. The
# number is C's, since libzmq's threads read it (`loans.pxi`).
cdef extern from *:
    """
    static unsigned int ratchet_generation = 1;
    """
    unsigned int generation "ratchet_generation"

cdef bint exiting = False
cdef bint letting_go = False  # the exit waits for event loops to forget descriptors
# Called without arguments when all exit handlers have run, before the sockets are closed.
at_the_end = []


def process_generation():
    """Return which process this is, of those that were forked from one another."""
    return generation


_platform.process = process_generation


def exit_waits():
    """Return True while the exit waits for event loops to forget what they watch."""
    return letting_go


def pin(thing):
    """Keep an object alive until `unpin`: for ever in a forked child, where closing it does harm.

    Its destructor closes a descriptor by number, which may be another file's there.
    """
    Py_INCREF(thing)


def unpin(thing):
    """Undo one `pin`."""
    Py_DECREF(thing)


cdef int end_quietly() except -1:
    """End a daemon thread that goes on during the exit, without a traceback."""
    if exiting and not current_thread_is_main():
        raise SystemExit
    return 0
