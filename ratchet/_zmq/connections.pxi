# Layer 4. The connections of one endpoint, as libzmq's events tell of them.
#
# It is C because each step is whole then: a signal handler runs in Python code only.

cdef class Connection:
    """One connection: its descriptor in libzmq, and the address at the other end."""
    cdef object address  # str, or None
    cdef double since    # time.time() of its handshake


cdef class Connections:
    """The connections that libzmq calls by one endpoint."""
    cdef readonly dict begun   # descriptor -> Connection whose handshake is not known to be done
    cdef readonly dict done    # descriptor -> Connection
    # Since when handshakes are done of which libzmq has not told the connection: it is among those
    # in `begun`. While `begun` is empty they do not count: the connection is told of later, or was
    # given up.
    cdef list among
    cdef public int failed     # handshakes that failed, whose connections have not ended yet
    cdef set ended_first       # several I/O threads tell: ended before it began

    def __cinit__(self):
        self.begun, self.done, self.among, self.ended_first = {}, {}, [], set()

    def __len__(self):
        return len(self.done) + (len(self.among) if self.begun else 0)

    cpdef int begin(self, fd, address) except -1:
        """Note a connection that was accepted or made."""
        cdef Connection connection
        if fd in self.ended_first:
            self.ended_first.discard(fd)
            return 0
        connection = Connection()
        connection.address = address
        self.begun[fd] = connection
        self.match()
        return 0

    cpdef int succeed(self) except -1:
        """Note a handshake."""
        self.among.append(wall_clock())
        self.match()
        return 0

    cdef int match(self) except -1:
        """Once as many handshakes are done as have begun, it is known of which connections."""
        cdef Connection connection
        if self.begun and len(self.among) >= len(self.begun):
            for connection in self.begun.values():
                connection.since = self.among.pop(0)
            self.done.update(self.begun)
            self.begun.clear()
        return 0

    cpdef int end(self, fd) except -1:
        """Note that a connection has ended."""
        if self.done.pop(fd, None) is not None:
            return 0
        if self.begun.pop(fd, None) is None:
            self.ended_first.add(fd)
        if self.failed:
            self.failed -= 1
        elif self.among:
            self.among.pop()
        if not self.begun:
            self.failed = 0  # whatever failed has ended, however often it was told
        self.match()
        return 0

    cdef int vanish(self, fd) except -1:
        """Note that a connection has ended of which nothing was told."""
        if self.done.pop(fd, None) is None and self.begun.pop(fd, None) is not None:
            self.match()
        return 0

    cdef int leave_out(self, fd) except -1:
        """Forget one whose number another connection has by now."""
        self.begun.pop(fd, None)
        self.done.pop(fd, None)
        return 0

    def there(self):
        """Return (address or None, since when) of each connection whose handshake is done."""
        cdef Connection connection
        found = []
        for connection in self.done.values():
            found.append((connection.address, connection.since))
        if self.begun:
            for since in self.among:
                found.append((None, since))
        return found


def address_of(Py_ssize_t fd):
    """Return the IP address at the other end of one of libzmq's descriptors (str), or None.

    libzmq may have closed it, and another file may have its number: who asks for the next event
    learns that, and asks again. No socket of Python's is made of it: a signal handler that raises
    meanwhile would have that close what is libzmq's.
    """
    cdef char text[64]
    return text.decode("ascii") if ratchet_address(fd, text, sizeof(text)) else None
