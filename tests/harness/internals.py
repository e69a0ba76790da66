"""All that tests read of ratchet's inside is read here: what changes there changes here alone."""

import gc
import threading

from ratchet import _descriptors, _platform, _threads, _zmq, kernel
from ratchet._deadlines import Deadlines

# The calls that pause, of a socket of either kind: those that move messages, and those that wait.
CALLS = _zmq.calls_that_pause()
PAUSING = (*CALLS, "wait_peers", "wait_subscribers")

KERNEL_FILES = {kernel.__file__, _threads.__file__}
RING = kernel.Kernel.ring_deadlines

# Sockets, trackers


def bell_of(zsock):
    """The socket of ratchet's, also of the harness's own."""
    return getattr(zsock, "zsock", zsock)


def paused_calls(bell):
    """How many calls are paused in a socket, or wait for a tracker."""
    return _zmq.waiting_calls(bell_of(bell))


def paused_sends(zsock):
    """How many of them are sends."""
    return _zmq.lines_of(bell_of(zsock))[1].count


def half_sent(zsock):
    """Is somebody in the middle of sending a message?"""
    return _zmq.lines_of(bell_of(zsock))[1].owner is not None


def shut(zsock):
    """Do (receives, sends) have to take the slow path, as somebody waits or is in mid-message?"""
    return tuple(line.contended for line in _zmq.lines_of(bell_of(zsock)))


def given_up():
    """Places that sockets of this process listened at until lately, and when they gave them up."""
    return _zmq.given_up


def use_sleep(monkeypatch, sleep):
    """How `bind` waits for a place that was given up just now."""
    monkeypatch.setattr(_zmq, "sleep", sleep)


def open_sockets():
    """Those of this process."""
    return set(_zmq.open_sockets)


def quick_calls():
    """Names of the methods whose arguments are read in C where they are what most programs give."""
    return set(_zmq.quick_calls)


def deadline(seconds):
    """When so many seconds from now are over, as the core reads the clock."""
    return _zmq.to_deadline(seconds)


def counts():
    """What a build with RATCHET_DEBUG=1 has counted; None in others."""
    return _zmq.counts()


class OpenBell(_zmq.OpenDoorbell):
    """A doorbell whose lines a test can reach."""

    @property
    def rx(self):
        return _zmq.lines_of(self)[0]

    @property
    def tx(self):
        return _zmq.lines_of(self)[1]

    @property
    def waiting(self):
        return _zmq.waiting_calls(self)

    def join(self, line, waiter):
        _zmq.join(self, line is self.tx, waiter)

    def leave(self, waiter):
        _zmq.leave(self, waiter)

    def answer(self, but=None):
        _zmq.check(self, but)

    def own(self, line, caller):
        super().own(line is self.tx, caller)

    def must_look(self, waiter):
        return _zmq.must_look(waiter)

    def wake_all(self):
        self.close()


class FakeRuntime(_zmq.AwaitedRuntime):
    """A runtime that is stopped or has ended when a test says so."""

    def __init__(self, stopped=lambda: False, ended=lambda: False):
        self.is_stopped, self.has_ended = stopped, ended


class Next(_zmq.Waiter):
    """First in line for a receive: calls ``then`` when it is woken, before who wakes it goes on."""

    def __init__(self, zsock, then):
        super().__init__(_zmq.Caller())
        self.zsock, self.then, self.got = zsock, then, None
        _zmq.join(zsock, False, self)

    def wake(self):
        _zmq.leave(self.zsock, self)
        self.got = self.then()


# Monitors


def keep(monitor, events):
    """How many events it keeps while nobody reads it."""
    monitor._kept = events


def lost(monitor):
    """How many it has lost that nobody has been told of."""
    return monitor._lost


def peers_of(zsock):
    """What calls that wait for peers and subscribers are paused at."""
    return bell_of(zsock)._peers


# Ratchets, their threads and polls


def asleep(ratchet):
    """Does the loop sleep?"""
    return ratchet._kernel.asleep


def threads_of(ratchet):
    """Those that have not ended."""
    return ratchet._kernel.threads


def first_thread(ratchet):
    """The one that runs the entry."""
    return ratchet._first


def paused_on(thread):
    """What a ratchet thread is paused on, or None."""
    return thread.paused_on


def parked(thread):
    """Is it paused in `pause`?"""
    return thread.parked


def joiners(thread):
    """Who waits for the end of a thread."""
    return thread.joiners


def insides(ratchet):
    """What a Ratchet hands out, which lives longer than it if a thread refers to it."""
    return ratchet._kernel


def signal_fd(ratchet):
    """The descriptor that signals are written into."""
    return ratchet._kernel.write_fd


def before_sleep(ratchet, function):
    """Have a function called once, between the loop's last look and its sleep."""
    inside = ratchet._kernel
    wait = inside.poll_wait

    def first(seconds):
        inside.poll_wait = wait
        function()
        return wait(seconds)

    inside.poll_wait = first


def use_poll(monkeypatch, poll):
    """The poll of kernels made from now on."""
    monkeypatch.setattr(_descriptors, "new_poll", poll)


def around_ring(monkeypatch, around):
    """Call ``around(real)`` where a kernel rings deadlines."""
    ring = "ring_deadlines"
    monkeypatch.setattr(kernel.Kernel, ring, lambda self: around(lambda: RING(self)))


def around_registering(monkeypatch, around):
    """Wrap the call that has a kernel's epoll watch a descriptor."""
    monkeypatch.setattr(_platform.Epoll, "watch_edge", around(_platform.Epoll.watch_edge))


def around_wakeup(monkeypatch, make):
    """Make the class of wake-up descriptors anew: `make(class)`."""
    monkeypatch.setattr(_zmq, "Wakeup", make(_zmq.Wakeup))


# asyncio, trio


def read_of_trio(monkeypatch, context):
    """What sockets of trio's made from now on read of trio: None, nothing."""
    import ratchet.trio

    check = _zmq.Checkpoint(context, ratchet.trio._checkpoint)
    monkeypatch.setattr(ratchet.trio.ZMQSocket, "_checkpoint", check)


def looper_class():
    """What ratchet has in each event loop."""
    import ratchet.asyncio

    return ratchet.asyncio.AsyncioRuntime


def answer(zsock):
    """Look, as a call on the socket may, and wake those that can go on."""
    _zmq.check(bell_of(zsock))


def watched_by(loop):
    """The descriptors of the sockets that an event loop watches."""
    import ratchet.asyncio

    runtime = ratchet.asyncio._runtimes.get(loop)
    return set() if runtime is None else set(runtime._bells)


def use_watching_poll(monkeypatch, poll):
    """The poll of the OS thread that watches for loops, the next time that it starts."""
    from ratchet import _watching

    monkeypatch.setattr(_watching, "new_poll", poll)


def around_watching_turn(monkeypatch, around):
    """Call ``around(real)`` for each turn of the OS thread that watches for loops."""
    from ratchet import _watching

    turn = _watching.Watcher._turn
    monkeypatch.setattr(_watching.Watcher, "_turn", lambda *args: around(lambda: turn(*args)))


def watching_threads():
    """The OS threads that watch for loops: one, or none."""
    return [one for one in threading.enumerate() if one.name == "ratchet watches for event loops"]


def forget_given_up():
    """Forget the places that sockets of this process listened at until lately."""
    _zmq.given_up.clear()


def sweep_deadlines():
    """Sweep out the deadlines that are over; each kernel and loop keeps about 100."""
    for one in gc.get_objects():
        if type(one) is Deadlines:
            one._sweep()
