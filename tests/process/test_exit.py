"""Exits: what was sent is delivered, in the time that lingers give; daemons end in silence."""

import signal
import sys
import textwrap

import pytest
from harness.programs import SINK
from harness.waiting import LONG

from ratchet import zmqsocket

# Exit


SOURCE = """
zsock = zmqsocket.new("PUSH", sndhwm=0)
zsock.connect(sys.argv[1])
"""


def delivered(script, source, before=""):
    """What a sink in another process gets from a script, and how the script ended."""
    sink = script(SINK)
    endpoint = sink.process.stdout.readline().strip()
    text = textwrap.dedent(before) + SOURCE + textwrap.dedent(source)
    result = script(text, endpoint).end()
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
    before = """
        import atexit
        atexit.register(lambda: zsock.send(b"end"))
        import multiprocessing.util
        """
    got, result = delivered(script, "", before=before)
    assert got == "1 b'end'"
    assert (result.status, result.err) == (0, "")


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
    # More than the receiving side reads at once into its batch, of up to 64 KiB.
    endpoint = request.getfixturevalue(transport)
    with zmqsocket.new("PULL", rcvhwm=10) as pull:
        pull.bind(endpoint)
        run(
            """
            with zmqsocket.new("PUSH") as push:
                push.connect(sys.argv[1])
                push.send_many([b"%250d" % n for n in range(500)], timeout=10)
            """,
            pull.last_endpoint,
        )
        for n in range(500):
            assert pull.recv_all(timeout=LONG / 2) == b"%250d" % n


def test_an_absent_peer_holds_the_exit_for_the_linger_and_it_says_so(run):
    result = run(ABSENT.format(options="linger=2.0"), err=None)
    assert 2.0 <= result.seconds < LONG
    lines = result.err.splitlines()
    assert len(lines) == 1
    assert "PUSH" in lines[0]
    assert "tcp://127.0.0.1:1" in lines[0]


def test_the_wait_says_nothing_when_it_is_short(run):
    result = run(ABSENT.format(options="linger=0.3"))
    assert 0.3 <= result.seconds < LONG


def test_a_stderr_that_fails_does_not_end_the_wait(script, tmp_path):
    endpoint = f"ipc://{tmp_path}/late"
    source = script(
        """
        class Broken:
            def write(self, text):
                print("told", flush=True)
                raise RuntimeError("broken")

            def flush(self):
                pass

        zsock = zmqsocket.new("PUSH", linger=60)
        zsock.connect(sys.argv[1])
        zsock.send(b"waits for its peer")
        sys.stderr = Broken()
        """,
        endpoint,
    )
    source.said("told")
    with zmqsocket.new("PULL") as pull:
        pull.bind(endpoint)
        assert pull.recv_all(timeout=LONG) == b"waits for its peer"
    assert source.end().status == 0


@pytest.mark.parametrize("answer", ["None", "-1", "1 / 0"])
def test_a_stderr_without_a_descriptor_is_told(run, answer):
    """As of a program with windows, which shows what is written there itself."""
    own = f"""
class Shown:
    def write(self, text):
        os.write(1, text.encode())
    def flush(self):
        pass
    def fileno(self):
        return {answer}
sys.stderr = Shown()
"""
    assert "ratchet: waiting for" in run(ABSENT.format(options="linger=1.5") + own).out


@pytest.mark.skipif(sys.platform == "win32", reason="asks nothing of a pipe")
def test_a_stderr_that_nobody_reads_does_not_hold_the_exit(run):
    fill = """
read, write = os.pipe()
os.set_blocking(write, False)
for size in (4096, 1):
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * size)
os.set_blocking(write, True)
os.dup2(write, 2)
"""
    result = run(fill + ABSENT.format(options="linger=1.5"))
    assert 1.5 <= result.seconds < LONG


def test_an_exception_of_a_signal_handler_does_not_end_the_wait(script, tmp_path):
    endpoint = f"ipc://{tmp_path}/late"
    source = script(
        """
        def handler(number, frame):
            raise RuntimeError("of the handler")

        def hook(raised):
            print("raised", raised.exc_value, flush=True)

        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = hook
        zsock = zmqsocket.new("PUSH", linger=60)
        zsock.connect(sys.argv[1])
        zsock.send(b"waits for its peer")
        """,
        endpoint,
    )
    assert "waiting" in source.process.stderr.readline()
    source.interrupt()
    source.said("raised of the handler")
    with zmqsocket.new("PULL") as pull:
        pull.bind(endpoint)
        assert pull.recv_all(timeout=LONG) == b"waits for its peer"
    assert source.end().status == 0


@pytest.mark.parametrize("options", ["linger=0", "linger=60"])
def test_no_linger_no_wait(run, options):
    close = "" if options == "linger=0" else "zsock.close(linger=0)\n"
    result = run(ABSENT.format(options=options) + close)
    assert result.seconds < LONG


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
    assert result.seconds < LONG
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
        until(lambda: paused_calls(x) == 1)
        y.send(b"x")
        thread.join()
        assert paused_calls(x) == 0
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
