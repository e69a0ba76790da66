# Layer 8. What a call runs first in a loop whose calls are checkpoints: trio's.
#
# A ready call asks only whether its task is cancelled. Asked here, and not by a function in Python,
# that takes a quarter of what it took (docs/decisions/029-trio.md).

@cython.final
cdef class Checkpoint:
    """The checkpoint at the start of each call.

    Args:
        context: what has the running task of this OS thread in ``task``, and its being cancelled in
            ``_cancel_status.effectively_cancelled``; None: it is always asked otherwise.
        otherwise: called with a bool where a checkpoint may be due, True: it is. Returns an
            iterator or a coroutine for the call to run; None: none is needed after all.
    """
    cdef object context, otherwise

    def __init__(self, context, otherwise not None):
        self.context, self.otherwise = context, otherwise

    cdef object due(self, bint turn):
        """Return what the call is to run, or None."""
        if not turn and self.context is not None:
            try:
                if self.context.task._cancel_status.effectively_cancelled is False:
                    return None
            except AttributeError:
                pass  # no task of this loop runs here, or it has other fields
        return self.otherwise(turn)

    def __call__(self, turn):
        """The same as `due`, for waits that are written in Python."""
        return self.due(turn)
