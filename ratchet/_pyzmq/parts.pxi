# What the calls of a socket do with a part: check it, send it, receive it, put it back; and whether
# a subclass does it in a way of its own.

plain_loads.append(Socket._deserialize)
cdef object plain_send = None, plain_recv = None  # `Socket`'s own, once they are quick (quick.pxi)


cdef extern from *:
    """
    /* Python gives a class a new number when it, or a base, is changed; 0: none. */
    #define ratchet_version(thing) (Py_TYPE(thing)->tp_version_tag)
    """
    unsigned int version_of "ratchet_version"(object thing)


cdef int study_class(Socket self) except -1:
    """Find out what its class does in a way of its own: one that inherits, or that is patched."""
    kind = type(self)
    self.class_send = kind.send is not plain_send
    self.class_recv = kind.recv is not plain_recv
    self.class_load = kind._deserialize not in plain_loads
    self.class_version = version_of(self)
    return 0


cdef inline bint sends_itself(Socket self) except -1:
    """Return True if a part is not to be sent by `Socket`'s own ``send``."""
    if self.class_version == 0 or self.class_version != version_of(self):
        study_class(self)
    return self.class_send or self.given_send


cdef inline bint recvs_itself(Socket self) except -1:
    """Return True if a part is not to be received by `Socket`'s own ``recv``."""
    if self.class_version == 0 or self.class_version != version_of(self):
        study_class(self)
    return self.class_recv or self.given_recv


cdef inline bint loads_itself(Socket self) except -1:
    """Return True if text and objects are not to be received in `Socket`'s own way."""
    return recvs_itself(self) or self.class_load or self.given_load


cdef int send_part(Socket self, data, int flags) except -1:
    """Send bytes as one part."""
    self.require()
    try:
        if program_send(self.core, data, flags) is NOT_NOW:
            raise again()
    except CoreError as error:
        raise translated(error) from error
    return 0


cdef int send_parts(Socket self, list parts, int flags) except -1:
    """Send the parts of a whole message, or of the end of one."""
    try:
        if program_send_parts(self.core, parts, flags) is NOT_NOW:
            raise again()
    except CoreError as error:
        raise translated(error) from error
    return 0


cdef object try_parts(Socket self, int flags):
    """Receive a whole message as a list of bytes, or answer NOT_NOW."""
    try:
        return program_recv_parts(self.core, flags)
    except CoreError as error:
        raise translated(error) from error


cdef object try_frames(Socket self, int flags):
    """Receive a whole message as a list of ratchet's Frames, or answer NOT_NOW."""
    try:
        return program_recv_frames(self.core, flags)
    except CoreError as error:
        raise translated(error) from error


cdef object try_part(Socket self, int flags):
    """Receive one part as bytes, or answer NOT_NOW."""
    try:
        return program_recv(self.core, flags)
    except CoreError as error:
        raise translated(error) from error


cdef object recv_part(Socket self, int flags):
    """Receive one part as bytes."""
    self.require()
    found = try_part(self, flags)
    if found is NOT_NOW:
        raise again()
    return found


cdef int check_part(part, Py_ssize_t index) except -1:
    """Raise unless a part of a message can be sent."""
    if isinstance(part, (Frame, memoryview)):
        return 0
    try:
        memoryview(part)
    except Exception:
        shown = repr(part)
        if len(shown) > 32:
            shown = shown[:32] + "..."
        raise TypeError(f"Frame {index} ({shown}) does not support the buffer interface.") from None
    return 0


cdef int refuse_draft(data, routing_id, group) except -1:
    """Raise for what only draft socket types have, in pyzmq's own words."""
    frame = data if isinstance(data, Frame) else zmq.Frame(data)
    if routing_id is not None:
        frame.routing_id = routing_id
    if group is not None:
        frame.group = group
    return 0


def core_of(Socket socket not None):
    """Return ratchet's socket of one of these; raise ENOTSOCK if it is closed."""
    socket.require()
    return socket.core


def put_back(Socket socket not None, frames):
    """Have a message that was received as Frames received next."""
    program_give_back(socket.core, [(<Frame?> frame).core for frame in frames], "recv_frames")


cdef object tracker_of_all(list trackers, last):
    """Return what is done when all of them are, or the last one if there is nothing to wait for."""
    cdef list under_way
    if trackers is None:
        return last
    under_way = [one for one in trackers if one is not None and one is not zmq._FINISHED_TRACKER]
    if not under_way:
        return last
    return under_way[0] if len(under_way) == 1 else zmq.MessageTracker(*under_way)
