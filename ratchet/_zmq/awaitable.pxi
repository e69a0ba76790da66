# Layer 8. The socket whose calls are awaited.

cdef class AwaitableSocket(Calls):
    """A socket whose calls pause the task that awaits them. An argument is refused at the call."""
    # Of a loop that has checkpoints of its own: what it says is due at the start of each call, and
    # where all others must have their turn. Where nothing is, and without it, a turn is to yield
    # None.
    cdef Checkpoint checkpoint

    def __cinit__(self, *args, **kwargs):
        self.checkpoint = self._checkpoint

    _checkpoint = None

    cdef AwaitedRuntime runtime_here(self):
        """Return the runtime of the event loop that runs here."""
        watcher = self.watcher
        if isinstance(watcher, AsyncioBase) and (<AsyncioBase> watcher).runs_here():
            return watcher
        return self._runtime_here()

    cdef object perform(self, const Operation *op, object arg, double limit):
        cdef Call call = Call.__new__(Call)
        call.zsock = self
        call.op = op
        call.arg = arg
        call.limit = limit
        call.context = ratchet_context()
        return call

    def send_nowait(self, data, more=False, *, copy=True):
        """Do what `send` does with a timeout of 0, at once: not awaited.

        Raises:
            Timeout: no peer can take it now, or others were before.
        """
        return at_once(self.send(data, more, timeout=0, copy=copy))

    def send_multipart_nowait(self, parts, *, copy=True):
        """Do what `send_multipart` does with a timeout of 0, at once: not awaited.

        Raises:
            Timeout: no peer can take it now, or others were before.
        """
        return at_once(self.send_multipart(parts, timeout=0, copy=copy))

    def recv_nowait(self):
        """Do what `recv` does with a timeout of 0, at once: not awaited.

        Raises:
            Timeout: nothing is there, or others were before.
        """
        return at_once(self.recv(timeout=0))

    def recv_multipart_nowait(self):
        """Do what `recv_multipart` does with a timeout of 0, at once: not awaited.

        Raises:
            Timeout: nothing is there, or others were before.
        """
        return at_once(self.recv_multipart(timeout=0))

    def wait_peers(self, count=1, timeout=...):
        """Pause until so many peers are connected, with the handshake done. Needs ``track_peers``.

        Args:
            count (int): how many.
            timeout: seconds, instead of the socket's; 0: only look.

        Returns:
            int: how many there are.

        Raises:
            Timeout: there are fewer; it says what the connections are doing.
            StateError: the socket was made without ``track_peers=True``.
        """
        return tracked(self, "wait for peers", False).awaited_wait_peers(
            self, count, recv_limit(self, timeout))

    def wait_subscribers(self, prefix=None, count=1, timeout=...):
        """Pause until so many connections have subscribed. Needs ``track_peers``; on PUB and XPUB.

        Args:
            prefix (bytes): only those that want messages which begin so; None: to anything.
            count (int): how many.
            timeout: seconds, instead of the socket's; 0: only look.

        Returns:
            int: how many there are.

        Raises:
            Timeout: there are fewer; it says what the connections are doing.
            StateError: the socket was made without ``track_peers=True``.
        """
        return tracked(self, "wait for subscribers", True).awaited_wait_subscribers(
            self, prefix, count, recv_limit(self, timeout))

    def monitor(self, *events):
        """Tell what happens on the connections from now on (zmq_socket_monitor(3)).

        Args:
            events (str): names of libzmq's events without their prefix, such as ``"CONNECTED"``;
                none: all.

        Returns:
            An asynchronous iterator of `MonitorEvent`, whose ``recv`` is awaited as well. Over
            inproc nothing is told.

        Raises:
            ValueError: there is no such event.
        """
        from ._awaited_monitoring import AwaitedMonitor

        return AwaitedMonitor(self, events)

    def __aiter__(self):
        """``async for data in zsock``: until the socket is closed, or its timeout raises."""
        return self

    def __anext__(self):
        cdef Call call = <Call> self.perform(&RECV_ALL, None, self._recv_timeout)
        call.iterating = True
        return call

    def __iter__(self):
        raise TypeError("use async for: this socket is used with await")
