# Layer 8. One direction of a proxy: whole messages out of a socket and into another, as frames.
#
# A message is taken whole, as frames of libzmq's, and then sent whole; all of that with the GIL
# held and without waiting, as every call. So libzmq is at a message boundary whenever others can
# come in, and a proxy can be stopped between any two steps: what it has taken and could not send is
# put back, to be received next.
#
# It takes no turn in the lines of its sockets. Callers that stand there go first.
#
# A look costs a system call, as much as several messages. So a transfer remembers what it knows:
# each call on a socket changes its `touched`, and what a look or a receive in vain has told holds
# until then, for else the bell has rung.

cdef enum Left:  # why a transfer has stopped
    MORE    # its burst is over
    EMPTY   # nothing to receive
    FULL    # no room to send
    STUCK   # no room for this message, although the socket has room for others
    OTHERS  # callers stand in line

cdef enum Outcome:  # of sending one message
    SENT_IT
    NO_ROOM
    NO_PEER


cdef bint others_first(SocketBase zsock, Line line) except -1:
    """Return True if callers stand in a line of the socket, or are in mid-message, and can go
    on."""
    cdef Waiter leader
    if line.owner is not None or line.aside is not None:
        make_way(zsock, line, None)
        if line.owner is not None:
            return True
    leader = line.leader(None)
    if leader is None or leader.runtime is not None and leader.stopped():
        return False
    zsock.check_lines()
    return True


cdef Outcome put_frames(SocketBase zsock, zmq_msg_t *frames, int count, bint keep):
    """Send a message of frames; they are closed, or left as they are with ``keep`` or if not sent.

    Raises:
        Error: it cannot be sent for good.
    """
    cdef zmq_msg_t copy
    cdef zmq_msg_t *msg
    cdef int error, rc, flags, i = 0
    while i < count:
        flags = ZMQ_DONTWAIT | (ZMQ_SNDMORE if i < count - 1 else 0)
        msg = &frames[i]
        if keep or i < count - 1:
            # Of what a peer may leave in the middle of, the whole is sent anew. A copy of a small
            # frame costs next to nothing, of a large one it shares the memory.
            msg = &copy
            zmq_msg_init(msg)
            zmq_msg_copy(msg, &frames[i])
        rc = zmq_msg_send(msg, zsock.handle, flags)
        if rc >= 0:
            i += 1
            continue
        error = zmq_errno()
        if msg == &copy:
            zmq_msg_close(msg)
        if error == EHOSTUNREACH:
            return NO_PEER
        if error == EAGAIN or error == EFSM:
            if i == 0:
                return NO_ROOM
            if flags & ZMQ_SNDMORE and zsock.kind.balances:
                zmq_send(zsock.handle, NULL, 0, ZMQ_DONTWAIT)  # see `end_half`
            i = 0
        elif error != EINTR:
            raise zsock.fail(error, "send")
    zsock.asked = ASKED | SENT
    return SENT_IT


cdef class Transfer:
    """One direction of a proxy, and the message that it has taken."""
    cdef SocketBase source, target, capture
    cdef zmq_msg_t *frames
    cdef int room, count  # of frames; a count of 0: it has taken nothing
    cdef bint subscribes  # what the target is sent may be a subscription
    cdef Left left
    cdef unsigned int empty_at  # what the source's `touched` was when nothing was there
    cdef uint64_t size    # bytes of what it has taken
    cdef uint64_t messages, volume, dropped  # of all that it is done with; the volume in bytes

    def __init__(self, SocketBase source, SocketBase target, SocketBase capture):
        self.source, self.target, self.capture = source, target, capture
        self.subscribes = target.kind.subscribes == "message"
        self.grow()

    def __dealloc__(self):
        self.close_frames()
        PyMem_Free(self.frames)

    cdef int grow(self) except -1:
        """Make room for twice as many frames."""
        cdef int room = 2 * self.room if self.room else FEW_FRAMES
        cdef zmq_msg_t *frames = <zmq_msg_t *> PyMem_Malloc(room * sizeof(zmq_msg_t))
        cdef int i
        if frames == NULL:
            raise MemoryError(f"no memory for a message of {room} parts")
        for i in range(self.count):
            zmq_msg_init(&frames[i])
            zmq_msg_move(&frames[i], &self.frames[i])
        PyMem_Free(self.frames)
        self.frames, self.room = frames, room
        return 0

    cdef void close_frames(self) noexcept:
        while self.count:
            self.count -= 1
            zmq_msg_close(&self.frames[self.count])

    # Taking

    cdef bint take_message(self) except -1:
        """Take the next message; False: not now."""
        cdef bint more = True
        cdef int error
        self.size = 0
        if self.source.broken:
            raise torn(self.source)
        if self.source.counts:
            take_in_subscriptions(self.source)
        if self.source.prefetched is not None:
            self.take_prefetched()
            return True
        if self.source.counts:
            return False  # what has come since then is to be counted first
        while more:
            if self.count == self.room:
                self.grow()
            zmq_msg_init(&self.frames[self.count])
            while zmq_msg_recv(&self.frames[self.count], self.source.handle, ZMQ_DONTWAIT) < 0:
                error = zmq_errno()
                # A REP or REQ out of turn has nothing to receive.
                if self.count == 0 and (error == EAGAIN or error == EFSM):
                    return False
                if error != EINTR:
                    self.close_frames()
                    raise self.source.fail(error, "receive")
            more = zmq_msg_more(&self.frames[self.count])
            self.size += zmq_msg_size(&self.frames[self.count])
            self.count += 1
        if self.count > 1 and self.source.conflate:
            self.close_frames()
            self.source.broken = True
            raise torn(self.source)
        return True

    cdef int take_prefetched(self) except -1:
        """Take a message that was taken before, and is in memory of Python's."""
        cdef SocketBase source = self.source
        cdef Frame frame
        message = source.prefetched.pop(0)
        if not source.prefetched:
            source.prefetched = None
            source.update_bypass()
        try:
            parts = message[::-1] if type(message) is list else [message]
            while self.room < len(parts):
                self.grow()
            for part in parts:
                frame = as_frame(part, False)
                zmq_msg_init(&self.frames[self.count])
                zmq_msg_copy(&self.frames[self.count], &frame.msg)
                self.size += zmq_msg_size(&frame.msg)
                self.count += 1
        except BaseException:
            self.close_frames()
            receive_next(source, message)
            raise
        return 0

    # Passing on

    cdef bint pass_on(self) except -1:
        """Send what was taken; False: not now, and `left` says why."""
        cdef SocketBase target = self.target
        cdef Outcome outcome = NO_PEER
        if target.tx.contended and others_first(target, target.tx):
            self.left = OTHERS
            return False
        if self.is_notice():
            outcome = SENT_IT
        elif self.fits():
            if target.low_sndhwm:
                target.look()  # has libzmq read that there is room (see LOW_SNDHWM)
            outcome = put_frames(target, self.frames, self.count, self.capture is not None)
            if outcome == NO_ROOM:
                if not target.look() & TX:
                    self.left = FULL
                    return False
                outcome = put_frames(target, self.frames, self.count, self.capture is not None)
            if outcome == NO_ROOM:
                self.left = STUCK
                return False
        self.messages += 1
        self.volume += self.size
        self.dropped += outcome == NO_PEER
        if self.capture is not None:
            self.copy_to_capture()
        self.close_frames()
        return True

    cdef bint fits(self) except -1:
        """Return True if libzmq sends such a message whole; it is dropped otherwise."""
        cdef SocketBase target = self.target
        cdef int count = self.count
        if target.form == ONE_PART:
            return count == 1
        if target.form == PEER_AND_DATA:
            return count == 2
        if target.form == PEER_AND_PARTS:
            return count >= 2
        if self.subscribes:
            return self.longest_prefix() <= MAX_PREFIX
        return True

    cdef Py_ssize_t longest_prefix(self) noexcept:
        """Return how many bytes an XSUB would subscribe to, at most."""
        cdef Py_ssize_t longest = 0
        cdef size_t size
        cdef int i
        for i in range(self.count):
            size = zmq_msg_size(&self.frames[i])
            if size and (<char *> zmq_msg_data(&self.frames[i]))[0] in (0, 1):
                longest = max(longest, <Py_ssize_t> size - 1)
        return longest

    cdef bint is_notice(self) noexcept:
        """Return True for a STREAM's word that a peer came or left: sent, it would disconnect."""
        return (
            self.source.raw and self.target.raw and self.count == 2
            and zmq_msg_size(&self.frames[1]) == 0
        )

    cdef int copy_to_capture(self) except -1:
        """Give a copy to the capture, if it can take it now."""
        cdef SocketBase capture = self.capture
        if not (capture.tx.contended and others_first(capture, capture.tx)):
            try:
                put_frames(capture, self.frames, self.count, False)
            finally:
                capture.after()
        return 0

    cdef bint is_empty(self) noexcept:
        """Return True if it is known that nothing is to be received."""
        cdef SocketBase source = self.source
        if source.touched == source.looked_at:
            return not source.events & RX
        return source.touched == self.empty_at

    cdef bint has_room(self):
        """Return True if the target could take a message."""
        if self.target is self.source and self.target.kind.replies:
            return True  # it has room when it has received, and not before
        if self.target.touched != self.target.looked_at:
            self.target.check()
        return (self.target.events & TX) != 0

    cdef int move(self, bint reads) except -1:
        """Pass on what was taken, and if it ``reads``, a burst of messages more. Sets `left`."""
        if self.count:
            try:
                if not self.pass_on():
                    return 0
            finally:
                self.target.after()
        self.left = EMPTY
        if not reads or self.is_empty():
            return 0
        if self.source.rx.contended and others_first(self.source, self.source.rx):
            self.left = OTHERS
        elif self.has_room():
            self.burst()
        else:
            self.left = FULL
        return 0

    cdef int burst(self) except -1:
        """Pass on messages until there are none, no room, or enough of them."""
        cdef int most = PROXY_BURST
        cdef bint found = True
        self.left = MORE
        try:
            while most and self.left == MORE:
                found = self.take_message()
                if not found:
                    self.left = EMPTY
                elif self.pass_on():
                    most -= 1
        finally:
            if most != PROXY_BURST or self.count:
                self.target.after()
            self.source.after()
            if not found:
                self.empty_at = self.source.touched
        return 0

    cdef int hand_back(self) except -1:
        """Put what was taken where it is received next."""
        cdef list parts = []
        cdef Frame frame
        if self.count and self.source.born == generation:
            while self.count:
                frame = Frame()
                self.count -= 1
                zmq_msg_move(&frame.msg, &self.frames[self.count])
                zmq_msg_close(&self.frames[self.count])
                parts.append(frame)
            receive_next(self.source, parts)
            self.source.check_lines()
        self.close_frames()
        return 0
