# Layer 7. A socket's endpoints and subscriptions.

cdef str plain_endpoint(endpoint):
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a str, such as 'tcp://*:1337', not {kind_of(endpoint)}")
    return str.__str__(endpoint)  # of a subclass, such as a member of a StrEnum, its text


cdef bytes c_endpoint(str endpoint):
    check_endpoint(endpoint)
    return os.fsencode(endpoint)


cdef class EndpointSocket(SocketBase):
    """What binds, connects and subscribes."""

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
        if ipc_taken(endpoint):
            raise self.fail(errno.EADDRINUSE, f"bind to {endpoint!r}")
        self.endpoint_call(0, data, endpoint)
        actual = self.last_endpoint or endpoint
        self.endpoints.append(("bound to", actual, endpoint))
        self.empty_error_args = None
        self.after()
        return actual

    def connect(self, endpoint):
        """Connect to ``endpoint`` (zmq_connect(3)): in the background, whenever it is there.

        Returns:
            bool: True, always.
        """
        endpoint = plain_endpoint(endpoint)
        data = c_endpoint(endpoint)
        # libzmq 4.3 aborts when two connections of a ROUTER have one identity (router.cpp).
        identity = self._remembered and self._remembered.get("CONNECT_ROUTING_ID")
        if identity is not None and (identity in self.used_identities or self.knows(identity)):
            raise errors.argument_error(
                f"{self.describe()}: connect_routing_id {identity!r} is taken by another "
                "connection, or was by one that is dropped"
            )
        self.endpoint_call(1, data, endpoint)
        if identity is not None:
            del self._remembered["CONNECT_ROUTING_ID"]
            self.used_identities |= {identity}
        self.endpoints.append(("connected to", endpoint, endpoint))
        self.empty_error_args = None
        self.after()
        return True

    def unbind(self, endpoint):
        """Stop listening on ``endpoint``, as it was given to `bind` or as `bind` returned it."""
        self.undo(2, "bound to", endpoint)

    def disconnect(self, endpoint):
        """Drop a connection made with `connect`, and what was queued for it (zmq_disconnect(3))."""
        self.undo(3, "connected to", endpoint)

    cdef bint knows(self, bytes identity) except -1:
        """Return True if a peer already uses ``identity``: starting a message to it is the only way to tell."""
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
            self.empty_error_args = None
        self.after()

    cdef int endpoint_call(self, int which, bytes data, endpoint) except -1:
        cdef int rc
        what = ("bind to", "connect to", "unbind from", "disconnect from")[which]
        what = f"{what} {endpoint!r}"
        self.require(what)
        if which <= 1:
            # Out of descriptors, resolving a name aborts the process (ip_resolver.cpp, 4.3.4).
            head_room(RESOLVER_ROOM, what)
        elif which == 3 and self.kind.look_takes_part:
            prefetch(self)
        while True:
            if which == 0:
                rc = zmq_bind(self.handle, data)
            elif which == 1:
                rc = zmq_connect(self.handle, data)
            elif which == 2:
                rc = zmq_unbind(self.handle, data)
            else:
                rc = zmq_disconnect(self.handle, data)
            if rc >= 0:
                self.used = True
                return 0
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno() or errno.EINVAL, what)  # tipc's may say nothing

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
        self.require(what)
        if self.kind.subscribes == "message":
            prefix = (b"\1" if on else b"\0") + prefix
            if not put_small(self, prefix, len(prefix)):
                raise self.fail(EAGAIN, what)
            self.after()
        elif self.kind.subscribes == "option" or (self._remembered or {}).get("XPUB_MANUAL"):
            number = ZMQ_SUBSCRIBE if on else ZMQ_UNSUBSCRIBE
            self.set_raw(number, <const char *> prefix, len(prefix))
        else:
            raise errors.argument_error(
                f"cannot {what} a {self.type} socket, only SUB, XSUB, and XPUB with xpub_manual"
            )
        return 0
