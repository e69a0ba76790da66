"""A forked child that closes all descriptors and opens its own: ratchet touches none of them.

Daemons, workers of a server and some of `multiprocessing` begin so. The numbers that the parent's
eventfds, timers, epolls and sockets had are then files, pipes and sockets of the child's. Each test
is a program whose child puts something on every such number, uses ratchet, and looks whether all
of it is still open, whole, unread and unwritten; and whose parent goes on undisturbed.
"""

import functools
import os

import pytest
from harness.fork_programs import run_program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.fixture
def run(tmp_path):
    return functools.partial(run_program, tmp_path)


# OS threads


def test_os_threads(run):
    run("""
        exchange()
        turns()
        exchange()
    """)


def test_a_thread_that_is_paused_while_another_forks(run):
    """Its wake-up descriptor is in its dictionary, which Python drops in the child at once."""
    run("""
        one, two = linked()
        got = []
        paused = threading.Thread(target=lambda: got.append(one.recv_all()))
        paused.start()
        until(lambda: paused_calls(one) == 1)
        turns()
        fork(lambda: (one.close(), two.close(), use_all()))
        two.send(b"still there")
        paused.join(10)
        assert got == [b"still there"]
        one.close(), two.close()
    """)


def test_a_signal_handler_that_forks_and_closes_all_beside_another_waiter(run):
    """The paused call raises in the child, and would wake who waits behind it, by number."""
    run("""
        one, two = linked()
        got, children = [], []

        def handler(*_):
            pid = os.fork()
            children.append(pid or Own(len(children)))

        signal.signal(signal.SIGALRM, handler)
        for turn in range(4):
            signal.setitimer(signal.ITIMER_REAL, 0.15)
            behind = threading.Thread(target=lambda: got.append(one.recv_all()))
            starter = threading.Timer(0.05, behind.start)
            starter.start()
            waker = threading.Timer(0.3, lambda: two.send_many([b"a", b"b"]))
            waker.start()
            try:
                got.append(one.recv_all(timeout=10))
            except ratchet.ForkedError:
                code = 1
                try:
                    gc.collect()
                    one.close(), two.close()
                    children[-1].check()
                    use_all()
                    children[-1].check()
                    code = 0
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                os._exit(code)
            starter.join(), behind.join(), waker.join()
            wait(children[-1])
        assert sorted(got) == [b"a"] * 4 + [b"b"] * 4
        one.close(), two.close()
    """)


def test_a_handler_of_os_register_at_fork_that_closes_all_before_ratchets(run):
    run(
        """
        ratchet.run(exchange)
        kernel = ratchet.new(exchange)
        first = lambda: OWN.append(Own(TURN))

        def child():
            use_all()
            kernel.close()
            OWN[0].check()

        for TURN in range(4):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    child()
                    code = 0
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                os._exit(code)
            wait(pid)
        kernel.loop()
        kernel.close()
    """,
        before="""
        import os
        OWN = []
        first = None
        os.register_at_fork(after_in_child=lambda: first() if first is not None else None)
    """,
    )


# Ratchet threads


@pytest.mark.parametrize(
    "what",
    [
        "kernel.close()",
        "del kernel; gc.collect()",
        "kernel.loop()",
        "kernel.loop_once(noblock=True); kernel.close()",
        "kernel.stop(); kernel.attach(exchange); kernel.dump(); kernel.close()",
        "pass",
    ],
)
@pytest.mark.parametrize("state", ["new", "begun"])
def test_an_inherited_kernel(run, what, state):
    """Made before the fork, and perhaps with threads that have begun."""
    run(f"""
        said = []

        def first():
            try:
                exchange()
                thread.timer(0.05)
                exchange()
            finally:
                said.append("end")

        def child():
            global kernel
            own.append(Own(TURN))
            sys.stderr, stderr = io.StringIO(), sys.stderr
            with contextlib.suppress(ratchet.ForkedError):   # of a thread that was paused
                {what}
            sys.stderr = stderr
            use_all()
            own[0].check()

        own = []
        kernel = ratchet.new(first)
        if {state == "begun"}:
            kernel.loop_once(noblock=True)
        for TURN in range(4):
            fork(child)
        kernel.loop()
        assert said == ["end"]
        kernel.close()
    """)


def test_a_fork_in_a_ratchet_thread_whose_siblings_wait_for_everything(run):
    """Of which each learns that what it waits for is the parent's, or goes on."""
    run("""
        def forked(call, *args):
            try:
                return call(*args)
            except ratchet.ForkedError:
                return "forked"

        def main():
            one, two = linked()
            ours, theirs = socket.socketpair()
            gate = threading.Event()
            lent = zmqsocket.new("PUSH", linger=0.0)
            lent.bind("tcp://127.0.0.1:*")
            lent.connect("tcp://127.0.0.1:1")
            tracker = lent.send(bytearray(9000), copy=False)
            kinds = {
                "recv": thread.attach(forked, one.recv_all),
                "timed": thread.attach(forked, one.recv_all),
                "tracker": thread.attach(forked, tracker.wait),
                "block_on": thread.attach(forked, thread.block_on, [one]),
                "block_on tracker": thread.attach(forked, thread.block_on, [tracker]),
                "offload": thread.attach(forked, thread.offload, gate.wait),
                "sigwait": thread.attach(forked, thread.sigwait, "SIGUSR1"),
            }
            thread.attach_background(thread.block_on, [ours])
            for _ in range(3):
                thread.timer(0.01)

            def child(turn):
                own = Own(turn)
                os.kill(os.getpid(), signal.SIGUSR1)   # before anything is paused here
                for name, sibling in kinds.items():
                    expected = None if name == "sigwait" else "forked"
                    assert sibling.result(5) == expected, name
                own.check()
                one.close(), two.close(), lent.close()
                exchange()
                assert thread.offload(lambda: 5) == 5
                waiter = thread.attach(thread.sigwait, "SIGUSR1")
                thread.timer(0)
                os.kill(os.getpid(), signal.SIGUSR1)
                waiter.result(5)
                thread.timer(0.01)
                gc.collect()
                own.check()

            for turn in range(4):
                fork(child, turn)
            two.send_many([b"a", b"b", b"c"])
            assert kinds["recv"].result(5) == b"a"
            assert kinds["timed"].result(5) == b"b"
            assert kinds["block_on"].result(5) is one
            gate.set()
            assert kinds["offload"].result(5) is True
            os.kill(os.getpid(), signal.SIGUSR1)
            kinds["sigwait"].result(5)
            lent.close()
            kinds["tracker"].result(5)
            kinds["block_on tracker"].result(5)
            one.close(), two.close()

        ratchet.run(main)
        exchange()
    """)


def test_a_kernel_that_loops_and_ends_in_the_child(run):
    """The wake-up descriptor for signals from before the loop is not the child's to set again."""
    run("""
        ours, theirs = socket.socketpair()
        ours.setblocking(False), theirs.setblocking(False)
        signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        children = []

        def main():
            exchange()
            pid = os.fork()
            if pid == 0:
                children.append(Own(TURN))
                os.kill(os.getpid(), signal.SIGUSR1)
                thread.timer(0.01)
                children[0].check()
            else:
                wait(pid)

        for TURN in range(4):
            for nested in (False, True):
                if nested:   # ended by close(), in a thread of another kernel
                    def finish():
                        try:
                            thread.pause()
                        finally:
                            main()
                    def outer():
                        inner = ratchet.new(finish)
                        inner.close()
                        thread.timer(0)
                    outer = main
                    ratchet.run(outer)
                else:
                    ratchet.run(main)
                if children:
                    code = 1
                    try:
                        os.kill(os.getpid(), signal.SIGUSR1)
                        time.sleep(0)
                        children[0].check()
                        use_all()
                        children[0].check()
                        code = 0
                    except BaseException:
                        sys.excepthook(*sys.exc_info())
                    os._exit(code)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)
        assert theirs.recv(10), "the parent's own is set again"
        signal.set_wakeup_fd(-1)
    """)


def test_signals_in_a_child_of_another_thread_than_the_one_that_loops(run):
    run("""
        begun, over = threading.Event(), threading.Event()
        signal.signal(signal.SIGUSR1, lambda *_: None)
        one, two = linked()
        failed = []

        def child(turn):
            own = Own(turn)
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.001)
            own.check()
            kernel.stop()
            use_all()
            kernel.close()
            own.check()

        def forks():
            try:
                begun.wait(10)
                for turn in range(4):
                    fork(child, turn)
            except BaseException as error:
                failed.append(error)
            two.send(b"unharmed")

        def main():
            begun.set()
            assert one.recv_all(timeout=30) == b"unharmed"

        forker = threading.Thread(target=forks)
        forker.start()
        kernel = ratchet.new(main)
        kernel.loop()
        forker.join()
        kernel.close()
        one.close(), two.close()
        assert not failed, failed
    """)


# Trackers


def test_inherited_trackers_and_loans(run):
    """With a bell or without, under way or done, of parts that were never sent."""
    run("""
        async def awaited(tracker):
            await tracker

        def busy():
            zsock = zmqsocket.new("PUSH", linger=0.0)
            zsock.bind("tcp://127.0.0.1:*")
            zsock.connect("tcp://127.0.0.1:1")
            return zsock

        def lend():
            zsock = busy()
            tracker = zsock.send(bytearray(9000), copy=False)
            with contextlib.suppress(ratchet.Timeout):
                tracker.wait(0.001)   # it has a bell now
            half = busy()
            parts = half.send(bytearray(9000), more=True, copy=False)   # pending for ever
            with contextlib.suppress(ratchet.Timeout):
                parts.wait(0.001)
            ended = busy()
            done = ended.send(bytearray(9000), copy=False)
            with contextlib.suppress(ratchet.Timeout):
                done.wait(0.001)
            ended.close()
            until(lambda: done.done)
            return [zsock, half, tracker, parts, done]

        def raises(call):
            try:
                call()
            except ratchet.ForkedError:
                return
            raise AssertionError("it was not refused")

        def child(turn):
            own = Own(turn)
            zsock, half, tracker, parts, done = lent
            for one in (tracker, parts):
                raises(one.wait)
                raises(one.fileno)
                raises(lambda: ratchet.run(thread.block_on, [one]))
                raises(lambda: asyncio.run(awaited(one)))
            done.wait()
            asyncio.run(awaited(done))
            assert ratchet.run(thread.block_on, [done]) is done
            own.check()
            lent.clear()
            del one, zsock, tracker, parts, done
            half.close()
            del half
            gc.collect()
            own.check()
            use_all()
            own.check()

        lent = lend()
        for turn in range(4):
            fork(child, turn)
        zsock, half, tracker, parts, done = lent
        assert not tracker.done and not parts.done
        zsock.close(), half.close()
        tracker.wait(10), parts.wait(10)
    """)
