# Sends and receives as most programs write them, before their arguments are parsed.

cdef str FLAGS_NAME = "flags"
cdef str COPY_NAME = "copy"
cdef object COPIES = True
cdef Function usual_send, usual_recv, usual_send_multipart, usual_recv_multipart

cdef extern from "Python.h":
    bint is_int "PyLong_Check"(PyObject *thing)
    bint is_list "PyList_CheckExact"(PyObject *thing)
    bint is_tuple "PyTuple_CheckExact"(PyObject *thing)
    long as_long "PyLong_AsLong"(PyObject *thing)  # sets an error only for what is too large


cdef inline bint has_flags_only(
    PyObject **args, Py_ssize_t count, PyObject *names, Py_ssize_t first, int *flags
):
    """Return True if nothing is given from ``first`` on but ``flags`` and ``copy=True``."""
    cdef PyObject *given = NULL
    cdef PyObject *name
    cdef Py_ssize_t i
    cdef long value
    if count > first:
        if count > first + 1:
            return False
        given = args[first]
    if names != NULL:
        for i in range(length_of(names)):
            name = item_of(names, i)
            if name == <PyObject *> FLAGS_NAME and given == NULL:
                given = args[count + i]
            elif name != <PyObject *> COPY_NAME or args[count + i] != <PyObject *> COPIES:
                return False
    flags[0] = 0
    if given != NULL:
        if not is_int(given):
            return False
        value = as_long(given)
        if value & ~(DONTWAIT | SNDMORE):  # and what is too large
            PyErr_Clear()
            return False
        flags[0] = <int> value
    return True


cdef PyObject *fail_again() except NULL:
    """Raise `Again` without a line of ours in its traceback, which costs more than the receive."""
    global last_errno
    last_errno = EAGAIN
    ratchet_raise(Again, AGAIN_ARGS)
    return NULL


ctypedef PyObject *(*Fails)() noexcept  # for its call: Cython would add the line there


# The usual course of a send and a receive raises nothing, so that Cython need not look for errors
# and keep what an `except` would need. The rest is called last, through a pointer and as if it
# raised nothing either: inlined, it would have the usual course save registers.
ctypedef PyObject *(*SendOn)(Socket self, PyObject *data, int sent) noexcept
ctypedef PyObject *(*RecvOn)(Socket self, int size) noexcept
ctypedef PyObject *(*InFull)(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names) noexcept

cdef SendOn go_on_sending = <SendOn> send_on
cdef RecvOn go_on_receiving = <RecvOn> recv_on
cdef InFull send_in_full = <InFull> send_with_flags
cdef InFull recv_in_full = <InFull> recv_with_flags


cdef PyObject *quick_send(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    cdef int sent
    if count == 1 and names == NULL and is_bytes(args[0]) and not self._closed:
        sent = program_send_now(<PyObject *> self.core, args[0])
        return new_reference(None) if sent > 0 else go_on_sending(self, args[0], sent)
    return send_in_full(self, args, count, names)


cdef PyObject *send_on(Socket self, PyObject *data, int sent) except? NULL:
    """Go on where `program_send_now` has not sent."""
    try:
        if program_send_on(self.core, <object> data, 0, sent) is NOT_NOW:
            raise again()
    except CoreError as error:
        raise translated(error) from error
    return new_reference(None)


cdef PyObject *send_with_flags(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    cdef int flags
    if (
        count == 0 or not is_bytes(args[0]) or self._closed
        or not has_flags_only(args, count, names, 1, &flags)
    ):
        return usual_send(self, args, count, names)
    send_part(self, <object> args[0], flags)
    return new_reference(None)


cdef PyObject *quick_recv(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) noexcept:
    cdef int size
    cdef PyObject *found
    if count == 0 and names == NULL and not self._closed:
        found = program_recv_now(<PyObject *> self.core, &size)
        return found if found != NULL else go_on_receiving(self, size)
    return recv_in_full(self, args, count, names)


cdef PyObject *recv_on(Socket self, int size) except? NULL:
    """Go on where `program_recv_now` has not received."""
    try:
        found = program_recv_on(self.core, 0, size)
    except CoreError as error:
        raise translated(error) from error
    return (<Fails> fail_again)() if found is NOT_NOW else new_reference(found)


cdef PyObject *recv_with_flags(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    cdef int flags
    if self._closed or not has_flags_only(args, count, names, 0, &flags):
        return usual_recv(self, args, count, names)
    found = try_part(self, flags)
    if found is NOT_NOW:
        return (<Fails> fail_again)()
    return new_reference(found)


cdef list bytes_only(PyObject *given):
    """Return a new list of the parts if they are bytes in a list or tuple, else None."""
    cdef list parts
    if not is_list(given) and not is_tuple(given):
        return None
    parts = list(<object> given)
    for part in parts:
        if type(part) is not bytes:
            return None
    return parts or None


cdef PyObject *quick_send_multipart(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    cdef int flags
    if (
        count > 0 and not self._closed and has_flags_only(args, count, names, 1, &flags)
        and not flags & SNDMORE and not sends_itself(self)
    ):
        parts = bytes_only(args[0])
        if parts is not None:
            send_parts(self, parts, flags)
            return new_reference(None)
    return usual_send_multipart(self, args, count, names)


cdef PyObject *quick_recv_multipart(
    Socket self, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    cdef int flags
    if (
        self._closed or not has_flags_only(args, count, names, 0, &flags)
        or recvs_itself(self)
    ):
        return usual_recv_multipart(self, args, count, names)
    found = try_parts(self, flags)
    if found is NOT_NOW:
        return (<Fails> fail_again)()
    return new_reference(found)


usual_send = quicken(Socket, "send", <Function> quick_send)
usual_recv = quicken(Socket, "recv", <Function> quick_recv)
usual_send_multipart = quicken(Socket, "send_multipart", <Function> quick_send_multipart)
usual_recv_multipart = quicken(Socket, "recv_multipart", <Function> quick_recv_multipart)
plain_send, plain_recv = Socket.send, Socket.recv
