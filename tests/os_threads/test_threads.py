"""Many OS threads on one socket: nothing is lost, torn, unfair or crashes."""

import asyncio
import collections
import itertools
import os
import select
import threading
import time

import pytest
from harness.internals import Next, around_registering, paused_calls
from harness.sockets import fill
from harness.waiting import LONG, Task, until

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, Timeout, zmqsocket

LARGE = 300_000  # bytes; copied without the GIL


@pytest.mark.parametrize(("senders", "receivers"), [(1, 8), (8, 1), (4, 4)])
def test_every_message_goes_to_exactly_one_receiver(link, senders, receivers):
    count = 3000
    pull, push = link("PULL", "PUSH", sndhwm=10, rcvhwm=10)
    sending = [
        Task(lambda i=i: [push.send(b"%d %d" % (i, n)) for n in range(count)])
        for i in range(senders)
    ]

    def receive():
        got = []
        while (data := pull.recv_all()) != b"end":
            got.append(tuple(map(int, data.split())))
        return got

    receiving = [Task(receive) for _ in range(receivers)]
    for task in sending:
        task.value()
    for _ in range(receivers):
        push.send(b"end")
    got = [task.value() for task in receiving]
    for one in got:
        for i in range(senders):  # a receiver sees each sender's messages in their order
            mine = [n for who, n in one if who == i]
            assert mine == sorted(mine)
    assert sorted(itertools.chain(*got)) == [(i, n) for i in range(senders) for n in range(count)]


@pytest.mark.parametrize("size", [5, LARGE])
def test_parts_never_interleave(link, size):
    """Senders send part by part, receivers receive part by part and in one go."""
    count = 150 if size == 5 else 12
    router, dealer = link("DEALER", "DEALER", sndhwm=3, rcvhwm=3)

    def send(i):
        for n in range(count):
            parts = [b"%d %d" % (i, n), bytes([i]) * size, bytes([i]) * (size + n)]
            if n % 2:
                dealer.send_multipart(parts)
            else:
                for part in parts[:-1]:
                    dealer.send(part, True)
                dealer.send(parts[-1])

    def receive(part_by_part):
        got = []
        while True:
            if part_by_part:
                parts = []
                more = True
                while more:
                    part, more = router.recv()
                    parts.append(part)
            else:
                parts = router.recv_multipart()
            if parts == [b"end"]:
                return got
            i, n = map(int, parts[0].split())
            assert parts[1:] == [bytes([i]) * size, bytes([i]) * (size + n)]
            got.append((i, n))

    receiving = [Task(receive, part_by_part) for part_by_part in (True, True, False)]
    sending = [Task(send, i) for i in range(4)]
    for task in sending:
        task.value()
    for _ in receiving:
        dealer.send(b"end")
    got = itertools.chain(*(task.value() for task in receiving))
    assert sorted(got) == [(i, n) for i in range(4) for n in range(count)]


def test_waiters_are_served_first_come_first_served(link):
    pull, push = link("PULL", "PUSH")
    served = []
    tasks = []
    for i in range(20):
        tasks.append(Task(lambda i=i: served.append((i, pull.recv_all()))))
        until(lambda i=i: paused_calls(pull) == i + 1)
    for i in range(20):
        push.send(b"%d" % i)
        until(lambda i=i: len(served) == i + 1)
    for task in tasks:
        task.value()
    assert served == [(i, b"%d" % i) for i in range(20)]


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


def test_senders_are_served_first_come_first_served(link):
    pull, push = link("PULL", "PUSH", sndhwm=1, rcvhwm=1)
    sent = fill(push)
    tasks = []
    for i in range(10):
        tasks.append(Task(push.send, b"%d" % (sent + i)))
        until(lambda i=i: paused_calls(push) == i + 1)
    assert [pull.recv_all() for _ in range(sent + 10)] == [b"%d" % i for i in range(sent + 10)]
    for task in tasks:
        task.value()


@pytest.mark.parametrize("how", ["recv", "send", "both"])
def test_close_wakes_three_hundred(link, how):
    left, right = link("DEALER", "DEALER", sndhwm=1, rcvhwm=1)
    if how != "recv":
        fill(right)
    send = {"recv": 0, "send": 2, "both": 1}[how]
    calls = [right.recv if i % 2 >= send else lambda: right.send(b"x") for i in range(300)]
    tasks = [Task(call) for call in calls]
    until(lambda: paused_calls(right) == 300)
    right.close()
    for task in tasks:
        with pytest.raises(ClosedError):
            task.value()
    assert paused_calls(right) == 0
    assert left.closed is False


def test_a_thousand_joins_and_leaves_beside_traffic(link):
    """Receives that mostly time out never take a message with them."""
    pull, push = link("PULL", "PUSH")
    got, timeouts = [], collections.Counter()
    done = threading.Event()

    def impatient(i):
        n = 0
        while not done.is_set():
            n += 1
            try:
                got.append(int(pull.recv_all(timeout=(0, 0.0002, 0.001)[n % 3])))
            except Timeout:
                timeouts[i] += 1

    tasks = [Task(impatient, i) for i in range(6)]
    for n in range(1500):
        push.send(b"%d" % n)
        if n % 3 == 0:
            time.sleep(0.0005)  # let the queue run empty
    until(lambda: len(got) >= 1500)
    done.set()
    for task in tasks:
        task.value()
    assert sorted(got) == list(range(1500))
    assert sum(timeouts.values()) > 1000


def test_a_thread_that_ends_in_the_middle_of_a_message_frees_the_socket(link):
    left, right = link("DEALER", "DEALER")
    Task(right.send, b"half a message", True).value()
    right.send(b"whole")
    assert left.recv() == (b"whole", False)

    ready, end = threading.Event(), threading.Event()

    def half():
        right.send(b"half a message", True)
        left.recv()
        ready.set()
        end.wait(LONG)

    right.send_multipart([b"1", b"2", b"3"])
    task = Task(half)
    ready.wait(LONG)
    with pytest.raises(Timeout):
        right.send(b"not yet", timeout=0)
    sender = Task(right.send_multipart, [b"a", b"b"])
    receiver = Task(left.recv_multipart)
    until(lambda: paused_calls(right) == paused_calls(left) == 1)
    end.set()
    task.value()
    sender.value()
    assert receiver.value() == [b"a", b"b"]
    assert not left.is_rcvmore()


CHAOS = """
    import random, sys, threading, time
    import ratchet
    from ratchet import zmqsocket

    count, transport, seed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    done = 0

    def operations(zsock, other, rng):
        large = bytes(200_000)
        return [
            lambda: zsock.send(b"x" * rng.randrange(50), timeout=rng.choice([0, 0.001])),
            lambda: zsock.send(large, timeout=0.001),
            lambda: zsock.send(b"part", rng.random() < 0.5, timeout=0.001),
            lambda: zsock.send_multipart([b"a", large, b"c"], timeout=0.001),
            lambda: zsock.send_many([b"m"] * rng.randrange(600), timeout=0.001),
            lambda: zsock.recv(timeout=rng.choice([0, 0.001])),
            lambda: zsock.recv_all(timeout=0.001),
            lambda: zsock.recv_multipart(timeout=0.001),
            lambda: zsock.recv_many(300, timeout=0.001),
            lambda: (zsock.is_readable(), zsock.is_writable(), zsock.is_rcvmore()),
            lambda: (repr(zsock), zsock.type, zsock.closed, zsock.last_endpoint, zsock.fileno()),
            lambda: (zsock.getsockopt("EVENTS"), setattr(zsock, "linger", 0), zsock.sndhwm),
            lambda: zsock.disconnect(zsock.bind("inproc://%d" % rng.getrandbits(60))),
            lambda: zsock.connect(other.last_endpoint),
            lambda: zsock.recv(timeout=0.02),
        ]

    def worker(pair, seed):
        global done
        rng = random.Random(seed)
        for _ in range(rng.randrange(15, 80)):
            zsock, other = rng.sample(pair, 2)
            try:
                rng.choice(operations(zsock, other, rng))()
            except ratchet.Error:
                done += 1
            if rng.random() < 0.004:
                zsock.close(rng.choice([0, None]))
        if rng.random() < 0.5:
            zsock.close(0)
        # what stays open is closed by the last one

    def waiter(zsock):
        try:
            for data in zsock:
                pass
        except ratchet.Error:
            pass

    deadline = time.monotonic() + 1.2
    rounds = 0
    while time.monotonic() < deadline:
        pair = [zmqsocket.new("DEALER", sndhwm=9, rcvhwm=9, linger=0) for _ in range(2)]
        pair[0].bind({"tcp": "tcp://127.0.0.1:*"}.get(transport, f"inproc://{rounds}"))
        pair[1].connect(pair[0].last_endpoint)
        threads = [
            threading.Thread(target=worker, args=(pair, seed + 1000 * rounds + i), daemon=True)
            for i in range(count)
        ] + [threading.Thread(target=waiter, args=(zsock,), daemon=True) for zsock in pair]
        for thread in threads:
            thread.start()
        for thread in threads[:count]:
            thread.join(10)
        for zsock in pair:
            zsock.close(0)
        for thread in threads:
            thread.join(10)
            if thread.is_alive():
                sys.exit(f"a thread hangs, seed {seed}, round {rounds}")
        rounds += 1
    print(rounds)
"""


@pytest.mark.parametrize(
    ("count", "transport"), [(2, "inproc"), (5, "tcp"), (9, "inproc"), (16, "inproc")]
)
def test_random_operations_and_close_from_many_threads(run, count, transport, rng):
    assert int(run(CHAOS, str(count), transport, str(rng.getrandbits(30))).out) > 0


def test_closers_race_with_receivers_and_senders(run):
    run("""
        import threading
        import ratchet
        from ratchet import zmqsocket

        def call(function, *args):
            gate.wait(10)
            try:
                while True:
                    function(*args)
            except ratchet.ClosedError:
                closed.append(function)

        for n in range(60):
            left, right = (zmqsocket.new("PAIR", linger=0, sndhwm=5, rcvhwm=5) for _ in range(2))
            left.bind(f"inproc://{n}")
            right.connect(f"inproc://{n}")
            gate, closed = threading.Barrier(6), []
            calls = [(left.recv,), (left.send, bytes(150_000)), (right.recv_all,),
                     (right.send_multipart, [b"a", b"b"]), (right.recv_many, 10)]
            threads = [threading.Thread(target=call, args=args) for args in calls]
            for thread in threads:
                thread.start()
            gate.wait(10)
            closers = [threading.Thread(target=zsock.close) for zsock in (left, right) * 4]
            for thread in closers:
                thread.start()
            for thread in threads + closers:
                thread.join(10)
            assert len(closed) == 5, closed
    """)


def test_threads_that_come_and_go_leave_no_descriptors(run):
    run("""
        import os, threading
        from ratchet import Timeout, zmqsocket

        def wait():
            try:
                zsock.recv(timeout=0.0001)
            except Timeout:
                pass

        with zmqsocket.new("PULL") as zsock:
            wait()
            before = len(os.listdir("/dev/fd"))
            for _ in range(2000):
                thread = threading.Thread(target=wait)
                thread.start()
                thread.join()
            assert len(os.listdir("/dev/fd")) == before
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
@pytest.mark.parametrize("kind", ["ratchet", "asyncio"])
def test_closed_while_its_descriptor_is_registered(kind, monkeypatch):
    """The number must not be given back before: it would be a wrong one, or another's."""
    zsock = (ratchet.asyncio if kind == "asyncio" else zmqsocket).new("PULL")
    there = []

    def close_first(register):
        def late(*args):
            fd = zsock.get_fd()
            Task(zsock.close).value()
            until_reaped()
            there.append(exists(fd))
            return register(*args)

        return late

    async def main():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_reader", close_first(loop.add_reader))
        await zsock.recv()

    if kind == "ratchet":
        around_registering(monkeypatch, close_first)
    with pytest.raises(ClosedError):
        asyncio.run(main()) if kind == "asyncio" else ratchet.run(zsock.recv)
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
