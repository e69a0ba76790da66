# Layer 5. A socket's options by number; `options.py` gives them names, units and types.

cdef class OptionSocket(WatchedSocket):
    """A libzmq socket and its options."""

    @property
    def last_endpoint(self) -> str:
        """The endpoint bound or connected last, as libzmq resolved it (ZMQ_LAST_ENDPOINT)."""
        try:
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, USUAL_ENDPOINT)
        except errors.ArgumentError:  # longer than that
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, 1 << 20)
        return os.fsdecode(data.rstrip(b"\0"))

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
        self.require("set an option")
        self.refuse_late(number)
        self.set_raw(number, &value, sizeof(value))
        if number == ZMQ_ROUTER_MANDATORY:
            self.mandatory = value
        elif number == ZMQ_ROUTER_RAW:
            self.raw = value
        elif number == ZMQ_CONFLATE:
            self.conflate = value
        elif number == ZMQ_SNDHWM and self.kind.replies:
            self.low_sndhwm = 0 < value < LOW_SNDHWM
        self.update_bypass()

    cdef int refuse_late(self, int number) except -1:
        """Raise for what libzmq takes after bind and connect although it does harm, or nothing."""
        if self.used and number in (ZMQ_SNDHWM, ZMQ_RCVHWM):
            # libzmq 4.3 tells the other end of the pipe, which may have been freed: a crash. And a
            # caller that waits for room in a full pipe would never hear of it again.
            raise errors.StateError(
                errno.EBUSY,
                f"{self.describe()}: set high-water marks before bind and connect, best as "
                "arguments of new()",
            )
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
        cdef int error = EINTR
        self.require("read an option")
        while error == EINTR:
            error = zmq_errno() if zmq_getsockopt(self.handle, number, value, &size) < 0 else 0
        self.after()
        if error:
            raise self.fail(error, f"read option {number}")
        return size

    cdef int set_raw(self, int number, const void *value, size_t size) except -1:
        cdef int error = EINTR
        self.require("set an option")
        while error == EINTR:
            error = zmq_errno() if zmq_setsockopt(self.handle, number, value, size) < 0 else 0
        self.after()
        if error:
            raise self.fail(error, f"set option {number}")
        return 0
