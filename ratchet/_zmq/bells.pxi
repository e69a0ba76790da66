# Layer 1. The functions by which Python code of this package uses a bell.
#
# They are no methods: a socket is a Doorbell, and programs that use sockets have no use for them.
# `lines_of`, `must_look`, `run_by` and `OpenDoorbell` are for the tests of the rule.

def check(Doorbell bell not None, Waiter but=None):
    """Look, and wake the waiters that can go on now, except ``but``."""
    bell.ring(bell.look(), but)


def waiting_calls(Doorbell bell not None):
    """Return how many calls wait in both lines."""
    return bell.rx.count + bell.tx.count


def lines_of(Doorbell bell not None):
    """Return the two lines of a bell, for receiving and for sending."""
    return bell.rx, bell.tx


def join(Doorbell bell not None, bint write, Waiter waiter not None):
    """Queue up for sending (``write``) or for receiving."""
    bell.join(bell.tx if write else bell.rx, waiter)


def leave(Doorbell bell not None, Waiter waiter not None):
    """Give up or be done."""
    bell.leave(waiter)


def could_go_on(Doorbell bell not None, Waiter waiter not None):
    """Return True if ``waiter``, which stands in a line of ``bell``, could go on now."""
    return bell.could_go_on(waiter)


def must_look(Waiter waiter not None):
    """Return True if nobody may tell ``waiter`` that it can go on, so that it must look now and
    then."""
    return waiter.line is not None and waiter.line.depends(waiter)


def add_watcher(Doorbell bell not None, Runtime runtime not None):
    """Note that ``runtime`` watches the descriptor, so that it is told before that closes.

    Returns:
        bool: False: it does so already.
    """
    bell.watcher = runtime
    if bell.watchers is None:
        bell.watchers = set()
    if runtime in bell.watchers:
        return False
    bell.watchers.add(runtime)
    return True


def remove_watcher(Doorbell bell not None, Runtime runtime not None):
    """Note that ``runtime`` watches no more. Returns False if it did not."""
    if bell.watcher is runtime:
        bell.watcher = None
    if bell.watchers is None or runtime not in bell.watchers:
        return False
    bell.watchers.discard(runtime)
    return True


def watchers_of(Doorbell bell not None):
    """Return the runtimes that watch the descriptor."""
    return list(bell.watchers or ())


def run_by(Waiter waiter not None, Runtime runtime):
    """Make ``runtime`` the one that runs ``waiter``; None: an OS thread."""
    waiter.runtime = runtime


cdef class OpenDoorbell(Doorbell):
    """A doorbell whose readiness a subclass in Python tells: for tests of the rule."""

    cdef int look(self) noexcept:
        return self.events()

    def events(self):
        """Return what it is ready for; a look."""
        return 0

    def own(self, bint write, Caller caller):
        """Make ``caller`` the owner of a line; None: nobody."""
        self.set_owner(self.tx if write else self.rx, caller)

    def close(self):
        """Wake every waiter, as a socket does that closes."""
        self.wake_all()
