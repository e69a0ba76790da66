"""Many threads and kernels: sockets they share, thousands of them, and nothing left."""

import collections
import contextlib
import gc
import tracemalloc
import weakref

import greenlet
import pytest
from harness import waiting
from harness.runtimes import KINDS, Elsewhere, installed
from harness.waiting import LONG

import ratchet
import ratchet.asyncio
from ratchet import thread

# Many, and nothing left


def test_sockets_shared_by_every_kind_of_thread(poll, endpoint):
    """Two of each kind of runtime, in an OS thread each, send and receive on both at once."""
    each, got, ended = 100, collections.Counter(), []

    async def send(zsock, name):
        for n in range(each):
            data = b"%s %d" % (name, n)
            await (zsock.send(data) if n % 2 else zsock.send_multipart([name, b" %d" % n]))

    async def receive(zsock):
        while (data := await zsock.recv_all()) != b"stop":
            got[data] += 1
        ended.append(zsock)

    module = ratchet.asyncio
    if installed("trio"):
        import ratchet.trio as module  # whose sockets are awaited in asyncio as well
    hosts = [Elsewhere(kind()) for kind in 2 * KINDS]
    ends = [module.new("DEALER", linger=0) for _ in range(2)]
    ends[0].bind(endpoint)
    ends[1].connect(ends[0].last_endpoint)
    names = [b"%d/%d" % (n, side) for n in range(len(hosts)) for side in range(2)]
    try:
        for name in names:
            host, zsock = hosts[int(name[:-2])], ends[int(name[-1:])]
            host.do(lambda rt, zsock=zsock: rt.spawn(receive(rt.use(zsock))))
            host.do(lambda rt, zsock=zsock, name=name: rt.spawn(send(rt.use(zsock), name)))
        waiting.until(lambda: got.total() == each * len(names), "all messages")
        for n in range(len(names)):
            ends[n % 2].sync.send(b"stop", timeout=LONG)
        waiting.until(lambda: len(ended) == len(names), "the receivers")
    finally:
        for zsock in ends:
            zsock.close()
        for host in hosts:
            host.close()
    assert got == collections.Counter(b"%s %d" % (name, n) for name in names for n in range(each))


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
