# Layer 8. The calls that may pause, each written once for all kinds of threads.
#
# A method here checks its arguments and hands its operation to `perform`, which a subclass
# supplies: one performs at once and blocks (`blocking.pxi`), the other returns what a task awaits
# (`awaitable.pxi`).

cdef inline double send_limit(SocketBase zsock, timeout) except? -2:
    """Return the seconds that a send may take: the call's own timeout, or the socket's."""
    return zsock._send_timeout if timeout is UNSET else to_seconds(timeout)


cdef inline double recv_limit(SocketBase zsock, timeout) except? -2:
    """Return the seconds that a receive may take."""
    return zsock._recv_timeout if timeout is UNSET else to_seconds(timeout)


cdef object tracked(SocketBase zsock, what, bint publishes):
    """Return the `Peers` of a socket, or raise if it was not made to know them."""
    zsock.require(what)
    if zsock._peers is None:
        raise errors.StateError(
            errno.EPERM,
            f"{zsock.describe()}: cannot {what}: the socket does not keep track; make it with "
            "track_peers=True",
        )
    if publishes and not zsock.counts:
        raise errors.Error(
            errno.ENOTSUP, f"{zsock.describe()}: cannot {what}: only a PUB or XPUB has subscribers")
    return zsock._peers


cdef class Calls(EndpointSocket):
    """Every call that sends or receives."""

    cdef bint count_subscribers(self) noexcept:
        cdef int left = TRIES
        cdef list caught = None
        cdef bint taken = False
        while left > 0:
            try:
                taken = take_in_subscriptions(self)
                break
            except BaseException as error:
                left -= 1
                caught = also(caught, error)
        if caught is not None:
            postpone(caught, left > 0, self)
        return taken

    @property
    def peers(self):
        """Who is connected, with the handshake done: a tuple of `Peer`. Needs ``track_peers``."""
        return tracked(self, "tell its peers", False).peers()

    def subscribers(self, prefix=None):
        """Count the connections that have subscribed. Needs ``track_peers``; on PUB and XPUB.

        Args:
            prefix (bytes): only those that want messages which begin so; None: to anything.

        Returns:
            int: how many there are.

        Raises:
            StateError: the socket was made without ``track_peers=True``.
        """
        return tracked(self, "count subscribers", True).subscribers(prefix)

    cdef object perform(self, const Operation *op, object arg, double limit):
        """Perform ``op`` within ``limit`` seconds, in the way of this kind of socket."""
        raise NotImplementedError

    def send(self, data, more=False, *, timeout=..., copy=True):
        """Send one part; pause until libzmq has taken the message.

        Parts sent with ``more`` are held until the last one, then sent as one message. Other
        callers that send meanwhile pause.

        Args:
            data: bytes, or any object with a C-contiguous buffer, which is not read after the call.
            more (bool): another part of the same message follows.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
            copy (bool): False: libzmq reads the buffer when it sends it; the buffer must not change
                until the tracker is done, and cannot be resized. Bytes from 8 KiB on are never
                copied.

        Returns:
            None, or with ``copy=False`` the `Tracker`.

        Raises:
            Timeout: no peer could take it in time; nothing was sent, earlier parts are still held.
            StateError: a REQ or REP that must receive first.
            TypeError, BufferError: not bytes-like, or not contiguous.
        """
        cdef double limit = send_limit(self, timeout)
        if more and not self.kind.sends:
            raise self.fail(ENOTSUP, "send")
        if more or not copy:
            part = snapshot(data) if copy else Loan(data, Tracker())
            return self.perform(&HOLD if more else &SEND, part, limit)
        return self.send_copy(data, limit)

    cdef object send_copy(self, data, double limit):
        """Send one part, which is the last of its message."""
        return self.perform(&SEND, snapshot(data), limit)

    def send_multipart(self, parts, *, timeout=..., copy=True):
        """Send one whole message of one or more parts: all of them, or none.

        Args:
            parts: an iterable of bytes-like parts, at least one.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
            copy (bool): False: as for `send`; the `Tracker` returned is done when all parts are.

        Returns:
            None, or with ``copy=False`` the `Tracker`.

        Raises:
            Timeout: no peer could take it in time; nothing was sent.
            StateError: a REQ or REP that must receive first.
            TypeError, BufferError: a part is not bytes-like, or not contiguous.
            ValueError: there is no part.
        """
        cdef double limit = send_limit(self, timeout)
        cdef list message = to_messages(parts, "parts", None if copy else Tracker())
        if not message:
            raise errors.argument_error("a message has at least one part; b'' is one")
        return self.perform(&SEND_MULTIPART, message, limit)

    def send_many(self, messages, *, timeout=...):
        """Send many messages of one part each.

        Args:
            messages: an iterable of bytes-like messages.
            timeout: seconds for the whole call, instead of the socket's; 0: what can go now.

        Returns:
            int: how many were sent, which is all of them.

        Raises:
            Timeout: ``taken`` of the exception says how many were sent; the rest were not.
        """
        cdef double limit = send_limit(self, timeout)
        cdef Batch batch = None
        try:
            if not self.kind.sends:
                raise self.fail(ENOTSUP, "send")
            batch = Batch(messages)
            return self.perform(&SEND_MANY, batch, limit)
        except BaseException as error:
            error.taken = 0 if batch is None else batch.sent
            raise

    def recv(self, *, timeout=...):
        """Receive one part; pause until there is one.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            tuple[bytes, bool]: the part, and whether more parts of the same message follow.

        Raises:
            Timeout: nothing came in time.
            StateError: a REQ or REP that must send first.
        """
        return self.perform(&RECV, None, recv_limit(self, timeout))

    def recv_all(self, *, timeout=...):
        """Receive every part of one message, joined. In mid-message, what is left of it.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            bytes: the message.

        Raises:
            Timeout, StateError: as for `recv`.
        """
        return self.perform(&RECV_ALL, None, recv_limit(self, timeout))

    def recv_multipart(self, *, timeout=...):
        """Receive one whole message. In mid-message, what is left of it.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            list[bytes]: its parts.

        Raises:
            Timeout, StateError: as for `recv`.
        """
        return self.perform(&RECV_MULTIPART, None, recv_limit(self, timeout))

    def recv_many(self, max, *, timeout=...):
        """Receive messages: pause for the first, then take what else is there, up to ``max``.

        In asyncio at most 2000 messages at once, so that the loop runs.

        Args:
            max (int): how many messages to take at most.
            timeout: seconds to wait for the first, instead of the socket's; 0: now or never.

        Returns:
            list[bytes]: at least one message; the parts of a multi-part one are joined.

        Raises:
            Timeout, StateError: as for `recv`.
            ValueError: ``max`` is less than 1.
        """
        cdef double limit = recv_limit(self, timeout)
        return self.perform(&RECV_MANY, to_most(max), limit)

    def recv_frame(self, *, timeout=...):
        """Receive one part without a copy.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            Frame: the part; its ``more`` tells whether others follow.

        Raises:
            Timeout, StateError: as for `recv`.
        """
        return self.perform(&RECV_FRAME, None, recv_limit(self, timeout))

    def recv_frames(self, *, timeout=...):
        """Receive one whole message without a copy. In mid-message, what is left of it.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            list[Frame]: its parts.

        Raises:
            Timeout, StateError: as for `recv`.
        """
        return self.perform(&RECV_FRAMES, None, recv_limit(self, timeout))

    def recv_into(self, buffer, *, timeout=...):
        """Receive one part into a writable buffer, such as a bytearray or a numpy array.

        `is_rcvmore` tells if others follow.

        Args:
            buffer: an object with a writable, C-contiguous buffer.
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            int: the size of the part, in bytes.

        Raises:
            Timeout, StateError: as for `recv`.
            ValueError: the part is larger than the buffer; it stays the next one for this caller.
            BufferError: the buffer is not writable, or not contiguous.
        """
        return self.perform(&RECV_INTO, Target(buffer), recv_limit(self, timeout))

    def recv_latest(self, *, timeout=...):
        """Receive the newest message that is there, its parts joined. Older ones are dropped.

        Args:
            timeout: seconds to wait if there is none, instead of the socket's; 0: now or never.

        Returns:
            bytes: the message.

        Raises:
            Timeout: nothing came in time.
            Error: ENOTSUP on REQ and REP, which owe or are owed an answer to each message.
        """
        self.refuse_lock_step("recv_latest")
        return self.perform(&RECV_LATEST, None, recv_limit(self, timeout))

    def recv_latest_multipart(self, *, timeout=...):
        """Receive the newest message that is there. Older ones are dropped.

        Args:
            timeout: seconds to wait if there is none, instead of the socket's; 0: now or never.

        Returns:
            list[bytes]: its parts.

        Raises:
            Timeout: nothing came in time.
            Error: ENOTSUP on REQ and REP, which owe or are owed an answer to each message.
        """
        self.refuse_lock_step("recv_latest_multipart")
        return self.perform(&RECV_LATEST_MULTIPART, None, recv_limit(self, timeout))

    def request(self, data, *, timeout=..., retries=0):
        """Send a request, and receive the answer to it. On a REQ.

        If no answer comes in time, the request is sent again. A late answer to an earlier request
        is dropped. Requests of several threads take turns. The first one sets ``req_relaxed`` and
        ``req_correlate``.

        Args:
            data: bytes, or any object with a C-contiguous buffer; or a list of them, the parts.
            timeout: seconds for each try, instead of the socket's. Waiting for the turn does not
                count.
            retries (int): how often to send again.

        Returns:
            bytes: the answer, its parts joined; for a list, a list of its parts.

        Raises:
            Timeout: no answer to the last try either; the socket can be used again.
            StateError: the answer to a plain ``send`` is still due, or to be received.
            ValueError: retries without a timeout.
            Error: ENOTSUP on a socket that is no REQ.
        """
        return self.perform(&REQUEST, self.question(data, recv_limit(self, timeout), retries), -1)

    cdef Request question(self, data, double limit, retries):
        """Make a Request of the arguments of `request`."""
        cdef Request asked
        if not self.kind.requests:
            raise errors.Error(
                errno.ENOTSUP,
                f"{self.describe()}: a {self.type} socket cannot request(), only a REQ; on others "
                "send and receive",
            )
        asked = Request(self, data, limit)
        asked.set_retries(retries)
        return asked

    cdef int refuse_lock_step(self, what) except -1:
        """Raise on a REQ or REP, where each message belongs to one answer."""
        if self.kind.requests or self.kind.replies:
            raise errors.Error(
                errno.ENOTSUP,
                f"{self.describe()}: {what}() drops messages, and a {self.type} receives one for "
                "each that it sends; use recv, or a DEALER or ROUTER",
            )
        return 0


cdef extern from "Python.h":
    object index_of "PyNumber_Index"(object thing)
    long long number_of "PyLong_AsLongLongAndOverflow"(object number, int *overflow) except? -1


cdef object to_most(most):
    """Convert the argument of recv_many: how many messages it may take."""
    cdef int overflow
    if type(most) is int and 1 <= number_of(most, &overflow) < 1 << 62:
        return most  # for speed
    if not is_whole(most):
        raise TypeError(f"recv_many takes a number of messages, not {kind_of(most)}")
    most = index_of(most)
    if not 1 <= most < 1 << 62:
        raise errors.argument_error(f"recv_many takes from one message up, not {most}")
    return most
