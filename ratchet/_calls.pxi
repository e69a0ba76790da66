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
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
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
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
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
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
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
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        breathe()
        if self.born != generation:
            self.alive("receive")
        if not self.rx.shut:
            result = self.get_part(None)
            if result is not NOT_NOW:
                self.after()
                return result
        return self.proceed(RECV, None, limit)

    def recv_all(self, *, timeout=...):
        """Receive every part of one message, joined: bytes. In mid-message, what is left of it."""
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        if self.born != generation:
            self.alive("receive")
        return self.joined(limit)

    cdef object joined(self, double limit):
        breathe()
        if not self.rx.shut:
            result = self.get_joined()
            if result is not NOT_NOW:
                self.after()
                return result
        return self.proceed(RECV_ALL, None, limit)

    def recv_multipart(self, *, timeout=...):
        """Receive one whole message: a list of its parts. In mid-message, what is left of it."""
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        breathe()
        self.alive("receive")
        if not self.rx.shut:
            result = self.get_parts()
            if result is not None:
                self.after()
                return result
        return self.proceed(RECV_MULTIPART, None, limit)

    def recv_many(self, max, *, timeout=...):
        """Receive messages: pause for the first, then take what else is there, up to ``max``.

        Returns:
            list[bytes]: at least one message; the parts of a multi-part one are joined.
        """
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        cdef Py_ssize_t most = to_most(max)
        breathe()
        self.alive("receive")
        if not self.rx.shut:
            result = self.get_many(most)
            if result is not NOT_NOW:
                self.after()
                return result
        return self.proceed(RECV_MANY, most, limit)

    def __iter__(self):
        """``for data in zsock``: `recv_all` until the socket is closed, or its timeout raises."""
        return self

    def __next__(self):
        if self.born != generation and self.handle == NULL:
            return stop()
        self.alive("receive")
        try:
            return self.joined(self._recv_timeout)
        except errors.ClosedError:
            return stop()


cdef object stop():
    raise StopIteration
