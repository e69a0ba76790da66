# cython: language_level=3, initializedcheck=False
# cython: binding=False
"""The objects of pyzmq's backend: Context, Socket, Frame and zmq_poll, on ratchet's own sockets.

pyzmq's own classes inherit from these (`ratchet.pyzmq.backend` is the seam). An extension of its
own, so that `import ratchet` neither pays for it nor grows. It calls no libzmq: what a message
passes through are functions in C of `_zmq` (`_zmq/program_calls.pxi`), which answer a value where
libzmq says EAGAIN, and all else goes through Python.

A Socket here has a ratchet socket and is none, since pyzmq lets several share one ("shadows").
"""

from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.string cimport memcpy

from ratchet._zmq cimport (
    program_not_now,
    program_recv,
    program_recv_frame,
    program_recv_frames,
    program_recv_parts,
    program_send,
    program_send_parts,
)

import errno
import os
import threading
import weakref

import zmq
from zmq.constants import SocketOption, _OptType
from zmq.error import Again, ContextTerminated, ZMQError

from . import _zmq as core
from . import errors

cdef object NOT_NOW = program_not_now()
cdef object CoreFrame = core.Frame
cdef object CoreError = errors.Error
cdef tuple AGAIN_ARGS = (errno.EAGAIN,)
cdef str AGAIN_TEXT = core.error_text(errno.EAGAIN)
cdef int ETERM = errors.ETERM
cdef int ENOTSUP = errno.ENOTSUP
cdef object FrameClass = None  # zmq.Frame, which does not exist yet while this is imported
cdef int last_errno = 0

cdef enum:
    SNDMORE = 2
    FD = 14
    TYPE = 16
    LAST_ENDPOINT = 32
    ROUTING_ID = 5
    USUAL_SIZE = 255   # bytes of an option that pyzmq asks for
    LONGEST_ENDPOINT = 4096


# Errors

cdef object again():
    """Make the exception for "not now", without its Python ``__init__``: most of its price."""
    global last_errno
    last_errno = errno.EAGAIN
    error = Again.__new__(Again, *AGAIN_ARGS)
    error.errno = last_errno
    error.strerror = AGAIN_TEXT
    return error


cdef object translated(error, msg=None):
    """Return pyzmq's exception for one of ratchet's."""
    global last_errno
    if isinstance(error, errors.Timeout):
        return again()
    last_errno = error.errno or errno.EINVAL
    if last_errno == ETERM:
        return ContextTerminated(last_errno)
    return ZMQError(last_errno, msg)


cdef object closed_error():
    global last_errno
    last_errno = errno.ENOTSOCK
    return ZMQError(last_errno)


def zmq_errno():
    """Return the errno of the newest error."""
    return last_errno


# Frames

class SentEvent(threading.Event):
    """What pyzmq's MessageTracker asks: is set when libzmq no longer needs the memory."""

    def __init__(self, tracker):
        super().__init__()
        self._tracker = tracker

    def is_set(self):
        return self._tracker.done

    isSet = is_set

    def wait(self, timeout=None):
        try:
            self._tracker.wait(timeout)
        except errors.Timeout:
            return False
        return True


cdef class Frame:
    """One part of a message: pyzmq's Frame inherits from it."""
    cdef object core             # ratchet's Frame, in which the message is
    cdef object data             # what it was made from
    cdef object view             # a weak reference to the memoryview that was asked for last
    cdef object copied           # its bytes, once they were asked for
    cdef public bint more
    cdef public object tracker
    cdef public object tracker_event

    def __init__(self, data=None, track=False, copy=None, copy_threshold=None, **kwargs):
        cdef bint copies
        self.more = False
        self.data = data
        self.tracker = zmq._FINISHED_TRACKER if track else None
        self.tracker_event = None
        if isinstance(data, str):
            raise TypeError("a frame is made from bytes or a buffer, not from str")
        if data is None:
            self.core = core.new_frame(None)
            return
        if copy is None:
            if copy_threshold is None:
                copy_threshold = zmq.COPY_THRESHOLD
            copies = copy_threshold and size_of(data) < copy_threshold
        else:
            copies = copy
        if copies:
            self.core = core.new_frame(data)
            return
        tracker = core.Tracker()
        self.core = core.new_frame(data, tracker)
        if track:
            self.tracker_event = SentEvent(tracker)
            self.tracker = zmq.MessageTracker(self.tracker_event)

    def __len__(self):
        return len(self.core)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        cdef Py_buffer inner
        PyObject_GetBuffer(self.core, &inner, PyBUF_SIMPLE)
        try:
            PyBuffer_FillInfo(buffer, self, inner.buf, inner.len, 1, flags)
        finally:
            PyBuffer_Release(&inner)

    def __copy__(self):
        return self.fast_copy()

    def fast_copy(self):
        """Return a second frame of the same message; what is large is shared."""
        cdef Frame copy = <Frame> type(self).__new__(type(self))
        copy.core = core.copy_frame(self.core)
        copy.data, copy.copied = self.data, self.copied
        copy.tracker, copy.tracker_event = self.tracker, self.tracker_event
        return copy

    @property
    def buffer(self):
        """A memoryview of the data."""
        found = None if self.view is None else self.view()
        if found is None:
            found = memoryview(self)
            self.view = weakref.ref(found)
        return found

    @property
    def bytes(self):
        """A copy of the data, made once."""
        if self.copied is None:
            self.copied = self.core.bytes
        return self.copied

    def get(self, option):
        """Return a property: an int by its number, a str by its name (zmq_msg_gets(3))."""
        if not isinstance(option, (int, str, bytes)):
            raise TypeError(f"the name of a property is a str, not {option!r}")
        try:
            return core.frame_property(self.core, option)
        except CoreError as error:
            raise translated(error) from error

    def set(self, option, value):
        """Set a property: libzmq has none to be set but those of draft socket types."""
        raise ZMQError(errno.EINVAL)


cdef Frame received(object frame, bint track):
    """Return pyzmq's frame of one of ratchet's."""
    global FrameClass
    cdef Frame found
    if FrameClass is None:
        FrameClass = zmq.Frame
    found = <Frame> FrameClass.__new__(FrameClass)
    found.core = frame
    found.more = frame.more
    if track:
        found.tracker = zmq._FINISHED_TRACKER
    return found


cdef Py_ssize_t size_of(data) except -1:
    """Return the bytes of a buffer."""
    if type(data) is bytes:
        return len(<bytes> data)
    return memoryview(data).nbytes


# Contexts

cdef class Context:
    """A context of libzmq's: pyzmq's Context inherits from it."""
    cdef object core
    cdef public bint closed

    def __init__(self, int io_threads=1, size_t shadow=0):
        self.closed = False
        try:
            if shadow:
                self.core = core.context_at(shadow)
                if self.core is None:
                    raise ZMQError(
                        errno.EFAULT,
                        "no context of ratchet's has this address; another library's cannot be "
                        "shared",
                    )
            else:
                self.core = core.ProgramContext()
                self.core.set(zmq.constants.ContextOption.IO_THREADS, io_threads)
        except CoreError as error:
            raise translated(error) from error

    @property
    def underlying(self):
        """The address of libzmq's context; 0 once it has ended."""
        return self.core.address

    @property
    def handle(self):
        """The same as ``underlying``."""
        return self.core.address

    def term(self):
        """Wake every call on its sockets with ETERM, wait until they are closed, and end it."""
        if self.core is not None:
            try:
                self.core.term()
            except CoreError as error:
                raise translated(error) from error
        self.closed = True

    def set(self, int option, optval):
        """Set an option (zmq_ctx_set(3))."""
        if self.closed:
            raise RuntimeError("Context has been destroyed")
        if not isinstance(optval, int):
            raise TypeError(f"expected int, got: {optval!r}")
        try:
            self.core.set(option, optval)
        except CoreError as error:
            raise translated(error) from error

    def get(self, int option):
        """Return an option (zmq_ctx_get(3))."""
        if self.closed:
            raise RuntimeError("Context has been destroyed")
        try:
            return self.core.get(option)
        except CoreError as error:
            raise translated(error) from error


# Sockets

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


cdef object BYTES = _OptType.bytes
cdef object INT64 = _OptType.int64


cdef class Socket:
    """A socket: pyzmq's Socket inherits from it."""
    cdef object core             # ratchet's ProgramSocket; shadows share it
    cdef public object context
    cdef public object copy_threshold
    cdef readonly bint _closed
    cdef bint own_send, own_recv  # a subclass has its own `send` or `recv`, to be called for a part

    def __init__(self, context=None, int socket_type=-1, size_t shadow=0, copy_threshold=None):
        self._closed = False
        self.context = context
        self.copy_threshold = zmq.COPY_THRESHOLD if copy_threshold is None else copy_threshold
        self.own_send = type(self).send is not Socket.send
        self.own_recv = type(self).recv is not Socket.recv
        if shadow:
            self.core = core.socket_at(shadow)
            if self.core is None:
                raise closed_error()
            return
        if context is None:
            raise TypeError("context must be specified")
        if socket_type < 0:
            raise TypeError("socket_type must be specified")
        try:
            self.core = core.ProgramSocket((<Context> context).core, socket_type)
        except CoreError as error:
            raise translated(error) from error

    @property
    def underlying(self):
        """The address of libzmq's socket; 0 once it is closed."""
        return self.core.address

    @property
    def closed(self):
        """True once it is closed, by whomever."""
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
                self.core.set_int64(option, optval)
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
                return self.core.get_int64(option)
            return self.core.get_int(option)
        except CoreError as error:
            raise translated(error) from error

    cdef bytes get_bytes(self, int option):
        if option == LAST_ENDPOINT:
            found = self.core.get_bytes(option, LONGEST_ENDPOINT)
        else:
            found = self.core.get_bytes(option, USUAL_SIZE)
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
            addr = address_of(addr)
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
        try:
            if program_send(self.core, data, flags) is NOT_NOW:
                raise again()
        except CoreError as error:
            raise translated(error) from error
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
        if copy:
            return data, None
        if self.copy_threshold and size_of(data) < self.copy_threshold:
            return data, zmq._FINISHED_TRACKER
        frame = <Frame> zmq.Frame(data, track=track, copy_threshold=self.copy_threshold)
        return frame.core, frame.tracker

    def send_multipart(self, msg_parts, int flags=0, bint copy=True, bint track=False, **kwargs):
        """Send a whole message: all parts, or none.

        Args and result are those of `send`; the tracker is the last part's.
        """
        cdef list parts
        cdef object tracker = None
        cdef Py_ssize_t i
        self.require()
        parts = list(msg_parts)
        if not parts:
            raise IndexError("a message has at least one part")
        for i in range(len(parts)):
            if type(parts[i]) is not bytes:
                check_part(parts[i], i)
        if self.own_send or flags & SNDMORE:
            for part in parts[:-1]:
                self.send(part, flags | SNDMORE, copy=copy, track=track)
            return self.send(parts[len(parts) - 1], flags, copy=copy, track=track)
        for i in range(len(parts)):
            if type(parts[i]) is not bytes or not copy:
                parts[i], tracker = self.to_part(parts[i], copy, track)
            else:
                tracker = None
        try:
            if program_send_parts(self.core, parts, flags) is NOT_NOW:
                raise again()
        except CoreError as error:
            raise translated(error) from error
        return tracker

    def recv(self, int flags=0, bint copy=True, bint track=False):
        """Receive one part: bytes, or with ``copy=False`` a Frame.

        Args:
            flags: NOBLOCK or nothing.
        """
        self.require()
        try:
            if copy:
                found = program_recv(self.core, flags)
                if found is not NOT_NOW:
                    return found
            else:
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
        if self.own_recv:
            return self.recv_parts(flags, copy, track)
        try:
            found = (
                program_recv_parts(self.core, flags) if copy
                else program_recv_frames(self.core, flags)
            )
        except CoreError as error:
            raise translated(error) from error
        if found is NOT_NOW:
            raise again()
        if not copy:
            parts = found
            for i in range(len(parts)):
                parts[i] = received(parts[i], track)
        return found

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
        PyObject_GetBuffer(buffer, &target, PyBUF_WRITABLE)
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


# Waiting for many

def zmq_poll(sockets, int timeout=-1):
    """Wait for sockets and descriptors.

    Args:
        sockets: pairs of a socket, a descriptor or an object with ``fileno()``, and flags, of
            POLLIN, POLLOUT and POLLERR.
        timeout: milliseconds; negative: for ever.

    Returns:
        list of pairs: what is ready, a descriptor in place of an object that is no socket of
        pyzmq's, and for which flags.
    """
    cdef list things = [], masks = [], names = []
    cdef Py_ssize_t i
    for thing, flags in sockets:
        if isinstance(thing, Socket):
            (<Socket> thing).require()
            things.append((<Socket> thing).core)
            names.append(thing)
        else:
            thing = descriptor_of(thing)
            things.append(thing)
            names.append(thing)
        masks.append(int(flags))
    if not things:
        return []
    try:
        events = core.poll_many(things, masks, timeout * 0.001 if timeout >= 0 else -1.0)
    except CoreError as error:
        raise translated(error) from error
    if events is None:
        return []
    found = []
    for i in range(len(names)):
        if events[i]:
            found.append((names[i], events[i]))
    return found


cdef object descriptor_of(thing):
    if isinstance(thing, int):
        return thing
    if hasattr(thing, "fileno"):
        try:
            return int(thing.fileno())
        except Exception:
            raise ValueError("fileno() must return a valid integer fd") from None
    raise TypeError(
        f"Socket must be a 0MQ socket, an integer fd or have a fileno() method: {thing!r}"
    )
