# Layer 6. The operations: one row for each call that may have to wait.
#
# An operation's row stands beside its C function, in one of the next files. Its method, with
# docstring, stands in `calls.pxi`, once for all kinds of threads; all else follows from the two.

ctypedef object (*Attempt)(SocketBase zsock, object arg, Caller me)

cdef struct Operation:
    const char *name   # of the method
    bint sends         # the other ones receive
    bint partial       # its caller may be in the middle of a message afterwards
    Attempt attempt    # do it now, or return NOT_NOW; the caller has the turn

cdef list operation_names = []


cdef Operation operation(const char *name, bint sends, bint partial, Attempt attempt):
    """Make the row of one operation."""
    cdef Operation row
    row.name, row.sends, row.partial, row.attempt = name, sends, partial, attempt
    operation_names.append(name.decode())
    return row


cdef inline Line line_of(SocketBase zsock, const Operation *op):
    return zsock.tx if op.sends else zsock.rx


def calls_that_pause():
    """Return the names of the methods that may pause their caller."""
    return tuple(dict.fromkeys(operation_names))
