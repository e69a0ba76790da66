"""Out of descriptors, threads and sockets; dropped sockets and their warnings."""

import re
import sys

import pytest

# Out of things


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_NPROC counts otherwise")
def test_out_of_threads_is_an_error_and_never_an_abort(run):
    run("""
        import resource

        def one():
            if os.getuid() == 0:  # to whom the limit does not apply; nobody else has this number
                os.setresuid(54_321, 54_321, 54_321)
            soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
            try:
                zmqsocket.new("PULL")
                raise AssertionError
            except ratchet.Error as error:
                assert error.code == "EAGAIN" and "ulimit -u" in str(error), error
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
            x, y = pair()
            x.send(b"usable")
            assert y.recv(timeout=5) == (b"usable", False)
            x.close(), y.close()

        assert fork(one) == 0
    """)


def test_a_thread_that_cannot_have_its_wake_up_descriptor_gets_an_error(run):
    run("""
        import resource
        with zmqsocket.new("PULL") as zsock:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            for call in (zsock.recv, zsock.recv_all, lambda: zsock.recv_many(2, timeout=5)):
                try:
                    call()
                    raise AssertionError
                except ratchet.Error as error:
                    assert error.code == "EMFILE", error
            assert paused_calls(zsock) == 0
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
            try:
                zsock.recv(timeout=0.01)
            except ratchet.Timeout:
                print("usable")
    """)


def test_out_of_descriptors_an_endpoint_that_is_not_there_is_not_dropped(run):
    """libzmq looks for the network interfaces then, and ends the process if it cannot."""
    run("""
        import resource
        with zmqsocket.new("PULL") as zsock:
            here = zsock.bind("tcp://127.0.0.1:*")
            zsock.connect("tcp://127.0.0.1:9")
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            for call in (zsock.disconnect, zsock.unbind):
                try:
                    call("tcp://127.0.0.1:7")
                    raise AssertionError("there was a descriptor")
                except ratchet.Error as error:
                    assert error.code == "EMFILE", error
            zsock.disconnect("tcp://127.0.0.1:9")
            zsock.unbind(here)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            try:
                zsock.disconnect("tcp://127.0.0.1:7")
            except ratchet.Error as error:
                print(error.code)
    """)


def test_a_tracker_for_which_no_descriptor_was_left_can_be_waited_for_later(run):
    run("""
        import resource
        x, y = pair()
        with contextlib.suppress(ratchet.Timeout):
            x.recv(timeout=0.001)  # this thread has its wake-up descriptor
        tracker = x.send(bytearray(9), copy=False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
        kept = []
        with contextlib.suppress(OSError):
            while True:
                kept.append(os.open(os.devnull, os.O_RDONLY))
        try:
            tracker.wait(5)
            raise AssertionError("there was a descriptor")
        except ratchet.Error as error:
            assert error.code == "EMFILE", error
        for fd in kept:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        waiter = threading.Thread(target=tracker.wait, daemon=True)
        waiter.start()
        until(lambda: paused_calls(tracker))
        y.recv()
        waiter.join(10)
        assert not waiter.is_alive()
        x.close(), y.close()
    """)


def test_max_sockets_and_configure(run):
    run("""
        import pytest

        for wrong in (
            {"io_threads": -1}, {"max_sockets": 0}, {"max_sockets": 10**6}, {"spin": -1},
            {"spin": float("nan")}, {"spin": 2},
        ):
            with pytest.raises(ValueError):
                ratchet.configure(**wrong)
        for wrong in ({"io_threads": "2"}, {"max_sockets": 1.5}, {"spin": "1"}, {"sockets": 1}):
            with pytest.raises(TypeError):
                ratchet.configure(**wrong)
        before = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
        ratchet.configure(io_threads=3, max_sockets=5)
        made = []
        with pytest.raises(ratchet.Error) as caught:
            while True:
                made.append(zmqsocket.new("PULL"))
        assert caught.value.code == "EMFILE" and "max_sockets" in str(caught.value)
        assert 3 <= len(made) <= 5
        if before:
            # And four times as many for names, and libzmq's reaper.
            assert len(os.listdir("/proc/self/task")) == before + 3 + 12 + 1
        with pytest.raises(ratchet.StateError, match="before the first socket"):
            ratchet.configure(io_threads=1)
        made.pop().close()
        def again():
            with contextlib.suppress(ratchet.Error):
                return not made.append(zmqsocket.new("PULL"))

        until(again)  # libzmq's reaper has its place free
        for zsock in made:
            zsock.close()
    """)


def test_an_import_starts_nothing(run):
    run("""
        import ratchet.options, ratchet.errors
        assert threading.active_count() == 1
        if os.path.exists("/proc/self/task"):
            assert len(os.listdir("/proc/self/task")) == 1
            kinds = {os.readlink(entry) for entry in os.scandir("/proc/self/fd")
                     if os.path.lexists(entry)}
            assert not any("event" in kind for kind in kinds), kinds
        assert "asyncio" not in sys.modules and "multiprocessing" not in sys.modules
        assert ratchet.libzmq_version() >= (4, 3)
        ratchet.configure(io_threads=1)  # still possible
    """)


def test_sockets_dropped_while_threads_wait_in_others(run):
    result = run(
        """
        x, y = pair()
        got = []
        threads = [threading.Thread(target=lambda: got.append(x.recv())) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: paused_calls(x) == 3)
        for n in range(200):
            dropped = zmqsocket.new("PULL")
            dropped.bind(f"inproc://{n}")
            cycle = [dropped]
            cycle.append(cycle)
            del dropped, cycle
            gc.collect()
        del x  # the threads have it
        gc.collect()
        for _ in range(3):
            y.send(b"x")
        for thread in threads:
            thread.join(5)
        assert got == [(b"x", False)] * 3
        y.close()
        """,
        flags=["-W", "ignore::ResourceWarning"],
    )
    assert result.out == ""


def test_names_of_a_class_derived_from_str(run):
    """They leave nothing behind that would keep the exit."""
    run("""
        import enum

        class Name(enum.StrEnum):
            TYPE = "PAIR"
            OLD = "XREQ"
            AT = "inproc://here"

        with zmqsocket.new(Name.TYPE) as x, zmqsocket.new("PAIR") as y, zmqsocket.new(Name.OLD):
            assert type(x.bind(Name.AT)) is str
            assert y.connect(Name.AT)
            y.send(b"hello")
            assert x.recv(timeout=5) == (b"hello", False)
            assert "inproc://here" in repr(x)
            y.disconnect(Name.AT)
            x.unbind(Name.AT)
    """)


# Warnings


def test_a_dropped_socket_warns_of_the_place_where_it_was_made(run):
    result = run(
        """
        def make():
            return zmqsocket.new("PULL")  # here it was made

        def drop():
            zsock = make()
            zsock.bind("inproc://dropped")
            del zsock

        drop()
        gc.collect()
        with zmqsocket.new("PULL") as again:
            again.bind("inproc://another")
        """,
        flags=["-X", "tracemalloc=5", "-W", "default::ResourceWarning"],
        err=None,
    )
    assert result.err.count("ResourceWarning") == 1
    assert re.search(
        r"ResourceWarning: unclosed .*PULL socket bound to inproc://dropped", result.err
    )
    assert "# here it was made" in result.err


def test_no_warning_for_a_socket_that_was_closed_or_never_made(run):
    run("""
        zsock = zmqsocket.new("PULL")
        zsock.close()
        del zsock
        with zmqsocket.new("PULL"):
            pass
        for wrong in (lambda: zmqsocket.new("NONE"), lambda: zmqsocket.new("PULL", nonsense=1),
                      lambda: zmqsocket.new("PULL", rcvhwm="many")):
            try:
                wrong()
            except (TypeError, ValueError):
                pass
        gc.collect()
    """)


def test_a_warning_that_is_an_error_does_not_keep_the_socket(run):
    run(
        """
        seen = []
        sys.unraisablehook = lambda what: seen.append(what.exc_type)
        zmqsocket.new("PULL").close()
        base = len(os.listdir("/dev/fd"))
        for n in range(20):
            zsock = zmqsocket.new("PULL")
            zsock.bind(f"inproc://{n}")
            del zsock
            gc.collect()
        assert seen == [ResourceWarning] * 20, seen
        until(lambda: len(os.listdir("/dev/fd")) <= base)
        """,
        err=None,
    )
