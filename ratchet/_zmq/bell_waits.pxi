# Layer 4. Waiting at a bell that rings for what Python has noted, and not for a descriptor.
#
# What is waited for is noted by whoever takes it in, in any OS thread, and that one wakes all that
# wait (`wake_all`). Each looks for itself, so callers may wait at one bell for different things.

def wait_at(Doorbell bell not None, look, double deadline):
    """Pause the calling thread, of whatever kind, until ``look()`` returns something.

    Args:
        look: returns None for not now.
        deadline: monotonic seconds.

    Returns:
        What it returned; None: nothing until ``deadline``.
    """
    cdef Waiter me
    breathe()
    found = look()
    if found is not None or monotonic() >= deadline:
        return found
    me = waiter_here()
    bell.join(bell.rx, me)
    try:
        while True:
            me.woken = False
            found = look()
            if found is not None or monotonic() >= deadline:
                return found
            me.pause(bell, deadline)
    finally:
        bell.leave(me)
