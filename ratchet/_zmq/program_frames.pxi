# Layer 9. Frames that a program makes itself, copies, and sends again.

cdef Frame frame_of_loan(object data, Tracker tracker):
    """Return a frame that shares the memory of ``data`` until the tracker is done."""
    cdef Frame frame = Frame()
    loan = Loan(data, tracker)
    try:
        ratchet_collect()
        lend(&frame.msg, loan)
    finally:
        clear_pending(loan)
    return frame


def new_frame(data, Tracker tracker=None):
    """Make a frame.

    Args:
        data: an object with a C-contiguous buffer; None: the frame is empty.
        tracker: shares the memory, and tells when it is no longer needed; None: it is copied.
    """
    cdef Py_buffer view
    cdef Frame frame
    if data is None:
        return Frame()
    if tracker is not None:
        return frame_of_loan(data, tracker)
    frame = Frame()
    get_view(data, &view)
    try:
        copy_in(&frame.msg, <const char *> view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return frame


def copy_frame(Frame frame not None):
    """Return a second frame of the same message; what is large is shared, not copied."""
    cdef Frame copy = Frame()
    zmq_msg_copy(&copy.msg, &frame.msg)
    copy.more = frame.more
    return copy


def frame_property(Frame frame not None, name):
    """Return a property of a message: an int by its number, a str by its name (zmq_msg_get(3))."""
    cdef const char *found
    cdef int value
    if isinstance(name, int):
        value = zmq_msg_get(&frame.msg, name)
        if value < 0:
            raise from_errno(zmq_errno(), f"cannot read message property {name}")
        return value
    data = name if isinstance(name, bytes) else name.encode()
    found = zmq_msg_gets(&frame.msg, <bytes> data)
    if found == NULL:
        raise from_errno(zmq_errno(), f"the message has no property {name!r}")
    return found.decode("utf-8", "replace")
