# Layer 7. A socket's endpoints and subscriptions.

cdef str ZAP = "inproc://zeromq.zap.01"  # where libzmq asks whether a peer may connect (RFC 27)

cdef class EndpointSocket(OptionSocket):
    """What binds, connects and subscribes."""

    def bind(self, endpoint):
        """Listen on ``endpoint``, such as ``"tcp://*:1337"`` (zmq_bind(3)); nothing more is needed.

        Of a range of ports, ``"tcp://*:*[5000-5100]"``, it takes the first that is free.

        Returns:
            str: the endpoint as libzmq resolved it; port ``*`` has become a number.

        Raises:
            Error: EADDRINUSE, EADDRNOTAVAIL, EACCES, …
            ArgumentError: (a ValueError) not an endpoint.
        """
        endpoint = plain_endpoint(endpoint)
        ports = port_range(endpoint)
        if ports is not None:
            return self.bind_range(endpoint, ports)
        data = c_endpoint(endpoint)
        self.admit(endpoint, True)
        if self.listener is not None and endpoint.startswith(("tcp://", "ipc://")):
            self.bind_listener(data, endpoint)
        else:
            self.bind_anew(data, endpoint)
        return self.note_bound(endpoint)

    cdef str note_bound(self, str endpoint):
        """Remember what a bind to ``endpoint`` has got; return that."""
        actual = self.last_endpoint or endpoint
        self.endpoints.append(("bound to", actual, endpoint))
        if actual.startswith("inproc://"):
            note_inproc(self, BIND, actual)
        self.empty_error_args = None
        return actual

    def connect(self, endpoint):
        """Connect to ``endpoint`` (zmq_connect(3)), now or as soon as somebody listens there.

        It returns at once. libzmq connects in the background, and again when a connection breaks.

        Returns:
            bool: True, always.

        Raises:
            ArgumentError: (a ValueError) not an endpoint, or one that can never work.
        """
        endpoint = plain_endpoint(endpoint)
        if port_range(endpoint) is not None:
            raise errors.argument_error(
                f"{self.describe()}: cannot connect to {endpoint!r}: a range of ports is for bind; "
                "connect needs the port that the peer's bind returned"
            )
        data = c_endpoint(endpoint)
        self.admit(endpoint, False)
        # libzmq 4.3 aborts when two connections of a ROUTER have one identity (router.cpp).
        identity = self._remembered and self._remembered.get("CONNECT_ROUTING_ID")
        if identity is not None and (identity in self.used_identities or self.knows(identity)):
            raise errors.argument_error(
                f"{self.describe()}: connect_routing_id {identity!r} is taken by another "
                "connection, or was by one that is dropped"
            )
        self.endpoint_call(CONNECT, data, endpoint)
        if identity is not None:
            del self._remembered["CONNECT_ROUTING_ID"]
            self.used_identities |= {identity}
        self.endpoints.append(("connected to", endpoint, endpoint))
        if endpoint.startswith("inproc://"):
            note_inproc(self, CONNECT, endpoint)
        self.empty_error_args = None
        return True

    def unbind(self, endpoint):
        """Stop listening on ``endpoint``, as it was given to `bind` or as `bind` returned it.

        Raises:
            Error: ENOENT: the socket does not listen there.
        """
        self.undo(UNBIND, "bound to", endpoint)

    def disconnect(self, endpoint):
        """Drop a connection made with `connect`, and what was queued for it (zmq_disconnect(3)).

        Raises:
            Error: ENOENT: the socket is not connected there.
        """
        self.undo(DISCONNECT, "connected to", endpoint)

    cdef int admit(self, str endpoint, bint binding) except -1:
        """Raise for a bind or connect that libzmq would take although it can never succeed."""
        cdef int number = errno.EINVAL
        what = f"{'bind' if binding else 'connect'} to {endpoint!r}"
        self.require(what)
        if self.home is not None:
            return 0  # what it does not refuse itself, libzmq may try for ever
        why = endpoint_fault(endpoint, binding, self._get_int(ZMQ_IPV6))
        if why is None and (
                self._judged is not None or endpoint == ZAP or binding and open_rule != "allow"):
            why, number = self._setup_fault(endpoint, binding)
        if why is None and not binding and endpoint.startswith("ipc://") and os.name != "nt":
            why = no_socket_fault(endpoint[6:])
        if why is not None:
            raise errors.refusal(number, f"{self.describe()}: cannot {what}: {why}")
        return 0

    cdef int bind_anew(self, bytes data, str endpoint) except -1:
        """Bind with a new listener; wait, without the GIL, for what was given up just now."""
        cdef double nap = FIRST_NAP, slept = 0
        while True:
            try:
                why = path_fault(endpoint) if self.home is None else None
                if why is not None:
                    raise errors.refusal(
                        errno.EADDRINUSE,
                        f"{self.describe()}: cannot bind to {endpoint!r}: {why}",
                    )
                return self.endpoint_call(BIND, data, endpoint)
            except errors.Error as error:
                if error.errno != errno.EADDRINUSE or not soon_free(endpoint, slept):
                    raise
            sleep(nap)  # Ctrl-C ends it
            slept += nap
            nap = min(2 * nap, LONGEST_NAP)

    cdef str bind_range(self, str endpoint, tuple ports):
        """Bind to the first free port of a range; return the endpoint.

        What was given up just now is waited for only if nothing else is free.
        """
        cdef double nap = FIRST_NAP, slept = 0
        cdef Listener listener = self.listener
        before, low, high = ports
        c_endpoint(f"{before}{low}")
        self.admit(f"{before}{low}", True)
        if listener is not None:
            raise errors.argument_error(
                f"{self.describe()}: cannot bind to {endpoint!r}: use_fd is a listener of "
                f"{listener.where()}, which has its port; bind to that, or set use_fd to None"
            )
        left = range(low, high + 1)
        while True:
            if self.bind_one_of(endpoint, before, left):
                return self.note_bound(endpoint)
            left = [port for port in left if soon_free(f"{before}{port}", slept)]
            if not left:
                break
            sleep(nap)
            slept += nap
            nap = min(2 * nap, LONGEST_NAP)
        raise errors.refusal(
            errno.EADDRINUSE,
            f"{self.describe()}: cannot bind to {endpoint!r}: each of the ports from {low} to "
            f"{high} is in use, or this user may not take it; give a wider range, or * for any "
            "port",
        )

    cdef bint bind_one_of(self, str endpoint, str before, ports) except -1:
        """Bind to the first of ``ports`` that is free; return False if none is."""
        cdef int tried = 0
        for port in ports:
            try:
                one = f"{before}{port}"
                self.endpoint_call(BIND, os.fsencode(one), one)
                return True
            except errors.Error as error:
                # EACCES: a port below 1024, or on Windows one that the system keeps for itself.
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            PyErr_CheckSignals()
            tried += 1
            if tried % PORTS_IN_ONE_GO == 0:
                sleep(0)  # let other threads run
        return False

    cdef int bind_listener(self, bytes data, str endpoint) except -1:
        """Bind with the program's listener."""
        cdef Listener listener = self.listener
        cdef int rc, error, fd, none = -1
        cdef str what = f"bind to {endpoint!r}"
        transport, _, address = endpoint.partition("://")
        if not listener.serves(transport, address):
            raise errors.argument_error(
                f"{self.describe()}: cannot {what}: use_fd is a listener of {listener.where()}; "
                "bind to that, or set use_fd to None first"
            )
        self.require(what)
        resolver_room(what)
        fd = duplicate(listener.fd, what)
        if os.name != "nt":
            # A peer that another process, or another bind, was faster to accept would stop
            # libzmq's I/O thread for good.
            os.set_blocking(fd, False)
        # No Python code until it is bound: what that binds would take the same descriptor.
        rc = zmq_setsockopt(self.handle, ZMQ_USE_FD, &fd, sizeof(fd))
        while rc == 0:
            rc = zmq_bind(self.handle, data)
            if rc == 0 or zmq_errno() != EINTR:
                break
            rc = 0
        error = zmq_errno()
        zmq_setsockopt(self.handle, ZMQ_USE_FD, &none, sizeof(none))
        if rc < 0:
            ratchet_close(fd)  # a bind that fails has not taken it (4.3.4, 4.3.5)
        else:
            self.used = True
            take_launched(self)
        self.after()
        if rc < 0:
            raise self.fail(error, what)
        return 0

    @property
    def _used(self):
        """True once it has been bound or connected."""
        return self.used

    def _listener_at(self):
        """Return where the program's own listener (``use_fd``) listens, or None."""
        cdef Listener listener = self.listener
        return None if listener is None else listener.where()

    def _listen_with(self, int descriptor):
        """Bind with a listener of the program's from now on; -1: with a new one, as usual."""
        self.require("set an option")
        self.listener = None if descriptor < 0 else Listener(descriptor)

    cdef bint knows(self, bytes identity) except -1:
        """Return True if a peer already uses ``identity``; only to begin a message for it tells."""
        cdef int rc, flag = 1
        self.require("connect")
        self.look()
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        rc = zmq_send(
            self.handle, <const char *> identity, len(identity), ZMQ_DONTWAIT | ZMQ_SNDMORE)
        if rc < 0:
            rc = 0 if zmq_errno() == EHOSTUNREACH else 1
        else:
            zmq_send(self.handle, NULL, 0, ZMQ_DONTWAIT)  # it cannot be taken back
            rc = 1
        flag = self.mandatory
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        self.after()
        return rc

    cdef undo(self, EndpointCall which, str how, endpoint):
        endpoint = plain_endpoint(endpoint)
        entries = [e for e in self.endpoints or () if e[0] == how and endpoint in e[1:]]
        data = os.fsencode(entries[0][1]) if entries else c_endpoint(endpoint)
        self.endpoint_call(which, data, endpoint, bool(entries))
        if entries:
            while entries[0] in self.endpoints:  # two with one endpoint end together
                self.endpoints.remove(entries[0])
            if which == UNBIND:
                give_up(entries[0][1], entries[0][2])
            self.empty_error_args = None
            if entries[0][1].startswith("inproc://"):
                note_inproc(self, which, entries[0][1])
            elif self._peers is not None:
                (<PeersBase> self._peers)._undone.append(entries[0])
                self._peers.dropped()

    cdef int free_endpoints(self) except -1:
        """Let others bind to what is about to be closed (`binding.pxi`)."""
        leave_inproc(self)
        for how, actual, given in self.endpoints:
            if how == "bound to":
                if actual.startswith("inproc://"):
                    data = os.fsencode(actual)
                    zmq_unbind(self.handle, <bytes> data)
                else:
                    give_up(actual, given)
        return 0

    cdef uint64_t threads_of(self, str endpoint) except? 1:
        """Return the I/O threads that a connection to ``endpoint`` may use; None: a bind."""
        return 0 if self.home is not None else threads_for(endpoint)

    cdef int endpoint_call(
        self, EndpointCall which, bytes data, endpoint, bint known=False
    ) except -1:
        """Bind, connect, unbind or disconnect; ``known``: libzmq has it by that name."""
        cdef int number
        cdef uint64_t threads = 0
        what = ("bind to", "connect to", "unbind from", "disconnect from")[which]
        what = f"{what} {endpoint!r}"
        self.require(what)
        if which == BIND or which == CONNECT:
            if self._peers is not None and (<PeersBase> self._peers)._undone:
                self._peers.dropped()  # an exception has left that, and it may be the same endpoint
            threads = self.threads_of(endpoint if which == CONNECT else None)
        if not known:
            # Out of descriptors, resolving a name aborts the process (ip_resolver.cpp, 4.3.4), and
            # libzmq resolves what it is to drop and does not have (resolve_tcp_addr).
            resolver_room(what)
        try:
            if which == DISCONNECT and self.kind.look_takes_part:
                prefetch(self)
            number = self.try_endpoint(which, data, threads)
            if number == 0 and not data.startswith(b"inproc:"):
                if which == UNBIND or which == DISCONNECT:
                    take_ended(self)
                elif launches(self, which, endpoint):
                    take_launched(self)
        finally:
            self.after()
        if number != 0:
            raise self.endpoint_error(number, what, endpoint if which == BIND else None)
        self.used = True
        return 0

    cdef int try_endpoint(self, EndpointCall which, const char *data, uint64_t threads) noexcept:
        """Have libzmq do it; return its errno, 0 if it is done."""
        cdef int rc = -1
        while rc < 0:
            set_errno(0)
            if which == BIND:
                rc = ratchet_call_on(zmq_bind, self.handle, data, threads)
            elif which == CONNECT:
                rc = ratchet_call_on(zmq_connect, self.handle, data, threads)
            elif which == UNBIND:
                rc = zmq_unbind(self.handle, data)
            else:
                rc = zmq_disconnect(self.handle, data)
            if rc < 0 and zmq_errno() != EINTR:
                # Of a malformed tipc address libzmq says nothing.
                return zmq_errno() or EINVAL
        return 0

    cdef object endpoint_error(self, int number, what, bound):
        """Make the exception for a call that failed; of a bind, ``bound`` is the endpoint."""
        if number == EAGAIN:  # left by an earlier look into libzmq's mailbox: it says nothing
            number = EINVAL
        hint = None if bound is None else bind_hint(number, bound)
        if hint is not None:
            return errors.refusal(number, f"{self.describe()}: cannot {what}: {hint}")
        return self.fail(number, what)

    def subscribe(self, prefix):
        """Receive messages that begin with ``prefix`` (bytes; b"" for all): SUB and XSUB.

        On an XPUB with ``xpub_manual``: subscribe the peer whose request was received last.

        Raises:
            ArgumentError: (a ValueError) the prefix has more than 200 bytes, or the socket is of
                another type.
        """
        self.filter(snapshot(prefix), True)

    def unsubscribe(self, prefix):
        """Undo one `subscribe` with the same prefix."""
        self.filter(snapshot(prefix), False)

    cdef int filter(self, bytes prefix, bint on) except -1:
        what = "subscribe" if on else "unsubscribe"
        cdef int asked = self.asked
        self.require(what)
        if self.kind.subscribes:
            check_prefix(self, what, len(prefix))
            # Unless it looks, libzmq does not learn that peers have read what it sent before, and
            # once as much as `sndhwm` was sent it drops the rest in silence.
            self.check()
        if self.kind.subscribes == "message":
            prefix = (b"\1" if on else b"\0") + prefix
            try:
                if not put_small(self, prefix, len(prefix)):
                    raise self.fail(EAGAIN, what)
                self.asked = asked  # no message of the program's, for which the exit would linger
            finally:
                self.after()
        elif self.kind.subscribes == "option" or (self._remembered or {}).get("XPUB_MANUAL"):
            number = ZMQ_SUBSCRIBE if on else ZMQ_UNSUBSCRIBE
            self.set_raw(number, <const char *> prefix, len(prefix))
        else:
            raise errors.argument_error(
                f"cannot {what} a {self.type} socket, only SUB, XSUB, and XPUB with xpub_manual"
            )
        if self.kind.subscribes:
            self.note_wanted(prefix[self.kind.subscribes == "message":], on)
        return 0

    cdef int note_wanted(self, bytes prefix, bint on) except -1:
        """Remember what it has subscribed to, for publishers over inproc."""
        wanted = self.wanted
        if wanted is None:
            wanted = self.wanted = {}
        wanted[prefix] = wanted.get(prefix, 0) + (1 if on else -1)
        if wanted[prefix] <= 0:
            del wanted[prefix]
        if self.inproc_links:
            inproc_changed()
        return 0
