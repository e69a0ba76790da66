# Layer 9. The socket whose calls block the thread that makes them, and its fast paths.

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
        try:
            return receive_all(self)
        except errors.ClosedError:
            return stop()


def wait_peers(Calls zsock not None, count, timeout):
    """Do what `wait_peers` of a socket whose calls block does, with a socket of any kind."""
    return tracked(zsock, "wait for peers", False).wait_peers(count, recv_limit(zsock, timeout))


def wait_subscribers(Calls zsock not None, prefix, count, timeout):
    """Do what `wait_subscribers` of a socket whose calls block does, with a socket of any kind."""
    return tracked(zsock, "wait for subscribers", True).wait_subscribers(
        prefix, count, recv_limit(zsock, timeout))


cdef object stop():
    raise StopIteration


cdef inline object receive_all(BlockingSocket zsock):
    """Receive a whole message within the socket's own timeout."""
    cdef int size
    breathe()
    if zsock.born == generation and not zsock.rx.contended:
        data = small_one(zsock.handle, &size)
        if data is None:
            return receive_other(zsock, size, True, zsock._recv_timeout)
        zsock.after()
        return data
    return zsock.perform(&RECV_ALL, None, zsock._recv_timeout)


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


# A call without keywords (of a send: with bytes), or with timeout=0, is made before its arguments
# are parsed, which would cost a quarter of it. These functions return a new reference, or NULL
# after an error; an error that is set here has no line of ours in its traceback, which costs more
# than all the rest of a call that finds nothing.

cdef str TIMEOUT_NAME = intern("timeout")
cdef object ZERO = 0
cdef object TIMEOUT = errors.Timeout
cdef Function usual_send, usual_recv, usual_recv_all

# For calls whose error is passed on as it is: Cython would add a line to the traceback.
ctypedef PyObject *(*Now)(BlockingSocket zsock, bint joined) noexcept
ctypedef PyObject *(*Quick)(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names, bint joined,
    Function usual
) noexcept


cdef inline bint is_now(PyObject *names, PyObject **args):
    """Return True if ``timeout=0`` is the only keyword."""
    return (
        length_of(names) == 1
        and item_of(names, 0) == <PyObject *> TIMEOUT_NAME and args[0] == <PyObject *> ZERO
    )


cdef inline bint is_quick(SocketBase zsock):
    """Return True if the call may be made at once: this process's socket, and nobody to let run."""
    return zsock.born == quick_generation or may_be_quick(zsock.born)


cdef PyObject *quick_send(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    if (
        count == 1 and names == NULL and is_bytes(args[0]) and size_of(args[0]) < <Py_ssize_t> LEND
        and is_quick(zsock) and not zsock.tx.contended
    ):
        if zmq_send(zsock.handle, start_of(args[0]), size_of(args[0]), ZMQ_DONTWAIT) >= 0:
            zsock.asked = ASKED | SENT
            zsock.after()
            return new_reference(None)
        zsock.after()
    return usual_send(zsock, args, count, names)


cdef inline PyObject *quick_receive(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names, bint joined,
    Function usual
) except? NULL:
    cdef int size
    if count == 0 and is_quick(zsock) and not zsock.rx.contended:
        if names == NULL:
            data = small_one(zsock.handle, &size)
            if data is None:
                return new_reference(receive_other(zsock, size, joined, zsock._recv_timeout))
            zsock.after()
            return new_reference(data if joined else single(data))
        if is_now(names, args):
            return (<Now> receive_now)(zsock, joined)
    return usual(zsock, args, count, names)


cdef PyObject *quick_recv(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    return (<Quick> quick_receive)(zsock, args, count, names, False, usual_recv)


cdef PyObject *quick_recv_all(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    return (<Quick> quick_receive)(zsock, args, count, names, True, usual_recv_all)


cdef PyObject *receive_now(BlockingSocket zsock, bint joined) except? NULL:
    """Receive with a timeout of 0."""
    # When a receive found nothing and no call since may have silenced the bell, the bell tells all.
    cdef bint empty = False
    if zsock.empty_since != zsock.touched or ratchet_readable(zsock.fd):
        try:
            result = try_recv_all(zsock, None, None) if joined else try_recv(zsock, None, None)
            empty = result is NOT_NOW
        finally:
            if empty:
                zsock.after_empty()
            else:
                zsock.after()
        if not empty:
            return new_reference(result)
    if zsock.empty_error_args is None:
        zsock.empty_error_args = timed_out(zsock, zsock.rx, 0).args
    ratchet_raise(TIMEOUT, zsock.empty_error_args)
    return NULL


usual_send = quicken(BlockingSocket, "send", <Function> quick_send)
usual_recv = quicken(BlockingSocket, "recv", <Function> quick_recv)
usual_recv_all = quicken(BlockingSocket, "recv_all", <Function> quick_recv_all)
