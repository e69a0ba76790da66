# Layer 2. The runtime of this OS thread, found without knowing which kind it is.
#
# An OS thread that runs a kernel has `runtime_here`; without one, its callers are the OS thread
# itself (`osthread.pxi`). The runtimes of coroutines (asyncio) are asked by the sockets made for
# them (`awaitable.pxi`). Nobody tells when gevent's hub begins to run in an OS thread, so it is
# asked for where a call is about to pause, and once in a burst of calls (`gevent.pxi`).

cdef extern from *:
    """
    RATCHET_LOCAL void *ratchet_runtime_here = 0;
    RATCHET_LOCAL int ratchet_unasked = 0;
    RATCHET_LOCAL int ratchet_task_budget = 0;
    """
    void *ratchet_runtime_here  # the Runtime whose callers run in this OS thread, borrowed
    int ratchet_unasked  # calls of this OS thread until gevent's hub is asked for again
    int ratchet_task_budget  # calls until the tasks of this OS thread must let the loop run

# How many OS threads have a runtime: while none has, a socket call does not ask for it. One more if
# the program has gevent.
cdef int runtimes = 0
# The process generation while no OS thread has a runtime, else nobody's: a single comparison tells
# a quick call that the socket is this process's and that no runtime has to be asked.
cdef unsigned int quick_generation = 1

cdef dict modules = sys.modules
cdef bint gevent_met = False    # the program has imported gevent
cdef object gevent_here = None  # then: returns the runtime of its hub in this OS thread, or None


cdef inline void spend_task_budget(Py_ssize_t calls) noexcept:
    """Count so many calls in the burst of this OS thread's tasks."""
    global ratchet_task_budget
    ratchet_task_budget -= <int> min(calls, 1_000_000)


cdef inline Runtime runtime_here():
    """Return the runtime of this OS thread, or None."""
    if runtimes == 0 or ratchet_runtime_here == NULL:
        return None
    return <Runtime> ratchet_runtime_here


cdef inline int breathe() except -1:
    """Before each call: a caller that never pauses must let the others run."""
    cdef Runtime runtime
    if runtimes:
        if ratchet_runtime_here != NULL:
            runtime = <Runtime> ratchet_runtime_here
            runtime.budget -= 1
            if runtime.budget <= 0:
                runtime.let_others_run()
        elif gevent_met:
            ask_in_time()
    return 0


cdef int ask_in_time() except -1:
    """Once in a burst of calls, find out whether gevent's hub runs in this OS thread by now."""
    global ratchet_unasked
    ratchet_unasked -= 1
    if ratchet_unasked <= 0:
        ratchet_unasked = BURST
        gevent_here()
    return 0


cdef bint meet_gevent() except -1:
    """Return True if this program has imported gevent; from then on its hubs are found."""
    if not gevent_met and modules.get("gevent.hub") is not None:
        from . import _gevent  # which calls `use_gevent`
    return gevent_met


cdef Runtime gevent_runtime():
    """Return the runtime of gevent's hub in this OS thread, or None."""
    return gevent_here() if meet_gevent() else None


def use_gevent(here):
    """Have ``here()`` asked for the runtime of gevent's hub in this OS thread; None: no hub."""
    global gevent_met, gevent_here, runtimes, quick_generation
    gevent_here = here
    if not gevent_met:
        gevent_met = True
        runtimes += 1
        quick_generation = <unsigned int> -1


cdef inline bint may_be_quick(unsigned int born):
    """While some OS thread has a runtime: may a call be made at once, as it may while none has?"""
    global ratchet_unasked
    if born != generation:
        return False
    if ratchet_runtime_here == NULL:
        if not gevent_met:
            return True
        if ratchet_unasked <= 1:
            return False  # `breathe` asks
        ratchet_unasked -= 1
        return True
    if (<Runtime> ratchet_runtime_here).budget <= 1:
        return False  # `breathe` lets the others run
    (<Runtime> ratchet_runtime_here).budget -= 1
    return True


def set_runtime(Runtime runtime):
    """Make ``runtime`` the one of this OS thread; None: it has none any more."""
    put_runtime(runtime)


cdef void put_runtime(Runtime runtime) noexcept:
    global runtimes, quick_generation
    global ratchet_runtime_here
    runtimes += (runtime is not None) - (ratchet_runtime_here != NULL)
    quick_generation = generation if runtimes == 0 else <unsigned int> -1
    ratchet_runtime_here = <void *> runtime if runtime is not None else NULL


def breathe_here():
    """Do what each call does first: a caller that never pauses lets the others run."""
    breathe()
