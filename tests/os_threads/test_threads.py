"""Many OS threads on one socket: nothing is lost, torn, unfair or crashes."""

import asyncio
import ctypes
import os
import select
import sys

import pytest
from harness.internals import Next, around_registering, paused_calls
from harness.waiting import Task, until

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, zmqsocket


def test_a_newcomer_does_not_overtake_who_waits(link):
    """All is there at once, and the newcomers never sleep: yet the queue goes first."""
    pull, push = link("PULL", "PUSH")
    got = {}
    tasks = []
    for i in range(5):
        tasks.append(Task(lambda i=i: got.update({i: pull.recv_all()})))
        until(lambda i=i: paused_calls(pull) == i + 1)
    push.send_many([b"%d" % i for i in range(10)])
    newcomer = [pull.recv_all() for _ in range(5)]
    for task in tasks:
        task.value()
    assert got == {i: b"%d" % i for i in range(5)}
    assert newcomer == [b"%d" % i for i in range(5, 10)]


def test_a_thread_whose_state_is_made_anew(link):
    """Python forgets a foreign thread after each callback; the next one is of a new thread."""
    pull, push = link("PULL", "PUSH")
    state = ctypes.pythonapi.PyThreadState_GetDict
    state.restype = ctypes.c_void_p  # a borrowed reference

    got = []

    def receive():
        for _ in range(20):
            got.append(pull.recv_all())
            known = ctypes.cast(state(), ctypes.py_object).value
            (key,) = [key for key in known if getattr(key, "__name__", "") == "OSThread"]
            del known[key]

    task = Task(receive)
    for number in range(20):
        until(lambda: paused_calls(pull) == 1)
        push.send(b"%d" % number)
        until(lambda number=number: len(got) > number)
    task.value()
    assert got == [b"%d" % number for number in range(20)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="knows glibc's pthread_key_t")
def test_a_thread_state_that_ends_in_another_thread(run):
    """A foreign thread calls Python twice; what it was known by the first time is gone by then."""
    run("""
        import ctypes, gc, threading, ratchet
        from ratchet import zmqsocket

        def receive():
            try:
                pull.recv(timeout=0.001)  # so that it pauses
            except ratchet.Timeout:
                pass

        @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        def after_python(_):  # in the same OS thread, with a new thread state
            forgotten.wait(10)
            receive()
            again.set()

        def first():
            libc.pthread_setspecific(key, 1)
            receive()
            paused.set()
            held.wait(10)

        pull = zmqsocket.new("PULL")
        pull.bind("inproc://here")
        libc, key = ctypes.CDLL(None), ctypes.c_uint()
        assert libc.pthread_key_create(ctypes.byref(key), after_python) == 0
        paused, held, forgotten, again = [threading.Event() for _ in range(4)]
        thread = threading.Thread(target=first)
        thread.start()
        paused.wait(10)
        everything = gc.get_objects()  # and the thread's own dictionary
        held.set()
        thread.join()
        del everything
        # What looks like a thread of ratchet's in this generation, where that one was.
        filling = [b"\\1\\0\\0\\0" * (n // 4) for n in range(100, 400) for _ in range(300)]
        forgotten.set()
        assert again.wait(10)
    """)


def test_a_high_water_mark_is_set_after_an_inproc_peer_has_left(run):
    """libzmq 4.3.4 and 4.3.5 tell the peer's pipe of it, which is freed already."""
    run("""
        import time
        import ratchet
        from ratchet import zmqsocket

        for n in range(100):
            with zmqsocket.new("DEALER") as x:
                with zmqsocket.new("DEALER") as y:
                    y.bind(f"inproc://{n}")
                    x.connect(f"inproc://{n}")
                time.sleep(0.001)  # libzmq's reaper ends its half of the connection
                x.is_readable()
                time.sleep(0.001)
                try:
                    x.sndhwm = x.rcvhwm = 5
                except ratchet.Error:
                    pass  # refused is fine
    """)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll")
@pytest.mark.parametrize("kind", ["ratchet", "asyncio", "select"])
def test_closed_while_its_descriptor_is_registered(kind, monkeypatch):
    """What is registered must not be given back before: it would be a wrong one, or another's."""
    zsock = (ratchet.asyncio if kind == "asyncio" else zmqsocket).new("PULL")
    there = []

    def close_first(register):
        def late(*args):
            Task(zsock.close).value()
            until_reaped()
            there.extend(exists(fd) for fd in args if isinstance(fd, int))
            return register(*args)

        return late

    async def main():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_reader", close_first(loop.add_reader))
        await zsock.recv()

    if kind != "asyncio":
        around_registering(monkeypatch, close_first)
    calls = {
        "ratchet": lambda: ratchet.run(zsock.recv),
        "asyncio": lambda: asyncio.run(main()),
        "select": lambda: zmqsocket.select([zsock]),
    }
    with pytest.raises(ClosedError, match="PULL"):
        calls[kind]()
    assert there == [True]


def exists(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def until_reaped():
    """libzmq's reaper is one thread: a socket closed now is gone after those closed before."""
    with zmqsocket.new("PULL") as zsock:
        fd = zsock.get_fd()
    until(lambda: not exists(fd))


@pytest.mark.parametrize("op", ["recv", "recv_frame", "recv_into"])
def test_the_last_part_when_another_begins_the_next_message_at_once(link, op):
    push, pull = link("PUSH", "PULL")
    push.send_multipart([b"a", b"bc"])
    push.send_multipart([b"x", b"y"])
    assert pull.recv() == (b"a", True)
    other = Next(pull, lambda: Task(pull.recv).value())
    if op == "recv":
        assert pull.recv() == (b"bc", False)
    elif op == "recv_frame":
        assert not pull.recv_frame().more
    else:
        with pytest.raises(ValueError, match="still there"):
            pull.recv_into(bytearray(1))
        assert pull.recv_into(bytearray(2)) == 2
    assert other.got == (b"x", True)
