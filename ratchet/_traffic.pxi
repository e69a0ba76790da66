# Whole messages into libzmq and out of it, and the wait of who cannot go on at once.

cdef class Traffic(Core):
    """A socket that moves messages: all but who makes its calls, an OS thread or a task."""

    # Sending: whole messages only. 1: taken, 0: not now.

    cdef int put(self, const char *data, size_t size) except -1:
        """One part."""
        cdef zmq_msg_t msg
        if size < LARGE:
            return put_small(self, data, size)
        if self.writable_tells and not self.look() & TX:
            return 0  # before the copy, not after it
        copy_in(&msg, data, size)
        return self.put_msg(&msg)

    cdef int put_msg(self, zmq_msg_t *msg) except -1:
        """One part; closes it."""
        cdef int error
        try:
            self.alive("send")  # to make it may have let other threads run, or a finalizer
            while zmq_msg_send(msg, self.handle, ZMQ_DONTWAIT) < 0:
                error = zmq_errno()
                if error == EAGAIN:
                    self.touched += 1
                    return 0
                if error != EINTR:
                    raise self.fail(error, "send")
            self.asked = ASKED | SENT
            return 1
        finally:
            zmq_msg_close(msg)

    cdef int put_part(self, part) except -1:
        """One part, bytes or a Loan."""
        cdef zmq_msg_t msg
        if not is_lent(part):
            return put_small(self, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        ratchet_collect()
        lend(&msg, part)
        if not self.put_msg(&msg):
            return 0
        taken(part)
        return 1

    cdef int put_all(self, list parts) except -1:
        """Many parts, bytes or Loans."""
        cdef Py_ssize_t i, count = len(parts)
        cdef int error, flags, rc
        cdef Frame frame
        cdef list frames = None
        for part in parts:
            if is_lent(part):
                frames = []
                break
        if frames is not None:
            ratchet_collect()
            for part in parts:
                frame = Frame()
                if is_lent(part):
                    lend(&frame.msg, part)
                else:
                    copy_in(&frame.msg, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
                frames.append(frame)
            self.alive("send")  # that may have run a finalizer
        i = 0
        while i < count:
            flags = ZMQ_DONTWAIT | (ZMQ_SNDMORE if i < count - 1 else 0)
            if frames is None:
                part = parts[i]
                rc = zmq_send(self.handle, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part), flags)
            else:
                frame = <Frame> frames[i]
                rc = zmq_msg_send(&frame.msg, self.handle, flags)
            if rc >= 0:
                i += 1
                continue
            error = zmq_errno()
            if error == EINTR:
                continue
            if error != EAGAIN:
                raise self.fail(error, "send")
            if i > 0:
                # The peer went away between two parts and libzmq took back the ones it had. A
                # load balancer (lb.cpp) now swallows the rest of that message: end it, start anew.
                if flags & ZMQ_SNDMORE and self.type in ("PUSH", "DEALER"):
                    zmq_send(self.handle, NULL, 0, ZMQ_DONTWAIT)
                if self.type == "REQ":
                    raise self.fail(EHOSTUNREACH, "send: the peer left in mid-message")
            self.touched += 1
            return 0 if i == 0 else self.put_all(parts)
        if frames is not None:
            for part in parts:
                taken(part)
        self.asked = ASKED | SENT
        return 1

    cdef int put_last(self, list parts) except -1:
        """Parts, as the last ones of what is held back."""
        if self.held is None:
            return self.put_all(parts)
        try:
            if not self.put_all(self.held + parts):
                return 0
        except MemoryError:
            raise  # nothing is sent, and what is held stays so
        except BaseException:
            self.abandon(self.tx)  # refused, not postponed: the message is the caller's again
            raise
        self.abandon(self.tx)
        return 1

    cdef int put_many(self, Batch batch) except -1:
        """What is left of a batch: 1 if all of it is taken now."""
        cdef double began = 0
        cdef Py_ssize_t stop = batch.taken + batch.slice
        cdef size_t size
        cdef bytes data
        batch.pausing = False
        while batch.taken < batch.count:
            data = <bytes> batch.messages[batch.taken]
            size = PyBytes_GET_SIZE(data)
            if size < LEND:
                if not put_small(self, PyBytes_AS_STRING(data), size):
                    return 0
            elif not self.put_part(data):
                return 0
            batch.taken += 1
            if batch.taken % BATCH == 0 or size >= LARGE:
                self.after()
                if batch.slice:
                    if size >= LARGE:
                        stop -= batch.slice >> 6  # a large one counts as many
                    if batch.taken >= stop and batch.taken < batch.count:
                        batch.pausing = True
                        return 0
                elif looping and thread_here() is not None:
                    thread_here().kernel.yield_turn()
                else:
                    began = interlude(began)
                PyErr_CheckSignals()
                self.alive("send")
        return 1

    # Receiving

    cdef int take(self, zmq_msg_t *msg) except -1:
        """The next frame: 1, or 0 for not now. Must be closed if 1."""
        cdef int error
        zmq_msg_init(msg)
        while zmq_msg_recv(msg, self.handle, ZMQ_DONTWAIT) < 0:
            error = zmq_errno()
            if error == EAGAIN:
                return 0
            if error != EINTR:
                raise self.fail(error, "receive")
        return 1

    cdef list take_rest(self, zmq_msg_t *msg, bint keep=False):
        """Every part of the message that begins with ``msg``, as bytes; all as Frames: ``keep``."""
        global scratch
        cdef list parts
        cdef Frame frame
        cdef Py_ssize_t i
        cdef bint large = False, more = True
        if self.conflate and zmq_msg_more(msg):
            self.tear(msg)
        parts, scratch = scratch, None
        if parts is None:  # in a finalizer, while the line below makes one
            parts = []
        try:
            while more:
                more = zmq_msg_more(msg)
                if not keep and zmq_msg_size(msg) < LARGE:
                    parts.append(copy_out(msg))
                else:
                    large = True
                    frame = Frame()
                    zmq_msg_move(&frame.msg, msg)
                    parts.append(frame)
                if more and not self.take(msg):
                    raise errors.Error(errno.EPROTO, "libzmq returned half a message")
        except BaseException:
            zmq_msg_close(msg)
            while more and self.take(msg):  # no memory: lose this message whole, not its head only
                more = zmq_msg_more(msg)
                zmq_msg_close(msg)
            scratch = []
            raise
        scratch = []
        if large and not keep:
            for i in range(len(parts)):
                parts[i] = as_bytes(parts[i])
        return parts

    cdef int tear(self, zmq_msg_t *msg) except -1:
        """Give up a socket with conflate whose peer sends several parts; closes ``msg``.

        libzmq keeps the part that came last, whichever message it is of. After one with more to
        come it takes the next for granted, and ends the process if that is not there (fq.cpp).
        """
        zmq_msg_close(msg)
        self.broken = True
        raise self.torn()

    cdef torn(self):
        return errors.Error(
            errno.EPROTO,
            f"{self.describe()}: a peer sends messages of several parts, of which conflate=True "
            "keeps the part that came last; have it send one part, or make a new socket without "
            "conflate. This one receives no more",
        )

    cdef int take_ahead(self) except -1:
        """Take the next message if it is there: else libzmq drops half with its connection."""
        cdef zmq_msg_t msg
        if self.conflate:
            return 0  # it has one part
        try:
            if not self.take(&msg):
                return 0
        except errors.StateError:  # a REP that has to reply before
            return 0
        message = self.take_rest(&msg, True)
        message.reverse()
        if self.ahead is None:
            self.ahead = []
        self.ahead.append(message)
        self.divert()
        return 0

    cdef int hand_out(self, Caller me) except -1:
        """The next of what was taken ahead becomes the message in hand."""
        message = self.ahead[0]
        parts = message if type(message) is list else [message]
        del self.ahead[0]
        self.seize(self.rx, me)
        self.parts = parts
        if not self.ahead:
            self.ahead = None
            self.divert()
        return 0

    cdef object get_part(self, Caller me):
        cdef int size
        if self.parts:
            return self.next_part()
        data = small_one(self.handle, &size)
        return self.other_one(RECV, size, me) if data is None else single(data)

    cdef object other_one(self, Op op, int size, Caller me):
        """After `small_one`: what is large or has many parts, an error, or NOT_NOW."""
        cdef zmq_msg_t msg
        cdef int error
        if size < 0:
            error = zmq_errno()
            if error == EAGAIN:
                return NOT_NOW
            if error != EINTR:
                raise self.fail(error, "receive")
            return self.get_part(me) if op == RECV else self.get_joined()
        zmq_msg_init(&msg)
        zmq_msg_move(&msg, &hand)
        if op == RECV and zmq_msg_more(&msg):
            self.keep(&msg, me, False)
            return self.next_part()
        if op == RECV:
            return single(copy_out(&msg))
        return b"".join(self.take_rest(&msg)) if zmq_msg_more(&msg) else copy_out(&msg)

    cdef int keep(self, zmq_msg_t *msg, Caller me, bint frames) except -1:
        """The message that begins with ``msg`` is handed out part by part, to its owner."""
        self.rx.owner = NOBODY  # large parts are copied without the GIL
        self.rx.shut = True
        try:
            parts = self.take_rest(msg, frames)
            parts.reverse()
            if me is None:
                me = caller_here()  # may let other threads run, which may close
            self.parts = parts
            self.seize(self.rx, me)
        except BaseException:
            self.seize(self.rx, None)
            raise
        return 0

    # What is handed out is made first: if there is no memory for it, it is there to be had again.
    # To copy a large part lets other threads run, which may close.

    cdef int handed(self, list parts, Py_ssize_t left) except -1:
        """The caller has all but so many of them."""
        if self.parts is parts:
            del parts[left:]
            if not parts:
                self.parts = None
                self.seize(self.rx, None)
        return 0

    cdef object next_part(self):
        cdef list parts = self.parts
        cdef Py_ssize_t left = len(parts) - 1
        found = as_bytes(parts[left]), left > 0
        self.handed(parts, left)
        return found

    cdef object get_frame(self, Caller me):
        cdef Frame frame
        cdef list parts
        cdef Py_ssize_t left
        if not self.parts:
            frame = Frame()
            if not self.take(&frame.msg):
                return NOT_NOW
            if not zmq_msg_more(&frame.msg):
                return frame
            self.keep(&frame.msg, me, True)
        parts = self.parts
        left = len(parts) - 1
        frame = as_frame(parts[left], left > 0)
        self.handed(parts, left)
        return frame

    cdef object get_frames(self):
        """As `get_parts`."""
        cdef zmq_msg_t msg
        cdef list parts
        cdef Py_ssize_t i
        if self.parts:
            parts = self.parts
            found = self.rest(True)
            self.handed(parts, 0)
            return found
        if not self.take(&msg):
            return NOT_NOW
        parts = self.take_rest(&msg, True)
        for i in range(len(parts) - 1):
            (<Frame> parts[i]).more = True
        return parts

    cdef object get_into(self, Target target, Caller me):
        cdef zmq_msg_t msg
        cdef list parts
        cdef object found
        cdef Py_ssize_t size
        if not self.parts:
            if not self.take(&msg):
                return NOT_NOW
            size = zmq_msg_size(&msg)
            if size <= target.view.len and not zmq_msg_more(&msg):
                copy_memory(target.view.buf, zmq_msg_data(&msg), size)
                zmq_msg_close(&msg)
                return size
            self.keep(&msg, me, True)
        parts = self.parts
        part = parts[len(parts) - 1]
        found = size = len(part)
        if size > target.view.len:
            raise errors.argument_error(
                f"{self.describe()}: recv_into() was given a buffer of {target.view.len} bytes, "
                f"and the next part has {size}; it is still there, to be received by this caller"
            )
        if type(part) is Frame:
            copy_memory(target.view.buf, zmq_msg_data(&(<Frame> part).msg), size)
        else:
            copy_memory(target.view.buf, PyBytes_AS_STRING(part), size)
        self.handed(parts, len(parts) - 1)
        return found

    cdef list rest(self, bint frames):
        """What is left of the message in hand, in order; it is not handed out yet."""
        cdef list found = self.parts[::-1]
        cdef Py_ssize_t i
        for i in range(len(found)):
            found[i] = as_frame(found[i], i < len(found) - 1) if frames else as_bytes(found[i])
        return found

    cdef object get_parts(self):
        """What is left of the message in hand, or a whole new one."""
        cdef zmq_msg_t msg
        if self.parts:
            parts = self.parts
            found = self.rest(False)
            self.handed(parts, 0)
            return found
        return self.take_rest(&msg) if self.take(&msg) else NOT_NOW

    cdef object get_joined(self):
        cdef int size
        if self.parts:
            parts = self.parts
            found = b"".join(self.rest(False))
            self.handed(parts, 0)
            return found
        data = small_one(self.handle, &size)
        return self.other_one(RECV_ALL, size, None) if data is None else data

    cdef object get_many(self, Py_ssize_t most):
        cdef list found = []
        cdef double began = 0
        cdef int size
        cdef Py_ssize_t count = 0
        if self.parts:
            found.append(None)  # there is room for it before it is handed out
            found[0] = self.get_joined()
            count = 1
        # A large part is copied without the GIL: someone may be in mid-message after it.
        try:
            while count < most and self.rx.owner is None and self.ahead is None:
                data = small_one(self.handle, &size)
                if data is None:
                    try:
                        data = self.other_one(RECV_ALL, size, None)
                    except errors.Error:
                        if found:
                            break  # a REP or REQ can take only one; the next call tells
                        raise
                    if data is NOT_NOW:
                        break
                found.append(data)
                count += 1
                if count % BATCH == 0:
                    # Signal handlers must not run here: what they raise would lose `found`.
                    self.after()
                    if self.born != generation:
                        break
                    if began == 0:
                        began = monotonic()
                    elif monotonic() - began > LONGEST_BATCH:
                        break
        except MemoryError:  # for one message; the others are received next, joined
            if found:
                self.ahead = found
                self.divert()
            raise
        return found if found else NOT_NOW

    # Pausing

    cdef inline Line line_of(self, Op op):
        return self.tx if op <= SEND_MANY else self.rx

    cdef void abandon(self, Line line) noexcept:
        """Drop the half of a message that is there."""
        if line is self.tx:
            self.held = None
        else:
            self.parts = None
        self.seize(line, None)

    # Half messages of callers that do not run. Between two calls libzmq is at a message boundary,
    # so others may send and receive whole ones meanwhile.

    cdef int make_way(self, Line line, Caller me) except -1:
        """``me`` (None: not known) may go on: not for the half message of one that cannot."""
        cdef Caller owner = line.owner
        if owner is not None and owner is not me:
            if not owner.alive or owner.gone():
                self.abandon(line)  # nobody can finish it
            elif owner.stopped():
                self.set_aside(line, owner)
        if line.aside is not None:
            self.take_back(line, me)
        return 0

    cdef int set_aside(self, Line line, Caller owner) except -1:
        """Keep the half message of ``owner`` until it comes back; the line is nobody's."""
        parts = self.held if line is self.tx else self.parts
        if line.aside is None:
            line.aside = {}
        line.aside[owner] = parts
        self.abandon(line)
        return 0

    cdef int take_back(self, Line line, Caller me) except -1:
        """Let ``me`` go on with the half message that was set aside, if the line is nobody's."""
        cdef Caller caller
        for caller in list(line.aside):
            if not caller.alive or caller is not me and caller.gone():
                line.aside.pop(caller, None)
        if line.owner is None and me is not None and me in line.aside:
            self.seize(line, me)
            parts = line.aside.pop(me)
            if line is self.tx:
                self.held = parts
            else:
                self.parts = parts
        if line.aside is not None and not line.aside:
            line.aside = None
            line.update()
        return 0

    cdef object attempt(self, Op op, object arg, Caller me):
        """Do it now, or NOT_NOW. The caller (None: ask who it is) is entitled to."""
        cdef list parts
        cdef Line line = self.line_of(op)
        if line.owner is not None or line.aside is not None:
            self.make_way(line, me)
        if line.detour:
            self.go_round(line, op, arg, me)
        if op == SEND:
            if self.put_part(arg) if self.held is None else self.put_last([arg]):
                return tracker_of(arg)
            return NOT_NOW
        if op == HOLD:
            if self.held is None:
                parts = [arg]  # before the line is anybody's: there may be no memory for it
                self.seize(self.tx, caller_here() if me is None else me)
                self.held = parts
            else:
                self.held.append(arg)
            return tracker_of(arg)
        if op == SEND_MULTIPART:
            parts = arg
            return tracker_of(parts[0]) if self.put_last(parts) else NOT_NOW
        if op == SEND_MANY:
            if self.held is not None:
                raise errors.StateError(
                    errno.EBUSY,
                    f"{self.describe()}: in the middle of a message; send its last part first",
                )
            return (<Batch> arg).count if self.put_many(<Batch> arg) else NOT_NOW
        if op == RECV:
            return self.get_part(me)
        if op == RECV_ALL:
            return self.get_joined()
        if op == RECV_MULTIPART:
            return self.get_parts()
        if op == RECV_MANY:
            return self.get_many(arg)
        if op == RECV_FRAME:
            return self.get_frame(me)
        if op == RECV_FRAMES:
            return self.get_frames()
        return self.get_into(<Target> arg, me)

    cdef int go_round(self, Line line, Op op, object arg, Caller me) except -1:
        """What `divert` has found that a call has to do first."""
        if line is self.rx:
            if self.broken:
                raise self.torn()
            if self.parts is None and self.ahead is not None:
                self.hand_out(me)
        elif self.form != ANY:
            self.check_form(op, arg)
        elif self.type == "XSUB":
            self.check_prefixes(op, arg)
        elif self.ahead is not None:
            raise self.fail(EFSM, "send")  # a REP, whose caller has not received the request
        elif self.tight:
            self.look()  # see `_set_int`
        return 0

    cdef int check_form(self, Op op, object arg) except -1:
        """Raise unless libzmq sends such a message whole: it would take it, and spoil it."""
        cdef Py_ssize_t count = 0 if self.held is None else len(self.held)
        if op == SEND_MANY and (count or (<Batch> arg).taken == (<Batch> arg).count):
            return 0  # another one is in mid-message, or there is nothing to send
        if op == HOLD and self.form != ONE:
            return 0  # its last part tells
        if op == HOLD:
            count = 2
        else:
            count += len(<list> arg) if op == SEND_MULTIPART else 1
        if count == 2 and self.form != ONE or count > 2 and self.form == ADDRESSED:
            return 0
        if count == 1 and self.form == ONE:
            return 0
        if self.held is not None:
            self.abandon(self.tx)
        raise errors.argument_error(f"{self.describe()}: {wrong_form(self.form, count, op)}")

    cdef int check_prefixes(self, Op op, object arg) except -1:
        """Raise unless an XSUB can send it: to libzmq, what begins with 1 or 0 subscribes."""
        cdef Py_ssize_t size
        if op == SEND_MANY:
            if self.held is not None or (<Batch> arg).taken:
                return 0  # refused by `attempt`; was looked at before
            parts = (<Batch> arg).messages
        else:
            parts = arg if op == SEND_MULTIPART else [arg]
        try:
            for part in parts:
                size = prefix_in(part)
                if size > MAX_PREFIX:
                    check_prefix(self, "send", size)
        except BaseException:
            if self.held is not None:
                self.abandon(self.tx)
            raise
        return 0

    cdef object now_or_never(self, Op op, object arg, Caller me):
        """What a timeout of 0 gets when nobody is before it and a first try said not now."""
        cdef Line line = self.line_of(op)
        # Send and receive see only what libzmq has noticed; a look makes it notice (4.3.4:
        # process_commands is throttled to once in about a millisecond on the send side).
        result = NOT_NOW
        if line is self.tx and self.look() & TX:
            result = self.attempt(op, arg, me)
        if result is NOT_NOW:
            self.after()
            raise self.timeout(line, 0)
        return result

    cdef object try_in_line(self, Waiter me, Op op, object arg, bint tried, bint *knock):
        """What a waiter does before it sleeps and whenever it was woken: try, if it is its turn.

        Args:
            tried: it has just been found that it cannot be done now.
            knock: set if nobody may tell when to try again (`REKNOCK`).
        """
        cdef Line line = me.line
        cdef int events
        knock[0] = False
        self.alive("send" if line is self.tx else "receive")
        me.woken = False
        knock[0] = line.depends(me)
        if line.turn(me) is not me:
            if line.leads(me):
                self.ring(self.look(), me)  # the leader watches the bell, so it answers it
            return NOT_NOW
        if not tried:
            result = self.attempt(op, arg, me.caller)
            if result is not NOT_NOW:
                return result
        # A receive that found nothing has looked, for itself: libzmq did all it had to. A send
        # may not have, and neither tells what others wait for.
        if line is self.tx or self.waiting > 1:
            events = self.look()
            self.ring(events, me)
            if events & line.event:
                result = self.attempt(op, arg, me.caller)
                knock[0] = True
                return result
        return NOT_NOW

    cdef object proceed(self, Op op, object arg, double limit):
        """The slow path: the line is shut, or a first try said not now."""
        cdef Line line = self.line_of(op)
        if line.aside is not None and line.owner is None:
            self.take_back(line, caller_here())
        if line.is_detour() or line.owner is not None and line.owner is caller_here():
            result = self.attempt(op, arg, line.owner)
            if result is not NOT_NOW:
                self.after()
                return result
        if limit == 0 and not line.shut:
            result = self.now_or_never(op, arg, None)
            self.after()
            return result
        return self.wait(line, op, arg, limit)

    cdef object wait(self, Line line, Op op, object arg, double limit):
        """Queue, and try whenever woken, until it is done or the time is up."""
        # Only a receive has looked by trying, and whoever copied something large let others run.
        cdef bint tried = line is self.rx and not line.shut
        cdef unsigned int touched = self.touched
        cdef Waiter me = waiter_here()  # may let other threads run
        cdef double deadline = deadline_of(limit)
        cdef bint knock = False
        ratchet_collect()
        self.enter(line, me)
        tried = tried and self.touched == touched
        try:
            while True:
                result = self.try_in_line(me, op, arg, tried, &knock)
                if result is not NOT_NOW:
                    return result
                if limit >= 0 and monotonic() >= deadline:
                    raise self.timeout(line, limit)
                tried = False
                me.pause(self, soon_if(knock, deadline))
        finally:
            self.exit(me)

    cdef object timeout(self, Line line, double limit):
        if line is self.rx:
            what, remedy = "nothing came", "does a peer send, and is its endpoint the right one?"
        else:
            what, remedy = "no peer could take it", "is one connected, and does it receive?"
        return errors.Timeout(
            errno.ETIMEDOUT,
            f"{self.describe()}: {what} within {limit:g} s; {remedy} A longer timeout waits longer",
        )


# The longest prefix (bytes) to subscribe to. libzmq 4.3's trie recurses for each byte of it, in the
# caller's thread: 80 bytes of stack each to remove one (trie.cpp), 83 to tell a new peer of many;
# its reaper's thread needs 48 to close the socket. On 32 KiB, the smallest stack that
# threading.stack_size() takes, 328 is the longest that libzmq survives (4.3.4, x86-64).
cdef Py_ssize_t MAX_PREFIX = 255


cdef int check_prefix(Core zsock, what, Py_ssize_t size) except -1:
    """Raise for a prefix that libzmq would overflow a thread's stack with."""
    if size <= MAX_PREFIX:
        return 0
    raise errors.argument_error(
        f"{zsock.describe()}: cannot {what} a subscription to a prefix of {size} bytes: at most "
        f"{MAX_PREFIX} are accepted, since libzmq would overflow the stack; subscribe to the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
        if what == "send" else
        f"{zsock.describe()}: cannot {what} a prefix of {size} bytes: at most {MAX_PREFIX} are "
        "accepted, since libzmq would overflow the stack; use the first "
        f"{MAX_PREFIX}, and compare the rest of what is received"
    )


cdef Py_ssize_t prefix_in(part) except -1:
    """How many bytes of a part are a prefix to an XSUB."""
    cdef const char *start
    cdef Py_ssize_t size
    if type(part) is Loan:
        start = <char *> (<Loan> part).view.buf
        size = (<Loan> part).view.len
    else:
        start, size = PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part)
    return size - 1 if size and start[0] in (0, 1) else 0


cdef str wrong_form(Form form, Py_ssize_t count, Op op):
    """What is wrong with a message of so many parts, and what to do."""
    if form == ONE:
        parts = "more=True" if op == HOLD else f"a message of {count} parts"
        return (
            f"cannot send {parts} with conflate=True, which keeps only the last part of all; send "
            "one part (pack several into one, as with struct or json), or do without conflate"
        )
    parts = f"cannot send a message of {count} part{'' if count == 1 else 's'}"
    if form == TWO:
        return f"{parts}: it is two, the peer's routing id and the bytes"
    many = ", for each message, since send_many sends messages of one part" * (op == SEND_MANY)
    return (
        f"{parts}: the first part names the peer, and nothing follows it; use send_multipart("
        f"[routing_id, data]){many}. A ROUTER with router_mandatory=False drops such messages"
    )


cdef inline int put_small(Core zsock, const char *data, size_t size) except -1:
    """One part that is not large. Inline, for a batch of them."""
    cdef int error
    while zmq_send(zsock.handle, data, size, ZMQ_DONTWAIT) < 0:
        error = zmq_errno()
        if error == EAGAIN:
            zsock.touched += 1
            return 0
        if error != EINTR:
            raise zsock.fail(error, "send")
    zsock.asked = ASKED | SENT
    return 1


cdef inline double limit_of(Core zsock, Op op, timeout) except? -2:
    """The seconds that a call may take: its own timeout, or the socket's."""
    if timeout is not UNSET:
        return to_seconds(timeout)
    return zsock._send_timeout if op <= SEND_MANY else zsock._recv_timeout
