# The calls that pause the thread that makes them, each with its fast path: one flag, one try.

cdef class PausingSocket(Core):
    """The calls that pause the thread that makes them."""

    def send(self, data, more=False, *, timeout=...):
        """Send one part; pause until libzmq has taken the message.

        Parts sent with ``more`` are kept until the last one, then sent as one message. Other
        threads that send meanwhile pause.

        Args:
            data: bytes, or any object with a C-contiguous buffer, which is not read after the call.
            more (bool): another part of the same message follows.
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Raises:
            Timeout: no peer could take it in time; nothing was sent, earlier parts are still kept.
            StateError: a REQ or REP out of turn.
            TypeError, BufferError: not bytes-like, or not contiguous.
        """
        cdef Py_buffer view
        cdef double limit = limit_of(self, SEND, timeout)
        cdef int taken
        breathe()
        if self.born != generation:
            self.alive("send")
        if more:
            self.hold(snapshot(data), limit)
            return
        if not self.tx.shut:
            if type(data) is bytes:
                taken = self.put(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            else:
                get_view(data, &view)
                try:
                    self.alive("send")
                    taken = self.put(<char *> view.buf, view.len)
                    if not taken:
                        data = PyBytes_FromStringAndSize(<char *> view.buf, view.len)
                finally:
                    PyBuffer_Release(&view)
            if taken:
                self.after()
                return
        self.proceed(SEND, snapshot(data), limit)

    cdef int hold(self, bytes data, double limit) except -1:
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        if self.tx.shut:
            self.proceed(HOLD, data, limit)
        else:
            self.attempt(HOLD, data, None)
        return 0

    def send_multipart(self, parts, *, timeout=...):
        """Send one whole message of many parts; atomic, whatever happens.

        Args:
            parts: an iterable of bytes-like parts, at least one.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
        """
        cdef double limit = limit_of(self, SEND, timeout)
        cdef list message = to_messages(parts, "parts")
        if not message:
            raise errors.argument_error("a message has at least one part; b'' is one")
        breathe()
        self.alive("send")
        if not self.tx.shut and self.put_all(message):
            self.after()
            return
        self.proceed(SEND_MULTIPART, message, limit)

    def send_many(self, messages, *, timeout=...):
        """Send many messages of one part each.

        Args:
            messages: an iterable of bytes-like messages.
            timeout: seconds for the whole call, instead of the socket's; 0: what can go now.

        Returns:
            int: how many, which is all of them.

        Raises:
            Timeout: the exception's ``taken`` says how many went; the rest did not.
        """
        cdef double limit = limit_of(self, SEND, timeout)
        cdef Batch batch = Batch(messages, 0)
        breathe()
        self.alive("send")
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        try:
            if not self.tx.shut and self.put_many(batch):
                self.after()
                return batch.count
            return self.proceed(SEND_MANY, batch, limit)
        except BaseException as error:
            error.taken = batch.taken
            raise

    def recv(self, *, timeout=...):
        """Receive one part; pause until there is one.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            tuple[bytes, bool]: the part, and whether more parts of the same message follow.

        Raises:
            Timeout: nothing came in time.
            StateError: a REQ or REP out of turn.
        """
        return receive(self, RECV, None, limit_of(self, RECV, timeout))

    def recv_all(self, *, timeout=...):
        """Receive every part of one message, joined: bytes. In mid-message, what is left of it."""
        return receive(self, RECV_ALL, None, limit_of(self, RECV, timeout))

    def recv_multipart(self, *, timeout=...):
        """Receive one whole message: a list of its parts. In mid-message, what is left of it."""
        return receive(self, RECV_MULTIPART, None, limit_of(self, RECV, timeout))

    def recv_many(self, max, *, timeout=...):
        """Receive messages: pause for the first, then take what else is there, up to ``max``.

        Returns:
            list[bytes]: at least one message; the parts of a multi-part one are joined.
        """
        cdef double limit = limit_of(self, RECV, timeout)
        return receive(self, RECV_MANY, to_most(max), limit)

    def __iter__(self):
        """``for data in zsock``: `recv_all` until the socket is closed, or its timeout raises."""
        return self

    def __next__(self):
        try:
            return receive(self, RECV_ALL, None, self._recv_timeout)
        except errors.ClosedError:
            return stop()


cdef inline object receive(PausingSocket zsock, Op op, object arg, double limit):
    """The fast path of every receive. Inline, so that the compiler knows the op."""
    breathe()
    if zsock.born != generation:
        zsock.alive("receive")
    if not zsock.rx.shut:
        if op == RECV:
            result = zsock.get_part(None)
        elif op == RECV_ALL:
            result = zsock.get_joined()
        else:
            result = zsock.attempt(op, arg, None)
        if result is not NOT_NOW:
            zsock.after()
            return result
    return zsock.proceed(op, arg, limit)


cdef object stop():
    raise StopIteration
