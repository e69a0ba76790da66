"""Looking before the sleep, for the sake of answers that are near."""

import os
import select
import sys
import time

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


BESIDE = """
    ratchet.configure(spin=1)
    near, far = pair("PAIR", "PAIR")
    left, right = pair("PAIR", "PAIR", "inproc://other")
    gone_on = threading.Event()

    def answer():
        far.recv(timeout=15)
        far.send(b"soon")
        far.recv(timeout=15)
        until(lambda: paused_calls(near))
        if who == "receives":
            right.send(b"message")
        elif who == "is unpaused":
            thread.unpause(other)
        elif who == "is killed":
            thread.kill(other)
        elif who == "stops":
            here.stop()
        elif who == "closes":
            near.close()
        elif who == "interrupts":
            os.kill(os.getpid(), signal.SIGINT)
        assert gone_on.wait(10)
        if who != "closes":
            far.send(b"late")

    def go_on():
        try:
            if who == "receives":
                left.recv()
            elif who == "sleeps":
                thread.timer(0.1)
            else:
                thread.pause()
        finally:
            note()

    def note():
        used.append(time.thread_time() - used[0])
        gone_on.set()

    def ask():
        near.send(b"question")
        near.recv()
        near.send(b"question")
        used.append(time.thread_time())
        try:
            near.recv(timeout=0.1 if who == "asks with a timeout" else 15)
        except (ratchet.Timeout, ratchet.ClosedError):
            note()
        else:
            return
        if not near.closed:
            near.recv()

    other = None
    used = []  # CPU time at the question, and from there until the other one goes on

    def main():
        global other
        if beside:
            other = thread.attach(go_on)
            thread.timer(0)
        ask()

    beside = who in ("receives", "sleeps", "is unpaused", "is killed")
    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    here = ratchet.new(main)
    try:
        here.loop()
    except KeyboardInterrupt:
        assert who == "interrupts"
    if who in ("stops", "interrupts"):
        note()
    here.loop()
    here.close()
    answering.join()
    for zsock in (near, far, left, right):
        zsock.close()
    assert used[1] < 0.4, used  # all of the looking takes a second
"""


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="a kernel looks with epoll only")
@pytest.mark.parametrize(
    "who",
    [
        *("receives", "sleeps", "is unpaused", "is killed"),
        *("asks with a timeout", "stops", "closes", "interrupts"),
    ],
)
def test_a_thread_that_looks_for_an_answer_lets_others_go_on(run, who):
    """It looks until there is something for any of them, and no longer than the first deadline."""
    run(f"    who = {who!r}\n" + BESIDE)


# All of the looking takes longer than what is asserted of it.
AGAIN = """
    ratchet.configure(spin=1)
    near, far = zmqsocket.new("DEALER"), zmqsocket.new("DEALER")
    far.connect(near.bind("inproc://near"))
    answered, found = threading.Event(), []

    def ask(name):
        near.send(name)
        found.append(near.recv_all())

    def later():
        thread.timer(0.01)  # which ends the other one's look
        ask(b"second")

    def main():
        ask(b"warm-up")
        if second:
            thread.attach(later)
        ask(b"first")

    waiter = threading.Thread(target=lambda: ratchet.run(main), daemon=True)
    waiter.start()
    used = functools.partial(time.clock_gettime, time.pthread_getcpuclockid(waiter.ident))

    def answer():
        far.send(far.recv_all(timeout=10))

    until(lambda: paused_calls(near))
    again = time.monotonic() + 0.2  # this answer is slept for, which looking has to be faster than
    until(lambda: time.monotonic() > again)
    answer()
    until(lambda: paused_calls(near) == 1 + second)
    if not second:
        until(lambda: used() > 0.05)
        peer = zmqsocket.new("DEALER")  # its connection rings
        peer.connect("inproc://near")
    now = used()
    until(lambda: used() > now + 0.05)
    for _ in range(1 + second):
        answer()
    waiter.join(10)
    assert not waiter.is_alive()
    assert found == [b"warm-up", b"first", b"second"][:2 + second], found
    near.close(), far.close()
    if not second:
        peer.close()
"""


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="asks for CPU time")
@pytest.mark.skipif(not hasattr(select, "epoll"), reason="a kernel looks with epoll only")
@pytest.mark.parametrize(
    "second",
    [
        pytest.param(False, id="after a ring that is not the answer"),
        pytest.param(True, id="behind another one that waits at the socket"),
    ],
)
def test_a_thread_goes_on_looking(run, second):
    run(f"    second = {second!r}\n    import functools\n" + AGAIN)


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
