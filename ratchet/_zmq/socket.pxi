# Layer 5. One libzmq socket: its life, its fields, and what it is ready for.
#
# All its fields are declared here. How it moves messages is in `send.pxi` and `receive.pxi`; its
# options are in `raw_options.pxi`, its endpoints in `endpoints.pxi`, its calls in `calls.pxi`.

cdef describe_socket(type, endpoints):
    """Name a socket by its type and up to three endpoints."""
    text = f"{type} socket"
    if endpoints:
        shown = []  # Cython 3.3.1 frees an item twice if a comprehension has no memory for it
        for how, endpoint, _ in endpoints[:3]:
            shown.append(f"{how} {endpoint}")
        if len(endpoints) > 3:
            shown.append(f"{len(endpoints) - 3} more")
        text += " " + ", ".join(shown)
    return text


cdef class SocketBase(Doorbell):
    """A libzmq socket: its life and readiness.

    It knows neither how callers pause nor the names of options.
    """
    cdef void *handle
    cdef unsigned int born           # the process generation; 0 when there is no handle
    cdef unsigned int touched        # changes with each call that may have silenced the bell
    cdef unsigned int looked_at      # what `touched` was at the last look
    cdef int events                  # what that look told
    cdef unsigned int empty_since    # what `touched` was when a receive found nothing
    cdef tuple empty_error_args      # of the Timeout then; made when it is first needed
    cdef object kind                 # its row in `socket_types.py`
    cdef bint used                   # it has been bound or connected
    cdef bint low_sndhwm             # it drops replies unless it looks first (LOW_SNDHWM)
    cdef bint mandatory, raw, conflate  # options that decide on `form`
    cdef Form form                   # what its messages must look like (`messages.pxi`)
    cdef bint broken                 # libzmq would end the process at the next receive
    cdef Py_ssize_t fd, took         # its descriptor; messages of the last recv_many
    cdef readonly str type
    cdef public double _recv_timeout, _send_timeout  # seconds; negative: for ever
    cdef public dict _remembered     # write-only options and what they were set to
    cdef public frozenset _judged    # options set so far that `_setup_fault` looks at, or None
    cdef public object _access       # who may connect (`_access.py`), or None: anybody
    cdef list held                   # parts sent with more=True; their caller owns tx
    cdef list parts                  # parts taken and not handed out, last first; theirs owns rx
    cdef list prefetched             # whole messages taken before a call, parts as above or joined
    cdef list endpoints              # ("bound to" | "connected to", endpoint, as it was given)
    cdef frozenset used_identities   # each connect_routing_id so far
    cdef object asking               # the request whose turn it is (`request.pxi`), or None
    cdef object listener             # what `use_fd` gave, a Listener (`binding.pxi`), or None
    cdef ProgramContext home         # its context, of the program's own; None: the process's
    cdef Feed feed                   # the events of its connections, if anybody has asked for them
    cdef readonly object _peers      # with track_peers, its Peers (`peers.py`)
    cdef list inproc_links           # (name, weak reference, it has connected, since); or None
    cdef dict wanted                 # prefix -> how often it has subscribed to that; or None
    cdef bint counts                 # subscribers: a publisher with track_peers
    cdef object __weakref__

    def __init__(self, type="PAIR", **options):
        cdef int fd = -1
        cdef size_t size = sizeof(fd)
        cdef int64_t handle = 0
        if self.handle != NULL or self.type is not None:
            raise errors.StateError(errno.EALREADY, f"{self!r} exists already; make a new one")
        name = OLD_NAMES.get(type, str.__str__(type)) if isinstance(type, str) else None
        if name not in TYPES:
            raise errors.argument_error(
                f"unknown socket type {type!r}; it is one of {', '.join([*TYPES, *OLD_NAMES])}, "
                "in upper case"
            )
        track = options.pop("track_peers", False)
        if track is not True and track is not False:
            raise TypeError(f"track_peers is True or False, not {kind_of(track)}")
        self._recv_timeout = self._send_timeout = -1
        self.touched = 1
        self.used_identities = NO_IDENTITIES
        self.endpoints = []
        self.kind = TYPES[name]
        meet_gevent()
        self.handle = self.new_handle(name, self.kind.tracked if track else self.kind.number)
        if self.handle == NULL:
            end_quietly()
            raise from_errno(zmq_errno(), f"cannot make a {name} socket")
        self.born = generation
        self.type = name
        self.raw = self.kind.raw
        self.set_defaults()
        self.update_bypass()
        if zmq_getsockopt(self.handle, ZMQ_FD, &fd, &size) == 0:
            self.fd = fd
        else:  # Windows has a SOCKET, which is a pointer's size
            size = sizeof(handle)
            if zmq_getsockopt(self.handle, ZMQ_FD, &handle, &size) < 0:
                raise from_errno(zmq_errno(), f"{self!r} has no descriptor")
            self.fd = <Py_ssize_t> handle
        open_sockets.add(self)
        if self.home is not None:
            self.home.sockets.add(self)
        if exiting:
            self.close(0)
            end_quietly()
        if options or track:
            try:
                if track:
                    self._track_peers()
                self.set_options(options)
            except BaseException:
                self.close()
                raise

    cdef void *new_handle(self, str name, int number) except? NULL:
        """Make libzmq's socket; NULL: errno says why not."""
        if self.home is not None:
            return self.home.new_socket(number)
        the_context()
        if 0 < max_sockets <= len(open_sockets) - sockets_in_program_contexts():
            raise from_errno(EMFILE, f"cannot make a {name} socket")
        # An exit may have begun meanwhile.
        return NULL if context == NULL else zmq_socket(context, number)

    cdef Caller caller(self):
        return caller_here()  # whose a message is that is received part by part

    cdef void set_defaults(self) noexcept:
        """Set what is other than libzmq's; in a program's own context only the batches."""
        cdef int linger = <int> (DEFAULT_LINGER * 1000), one = 1
        self.mandatory = self.home is None and self.kind.routes
        if self.home is None:
            zmq_setsockopt(self.handle, ZMQ_LINGER, &linger, sizeof(linger))
        if self.mandatory:
            zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &one, sizeof(one))
        if self.home is None and self.kind.subscribes == "option":
            zmq_setsockopt(self.handle, ZMQ_SNDHWM, &SUB_SNDHWM, sizeof(SUB_SNDHWM))
        if batches:
            zmq_setsockopt(self.handle, IN_BATCH_SIZE, &DEFAULT_IN_BATCH, sizeof(int))
            zmq_setsockopt(self.handle, OUT_BATCH_SIZE, &DEFAULT_OUT_BATCH, sizeof(int))

    def __del__(self):
        if self.born == generation:
            if not exiting and self.home is None:
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
        """True once the socket has been closed, by any thread."""
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
        if self.feed is not None:
            self.feed.end()
        if self.asked & SENT:
            note_linger(handle, self.fd, self.type, self.endpoints, self.home is not None)
        self.held = self.parts = self.prefetched = self.listener = None
        if self._access is not None:
            self._access.closed()
        self.rx.aside = self.tx.aside = None
        ratchet_collect()
        closing = ClosingHandle()
        closing.handle = handle
        closing.home = self.home
        try:
            self.wake_all()
            self.unwatch(closing)
        finally:
            if exiting and not letting_go:
                closing.close()
        open_sockets.discard(self)
        if self.home is not None:
            self.home.sockets.discard(self)

    cdef int free_endpoints(self) except -1:
        """Let others bind to the endpoints of a socket that is about to be closed."""
        return 0

    def __enter__(self):
        self.require("enter")
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
        """Return its type and endpoints, for messages."""
        return describe_socket(self.type, self.endpoints)

    def _described(self):
        """Return the same, for Python."""
        return self.describe()

    cdef int require(self, what) except -1:
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
        """Make the exception for a failed call."""
        if number == ENOTSOCK or number == ETERM:
            end_quietly()
            self.require(what)
        if number == ENOTSUP:
            self.require(what)
            return errors.Error(
                errno.ENOTSUP,
                f"cannot {what}: a {self.type} socket only "
                + ("sends" if self.kind.sends else "receives"),
            )
        return from_errno(number, f"{self.describe()}: cannot {what}")

    def set_timeout(self, seconds):
        """Limit every method that pauses.

        Args:
            seconds: how long each call may take; 0: now or never; None or negative: no limit.

        Raises:
            TypeError, ValueError: not a number of seconds.
        """
        self._recv_timeout = self._send_timeout = to_seconds(seconds)

    def get_timeout(self):
        """Return the timeout of receiving calls in seconds (float); None: no limit."""
        return None if self._recv_timeout < 0 else self._recv_timeout

    # State

    cdef void update_bypass(self) noexcept:
        """Recompute `form`, and which directions must bypass the fast path to do more work.

        `before_send` and `before_receive` do it.
        """
        self.form = (
            ONE_PART if self.conflate
            else PEER_AND_DATA if self.raw
            else PEER_AND_PARTS if self.mandatory
            else ANY_PARTS
        )
        self.rx.bypass_fast_path = self.prefetched is not None or self.conflate or self.counts
        self.tx.bypass_fast_path = (
            self.low_sndhwm
            or self.counts
            or self.form != ANY_PARTS
            or self.kind.subscribes == "message"
            or (self.prefetched is not None and (self.kind.replies or self.kind.requests))
        )
        self.rx.update()
        self.tx.update()

    cdef void abandon(self, Line line) noexcept:
        """Drop the half of a message that is there."""
        if line is self.tx:
            self.held = None
        else:
            self.parts = None
        self.set_owner(line, None)

    cdef Py_ssize_t descriptor(self) noexcept:
        return self.fd

    def get_fd(self):
        """Return libzmq's descriptor of the socket (int), for an event loop (zmq_getsockopt(3)).

        When it becomes readable, something has happened: ask `is_readable` and `is_writable`.
        """
        self.require("get the descriptor")
        return self.fd

    def _duplicate(self):
        """Return a descriptor that rings as `get_fd`'s does, for the caller to watch and close.

        A loop has one reader for each number, so the program's own would take the place of ours.
        """
        cdef Py_ssize_t fd
        self.require("wait")
        fd = ratchet_duplicate(self.fd)  # with the GIL: nobody closes the socket meanwhile
        if fd < 0:
            raise from_errno(zmq_errno(), f"{self.describe()}: cannot wait for it in an event loop")
        return fd

    def fileno(self):
        """The same as `get_fd`."""
        self.require("get the descriptor")
        return self.fd

    def is_readable(self):
        """Return True if a receive would have something at once."""
        self.require("look")
        return (self.check() & RX) != 0

    def is_writable(self):
        """Return True if a send would be taken at once."""
        self.require("look")
        return (self.check() & TX) != 0

    def is_rcvmore(self):
        """Return True if parts of the message that is being received are still to come."""
        self.require("look")
        return bool(self.parts)

    cdef int check(self):
        """Look, and wake the waiters that can go on now; return what it is ready for."""
        cdef int events = self.look()
        if self.waiting:
            self.ring(events, None)
        return events

    cdef int look(self) noexcept:
        cdef int events = 0
        cdef size_t size = sizeof(events)
        cdef bint taken
        self.touched += 1
        if self.born != generation:
            return RX | TX  # every waiter shall find out
        while True:
            taken = self.counts and self.count_subscribers()
            while zmq_getsockopt(self.handle, ZMQ_EVENTS, &events, &size) < 0:
                if zmq_errno() != EINTR or self.born != generation:
                    return RX | TX
            if not taken or not events & RX:  # else a ring for what came in between is answered
                break
        if self.parts is not None:
            events |= RX  # for their owner, who may have queued for them already
        if self.rx.aside is not None and self.rx.first is not None:
            if self.rx.first.caller in self.rx.aside:
                events |= RX  # its caller has come back for its parts
        if self.prefetched is not None:  # libzmq has received it already
            events = RX if self.kind.replies or self.kind.requests else events | RX
        self.events, self.looked_at = events, self.touched
        return events

    cdef bint count_subscribers(self) noexcept:
        return False  # somebody else is at it, or it failed

    cdef inline int after(self) noexcept:
        """Do what is owed after each call on the socket (`doorbell.pxi`)."""
        self.touched += 1
        if self.waiting:
            self.settle()
        return 0

    cdef inline int after_empty(self) noexcept:
        """Do so after a receive that found nothing: until the next call the bell tells all."""
        self.touched += 1
        self.empty_since = self.touched  # before a look, which may find what came
        if self.waiting:
            self.settle()
        return 0
