# Layer 8. The socket whose calls block the thread that makes them.

cdef object CLOSED = errors.ClosedError  # found beforehand: at the exit modules are gone


cdef class BlockingSocket(Calls):
    """A socket whose calls pause the thread that makes them, of whatever kind."""

    cdef object perform(self, const Operation *op, object arg, double limit):
        return perform_now(self, op, arg, limit)

    cdef object send_copy(self, data, double limit):
        """Send one part; a buffer other than bytes goes into a message without a copy."""
        cdef Py_buffer view
        cdef bint sent = False, owed = True
        if type(data) is bytes or self.tx.contended:
            return self.perform(&SEND, snapshot(data), limit)
        breathe()
        get_view(data, &view)
        try:
            self.require("send")
            sent = put(self, <char *> view.buf, view.len)
            if not sent:
                data = PyBytes_FromStringAndSize(<char *> view.buf, view.len)
                owed = False  # it goes on
        finally:
            PyBuffer_Release(&view)
            if owed:
                self.after()
        if not sent:
            return proceed(self, &SEND, data, limit)

    def wait_peers(self, count=1, timeout=...):
        """Pause until so many peers are connected, with the handshake done. Needs ``track_peers``.

        Args:
            count (int): how many.
            timeout: seconds, instead of the socket's; 0: only look.

        Returns:
            int: how many there are.

        Raises:
            Timeout: there are fewer; it says what the connections are doing.
            StateError: the socket was made without ``track_peers=True``.
        """
        return wait_peers(self, count, timeout)

    def wait_subscribers(self, prefix=None, count=1, timeout=...):
        """Pause until so many connections have subscribed. Needs ``track_peers``; on PUB and XPUB.

        Args:
            prefix (bytes): only those that want messages which begin so; None: to anything.
            count (int): how many.
            timeout: seconds, instead of the socket's; 0: only look.

        Returns:
            int: how many there are.

        Raises:
            Timeout: there are fewer; it says what the connections are doing.
            StateError: the socket was made without ``track_peers=True``.
        """
        return wait_subscribers(self, prefix, count, timeout)

    def monitor(self, *events):
        """Tell what happens on the connections from now on (zmq_socket_monitor(3)).

        Args:
            events (str): names of libzmq's events without their prefix, such as ``"CONNECTED"``;
                none: all.

        Returns:
            Monitor: an iterator of `MonitorEvent`. Over inproc nothing is told.

        Raises:
            ValueError: there is no such event.
        """
        from .monitoring import Monitor

        return Monitor(self, events)

    def __iter__(self):
        """``for data in zsock``: `recv_all` until the socket is closed, or its timeout raises."""
        return self

    def __next__(self):
        cdef PyObject *found = (<Next> receive_all)(self)  # a try would cost a tenth of a receive
        if found == NULL and PyErr_ExceptionMatches(CLOSED):
            PyErr_Clear()
            return stop()
        return own(found)


def wait_peers(Calls zsock not None, count, timeout):
    """Do what `wait_peers` of a socket whose calls block does, with a socket of any kind."""
    return tracked(zsock, "wait for peers", False).wait_peers(count, recv_limit(zsock, timeout))


def wait_subscribers(Calls zsock not None, prefix, count, timeout):
    """Do what `wait_subscribers` of a socket whose calls block does, with a socket of any kind."""
    return tracked(zsock, "wait for subscribers", True).wait_subscribers(
        prefix, count, recv_limit(zsock, timeout))


cdef object stop():
    raise StopIteration


ctypedef PyObject *(*Next)(BlockingSocket zsock) noexcept


cdef PyObject *receive_all(BlockingSocket zsock) except NULL:
    """Receive a whole message within the socket's own timeout; a new reference."""
    cdef int size
    cdef PyObject *found
    breathe()
    if zsock.born == generation and not zsock.rx.contended:
        found = small_one(zsock.handle, &size, BYTES)
        if found == NULL:
            return new_reference(receive_other(zsock, size, True, zsock._recv_timeout))
        zsock.after()
        return found
    return new_reference(zsock.perform(&RECV_ALL, None, zsock._recv_timeout))


cdef object receive_other(BlockingSocket zsock, int size, bint joined, double limit):
    """Go on where there was no `small_one`."""
    cdef bint owed = True
    try:
        result = other_one(zsock, size, joined, None)
        owed = result is not NOT_NOW
        if owed:
            return result
    finally:
        if owed:
            zsock.after()
    return proceed(zsock, &RECV_ALL if joined else &RECV, None, limit)
