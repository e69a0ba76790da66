# Layer 0. What every file asks: errno to exception, timeout to seconds, the time, the OS thread.

# What Windows' C library has one number for and Python's errno module another: Winsock's.
cdef dict PYTHONS_ERRNO = {
    EADDRINUSE: errno.EADDRINUSE,
    EADDRNOTAVAIL: errno.EADDRNOTAVAIL,
    EAFNOSUPPORT: errno.EAFNOSUPPORT,
    ECONNABORTED: errno.ECONNABORTED,
    ECONNREFUSED: errno.ECONNREFUSED,
    ECONNRESET: errno.ECONNRESET,
    EHOSTUNREACH: errno.EHOSTUNREACH,
    EINPROGRESS: errno.EINPROGRESS,
    EMSGSIZE: errno.EMSGSIZE,
    ENETDOWN: errno.ENETDOWN,
    ENETRESET: errno.ENETRESET,
    ENETUNREACH: errno.ENETUNREACH,
    ENOBUFS: errno.ENOBUFS,
    ENOTCONN: errno.ENOTCONN,
    ENOTSOCK: errno.ENOTSOCK,
    EPROTONOSUPPORT: errno.EPROTONOSUPPORT,
    ETIMEDOUT: errno.ETIMEDOUT,
}


cdef from_errno(int number, what):
    """Make the exception for an errno: the only way from one to the other."""
    if number == ENOMEM:
        return MemoryError(what)
    reason = zmq_strerror(number).decode("utf-8", "replace")
    return errors.from_errno(PYTHONS_ERRNO.get(number, number), what, reason)


cdef void report(error, where) noexcept:
    """Hand an error that no caller can get to sys.unraisablehook."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)


cdef kind_of(value):
    return type(value).__name__


cdef inline double monotonic():
    """Return what Python's time.monotonic() does: deadlines come from both."""
    cdef double now = ratchet_clock()
    return now if now else python_monotonic()


cdef double to_number(value) except? -2:
    """Convert a number of seconds, wherever one is given: any real number, but no bool and no NaN.

    Raises:
        TypeError: it is no real number.
        ValueError: it is nan, or larger than a float can be; the text says which.
    """
    cdef double number
    if value is True or value is False:
        raise TypeError("must be a real number, not bool")
    try:
        number = value  # as float() does it, except that a str is refused
    except OverflowError:
        raise ValueError("out of range") from None
    if isnan(number):
        raise ValueError("nan")
    return number


cdef bint is_whole(value):
    """Return True if ``value`` can be a number of things: any integer, but no bool."""
    return value is not True and value is not False and hasattr(value, "__index__")


def real_number(value):
    """Return a number of seconds as a float, by the rule of `to_number`."""
    return to_number(value)


cdef double to_seconds(timeout) except? -2:
    """Convert a timeout argument to seconds; -1 stands for no limit."""
    cdef double limit
    if timeout is None:
        return -1
    try:
        limit = to_number(timeout)
    except TypeError:
        raise TypeError(
            f"timeout must be a number of seconds or None, not {kind_of(timeout)}"
        ) from None
    except ValueError as error:  # Decimal raises one for its signaling NaN too
        raise errors.argument_error(
            f"timeout {timeout} is {error}; give seconds, or None to wait for ever"
        ) from None
    return -1 if limit < 0 or limit == INFINITY else limit


cdef inline double deadline_of(double limit):
    """Return the monotonic time at which ``limit`` seconds (of `to_seconds`) are over."""
    return INFINITY if limit < 0 else monotonic() + limit


cdef inline double soon_if(bint knock, double until):
    """Return when a waiter tries again: at ``until``, or after REKNOCK if nobody may wake it."""
    return min(until, monotonic() + REKNOCK) if knock else until


def to_timeout(timeout):
    """Convert a timeout argument to seconds, -1 for no limit; raise if it is none."""
    return to_seconds(timeout)


def to_deadline(timeout):
    """Convert a timeout argument to the monotonic time when it ends; raise if it is none."""
    return deadline_of(to_seconds(timeout))


# Of the OS thread, also where gevent has put greenlets in the place of Python's threads.
cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef unsigned long main_ident = _platform.main_thread_ident()  # a fork changes it


cdef bint current_thread_is_main():
    return PyThread_get_thread_ident() == main_ident


def thread_ident():
    """Return the identifier of the OS thread that asks."""
    return PyThread_get_thread_ident()


def thread_is_main():
    """Return True in the OS thread that runs signal handlers."""
    return current_thread_is_main()
