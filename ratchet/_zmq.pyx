# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: binding=False, embedsignature=True, embedsignature.format=clinic, always_allow_keywords=True
"""Sockets over libzmq: context, messages and the calls that pause. The only file that touches C.

Theory of operation
-------------------
libzmq is called with ZMQ_DONTWAIT and the GIL only, so two threads are never inside one socket.
A call succeeds, raises, or answers NOT_NOW, which is a value. What runs without the GIL is waiting
(`_osthread.pxi`) and copying large messages between Python's memory and a zmq_msg_t of our own.

libzmq is at a message boundary whenever the GIL can change hands: the parts of a message go in
and come out in one go. A message sent part by part is held back in the socket until its last
part; one received part by part is taken whole and handed out. So a sender or receiver that dies
half way, or is cancelled, leaves nothing torn. Between taking the first part from libzmq and the
last, nothing here may allocate an object that the garbage collector knows: a collection could
run a finalizer that uses the same socket.

Every call that pauses has a fast path, which looks at one flag (`Line.shut`) and tries, and a
slow one, `Core.wait`, which queues and tries again whenever it is woken (`_doorbell.pxi`).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.math cimport INFINITY, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratchet._zmq cimport *

import errno
import os
import threading
import warnings
import weakref
from time import monotonic as python_monotonic

from . import errors
from ._platform import Wakeup
from .uri import OLD_NAMES, TYPES

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict()  # borrowed

# From this size (bytes) on, a copy runs without the GIL. It takes about 10 us there, which is what
# giving the GIL up and getting it back may cost when another thread wants it.
cdef size_t LARGE = 131072
# How many messages a batch moves before it lets other threads have the GIL.
cdef int BATCH = 256
# recv_many returns what it has after this long (seconds), so that Ctrl-C is heard within 0.1 s.
cdef double LONGEST_BATCH = 0.05
# libzmq calls some sockets writable although a send says "not now" (a ROUTER with router_mandatory
# whose peer is full, an XPUB with xpub_nodrop), so a look proves nothing: knock again (seconds).
cdef double REKNOCK = 0.05
# Descriptors libzmq takes when a context starts; out of them, it would abort (ctx.cpp, 4.3.4).
cdef int HEAD_ROOM = 12

# The process: a forked child is another generation, and what was made before belongs to its parent.
cdef unsigned int generation = 1
cdef void *context = NULL
cdef int io_threads = 1
cdef int max_sockets = 0  # 0: as many as libzmq can
cdef bint exiting = False
cdef double DEFAULT_LINGER = 10.0

open_sockets = weakref.WeakSet()  # of this process, for the exit
cdef object NOT_NOW = object()
cdef object UNSET = ...

cdef enum Op:
    SEND, HOLD, SEND_MULTIPART, RECV, RECV_ALL, RECV_MULTIPART, RECV_MANY


cdef double monotonic():
    return python_monotonic()


cdef bint current_thread_is_main():
    return threading.get_ident() == threading.main_thread().ident


cdef from_errno(int number, what):
    """The one door from errno to an exception."""
    if number == ENOMEM:
        return MemoryError(what)
    return errors.from_errno(number, what, zmq_strerror(number).decode("utf-8", "replace"))


cdef double to_seconds(timeout) except? -2:
    """A timeout argument: -1 for ever."""
    cdef double limit
    if timeout is None:
        return -1
    try:
        limit = timeout
    except TypeError:
        raise TypeError(
            f"timeout must be a number of seconds or None, not {type(timeout).__name__}"
        ) from None
    except OverflowError:
        raise errors.argument_error(f"timeout {timeout} is out of range") from None
    if isnan(limit):
        raise errors.argument_error("timeout is NaN; give seconds, or None to wait for ever")
    return -1 if limit < 0 or limit == INFINITY else limit


include "_doorbell.pxi"
include "_osthread.pxi"

cdef Caller NOBODY = Caller()  # owns a line while its message is being taken


cdef class Frame:
    """A large part, still in libzmq's memory. Has no object fields, so making one collects nothing."""
    cdef zmq_msg_t msg

    def __cinit__(self):
        zmq_msg_init(&self.msg)

    def __dealloc__(self):
        zmq_msg_close(&self.msg)


cdef bytes copy_out(zmq_msg_t *msg):
    """The message's bytes; closes it."""
    cdef size_t size = zmq_msg_size(msg)
    cdef char *to
    try:
        if size < LARGE:
            return PyBytes_FromStringAndSize(<char *> zmq_msg_data(msg), size)
        data = PyBytes_FromStringAndSize(NULL, size)
        to = PyBytes_AS_STRING(data)
        with nogil:
            memcpy(to, zmq_msg_data(msg), size)
        return data
    finally:
        zmq_msg_close(msg)


cdef int copy_in(zmq_msg_t *msg, const char *data, size_t size) except -1:
    """A new message with these bytes."""
    if zmq_msg_init_size(msg, size) < 0:
        raise MemoryError(f"no memory for a message of {size} bytes")
    if size < LARGE:
        memcpy(zmq_msg_data(msg), data, size)
    else:
        with nogil:
            memcpy(zmq_msg_data(msg), data, size)
    return 0


cdef bytes snapshot(data):
    """The bytes as they are now; bytes themselves are never copied."""
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        raise TypeError("a message is bytes, not str: encode it, as in text.encode()")
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(
            f"a message is bytes or another object with a buffer, not {type(data).__name__}"
        ) from None
    try:
        return PyBytes_FromStringAndSize(<char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef bytes c_endpoint(endpoint):
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a str such as 'tcp://*:1337', not {type(endpoint).__name__}")
    if "\0" in endpoint:
        raise errors.argument_error(f"endpoint {endpoint!r} has a NUL character in it")
    return os.fsencode(endpoint)


cdef class Core(Doorbell):
    """One libzmq socket and everything about it but pausing's kind and the options' names."""
    cdef void *handle
    cdef unsigned int born           # the process generation; 0 when closed
    cdef bint can_send, can_recv
    cdef Py_ssize_t fd
    cdef readonly str type
    cdef public double _recv_timeout, _send_timeout  # seconds; negative: for ever
    cdef public dict _remembered     # write-only options and what they were set to
    cdef list held                   # parts sent with more=True; their caller owns tx
    cdef list parts                  # parts taken and not yet handed out, last first; theirs owns rx
    cdef list endpoints              # ("bound to" | "connected to", endpoint)
    cdef object __weakref__

    def __init__(self, type="PAIR"):
        cdef int fd = -1
        cdef size_t size = sizeof(fd)
        cdef int64_t handle = 0
        cdef int linger = <int> (DEFAULT_LINGER * 1000), one = 1
        if self.handle != NULL or self.type is not None:
            raise errors.StateError(errno.EALREADY, f"{self!r} exists already; make a new one")
        name = OLD_NAMES.get(type, type)
        if name not in TYPES:
            hint = " (types are upper-case)" if isinstance(type, str) and type.upper() in TYPES else ""
            raise errors.argument_error(
                f"unknown socket type {type!r}{hint}; it is one of {', '.join([*TYPES, *OLD_NAMES])}"
            )
        self._recv_timeout = self._send_timeout = -1
        self._remembered = {}
        self.parts = []
        self.endpoints = []
        self.can_send = name not in ("PULL", "SUB")
        self.can_recv = name not in ("PUSH", "PUB")
        self.handle = zmq_socket(the_context(), TYPES[name])
        if self.handle == NULL:
            raise from_errno(zmq_errno(), f"cannot make a {name} socket")
        self.type = name
        self.born = generation
        zmq_setsockopt(self.handle, ZMQ_LINGER, &linger, sizeof(linger))
        if name == "ROUTER":
            zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &one, sizeof(one))
        if zmq_getsockopt(self.handle, ZMQ_FD, &fd, &size) == 0:
            self.fd = fd
        else:  # Windows has a SOCKET, which is a pointer's size
            size = sizeof(handle)
            if zmq_getsockopt(self.handle, ZMQ_FD, &handle, &size) < 0:
                raise from_errno(zmq_errno(), f"{self!r} has no descriptor")
            self.fd = <Py_ssize_t> handle
        open_sockets.add(self)

    def __del__(self):
        if self.handle != NULL and self.born == generation:
            if not exiting:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self.close()

    def __dealloc__(self):
        if self.handle != NULL and self.born == generation:
            zmq_close(self.handle)

    # Life

    @property
    def closed(self) -> bool:
        """True once `close` was called, by whomever."""
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
            if self.handle != NULL and self.born == generation:
                zmq_setsockopt(self.handle, ZMQ_LINGER, &ms, sizeof(ms))
        if self.handle == NULL:
            return
        handle, self.handle = self.handle, NULL
        if self.born != generation:
            self.born = 0  # the parent's: not ours to touch
            return
        self.born = 0
        open_sockets.discard(self)
        closed_lately.append(self.describe())
        self.held = None
        self.parts = []
        self.wake_all()
        zmq_close(handle)

    def __enter__(self):
        self.alive("enter")
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        state = "closed" if self.handle == NULL else "open"
        if self.handle != NULL and self.born != generation:
            state = "of the parent process"
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self.describe()}, {state}>"

    cdef describe(self):
        text = f"{self.type} socket"
        if self.endpoints:
            shown = [f"{how} {endpoint}" for how, endpoint in self.endpoints[:3]]
            if len(self.endpoints) > 3:
                shown.append(f"{len(self.endpoints) - 3} more")
            text += " " + ", ".join(shown)
        return text

    cdef int alive(self, what) except -1:
        """Raise unless the socket is open and of this process."""
        if self.born == generation and self.handle != NULL:
            return 0
        if self.type is None:
            raise errors.ClosedError(errno.ENOTSOCK, f"cannot {what}: the socket was never made")
        if self.handle == NULL:
            if exiting and not current_thread_is_main():
                sleep_for_ever()
            raise errors.ClosedError(
                errno.ENOTSOCK, f"cannot {what}: the {self.describe()} is closed"
            )
        raise errors.ForkedError(
            errno.EBADF,
            f"cannot {what}: the {self.describe()} was made before a fork and belongs to the parent "
            "process; make a new one in the child",
        )

    cdef fail(self, int number, what):
        """The exception for a failed call."""
        if number == ENOTSOCK or number == ETERM:
            self.alive(what)
        if number == ENOTSUP:
            return errors.Error(
                errno.ENOTSUP,
                f"cannot {what}: a {self.type} socket only "
                + ("receives" if not self.can_send else "sends"),
            )
        return from_errno(number, f"{self.describe()}: cannot {what}")

    # Endpoints

    def bind(self, endpoint):
        """Listen on ``endpoint``, such as ``"tcp://*:1337"`` (zmq_bind(3)); nothing more is needed.

        Returns:
            str: the endpoint as libzmq resolved it; port ``*`` has become a number.

        Raises:
            Error: EADDRINUSE, EADDRNOTAVAIL, EACCES, …
            ArgumentError: (a ValueError) not an endpoint.
        """
        data = c_endpoint(endpoint)
        self.endpoint_call(0, data, endpoint)
        actual = self.last_endpoint
        self.endpoints.append(("bound to", actual or endpoint))
        self.after()
        return actual or endpoint

    def connect(self, endpoint):
        """Connect to ``endpoint`` (zmq_connect(3)): in the background, whenever it is there.

        Returns:
            bool: True, always.
        """
        data = c_endpoint(endpoint)
        self.endpoint_call(1, data, endpoint)
        self.endpoints.append(("connected to", endpoint))
        self.after()
        return True

    def unbind(self, endpoint):
        """Stop listening on ``endpoint``, as it was given to `bind` or as `bind` returned it."""
        self.undo(2, "bound to", endpoint)

    def disconnect(self, endpoint):
        """Drop a connection made with `connect`. What was queued for it is dropped (zmq_disconnect(3))."""
        self.undo(3, "connected to", endpoint)

    cdef undo(self, int which, str how, endpoint):
        data = c_endpoint(endpoint)
        self.endpoint_call(which, data, endpoint)
        if (how, endpoint) in self.endpoints:
            self.endpoints.remove((how, endpoint))
        self.after()

    cdef int endpoint_call(self, int which, bytes data, endpoint) except -1:
        cdef int rc
        what = ("bind to", "connect to", "unbind from", "disconnect from")[which]
        what = f"{what} {endpoint!r}"
        self.alive(what)
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
                return 0
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno(), what)

    @property
    def last_endpoint(self) -> str:
        """The endpoint bound or connected last, as libzmq resolved it (ZMQ_LAST_ENDPOINT)."""
        return os.fsdecode(self._get_bytes(ZMQ_LAST_ENDPOINT, 1024).rstrip(b"\0"))

    # Options by number; `options.py` gives them names, units and types.

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
        self.set_raw(number, &value, sizeof(value))

    def _set_int64(self, int number, int64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_uint64(self, int number, uint64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_bytes(self, int number, bytes value not None):
        self.set_raw(number, <const char *> value, len(value))

    cdef Py_ssize_t get_raw(self, int number, void *value, size_t size) except -1:
        self.alive("read an option")
        while zmq_getsockopt(self.handle, number, value, &size) < 0:
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno(), f"read option {number}")
        self.after()
        return size

    cdef int set_raw(self, int number, const void *value, size_t size) except -1:
        self.alive("set an option")
        while zmq_setsockopt(self.handle, number, value, size) < 0:
            if zmq_errno() != EINTR:
                raise self.fail(zmq_errno(), f"set option {number}")
        self.after()
        return 0

    def set_timeout(self, seconds):
        """How long every method that pauses may take. None (the default) or negative: for ever."""
        self._recv_timeout = self._send_timeout = to_seconds(seconds)

    def get_timeout(self):
        """The timeout in seconds, or None."""
        return None if self._recv_timeout < 0 else self._recv_timeout

    def subscribe(self, prefix):
        """Receive messages that begin with ``prefix`` (bytes; b"" for all). SUB and XSUB only."""
        self.filter(snapshot(prefix), True)

    def unsubscribe(self, prefix):
        """Undo one `subscribe` with the same prefix."""
        self.filter(snapshot(prefix), False)

    cdef int filter(self, bytes prefix, bint on) except -1:
        what = "subscribe" if on else "unsubscribe"
        self.alive(what)
        if self.type == "XSUB":
            prefix = (b"\1" if on else b"\0") + prefix
            if not self.put(prefix, len(prefix)):
                raise self.fail(EAGAIN, what)
            self.after()
        elif self.type == "SUB":
            self.set_raw(ZMQ_SUBSCRIBE if on else ZMQ_UNSUBSCRIBE, <const char *> prefix, len(prefix))
        else:
            raise errors.argument_error(f"cannot {what} a {self.type} socket, only SUB and XSUB")
        return 0

    # State

    cdef Py_ssize_t descriptor(self) noexcept:
        return self.fd

    def get_fd(self):
        """ZMQ_FD, for a poll or an event loop. Readable means: look at `is_readable` (zmq_getsockopt(3))."""
        self.alive("get the descriptor")
        return self.fd

    def fileno(self):
        """The same as `get_fd`."""
        self.alive("get the descriptor")
        return self.fd

    def is_readable(self):
        """Would a receive have something at once?"""
        self.alive("look")
        return bool(self.parts) or (self.answered() & RX) != 0

    def is_writable(self):
        """Would a send be taken at once?"""
        self.alive("look")
        return (self.answered() & TX) != 0

    def is_rcvmore(self):
        """Are parts of the message that is being received still to come?"""
        self.alive("look")
        return bool(self.parts)

    cdef int answered(self):
        cdef int events = self.look()
        if self.waiting:
            self.ring(events, None)
        return events

    cdef int look(self) noexcept:
        cdef int events = 0
        cdef size_t size = sizeof(events)
        if self.handle == NULL or self.born != generation:
            return RX | TX  # whoever waits shall find out
        while zmq_getsockopt(self.handle, ZMQ_EVENTS, &events, &size) < 0:
            if zmq_errno() != EINTR:
                return RX | TX
        return events

    cdef inline int after(self) noexcept:
        """Owed after each call on the socket (`_doorbell.pxi`)."""
        if self.waiting:
            self.ring(self.look(), None)
        return 0

    # Sending: whole messages only. 1: taken, 0: not now.

    cdef int put(self, const char *data, size_t size) except -1:
        """One part."""
        cdef zmq_msg_t msg
        cdef int error
        if size < LARGE:
            while zmq_send(self.handle, data, size, ZMQ_DONTWAIT) < 0:
                error = zmq_errno()
                if error == EAGAIN:
                    return 0
                if error != EINTR:
                    raise self.fail(error, "send")
            return 1
        if not self.look() & TX:
            return 0  # before the copy, not after it
        copy_in(&msg, data, size)
        try:
            self.alive("send")  # the copy let other threads run
            while zmq_msg_send(&msg, self.handle, ZMQ_DONTWAIT) < 0:
                error = zmq_errno()
                if error == EAGAIN:
                    return 0
                if error != EINTR:
                    raise self.fail(error, "send")
            return 1
        finally:
            zmq_msg_close(&msg)

    cdef int put_all(self, list parts) except -1:
        """Many parts, all bytes."""
        cdef Py_ssize_t i, count = len(parts)
        cdef int error, flags, rc
        cdef bytes part
        cdef Frame frame
        cdef list frames = None
        for part in parts:
            if <size_t> PyBytes_GET_SIZE(part) >= LARGE:
                if not self.look() & TX:
                    return 0
                frames = []
                break
        if frames is not None:
            for part in parts:
                frame = Frame()
                copy_in(&frame.msg, part, PyBytes_GET_SIZE(part))
                frames.append(frame)
            self.alive("send")
        i = 0
        while i < count:
            flags = ZMQ_DONTWAIT | (ZMQ_SNDMORE if i < count - 1 else 0)
            if frames is None:
                part = <bytes> parts[i]
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
            return 0 if i == 0 else self.put_all(parts)
        return 1

    cdef int put_object(self, bytes data) except -1:
        """One part, as the last one of what is held back."""
        if self.held is None:
            return self.put(data, PyBytes_GET_SIZE(data))
        parts = self.held + [data]
        try:
            if not self.put_all(parts):
                return 0
        except BaseException:
            self.drop_held()  # refused, not postponed: the message is the caller's again
            raise
        self.drop_held()
        return 1

    cdef void drop_held(self) noexcept:
        self.held = None
        self.seize(self.tx, None)

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

    cdef list take_rest(self, zmq_msg_t *msg):
        """Every part of the message that begins with ``msg``. See the module's docstring on memory."""
        cdef list parts = self.parts
        cdef Frame frame
        cdef Py_ssize_t i
        cdef bint large = False, more = True
        try:
            while more:
                more = zmq_msg_more(msg)
                if zmq_msg_size(msg) < LARGE:
                    parts.append(copy_out(msg))
                else:
                    large = True
                    frame = Frame()
                    zmq_msg_move(&frame.msg, msg)
                    parts.append(frame)
                if more and not self.take(msg):
                    raise errors.Error(errno.EPROTO, "libzmq returned half a message")
        except BaseException:
            while more and self.take(msg):  # no memory: lose this message whole, not its head only
                more = zmq_msg_more(msg)
                zmq_msg_close(msg)
            parts.clear()
            raise
        self.parts = []
        if large:
            for i in range(len(parts)):
                if type(parts[i]) is Frame:
                    frame = parts[i]
                    parts[i] = copy_out(&frame.msg)
                    zmq_msg_init(&frame.msg)
        return parts

    cdef object get_part(self):
        cdef zmq_msg_t msg
        cdef list parts
        if not self.parts:
            if not self.take(&msg):
                return NOT_NOW
            if not zmq_msg_more(&msg):
                return copy_out(&msg), False
            self.rx.owner = NOBODY  # large parts are copied without the GIL
            self.rx.shut = True
            try:
                parts = self.take_rest(&msg)
                parts.reverse()
                self.parts = parts
                self.seize(self.rx, self.caller())
            except BaseException:
                self.seize(self.rx, None)
                raise
        data = self.parts.pop()
        if self.parts:
            return data, True
        self.seize(self.rx, None)
        return data, False

    cdef list get_parts(self):
        """What is left of the message in hand, or a whole new one; None: not now."""
        cdef zmq_msg_t msg
        cdef list parts
        if self.parts:
            parts, self.parts = self.parts, []
            parts.reverse()
            self.seize(self.rx, None)
            return parts
        if not self.take(&msg):
            return None
        return self.take_rest(&msg)

    cdef object get_joined(self):
        cdef zmq_msg_t msg
        if self.parts:
            return b"".join(self.get_parts())
        if not self.take(&msg):
            return NOT_NOW
        if not zmq_msg_more(&msg):
            return copy_out(&msg)
        return b"".join(self.take_rest(&msg))

    cdef object get_many(self, Py_ssize_t most):
        cdef list found = []
        cdef double began = 0
        while True:
            data = self.get_joined()
            if data is NOT_NOW:
                return found if found else NOT_NOW
            found.append(data)
            if len(found) >= most:
                return found
            if len(found) % BATCH == 0:
                # Signal handlers must not run here: what they raise would lose `found`.
                self.after()
                with nogil:
                    pass
                if self.born != generation or self.rx.owner is not None:
                    return found
                if began == 0:
                    began = monotonic()
                elif monotonic() - began > LONGEST_BATCH:
                    return found

    # Pausing

    cdef Caller caller(self):
        """Whose call this is."""
        return this_thread()

    cdef Waiter waiter(self):
        """How this caller pauses."""
        return this_thread().waiter()

    cdef object attempt(self, Op op, object arg):
        """Do it now, or NOT_NOW. The caller is entitled to."""
        cdef list parts
        cdef Line line = self.tx if op <= SEND_MULTIPART else self.rx
        if line.owner is not None and not line.owner.alive:
            # Half a message whose thread has ended: nobody can finish it.
            if line is self.tx:
                self.held = None
            else:
                self.parts = []
            self.seize(line, None)
        if op == SEND:
            return None if self.put_object(arg) else NOT_NOW
        if op == HOLD:
            if self.held is None:
                self.held = []
                self.seize(self.tx, self.caller())
            self.held.append(arg)
            return None
        if op == SEND_MULTIPART:
            if self.held is None:
                return None if self.put_all(arg) else NOT_NOW
            parts = arg
            self.held, before = self.held + parts[:len(parts) - 1], self.held
            if self.put_object(parts[len(parts) - 1]):
                return None
            self.held = before
            return NOT_NOW
        if op == RECV:
            return self.get_part()
        if op == RECV_ALL:
            return self.get_joined()
        if op == RECV_MULTIPART:
            parts = self.get_parts()
            return NOT_NOW if parts is None else parts
        return self.get_many(arg)

    cdef object proceed(self, Op op, object arg, double limit):
        """The slow path: the line is shut, or a first try said not now."""
        cdef Line line = self.tx if op <= SEND_MULTIPART else self.rx
        cdef Waiter me
        if line.owner is not None and line.owner is self.caller():
            result = self.attempt(op, arg)
            if result is not NOT_NOW:
                self.after()
                return result
        if limit == 0 and not line.shut:
            # Send and receive see only what libzmq has noticed; a look makes it notice (4.3.4:
            # process_commands is throttled to once in about a millisecond on the send side).
            if line is self.tx and self.look() & TX:
                result = self.attempt(op, arg)
                if result is not NOT_NOW:
                    self.after()
                    return result
            self.after()
            raise self.timeout(line, limit)
        return self.wait(line, op, arg, limit)

    cdef object wait(self, Line line, Op op, object arg, double limit):
        """Queue, and try whenever woken, until it is done or the time is up."""
        cdef Waiter me = self.waiter()
        cdef double deadline = INFINITY if limit < 0 else monotonic() + limit
        cdef double until
        cdef int events
        self.enter(line, me)
        try:
            while True:
                self.alive("send" if line is self.tx else "receive")
                me.woken = False
                until = deadline
                if line.first is me and line.entitled(me.caller):
                    result = self.attempt(op, arg)
                    if result is not NOT_NOW:
                        return result
                    events = self.look()
                    self.ring(events, me)
                    if events & line.event:
                        result = self.attempt(op, arg)
                        if result is not NOT_NOW:
                            return result
                        until = min(deadline, monotonic() + REKNOCK)
                if limit >= 0 and monotonic() >= deadline:
                    raise self.timeout(line, limit)
                me.pause(self, until)
        finally:
            self.exit(me)

    cdef object timeout(self, Line line, double limit):
        what = "nothing to receive" if line is self.rx else "nothing was sent: no peer could take it"
        return errors.Timeout(errno.ETIMEDOUT, f"{self.describe()}: {what} within {limit:g} s")


cdef class PausingSocket(Core):
    """The calls that pause the thread that makes them."""

    def send(self, data, more=False, *, timeout=...):
        """Send one part; pause until libzmq has taken the message.

        Parts sent with ``more`` are kept until the last one, then sent as one message. Other
        threads that send meanwhile pause.

        Args:
            data: bytes, or any object with a C-contiguous buffer, which is not read after the call.
            more (bool): another part of the same message follows.
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Raises:
            Timeout: no peer could take it in time; nothing was sent, parts before it are still kept.
            StateError: a REQ or REP out of turn.
            TypeError, BufferError: not bytes-like, or not contiguous.
        """
        cdef Py_buffer view
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
        cdef int taken
        if self.born != generation:
            self.alive("send")
        if more:
            self.hold(snapshot(data), limit)
            return
        if not self.tx.shut:
            if type(data) is bytes:
                taken = self.put(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            else:
                get_view(data, &view)
                try:
                    self.alive("send")
                    taken = self.put(<char *> view.buf, view.len)
                    if not taken:
                        data = PyBytes_FromStringAndSize(<char *> view.buf, view.len)
                finally:
                    PyBuffer_Release(&view)
            if taken:
                if self.waiting:
                    self.ring(self.look(), None)
                return
        self.proceed(SEND, snapshot(data), limit)

    cdef int hold(self, bytes data, double limit) except -1:
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        if self.tx.shut:
            self.proceed(HOLD, data, limit)
        else:
            self.attempt(HOLD, data)
        return 0

    def send_multipart(self, parts, *, timeout=...):
        """Send one whole message of many parts; atomic, whatever happens.

        Args:
            parts: an iterable of bytes-like parts, at least one.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
        """
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
        cdef list message = to_messages(parts, "parts")
        if not message:
            raise errors.argument_error("a message has at least one part; b'' is one")
        self.alive("send")
        if not self.tx.shut and self.put_all(message):
            if self.waiting:
                self.ring(self.look(), None)
            return
        self.proceed(SEND_MULTIPART, message, limit)

    def send_many(self, messages, *, timeout=...):
        """Send many messages of one part each.

        Args:
            messages: an iterable of bytes-like messages.
            timeout: seconds for the whole call, instead of the socket's; 0: what can go now.

        Returns:
            int: how many, which is all of them.

        Raises:
            Timeout: the exception's ``taken`` says how many went; the rest did not.
        """
        cdef double limit = self._send_timeout if timeout is UNSET else to_seconds(timeout)
        cdef list batch = to_messages(messages, "messages")
        cdef Py_ssize_t i = 0, count = len(batch), stop
        cdef double deadline = monotonic() + limit if limit > 0 else 0
        cdef bytes data
        self.alive("send")
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        if self.tx.owner is not None and self.tx.owner is self.caller():
            raise errors.StateError(
                errno.EBUSY, f"{self.describe()}: in the middle of a message; send its last part first"
            )
        try:
            while i < count:
                if not self.tx.shut:
                    stop = min(count, i + BATCH)
                    while i < stop:
                        data = <bytes> batch[i]
                        if not self.put(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
                            break
                        i += 1
                    self.after()
                    if i == stop:
                        if i < count:
                            with nogil:
                                pass
                            PyErr_CheckSignals()
                            self.alive("send")
                        continue
                self.proceed(SEND, batch[i], max(0, deadline - monotonic()) if limit > 0 else limit)
                i += 1
        except errors.Timeout:
            error = self.timeout(self.tx, limit)
            error.taken = i
            raise error from None
        except BaseException as error:
            error.taken = i
            raise
        return count

    def recv(self, *, timeout=...):
        """Receive one part; pause until there is one.

        Args:
            timeout: seconds for this call, instead of the socket's; 0: now or never.

        Returns:
            tuple[bytes, bool]: the part, and whether more parts of the same message follow.

        Raises:
            Timeout: nothing came in time.
            StateError: a REQ or REP out of turn.
        """
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        if self.born != generation:
            self.alive("receive")
        if not self.rx.shut:
            result = self.get_part()
            if result is not NOT_NOW:
                if self.waiting:
                    self.ring(self.look(), None)
                return result
        return self.proceed(RECV, None, limit)

    def recv_all(self, *, timeout=...):
        """Receive every part of one message, joined: bytes. In mid-message, what is left of it."""
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        if self.born != generation:
            self.alive("receive")
        return self.joined(limit)

    cdef object joined(self, double limit):
        if not self.rx.shut:
            result = self.get_joined()
            if result is not NOT_NOW:
                if self.waiting:
                    self.ring(self.look(), None)
                return result
        return self.proceed(RECV_ALL, None, limit)

    def recv_multipart(self, *, timeout=...):
        """Receive one whole message: a list of its parts. In mid-message, what is left of it."""
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        self.alive("receive")
        if not self.rx.shut:
            result = self.get_parts()
            if result is not None:
                if self.waiting:
                    self.ring(self.look(), None)
                return result
        return self.proceed(RECV_MULTIPART, None, limit)

    def recv_many(self, max, *, timeout=...):
        """Receive messages: pause for the first, then take what else is there, up to ``max``.

        Returns:
            list[bytes]: at least one message; the parts of a multi-part one are joined.
        """
        cdef double limit = self._recv_timeout if timeout is UNSET else to_seconds(timeout)
        cdef Py_ssize_t most = max
        if most < 1:
            raise errors.argument_error(f"recv_many takes at least one message, not {most}")
        self.alive("receive")
        if not self.rx.shut:
            result = self.get_many(most)
            if result is not NOT_NOW:
                if self.waiting:
                    self.ring(self.look(), None)
                return result
        return self.proceed(RECV_MANY, most, limit)

    def __iter__(self):
        """``for data in zsock``: `recv_all` until the socket is closed, or its timeout raises."""
        return self

    def __next__(self):
        if self.born != generation and self.handle == NULL:
            return stop()
        self.alive("receive")
        try:
            return self.joined(self._recv_timeout)
        except errors.ClosedError:
            return stop()


cdef object stop():
    raise StopIteration


cdef int get_view(data, Py_buffer *view) except -1:
    """The buffer of ``data``, held until it is released: its owner cannot resize it meanwhile."""
    if isinstance(data, str):
        raise TypeError("a message is bytes, not str: encode it, as in text.encode()")
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except TypeError:
        raise TypeError(
            f"a message is bytes or another object with a buffer, not {type(data).__name__}"
        ) from None
    return 0


cdef list to_messages(items, str what):
    """A list of bytes of our own, so that nobody can change it while the call is paused."""
    cdef list found
    cdef Py_ssize_t i
    if isinstance(items, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"{what} must be an iterable of bytes-like objects, not {type(items).__name__}")
    found = list(items)
    for i in range(len(found)):
        if type(found[i]) is not bytes:
            found[i] = snapshot(found[i])
    return found


include "_process.pxi"
