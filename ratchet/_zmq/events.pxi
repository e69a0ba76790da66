# Layer 4. What libzmq tells of a socket's connections, taken in for any number of readers.
#
# libzmq has one monitor a socket and sends its events to an inproc PAIR (zmq_socket_monitor(3)). It
# sends them in its I/O threads, which wait while that PAIR is full: then no connection of any
# socket there is made or lost, and with a GIL held on the other side, nothing ever goes on again.
# So the PAIR that connects here has no high-water mark, and is emptied in time: by readers when
# they look, and by one OS thread for the whole process, which sleeps until an event comes. What
# nobody reads is kept by each reader, up to a limit (docs/decisions/035-monitor.md).
#
# The PAIR is there as long as somebody reads. It goes before its socket does: a monitor that stops
# sends one last event, and without a PAIR libzmq's reaper would wait for ever to get rid of it.

cdef extern from "Python.h" nogil:
    unsigned long start_c_thread "PyThread_start_new_thread"(
        void (*run)(void *) noexcept, void *arg) noexcept

cdef FeedThread feed_thread = None  # there is one while there is a feed
cdef uint64_t feeds_made = 0        # of all time, for the names of their endpoints


cdef class FeedThread:
    """The OS thread that takes in events of all sockets; one of C's, so that no patch of
    `threading` makes it anything else."""
    cdef object poll     # over the PAIRs' descriptors
    cdef object wakeup   # rings when it is to end
    cdef dict feeds      # descriptor -> Feed
    cdef dict bells      # descriptor -> Doorbell, of sockets for whose callers it looks
    cdef unsigned int born
    cdef bint started

    def __init__(self):
        self.feeds, self.bells = {}, {}
        self.born = generation
        self.wakeup = new_wakeup()
        try:
            self.poll = new_poll()
            self.poll.watch(self.wakeup.fileno(), True, False)
        except OSError as error:
            raise from_errno(error.errno, "cannot monitor a socket") from None
        pin(self.poll)  # in a forked child for good: its destructor would close by number

    cdef int run(self) except -1:
        """Take in what comes, until no feed is left."""
        if hasattr(signal, "pthread_sigmask"):  # signals are for the program's threads
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self.feeds and self.born == generation:
            try:
                for fd, _ in self.poll.wait(None if self.poll.fileno() >= 0 else NO_POLL_SLICE):
                    feed = self.feeds.get(fd)
                    if feed is not None:
                        (<Feed> feed).take_in()
                    bell = self.bells.get(fd)
                    if bell is not None:
                        (<Doorbell> bell).check_lines()
            except Exception as error:
                report(error, self)
        return 0

    cdef int close(self) except -1:
        if self.born == generation:
            self.poll.close()
            unpin(self.poll)
            self.wakeup = None
        return 0

    cdef int add(self, Feed feed) except -1:
        self.feeds[feed.fd] = feed  # first: without a feed the thread ends
        try:
            self.poll.watch(feed.fd, True, False)
        except OSError as error:
            raise from_errno(error.errno, "cannot monitor a socket") from None
        if not self.started:
            self.started = True
            Py_INCREF(self)  # the thread's
            if start_c_thread(run_feed_thread, <void *> self) == <unsigned long> -1:
                Py_DECREF(self)
                self.close()
                raise errors.Error(
                    errno.EAGAIN, "cannot monitor a socket: no thread can be started")
        return 0

    cdef int watch_bell(self, Doorbell bell, bint on) except -1:
        """Look at a bell when it rings, from now on or no more."""
        fd = bell.descriptor()
        if not on:
            if bell.watchers is not None:
                bell.watchers.discard(self)
            self.forget(fd, None)
            return 0
        self.bells[fd] = bell
        try:
            self.poll.watch(fd, True, False)
        except OSError as error:
            raise from_errno(error.errno, "cannot wait for subscribers") from None
        if bell.watchers is None:
            bell.watchers = set()
        bell.watchers.add(self)
        return 0

    def forget(self, fd, closing):
        """Look at a bell no more: its descriptor is about to be closed."""
        if self.bells.pop(fd, None) is not None and self.born == generation:
            self.poll.forget(fd)

    cdef int remove(self, Feed feed) except -1:
        global feed_thread
        self.poll.forget(feed.fd)
        self.feeds.pop(feed.fd, None)
        if not self.feeds:
            if feed_thread is self:
                feed_thread = None
            ratchet_signal(self.wakeup.write_fileno())
        return 0


cdef void run_feed_thread(void *thread) noexcept with gil:
    """Be the OS thread of a FeedThread."""
    me = <FeedThread> thread
    Py_DECREF(me)  # what the starter held for it
    try:
        me.run()
        me.close()
    except BaseException as error:
        report(error, me)


cdef FeedThread the_feed_thread():
    global feed_thread
    if feed_thread is None:
        feed_thread = FeedThread()
    return feed_thread


cdef class Feed:
    """The events of one socket: its hidden PAIR, and those who read."""
    cdef void *watched   # the socket's handle, while it is open
    cdef void *pair      # NULL: it has ended
    cdef Py_ssize_t fd   # the PAIR's
    cdef unsigned int born
    cdef FeedThread thread
    cdef list readers    # weak references to EventReaders
    cdef bint taking_in
    cdef str endpoint    # of the event before, which is often that of the next one too
    cdef bytes raw_endpoint

    def __cinit__(self):
        self.readers = []

    cdef int begin(self, void *watched, str what) except -1:
        """Have libzmq tell of a socket."""
        global feeds_made
        cdef int fd = -1, none = 0
        cdef size_t size = sizeof(fd)
        feeds_made += 1
        address = f"inproc://ratchet.events.{feeds_made}".encode()
        self.born = generation
        head_room(FEED_ROOM, what)
        # The PAIR first: between the other calls nothing can fail, and libzmq waits only until
        # the second of them is done.
        self.pair = zmq_socket(context, ZMQ_PAIR)
        if self.pair == NULL:
            raise from_errno(zmq_errno(), f"cannot {what}")
        zmq_setsockopt(self.pair, ZMQ_RCVHWM, &none, sizeof(none))
        zmq_setsockopt(self.pair, ZMQ_LINGER, &none, sizeof(none))
        zmq_getsockopt(self.pair, ZMQ_FD, &fd, &size)
        self.fd = fd
        if zmq_socket_monitor(watched, <bytes> address, ZMQ_EVENT_ALL) < 0:
            error = zmq_errno()
            zmq_close(self.pair)
            self.pair = NULL
            raise from_errno(error, f"cannot {what}")
        zmq_connect(self.pair, <bytes> address)
        self.watched = watched
        try:
            self.thread = the_feed_thread()
            self.thread.add(self)
            self.take_in()  # the PAIR rings only for what comes after it was found empty
        except BaseException:
            self.end()
            raise
        return 0

    cdef int remove(self, EventReader reader) except -1:
        """Leave a reader out, and stop if no other is left."""
        left = []
        for reference in self.readers:
            if reference() is not None and reference() is not reader:
                left.append(reference)
        self.readers = left
        if not left:
            self.end()
        return 0

    cdef int take_in(self) except -1:
        """Hand all events that are there to the readers. From any OS thread."""
        cdef EventReader reader
        cdef int number, value
        cdef bint any = False
        if self.taking_in or self.born != generation:
            return 0  # who takes in goes on until nothing is left
        self.taking_in = True
        try:
            while self.pair != NULL:
                try:
                    if not self.take(&number, &value):
                        break
                except MemoryError:
                    number = 0
                any = True
                for reference in self.readers:
                    reader = reference()
                    if reader is not None:
                        reader.note(number, value, self.endpoint)
        finally:
            self.taking_in = False
        if any:
            for reference in self.readers:
                reader = reference()
                if reader is not None:
                    reader.tell()
        return 0

    cdef bint take(self, int *number, int *value) except -1:
        """Take the next event; False: none is there. Its endpoint is in `endpoint` then."""
        cdef zmq_msg_t msg
        cdef unsigned char *data
        cdef unsigned short event
        cdef bytes raw
        zmq_msg_init(&msg)
        while zmq_msg_recv(&msg, self.pair, ZMQ_DONTWAIT) < 0:
            if zmq_errno() != EINTR:
                return False
        data = <unsigned char *> zmq_msg_data(&msg)
        memcpy(&event, data, 2)
        memcpy(value, data + 2, 4)
        number[0] = event
        zmq_msg_close(&msg)
        zmq_msg_init(&msg)
        while zmq_msg_recv(&msg, self.pair, ZMQ_DONTWAIT) < 0:
            if zmq_errno() != EINTR:
                return False  # libzmq sends both parts at once
        try:
            raw = PyBytes_FromStringAndSize(<char *> zmq_msg_data(&msg), zmq_msg_size(&msg))
        finally:
            zmq_msg_close(&msg)
        if raw != self.raw_endpoint:
            # No function of Python's, in which another thread could come in between.
            self.raw_endpoint, self.endpoint = raw, raw.decode("utf-8", "surrogateescape")
        return True

    cdef void end(self) noexcept:
        """Stop: take in what is there, and let every reader know. Idempotent."""
        cdef EventReader reader
        cdef void *pair
        if self.pair == NULL:
            return
        if self.born == generation:
            zmq_socket_monitor(self.watched, NULL, 0)
            self.take_in()
            pair, self.pair = self.pair, NULL
            if pair != NULL:
                if self.thread is not None:
                    self.thread.remove(self)
                    self.thread = None
                zmq_close(pair)
        for reference in self.readers:
            reader = reference()
            if reader is not None:
                reader.tell()


cdef class EventReader(Doorbell):
    """Who gets a socket's events: they are noted, and waited for at this bell."""
    cdef Feed feed
    cdef int mask         # of libzmq's numbers
    cdef object noted     # deque of (number, value, endpoint)
    cdef public Py_ssize_t _kept   # how many it notes at most
    cdef readonly Py_ssize_t _lost  # how many went before those, unread
    cdef bint left        # it reads no more
    cdef object bell      # a Wakeup that is readable while there is something to read; or None
    cdef str name         # the socket, for messages
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        self.noted = deque()
        self._kept = KEPT_EVENTS

    cdef int begin(self, Feed feed, int mask, str name) except -1:
        """Read from now on."""
        self.feed, self.mask, self.name = feed, mask, name
        feed.readers = [*feed.readers, weak_ref(self)]
        return 0

    cdef void note(self, int number, int value, str endpoint) noexcept:
        """Keep an event, or count it if there is no room or no memory."""
        if self.left:
            return
        try:
            if number == 0:  # there was no memory for it
                self._lost += 1
            elif number & self.mask:
                self.noted.append((number, value, endpoint))
                if len(self.noted) > self._kept:
                    self.noted.popleft()
                    self._lost += 1
        except MemoryError:
            self._lost += 1

    cdef void tell(self) noexcept:
        """Wake whoever waits, if there is something to read or nothing more will come."""
        if self.look():
            if self.bell is not None and self.feed.born == generation:
                ratchet_signal(self.bell.write_fileno())
            self.wake_all()

    cdef int look(self) noexcept:
        return RX if self.left or self._lost or self.noted or self.feed.pair == NULL else 0

    def _take(self):
        """Return the next event as (number, value, endpoint), or None; number 0: some were lost."""
        found = None
        if self.feed.born != generation:
            raise errors.ForkedError(
                errno.EBADF,
                f"cannot receive events of the {self.name} in a forked child: it belongs to the "
                "parent process; make a new socket and monitor that",
            )
        if self.left:
            raise errors.ClosedError(errno.ENOTSOCK, f"this monitor of a {self.name} is closed")
        self.feed.take_in()
        if self._lost:
            found = 0, self._lost, ""
            self._lost = 0
        elif self.noted:
            found = self.noted.popleft()
        elif self.feed.pair == NULL:
            end_quietly()
            raise errors.ClosedError(errno.ENOTSOCK, f"the monitored {self.name} is closed")
        if self.bell is not None and not self.look():
            ratchet_drain(self.bell.fileno())
        return found

    def fileno(self):
        """Return a descriptor that is readable while there is an event to receive, or the end."""
        if self.feed.born != generation:
            self._take()  # raises
        if self.left:
            raise errors.ClosedError(errno.ENOTSOCK, f"this monitor of a {self.name} is closed")
        if self.bell is None:
            bell = new_wakeup()
            if self.bell is None:
                self.bell = bell
        self.feed.take_in()
        if self.look():
            ratchet_signal(self.bell.write_fileno())
        return self.bell.fileno()

    def close(self):
        """Read no more: what was not received is dropped, and callers that wait get `ClosedError`.
        Idempotent."""
        if self.left:
            return
        self.left = True
        self.noted.clear()
        if self.feed.born == generation:
            self.feed.remove(self)
        self.tell()

    @property
    def closed(self) -> bool:
        """True once it has been closed; its socket need not be."""
        return self.left

    def __del__(self):
        if self.feed is not None:
            self.close()

    def __repr__(self):
        state = "its socket is closed" if self.feed.pair == NULL else "open"
        if self.left:
            state = "closed"
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} of a {self.name}, {state}>"

    def __reduce__(self):
        raise TypeError("a monitor cannot be copied or pickled; make another where it is needed")
