# Layer 8. The arguments and results of a select, and the select whose answer is there already.
#
# The latter costs one poll(2), and a look at each socket that rang or was called meanwhile.

cdef Py_ssize_t descriptor_of(thing) except -1:
    """Return the descriptor of anything that has one."""
    for name in ("get_fd", "fileno"):
        get = getattr(thing, name, None)
        if callable(get):
            fd = get()
            if not isinstance(fd, int) or fd < 0:
                raise errors.argument_error(f"{thing!r} has no descriptor, perhaps it is closed")
            return fd
    if isinstance(thing, int) and not isinstance(thing, bool) and thing >= 0:
        return thing
    raise TypeError(
        "sockets, descriptors and objects with get_fd() or fileno() can be waited for, not "
        f"{thing!r}"
    )


def descriptor_for(thing):
    """Return the descriptor of a socket, of an object that has one, or an int as it is."""
    return descriptor_of(thing)


cdef int fill_item(ratchet_pollfd *item, thing, int mask) except -1:
    """Make an item of poll(2) of a socket, a descriptor, or what has one."""
    if isinstance(thing, SocketBase):
        (<SocketBase> thing).require("wait")
        ratchet_set_item(item, (<SocketBase> thing).fd, RX)
    else:
        ratchet_set_item(item, descriptor_of(thing), mask)
    return 0


cdef int ready_of(ratchet_pollfd *item, thing, int mask) except -1:
    """Return which directions of ``mask`` a thing is ready for, as poll(2) has told."""
    cdef SocketBase zsock
    cdef int events = ratchet_item_ready(item)
    if isinstance(thing, SocketBase):
        zsock = <SocketBase> thing
        # Neither rung nor touched since the last look: what that told is still so.
        if events or zsock.touched != zsock.looked_at:
            return zsock.check() & mask
        return zsock.events & mask
    if events < 0:
        raise errors.Error(errno.EBADF, f"cannot wait for {thing!r}: its descriptor is not open")
    return (events & mask) or (mask if events else 0)


def ready_now(list reads not None, list writes not None):
    """Return those of ``reads`` and ``writes`` that are ready now: two lists, or None."""
    cdef Py_ssize_t i, readers = len(reads), count = readers + len(writes)
    cdef list readable = [], writable = []
    cdef ratchet_pollfd few[FEW_ITEMS]
    cdef ratchet_pollfd *items = few
    if count > FEW_ITEMS:
        items = <ratchet_pollfd *> PyMem_Malloc(count * sizeof(ratchet_pollfd))
        if items == NULL:
            raise MemoryError("no memory to wait for so many things")
    try:
        for i in range(readers):
            fill_item(&items[i], reads[i], RX)
        for i in range(readers, count):
            fill_item(&items[i], writes[i - readers], TX)
        ratchet_poll(items, count)
        for i in range(readers):
            if ready_of(&items[i], reads[i], RX):
                readable.append(reads[i])
        for i in range(readers, count):
            if ready_of(&items[i], writes[i - readers], TX):
                writable.append(writes[i - readers])
    finally:
        if items != few:
            PyMem_Free(items)
    return (readable, writable) if readable or writable else None


def selection_of(list reads not None, list writes not None):
    """Return a Selection of all these; each may stand in both lists, and more than once."""
    cdef dict wanted = {}
    selection = Selection()
    try:
        for things, mask in ((reads, RX), (writes, TX)):
            for thing in things:
                name = name_of(thing)
                before = wanted.get(name)
                wanted[name] = thing, mask | (0 if before is None else before[1])
        for name, (thing, mask) in wanted.items():
            if isinstance(thing, SocketBase):
                selection.add_socket(thing, mask)
            else:
                selection.add_descriptor(~name, mask)
                if isinstance(thing, (Tracker, EventReader)):
                    selection.add_tracker(thing)
    except BaseException:
        selection.close()
        raise
    return selection


cdef object name_of(thing):
    """Return what a Selection calls a thing: a socket's id, or the descriptor's complement."""
    return id(thing) if isinstance(thing, SocketBase) else ~descriptor_of(thing)


def picked(dict found not None, list reads not None, list writes not None):
    """Return those of ``reads`` and of ``writes`` that a Selection has found ready: two lists."""
    readable, writable = [], []
    for thing in reads:
        if found.get(name_of(thing), 0) & RX:
            readable.append(thing)
    for thing in writes:
        if found.get(name_of(thing), 0) & TX:
            writable.append(thing)
    return readable, writable
