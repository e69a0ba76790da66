# One libzmq socket: its life, endpoints, options by number, and what it is ready for.

cdef class Remains:
    """What is left of a closed socket while somebody is about to watch its descriptor.

    Only then may the number be given back, for the next to get it would be taken for this one. At
    the exit event loops hold on to it too, until they have forgotten their duplicates.
    """
    cdef void *handle
    cdef unsigned int born
    cdef object __weakref__

    def __cinit__(self):
        self.born = generation
        remaining.add(self)

    cdef void close(self) noexcept:
        if self.born == generation:
            zmq_close(self.handle)
        self.handle = NULL

    def __dealloc__(self):
        self.close()


def exit_waits():
    """Is the exit waiting for event loops to forget what they watch?"""
    return letting_go


cdef class Core(Doorbell):
    """One libzmq socket and everything about it but pausing's kind and the options' names."""
    cdef void *handle
    cdef unsigned int born           # the process generation; 0 when there is no handle
    cdef unsigned int touched        # changes with each call that may have answered the bell
    cdef unsigned int dry            # what `touched` was when a receive found nothing
    cdef tuple nothing               # what to say then; made when it is needed first
    cdef bint can_send, can_recv, writable_tells, reads_ahead, used
    cdef bint tight                  # a REP with a low sndhwm
    cdef Form form                   # what its messages must look like
    cdef bint mandatory, raw, conflate  # options that decide on that
    cdef bint broken                 # libzmq would end the process at the next receive
    cdef Py_ssize_t fd
    cdef readonly str type
    cdef public double _recv_timeout, _send_timeout  # seconds; negative: for ever
    cdef public dict _remembered     # write-only options and what they were set to
    cdef public frozenset _judged    # options set so far that `_setup_fault` looks at, or None
    cdef list held                   # parts sent with more=True; their caller owns tx
    cdef list parts                  # parts taken and not handed out, last first; theirs owns rx
    cdef list ahead                  # whole messages taken before a call, parts as above or joined
    cdef list endpoints              # ("bound to" | "connected to", endpoint, as it was given)
    cdef frozenset given             # each connect_routing_id so far
    cdef object listener             # what `use_fd` gave (`_binding.pxi`), or None
    cdef object __weakref__

    def __init__(self, type="PAIR", **options):
        cdef int fd = -1
        cdef size_t size = sizeof(fd)
        cdef int64_t handle = 0
        cdef int number
        cdef int linger = <int> (DEFAULT_LINGER * 1000), one = 1
        if self.handle != NULL or self.type is not None:
            raise errors.StateError(errno.EALREADY, f"{self!r} exists already; make a new one")
        name = OLD_NAMES.get(type, str.__str__(type)) if isinstance(type, str) else None
        if name not in TYPES:
            raise errors.argument_error(
                f"unknown socket type {type!r}; it is one of {', '.join([*TYPES, *OLD_NAMES])}, "
                "in upper case"
            )
        self._recv_timeout = self._send_timeout = -1
        self.touched = 1
        self.given = NONE_GIVEN
        self.endpoints = []
        self.can_send = name not in ("PULL", "SUB")
        self.can_recv = name not in ("PUSH", "PUB")
        # Of these, "not writable" means no room; of others it may mean that sending is an error.
        self.writable_tells = name in ("PUSH", "DEALER", "PAIR")
        # Of these a look takes a message's first part from its connection.
        self.reads_ahead = name in ("SUB", "XSUB", "ROUTER", "REP")
        the_context()
        if 0 < max_sockets <= len(open_sockets):
            raise from_errno(EMFILE, f"cannot make a {name} socket")
        number = TYPES[name]
        if context != NULL:  # an exit may have begun meanwhile
            self.handle = zmq_socket(context, number)
        if self.handle == NULL:
            end_quietly()
            raise from_errno(zmq_errno(), f"cannot make a {name} socket")
        self.born = generation
        self.type = name
        self.mandatory, self.raw = name == "ROUTER", name == "STREAM"
        self.divert()
        zmq_setsockopt(self.handle, ZMQ_LINGER, &linger, sizeof(linger))
        if name == "ROUTER":
            zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &one, sizeof(one))
        if zmq_getsockopt(self.handle, ZMQ_FD, &fd, &size) == 0:
            self.fd = fd
        else:  # Windows has a SOCKET, which is a pointer's size
            size = sizeof(handle)
            if zmq_getsockopt(self.handle, ZMQ_FD, &handle, &size) < 0:
                raise from_errno(zmq_errno(), f"{self!r} has no descriptor")
            self.fd = <Py_ssize_t> handle
        open_sockets.add(self)
        if exiting:
            self.close(0)
            end_quietly()
        if options:
            try:
                self.set_options(options)
            except BaseException:
                self.close()
                raise

    def __del__(self):
        if self.born == generation:
            if not exiting:
                try:
                    warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
                except Warning as warning:  # they are errors here
                    report(warning, self)
            self.close()

    def __dealloc__(self):
        if self.born == generation:
            zmq_close(self.handle)

    # Life

    @property
    def closed(self) -> bool:
        """True once `close` was called, by whomever."""
        return self.handle == NULL

    def close(self, linger=None):
        """Close the socket: every call that is paused in it raises `ClosedError`. Idempotent.

        Args:
            linger: seconds to go on delivering what was sent, in the background; negative: for
                ever. None: as the ``linger`` option says (10 s unless it was set).
        """
        cdef void *handle
        cdef int ms
        cdef double limit
        if linger is not None:
            limit = to_seconds(linger)
            ms = -1 if limit < 0 or limit > 2_000_000 else <int> (limit * 1000 + 0.999)
            if self.born == generation:
                zmq_setsockopt(self.handle, ZMQ_LINGER, &ms, sizeof(ms))
        if self.handle == NULL:
            return
        if self.born == generation:
            self.free_endpoints()
        handle, self.handle = self.handle, NULL
        if self.born != generation:
            self.born = 0  # the parent's: not ours to touch
            return
        self.born = 0
        note_linger(self, handle)
        self.held = self.parts = self.ahead = self.listener = None
        self.rx.aside = self.tx.aside = None
        ratchet_collect()
        remains = Remains()
        remains.handle = handle
        try:
            self.wake_all()
            self.unwatch(remains)
        finally:
            if exiting and not letting_go:
                remains.close()
        open_sockets.discard(self)

    def __enter__(self):
        self.alive("enter")
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        state = "closed" if self.handle == NULL else "open"
        if self.handle != NULL and self.born != generation:
            state = "of the parent process"
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self.describe()}, {state}>"

    def __reduce__(self):
        raise TypeError(f"{self!r} cannot be copied or pickled; make a new one where it is needed")

    cdef describe(self):
        text = f"{self.type} socket"
        if self.endpoints:
            shown = []  # Cython 3.3.1 frees an item twice if a comprehension has no memory for it
            for how, endpoint, _ in self.endpoints[:3]:
                shown.append(f"{how} {endpoint}")
            if len(self.endpoints) > 3:
                shown.append(f"{len(self.endpoints) - 3} more")
            text += " " + ", ".join(shown)
        return text

    cdef int alive(self, what) except -1:
        """Raise unless the socket is open and of this process."""
        if self.born == generation:
            return 0
        if self.type is None:
            raise errors.ClosedError(errno.ENOTSOCK, f"cannot {what}: the socket was never made")
        if self.handle == NULL:
            end_quietly()
            raise errors.ClosedError(
                errno.ENOTSOCK, f"cannot {what}: the {self.describe()} is closed"
            )
        raise errors.ForkedError(
            errno.EBADF,
            f"cannot {what}: the {self.describe()} was made before a fork and belongs to the "
            "parent process; make a new one in the child",
        )

    cdef fail(self, int number, what):
        """The exception for a failed call, which may have answered the bell as any other."""
        self.after()
        if number == ENOTSOCK or number == ETERM:
            end_quietly()
            self.alive(what)
        if number == ENOTSUP:
            self.alive(what)
            return errors.Error(
                errno.ENOTSUP,
                f"cannot {what}: a {self.type} socket only "
                + ("receives" if not self.can_send else "sends"),
            )
        return from_errno(number, f"{self.describe()}: cannot {what}")

    # Endpoints

    def bind(self, endpoint):
        """Listen on ``endpoint``, such as ``"tcp://*:1337"`` (zmq_bind(3)); nothing more is needed.

        Returns:
            str: the endpoint as libzmq resolved it; port ``*`` has become a number.

        Raises:
            Error: EADDRINUSE, EADDRNOTAVAIL, EACCES, …
            ArgumentError: (a ValueError) not an endpoint.
        """
        endpoint = plain_endpoint(endpoint)
        data = c_endpoint(endpoint)
        self.admit(endpoint, True)
        if self.listener is not None and endpoint.startswith(("tcp://", "ipc://")):
            bind_listener(self, data, endpoint)
        else:
            bind_anew(self, data, endpoint)
        actual = self.last_endpoint or endpoint
        self.endpoints.append(("bound to", actual, endpoint))
        self.nothing = None
        self.after()
        return actual

    def connect(self, endpoint):
        """Connect to ``endpoint`` (zmq_connect(3)): in the background, whenever it is there.

        Returns:
            bool: True, always.
        """
        endpoint = plain_endpoint(endpoint)
        data = c_endpoint(endpoint)
        self.admit(endpoint, False)
        # libzmq 4.3 aborts when two connections of a ROUTER have one identity (router.cpp).
        identity = self._remembered and self._remembered.get("CONNECT_ROUTING_ID")
        if identity is not None and (identity in self.given or self.knows(identity)):
            raise errors.argument_error(
                f"{self.describe()}: connect_routing_id {identity!r} is taken by another "
                "connection, or was by one that is dropped"
            )
        self.endpoint_call(1, data, endpoint)
        if identity is not None:
            del self._remembered["CONNECT_ROUTING_ID"]
            self.given |= {identity}
        self.endpoints.append(("connected to", endpoint, endpoint))
        self.nothing = None
        self.after()
        return True

    def unbind(self, endpoint):
        """Stop listening on ``endpoint``, as it was given to `bind` or as `bind` returned it."""
        self.undo(2, "bound to", endpoint)

    def disconnect(self, endpoint):
        """Drop a connection made with `connect`, and what was queued for it (zmq_disconnect(3))."""
        self.undo(3, "connected to", endpoint)

    cdef int admit(self, str endpoint, bint binding) except -1:
        """Raise for a bind or connect that libzmq would take, and that can never come about."""
        cdef int number = errno.EINVAL
        what = f"{'bind' if binding else 'connect'} to {endpoint!r}"
        self.alive(what)
        why = endpoint_fault(endpoint, binding, self._get_int(ZMQ_IPV6))
        if why is None and self._judged is not None:
            why, number = self._setup_fault(endpoint, binding)
        if why is None and not binding and endpoint.startswith("ipc://") and os.name != "nt":
            why = no_socket_fault(endpoint[6:])
        if why is not None:
            raise errors.refusal(number, f"{self.describe()}: cannot {what}: {why}")
        return 0

    cdef bint knows(self, bytes identity) except -1:
        """Has a peer of this ROUTER that identity? Only to begin a message for it tells."""
        cdef int rc, flag = 1
        self.alive("connect")
        self.look()
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        rc = zmq_send(
            self.handle, <const char *> identity, len(identity), ZMQ_DONTWAIT | ZMQ_SNDMORE)
        if rc < 0:
            rc = 0 if zmq_errno() == EHOSTUNREACH else 1
        else:
            zmq_send(self.handle, NULL, 0, ZMQ_DONTWAIT)  # it cannot be taken back
            rc = 1
        flag = (self._remembered or {}).get("ROUTER_MANDATORY", 1)
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        return rc

    cdef undo(self, int which, str how, endpoint):
        endpoint = plain_endpoint(endpoint)
        data = c_endpoint(endpoint)
        entries = [e for e in self.endpoints or () if e[0] == how and endpoint in e[1:]]
        if entries:
            data = os.fsencode(entries[0][1])
        self.endpoint_call(which, data, endpoint)
        if entries:
            self.endpoints.remove(entries[0])
            if which == 2:
                give_up(entries[0][1], entries[0][2])
                while entries[0] in self.endpoints:  # two binds with one listener end together
                    self.endpoints.remove(entries[0])
            self.nothing = None
        self.after()

    cdef int free_endpoints(self) except -1:
        """Let others bind to what is about to be closed (`_binding.pxi`)."""
        for how, actual, given in self.endpoints:
            if how == "bound to":
                if actual.startswith("inproc://"):
                    data = os.fsencode(actual)
                    zmq_unbind(self.handle, <bytes> data)
                else:
                    give_up(actual, given)
        return 0

    cdef void divert(self) noexcept:
        """Which calls have more to do than the hot path does? `Traffic.attempt` does it."""
        self.form = TWO if self.raw else ADDRESSED if self.mandatory else ANY
        if self.conflate:
            self.form = ONE
        self.rx.detour = self.ahead is not None or self.conflate
        self.tx.detour = (
            self.tight or self.form != ANY or self.type == "XSUB"
            or (self.ahead is not None and self.type == "REP")
        )
        self.rx.update()
        self.tx.update()

    cdef int take_ahead(self) except -1:
        """Keep what a look has begun to read (`Traffic`)."""
        return 0

    cdef int endpoint_call(self, int which, bytes data, endpoint) except -1:
        cdef int rc, number
        cdef uint64_t threads = 0
        what = ("bind to", "connect to", "unbind from", "disconnect from")[which]
        what = f"{what} {endpoint!r}"
        self.alive(what)
        if which <= 1:
            # Out of descriptors, resolving a name aborts the process (ip_resolver.cpp, 4.3.4).
            head_room(3, what)
            threads = threads_for(self, endpoint if which else None)
        elif which == 3 and self.reads_ahead:
            self.take_ahead()
        while True:
            set_errno(0)  # of a malformed tipc address libzmq says nothing
            if which == 0:
                rc = ratchet_call_on(zmq_bind, self.handle, data, threads)
            elif which == 1:
                rc = ratchet_call_on(zmq_connect, self.handle, data, threads)
            elif which == 2:
                rc = zmq_unbind(self.handle, data)
            else:
                rc = zmq_disconnect(self.handle, data)
            if rc >= 0:
                self.used = True
                return 0
            number = zmq_errno()
            if number == EAGAIN:  # what it found in its mailbox before
                number = 0
            if number != EINTR:
                hint = bind_hint(number, endpoint) if which == 0 else None
                if hint is not None:
                    raise errors.refusal(number, f"{self.describe()}: cannot {what}: {hint}")
                raise self.fail(number or errno.EINVAL, what)  # tipc's may say nothing

    @property
    def last_endpoint(self) -> str:
        """The endpoint bound or connected last, as libzmq resolved it (ZMQ_LAST_ENDPOINT)."""
        try:
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, 1024)
        except errors.ArgumentError:  # longer than that
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, 1 << 20)
        return os.fsdecode(data.rstrip(b"\0"))

    # Options by number; `options.py` gives them names, units and types.

    def _get_int(self, int number):
        cdef int value = 0
        self.get_raw(number, &value, sizeof(value))
        return value

    def _get_int64(self, int number):
        cdef int64_t value = 0
        self.get_raw(number, &value, sizeof(value))
        return value

    def _get_uint64(self, int number):
        cdef uint64_t value = 0
        self.get_raw(number, &value, sizeof(value))
        return value

    def _get_bytes(self, int number, size_t size):
        buffer = bytearray(size)
        return bytes(buffer[:self.get_raw(number, <char *> buffer, size)])

    def _set_int(self, int number, int value):
        self.alive("set an option")
        if self.used and number in (ZMQ_SNDHWM, ZMQ_RCVHWM):
            # libzmq 4.3 tells the other end of the pipe, which may have been freed: a crash. And
            # whoever waits for room in a full pipe would never hear of it again.
            raise errors.StateError(
                errno.EBUSY,
                f"{self.describe()}: set high-water marks before bind and connect, best as "
                "arguments of new()",
            )
        self.refuse_late(number)
        self.set_raw(number, &value, sizeof(value))
        if number == ZMQ_ROUTER_MANDATORY:
            self.mandatory = value
        elif number == ZMQ_ROUTER_RAW:
            self.raw = value
        elif number == ZMQ_CONFLATE:
            self.conflate = value
        self.divert()
        if number == ZMQ_SNDHWM and self.type == "REP":
            # It drops a reply when it has not read that there is room: at most half the mark that
            # the peer has not told yet, and 100 messages between two times that libzmq reads.
            self.tight = 0 < value < 256
            self.divert()

    cdef int refuse_late(self, int number) except -1:
        """Raise for what libzmq takes after bind and connect, and then does not do."""
        if self.used and number == ZMQ_CONFLATE:
            raise errors.StateError(
                errno.EBUSY,
                f"{self.describe()}: set conflate before bind and connect, best as an argument of "
                "new(); it does nothing to the queues that are there",
            )
        return 0

    def _set_int64(self, int number, int64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_uint64(self, int number, uint64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_bytes(self, int number, bytes value not None):
        # Some options take "none" only as a NULL, not as a pointer to no bytes.
        self.set_raw(number, <const char *> value if value else NULL, len(value))

    cdef Py_ssize_t get_raw(self, int number, void *value, size_t size) except -1:
        self.alive("read an option")
        while zmq_getsockopt(self.handle, number, value, &size) < 0:
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno(), f"read option {number}")
        self.after()
        return size

    cdef int set_raw(self, int number, const void *value, size_t size) except -1:
        self.alive("set an option")
        while zmq_setsockopt(self.handle, number, value, size) < 0:
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno(), f"set option {number}")
        self.after()
        return 0

    def _listen_with(self, int descriptor):
        """Bind with a listener of the user's from now on; -1: with a new one, as usual."""
        self.alive("set an option")
        self.listener = None if descriptor < 0 else Listener(descriptor)

    def set_timeout(self, seconds):
        """How long every method that pauses may take. None (the default) or negative: for ever."""
        self._recv_timeout = self._send_timeout = to_seconds(seconds)

    def get_timeout(self):
        """The timeout in seconds, or None."""
        return None if self._recv_timeout < 0 else self._recv_timeout

    def subscribe(self, prefix):
        """Receive messages that begin with ``prefix`` (bytes; b"" for all): SUB and XSUB.

        On an XPUB with ``xpub_manual``: subscribe the peer whose request was received last.
        """
        self.filter(snapshot(prefix), True)

    def unsubscribe(self, prefix):
        """Undo one `subscribe` with the same prefix."""
        self.filter(snapshot(prefix), False)

    cdef int filter(self, bytes prefix, bint on) except -1:
        what = "subscribe" if on else "unsubscribe"
        self.alive(what)
        if self.type in ("SUB", "XSUB"):
            check_prefix(self, what, len(prefix))
        if self.type == "XSUB":
            prefix = (b"\1" if on else b"\0") + prefix
            asked = self.asked
            if not put_small(self, prefix, len(prefix)):
                raise self.fail(EAGAIN, what)
            self.asked = asked  # no message of the user's, for which the exit would linger
            self.after()
        elif self.type == "SUB" or (self._remembered or {}).get("XPUB_MANUAL"):
            number = ZMQ_SUBSCRIBE if on else ZMQ_UNSUBSCRIBE
            self.set_raw(number, <const char *> prefix, len(prefix))
        else:
            raise errors.argument_error(
                f"cannot {what} a {self.type} socket, only SUB, XSUB, and XPUB with xpub_manual"
            )
        return 0

    # State

    cdef Py_ssize_t descriptor(self) noexcept:
        return self.fd

    def get_fd(self):
        """ZMQ_FD, for an event loop: it may be time for `is_readable` (zmq_getsockopt(3))."""
        self.alive("get the descriptor")
        return self.fd

    def _duplicate(self):
        """A descriptor that rings as `get_fd`'s does and is the caller's own, to close as well.

        A loop has one reader for each number, so the program's own would take the place of ours.
        """
        cdef Py_ssize_t fd
        self.alive("wait")
        fd = ratchet_duplicate(self.fd)  # with the GIL: nobody closes the socket meanwhile
        if fd < 0:
            raise from_errno(zmq_errno(), f"{self.describe()}: cannot wait for it in an event loop")
        return fd

    def fileno(self):
        """The same as `get_fd`."""
        self.alive("get the descriptor")
        return self.fd

    def is_readable(self):
        """Would a receive have something at once?"""
        self.alive("look")
        return (self.answered() & RX) != 0

    def is_writable(self):
        """Would a send be taken at once?"""
        self.alive("look")
        return (self.answered() & TX) != 0

    def is_rcvmore(self):
        """Are parts of the message that is being received still to come?"""
        self.alive("look")
        return bool(self.parts)

    def ready_for(self, Waiter waiter not None):
        """Could ``waiter``, which has joined a line here, go on now? For who only wants to know."""
        cdef Line line = waiter.line
        cdef int events
        self.alive("wait")
        waiter.woken = False
        if line is None or line.turn(waiter) is not waiter:
            return False
        events = self.look()
        self.ring(events, waiter)
        return (events & line.event) != 0

    cdef int answered(self):
        cdef int events = self.look()
        if self.waiting:
            self.ring(events, None)
        return events

    cdef int look(self) noexcept:
        cdef int events = 0
        cdef size_t size = sizeof(events)
        self.touched += 1
        if self.born != generation:
            return RX | TX  # whoever waits shall find out
        while zmq_getsockopt(self.handle, ZMQ_EVENTS, &events, &size) < 0:
            if zmq_errno() != EINTR or self.born != generation:
                return RX | TX
        if self.parts is not None:
            events |= RX  # for their owner, who may have queued for them already
        if self.rx.aside is not None and self.rx.first is not None:
            if self.rx.first.caller in self.rx.aside:
                events |= RX  # it has come back for its parts
        if self.ahead is not None:
            events = RX if self.type == "REP" else events | RX  # libzmq has received it already
        return events

    cdef inline int after(self) noexcept:
        """Owed after each call on the socket (`_doorbell.pxi`)."""
        self.touched += 1
        if self.waiting:
            self.ring(self.look(), None)
        return 0
