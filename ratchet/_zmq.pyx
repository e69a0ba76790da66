# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
# A plain method descriptor is called faster than a CyFunction from Python 3.11 on.
# cython: binding=False
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
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetObject, PyErr_WriteUnraisable
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.math cimport INFINITY, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratchet._zmq cimport *

import collections
import errno
import os
import threading
import warnings
import weakref
from time import monotonic as python_monotonic

from greenlet import GreenletExit, getcurrent, greenlet

from . import errors
from ._platform import Wakeup
from .uri import OLD_NAMES, TYPES

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict()  # borrowed

# From this size (bytes) on, a copy runs without the GIL. It takes about 10 us there, which is what
# giving the GIL up and getting it back may cost when another thread wants it.
cdef enum:
    LARGE = 131072
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
# The same while no kernel loops, else nobody's: one comparison tells a plain call in an OS thread.
cdef unsigned int plain = 1
cdef void *context = NULL
cdef int io_threads = 1
cdef int max_sockets = 0  # 0: as many as libzmq can
cdef bint exiting = False
cdef double DEFAULT_LINGER = 10.0

open_sockets = weakref.WeakSet()  # of this process, for the exit
remaining = weakref.WeakSet()     # sockets that are closed but for their descriptor
cdef dict NONE_GIVEN = {}
cdef list scratch = []  # collects the parts of the message that is being taken
cdef object NOT_NOW = object()
cdef object UNSET = ...

cdef enum Op:
    SEND, HOLD, SEND_MULTIPART, SEND_MANY
    RECV, RECV_ALL, RECV_MULTIPART, RECV_MANY, RECV_FRAME, RECV_FRAMES, RECV_INTO


cdef double monotonic():
    return python_monotonic()


cdef bint current_thread_is_main():
    return threading.get_ident() == threading.main_thread().ident


cdef from_errno(int number, what):
    """The one door from errno to an exception."""
    if number == ENOMEM:
        return MemoryError(what)
    return errors.from_errno(number, what, zmq_strerror(number).decode("utf-8", "replace"))


cdef void report(error, where) noexcept:
    """Tell sys.unraisablehook about an error that has nobody to go to."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)


cdef kind_of(value):
    return type(value).__name__


cdef double to_seconds(timeout) except? -2:
    """A timeout argument: -1 for ever."""
    cdef double limit
    if timeout is None:
        return -1
    try:
        limit = timeout
    except TypeError:
        raise TypeError(
            f"timeout must be a number of seconds or None, not {kind_of(timeout)}"
        ) from None
    except OverflowError:
        raise errors.argument_error(f"timeout {timeout} is out of range") from None
    if isnan(limit):
        raise errors.argument_error("timeout is nan; give seconds, or None to wait for ever")
    return -1 if limit < 0 or limit == INFINITY else limit


def to_timeout(timeout):
    """A timeout in seconds, -1 for ever; raises for what is none."""
    return to_seconds(timeout)


include "_debug.pxi"
include "_doorbell.pxi"
include "_osthread.pxi"
include "_kernel.pxi"

cdef Caller TASK = Caller()    # stands for the running task, as long as nobody has to know it
cdef Caller NOBODY = Caller()  # owns a line while its message is being taken


cdef Caller caller_here():
    """Whose call this is."""
    cdef ThreadCore thread = thread_here()
    if thread is not None and getcurrent() is thread.glet:
        return thread
    return this_thread()


cdef Waiter waiter_here():
    """How this caller pauses."""
    cdef Caller caller = caller_here()
    cdef KernelWaiter waiter
    if type(caller) is OSThread:
        return (<OSThread> caller).waiter()
    waiter = (<ThreadCore> caller).spare
    if waiter is None or waiter.line is not None:
        waiter = KernelWaiter(<ThreadCore> caller)
        (<ThreadCore> caller).spare = waiter
    return waiter


cdef int end_quietly() except -1:
    """A daemon thread that goes on during the exit ends here, without a traceback."""
    if exiting and not current_thread_is_main():
        raise SystemExit
    return 0


cdef double interlude(double began):
    """Now and then in a long loop: let another OS thread have the GIL, as Python does after 5 ms.

    To give it up and take it back at once would only wake who waits for it, again and again; so
    this sleeps, and rarely.
    """
    cdef double now = monotonic()
    if now - began < 0.005:
        return began
    if began == 0:
        return now
    with nogil:
        ratchet_nap()
    return monotonic()


include "_message.pxi"
include "_loan.pxi"


cdef class Remains:
    """What is left of a closed socket until every event loop has forgotten its descriptor.

    Only then may the number be given back, for the next to get it would be taken for this one. A
    loop of another OS thread forgets when it has its next turn, and holds on to this until then.
    """
    cdef void *handle
    cdef unsigned int born
    cdef object __weakref__

    def __cinit__(self):
        self.born = generation
        remaining.add(self)

    cdef void close(self) noexcept:
        if self.born == generation:
            zmq_close(self.handle)
        self.handle = NULL

    def __dealloc__(self):
        self.close()


cdef bytes c_endpoint(endpoint):
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a str, such as 'tcp://*:1337', not {kind_of(endpoint)}")
    check_endpoint(endpoint)
    return os.fsencode(endpoint)


cdef class Core(Doorbell):
    """One libzmq socket and everything about it but pausing's kind and the options' names."""
    cdef void *handle
    cdef unsigned int born           # the process generation; 0 when there is no handle
    cdef unsigned int touched        # changes with each call that may have answered the bell
    cdef unsigned int dry            # what `touched` was when a receive found nothing
    cdef tuple nothing               # what to say then; made when it is needed first
    cdef bint can_send, can_recv, writable_tells, reads_ahead, used
    cdef Py_ssize_t fd
    cdef readonly str type
    cdef public double _recv_timeout, _send_timeout  # seconds; negative: for ever
    cdef public dict _remembered     # write-only options and what they were set to
    cdef list held                   # parts sent with more=True; their caller owns tx
    cdef list parts                  # parts taken and not handed out, last first; theirs owns rx
    cdef list ahead                  # whole messages taken before a disconnect, parts as above
    cdef list endpoints              # ("bound to" | "connected to", endpoint, as it was given)
    cdef dict given                  # connect_routing_id -> endpoint
    cdef object __weakref__

    def __init__(self, type="PAIR", **options):
        cdef int fd = -1
        cdef size_t size = sizeof(fd)
        cdef int64_t handle = 0
        cdef int number
        cdef int linger = <int> (DEFAULT_LINGER * 1000), one = 1
        if self.handle != NULL or self.type is not None:
            raise errors.StateError(errno.EALREADY, f"{self!r} exists already; make a new one")
        name = OLD_NAMES.get(type, type) if isinstance(type, str) else None
        if name not in TYPES:
            raise errors.argument_error(
                f"unknown socket type {type!r}; it is one of {', '.join([*TYPES, *OLD_NAMES])}, "
                "in upper case"
            )
        self._recv_timeout = self._send_timeout = -1
        self.touched = 1
        self.given = NONE_GIVEN
        self.endpoints = []
        self.can_send = name not in ("PULL", "SUB")
        self.can_recv = name not in ("PUSH", "PUB")
        # Of these, "not writable" means no room; of others it may mean that sending is an error.
        self.writable_tells = name in ("PUSH", "DEALER", "PAIR")
        # Of these a look takes a message's first part from its connection.
        self.reads_ahead = name in ("SUB", "XSUB", "ROUTER", "REP")
        the_context()
        if 0 < max_sockets <= len(open_sockets):
            raise from_errno(EMFILE, f"cannot make a {name} socket")
        number = TYPES[name]
        if context != NULL:  # an exit may have begun meanwhile
            self.handle = zmq_socket(context, number)
        if self.handle == NULL:
            end_quietly()
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
        if exiting:
            self.close(0)
            end_quietly()
        if options:
            try:
                self.set_options(options)
            except BaseException:
                self.close()
                raise

    def __del__(self):
        if self.born == generation:
            if not exiting:
                try:
                    warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
                except Warning as warning:  # they are errors here
                    report(warning, self)
            self.close()

    def __dealloc__(self):
        if self.born == generation:
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
            if self.born == generation:
                zmq_setsockopt(self.handle, ZMQ_LINGER, &ms, sizeof(ms))
        if self.handle == NULL:
            return
        handle, self.handle = self.handle, NULL
        if self.born != generation:
            self.born = 0  # the parent's: not ours to touch
            return
        self.born = 0
        self.held = self.parts = self.ahead = None
        ratchet_collect()
        remains = Remains()
        remains.handle = handle
        try:
            self.wake_all()
            self.unwatch(remains)
        finally:
            if exiting:
                remains.close()
        open_sockets.discard(self)
        closed_lately.append(self.describe())

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
            shown = [f"{how} {endpoint}" for how, endpoint, _ in self.endpoints[:3]]
            if len(self.endpoints) > 3:
                shown.append(f"{len(self.endpoints) - 3} more")
            text += " " + ", ".join(shown)
        return text

    cdef int alive(self, what) except -1:
        """Raise unless the socket is open and of this process."""
        if self.born == generation:
            return 0
        if self.type is None:
            raise errors.ClosedError(errno.ENOTSOCK, f"cannot {what}: the socket was never made")
        if self.handle == NULL:
            end_quietly()
            raise errors.ClosedError(
                errno.ENOTSOCK, f"cannot {what}: the {self.describe()} is closed"
            )
        raise errors.ForkedError(
            errno.EBADF,
            f"cannot {what}: the {self.describe()} was made before a fork and belongs to the "
            "parent process; make a new one in the child",
        )

    cdef fail(self, int number, what):
        """The exception for a failed call, which may have answered the bell as any other."""
        self.after()
        if number == ENOTSOCK or number == ETERM:
            end_quietly()
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
        if ipc_taken(endpoint):
            raise self.fail(errno.EADDRINUSE, f"bind to {endpoint!r}")
        self.endpoint_call(0, data, endpoint)
        actual = self.last_endpoint or endpoint
        self.endpoints.append(("bound to", actual, endpoint))
        self.nothing = None
        self.after()
        return actual

    def connect(self, endpoint):
        """Connect to ``endpoint`` (zmq_connect(3)): in the background, whenever it is there.

        Returns:
            bool: True, always.
        """
        data = c_endpoint(endpoint)
        # libzmq 4.3 aborts when two connections of a ROUTER have one identity (router.cpp).
        identity = self._remembered and self._remembered.get("CONNECT_ROUTING_ID")
        if identity is not None and (identity in self.given or self.knows(identity)):
            raise errors.argument_error(
                f"{self.describe()}: connect_routing_id {identity!r} is taken by another connection"
            )
        self.endpoint_call(1, data, endpoint)
        if identity is not None:
            del self._remembered["CONNECT_ROUTING_ID"]
            self.given = {**self.given, identity: endpoint}
        self.endpoints.append(("connected to", endpoint, endpoint))
        self.nothing = None
        self.after()
        return True

    def unbind(self, endpoint):
        """Stop listening on ``endpoint``, as it was given to `bind` or as `bind` returned it."""
        self.undo(2, "bound to", endpoint)

    def disconnect(self, endpoint):
        """Drop a connection made with `connect`, and what was queued for it (zmq_disconnect(3))."""
        self.undo(3, "connected to", endpoint)

    cdef bint knows(self, bytes identity) except -1:
        """Has a peer of this ROUTER that identity? Only to begin a message for it tells."""
        cdef int rc, flag = 1
        self.alive("connect")
        self.look()
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        rc = zmq_send(self.handle, <const char *> identity, len(identity), ZMQ_DONTWAIT | ZMQ_SNDMORE)
        if rc < 0:
            rc = 0 if zmq_errno() == EHOSTUNREACH else 1
        else:
            zmq_send(self.handle, NULL, 0, ZMQ_DONTWAIT)  # it cannot be taken back
            rc = 1
        flag = (self._remembered or {}).get("ROUTER_MANDATORY", 1)
        zmq_setsockopt(self.handle, ZMQ_ROUTER_MANDATORY, &flag, sizeof(flag))
        return rc

    cdef undo(self, int which, str how, endpoint):
        data = c_endpoint(endpoint)
        entries = [e for e in self.endpoints or () if e[0] == how and endpoint in e[1:]]
        if entries:
            data = os.fsencode(entries[0][1])
        if which == 3 and self.reads_ahead:
            self.take_ahead()
        self.endpoint_call(which, data, endpoint)
        if entries:
            self.endpoints.remove(entries[0])
            self.nothing = None
        if self.given and which == 3:
            self.given = {key: at for key, at in self.given.items() if at != endpoint}
        self.after()

    cdef int endpoint_call(self, int which, bytes data, endpoint) except -1:
        cdef int rc
        what = ("bind to", "connect to", "unbind from", "disconnect from")[which]
        what = f"{what} {endpoint!r}"
        self.alive(what)
        if which <= 1:
            # Out of descriptors, resolving a name aborts the process (ip_resolver.cpp, 4.3.4).
            head_room(3, what)
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

    @property
    def last_endpoint(self) -> str:
        """The endpoint bound or connected last, as libzmq resolved it (ZMQ_LAST_ENDPOINT)."""
        try:
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, 1024)
        except errors.ArgumentError:  # longer than that
            data = self._get_bytes(ZMQ_LAST_ENDPOINT, 1 << 20)
        return os.fsdecode(data.rstrip(b"\0"))

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
        self.alive("set an option")
        if self.used and number in (ZMQ_SNDHWM, ZMQ_RCVHWM):
            # libzmq 4.3 tells the other end of the pipe, which may have been freed: a crash. And
            # whoever waits for room in a full pipe would never hear of it again.
            raise errors.StateError(
                errno.EBUSY,
                f"{self.describe()}: set high-water marks before bind and connect, best as "
                "arguments of new()",
            )
        self.set_raw(number, &value, sizeof(value))
        if number == ZMQ_SNDHWM and self.type == "REP":
            # It drops a reply when it has not read that there is room: at most half the mark that
            # the peer has not told yet, and 100 messages between two times that libzmq reads.
            self.tx.detour = 0 < value < 256
            self.tx.update()

    def _set_int64(self, int number, int64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_uint64(self, int number, uint64_t value):
        self.set_raw(number, &value, sizeof(value))

    def _set_bytes(self, int number, bytes value not None):
        # Some options take "none" only as a NULL, not as a pointer to no bytes.
        self.set_raw(number, <const char *> value if value else NULL, len(value))

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
        """Receive messages that begin with ``prefix`` (bytes; b"" for all): SUB and XSUB.

        On an XPUB with ``xpub_manual``: subscribe the peer whose request was received last.
        """
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
        elif self.type == "SUB" or (self._remembered or {}).get("XPUB_MANUAL"):
            number = ZMQ_SUBSCRIBE if on else ZMQ_UNSUBSCRIBE
            self.set_raw(number, <const char *> prefix, len(prefix))
        else:
            raise errors.argument_error(
                f"cannot {what} a {self.type} socket, only SUB, XSUB, and XPUB with xpub_manual"
            )
        return 0

    # State

    cdef Py_ssize_t descriptor(self) noexcept:
        return self.fd

    def get_fd(self):
        """ZMQ_FD, for an event loop: it may be time for `is_readable` (zmq_getsockopt(3))."""
        self.alive("get the descriptor")
        return self.fd

    def fileno(self):
        """The same as `get_fd`."""
        self.alive("get the descriptor")
        return self.fd

    def is_readable(self):
        """Would a receive have something at once?"""
        self.alive("look")
        return (self.answered() & RX) != 0

    def is_writable(self):
        """Would a send be taken at once?"""
        self.alive("look")
        return (self.answered() & TX) != 0

    def is_rcvmore(self):
        """Are parts of the message that is being received still to come?"""
        self.alive("look")
        return bool(self.parts)

    def ready_for(self, Waiter waiter not None):
        """Could ``waiter``, which has joined a line here, go on now? For who only wants to know."""
        cdef Line line = waiter.line
        cdef int events
        self.alive("wait")
        waiter.woken = False
        if line is None or line.turn() is not waiter:
            return False
        events = self.look()
        self.ring(events, waiter)
        return (events & line.event) != 0

    cdef int answered(self):
        cdef int events = self.look()
        if self.waiting:
            self.ring(events, None)
        return events

    cdef int look(self) noexcept:
        cdef int events = 0
        cdef size_t size = sizeof(events)
        self.touched += 1
        if self.born != generation:
            return RX | TX  # whoever waits shall find out
        while zmq_getsockopt(self.handle, ZMQ_EVENTS, &events, &size) < 0:
            if zmq_errno() != EINTR or self.born != generation:
                return RX | TX
        if self.parts is not None or self.ahead is not None:
            events |= RX  # for their owner, who may have queued for them already
        return events

    cdef inline int after(self) noexcept:
        """Owed after each call on the socket (`_doorbell.pxi`)."""
        self.touched += 1
        if self.waiting:
            self.ring(self.look(), None)
        return 0

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
            self.asked = True
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
        self.asked = True
        return 1

    cdef int put_last(self, data) except -1:
        """One part, as the last one of what is held back."""
        if self.held is None:
            return self.put_part(data)
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

    cdef int take_ahead(self) except -1:
        """Take the next message, if it is there: with its connection, libzmq would drop half of it."""
        cdef zmq_msg_t msg
        try:
            if not self.take(&msg):
                return 0
        except errors.StateError:  # a REP that has to reply before
            return 0
        message = self.take_rest(&msg, True)
        message.reverse()
        self.ahead = [*(self.ahead or ()), message]
        self.rx.detour = True
        self.rx.update()
        return 0

    cdef int hand_out(self, Caller me) except -1:
        """The next of what was taken ahead becomes the message in hand."""
        self.seize(self.rx, caller_here() if me is None else me)
        self.parts = self.ahead[0]
        self.ahead = self.ahead[1:] or None
        self.rx.detour = self.ahead is not None
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
            self.parts = parts
            self.seize(self.rx, caller_here() if me is None else me)
        except BaseException:
            self.seize(self.rx, None)
            raise
        return 0

    cdef object pop(self):
        part = self.parts.pop()
        if not self.parts:
            self.parts = None
            self.seize(self.rx, None)
        return part

    cdef object next_part(self):
        part = self.pop()
        return as_bytes(part), self.parts is not None

    cdef object get_frame(self, Caller me):
        cdef zmq_msg_t msg
        cdef Frame frame
        if not self.parts:
            if not self.take(&msg):
                return NOT_NOW
            if not zmq_msg_more(&msg):
                frame = Frame()
                zmq_msg_move(&frame.msg, &msg)
                return frame
            self.keep(&msg, me, True)
        part = self.pop()
        return as_frame(part, self.parts is not None)

    cdef object get_frames(self):
        """As `get_parts`."""
        cdef zmq_msg_t msg
        cdef list parts
        cdef Py_ssize_t i
        if self.parts:
            parts = self.rest()
        elif self.take(&msg):
            parts = self.take_rest(&msg, True)
        else:
            return NOT_NOW
        for i in range(len(parts)):
            parts[i] = as_frame(parts[i], i < len(parts) - 1)
        return parts

    cdef object get_into(self, Target target, Caller me):
        cdef Frame frame
        cdef size_t size
        got = self.get_frame(me)
        if got is NOT_NOW:
            return NOT_NOW
        frame = got
        size = zmq_msg_size(&frame.msg)
        if size > <size_t> target.view.len:
            if self.parts is None:
                self.parts = []
                self.seize(self.rx, caller_here() if me is None else me)
            self.parts.append(frame)
            raise errors.argument_error(
                f"{self.describe()}: recv_into() was given a buffer of {target.view.len} bytes, "
                f"and the next part has {size}; it is still there, to be received by this caller"
            )
        copy_memory(target.view.buf, zmq_msg_data(&frame.msg), size)
        return size

    cdef list rest(self):
        """What is left of the message in hand."""
        parts, self.parts = self.parts, None
        parts.reverse()
        self.seize(self.rx, None)
        return parts

    cdef object get_parts(self):
        """What is left of the message in hand, or a whole new one."""
        cdef zmq_msg_t msg
        if self.parts:
            return [as_bytes(part) for part in self.rest()]
        return self.take_rest(&msg) if self.take(&msg) else NOT_NOW

    cdef object get_joined(self):
        cdef int size
        if self.parts:
            return b"".join(self.get_parts())
        data = small_one(self.handle, &size)
        return self.other_one(RECV_ALL, size, None) if data is None else data

    cdef object get_many(self, Py_ssize_t most):
        cdef list found = []
        cdef double began = 0
        cdef int size
        cdef Py_ssize_t count = 0
        if self.parts:
            found.append(self.get_joined())
            count = 1
        # A large part is copied without the GIL: someone may be in mid-message after it.
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
        return found if found else NOT_NOW

    # Pausing

    cdef inline Line line_of(self, Op op):
        return self.tx if op <= SEND_MANY else self.rx

    cdef object attempt(self, Op op, object arg, Caller me):
        """Do it now, or NOT_NOW. The caller (None: ask who it is) is entitled to."""
        cdef list parts
        cdef Line line = self.line_of(op)
        if line.owner is not None and not line.owner.alive:
            # Half a message whose thread has ended: nobody can finish it.
            if line is self.tx:
                self.held = None
            else:
                self.parts = None
            self.seize(line, None)
        if line.detour:
            if line is self.tx:
                self.look()  # see `_set_int`
            elif self.parts is None:
                self.hand_out(me)
        if op == SEND:
            return tracker_of(arg) if self.put_last(arg) else NOT_NOW
        if op == HOLD:
            if self.held is None:
                self.seize(self.tx, caller_here() if me is None else me)
                self.held = [arg]
            else:
                self.held.append(arg)
            return tracker_of(arg)
        if op == SEND_MULTIPART:
            parts = arg
            if self.held is None:
                return tracker_of(parts[0]) if self.put_all(parts) else NOT_NOW
            self.held, before = self.held + parts[:len(parts) - 1], self.held
            if self.put_last(parts[len(parts) - 1]):
                return tracker_of(parts[0])
            self.held = before
            return NOT_NOW
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
            knock: set if the bell will not tell when to try again (`REKNOCK`).
        """
        cdef Line line = me.line
        cdef int events
        knock[0] = False
        self.alive("send" if line is self.tx else "receive")
        me.woken = False
        if line.turn() is not me:
            if line.first is me:
                self.ring(self.look(), me)  # the head watches the bell, so it answers it
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
                knock[0] = result is NOT_NOW
                return result
        return NOT_NOW

    cdef object proceed(self, Op op, object arg, double limit):
        """The slow path: the line is shut, or a first try said not now."""
        cdef Line line = self.line_of(op)
        if line.owner is not None and line.owner is caller_here():
            result = self.attempt(op, arg, None)
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
        cdef double deadline = INFINITY if limit < 0 else monotonic() + limit
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
                me.pause(self, min(deadline, monotonic() + REKNOCK) if knock else deadline)
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
    zsock.asked = True
    return 1


cdef inline double limit_of(Core zsock, Op op, timeout) except? -2:
    """The seconds that a call may take: its own timeout, or the socket's."""
    if timeout is not UNSET:
        return to_seconds(timeout)
    return zsock._send_timeout if op <= SEND_MANY else zsock._recv_timeout


include "_calls.pxi"
include "_task.pxi"
include "_process.pxi"
