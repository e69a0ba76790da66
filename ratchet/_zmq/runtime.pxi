# Layer 2. The runtime of this OS thread, found without knowing which kind it is.
#
# An OS thread that runs a kernel or hub has `runtime_here`; without one, its callers are the OS
# thread itself (`osthread.pxi`). The runtimes of coroutines (asyncio) are asked by the sockets made
# for them (`awaitable.pxi`).

cdef extern from *:
    """
    RATCHET_LOCAL void *ratchet_runtime_here = 0;
    """
    void *ratchet_runtime_here  # the Runtime whose callers run in this OS thread, borrowed

# How many OS threads have a runtime: while none has, a socket call does not ask for it.
cdef int runtimes = 0
# The process generation while no OS thread has a runtime, else nobody's: a single comparison tells
# a quick call that the socket is this process's and that no runtime has to be asked.
cdef unsigned int quick_generation = 1


cdef inline Runtime runtime_here():
    """Return the runtime of this OS thread, or None."""
    if runtimes == 0 or ratchet_runtime_here == NULL:
        return None
    return <Runtime> ratchet_runtime_here


cdef inline int breathe() except -1:
    """Before each call: a caller that never pauses must let the others run."""
    cdef Runtime runtime
    if runtimes and ratchet_runtime_here != NULL:
        runtime = <Runtime> ratchet_runtime_here
        runtime.budget -= 1
        if runtime.budget <= 0:
            runtime.let_others_run()
    return 0


cdef inline bint may_be_quick(unsigned int born):
    """While some OS thread has a runtime: may a call be made at once, as it may while none has?"""
    cdef Runtime runtime
    if born != generation:
        return False
    if ratchet_runtime_here == NULL:
        return True
    runtime = <Runtime> ratchet_runtime_here
    if runtime.budget <= 1:
        return False  # `breathe` lets the others run
    runtime.budget -= 1
    return True


def set_runtime(Runtime runtime):
    """Make ``runtime`` the one of this OS thread; None: it has none any more."""
    global runtimes, quick_generation
    global ratchet_runtime_here
    runtimes += (runtime is not None) - (ratchet_runtime_here != NULL)
    quick_generation = generation if runtimes == 0 else <unsigned int> -1
    ratchet_runtime_here = <void *> runtime if runtime is not None else NULL


def breathe_here():
    """Do what each call does first: a caller that never pauses lets the others run."""
    breathe()
