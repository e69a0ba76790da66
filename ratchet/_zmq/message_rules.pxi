# Layer 5. Messages that are refused before libzmq gets them: it would spoil them, or crash.

cdef int check_prefix(SocketBase zsock, what, Py_ssize_t size) except -1:
    """Raise for a prefix that would make libzmq overflow a thread's stack."""
    if size <= MAX_PREFIX:
        return 0
    raise errors.argument_error(
        f"{zsock.describe()}: cannot {what} a subscription to a prefix of {size} bytes: at most "
        f"{MAX_PREFIX} are accepted, since libzmq would overflow the stack; subscribe to the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
        if what == "send" else
        f"{zsock.describe()}: cannot {what} a prefix of {size} bytes: at most {MAX_PREFIX} are "
        "accepted, since libzmq would overflow the stack; use the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
    )
