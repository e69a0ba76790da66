# cython: language_level=3, initializedcheck=False
# cython: binding=False, auto_pickle=False
"""The objects of pyzmq's backend: Context, Socket, Frame and zmq_poll, on ratchet's own sockets.

pyzmq's own classes inherit from these (`ratchet.pyzmq.backend` is the seam). An extension of its
own, so that `import ratchet` neither pays for it nor grows. It calls no libzmq: what a message
passes through are functions in C of `_zmq` (`_zmq/program_calls.pxi`), which answer a value where
libzmq says EAGAIN, and all else goes through Python.

A Socket here has a ratchet socket and is none, since pyzmq lets several share one ("shadows").
The text is in the folder `_pyzmq`, one subject a file.
"""

from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS,
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.string cimport memcpy

from ratchet._zmq cimport (
    KEEP_HELD,
    program_give_back,
    program_is_watched,
    program_limit,
    program_not_now,
    program_recv,
    program_recv_frame,
    program_recv_frames,
    program_recv_now,
    program_recv_on,
    program_recv_parts,
    program_reknock,
    program_send,
    program_send_now,
    program_send_on,
    program_send_parts,
    program_thread,
    program_try,
    spend_turn,
)

cimport cython

import asyncio
import collections
import errno
import os
import threading
import weakref

import zmq
from zmq.constants import SocketOption, _OptType
from zmq.error import Again, ContextTerminated, ZMQError
from zmq.utils import jsonapi

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
    DONTWAIT = 1
    SNDMORE = 2
    FD = 14
    TYPE = 16
    LAST_ENDPOINT = 32
    ROUTING_ID = 5
    USUAL_SIZE = 255   # bytes of an option that pyzmq asks for
    LONGEST_ENDPOINT = 4096


# Errors

# What its ``__init__``, in Python, gives each `Again`: most of its price.
cdef int EAGAIN = errno.EAGAIN
Again.errno, Again.strerror = EAGAIN, AGAIN_TEXT


cdef object again():
    """Make the exception for "not now"."""
    global last_errno
    last_errno = EAGAIN
    return Again.__new__(Again, *AGAIN_ARGS)


cdef object translated(error, msg=None):
    """Return pyzmq's exception for one of ratchet's."""
    global last_errno
    if isinstance(error, errors.Timeout):
        return again()
    last_errno = error.errno or errno.EINVAL
    if last_errno == ETERM:
        return ContextTerminated(last_errno)
    return ZMQError(last_errno, msg)


def pyzmq_error(error):
    """Return pyzmq's exception for one of ratchet's."""
    return translated(error)


cdef object closed_error():
    global last_errno
    last_errno = errno.ENOTSOCK
    return ZMQError(last_errno)


def zmq_errno():
    """Return the errno of the newest error."""
    return last_errno


include "_zmq/quick_methods.pxi"
include "_pyzmq/frames.pxi"
include "_pyzmq/context.pxi"
include "_pyzmq/socket.pxi"
include "_pyzmq/parts.pxi"
include "_pyzmq/quick.pxi"
include "_pyzmq/attributes.pxi"
include "_pyzmq/poll.pxi"
include "_pyzmq/futures.pxi"
include "_pyzmq/ready.pxi"
include "_pyzmq/awaited.pxi"
