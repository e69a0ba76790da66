"""Life and death of a process with sockets: forks, exits, signals, and running out of things."""

import contextlib
import dataclasses
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from helpers import CTRL_C

from ratchet import zmqsocket

PRELUDE = """
import contextlib, gc, os, signal, sys, threading, time
import ratchet
from ratchet import zmqsocket

def until(condition, what="it"):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.001)

def pair(left="DEALER", right="DEALER", endpoint="inproc://pair", **options):
    bound, other = zmqsocket.new(left, **options), zmqsocket.new(right, **options)
    bound.bind(endpoint)
    other.connect(bound.last_endpoint)
    return bound, other

def fill(zsock):
    with contextlib.suppress(ratchet.Timeout):
        sent = 0
        while True:
            zsock.send(b"%d" % sent, timeout=0)
            sent += 1
    return sent

def fork(function):
    '''The exit status of a child that ran it: 0, 1 after an error, negative for a signal.'''
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return status(pid)

def status(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found, code = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(code)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"
"""


@dataclasses.dataclass
class Result:
    """How a script ended."""

    out: str
    err: str
    status: int
    seconds: float


class Script:
    """A script in a process of its own, with every warning an error."""

    def __init__(self, path, text, *args, flags=(), prelude=PRELUDE):
        path.write_text(CTRL_C + prelude + textwrap.dedent(text), encoding="utf-8")
        # Newer Pythons warn of any fork beside threads, and libzmq has some.
        fork = ("-W", "ignore:This process:DeprecationWarning")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", *fork, *flags, str(path), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # and a process group, for `end`
        )

    def said(self, line):
        """Wait for a line on stdout."""
        assert self.process.stdout.readline() == line + "\n", self.end(1)

    def interrupt(self):
        self.began = time.monotonic()
        self.process.send_signal(signal.SIGINT)

    def end(self, limit=20.0):
        try:
            out, err = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler shows where it hangs
            self.process.wait()
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):  # its children have its pipes
                    os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
        return Result(out, err, self.process.returncode, time.monotonic() - self.began)


@pytest.fixture
def script(tmp_path):
    made = []

    def script(text, *args, **how):
        made.append(Script(tmp_path / f"script{len(made)}.py", text, *args, **how))
        return made[-1]

    yield script
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.end()


@pytest.fixture
def run(script):
    def run(text, *args, flags=(), status=0, err="", limit=20.0):
        """Run to the end; by default nothing may be on stderr."""
        result = script(text, *args, flags=flags).end(limit)
        assert result.status == status, result
        assert err is None or result.err == err, result
        return result

    return run


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


def test_new_sockets_work_in_the_child_and_in_its_child(run):
    result = run("""
        def work():
            x, y = pair(endpoint="tcp://127.0.0.1:*")
            thread = threading.Thread(target=lambda: x.send_multipart([b"a", bytes(300_000)]))
            thread.start()
            assert y.recv_multipart(timeout=5) == [b"a", bytes(300_000)]
            thread.join()
            for exception in (ratchet.Timeout,):
                try:
                    y.recv(timeout=0.01)
                except exception:
                    pass
            x.close(), y.close()

        def child():
            work()
            assert fork(work) == 0
            work()

        with zmqsocket.new("PULL") as first:
            first.bind("inproc://pair")
            with contextlib.suppress(ratchet.Timeout):
                first.recv(timeout=0.01)  # this thread has its wake-up descriptor
            assert fork(child) == 0
        work()
        print("done")
    """)
    assert result.out == "done\n"


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


@pytest.mark.parametrize("end", ["sys.exit(3)", "os._exit(3)", "thing = 1 / 0", "fall off"])
def test_a_child_ends_without_harm(run, end):
    """With sockets of its parent's in its hands, and another thread of its parent's in recv."""
    result = run(
        f"""
        import traceback
        x, y = pair(endpoint="tcp://127.0.0.1:*")
        received = []
        thread = threading.Thread(target=lambda: received.append(x.recv()))
        thread.start()
        until(lambda: x.waiting == 1)
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            cycle = [x, y]
            cycle.append(cycle)
            del x, y, cycle
            gc.collect()
            {end if "fall" not in end else "pass"}
        else:
            print(status(pid))
            y.send(b"unharmed")
            thread.join(5)
            print(received)
            x.close(), y.close()
    """
    )
    code = {"thing = 1 / 0": 1, "fall off": 0}.get(end, 3)
    # A child that falls off its end runs no more of the script, and neither says a word.
    assert result.out == f"{code}\n[(b'unharmed', False)]\n"


def test_a_fork_while_threads_send_and_receive(run):
    run("""
        x, y = pair(endpoint="tcp://127.0.0.1:*", sndhwm=50, rcvhwm=50)
        got = []

        def receive():
            while (data := x.recv_all()) != b"end":
                got.append(int(data))

        def send():
            for n in range(4000):
                y.send(b"%d" % n)

        def child():
            for zsock in (x, y):
                try:
                    zsock.recv()
                except ratchet.ForkedError:
                    pass
            a, b = pair()
            a.send(b"new")
            assert b.recv(timeout=5) == (b"new", False)
            a.close(), b.close()

        threads = [threading.Thread(target=target) for target in (receive, send)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            assert fork(child) == 0
        threads[1].join()
        y.send(b"end")
        threads[0].join()
        assert got == list(range(4000))
        x.close(), y.close()
    """)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_multiprocessing_child_sends_last_is_delivered(run, method):
    run(
        """
        import multiprocessing

        def child(endpoint):
            global zsock  # never closed
            zsock = zmqsocket.new("PUSH")
            zsock.connect(endpoint)
            zsock.send_many([b"%d" % n for n in range(500)])
            zsock.send(bytes(1_000_000))

        if __name__ == "__main__":
            method = multiprocessing.get_context(sys.argv[1])
            with zmqsocket.new("PULL") as pull:
                pull.bind("tcp://127.0.0.1:*")
                process = method.Process(target=child, args=(pull.last_endpoint,))
                process.start()
                got = [pull.recv_all(timeout=10) for _ in range(501)]
                assert got == [*(b"%d" % n for n in range(500)), bytes(1_000_000)]
                process.join(10)
                assert process.exitcode == 0
        """,
        method,
    )


# Exit

SINK = """
with zmqsocket.new("PULL") as pull:
    pull.bind("tcp://127.0.0.1:*")
    print(pull.last_endpoint, flush=True)
    pull.set_timeout(10)
    messages = []
    while not messages or messages[-1][-3:] != b"end":
        messages.append(pull.recv_all())
    print(len(messages), messages[-1][-20:])
"""

SOURCE = """
zsock = zmqsocket.new("PUSH", sndhwm=0)
zsock.connect(sys.argv[1])
"""


def delivered(script, source, flags=()):
    """What a sink in another process gets from a script, and how the script ended."""
    sink = script(SINK)
    endpoint = sink.process.stdout.readline().strip()
    result = script(SOURCE + textwrap.dedent(source), endpoint, flags=flags).end()
    got = sink.end()
    assert (got.status, got.err) == (0, "")
    return got.out.strip(), result


@pytest.mark.parametrize(
    "source",
    [
        "zsock.send_many([b'x'] * 20_000); zsock.send(b'end')",
        "zsock.send(bytes(20_000_000) + b'end'); zsock.close(); del zsock",
        "cycle = [zsock]; cycle.append(cycle); zsock.send(b'end'); del zsock, cycle",
        "class Holder: zsock = zsock\nzsock.send(b'end'); sys.exit()",
        "threading.Thread(target=lambda: zsock.send(b'end')).start()",
    ],
)
def test_what_was_sent_is_delivered_to_a_peer_that_is_there(script, source):
    got, result = delivered(script, source)
    assert got.endswith("end'")
    assert (result.status, result.err) == (0, "")


def test_what_was_sent_is_delivered_after_an_exception(script):
    got, result = delivered(script, "zsock.send(b'end')\nraise RuntimeError('mine')")
    assert got == "1 b'end'"
    assert result.status == 1
    assert result.err.endswith("RuntimeError: mine\n")


@pytest.mark.parametrize(
    "before", ["", "import multiprocessing\n", "import multiprocessing.util\nimport logging\n"]
)
def test_atexit_handlers_still_send(script, before):
    """Also when a library that has exit handlers of its own is imported after them."""
    got, result = delivered(
        script,
        "import atexit\natexit.register(lambda: zsock.send(b'end'))\n" + before + "\n"
        "other = zmqsocket.new('PULL')\nother.bind('inproc://other')",
    )
    assert got == "1 b'end'"
    assert (result.status, result.err) == (0, "")


def test_an_atexit_handler_registered_before_the_first_socket_still_sends(script):
    """The exit handlers of multiprocessing run before it."""
    sink = script(SINK)
    endpoint = sink.process.stdout.readline().strip()
    source = script(
        """
        import atexit

        def farewell():
            zsock.send(b"end")

        atexit.register(farewell)
        import multiprocessing.util

        zsock = zmqsocket.new("PUSH")
        zsock.connect(sys.argv[1])
        """,
        endpoint,
    ).end()
    assert (source.status, source.err) == (0, "")
    assert sink.end().out == "1 b'end'\n"


ABSENT = """
zsock = zmqsocket.new("PUSH", {options})
zsock.connect("tcp://127.0.0.1:1")
zsock.send(b"nobody takes this")
print("sent", flush=True)
"""


@pytest.mark.parametrize(
    "transport",
    [
        "tcp",
        pytest.param(
            "ipc",
            marks=pytest.mark.xfail(
                sys.platform.startswith("linux"), reason="libzmq's issue 4660 (docs/sockets.md)"
            ),
        ),
    ],
)
def test_a_receiver_whose_queue_is_full_gets_what_was_sent_before_an_exit(run, request, transport):
    endpoint = request.getfixturevalue(transport)
    with zmqsocket.new("PULL", rcvhwm=10) as pull:
        pull.bind(endpoint)
        run(
            """
            with zmqsocket.new("PUSH") as push:
                push.connect(sys.argv[1])
                push.send_many([b"%100d" % n for n in range(500)], timeout=10)
            """,
            pull.last_endpoint,
        )
        for n in range(500):
            assert pull.recv_all(timeout=2) == b"%100d" % n


def test_an_absent_peer_holds_the_exit_for_the_linger_and_it_says_so(run):
    result = run(ABSENT.format(options="linger=2.0"), err=None)
    assert 2.0 <= result.seconds < 8
    lines = result.err.splitlines()
    assert len(lines) == 1
    assert "PUSH" in lines[0]
    assert "tcp://127.0.0.1:1" in lines[0]


def test_the_wait_says_nothing_when_it_is_short(run):
    result = run(ABSENT.format(options="linger=0.3"))
    assert 0.3 <= result.seconds < 5


@pytest.mark.parametrize("options", ["linger=0", "linger=60"])
def test_no_linger_no_wait(run, options):
    close = "" if options == "linger=0" else "zsock.close(linger=0)\n"
    result = run(ABSENT.format(options=options) + close)
    assert result.seconds < 5


def test_the_default_linger_is_ten_seconds(run):
    assert run("with zmqsocket.new('PUSH') as zsock: print(zsock.linger)").out == "10.0\n"


@pytest.mark.parametrize("closed", [False, True])
def test_ctrl_c_ends_the_wait_at_the_exit(script, closed):
    source = script(ABSENT.format(options="linger=30") + ("zsock.close()\n" if closed else ""))
    source.said("sent")
    line = source.process.stderr.readline()
    assert "PUSH" in line
    source.interrupt()
    result = source.end()
    assert result.seconds < 5
    assert "Traceback" not in result.err
    assert result.status >= 0 or result.status == -signal.SIGINT


@pytest.mark.parametrize(
    "busy",
    [
        "zsock.recv()",
        "other.send(b'x')",
        "other.send(bytes(300_000))",
        "other.send_multipart([b'a', bytes(200_000)]); zsock.recv_all()",
        "zmqsocket.new('PULL').close()",
        "zmqsocket.new('PAIR').connect('inproc://pair')",
        "zsock.is_readable()",
        "[zsock.recv_many(10), other.send_many([b'x'] * 1000)]",
        "next(iter(zsock))",
    ],
)
def test_a_daemon_thread_in_a_call_at_the_exit(script, busy):
    """Neither a crash nor a hang nor a traceback of its own, each of some times."""
    scripts = [
        script(
            f"""
            import warnings
            warnings.simplefilter("ignore", ResourceWarning)
            zsock, other = pair(linger=0, sndhwm=20, rcvhwm=20)
            turns = 0

            def work():
                global turns
                while True:
                    turns += 1
                    {busy}

            for _ in range(3):
                threading.Thread(target=work, daemon=True).start()
            until(lambda: turns >= 3)
            time.sleep(float(sys.argv[1]))
            """,
            str(n * 0.003),
        )
        for n in range(2)
    ]
    for one in scripts:
        result = one.end()
        assert (result.status, result.err, result.out) == (0, "", "")


def test_system_exit_in_a_thread_ends_that_thread_only(run):
    run("""
        x, y = pair()

        def work():
            try:
                x.recv()
            finally:
                sys.exit(5)

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: x.waiting == 1)
        y.send(b"x")
        thread.join()
        assert x.waiting == 0
        x.close(), y.close()
    """)


def test_a_socket_made_while_the_interpreter_exits_is_refused(run):
    result = run("""
        class Late:
            def __del__(self, zmqsocket=zmqsocket, ratchet=ratchet):
                try:
                    zmqsocket.new("PULL")
                except ratchet.ClosedError:
                    print("refused")

        zsock = zmqsocket.new("PULL")
        late = Late()
        zsock.close()
    """)
    assert result.out == "refused\n"


# Signals

CALLS = {
    "recv": "x.recv()",
    "recv_all": "x.recv_all()",
    "recv_multipart": "x.recv_multipart()",
    "recv_many": "x.recv_many(10)",
    "iterate": "for data in x: pass",
    "send": "x.send(b'lost')",
    "large": "x.send(bytes(300_000))",
    "send_multipart": "x.send_multipart([b'lost', b'lost'])",
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
            until(lambda: x.waiting == 1)
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
            assert x.waiting == 0
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
        assert result.seconds < 2


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
                assert x.waiting == 0
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


def test_timeouts_are_exact_under_a_storm_of_signals(run):
    """Never early. How late depends on the machine, so the bound is wide."""
    run("""
        x, y = pair(sndhwm=1, rcvhwm=1)
        hits = 0

        def handler(*args):
            global hits
            hits += 1

        fill(x)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        late = []
        for call in (x.recv, x.recv_all, x.recv_multipart,
                     lambda timeout: x.recv_many(2, timeout=timeout),
                     lambda timeout: x.send(b"x", timeout=timeout),
                     lambda timeout: x.send_many([b"x"], timeout=timeout),
                     lambda timeout: x.send_multipart([b"x", b"y"], timeout=timeout)):
            for timeout in (0.005, 0.03, 0.15):
                began = time.monotonic()
                try:
                    call(timeout=timeout)
                    raise AssertionError("no timeout")
                except ratchet.Timeout:
                    late.append(time.monotonic() - began - timeout)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert hits > 50, hits
        assert min(late) >= 0, late
        assert max(late) < 0.25, late
        assert sorted(late)[len(late) // 2] < 0.02, late
        x.close(), y.close()
    """)


# Out of things


@pytest.mark.parametrize("what", ["first", "more", "thread"])
def test_out_of_descriptors_is_an_error_and_never_an_abort(run, what):
    """Under every limit from too few for anything to enough."""
    result = run(
        """
        import resource
        what, hard = sys.argv[1], resource.getrlimit(resource.RLIMIT_NOFILE)[1]

        def sweep():
            if what == "more":
                x, y = pair(linger=0)
            used = len(os.listdir("/dev/fd"))
            ends = []
            for extra in range(40):
                # Each in a process of its own, for the first socket is special.
                pid = os.fork()
                if pid == 0:
                    os._exit(one(used + extra))
                ends.append(status(pid))
            assert set(ends) == {0, 7}, ends
            assert ends == sorted(ends, reverse=True), ends  # errors, and then all is well
            if what == "more":
                x.close(), y.close()

        def attempt():
            made = []
            try:
                for n in range(2):
                    made.append(zmqsocket.new("DEALER", linger=0))
                made[0].bind(f"inproc://{(name := time.monotonic_ns())}")
                made[0].bind("tcp://127.0.0.1:*")
                made[1].connect(made[0].last_endpoint)
                made[1].connect(f"inproc://{name}")
                made[1].send(b"x", timeout=5)
                if what == "thread":
                    failed = []
                    def wait():
                        try:
                            made[1].recv(timeout=0.001)
                        except BaseException as error:
                            failed.append(error)
                    thread = threading.Thread(target=wait)
                    thread.start()
                    thread.join()
                    if not isinstance(failed[0], ratchet.Timeout):
                        raise failed[0]
                try:
                    made[1].recv(timeout=0.001)
                except ratchet.Timeout:
                    pass
            finally:
                for zsock in made:
                    zsock.close()

        def one(limit):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                attempt()
                end = 0
            except ratchet.Error as error:
                assert error.code == "EMFILE", error
                end = 7
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
            attempt()
            return end

        import traceback
        try:
            sweep()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        """,
        what,
        err=None,
    )
    assert result.err == ""


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
            assert zsock.waiting == 0
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
            try:
                zsock.recv(timeout=0.01)
            except ratchet.Timeout:
                print("usable")
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
        until(lambda: tracker.waiting)
        y.recv()
        waiter.join(10)
        assert not waiter.is_alive()
        x.close(), y.close()
    """)


def test_a_process_that_keeps_opening_gets_errors_and_recovers(run):
    run("""
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        zmqsocket.new("PULL").close()
        base = len(os.listdir("/dev/fd"))
        for _ in range(3):
            made = []
            try:
                while True:
                    made.append(zmqsocket.new("PULL", linger=0))
                    made[-1].bind("tcp://127.0.0.1:*")
            except ratchet.Error as error:
                assert error.code == "EMFILE", error
            assert len(made) > 5
            for zsock in made:
                zsock.close()
            until(lambda: len(os.listdir("/dev/fd")) <= base)  # libzmq's reaper has done it
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


def test_ten_thousand_sockets_come_and_go(run):
    run("""
        import resource

        def cycle(count):
            for n in range(count):
                with zmqsocket.new("DEALER") as zsock:
                    if n % 20 == 0:
                        zsock.bind(f"inproc://{n}")
                        with contextlib.suppress(ratchet.Timeout):
                            zsock.recv(timeout=0)
            gc.collect()

        def descriptors():
            return len(os.listdir("/dev/fd"))

        cycle(1000)
        until(lambda: descriptors() < 30)
        fds, rss = descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cycle(9000)
        until(lambda: descriptors() <= fds, "descriptors")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss
        assert grown < 4000 * (1024 if sys.platform == "darwin" else 1), grown
    """)


def test_sockets_dropped_while_threads_wait_in_others(run):
    result = run(
        """
        x, y = pair()
        got = []
        threads = [threading.Thread(target=lambda: got.append(x.recv())) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: x.waiting == 3)
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


# Looking before the sleep. A look lasts long here, so that the CPU time of who pauses tells it from
# a sleep.

SPINNING = """
    ratchet.configure(spin=spin)
    left, right = pair("PAIR", "PAIR")

    def ask():
        for _ in range(before):
            left.send(b"question")
            left.recv()
        if asks:
            left.send(b"question")
        begun.set()
        left.recv()

    begun = threading.Event()
    waiter = threading.Thread(
        target=lambda: ratchet.run(ask) if kind == "ratchet" else ask(), daemon=True)
    waiter.start()
    for _ in range(before):
        right.recv(timeout=10)
        until(lambda: left.waiting)
        if late:
            again = time.monotonic() + 2 * spin
            until(lambda: time.monotonic() > again)
        right.send(b"answer")
    assert begun.wait(10)
    until(lambda: left.waiting)
    clock = time.pthread_getcpuclockid(waiter.ident)
    start = time.clock_gettime(clock)

    def used():
        return time.clock_gettime(clock) - start

    def sleeps():
        with open(f"/proc/self/task/{waiter.native_id}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    if looks:
        until(lambda: time.clock_gettime(clock) > 0.05)
    else:
        until(sleeps)
        assert used() < 0.01, used()
    right.send(b"answer")
    waiter.join(10)
    assert not waiter.is_alive()
    left.close()
    right.close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
@pytest.mark.skipif(not hasattr(select, "epoll"), reason="a kernel looks with epoll only")
@pytest.mark.parametrize("kind", ["threads", "ratchet"])
@pytest.mark.parametrize(
    ("before", "asks", "late", "spin", "looks"),
    [
        pytest.param(1, True, False, 1, True, id="answers are near"),
        pytest.param(0, True, False, 1, False, id="the first answer"),
        pytest.param(2, True, True, 0.25, False, id="answers are late"),
        pytest.param(2, False, False, 1, False, id="nothing was asked"),
        pytest.param(2, True, False, 0, False, id="switched off"),
    ],
)
def test_who_expects_an_answer_soon_looks_before_it_sleeps(
    run, kind, before, asks, late, spin, looks
):
    given = {"kind": kind, "before": before, "asks": asks, "late": late, "spin": spin}
    assignments = [f"    {name} = {value!r}" for name, value in [*given.items(), ("looks", looks)]]
    run("\n".join(assignments) + SPINNING)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_who_is_answered_soon_keeps_the_gil_beside_a_busy_thread(run):
    """It would get it back only when Python forces the busy one to give it up."""
    run("""
        ratchet.configure(spin=1)
        sys.setswitchinterval(0.05)
        near = zmqsocket.new("PAIR", linger=0.0)
        endpoint = near.bind("tcp://127.0.0.1:*")
        child = os.fork()
        if child == 0:
            far = zmqsocket.new("PAIR")
            far.connect(endpoint)
            while True:
                asked = far.recv_all()
                time.sleep(0.002)  # given up, the GIL is the busy thread's by then
                far.send(asked)
        counted, stop = [0], []

        def count():
            while not stop:
                counted[0] += 1

        busy = threading.Thread(target=count)
        busy.start()
        kept = 0
        for _ in range(40):
            before = counted[0]
            near.send(b"ask")
            near.recv()
            kept += counted[0] == before
        stop.append(True)
        busy.join()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        near.close()
        assert kept > 20, kept
    """)
