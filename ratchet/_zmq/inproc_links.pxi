# Layer 5. Which sockets are connected over inproc: libzmq does not tell, so a table does.
#
# It is as libzmq does it: who connects before the name is bound is connected when it is; who has
# lost the socket that was bound gets no other one; and unbinding leaves the connections that are
# there.

cdef dict inproc_bound = {}     # name -> weak reference to the socket
cdef dict inproc_pending = {}   # name -> list of weak references to those that wait for it
track_changes = WeakSet()  # what wants to know of changes: each has `changed()`


cdef int link_inproc(SocketBase bound, SocketBase other, str name) except -1:
    since = wall_clock()
    for one, two in ((bound, other), (other, bound)):
        (<SocketBase> one).inproc_links = [
            *((<SocketBase> one).inproc_links or ()), (name, weak_ref(two), one is other, since)]
    return 0


cdef int inproc_changed() except -1:
    for tracker in list(track_changes):
        tracker.changed()
    return 0


cdef int note_inproc(SocketBase zsock, EndpointCall which, str name) except -1:
    """Note what was done with a name."""
    cdef SocketBase other
    if zsock.home is not None:
        return 0  # in a context of the program's own, which has names of its own
    if which == BIND:
        inproc_bound[name] = weak_ref(zsock)
        for reference in inproc_pending.pop(name, ()):
            other = reference()
            if other is not None and other.handle != NULL:
                link_inproc(zsock, other, name)
    elif which == CONNECT:
        reference = inproc_bound.get(name)
        other = None if reference is None else reference()
        if other is not None and other.handle != NULL:
            link_inproc(other, zsock, name)
        else:
            inproc_pending.setdefault(name, []).append(weak_ref(zsock))
    elif which == UNBIND:
        inproc_bound.pop(name, None)
    else:
        unlink_inproc(zsock, name)
    return inproc_changed()


cdef int unlink_inproc(SocketBase zsock, str name) except -1:
    """Drop a socket's connections to ``name``; None: all that it has, at either end."""
    cdef SocketBase other
    links, left = zsock.inproc_links or [], []
    for link in links:
        if name is not None and not (link[2] and link[0] == name):
            left.append(link)
            continue
        other = link[1]()
        if other is not None and other.inproc_links:
            for mine in other.inproc_links:
                if mine[0] == link[0] and mine[1]() is zsock and mine[2] != link[2]:
                    other.inproc_links = [one for one in other.inproc_links if one is not mine]
                    break
    zsock.inproc_links = left
    for key in [name] if name is not None else list(inproc_pending):
        waiting = [ref for ref in inproc_pending.get(key, ()) if ref() not in (None, zsock)]
        if waiting:
            inproc_pending[key] = waiting
        else:
            inproc_pending.pop(key, None)
    return 0


cdef int leave_inproc(SocketBase zsock) except -1:
    """Forget a socket that is being closed."""
    cdef bint any = False
    if zsock.home is not None:
        return 0
    for how, name, _ in zsock.endpoints:
        if name.startswith("inproc://"):
            any = True
            reference = inproc_bound.get(name)
            if how == "bound to" and reference is not None and reference() is zsock:
                del inproc_bound[name]
    if any:
        unlink_inproc(zsock, None)
        inproc_changed()
    return 0


def inproc_links_of(SocketBase zsock not None):
    """Return its connections over inproc: tuples of name, the other socket, and since when."""
    found = []
    for name, reference, _, since in zsock.inproc_links or ():
        other = reference()
        if other is not None and (<SocketBase> other).handle != NULL:
            found.append((name, other, since))
    return found
