# The methods of zmq.asyncio's sockets, which `backend.py` gives to pyzmq's class of them.

# pyzmq's own, for calls that are made while no loop runs.
originals = {}


cdef Calls receives_of(Socket self):
    if self.receives is None:
        self.receives = Calls(self, False)
    return self.receives


cdef Calls sends_of(Socket self):
    if self.sends is None:
        self.sends = Calls(self, True)
    return self.sends


cdef object failed(future, error):
    """Return a future with an exception."""
    future.set_exception(error)
    return future


cdef object receive(Socket self, loop, str name, int flags, load=None):
    """Receive now, or return a future that waits; ``load`` makes its result of what comes.

    The future is made first: there may be no memory for it when the message has been taken.
    """
    cdef Calls calls = receives_of(self)
    cdef ReadyFuture done = None
    cdef int now = flags | DONTWAIT
    self.require()
    found = NOT_NOW
    future = None
    if load is None and calls.plain:
        done = new_ready(loop, calls, name)
    else:
        future = new_future(self, loop)
        future.load = load
    try:
        if not calls.queue:
            found = (
                program_recv(self.core, now) if name == "recv"
                else program_recv_parts(self.core, now) if name == "recv_multipart"
                else program_recv_frame(self.core, now) if name == "recv_frame"
                else program_recv_frames(self.core, now)
            )
    except CoreError as error:
        return failed(future or new_future(self, loop), translated(error))
    if found is not NOT_NOW:
        if done is None:
            return finished(future, calls, name, found)
        done.kept = found
        done.value = calls.converted(name, found)
        return done
    if future is None:
        future = new_future(self, loop)
    if flags & DONTWAIT:
        future.set_exception(again())
    else:
        calls.wait(future, name, None, program_limit(self.core, False))
    return future


def give_trackers(found):
    """Give frames that were received their trackers: libzmq has nothing left to do for them."""
    for frame in found if isinstance(found, list) else [found]:
        (<Frame> frame).tracker = zmq._FINISHED_TRACKER
    return found


@cython.binding(True)
def async_recv(Socket self, int flags=0, bint copy=True, bint track=False):
    """Receive one part: a future of bytes, or with ``copy=False`` of a Frame."""
    loop = running_loop()
    if loop is None:
        return originals["recv"](self, flags, copy, track)
    if copy:
        return receive(self, loop, "recv", flags)
    return receive(self, loop, "recv_frame", flags, give_trackers if track else None)


@cython.binding(True)
def async_recv_multipart(Socket self, int flags=0, bint copy=True, bint track=False):
    """Receive a whole message: a future of a list of bytes, or with ``copy=False`` of Frames."""
    loop = running_loop()
    if loop is None:
        return originals["recv_multipart"](self, flags, copy, track)
    if copy:
        return receive(self, loop, "recv_multipart", flags)
    return receive(self, loop, "recv_frames", flags, give_trackers if track else None)


cdef object transmit(Socket self, loop, str name, part, int flags, answer):
    """Send now, or return a future that waits."""
    cdef Calls calls = sends_of(self)
    # While this waits for room, what is held of its message stays.
    cdef int now = flags if flags & DONTWAIT else flags | DONTWAIT | KEEP_HELD
    cdef ReadyFuture done = None
    result = NOT_NOW
    future = None
    if calls.plain:
        done = new_ready(loop, calls, name)
        done.value = answer
    else:
        future = new_future(self, loop)
    try:
        if not calls.queue:
            result = (
                program_send_parts(self.core, part, now) if name == "send_multipart"
                else program_send(self.core, part, now)
            )
    except CoreError as error:
        return failed(future or new_future(self, loop), translated(error))
    if result is not NOT_NOW and done is not None:
        return done
    if future is None:
        future = new_future(self, loop)
    if result is not NOT_NOW:
        if flags & SNDMORE:
            future.midway = True
        future.set_result(answer)
    elif flags & DONTWAIT:
        future.set_exception(again())
    else:
        future.answer = answer
        calls.wait(future, name, core_part(part), program_limit(self.core, True))
    return future


cdef object core_part(part):
    """Return what is sent later as it is now."""
    if type(part) is list or type(part) is bytes or type(part) is CoreFrame:
        return part
    return bytes(memoryview(part))


@cython.binding(True)
def async_send(Socket self, data, int flags=0, bint copy=True, bint track=False, **kwargs):
    """Send one part: a future of a tracker or None."""
    loop = running_loop()
    if loop is None:
        return originals["send"](self, data, flags, copy, track, **kwargs)
    self.require()
    answer = None
    try:
        if kwargs:
            refuse_draft(data, kwargs.get("routing_id"), kwargs.get("group"))
        if type(data) is not bytes or not copy:
            data, answer = self.to_part(data, copy, track)
    except Exception as error:
        return failed(new_future(self, loop), error)
    return transmit(self, loop, SEND_MORE if flags & SNDMORE else "send", data, flags, answer)


@cython.binding(True)
def async_send_multipart(
    Socket self, msg_parts, int flags=0, bint copy=True, bint track=False, **kwargs
):
    """Send a whole message: a future of a tracker that is done when every part is, or None."""
    cdef list parts
    cdef Py_ssize_t i
    loop = running_loop()
    if loop is None:
        return originals["send_multipart"](self, msg_parts, flags, copy, track, **kwargs)
    self.require()
    answer = None
    trackers = [] if track else None
    try:
        parts = list(msg_parts)
        if not parts:
            raise IndexError("a message has at least one part")
        for i in range(len(parts)):
            answer = None
            if type(parts[i]) is not bytes or not copy:
                check_part(parts[i], i)
                part, answer = self.to_part(parts[i], copy, track)
                parts[i] = core_part(part)
            if track:
                trackers.append(answer)
        answer = tracker_of_all(trackers, answer)
    except Exception as error:
        return failed(new_future(self, loop), error)
    if flags & SNDMORE:
        for part in parts:
            future = transmit(self, loop, SEND_MORE, part, flags, answer)
        return future
    return transmit(self, loop, "send_multipart", parts, flags, answer)


@cython.binding(True)
def async_recv_into(Socket self, buffer, /, *, Py_ssize_t nbytes=0, int flags=0):
    """Receive one part into a writable buffer: a future of its size."""
    loop = running_loop()
    if loop is None:
        return originals["recv_into"](self, buffer, nbytes=nbytes, flags=flags)
    view = memoryview(as_it_lies(buffer)).cast("B")
    if view.readonly:
        raise BufferError("recv_into needs a writable buffer")
    if not 0 <= nbytes <= len(view):
        raise ValueError(f"{nbytes=} does not fit into a buffer of {len(view)} bytes")

    def load(frame):
        data = memoryview(frame)
        size = min(len(data), nbytes or len(view))
        view[:size] = data[:size]
        return len(data)

    return receive(self, loop, "recv_frame", flags, load)


@cython.binding(True)
def async_deserialize(Socket self, recvd, load):
    """Have ``load`` make an object of what a receive returns; its future then is of that."""
    cdef ReadyFuture known, loaded
    if type(recvd) is ReadyFuture:
        known = <ReadyFuture> recvd
        kept, known.kept = known.kept, None
        if kept is None:
            return originals["_deserialize"](self, recvd, load)
        try:
            loaded = new_ready(known.loop, known.calls, known.name)
            loaded.value, loaded.kept = load(known.value), kept
            return loaded
        except Exception as error:
            return failed(new_future(self, known.loop), error)
    if not isinstance(recvd, GivesBack):
        return originals["_deserialize"](self, recvd, load)
    if not recvd.done():
        recvd.load = load
        return recvd
    if recvd.kept is None:
        return recvd  # it has failed
    future = new_future(self, recvd.get_loop())
    future.load = load
    kept, recvd.kept = recvd.kept, None
    return finished(future, recvd.calls, recvd.name, kept)


@cython.binding(True)
def async_add_recv_event(Socket self, kind, *, args=None, kwargs=None, future=None):
    """Do what pyzmq's pollers ask for: tell ``future`` when there is something to receive."""
    loop = running_loop()
    if loop is None or kind != POLL:
        return originals["_add_recv_event"](
            self, kind, args=args, kwargs=kwargs, future=future)
    self.require()
    return add_poll(receives_of(self), future)


@cython.binding(True)
def async_add_send_event(Socket self, kind, msg=None, kwargs=None, future=None):
    """Do what pyzmq's pollers ask for: tell ``future`` when there is room to send."""
    loop = running_loop()
    if loop is None or kind != POLL:
        return originals["_add_send_event"](self, kind, msg=msg, kwargs=kwargs, future=future)
    self.require()
    return add_poll(sends_of(self), future)


cdef object add_poll(Calls calls, future):
    def over(_):
        calls.gave_up()

    future.timer = None
    future.add_done_callback(over)
    calls.wait(future, POLL, None, -1)
    return future


@cython.binding(True)
def async_close(Socket self, linger=None):
    """Close it: what waits in this loop is cancelled."""
    if self.receives is not None:
        self.receives.cancel_all()
    if self.sends is not None:
        self.sends.cancel_all()
    originals["close"](self, linger)


def give_calls(kind):
    """Give pyzmq's class of asyncio sockets these calls."""
    for name, function in (
        ("recv", async_recv),
        ("recv_multipart", async_recv_multipart),
        ("recv_into", async_recv_into),
        ("send", async_send),
        ("send_multipart", async_send_multipart),
        ("close", async_close),
        ("_deserialize", async_deserialize),
        ("_add_recv_event", async_add_recv_event),
        ("_add_send_event", async_add_send_event),
    ):
        if name in kind.__dict__:
            originals[name] = kind.__dict__[name]
            setattr(kind, name, function)
