# Layer 6. Half messages of callers that do not run, set aside until they come back.
#
# Between two calls libzmq is at a message boundary, so others may send and receive whole messages
# meanwhile. To drop the half would tear the message, to keep the line would starve everybody
# (docs/decisions/023-stopped-runtimes.md).

cdef int make_way(SocketBase zsock, Line line, Caller me) except -1:
    """Let ``me`` (None: not known) go on, past the half message of a caller that cannot."""
    cdef Caller owner = line.owner
    if owner is not None and owner is not me:
        if owner.gone():
            zsock.abandon(line)  # nobody can finish it
        elif owner.stopped():
            set_aside(zsock, line, owner)
    if line.aside is not None:
        take_back(zsock, line, me)
    return 0


cdef int set_aside(SocketBase zsock, Line line, Caller owner) except -1:
    """Keep the half message of ``owner`` until it comes back, and release the line."""
    parts = zsock.held if line is zsock.tx else zsock.parts
    if parts is not None:  # a request owns its line without any
        if line.aside is None:
            line.aside = {}
        line.aside[owner] = parts
    zsock.abandon(line)
    return 0


cdef int take_back(SocketBase zsock, Line line, Caller me) except -1:
    """Let ``me`` go on with its half message that was set aside, if nobody owns the line."""
    cdef Caller caller
    for caller in list(line.aside):
        if caller.ended or caller is not me and caller.gone():
            line.aside.pop(caller, None)
    if line.owner is None and me is not None and me in line.aside:
        zsock.set_owner(line, me)
        parts = line.aside.pop(me)
        if line is zsock.tx:
            zsock.held = parts
        else:
            zsock.parts = parts
    if line.aside is not None and not line.aside:
        line.aside = None
        line.update()
    return 0
