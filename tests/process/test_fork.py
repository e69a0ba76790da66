"""Forks: a child has none of its parent's sockets, and harms none."""

import pytest

# The beginning


def test_threads_that_make_the_first_socket_at_once_share_one_context(run):
    run("""
        real, gate, seen = os.open, threading.Barrier(2), set()

        def slow(*args):
            if threading.get_ident() not in seen:
                seen.add(threading.get_ident())
                gate.wait(10)  # both have seen that there is no context yet
            return real(*args)

        made = []
        threads = [threading.Thread(target=lambda: made.append(zmqsocket.new())) for _ in range(2)]
        os.open = slow
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.open = real
        x, y = made
        with x, y:
            x.bind("inproc://x")
            y.connect("inproc://x")
            y.send(b"hello")
            assert x.recv(timeout=5) == (b"hello", False)
    """)


# Fork


def test_every_call_on_an_inherited_socket_raises(run):
    run("""
        x, y = pair(endpoint="tcp://127.0.0.1:*")
        x.send(b"before")
        calls = {
            "send": lambda: y.send(b"x"), "send more": lambda: y.send(b"x", True),
            "large": lambda: y.send(bytearray(300_000)),
            "send_multipart": lambda: y.send_multipart([b"a", b"b"]),
            "send_many": lambda: y.send_many([b"a"]), "recv": y.recv, "recv_all": y.recv_all,
            "recv_multipart": y.recv_multipart, "recv_many": lambda: y.recv_many(3),
            "recv now": lambda: y.recv(timeout=0), "iterate": lambda: next(iter(y)),
            "bind": lambda: y.bind("inproc://a"), "connect": lambda: y.connect("inproc://a"),
            "unbind": lambda: y.unbind("inproc://a"), "fileno": y.fileno, "get_fd": y.get_fd,
            "disconnect": lambda: y.disconnect("inproc://a"), "with": lambda: y.__enter__(),
            "is_readable": y.is_readable, "is_writable": y.is_writable, "more": y.is_rcvmore,
            "option": lambda: y.linger, "set": lambda: setattr(y, "linger", 1),
            "getsockopt": lambda: y.getsockopt("EVENTS"), "last_endpoint": lambda: y.last_endpoint,
            "setsockopt": lambda: y.setsockopt("SNDHWM", 1),
        }

        def child():
            for name, call in calls.items():
                try:
                    call()
                except ratchet.ForkedError as error:
                    assert "fork" in str(error) and "DEALER" in str(error), error
                else:
                    raise AssertionError(name)
            assert "parent" in repr(y) and y.type == "DEALER"
            y.close()
            y.close(linger=0)
            assert y.closed

        assert fork(child) == 0
        assert y.recv(timeout=5) == (b"before", False)
        y.send(b"after")
        assert x.recv(timeout=5) == (b"after", False)
        x.close(), y.close()
    """)


def test_a_call_that_is_paused_when_a_signal_handler_forks_raises_in_the_child(run):
    run("""
        x, y = pair()
        children = []

        def handler(*_):
            children.append(os.fork())
            if children[0]:
                y.send(b"for the parent")
            else:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(10)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            assert x.recv() == (b"for the parent", False) and children[0]
        except ratchet.ForkedError:
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 9
        x.close(), y.close()
    """)


@pytest.mark.parametrize("kind", ["SUB", "XSUB", "ROUTER", "REP"])
def test_disconnect_of_an_inherited_socket_that_reads_ahead_raises(run, kind):
    run(f"""
        x = zmqsocket.new({kind!r}, linger=0.0)
        x.connect("tcp://127.0.0.1:1")

        def child():
            try:
                x.disconnect("tcp://127.0.0.1:1")
            except ratchet.ForkedError:
                return
            raise AssertionError("it did something")

        assert fork(child) == 0
        x.disconnect("tcp://127.0.0.1:1")
        x.close()
    """)


def test_a_tracker_of_the_parent_raises_in_the_child(run):
    run("""
        x, y = pair()
        tracker = x.send(bytearray(9), copy=False)
        with contextlib.suppress(ratchet.Timeout):
            tracker.wait(0.001)  # it has a descriptor, which the child shares

        def child():
            for call in (tracker.wait, lambda: tracker.done):
                try:
                    call()
                except ratchet.ForkedError:
                    pass
                else:
                    raise AssertionError("it could tell")
            assert "forked" in repr(tracker)

        assert fork(child) == 0
        y.recv()
        tracker.wait(5)
        assert fork(lambda: tracker.wait()) == 0  # it was done before
        x.close(), y.close()
    """)
