# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
# A plain method descriptor is called faster than a CyFunction from Python 3.11 on.
# cython: binding=False
"""Sockets over libzmq: context, messages and the calls that pause. All that touches C is in here.

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
slow one, `Traffic.wait`, which queues and tries again whenever it is woken (`_doorbell.pxi`).
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
from cpython.ref cimport Py_DECREF, Py_INCREF
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
from sys import getswitchinterval
from time import monotonic as python_monotonic
from time import sleep

from greenlet import GreenletExit, getcurrent, greenlet

from . import _platform, errors
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
# So does who waits behind one whose runtime may have stopped since it was woken.
cdef double REKNOCK = 0.05
# Descriptors libzmq takes when a context starts; out of them, it would abort (ctx.cpp, 4.3.4).
cdef int HEAD_ROOM = 12

# The process: a forked child is another generation, and what was made before belongs to its parent.
# Of C, where libzmq's threads read it.
cdef extern from *:
    """
    static unsigned int ratchet_generation = 1;
    """
    unsigned int generation "ratchet_generation"
# The same while no kernel loops, else nobody's: one comparison tells a plain call in an OS thread.
cdef unsigned int plain = 1
cdef void *context = NULL
cdef int io_threads = 1  # for connections without a name; more look up names (`_iothreads.pxi`)
cdef int max_sockets = 0  # 0: as many as libzmq can
cdef bint exiting = False
cdef bint letting_go = False  # the exit waits for event loops to forget descriptors
cdef double DEFAULT_LINGER = 10.0


def process_generation():
    """Which process this is, of those that were forked from one another."""
    return generation


_platform.process = process_generation


def keep(thing):
    """Refer to it until `let_go`, for ever in a forked child: its destructor closes by number."""
    Py_INCREF(thing)


def let_go(thing):
    """Refer to it no more."""
    Py_DECREF(thing)


open_sockets = weakref.WeakSet()  # of this process, for the exit
remaining = weakref.WeakSet()     # sockets that are closed but for their descriptor
cdef frozenset NONE_GIVEN = frozenset()
cdef list scratch = []  # collects the parts of the message that is being taken
cdef object NOT_NOW = object()
cdef object UNSET = ...

cdef enum Op:
    SEND, HOLD, SEND_MULTIPART, SEND_MANY
    RECV, RECV_ALL, RECV_MULTIPART, RECV_MANY, RECV_FRAME, RECV_FRAMES, RECV_INTO


# What the messages of a socket must look like; what libzmq would spoil or drop is refused.
cdef enum Form:
    ANY
    ONE        # part: with conflate libzmq keeps the last part of whatever is in the queue
    TWO        # of STREAM, and of a ROUTER that is raw: the peer, and bytes for it
    ADDRESSED  # of a ROUTER that promises to raise: the peer, and at least one part more


cdef double monotonic():
    return python_monotonic()


cdef bint current_thread_is_main():
    return threading.get_ident() == threading.main_thread().ident


# What Windows' C library has a number for, and Python's errno module another: that of Winsock.
cdef dict PYTHONS_ERRNO = {
    EADDRINUSE: errno.EADDRINUSE,
    EADDRNOTAVAIL: errno.EADDRNOTAVAIL,
    EAFNOSUPPORT: errno.EAFNOSUPPORT,
    ECONNABORTED: errno.ECONNABORTED,
    ECONNREFUSED: errno.ECONNREFUSED,
    ECONNRESET: errno.ECONNRESET,
    EHOSTUNREACH: errno.EHOSTUNREACH,
    EINPROGRESS: errno.EINPROGRESS,
    EMSGSIZE: errno.EMSGSIZE,
    ENETDOWN: errno.ENETDOWN,
    ENETRESET: errno.ENETRESET,
    ENETUNREACH: errno.ENETUNREACH,
    ENOBUFS: errno.ENOBUFS,
    ENOTCONN: errno.ENOTCONN,
    ENOTSOCK: errno.ENOTSOCK,
    EPROTONOSUPPORT: errno.EPROTONOSUPPORT,
    ETIMEDOUT: errno.ETIMEDOUT,
}


cdef from_errno(int number, what):
    """The one door from errno to an exception."""
    if number == ENOMEM:
        return MemoryError(what)
    reason = zmq_strerror(number).decode("utf-8", "replace")
    return errors.from_errno(PYTHONS_ERRNO.get(number, number), what, reason)


cdef void report(error, where) noexcept:
    """Tell sys.unraisablehook about an error that has nobody to go to."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)


cdef kind_of(value):
    return type(value).__name__


cdef double to_number(value) except? -2:
    """A number of seconds, wherever one is given: any real number, and so no bool and no NaN.

    Raises:
        TypeError: another kind of thing.
        ValueError: nan, or beyond what a float can be.
    """
    cdef double number
    if value is True or value is False:
        raise TypeError("must be a real number, not bool")
    try:
        number = value  # as float() does it, but for str
    except OverflowError:
        raise ValueError("out of range") from None
    if isnan(number):
        raise ValueError("nan")
    return number


def real_number(value):
    """The float of a number of seconds, by the rule of `to_number`."""
    return to_number(value)


cdef double to_seconds(timeout) except? -2:
    """A timeout argument: -1 for ever."""
    cdef double limit
    if timeout is None:
        return -1
    try:
        limit = to_number(timeout)
    except TypeError:
        raise TypeError(
            f"timeout must be a number of seconds or None, not {kind_of(timeout)}"
        ) from None
    except ValueError as error:  # of Decimal's sNaN too
        raise errors.argument_error(
            f"timeout {timeout} is {error}; give seconds, or None to wait for ever"
        ) from None
    return -1 if limit < 0 or limit == INFINITY else limit


cdef inline double deadline_of(double limit):
    """When so many seconds are over; `to_seconds` gave them."""
    return INFINITY if limit < 0 else monotonic() + limit


cdef inline double soon_if(bint knock, double until):
    """When a waiter tries again: at ``until``, or before if nobody may tell it."""
    return min(until, monotonic() + REKNOCK) if knock else until


def to_timeout(timeout):
    """A timeout in seconds, -1 for ever; raises for what is none."""
    return to_seconds(timeout)


def to_deadline(timeout):
    """When a timeout ends, in monotonic seconds, infinite for ever; raises for what is none."""
    return deadline_of(to_seconds(timeout))


include "_debug.pxi"
include "_platform.pxi"
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
    if waiter is None:
        waiter = (<ThreadCore> caller).spare = KernelWaiter(<ThreadCore> caller)
    elif waiter.line is not None:  # a finalizer or a signal handler, in the middle of a call
        waiter = KernelWaiter(<ThreadCore> caller)
        waiter.nested = True
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
include "_endpoints.pxi"
include "_iothreads.pxi"
include "_core.pxi"
include "_traffic.pxi"
include "_calls.pxi"
include "_task.pxi"
include "_process.pxi"
include "_binding.pxi"
