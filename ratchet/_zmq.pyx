# cython: language_level=3, initializedcheck=False
# cython: embedsignature=True, embedsignature.format=clinic
# A plain method descriptor is called faster than a CyFunction from Python 3.11 on.
# cython: binding=False
# What cannot be pickled needs no 200 KB of code that says so; Python does.
# cython: auto_pickle=False
"""Sockets over libzmq: context, messages and the calls that pause. Everything that touches C.

Theory of operation
-------------------
libzmq is called with ZMQ_DONTWAIT and with the GIL held, so two threads are never inside one
socket. A call succeeds, raises, or answers NOT_NOW, which is a value. Only waiting
(`osthread.pxi`) and copying large messages between memory of Python and a zmq_msg_t run without the
GIL.

libzmq is at a message boundary whenever the GIL can change hands: the parts of a message go in
and come out in one go (`send.pxi`, `taking.pxi`). So a sender or receiver that ends half way,
or is cancelled, leaves nothing torn.

Every call that pauses has a fast path, which reads one flag (`Line.contended`) and tries, and a
slow one, `engine.pxi`, which queues and tries again whenever it is woken (`doorbell.pxi`).

The text is in the folder `_zmq`, one subject a file. A file uses only what stands in files above
it in the list of includes below; `tests/project/test_layers.py` checks that.
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
from cpython.exc cimport (
    PyErr_CheckSignals,
    PyErr_Clear,
    PyErr_ExceptionMatches,
    PyErr_SetObject,
    PyErr_WriteUnraisable,
)
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport INFINITY, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratchet._zmq cimport *

import atexit
import errno
import os
import stat
import sys
import threading
import time
import warnings
from _collections import OrderedDict, deque  # without the rest of collections
from _weakref import ref as weak_ref
from _weakrefset import WeakSet
from sys import getswitchinterval
from time import monotonic as python_monotonic
from time import sleep
from time import time as wall_clock

import _signal as signal  # what signal makes enums of
import _socket as socket  # gevent leaves it as it is
import _thread

from greenlet import GreenletExit, getcurrent, greenlet

from . import _platform, errors
from ._platform import READS, WRITES, Wakeup, new_poll
from .socket_types import OLD_NAMES, TYPES

sleep = _platform.original(time, "sleep")
RLock = _platform.original(_thread, "RLock")  # threads of all kinds share one

cdef extern from "Python.h":
    PyObject *PyThreadState_GetDict()  # borrowed

cdef object NOT_NOW = object()  # the answer of an operation that cannot be performed now
cdef object UNSET = ...         # the default of arguments for which None means something
cdef frozenset NO_IDENTITIES = frozenset()

# 0: the platform, and what every file needs.
include "_zmq/platform.pxi"
include "_zmq/debug.pxi"
include "_zmq/quick_methods.pxi"
include "_zmq/tuning.pxi"
include "_zmq/errors.pxi"
include "_zmq/postponed.pxi"
# 1: the rule of who tries and who is woken.
include "_zmq/lifetime.pxi"
include "_zmq/lines.pxi"
include "_zmq/doorbell.pxi"
include "_zmq/bells.pxi"
# 2: what runs callers.
include "_zmq/runtime.pxi"
include "_zmq/spinning.pxi"
# 3: the runtimes in C.
include "_zmq/osthread.pxi"
include "_zmq/kernel_sleep.pxi"
include "_zmq/kernel.pxi"
include "_zmq/gevent.pxi"
# 4: messages, contexts, the events of connections, and the endpoints that are refused.
include "_zmq/messages.pxi"
include "_zmq/loans.pxi"
include "_zmq/io_threads.pxi"
include "_zmq/lingering.pxi"
include "_zmq/context_end.pxi"
include "_zmq/context.pxi"
include "_zmq/program_context.pxi"
include "_zmq/bell_waits.pxi"
include "_zmq/events.pxi"
include "_zmq/event_sink.pxi"
include "_zmq/subscribers.pxi"
include "_zmq/connections.pxi"
include "_zmq/peer_events.pxi"
include "_zmq/capabilities.pxi"
include "_zmq/endpoint_rules.pxi"
include "_zmq/port_range.pxi"
include "_zmq/ipc_rules.pxi"
# 5: the socket.
include "_zmq/closing.pxi"
include "_zmq/socket.pxi"
include "_zmq/watched_socket.pxi"
include "_zmq/inproc_links.pxi"
include "_zmq/raw_options.pxi"
# 6: its operations.
include "_zmq/pairs.pxi"
include "_zmq/operations.pxi"
include "_zmq/send.pxi"
include "_zmq/taking.pxi"
include "_zmq/receive.pxi"
include "_zmq/latest.pxi"
include "_zmq/half_messages.pxi"
include "_zmq/request.pxi"
include "_zmq/subscriptions.pxi"
# 7: what every call goes through.
include "_zmq/message_forms.pxi"
include "_zmq/binding.pxi"
include "_zmq/launches.pxi"
include "_zmq/endpoints.pxi"
include "_zmq/engine.pxi"
# 8: the calls, in two ways; one wait for many; proxies.
include "_zmq/calls.pxi"
include "_zmq/blocking.pxi"
include "_zmq/quick_calls.pxi"
include "_zmq/selection.pxi"
include "_zmq/selecting.pxi"
include "_zmq/transfer.pxi"
include "_zmq/proxy.pxi"
include "_zmq/coroutine.pxi"
include "_zmq/tasks.pxi"
include "_zmq/task_pauses.pxi"
include "_zmq/checkpoints.pxi"
include "_zmq/call.pxi"
include "_zmq/awaitable.pxi"
# 9: sockets in contexts of a program's own; fork and exit.
include "_zmq/program_monitors.pxi"
include "_zmq/program_socket.pxi"
include "_zmq/program_calls.pxi"
include "_zmq/program_frames.pxi"
include "_zmq/program_poll.pxi"
include "_zmq/fork.pxi"
include "_zmq/exit.pxi"
