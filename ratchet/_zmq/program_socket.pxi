# Layer 9. The socket in a context of a program's own: libzmq's defaults, and its options by number.
#
# What libzmq would die of is refused or done otherwise here too; what it merely tries for ever is
# not, since the programs that use these sockets were written for that (`ratchet.pyzmq`).

cdef dict NAMES_BY_NUMBER = {}
for _row in TYPES.values():
    NAMES_BY_NUMBER[_row.number] = _row.name


cdef Caller program_caller(ProgramSocket zsock, Line line):
    """Return whose message a call is of: a greenlet's of gevent's, else the OS thread's.

    With gevent a call may let other greenlets run between two parts, and they must not get in. All
    else that runs in an OS thread shares its messages: programs receive the parts of one in several
    futures.
    """
    cdef OSThread thread
    cdef Caller found = None
    cdef Runtime runtime
    if gevent_met:
        runtime = runtime_here()
        if runtime is None:
            runtime = gevent_runtime()
        if isinstance(runtime, GeventBase):
            found = runtime.caller()
    if found is None:
        return this_thread()
    if line.owner is not None and line.owner is not found:
        thread = this_thread()
        if line.owner is thread:  # it began before there was a hub
            return thread
    return found


cdef class ProgramSocket(MonitoredSocket):
    """A socket in a `ProgramContext`."""
    cdef bint may_have_pipes    # a call since the first bind may have let a peer in
    cdef bint enforces          # ZAP_ENFORCE_DOMAIN
    cdef bint greets            # HELLO_MSG
    cdef bint socks             # connects through a proxy, at which libzmq may end the process

    def __init__(self, ProgramContext home not None, int number):
        name = NAMES_BY_NUMBER.get(number)
        if name is None:
            raise errors.argument_error(f"{number} is not the number of a stable socket type")
        home.require("make a socket in")
        self.home = home
        BlockingSocket.__init__(self, name)

    @property
    def context(self):
        """The context in which it was made."""
        return self.home

    @property
    def address(self):
        """The address of libzmq's socket (int); 0 when it is closed."""
        return <size_t> self.handle

    @property
    def number(self):
        """The number of its type."""
        return self.kind.number

    cdef int require_alive(self, what) except -1:
        """Raise unless the socket is open, of this process, and its context has not been ended."""
        if self.born != generation:
            self.require(what)
        if self.home.terminated:
            raise self.fail(ETERM, what)
        return 0

    cdef Caller caller(self):
        return program_caller(self, self.rx)

    cdef int look(self) noexcept:
        self.may_have_pipes = True
        return BlockingSocket.look(self)

    cdef int refuse_late(self, int number) except -1:
        return 0

    cdef int admit(self, str endpoint, bint binding) except -1:
        if self.socks and not binding and endpoint.startswith("tcp://"):
            raise errors.argument_error(
                f"{self.describe()}: cannot connect to {endpoint!r}: SOCKS_PROXY is set, and "
                "libzmq ends the process when such a socket is closed while its proxy does not "
                "answer as it should"
            )
        if self.greets and binding and endpoint.startswith("inproc://"):
            raise errors.argument_error(
                f"{self.describe()}: cannot bind to {endpoint!r}: HELLO_MSG is set, and libzmq "
                "ends the process if a socket that has connected there is closed already"
            )
        if self.enforces and self._get_int(ZMQ_PLAIN_SERVER) and (
                self._get_bytes(ZMQ_ZAP_DOMAIN, 256).rstrip(b"\0") == b""):
            raise errors.argument_error(
                f"{self.describe()}: cannot use {endpoint!r}: ZAP_ENFORCE_DOMAIN is set, and "
                "libzmq ends the process when a peer connects to a PLAIN server without ZAP_DOMAIN"
            )
        if not binding and endpoint in self.home.monitored and not (
                self.used and self.may_have_pipes):
            self.hear_all()
        if not binding or self.used or endpoint.startswith("inproc://"):
            self.may_have_pipes = True
        return 0

    def set_int(self, int number, int value):
        """Set an option that is an int."""
        self.require_alive("set an option")
        if number in (ZMQ_SNDHWM, ZMQ_RCVHWM):
            # Once there are pipes, libzmq 4.3 tells their other ends, which may have been freed.
            if self.used and self.may_have_pipes:
                if value < 0:
                    raise errors.argument_error(f"a high-water mark is 0 or more, not {value}")
                self.late = {} if self.late is None else self.late
                self.late[number] = value
                return
            if self.late is not None:
                self.late.pop(number, None)
        if number == ZMQ_USE_FD:
            self._listen_with(value)
            return
        if number == PRIORITY and value > 6:
            raise errors.argument_error(
                f"PRIORITY is at most 6, not {value}: libzmq ends the process where Linux "
                "refuses it"
            )
        if number in (IN_BATCH_SIZE, OUT_BATCH_SIZE) and value < LEAST_BATCH:
            raise errors.argument_error(
                f"a batch has at least {LEAST_BATCH} bytes, not {value}: with 1 libzmq aborts")
        self._set_int(number, value)
        if number == ZAP_ENFORCE_DOMAIN:
            self.enforces = value != 0
        if number == ZMQ_RCVTIMEO:
            self._recv_timeout = -1 if value < 0 else value * 0.001
        elif number == ZMQ_SNDTIMEO:
            self._send_timeout = -1 if value < 0 else value * 0.001

    def set_bytes(self, int number, bytes value not None):
        """Set an option that is bytes."""
        self.require_alive("set an option")
        if number in (ZMQ_SUBSCRIBE, ZMQ_UNSUBSCRIBE):
            check_prefix(self, "subscribe", len(value))
        if number == DISCONNECT_MSG and libzmq_version() < (4, 3, 5):
            raise errors.argument_error("DISCONNECT_MSG: libzmq before 4.3.5 crashes with it")
        self.set_raw(number, <const char *> value, len(value))
        if number == ZMQ_CONNECT_ROUTING_ID:
            self._remembered = {"CONNECT_ROUTING_ID": value}
        elif number == HELLO_MSG:
            self.greets = len(value) > 0
        elif number == ZMQ_SOCKS_PROXY:
            self.socks = len(value) > 0

    def get_int(self, int number):
        """Return an option that is an int, or a descriptor."""
        self.require_alive("read an option")
        if number == ZMQ_EVENTS:
            return self.check()
        if number == ZMQ_RCVMORE:
            if self.parts is None:
                return 0
            return int(self.rx.owner is program_caller(self, self.rx))
        if number == ZMQ_FD:
            return self.fd
        if self.late is not None and number in self.late:
            return self.late[number]
        return self._get_int(number)

    def watch_events(self, bytes endpoint, int events):
        """Have libzmq tell what happens to it at an inproc endpoint, None: no more
        (zmq_socket_monitor(3))."""
        self.require_alive("monitor")
        self.tell_at(endpoint, events)
        self.after()
