"""Looking before the sleep, for the sake of answers that are near."""

import os
import select
import sys

import pytest

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
        until(lambda: paused_calls(left))
        if late:
            again = time.monotonic() + 2 * spin
            until(lambda: time.monotonic() > again)
        right.send(b"answer")
    assert begun.wait(10)
    until(lambda: paused_calls(left))
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
