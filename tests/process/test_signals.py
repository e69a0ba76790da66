"""Signals: they leave a call, or are handled in it, and timeouts stay exact."""

import pytest
from harness.waiting import LONG

# Signals


CALLS = {
    "recv": "x.recv()",
    "send": "x.send(b'lost')",
    "send_many": "x.send_many([b'lost', b'lost'])",
    "timeout": "x.recv(timeout=60)",
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_leaves_the_call_and_nothing_is_lost(run, call):
    """Sent to the process, to the main thread, to another one."""
    run(
        f"""
        x, y = pair(sndhwm=2, rcvhwm=2)
        sent = fill(x)
        idle = threading.Event()
        another = threading.Thread(target=idle.wait)
        sigint = signal.SIGINT
        ways = [
            lambda: os.kill(os.getpid(), sigint),
            lambda: signal.pthread_kill(threading.main_thread().ident, sigint),
            lambda: signal.pthread_kill(another.ident, sigint),
            lambda: signal.pthread_kill(threading.get_ident(), sigint),
            lambda: signal.raise_signal(sigint),
        ]
        times = []

        def interrupt(way):
            until(lambda: paused_calls(x) == 1)
            times.append(time.monotonic())
            way()

        another.start()
        for way in ways:
            thread = threading.Thread(target=interrupt, args=(way,))
            thread.start()
            try:
                {CALLS[call]}
                raise AssertionError("not interrupted")
            except KeyboardInterrupt:
                times[-1] = time.monotonic() - times[-1]
            thread.join()
            assert paused_calls(x) == 0
        assert max(times) < 1.0, times  # 0.1 on a machine with nothing else to do
        assert sorted(times)[2] < 0.3, times
        idle.set()
        another.join()
        for n in range(sent):
            assert y.recv(timeout=5) == (b"%d" % n, False)
        x.send_multipart([b"last", b"part"], timeout=5)
        assert y.recv_multipart(timeout=5) == [b"last", b"part"]
        y.send(b"answer")
        assert x.recv(timeout=5) == (b"answer", False)
        x.close(), y.close()
        """
    )


def test_ctrl_c_without_any_other_thread(script):
    for call in ("zsock.recv()", "zsock.send(b'x')"):
        source = script(f"""
            with zmqsocket.new("DEALER") as zsock:
                try:
                    print("ready", flush=True)
                    {call}
                except KeyboardInterrupt:
                    print("interrupted")
        """)
        source.said("ready")
        source.interrupt()
        result = source.end()
        assert (result.status, result.err, result.out) == (0, "", "interrupted\n")
        assert result.seconds < LONG


def test_an_exception_of_a_signal_handler_leaves_the_call(run):
    run("""
        class Mine(Exception):
            pass

        def handler(*args):
            raise Mine

        x, y = pair()
        signal.signal(signal.SIGALRM, handler)
        for call in (x.recv, lambda: x.recv(timeout=30), lambda: next(x)):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            try:
                call()
                raise AssertionError
            except Mine:
                assert paused_calls(x) == 0
        y.send(b"x")
        assert x.recv() == (b"x", False)
        x.close(), y.close()
    """)


def test_a_signal_handler_sends_and_closes_while_the_call_is_paused(run):
    run("""
        x, y = pair()
        signal.signal(signal.SIGALRM, lambda *args: y.send(b"sent by a handler"))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert x.recv(timeout=10) == (b"sent by a handler", False)
        signal.signal(signal.SIGALRM, lambda *args: x.close())
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            x.recv(timeout=10)
            raise AssertionError
        except ratchet.ClosedError:
            y.close()
    """)


def test_a_signal_handler_receives_from_the_socket_in_which_its_thread_is_paused(run):
    """The paused call is first in line, and cannot go on before the handler returns."""
    run("""
        x, y = pair()
        got = []

        def handler(*args):
            y.send_many([b"a", b"b"])
            got.append(x.recv(timeout=2)[0])

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        got.append(x.recv(timeout=10)[0])
        assert sorted(got) == [b"a", b"b"], got
        x.close(), y.close()
    """)
