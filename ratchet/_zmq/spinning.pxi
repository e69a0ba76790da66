# Layer 2. Spinning before sleeping: when a reply is near, and when the GIL is hard to get back.

cdef struct ReplyTimes:  # of the last replies, for the one that waits for them
    bint late        # the last one took too long for spinning to win anything
    int count
    double slept     # seconds, a running mean of those slept for; 0: not known
    double spun      # the same of those spun for


cdef bint worth_spinning(ReplyTimes *times) noexcept:
    """Return True if spinning has been faster than sleeping by a tenth.

    Now and then the other way is taken, so that both means stay current.
    """
    cdef bint faster = times.spun < WORTH_SPINNING * times.slept
    if times.late or times.slept == 0 or spin == 0:
        return False
    times.count += 1
    return faster != (times.count % TRY_THE_OTHER == 0)


cdef void record_reply(ReplyTimes *times, bint spun, double seconds) noexcept:
    """Take the time of one reply into the mean of its kind."""
    cdef double *mean = &times.spun if spun else &times.slept
    times.late = seconds > 2 * spin
    if not times.late:
        mean[0] = seconds if mean[0] == 0 else mean[0] + (seconds - mean[0]) / MEAN_OF


cdef struct Reply:  # that one call waits for in a loop, which has other things to do
    double began_at  # when the wait began; 0: it is not measured
    bint spun        # the call spins for it, or has


cdef void expect_reply(Reply *reply, ReplyTimes *times) noexcept:
    """Begin to wait for a reply: decide whether to spin."""
    reply.began_at = monotonic()
    reply.spun = worth_spinning(times)


cdef bint spin_for(Reply *reply, Py_ssize_t others, Py_ssize_t fd, double until) noexcept:
    """Spin, if that was decided, until something rings. Returns True if it is ``fd``.

    Args:
        others: readable if anything else is that the loop watches; -1: nothing else ends the spin.
        fd: the descriptor that tells of the reply.
        until: when to end it in any case (monotonic seconds).
    """
    cdef double seconds = min(reply.began_at + spin, until) - monotonic()
    cdef int found
    if not reply.spun or seconds <= 0 or fd < 0:
        return False
    with nogil:
        found = ratchet_spin(others, -1, fd, seconds)
    return found > 0 and (found & 4) != 0


cdef void note_reply(Reply *reply, ReplyTimes *times) noexcept:
    """End to wait for a reply: learn from how long it took."""
    if reply.began_at != 0:
        record_reply(times, reply.spun, monotonic() - reply.began_at)
        reply.began_at = 0


# Beside a thread that never releases the GIL, a thread that does so gets it back only when Python
# forces the other one, 5 ms later. So after a slow return of the GIL the next pauses spin first
# with the GIL held, for `spin` seconds but no longer than such a thread would keep it, and release
# the GIL if nothing comes (docs/decisions/019-hand-over.md).

cdef struct GilCost:
    bint slow        # getting the GIL back took long the last time
    unsigned int found
    int missed, skip


cdef bint worth_keeping(GilCost *gil) noexcept:
    """Return True if the next pause should spin before it releases the GIL."""
    if not gil.slow or spin == 0:
        return False
    if gil.skip > 0:
        gil.skip -= 1
        return False
    return True


cdef void record_kept(GilCost *gil, bint found) noexcept:
    """Record the result of a spin with the GIL held.

    Failures back off exponentially; after CHECK_GIL_EVERY hits the GIL is released once, to measure
    again.
    """
    if found:
        gil.missed = 0
        gil.found += 1
        gil.skip = gil.found % CHECK_GIL_EVERY == 0
    else:
        gil.missed = min(gil.missed + 1, LONGEST_BACKOFF)
        gil.skip = (1 << gil.missed) - 1
