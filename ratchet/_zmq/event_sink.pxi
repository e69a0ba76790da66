# Layer 4. A reader of a socket's events that acts on them, instead of keeping them.

cdef class EventSink(EventReader):
    """A reader that acts on each event: `_act` of a subclass in Python does, in one thread at a
    time."""

    cdef void note(self, int number, int value, str endpoint) noexcept:
        try:
            if number:
                self.noted.append((number, value, endpoint))
        except MemoryError as error:
            report(error, self)

    cdef void tell(self) noexcept:
        try:
            self._act()
            if self.feed.pair == NULL:
                self._end()
        except BaseException as error:
            postpone([error], True, self)
        self.wake_all()

    def _wake(self):
        """Have those that wait here look again."""
        self.wake_all()

    def _refresh(self, what):
        """Take in what has happened; raise if the socket is closed or the parent process's."""
        if self.feed.born != generation:
            raise errors.ForkedError(
                errno.EBADF,
                f"cannot {what}: the {self.name} was made before a fork and belongs to the parent "
                "process; make a new one in the child",
            )
        self.feed.take_in()
        self._act()
        if self.feed.pair == NULL:
            end_quietly()
            raise errors.ClosedError(
                errno.ENOTSOCK, f"cannot {what}: the {self.name} is closed")
