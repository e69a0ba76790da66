"""The exit: handlers registered before ratchet was imported still send, in every process."""

import os
import signal
import textwrap
from pathlib import Path

import pytest
from harness.programs import SINK

# The program's own, before ratchet is imported. Python calls exit handlers last in, first out, so
# these run after every one that ratchet could register.
EARLY = {
    "atexit": """
        atexit.register(lambda: farewell())
    """,
    "finalize": """
        class Thing:
            pass

        thing = Thing()
        weakref.finalize(thing, lambda: farewell())
    """,
    "ExitStack": """
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        stack.callback(lambda: farewell())
    """,
    "logging": """
        class ToSocket(logging.Handler):
            def emit(self, record):
                farewell(record.getMessage().encode())

        logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=ToSocket()))
        logging.getLogger().warning("end")
    """,
    "a listener's thread": """
        class ToSocket(logging.Handler):
            def emit(self, record):
                farewell(record.getMessage().encode())

        records = queue.SimpleQueue()
        listener = logging.handlers.QueueListener(records, ToSocket())  # its thread is a daemon
        listener.start()

        @atexit.register
        def stop():
            records.put(logging.makeLogRecord({"msg": "end"}))
            listener.stop()
    """,
    "multiprocessing": """
        multiprocessing.util.Finalize(None, lambda: farewell(), exitpriority=-1000)
    """,
    "asyncio": """
        @atexit.register
        def run():
            async def leave():
                async with ratchet.asyncio.new("PUSH") as another:
                    another.connect(sys.argv[1])
                    await another.send(b"end")

            asyncio.run(leave())
    """,
    "a ratchet thread": """
        atexit.register(lambda: ratchet.run(farewell))
    """,
    "a kernel of before": """
        @atexit.register
        def go_on():
            kernel.loop()
            assert kernel.get_num_threads() == 0
    """,
    "a thread of its own": """
        @atexit.register
        def go_on():
            thread = threading.Thread(target=farewell)
            thread.start()
            thread.join()
    """,
    "another socket": """
        @atexit.register
        def another():
            with zmqsocket.new("PUSH") as last:
                last.connect(sys.argv[1])
                last.send(b"end")
    """,
    "an answer": """
        @atexit.register
        def ask():
            asks.send(b"what?")
            farewell(asks.recv_all(timeout=10))
    """,
}

BEFORE = """
import asyncio, atexit, contextlib, logging, logging.handlers, multiprocessing.util, queue, sys
import os, threading, time, weakref

def farewell(last=b"end"):
    zsock.send(last)
"""

AFTER = """
import ratchet, ratchet.asyncio
from ratchet import zmqsocket

zsock = zmqsocket.new("PUSH", sndhwm=0)
zsock.connect(sys.argv[1])
zsock.send(b"first")
kernel = ratchet.new(farewell)

# A daemon thread that answers until the end.
asks, answers = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
answers.bind("inproc://answers")
asks.connect("inproc://answers")

def answer():
    for question in answers:
        answers.send(b"end")

threading.Thread(target=answer, daemon=True).start()
"""

ENDS = {"": 0, "sys.exit(3)": 3, "raise RuntimeError('mine')": 1}


def ended(script, text, **how):
    """What a sink gets from a program of these lines, and how the program ended."""
    sink = script(SINK)
    endpoint = sink.process.stdout.readline().strip()
    result = script(text, endpoint, **{"prelude": "", **how}).end()
    got = sink.end()
    assert (got.status, got.err) == (0, "")
    return got.out.strip(), result


@pytest.mark.parametrize(
    ("how", "end"), [*((how, "") for how in EARLY), *(("atexit", end) for end in ENDS)]
)
def test_a_handler_registered_before_the_import_still_sends(script, how, end):
    got, result = ended(script, BEFORE + textwrap.dedent(EARLY[how]) + AFTER + end)
    assert got == "2 b'end'"
    assert result.status == ENDS[end]
    assert result.err.endswith("RuntimeError: mine\n") if "raise" in end else result.err == ""


def test_a_socket_made_in_a_handler_registered_before_the_import_is_lingered_for(script):
    """The process's first one, and it is never closed."""
    got, result = ended(
        script,
        """
        import atexit, sys

        @atexit.register
        def farewell():
            global zsock
            zsock = zmqsocket.new("PUSH")
            zsock.connect(sys.argv[1])
            zsock.send(b"end")

        from ratchet import zmqsocket
        """,
    )
    assert got == "1 b'end'"
    assert (result.status, result.err) == (0, "")


CHILD = """
import atexit, contextlib, multiprocessing, sys, threading, time

def child(endpoint):
    import multiprocessing.util

    def leave():
        thread.start()
        thread.join()

    if sys.argv[2] == "atexit":
        atexit.register(leave)
    else:
        multiprocessing.util.Finalize(None, leave, exitpriority=-1_000_000)
    from ratchet import zmqsocket

    zsock = zmqsocket.new("PUSH", sndhwm=0)
    zsock.connect(endpoint)
    zsock.send(b"first")
    thread = threading.Thread(target=zsock.send, args=[b"end"], daemon=True)
    globals()["kept"] = zsock

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[3]).Process(target=child, args=sys.argv[1:2])
    process.start()
    process.join(15)
    sys.exit(process.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children of other kinds are POSIX's")
@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("fork", "Finalize"), ("forkserver", "Finalize"), ("spawn", "Finalize"),
        # Of the others Python (before 3.14) runs no handlers of atexit.
        ("spawn", "atexit"),
    ],
)  # fmt: skip
def test_a_handler_of_a_child_of_multiprocessing_still_sends(script, method, how):
    sink = script(SINK)
    endpoint = sink.process.stdout.readline().strip()
    result = script(CHILD, endpoint, how, method, prelude="").end()
    assert sink.end().out == "2 b'end'\n"
    assert (result.status, result.err) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_forked_in_a_handler_ends_as_any_other(script):
    """It runs the handlers that are left, and has an exit of its own."""
    got, result = ended(
        script,
        """
        import atexit, os, sys

        @atexit.register
        def last():
            with zmqsocket.new("PUSH", sndhwm=0) as push:
                push.connect(sys.argv[1])
                push.send(b"end" if child else b"child")

        from ratchet import zmqsocket
        zsock = zmqsocket.new("PUSH")
        zsock.connect("inproc://nowhere")

        @atexit.register
        def fork():
            global child
            child = os.fork()
            if child:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        flags=["-W", "ignore:This process:DeprecationWarning"],
    )
    assert got == "2 b'end'"
    assert (result.status, result.err) == (0, "")


def test_what_a_kernel_left_behind_sends_in_its_finally_is_delivered(script):
    got, result = ended(
        script,
        """
        import atexit, sys
        atexit.register(lambda: zsock.send(b"handler"))
        import ratchet
        from ratchet import thread, zmqsocket

        zsock = zmqsocket.new("PUSH", sndhwm=0)
        zsock.connect(sys.argv[1])

        def work():
            try:
                thread.pause()
            finally:
                zsock.send(b"end")

        kernel = ratchet.new(work)
        kernel.loop_once(noblock=True)
        """,
    )
    assert got == "2 b'end'"
    assert (result.status, result.err) == (0, "")


TESTS = str(Path(__file__).parents[1])
LOOPS = {
    "asyncio": "from asyncio import new_event_loop as new_loop",
    "uvloop": "from uvloop import new_event_loop as new_loop",
    "watched": f"sys.path.append({TESTS!r}); from harness.runtimes import BlindLoop as new_loop",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_in_a_daemon_thread_serves_handlers_to_the_end(script, loop):
    """And then it rings no more, although messages go on coming."""
    if loop == "uvloop":
        pytest.importorskip(loop)
    got, result = ended(
        script,
        f"""
        import asyncio, atexit, contextlib, sys, threading
        {LOOPS[loop]}

        @atexit.register
        def ask():
            asks.send(b"end")
            zsock.send(asks.recv_all(timeout=10))
            for _ in range(100):
                asks.send(b"again")

        import ratchet.asyncio
        from ratchet import zmqsocket
        zsock = zmqsocket.new("PUSH", sndhwm=0)
        zsock.connect(sys.argv[1])
        asks = zmqsocket.new("PAIR", linger=0)
        asks.bind("tcp://127.0.0.1:*")
        ready = threading.Event()

        async def serve():
            global answers
            answers = ratchet.asyncio.new("PAIR", linger=0)
            answers.connect(asks.last_endpoint)
            ready.set()
            async for question in answers:
                await answers.send(question)

        runner = asyncio.Runner(loop_factory=new_loop)
        threading.Thread(target=runner.run, args=[serve()], daemon=True).start()
        ready.wait()
        """,
    )
    assert got == "1 b'end'"
    assert (result.status, result.err) == (0, "")


def test_exit_handlers_that_are_only_cleared_end_nothing(script):
    """As `multiprocessing` does in its children, from Python 3.14 on."""
    result = script(
        """
        import atexit
        atexit._clear()
        x, y = pair()
        x.send(b"alive")
        assert y.recv(timeout=5) == (b"alive", False)
        x.close(), y.close()
        """
    ).end()
    assert (result.status, result.err) == (0, "")


@pytest.mark.parametrize("raises", ["KeyboardInterrupt", "SystemExit", "RuntimeError"])
def test_ctrl_c_while_the_exit_waits_for_a_child_lets_it_go_on(script, raises):
    source = script(
        """
        import multiprocessing

        def handler(number, frame):
            raise __builtins__.__dict__[sys.argv[1]]

        signal.signal(signal.SIGINT, handler)

        def idle():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ready.set()
            while os.getppid() == parent:
                time.sleep(0.01)

        if __name__ == "__main__":
            parent = os.getpid()
            method = multiprocessing.get_context("fork")
            ready = method.Event()
            zsock = zmqsocket.new("PUSH", linger=0)
            process = method.Process(target=idle)

            def join(seconds):  # a wait without end may have begun just after the Ctrl-C
                print("waits", flush=True)
                method.Process.join(process, seconds)

            def late():  # after the handler of multiprocessing itself, which waits for those before
                process.start()
                ready.wait()
                process.join = join

            ratchet._zmq.at_the_end.append(late)
        """,
        raises,
    )
    source.said("waits")
    source.interrupt()
    result = source.end()
    assert result.status == 0
    *before, line = result.err.splitlines()
    assert line == "ratchet: gave up waiting for child processes."
    assert bool(before) == (raises == "RuntimeError")  # which is reported


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("how", ["the system", "the program"])
def test_the_exit_does_not_wait_for_a_child_that_another_has_waited_for(script, how):
    """multiprocessing takes it for one that is alive, for good."""
    result = script(
        """
        import multiprocessing

        if __name__ == "__main__":
            by_system = sys.argv[1] == "the system"
            if by_system:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            zsock = zmqsocket.new("PUSH", linger=0)
            wait = time.sleep if by_system else lambda seconds: None
            multiprocessing.get_context("fork").Process(target=wait, args=[0.1]).start()
            if not by_system:
                os.wait()
        """,
        how,
    ).end()
    assert (result.status, result.err) == (0, "")


def test_what_the_exit_waits_for_is_named(script):
    """The sockets that linger, and no others; of many, the eight that do so longest."""
    source = script(
        """
        kept = [zmqsocket.new(kind, linger=60) for kind in ("PULL", "SUB", "DEALER", "PUSH")]
        for zsock in kept:
            zsock.connect("tcp://127.0.0.1:1")
        kept[1].subscribe(b"")
        kept[2].send(b"lost")
        for n in range(2, 12):
            with zmqsocket.new("PUSH", linger=20 + n) as push:
                push.connect(f"tcp://127.0.0.1:{n}")
                push.send(b"lost")
        """
    )
    line = source.process.stderr.readline()
    source.interrupt()
    result = source.end()
    assert result.status >= 0 or result.status == -signal.SIGINT
    named = [f"PUSH socket connected to tcp://127.0.0.1:{n}" for n in range(5, 12)]
    first = "DEALER socket connected to tcp://127.0.0.1:1"
    assert f"({'; '.join([first, *reversed(named)])}; 3 more)" in line
    assert "waiting for up to 58." in line or "waiting for up to 59." in line
    assert result.err == "ratchet: gave up; undelivered messages are lost.\n"
