"""Many threads and kernels: sockets they share, thousands of them, and nothing left."""

import collections
import contextlib
import gc
import threading
import tracemalloc
import weakref

import greenlet
import pytest
from harness.ratchets import spawn_os
from harness.waiting import LONG

import ratchet
from ratchet import thread


def test_sockets_shared_by_two_kernels_and_os_threads(poll, new, tcp):
    """Senders and receivers of each kind on both sockets at once: each message arrives once."""
    left, right = new("DEALER"), new("DEALER")
    left.bind(tcp)
    right.connect(left.last_endpoint)
    each, got, failed = 400, collections.Counter(), []

    def sender(zsock, name):
        for n in range(each):
            zsock.send(b"%s %d" % (name, n))

    def receiver(zsock):
        found = []
        while (data := zsock.recv_all()) != b"stop":
            found.append(data)
        got.update(found)

    def jobs(name):
        return [(sender, zsock, name + side) for zsock, side in ((left, b"l"), (right, b"r"))]

    def in_kernel(name):
        def main():
            tasks = [thread.attach(*job) for job in jobs(name)]
            readers = [thread.attach(receiver, zsock) for zsock in (left, right) * 2]
            thread.wait_all(tasks)
            senders_done.release()
            thread.wait_all(readers)

        try:
            ratchet.run(main)
        except BaseException as error:
            failed.append(error)

    def in_os_threads(name):
        tasks = [spawn_os(*job) for job in jobs(name)]
        readers = [spawn_os(receiver, zsock) for zsock in (left, right)]
        for task in tasks:
            task.join()
        senders_done.release()
        for task in readers:
            task.join()

    senders_done = threading.Semaphore(0)
    hosts = [spawn_os(in_kernel, b"a"), spawn_os(in_kernel, b"b"), spawn_os(in_os_threads, b"c")]
    for _ in hosts:
        assert senders_done.acquire(timeout=3 * LONG), failed
    for zsock in (left, right):
        zsock.send_many([b"stop"] * 5)
    for host in hosts:
        host.join(LONG)
        assert not host.is_alive()
    assert not failed
    names = [kernel + side for kernel in (b"a", b"b", b"c") for side in (b"l", b"r")]
    assert got == collections.Counter(b"%s %d" % (name, n) for name in names for n in range(each))


# Many, and nothing left


def test_thousands_of_threads():
    count = 5000

    def worker(n, before):
        got = thread.pause()
        thread.timer(0)
        if before is not None:
            thread.unpause(before, got + 1)
        return got

    def main():
        tasks = []
        for n in range(count):
            tasks.append(thread.attach(worker, n, tasks[-1] if n else None))
            thread.timer(0)
        assert kernel.get_num_threads() == count + 1
        thread.unpause(tasks[-1], 0)
        thread.wait_all(tasks)
        assert [task.result() for task in tasks] == list(range(count))[::-1]

    with ratchet.new(main) as kernel:
        kernel.loop()


def test_threads_are_let_go(pipe):
    """A thread that has ended is freed, whatever it once waited for and however long it would."""
    pull, push = pipe
    counts = []

    def worker(n):
        thread.alarm(3600)
        with contextlib.suppress(ratchet.Timeout):
            pull.recv(timeout=3600 if n % 2 else 0.0001)
        with contextlib.suppress(ratchet.Error):
            thread.self().result()

    def main():
        references = []
        for _ in range(3):
            tasks = [thread.attach(worker, n) for n in range(20)]
            references += map(weakref.ref, tasks)
            thread.timer(0)
            thread.kill_all(tasks[15:])
            push.send_many([b"x"] * 10)
            thread.wait_all(tasks)
            while pull.is_readable():
                pull.recv()
            del tasks
        gc.collect()
        counts.append(sum(reference() is not None for reference in references))
        counts.append(sum(isinstance(o, greenlet.greenlet) for o in gc.get_objects()))

    ratchet.run(main)
    gc.collect()
    before = sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects())
    assert counts[1] - before <= 1
    assert counts[0] == 0


@pytest.mark.parametrize("what", ["alarms", "timeouts"])
def test_deadlines_that_are_over_take_no_memory(what, pipe):
    pull, push = pipe

    def work():
        if what == "alarms":
            thread.alarm(3600)
            thread.alarm(None)
            return
        with contextlib.suppress(ratchet.Timeout):
            pull.recv(timeout=1e-6)
        thread.attach(push.send, b"x")
        pull.recv(timeout=3600)

    def main():
        for _ in range(100):
            work()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(1000):
                work()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 20_000
        finally:
            tracemalloc.stop()

    ratchet.run(main)
