# Layer 4. The end of a context, in a thread of C: zmq_ctx_term waits, and cannot be interrupted.

cdef extern from *:
    """
    #include <pythread.h>
    /* What the thread and whoever waits for it share; the last of them to go frees it. */
    typedef struct {
        void *context;
        PyThread_type_lock over;  /* released by the thread */
        int users;
    } ratchet_ending;
    static void ratchet_leave_ending(ratchet_ending *ending) {
        if (ending == NULL || RATCHET_ADD(&ending->users, -1) > 0) return;
        PyThread_free_lock(ending->over);
        free(ending);
    }
    static void ratchet_end_context(void *arg) {
        ratchet_ending *ending = arg;
        while (zmq_ctx_term(ending->context) < 0 && zmq_errno() == EINTR) {}
        PyThread_release_lock(ending->over);
        ratchet_leave_ending(ending);
    }
    /* Start it; NULL: no thread, or no memory. */
    static ratchet_ending *ratchet_begin_ending(void *context) {
        ratchet_ending *ending = malloc(sizeof(ratchet_ending));
        if (ending == NULL) return NULL;
        ending->context = context;
        ending->users = 2;
        ending->over = PyThread_allocate_lock();
        if (ending->over != NULL) {
            PyThread_acquire_lock(ending->over, 1);
            if (PyThread_start_new_thread(ratchet_end_context, ending)
                    != PYTHREAD_INVALID_THREAD_ID)
                return ending;
            PyThread_release_lock(ending->over);
            PyThread_free_lock(ending->over);
        }
        free(ending);
        return NULL;
    }
    static int ratchet_ending_over(ratchet_ending *ending, int ms) {
        if (!PyThread_acquire_lock_timed(ending->over, 1000LL * ms, 0)) return 0;
        PyThread_release_lock(ending->over);
        return 1;
    }
    """
    ctypedef struct ratchet_ending:
        pass
    void ratchet_leave_ending(ratchet_ending *ending) noexcept
    ratchet_ending *ratchet_begin_ending(void *context) noexcept
    bint ratchet_ending_over(ratchet_ending *ending, int ms) noexcept nogil


cdef class ContextEnd:
    """The end of one context, under way or over."""
    cdef ratchet_ending *ending

    def __dealloc__(self):
        ratchet_leave_ending(self.ending)

    cdef bint over_within(self, int ms) except -1:
        """Wait so many milliseconds without the GIL; return True if it has ended."""
        cdef bint over
        with nogil:
            over = ratchet_ending_over(self.ending, ms)
        return over


cdef ContextEnd end_of(void *context):
    """Begin to end a context; None: no thread could be started."""
    end = ContextEnd()
    end.ending = ratchet_begin_ending(context)
    return None if end.ending == NULL else end
