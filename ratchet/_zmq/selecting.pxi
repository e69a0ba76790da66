# Layer 9. What a select is given and what it returns; the one whose answer is there already.
#
# Such a select costs one poll(2), and a look at each socket that rang or was called meanwhile.

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
        f"sockets, descriptors and objects with get_fd() or fileno() can be waited for, not {thing!r}"
    )


def descriptor_for(thing):
    """Return the descriptor of a socket, of an object with ``get_fd()`` or ``fileno()``, or an int."""
    return descriptor_of(thing)


cdef list to_things(items, what):
    """List sockets and descriptors."""
    cdef list things = []
    if isinstance(items, SocketBase):  # iterating over it would receive
        raise TypeError(f"{what} is a list, as in [zsock], not {items!r}")
    for item in items:
        things.append(item if isinstance(item, SocketBase) else descriptor_of(item))
    return things


def ready_now(list things not None, list masks not None):
    """Return which directions of ``masks`` each socket or descriptor is ready for now."""
    cdef Py_ssize_t i, count = len(things)
    cdef list found = [0] * count
    cdef SocketBase zsock
    cdef int events, mask
    cdef ratchet_pollfd *items = <ratchet_pollfd *> PyMem_Malloc((count + 1) * sizeof(ratchet_pollfd))
    if items == NULL:
        raise MemoryError("no memory to wait for so many things")
    try:
        for i in range(count):
            mask = masks[i]
            thing = things[i]
            if isinstance(thing, SocketBase):
                zsock = <SocketBase> thing
                zsock.require("wait")
                ratchet_set_item(&items[i], zsock.fd, 1)
            else:
                ratchet_set_item(&items[i], thing, mask)
        ratchet_poll(items, count)
        for i in range(count):
            mask = masks[i]
            thing = things[i]
            events = ratchet_item_ready(&items[i])
            if isinstance(thing, SocketBase):
                zsock = <SocketBase> thing
                # Neither rung nor touched since the last look: what that told is still so.
                if events or zsock.touched != zsock.looked_at:
                    events = zsock.look()
                    if zsock.waiting:
                        zsock.ring(events, None)
                else:
                    events = zsock.events
                found[i] = events & mask
            elif events < 0:
                raise errors.Error(errno.EBADF, f"cannot wait for descriptor {thing}: it is not open")
            else:
                found[i] = (events & mask) or (mask if events else 0)
    finally:
        PyMem_Free(items)
    return found


def things_to_wait_for(reads, writes):
    """Return (things, masks) of the arguments of a select: sockets and descriptors."""
    cdef list things = to_things(reads, "reads")
    cdef Py_ssize_t readers = len(things)
    things += to_things(writes, "writes")
    return things, [RX] * readers + [TX] * (len(things) - readers)


def selection_of(list things not None, list masks not None):
    """Return a Selection of what `things_to_wait_for` gave."""
    cdef dict wanted = {}
    selection = Selection()
    try:
        for thing, mask in zip(things, masks):
            key = id(thing) if isinstance(thing, SocketBase) else ~thing
            before = wanted.get(key)
            wanted[key] = thing, mask | (0 if before is None else before[1])
        for thing, mask in wanted.values():
            if isinstance(thing, SocketBase):
                selection.add_socket(thing, mask)
            else:
                selection.add_descriptor(thing, mask)
    except BaseException:
        selection.close()
        raise
    return selection


def picked(dict found not None, list things not None, list masks not None):
    """Return which directions each thing is ready for, of what `Selection.harvest` found."""
    return [
        found.get(id(thing) if isinstance(thing, SocketBase) else ~thing, 0) & mask
        for thing, mask in zip(things, masks)
    ]
