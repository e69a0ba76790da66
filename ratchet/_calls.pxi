# The calls that pause the thread that makes them, each with its fast path: one flag, one try.

cdef extern from *:
    """
    typedef PyObject *(*ratchet_call)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    /* Has a method's calls go to `quick` first; answers with where they went, NULL if it cannot. */
    static ratchet_call ratchet_quicken(PyObject *type, const char *name, ratchet_call quick) {
        PyObject *method = PyDict_GetItemString(((PyTypeObject *) type)->tp_dict, name);
        PyMethodDef *def;
        ratchet_call usual;
        if (method == NULL || !Py_IS_TYPE(method, &PyMethodDescr_Type)) return NULL;
        def = ((PyMethodDescrObject *) method)->d_method;
        if (def->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) return NULL;
        usual = (ratchet_call) (void (*)(void)) def->ml_meth;
        def->ml_meth = (PyCFunction) (void (*)(void)) quick;
        return usual;
    }
    static void ratchet_raise(PyObject *type, PyObject *args) {
        /* An OSError is complete without its __init__. */
        PyObject *error = ((PyTypeObject *) type)->tp_new((PyTypeObject *) type, args, NULL);
        if (error == NULL) return;
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
    """
    ctypedef PyObject *(*Call_ "ratchet_call")(
        object zsock, PyObject **args, Py_ssize_t count, PyObject *names) except? NULL
    void ratchet_raise(object type, object args)
    PyObject *new_reference "Py_NewRef"(object thing)
    PyObject *item_of "PyTuple_GET_ITEM"(PyObject *names, Py_ssize_t index)
    Py_ssize_t length_of "PyTuple_GET_SIZE"(PyObject *names)
    Call_ ratchet_quicken(object type, const char *name, Call_ quick)
    bint is_bytes "PyBytes_CheckExact"(PyObject *data)
    char *start_of "PyBytes_AS_STRING"(PyObject *data)
    Py_ssize_t size_of "PyBytes_GET_SIZE"(PyObject *data)

cdef class PausingSocket(Traffic):
    """The calls that pause the thread that makes them."""

    def send(self, data, more=False, *, timeout=..., copy=True):
        """Send one part; pause until libzmq has taken the message.

        Parts sent with ``more`` are kept until the last one, then sent as one message. Other
        threads that send meanwhile pause.

        Args:
            data: bytes, or any object with a C-contiguous buffer, which is not read after the call.
            more (bool): another part of the same message follows.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
            copy (bool): False: libzmq reads the buffer when it sends it; it must not change until
                the tracker is done, and cannot be resized. Bytes from 8 KiB on are never copied.

        Returns:
            None, or with ``copy=False`` the `Tracker`.

        Raises:
            Timeout: no peer could take it in time; nothing was sent, earlier parts are still kept.
            StateError: a REQ or REP out of turn.
            TypeError, BufferError: not bytes-like, or not contiguous.
        """
        cdef Py_buffer view
        cdef double limit = limit_of(self, SEND, timeout)
        cdef int taken
        breathe()
        if self.born != generation:
            self.alive("send")
        if not copy:
            part = Loan(data, Tracker())
            return self.hold(part, limit) if more else self.pass_on(SEND, part, limit)
        if more:
            return self.hold(snapshot(data), limit)
        if not self.tx.shut:
            if type(data) is bytes:
                taken = self.put_part(data)
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
                self.after()
                return
        self.proceed(SEND, snapshot(data), limit)

    cdef object hold(self, part, double limit):
        if not self.can_send:
            raise self.fail(ENOTSUP, "send")
        return self.pass_on(HOLD, part, limit)

    cdef object pass_on(self, Op op, arg, double limit):
        if not self.tx.shut:
            result = self.attempt(op, arg, None)
            if result is not NOT_NOW:
                self.after()
                return result
        return self.proceed(op, arg, limit)

    def send_multipart(self, parts, *, timeout=..., copy=True):
        """Send one whole message of many parts; atomic, whatever happens.

        Args:
            parts: an iterable of bytes-like parts, at least one.
            timeout: seconds for this call, instead of the socket's; 0: now or never.
            copy (bool): False: as of `send`; the `Tracker` returned is done when all parts are.
        """
        cdef double limit = limit_of(self, SEND, timeout)
        cdef list message = to_messages(parts, "parts", None if copy else Tracker())
        if not message:
            raise errors.argument_error("a message has at least one part; b'' is one")
        breathe()
        self.alive("send")
        return self.pass_on(SEND_MULTIPART, message, limit)

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
        cdef double limit = limit_of(self, SEND, timeout)
        cdef Batch batch = None
        try:
            batch = Batch(messages, 0)
            breathe()
            self.alive("send")
            if not self.can_send:
                raise self.fail(ENOTSUP, "send")
            if not self.tx.shut and self.put_many(batch):
                self.after()
                return batch.count
            return self.proceed(SEND_MANY, batch, limit)
        except BaseException as error:
            error.taken = 0 if batch is None else batch.taken
            raise

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
        return receive(self, RECV, None, limit_of(self, RECV, timeout))

    def recv_all(self, *, timeout=...):
        """Receive every part of one message, joined: bytes. In mid-message, what is left of it."""
        return receive(self, RECV_ALL, None, limit_of(self, RECV, timeout))

    def recv_multipart(self, *, timeout=...):
        """Receive one whole message: a list of its parts. In mid-message, what is left of it."""
        return receive(self, RECV_MULTIPART, None, limit_of(self, RECV, timeout))

    def recv_many(self, max, *, timeout=...):
        """Receive messages: pause for the first, then take what else is there, up to ``max``.

        Returns:
            list[bytes]: at least one message; the parts of a multi-part one are joined.
        """
        cdef double limit = limit_of(self, RECV, timeout)
        return receive(self, RECV_MANY, to_most(max), limit)

    def recv_frame(self, *, timeout=...):
        """Receive one part without a copy: a `Frame`, whose ``more`` says if others follow."""
        return receive(self, RECV_FRAME, None, limit_of(self, RECV, timeout))

    def recv_frames(self, *, timeout=...):
        """Receive one whole message without a copy, or in mid-message what is left of it."""
        return receive(self, RECV_FRAMES, None, limit_of(self, RECV, timeout))

    def recv_into(self, buffer, *, timeout=...):
        """Receive one part into a writable buffer, such as a bytearray or a numpy array.

        `is_rcvmore` tells if others follow.

        Returns:
            int: the size of the part, in bytes.

        Raises:
            ValueError: the part is larger than the buffer; it stays the next one for this caller.
        """
        return receive(self, RECV_INTO, Target(buffer), limit_of(self, RECV, timeout))

    def __iter__(self):
        """``for data in zsock``: `recv_all` until the socket is closed, or its timeout raises."""
        return self

    def __next__(self):
        try:
            return receive(self, RECV_ALL, None, self._recv_timeout)
        except errors.ClosedError:
            return stop()


cdef inline object receive(PausingSocket zsock, Op op, object arg, double limit):
    """The fast path of every receive. Inline, so that the compiler knows the op."""
    cdef int size
    breathe()
    if zsock.born != generation:
        zsock.alive("receive")
    if not zsock.rx.shut:
        if op == RECV or op == RECV_ALL:
            data = small_one(zsock.handle, &size)
            if data is not None:
                zsock.after()
                return single(data) if op == RECV else data
            return receive_other(zsock, op, size, limit)
        result = zsock.attempt(op, arg, None)
        if result is not NOT_NOW:
            zsock.after()
            return result
    return zsock.proceed(op, arg, limit)


cdef str TIMEOUT_NAME = intern("timeout")
cdef object ZERO = 0
cdef object TIMEOUT = errors.Timeout


cdef inline bint is_now(PyObject *names, PyObject **args):
    """Is ``timeout=0`` the only keyword?"""
    return (
        length_of(names) == 1
        and item_of(names, 0) == <PyObject *> TIMEOUT_NAME and args[0] == <PyObject *> ZERO
    )


cdef object receive_other(PausingSocket zsock, Op op, int size, double limit):
    """Go on where there was no `small_one`."""
    result = zsock.other_one(op, size, None)
    if result is NOT_NOW:
        return zsock.proceed(op, None, limit)
    zsock.after()
    return result


cdef object stop():
    raise StopIteration


# A call without keywords, and with bytes to send, or with a timeout of 0, is made before its
# arguments are parsed: that would cost a quarter of it. These answer with a new reference, or with
# NULL after an error; an error that is set here has no line of ours in its traceback, which costs
# more than all the rest of a call that finds nothing.

cdef Call_ usual_send, usual_recv, usual_recv_all


cdef inline bint beside_kernel(PausingSocket zsock):
    """While a kernel loops somewhere: may the call be made at once, as it may while none does?"""
    cdef KernelCore kernel
    if zsock.born != generation:
        return False
    if ratchet_kernel_here == NULL:
        return True
    kernel = <KernelCore> ratchet_kernel_here
    if kernel.budget <= 1:
        return False  # `breathe` lets the others run
    kernel.budget -= 1
    return True

# For calls whose error is passed on as it is: Cython would add a line to the traceback.
ctypedef PyObject *(*Now_)(PausingSocket zsock, Op op) noexcept
ctypedef PyObject *(*Quick_)(
    PausingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names, Op op, Call_ usual
) noexcept


cdef PyObject *quick_send(
    PausingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    if (
        count == 1 and names == NULL and is_bytes(args[0]) and size_of(args[0]) < <Py_ssize_t> LEND
        and (zsock.born == plain or beside_kernel(zsock)) and not zsock.tx.shut
        and zmq_send(zsock.handle, start_of(args[0]), size_of(args[0]), ZMQ_DONTWAIT) >= 0
    ):
        zsock.asked = ASKED | SENT
        zsock.after()
        return new_reference(None)
    return usual_send(zsock, args, count, names)


cdef inline PyObject *quick_receive(
    PausingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names, Op op, Call_ usual
) except? NULL:
    cdef int size
    if count == 0 and (zsock.born == plain or beside_kernel(zsock)) and not zsock.rx.shut:
        if names == NULL:
            data = small_one(zsock.handle, &size)
            if data is None:
                return new_reference(receive_other(zsock, op, size, zsock._recv_timeout))
            zsock.after()
            return new_reference(single(data) if op == RECV else data)
        if is_now(names, args):
            return (<Now_> receive_now)(zsock, op)
    return usual(zsock, args, count, names)


cdef PyObject *quick_recv(
    PausingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    return (<Quick_> quick_receive)(zsock, args, count, names, RECV, usual_recv)


cdef PyObject *quick_recv_all(
    PausingSocket zsock, PyObject **args, Py_ssize_t count, PyObject *names
) except? NULL:
    return (<Quick_> quick_receive)(zsock, args, count, names, RECV_ALL, usual_recv_all)


cdef PyObject *receive_now(PausingSocket zsock, Op op) except? NULL:
    """Receive with a timeout of 0."""
    # When nothing was there, and no call since may have answered the bell, the bell tells all.
    if zsock.dry != zsock.touched or ratchet_readable(zsock.fd):
        result = zsock.get_part(None) if op == RECV else zsock.get_joined()
        zsock.after()
        if result is not NOT_NOW:
            return new_reference(result)
        zsock.dry = zsock.touched
    if zsock.nothing is None:
        zsock.nothing = zsock.timeout(zsock.rx, 0).args
    ratchet_raise(TIMEOUT, zsock.nothing)
    return NULL


usual_send = ratchet_quicken(PausingSocket, "send", <Call_> quick_send)
usual_recv = ratchet_quicken(PausingSocket, "recv", <Call_> quick_recv)
usual_recv_all = ratchet_quicken(PausingSocket, "recv_all", <Call_> quick_recv_all)
