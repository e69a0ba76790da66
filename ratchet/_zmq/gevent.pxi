# Layer 3. How a greenlet of gevent's pauses: it switches to gevent's hub, which runs the others.
#
# Every message for which a greenlet has waited passes through here. All else, the descriptors and
# the deadlines, is in `_gevent.py`, which is imported only where gevent is.
#
# Each OS thread may have a hub of its own. A wake-up puts a waiter into a queue of its hub's, whose
# greenlets the hub runs in one callback. It does not matter who else switches to a paused greenlet,
# or raises in it, as `kill` and `gevent.Timeout` do: a waiter that is in the queue and does not
# pause any more is left out.
#
# Whether a hub runs cannot be read from it: the greenlet that it has switched to may never come
# back. So a hub that somebody depends on is asked, and one that has not answered in time counts as
# stopped, until it does (docs/decisions/033-gevent.md).

cdef str CALLER_NAME = intern("_ratchet_caller")  # of a greenlet's attribute


cdef class GreenletCaller(Caller):
    """One greenlet of gevent's, or of its programs'."""
    cdef object glet          # weak reference
    cdef GreenletWaiter spare

    def __init__(self, GeventBase runtime not None, glet):
        self.runtime = runtime
        self.glet = weak_ref(glet)
        link = getattr(glet, "rawlink", None)
        if link is None:
            self.silent = True  # a raw greenlet
        else:
            link(self.over)

    def over(self, _):
        """Note that the greenlet has ended."""
        self.end()

    cdef void finish(self) noexcept:
        spare, self.spare = self.spare, None
        if spare is not None and (<GreenletWaiter> spare).timer is not None:
            (<GeventBase> self.runtime).drop(spare)
        Caller.finish(self)

    cdef bint gone(self) except -1:
        if Caller.gone(self):
            return True
        glet = self.glet()
        return glet is None or glet.dead

    cdef bint stopped(self) except -1:
        return self.gone() or Caller.stopped(self)


cdef class GreenletEnd:
    """Lives in a greenlet's own dictionary, so that it dies with the greenlet and says so."""
    cdef GreenletCaller caller

    def __dealloc__(self):
        if self.caller is not None and not self.caller.ended:
            self.caller.finish()


cdef class GreenletWaiter(Waiter):
    """A paused greenlet."""
    cdef GeventBase home        # its runtime
    cdef object glet            # while it pauses
    cdef bint scheduled         # it stands in the queue
    cdef public object timer    # its `Deadline`, if it has one

    def __init__(self, GreenletCaller caller not None):
        self.caller = caller
        self.runtime = self.home = <GeventBase> caller.runtime

    cpdef wake(self):
        if self.home.lost():
            raise RuntimeGone
        self.home.resume(self)

    def time_up(self):
        """Let it go on because its time is up."""
        self.home.resume(self)

    cpdef pause(self, Bell bell, double until):
        self.home.suspend(self, bell, until)


cdef class GeventBase(Runtime):
    """One hub of gevent's. `_gevent.py` has the subclass."""
    cdef readonly object hub, loop
    cdef object switch          # to the hub
    cdef public object keeper   # a watcher that keeps the loop running while greenlets pause here
    cdef object ready           # deque of waiters
    cdef bint posted            # the loop will call `run_ready`, or is in it
    cdef readonly Py_ssize_t pausing    # how many greenlets pause here
    cdef public bint ticking    # the loop wakes up now and then, so that signals are heard
    cdef unsigned long ident    # of its OS thread
    cdef public bint over       # its OS thread has ended
    cdef double asked_at        # when it was asked whether it runs; 0: it has said so since
    cdef double ran_at

    def __init__(self, hub):
        self.hub, self.loop, self.switch = hub, hub.loop, hub.switch
        self.ready = deque()
        self.ident = PyThread_get_thread_ident()
        self.budget = BURST

    cdef bint lost(self) except -1:
        """Return True if its hub never runs again: it was destroyed, or its OS thread has ended."""
        return self.over or self.hub.loop is None

    cdef bint ended(self) except -1:
        return self.lost()

    cdef bint stopped(self) except -1:
        if self.lost():
            return True
        if ratchet_runtime_here == <void *> self and not event_loop_runs_here():
            return False  # whoever asks lets it run
        return self.is_silent()

    cdef bint is_silent(self) except -1:
        """Ask the hub whether it runs, and return True if it has not answered in time."""
        cdef double now = monotonic()
        if self.asked_at:
            return now - self.asked_at > HUB_ANSWERS
        if now - self.ran_at > ASK_HUB_EVERY:
            self.ask(now)
        return False

    cdef int ask(self, double now) except -1:
        self.asked_at = now
        try:
            self.post()
        except RuntimeGone:
            pass
        return 0

    def is_here(self):
        """Return True if its OS thread is the one that asks."""
        return self.ident == PyThread_get_thread_ident()

    cdef Caller caller(self):
        cdef GreenletEnd end
        if self.lost():
            if ratchet_runtime_here == <void *> self:
                put_runtime(None)
            return None
        glet = getcurrent()
        end = (<dict?> glet.__dict__).get(CALLER_NAME)
        if end is None or end.caller.runtime is not self or end.caller.ended:
            end = GreenletEnd()
            end.caller = GreenletCaller(self, glet)
            (<dict> glet.__dict__)[CALLER_NAME] = end
        return end.caller

    cdef Waiter waiter(self, Caller me):
        cdef GreenletCaller caller = <GreenletCaller> me
        cdef GreenletWaiter waiter = caller.spare
        if waiter is None:
            waiter = caller.spare = GreenletWaiter(caller)
        elif waiter.line is not None:  # a finalizer or a signal handler, in the middle of a call
            waiter = GreenletWaiter(caller)
            waiter.nested = True
        return waiter

    cdef int let_others_run(self) except -1:
        self.budget = BURST
        if self.lost():
            put_runtime(None)
        elif getcurrent() is not self.hub:
            self.yield_to_others()
        return 0

    cdef int suspend(self, GreenletWaiter waiter, Bell bell, double until) except -1:
        """Pause the running greenlet until it is resumed, or until that time."""
        if getcurrent() is self.hub:
            raise errors.StateError(
                errno.EDEADLK,
                "a call that has to wait was made in gevent's hub, which cannot pause; make it in "
                "a greenlet (gevent.spawn), or with timeout=0",
            )
        if waiter.woken:
            return 0
        if bell.watcher is not self:
            self.watch(bell)
        if until != INFINITY:
            self.set_deadline(waiter, until)
        if waiter.woken:
            return 0
        try:
            self.switch_away(waiter)
        finally:
            if until != INFINITY and waiter.timer is not None:
                waiter.timer.wanted = INFINITY
        return 0

    cdef int switch_away(self, GreenletWaiter waiter) except -1:
        """Switch to the hub until the waiter is resumed."""
        waiter.glet = getcurrent()
        self.pausing += 1
        if self.pausing == 1:
            self.keeper.ref = True
            if not self.ticking and self.ident == main_ident:
                self.tick(SIGNAL_SLICE_MS * 0.001)
        try:
            ratchet_before_switch()
            self.switch()
        finally:
            waiter.glet = None
            self.pausing -= 1
            self.keeper.ref = self.pausing > 0
        return 0

    cdef int resume(self, GreenletWaiter waiter) except -1:
        """Let a greenlet go on, if it pauses. From any OS thread."""
        if waiter.glet is not None and not waiter.scheduled:
            self.ready.append(waiter)
            waiter.scheduled = True
            self.post()
        return 0

    cdef int post(self) except -1:
        """Have the loop call `run_ready`. From any OS thread."""
        cdef bint here = self.ident == PyThread_get_thread_ident()
        if self.lost():
            raise RuntimeGone
        if not here and self.asked_at == 0:
            self.asked_at = monotonic()  # a wake-up is a question, too
        if not self.posted:
            self.posted = True
            try:
                if here:
                    self.loop.run_callback(self.run_ready)
                else:
                    self.loop.run_callback_threadsafe(self.run_ready)
            except BaseException:
                self.posted = False
                raise
        return 0

    def run_ready(self):
        """Run each greenlet that is ready now. In the hub."""
        cdef Py_ssize_t left = len(self.ready)
        cdef GreenletWaiter waiter
        self.posted = True
        self.answer()
        try:
            while left > 0 and self.ready:
                left -= 1
                waiter = self.ready.popleft()
                waiter.scheduled = False
                glet, waiter = waiter.glet, None
                if glet is not None:
                    self.enter(glet)
        finally:
            self.posted = False
            if self.ready and not self.lost():
                self.post()

    cdef int enter(self, glet) except -1:
        self.budget = BURST
        try:
            ratchet_before_switch()
            glet.switch()
        except BaseException as error:  # of a raw greenlet, or of the hub's own end
            self.hub.handle_error(glet, type(error), error, error.__traceback__)
        self.answer()
        return 0

    cdef void answer(self) noexcept:
        """Note that the hub runs."""
        self.asked_at = 0
        self.ran_at = monotonic()

    def rang(self, reference):
        """Look at a bell that the loop has found readable, and run who can go on. In the hub."""
        cdef Doorbell bell = reference()
        self.posted = True
        if bell is not None:
            bell.ring(bell.look(), None)
        self.run_ready()

    def resume_all(self, Doorbell bell not None):
        """Let every greenlet of this hub go on that waits for ``bell``."""
        cdef Line line
        cdef Waiter waiter
        for line in (bell.rx, bell.tx):
            waiter = line.first
            while waiter is not None:
                if waiter.runtime is self:
                    self.resume(<GreenletWaiter> waiter)
                waiter = waiter.behind

    # What `_gevent.py` supplies.

    def set_deadline(self, waiter, double until):
        """Resume ``waiter`` at ``until``, if it still wants that."""
        raise NotImplementedError

    def drop(self, waiter):
        """Forget the deadline of a waiter that waits no more."""
        raise NotImplementedError

    def tick(self, seconds):
        """Have the loop wake up every so many seconds as long as greenlets pause here.

        A signal may be given to another OS thread, or come just before the loop sleeps.
        """
        raise NotImplementedError

    def yield_to_others(self):
        """Let every other greenlet run that can."""
        raise NotImplementedError

    def left(self):
        """The OS thread ends: watch nothing any more, and have others told."""
        raise NotImplementedError


cdef class GeventEnd:
    """Lives in the OS thread's own dictionary, so that it dies with the thread and says so."""
    cdef GeventBase runtime

    def __dealloc__(self):
        if self.runtime is None:
            return
        self.runtime.over = True
        if ratchet_runtime_here == <void *> self.runtime:
            put_runtime(None)
        if exiting:
            return  # of a main thread that ends, there is little of Python left
        try:
            self.runtime.left()
        except BaseException as error:
            report(error, self.runtime)


def has_gevents_hub():
    """Return True if gevent's hub runs in this OS thread."""
    return gevent_runtime() is not None


cdef object hub_if_exists = None  # gevent's function: the hub of this OS thread, or None
cdef object new_gevent = None     # makes its runtime


def find_gevents_hubs(if_exists, make):
    """Have gevent's hubs found.

    Args:
        if_exists: returns the hub of this OS thread, or None.
        make: returns the runtime of a hub.
    """
    global hub_if_exists, new_gevent
    hub_if_exists, new_gevent = if_exists, make
    use_gevent(gevent_of_thread)


def gevent_of_thread():
    """Return the runtime of gevent's hub in this OS thread; None: there is no hub.

    Where no kernel runs, it becomes the runtime of the OS thread.
    """
    cdef GeventEnd end
    hub = hub_if_exists()
    if hub is None or hub.loop is None:
        return None
    local = <object> PyThreadState_GetDict()
    end = local.get(GeventEnd)
    if end is None or end.runtime.hub is not hub:
        end = GeventEnd()
        end.runtime = new_gevent(hub)
        local[GeventEnd] = end
    if ratchet_runtime_here == NULL:
        put_runtime(end.runtime)
    return end.runtime
