# Layer 8. The calls of a blocking socket as most programs write them, before arguments are parsed.
#
# A call without keywords (of a send: with bytes), or with timeout=0, is made before its arguments
# are parsed, which would cost a quarter of it. These functions return a new reference, or NULL
# after an error. What does not belong to the usual course is a function of its own that is called
# last, through a pointer: inlined, it would have the usual course save registers. And it is called
# as if it could raise nothing, for otherwise Cython would look for errors, and add a line to a
# traceback, which costs more than all the rest of a call that finds nothing.

cdef extern from "Python.h":
    bint is_list "PyList_CheckExact"(PyObject *thing)
    bint is_tuple "PyTuple_CheckExact"(PyObject *thing)
    PyObject **parts_in "PySequence_Fast_ITEMS"(PyObject *list_or_tuple)
    Py_ssize_t count_of "PySequence_Fast_GET_SIZE"(PyObject *list_or_tuple)

cdef str TIMEOUT_NAME = intern("timeout")
cdef object ZERO = 0
cdef object TIMEOUT = errors.Timeout
cdef Function usual_send, usual_recv, usual_recv_all, usual_send_multipart, usual_recv_multipart

ctypedef PyObject *(*Usual)(
    object zsock, PyObject **args, Py_ssize_t count, PyObject *names) noexcept
ctypedef PyObject *(*Later)(BlockingSocket zsock, PyObject *data, Py_ssize_t sent) noexcept
ctypedef PyObject *(*Other)(BlockingSocket zsock, int size, bint joined) noexcept
ctypedef PyObject *(*Now)(BlockingSocket zsock, bint joined) noexcept

cdef Later go_on_sending = <Later> send_later
cdef Later go_on_with_parts = <Later> send_rest
cdef Other go_on_receiving = <Other> receive_later
cdef Now receive_at_once = <Now> receive_now
cdef Next receive_list = <Next> receive_parts


cdef inline bint is_now(PyObject *names, PyObject **args):
    """Return True if ``timeout=0`` is the only keyword."""
    return (
        length_of(names) == 1
        and item_of(names, 0) == <PyObject *> TIMEOUT_NAME and args[0] == <PyObject *> ZERO
    )


cdef inline bint is_quick(SocketBase zsock):
    """Return True if the call may be made at once: this process's socket, and nobody to let run."""
    return zsock.born == quick_generation or may_be_quick(zsock.born)


cdef inline bint is_small(PyObject *data):
    """Return True for bytes that are copied when they are sent."""
    return is_bytes(data) and size_of(data) < <Py_ssize_t> LEND


cdef PyObject *quick_send(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    cdef PyObject *data
    if count == 1 and names == NULL:
        data = args[0]
        if is_small(data) and is_quick(zsock) and not zsock.tx.contended:
            if zmq_send(zsock.handle, start_of(data), size_of(data), ZMQ_DONTWAIT) < 0:
                return go_on_sending(zsock, data, 0)
            zsock.asked = ASKED | SENT
            zsock.after()
            return new_reference(None)
    return (<Usual> usual_send)(zsock, args, count, names)


cdef PyObject *send_later(BlockingSocket zsock, PyObject *data, Py_ssize_t sent) except NULL:
    """Go on where a first try has failed."""
    if zmq_errno() != EAGAIN:
        return new_reference(zsock.perform(&SEND, <object> data, zsock._send_timeout))
    zsock.touched += 1
    return new_reference(proceed(zsock, &SEND, <object> data, zsock._send_timeout))


cdef inline PyObject *quick_receive(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names, bint joined
) noexcept:
    cdef int size
    cdef PyObject *found
    if count == 0 and is_quick(zsock) and not zsock.rx.contended:
        if names == NULL:
            found = small_one(zsock.handle, &size, BYTES if joined else PAIR)
            if found == NULL:
                return go_on_receiving(zsock, size, joined)
            zsock.after()
            return found
        if is_now(names, args):
            return receive_at_once(zsock, joined)
    return (<Usual> (usual_recv_all if joined else usual_recv))(zsock, args, count, names)


cdef PyObject *quick_recv(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    return quick_receive(zsock, args, count, names, False)


cdef PyObject *quick_recv_all(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    return quick_receive(zsock, args, count, names, True)


cdef PyObject *receive_later(BlockingSocket zsock, int size, bint joined) except NULL:
    """Go on where there was no `small_one`."""
    return new_reference(receive_other(zsock, size, joined, zsock._recv_timeout))


cdef PyObject *receive_now(BlockingSocket zsock, bint joined) except? NULL:
    """Receive with a timeout of 0."""
    # When a receive found nothing and no call since may have silenced the bell, the bell tells all.
    cdef bint empty = False
    if zsock.empty_since != zsock.touched or ratchet_readable(zsock.fd):
        try:
            result = try_recv_all(zsock, None, None) if joined else try_recv(zsock, None, None)
            empty = result is NOT_NOW
        finally:
            if empty:
                zsock.after_empty()
            else:
                zsock.after()
        if not empty:
            return new_reference(result)
    if zsock.empty_error_args is None:
        zsock.empty_error_args = timed_out(zsock, zsock.rx, 0).args
    ratchet_raise(TIMEOUT, zsock.empty_error_args)
    return NULL


cdef inline Py_ssize_t small_parts_in(PyObject *message):
    """Return how many parts a list or tuple has if all are small bytes; else 0."""
    cdef PyObject **parts
    cdef Py_ssize_t i, count
    if not is_list(message) and not is_tuple(message):
        return 0
    parts, count = parts_in(message), count_of(message)
    for i in range(count):
        if not is_small(parts[i]):
            return 0
    return count


cdef PyObject *quick_send_multipart(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    cdef Py_ssize_t parts, sent
    if count == 1 and names == NULL:
        parts = small_parts_in(args[0])
        if parts > 0 and is_quick(zsock) and not zsock.tx.contended:
            # libzmq runs no Python code, so nobody changes the list meanwhile.
            sent = put_small_parts(zsock.handle, parts_in(args[0]), 0, parts)
            if sent < parts:
                return go_on_with_parts(zsock, args[0], sent)
            zsock.asked = ASKED | SENT
            zsock.after()
            return new_reference(None)
    return (<Usual> usual_send_multipart)(zsock, args, count, names)


cdef PyObject *send_rest(BlockingSocket zsock, PyObject *message, Py_ssize_t sent) except NULL:
    """Go on where only so many parts have been sent."""
    cdef int error = zmq_errno()
    cdef bint owed = True
    cdef list parts
    if error == EAGAIN:
        end_half(zsock, sent, count_of(message))
    try:
        parts = list(<object> message)  # may run finalizers, which may send, and change the list
        if error == EAGAIN:
            owed = send_again(zsock, parts, sent)
        else:
            owed = put_rest(zsock, parts, None, sent, error)
    finally:
        if owed:
            zsock.after()
    if owed:
        return new_reference(None)
    return new_reference(proceed(zsock, &SEND_MULTIPART, parts, zsock._send_timeout))


cdef PyObject *quick_recv_multipart(
    BlockingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    if count == 0 and names == NULL and is_quick(zsock) and not zsock.rx.contended:
        return receive_list(zsock)
    return (<Usual> usual_recv_multipart)(zsock, args, count, names)


cdef PyObject *receive_parts(BlockingSocket zsock) except NULL:
    """Receive a whole message within the socket's own timeout."""
    cdef bint owed = True
    try:
        found = take_parts(zsock)
        owed = found is not NOT_NOW
    finally:
        if owed:
            zsock.after()
    if owed:
        return new_reference(found)
    return new_reference(proceed(zsock, &RECV_MULTIPART, None, zsock._recv_timeout))


usual_send = quicken(BlockingSocket, "send", <Function> quick_send)
usual_recv = quicken(BlockingSocket, "recv", <Function> quick_recv)
usual_recv_all = quicken(BlockingSocket, "recv_all", <Function> quick_recv_all)
usual_send_multipart = quicken(
    BlockingSocket, "send_multipart", <Function> quick_send_multipart)
usual_recv_multipart = quicken(
    BlockingSocket, "recv_multipart", <Function> quick_recv_multipart)
