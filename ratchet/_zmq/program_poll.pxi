# Layer 9. One wait for many with a mask for each, as poll(2) has it, on top of a Selection.

cdef int POLL_ERROR = 4  # ZMQ_POLLERR


cdef bint poll_once(list things, list masks, list events) except -1:
    """Fill in what each thing is ready for; return True if any is."""
    cdef Py_ssize_t i, count = len(things)
    cdef bint any = False
    cdef int ready
    cdef ratchet_pollfd few[FEW_ITEMS]
    cdef ratchet_pollfd *items = few
    if count > FEW_ITEMS:
        items = <ratchet_pollfd *> PyMem_Malloc(count * sizeof(ratchet_pollfd))
        if items == NULL:
            raise MemoryError("no memory to wait for so many things")
    try:
        for i in range(count):
            if isinstance(things[i], ProgramSocket):
                (<ProgramSocket> things[i]).require_alive("wait")
            fill_item(&items[i], things[i], masks[i])
        ratchet_poll(items, count)
        for i in range(count):
            if isinstance(things[i], SocketBase):
                ready = ready_of(&items[i], things[i], masks[i])
            else:
                ready = ratchet_item_ready(&items[i])
                ready = POLL_ERROR if ready < 0 else ready & (<int> masks[i] | POLL_ERROR)
            events[i] = ready
            any = any or ready
    finally:
        if items != few:
            PyMem_Free(items)
    return any


cdef list waited_for(list things, list masks, int direction):
    """Return what is waited for in one direction; for errors alone, as if for reading."""
    cdef Py_ssize_t i
    cdef int mask
    cdef list found = []
    for i in range(len(things)):
        mask = masks[i]
        if (mask if mask & (RX | TX) else RX) & direction:
            found.append(things[i])
    return found


def poll_many(list things not None, list masks not None, double seconds):
    """Wait for sockets and descriptors.

    Args:
        things: sockets of ratchet's, and descriptors (int); one may stand there more than once.
        masks: what each is waited for: of 1, to receive or read, and 2, to send or write.
        seconds: how long to wait; negative: for ever; 0: only look.

    Returns:
        list[int] | None: what each is ready for, 4 if it has failed; None: none of them is.
    """
    cdef double deadline
    cdef list events = [0] * len(things)
    breathe()
    if poll_once(things, masks, events):
        return events
    if seconds == 0:
        PyErr_CheckSignals()
        return None
    deadline = deadline_of(seconds)
    selection = selection_of(waited_for(things, masks, RX), waited_for(things, masks, TX))
    try:
        while True:
            found = selection.wait(deadline)
            if poll_once(things, masks, events):
                return events
            if not found and monotonic() >= deadline:
                return None
    finally:
        selection.close()
