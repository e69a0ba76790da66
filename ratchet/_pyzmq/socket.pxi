# Sockets: options, endpoints and the calls of messages, which pyzmq's own class inherits.

cdef object address_of(addr):
    """Return an endpoint as a str."""
    if isinstance(addr, bytes):
        return os.fsdecode(addr)
    if not isinstance(addr, str):
        raise TypeError(f"Expected addr to be str, got addr={addr!r}")
    return addr


cdef object kind_of(int option):
    try:
        return SocketOption(option)._opt_type
    except ValueError:
        return _OptType.int  # unknown here; libzmq says if it is to it too


cdef object socket_at(address):
    """Return the open socket of a program's own contexts with that address."""
    for context in list(core.program_contexts):
        for zsock in list(context.sockets):
            if zsock.address == address:
                return zsock
    raise closed_error()


cdef object BYTES = _OptType.bytes
cdef object INT64 = _OptType.int64


plain_loads = []  # the forms of `Socket._deserialize` that just call their argument
cdef tuple DRAFT_ARGUMENTS = ("routing_id", "group")  # of a send


cdef class Socket:
    """A socket: pyzmq's Socket inherits from it."""
    cdef Calls receives, sends   # of `zmq.asyncio`, those that wait; made with the first
    cdef object core             # ratchet's ProgramSocket; shadows share it
    cdef public object context
    cdef public object copy_threshold, type, _type_name
    cdef readonly bint _closed
    # What just this socket, and what its class in that version, does in another way than `Socket`.
    cdef bint given_send, given_recv, given_load
    cdef bint class_send, class_recv, class_load
    cdef unsigned int class_version

    def __cinit__(self, *args, **kwargs):
        self._type_name = "UNKNOWN"
        self._closed = True  # until it has a socket of ratchet's, so that no call looks for one

    def __init__(self, context=None, int socket_type=-1, size_t shadow=0, copy_threshold=None):
        self.context = context
        self.copy_threshold = zmq.COPY_THRESHOLD if copy_threshold is None else copy_threshold
        if shadow:
            self.core = socket_at(shadow)
            self._closed = False
            return
        if context is None:
            raise TypeError("context must be specified")
        if socket_type < 0:
            raise TypeError("socket_type must be specified")
        try:
            self.core = core.ProgramSocket((<Context?> context).core, socket_type)
        except CoreError as error:
            raise translated(error) from error
        self._closed = False

    @property
    def underlying(self):
        """The address of libzmq's socket; 0 once it is closed."""
        return self.core.address

    @property
    def closed(self):
        """True once it is closed, here or through a shadow."""
        if not self._closed and (self.core is None or self.core.closed):
            self._closed = True
        return self._closed

    def close(self, linger=None):
        """Close it. In other threads, what is paused in it raises ENOTSOCK.

        Args:
            linger: milliseconds to go on delivering; -1: for ever; None: as the option LINGER says.
        """
        cdef int ms
        if self._closed or self.core is None:
            return
        if linger is not None:
            ms = linger
            self.core.close(ms * 0.001 if ms >= 0 else -1.0)
        else:
            self.core.close()
        self._closed = True

    cdef int require(self) except -1:
        if self._closed:
            raise closed_error()
        return 0

    def set(self, int option, optval):
        """Set an option: an int or bytes, as it has one or the other."""
        self.require()
        if isinstance(optval, str):
            raise TypeError("unicode not allowed, use setsockopt_string")
        kind = kind_of(option)
        if kind is BYTES:
            if not isinstance(optval, bytes):
                raise TypeError(f"expected bytes, got: {optval!r}")
        elif not isinstance(optval, int):
            raise TypeError(f"expected int, got: {optval!r}")
        try:
            if kind is BYTES:
                self.core.set_bytes(option, optval)
            elif kind is INT64:
                self.core._set_int64(option, optval)
            else:
                self.core.set_int(option, optval)
        except CoreError as error:
            raise translated(error) from error

    def get(self, int option):
        """Return an option: an int or bytes."""
        self.require()
        if option == TYPE and not self.core.closed:
            return self.core.number
        kind = kind_of(option)
        try:
            if kind is BYTES:
                return self.get_bytes(option)
            if kind is INT64:
                return self.core._get_int64(option)
            return self.core.get_int(option)
        except CoreError as error:
            raise translated(error) from error

    cdef bytes get_bytes(self, int option):
        if option == LAST_ENDPOINT:
            found = self.core._get_bytes(option, LONGEST_ENDPOINT)
        else:
            found = self.core._get_bytes(option, USUAL_SIZE)
        return found if option == ROUTING_ID else found.removesuffix(b"\0")

    def bind(self, addr):
        """Listen on an endpoint (zmq_bind(3))."""
        addr = address_of(addr)
        self.require()
        try:
            self.core.bind(addr)
        except CoreError as error:
            path = addr.partition("://")[2] or addr
            msg = None
            if error.errno == errno.ENAMETOOLONG:
                msg = (
                    f'ipc path "{path}" is too long: at most {zmq.IPC_PATH_MAX_LEN} bytes '
                    "(zmq.IPC_PATH_MAX_LEN), which is what the system has room for"
                )
            elif error.errno == errno.ENOENT:
                msg = f'No such file or directory for ipc path "{path}".'
            raise translated(error, msg) from error

    def connect(self, addr):
        """Connect to an endpoint, in the background (zmq_connect(3))."""
        addr = address_of(addr)
        self.require()
        try:
            self.core.connect(addr)
        except CoreError as error:
            raise translated(error) from error

    def unbind(self, addr):
        """Undo a bind (zmq_unbind(3))."""
        addr = address_of(addr)
        self.require()
        try:
            self.core.unbind(addr)
        except CoreError as error:
            raise translated(error) from error

    def disconnect(self, addr):
        """Undo a connect (zmq_disconnect(3))."""
        addr = address_of(addr)
        self.require()
        try:
            self.core.disconnect(addr)
        except CoreError as error:
            raise translated(error) from error

    def monitor(self, addr, int events=0xFFFF):
        """Have libzmq tell what happens to it at an inproc endpoint; None: no more."""
        if addr is not None:
            addr = os.fsencode(address_of(addr))
        self.require()
        try:
            self.core.watch_events(addr, events)
        except CoreError as error:
            raise translated(error) from error

    def join(self, group):
        """Refuse: only draft socket types have groups."""
        raise RuntimeError("libzmq and pyzmq must be built with draft support")

    def leave(self, group):
        """Refuse: only draft socket types have groups."""
        raise RuntimeError("libzmq and pyzmq must be built with draft support")

    def send(
        self, data, int flags=0, bint copy=True, bint track=False, routing_id=None, group=None
    ):
        """Send one part.

        Args:
            data: bytes, a Frame, or an object with a buffer.
            flags: of NOBLOCK and SNDMORE.
            copy: False: from ``copy_threshold`` bytes on, libzmq reads the buffer when it sends it.
            track: return a tracker that is done when it has; with ``copy=False``.
            routing_id, group: of draft socket types: refused.
        """
        cdef object tracker = None
        if routing_id is not None or group is not None:
            refuse_draft(data, routing_id, group)
        self.require()
        if type(data) is not bytes or not copy:
            data, tracker = self.to_part(data, copy, track)
        send_part(self, data, flags)
        return tracker

    cdef tuple to_part(self, data, bint copy, bint track):
        """Return a part as the core takes it, and what to return for it."""
        cdef Frame frame
        if isinstance(data, Frame):
            frame = <Frame> data
            if track and not frame.tracker:
                raise ValueError("Not a tracked message")
            return frame.core, frame.tracker
        if isinstance(data, str):
            raise TypeError("unicode not allowed, use send_string")
        data = as_it_lies(data)
        if copy:
            return data, None
        if self.copy_threshold and buffer_size(data) < self.copy_threshold:
            return data, zmq._FINISHED_TRACKER
        frame = <Frame> zmq.Frame(data, track=track, copy_threshold=self.copy_threshold)
        return frame.core, frame.tracker

    def send_multipart(self, msg_parts, int flags=0, bint copy=True, bint track=False, **kwargs):
        """Send a whole message: all parts, or none.

        Args and result are those of `send`; the tracker is done when every part is.
        """
        cdef list parts
        cdef list trackers = [] if track else None
        cdef object tracker = None
        cdef Py_ssize_t i
        self.require()
        parts = list(msg_parts)
        if not parts:
            raise IndexError("a message has at least one part")
        for i in range(len(parts)):
            if type(parts[i]) is not bytes:
                check_part(parts[i], i)
        if flags & SNDMORE or sends_itself(self):
            for i in range(len(parts)):
                more = flags if i == len(parts) - 1 else flags | SNDMORE
                tracker = self.send(parts[i], more, copy=copy, track=track)
                if track:
                    trackers.append(tracker)
            return tracker_of_all(trackers, tracker)
        for i in range(len(parts)):
            if type(parts[i]) is not bytes or not copy:
                parts[i], tracker = self.to_part(parts[i], copy, track)
            else:
                tracker = None
            if track:
                trackers.append(tracker)
        send_parts(self, parts, flags)
        return tracker_of_all(trackers, tracker)

    def recv(self, int flags=0, bint copy=True, bint track=False):
        """Receive one part: bytes, or with ``copy=False`` a Frame.

        Args:
            flags: NOBLOCK or nothing.
        """
        if copy:
            return recv_part(self, flags)
        self.require()
        try:
            found = program_recv_frame(self.core, flags)
            if found is not NOT_NOW:
                return received(found, track)
        except CoreError as error:
            raise translated(error) from error
        raise again()

    def recv_multipart(self, int flags=0, bint copy=True, bint track=False):
        """Receive a whole message, a list of its parts: bytes, or with ``copy=False`` Frames."""
        cdef list parts
        cdef Py_ssize_t i
        self.require()
        if recvs_itself(self):
            return self.recv_parts(flags, copy, track)
        found = try_parts(self, flags) if copy else try_frames(self, flags)
        if found is NOT_NOW:
            raise again()
        if not copy:
            parts = found
            for i in range(len(parts)):
                parts[i] = received(parts[i], track)
        return found

    def _deserialize(self, recvd, load):
        """Return what ``load`` makes of what was received; a subclass may do otherwise."""
        return load(recvd)

    def send_string(self, u, int flags=0, bint copy=True, encoding="utf-8", **kwargs):
        """Send text as one part.

        Args:
            u (str): the text.
            encoding (str): how it becomes bytes.
            flags, copy, kwargs: as of `send`.
        """
        if not isinstance(u, str):
            raise TypeError("str objects only")
        data = (<str> u).encode(encoding)
        if kwargs or not copy or sends_itself(self):
            return self.send(data, flags=flags, copy=copy, **kwargs)
        send_part(self, data, flags)

    def recv_string(self, int flags=0, encoding="utf-8"):
        """Receive one part as text, a str.

        Args:
            flags: NOBLOCK or nothing.
            encoding (str): what its bytes are.
        """
        if loads_itself(self):
            return self._deserialize(self.recv(flags=flags), lambda data: data.decode(encoding))
        return (<bytes> recv_part(self, flags)).decode(encoding)

    def send_json(self, obj, int flags=0, **kwargs):
        """Send an object as JSON, one part; ``kwargs`` are json.dumps's."""
        cdef dict drafts = None
        if kwargs:
            drafts = {key: kwargs.pop(key) for key in DRAFT_ARGUMENTS if key in kwargs}
        data = jsonapi.dumps(obj, **kwargs)
        if drafts or sends_itself(self):
            return self.send(data, flags=flags, **(drafts or {}))
        send_part(self, data, flags)

    def recv_json(self, int flags=0, **kwargs):
        """Receive one part as an object from JSON; ``kwargs`` are json.loads's."""
        if loads_itself(self):
            return self._deserialize(self.recv(flags), lambda data: jsonapi.loads(data, **kwargs))
        return jsonapi.loads(recv_part(self, flags), **kwargs)

    cdef list recv_parts(self, int flags, bint copy, bint track):
        """Receive a message by the subclass's own `recv`."""
        parts = [self.recv(flags, copy=copy, track=track)]
        while self.get(zmq.constants.SocketOption.RCVMORE):
            parts.append(self.recv(flags, copy=copy, track=track))
        return parts

    def recv_into(self, buffer, /, *, Py_ssize_t nbytes=0, int flags=0):
        """Receive one part into a writable buffer; what does not fit is dropped.

        Args:
            nbytes: how many bytes to take at most; 0: as many as there is room for.
            flags: NOBLOCK or nothing.

        Returns:
            int: the size of the part.
        """
        cdef Py_buffer target, source
        cdef Py_ssize_t size
        self.require()
        if nbytes < 0:
            raise ValueError(f"{nbytes=} must be non-negative")
        PyObject_GetBuffer(buffer, &target, PyBUF_ANY_CONTIGUOUS | PyBUF_WRITABLE)
        try:
            if nbytes > target.len:
                raise ValueError(f"{nbytes=} too big for memoryview of {target.len}B")
            try:
                found = program_recv_frame(self.core, flags)
            except CoreError as error:
                raise translated(error) from error
            if found is NOT_NOW:
                raise again()
            PyObject_GetBuffer(found, &source, PyBUF_SIMPLE)
            size = min(source.len, nbytes or target.len)
            memcpy(target.buf, source.buf, size)
            size = source.len
            PyBuffer_Release(&source)
        finally:
            PyBuffer_Release(&target)
        return size
