# Layer 0. Exceptions of signal handlers that come at a bad moment, raised when it is over.

cdef extern from "Python.h":
    ctypedef struct PyFrameObject:
        pass
    PyFrameObject *PyEval_GetFrame() noexcept
    int PyFrame_GetLasti(PyFrameObject *frame) noexcept
    int Py_AddPendingCall(int (*call)(void *) except -1, void *arg) noexcept
    int PyThreadState_SetAsyncExc(unsigned long ident, object kind) noexcept

cdef list postponed = []  # exceptions for the main thread
# The call that was being made then; the frame is only compared.
cdef PyFrameObject *not_in = NULL
cdef int not_at = -1


cdef void postpone(list caught, bint passing, where) noexcept:
    """Have exceptions raised in this thread, but not before the call that is being made is over.

    Args:
        passing: they came from outside, since the same was done without them afterwards.
    """
    global not_in, not_at
    cdef PyFrameObject *frame
    cdef Py_ssize_t left = len(caught)
    cdef unsigned long ident
    try:
        for error in caught:
            left -= 1
            if not current_thread_is_main():
                # No signal handlers run here, but the C API can end threads by exceptions.
                ident = PyThread_get_thread_ident()
                if passing and PyThreadState_SetAsyncExc(ident, type(error)) == 1:
                    continue
            elif passing or not isinstance(error, Exception):
                frame = PyEval_GetFrame()
                not_in, not_at = frame, -1 if frame == NULL else PyFrame_GetLasti(frame)
                postponed.append(error)
                if Py_AddPendingCall(raise_postponed, NULL) == 0:
                    continue
                postponed.pop()
            if passing or left == 0:  # what fails fails in the same way each time
                report(error, where)
    except BaseException as error:  # no memory
        report(error, where)


cdef int raise_postponed(void *nothing) except -1:
    """Raise the next one. Called by Python between two instructions of the main thread."""
    global not_in, not_at
    cdef PyFrameObject *frame = PyEval_GetFrame()
    # Python looks for signals right after a call, before its result has reached a variable.
    if frame != NULL and frame == not_in and PyFrame_GetLasti(frame) == not_at:
        if Py_AddPendingCall(raise_postponed, NULL) == 0:
            return 0
    not_in, not_at = NULL, -1
    if postponed:
        raise postponed.pop(0)
    return 0
