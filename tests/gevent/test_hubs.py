"""Several hubs, their ends, and sockets that are shared with all other kinds of threads."""

import gc
import threading
import time

import gevent
import gevent.threadpool
import pytest
from harness.internals import paused_calls
from harness.waiting import LONG, SHORT, Task, until

import ratchet
import ratchet.asyncio
from ratchet import thread


def in_hub(function, *args):
    """Run a function in the hub of this OS thread, which is destroyed afterwards."""
    try:
        return gevent.spawn(function, *args).get(timeout=LONG)
    finally:
        gevent.get_hub().destroy(destroy_loop=True)


def test_in_the_thread_pool_a_call_pauses_as_an_os_thread(pipe, paused):
    pull, push = pipe
    pool = gevent.threadpool.ThreadPool(1)
    task = pool.spawn(lambda: (pull.recv_all(), gevent.hub._get_hub()))
    paused(pull)
    push.send(b"x")
    assert task.get(timeout=LONG) == (b"x", None)
    pool.kill()


def test_a_hub_that_was_destroyed_leaves_nobody_in_line(pipe):
    pull, push = pipe

    def main():
        gevent.spawn(pull.recv_all)
        until(lambda: paused_calls(pull), turn=lambda: gevent.sleep(0.0005))
        gevent.get_hub().destroy(destroy_loop=True)

    Task(main).value()
    push.send(b"x")
    assert pull.recv_all(timeout=LONG) == b"x"


def test_an_os_thread_that_ended_leaves_nobody_in_line(pipe):
    """Its hub was never destroyed."""
    pull, push = pipe
    hubs = []

    def main():
        hubs.append(gevent.get_hub())
        gevent.spawn(pull.recv_all)
        until(lambda: paused_calls(pull), turn=lambda: gevent.sleep(0.0005))

    Task(main).value()
    receiving = Task(pull.recv_all, timeout=LONG)
    push.send(b"x")
    assert receiving.value() == b"x"
    hubs.pop().destroy(destroy_loop=True)
    gc.collect()


class Left:
    """A hub in an OS thread of its own, whose main greenlet sleeps in the operating system."""

    def __init__(self, function, *args):
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.task = Task(self.run, function, args)
        assert self.begun.wait(LONG)

    def run(self, function, args):
        glet = gevent.spawn(function, *args)
        gevent.sleep(SHORT)
        self.begun.set()
        self.go_on.wait(LONG)
        try:
            return glet.get(timeout=LONG)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    def result(self):
        self.go_on.set()
        return self.task.value()


@pytest.mark.parametrize("kind", ["OS thread", "greenlet", "ratchet thread"])
def test_a_hub_that_does_not_run_keeps_no_message(pipe, kind):
    pull, push = pipe
    left = Left(pull.recv_all)
    assert paused_calls(pull) == 1
    receive = {
        "OS thread": lambda: Task(pull.recv_all),
        "greenlet": lambda: Task(in_hub, pull.recv_all),
        "ratchet thread": lambda: Task(ratchet.run, pull.recv_all),
    }[kind]
    receiving = receive()
    until(lambda: paused_calls(pull) == 2)
    push.send(b"1")
    assert receiving.value() == b"1"
    push.send(b"2")
    assert left.result() == b"2"


def test_a_hub_that_does_not_run_keeps_no_line(pipe):
    """One of its greenlets is in mid-message, and finishes it later."""
    pull, push = pipe

    def halves():
        push.send(b"first ", True)
        gevent.sleep(2 * SHORT)
        push.send(b"half")

    left = Left(halves)
    push.send(b"whole", timeout=LONG)
    assert pull.recv_all() == b"whole"
    left.result()
    assert pull.recv_all() == b"first half"


def test_a_ratchet_thread_beside_gevent_pauses_as_a_ratchet_thread(pipe):
    pull, push = pipe
    turns = []

    def main():
        task = thread.attach(pull.recv_all)
        while not paused_calls(pull):
            thread.timer(0)
        for _ in range(3):
            turns.append(1)
            thread.timer(0)
        push.send(b"x")
        return task.result(LONG)

    with gevent.Timeout(SHORT, False):
        pull.recv_all()  # the hub has been here
    assert ratchet.run(main) == b"x"
    assert gevent.spawn(ratchet.run, main).get(timeout=LONG) == b"x"
    push.send(b"y")
    assert gevent.spawn(pull.recv_all).get(timeout=LONG) == b"y"


def test_programs_without_gevent_never_import_it(run):
    said = run("""
        with zmqsocket.new("PULL") as pull:
            pull.bind("inproc://x")
            try:
                pull.recv(timeout=0.01)
            except ratchet.Timeout:
                print("gevent" in sys.modules, "ratchet._gevent" in sys.modules)
    """)
    assert said.out == "False False\n"


def test_gevent_may_be_imported_late(run):
    said = run("""
        pull, push = zmqsocket.new("PULL"), zmqsocket.new("PUSH")
        pull.bind("inproc://x")
        push.connect("inproc://x")
        import gevent
        def beat():
            gevent.sleep(0.01)
            push.send(b"beat")
        gevent.spawn(beat)
        print(pull.recv_all(timeout=5))
        pull.close()
        push.close()
    """)
    assert said.out == "b'beat'\n"


def test_a_signal_that_another_os_thread_gets(run):
    """Ctrl-C leaves the call of the main greenlet, though nothing has woken the hub."""
    said = run(
        """
        import gevent, threading
        pull = zmqsocket.new("PULL")
        pull.bind("inproc://x")
        gevent.sleep(0)
        def signals():
            until(lambda: paused_calls(pull))
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        threading.Thread(target=signals).start()
        try:
            pull.recv(timeout=10)
        except KeyboardInterrupt:
            print("left")
        pull.close()
    """,
        err=None,  # gevent says so
    )
    assert said.out == "left\n"
    assert said.seconds < 9


def test_a_hub_that_answers_is_not_stopped(pipe):
    """A hub that answers is not taken for stopped, however long nobody asked it."""
    pull, push = pipe
    first = gevent.spawn(pull.recv_all)
    gevent.sleep(2 * SHORT)
    second = Task(pull.recv_all)
    while paused_calls(pull) < 2:
        gevent.sleep(0.001)
    began = time.monotonic()
    push.send(b"1")
    assert first.get(timeout=LONG) == b"1"
    assert time.monotonic() - began < LONG
    push.send(b"2")
    while second.is_alive():
        gevent.sleep(0.001)
    assert second.value() == b"2"
