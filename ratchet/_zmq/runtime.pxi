# Layer 2. The seam between sockets and what runs their callers: one Runtime for each kernel, hub or
# event loop, found without knowing which kind it is.
#
# An OS thread that runs a kernel or hub has `runtime_here`; without one, its callers are the OS thread
# itself (`osthread.pxi`), which is the one kind that is always there. The runtimes of coroutines
# (asyncio, trio) are asked by the sockets made for them (`awaitable.pxi`).
#
# A new runtime is one subclass of Runtime and one of Waiter, in a module of its own.

cdef extern from *:
    """
    RATCHET_LOCAL void *ratchet_runtime_here = 0;
    """
    void *ratchet_runtime_here  # the Runtime whose callers run in this OS thread, borrowed

# How many OS threads have a runtime: while none has, a socket call does not ask for it.
cdef int runtimes = 0
# The process: a forked child is another generation, and what was made before belongs to its parent.
cdef unsigned int generation = 1
# The same number while no OS thread has a runtime, else nobody's: a single comparison tells a quick
# call that the socket is this process's and that no runtime has to be asked.
cdef unsigned int quick_generation = 1


cdef class Runtime:
    """How the callers of one kernel, hub or event loop pause."""
    cdef int budget  # calls until the running caller must let the others run

    cpdef Caller caller(self):
        """Return the caller that runs now; None: none of this runtime's, but the OS thread itself."""
        return None

    cpdef Waiter waiter(self, Caller me):
        """Return a waiter for ``me``, of a call that blocks."""
        raise NotImplementedError

    cpdef let_others_run(self):
        """Give every other caller that can run its turn. Called when `budget` is used up."""

    cpdef bint ended(self):
        """Return True if nothing can run here any more: its waiters are then skipped."""
        return False

    cpdef watch(self, Doorbell bell):
        """Ring ``bell`` when its descriptor does, from now on."""
        raise NotImplementedError

    cpdef forget(self, Py_ssize_t fd, closing):
        """Watch a descriptor no more. From any OS thread; hold ``closing`` until that is done."""
        raise NotImplementedError


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


def current_runtime():
    """Return the runtime of this OS thread, or None."""
    return None if ratchet_runtime_here == NULL else <Runtime> ratchet_runtime_here


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
