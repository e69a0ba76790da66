# Waiting for many sockets and descriptors at once.

def zmq_poll(sockets, int timeout=-1):
    """Wait for sockets and descriptors.

    Args:
        sockets: pairs of a socket, a descriptor or an object with ``fileno()``, and flags, of
            POLLIN, POLLOUT and POLLERR.
        timeout: milliseconds; negative: for ever.

    Returns:
        list of pairs: what is ready, a descriptor in place of an object that is no socket of
        pyzmq's, and for which flags.
    """
    cdef list things = [], masks = [], names = []
    cdef bint any_given = False
    cdef Py_ssize_t i
    for thing, flags in sockets:
        any_given = True
        if isinstance(thing, Socket):
            (<Socket> thing).require()
            things.append((<Socket> thing).core)
            names.append(thing)
        else:
            thing = descriptor_of(thing)
            if thing < 0:
                continue  # nothing ever comes there, as in poll(2): of a file that is closed
            things.append(thing)
            names.append(thing)
        masks.append(int(flags))
    if not any_given:
        return []
    try:
        events = core.poll_many(things, masks, timeout * 0.001 if timeout >= 0 else -1.0)
    except CoreError as error:
        raise translated(error) from error
    if events is None:
        return []
    found = []
    for i in range(len(names)):
        if events[i]:
            found.append((names[i], events[i]))
    return found


cdef object descriptor_of(thing):
    if isinstance(thing, int):
        return thing
    if hasattr(thing, "fileno"):
        try:
            return int(thing.fileno())
        except Exception:
            raise ValueError("fileno() must return a valid integer fd") from None
    raise TypeError(
        f"Socket must be a 0MQ socket, an integer fd or have a fileno() method: {thing!r}"
    )
