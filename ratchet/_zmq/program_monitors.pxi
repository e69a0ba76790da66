# Layer 9. Monitors as libzmq has them, of sockets in a program's own contexts.
#
# libzmq's threads send a socket's events to the PAIR that is connected to its monitor, and wait
# while that is full or not there: then nothing of the whole context goes on
# (docs/decisions/035-monitor.md). So such a PAIR has no high-water mark, and is there as long as
# its monitor: when it is closed, or lets go of the monitor, that ends first. A monitor whose socket
# is closed ends when libzmq has let go of the socket, of which it tells; until then the PAIR stays.

cdef int close_unheard(ProgramContext home) except -1:
    """Close the PAIRs whose monitors have ended."""
    for closing in list(home.unheard):
        if not may_be_told((<ClosingHandle> closing).handle) and closing in home.unheard:
            home.unheard.remove(closing)
    return 0


cdef class MonitoredSocket(BlockingSocket):
    """A socket that has a monitor, or is connected to that of another one."""
    cdef dict late                 # high-water marks that are told and not set
    cdef str tells_at              # the endpoint of its monitor
    cdef MonitoredSocket heard_by  # the PAIR that is connected there
    cdef MonitoredSocket hears     # of such a PAIR: the other socket
    cdef bint hears_end            # of such a PAIR: the other socket has been closed

    cdef int tell_at(self, bytes endpoint, int events) except -1:
        """Have libzmq tell what happens to it; None: no more."""
        cdef double nap = FIRST_NAP, slept = 0
        cdef int number
        close_unheard(self.home)
        if endpoint is None:
            self.tell_no_more()
            return 0
        name = os.fsdecode(endpoint)
        if name.startswith("inproc://"):  # libzmq takes no other, and ends the one before, too
            self.tell_no_more()
        while zmq_socket_monitor(self.handle, <const char *> endpoint, events) < 0:
            number = zmq_errno()
            if number != EADDRINUSE or not soon_free(name, slept):
                raise self.fail(number, "monitor")
            sleep(nap)  # libzmq frees the name of a monitor that has ended in the background
            slept += nap
            nap = min(2 * nap, LONGEST_NAP)
        self.tells_at = name
        self.home.monitored[name] = weak_ref(self)

    cdef object forget_monitor(self):
        """Note that it tells nothing any more; return where it did, or None."""
        endpoint, self.tells_at = self.tells_at, None
        if endpoint is not None:
            self.home.monitored.pop(endpoint, None)
            give_up(endpoint, endpoint)
        if self.heard_by is not None:
            self.heard_by.hears = self.heard_by = None
        return endpoint

    cdef int tell_no_more(self) except -1:
        """End its monitor, if it has one."""
        heard = self.heard_by is not None
        endpoint = self.forget_monitor()
        if endpoint is not None:
            end_monitor(self.home, self.handle, None if heard else os.fsencode(endpoint))
        return 0

    cdef int hear_all(self) except -1:
        """Have no high-water mark, about to connect to a monitor."""
        if self.type == "PAIR":
            self.late = {} if self.late is None else self.late
            self.late[ZMQ_RCVHWM] = self._get_int(ZMQ_RCVHWM)  # what the program is told
            self._set_int(ZMQ_RCVHWM, 0)
        return 0

    def connect(self, endpoint):
        """Connect, in the background (zmq_connect(3))."""
        cdef MonitoredSocket told
        BlockingSocket.connect(self, endpoint)
        monitored = self.home.monitored.get(endpoint)
        told = None if monitored is None else monitored()
        if told is not None and told.heard_by is None and self.hears is None:
            self.hears, told.heard_by = told, self
        return True

    def disconnect(self, endpoint):
        """Drop a connection, and what was queued for it (zmq_disconnect(3))."""
        if self.hears is not None and self.born == generation:
            self.hears.tell_no_more()
        BlockingSocket.disconnect(self, endpoint)

    cdef int free_endpoints(self) except -1:
        BlockingSocket.free_endpoints(self)
        close_unheard(self.home)
        if self.hears is not None and self.hears.born == generation:
            self.hears.tell_no_more()
        if self.heard_by is not None:
            self.heard_by.hears_end = True
            self.forget_monitor()
        else:
            self.tell_no_more()
        return 0

    cdef void unwatch(self, closing) noexcept:
        BlockingSocket.unwatch(self, closing)
        if self.hears_end:
            try:
                self.home.unheard.append(closing)
                close_unheard(self.home)
            except BaseException as error:  # a MemoryError
                report(error, self)
