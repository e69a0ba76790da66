"""Waiting for several things at once: `select`, its awaited form, `block_on`, `Selector`."""

import importlib
import os
import selectors
import signal
import socket
import threading
import time

import pytest
from harness.behaviour import behaviour
from harness.waiting import LONG, Task, until

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, thread, zmqsocket
from ratchet._zmq import counts

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def connected(inproc, count):
    """So many pairs of sockets."""
    made = []
    for number in range(count):
        one, other = (zmqsocket.new("PAIR", linger=0) for _ in range(2))
        one.bind(f"{inproc}-{number}")
        other.connect(f"{inproc}-{number}")
        made.append((one, other))
    return made


@pytest.fixture
def pairs(inproc):
    """Five pairs of sockets."""
    made = connected(inproc, 5)
    yield made
    for pair in made:
        for zsock in pair:
            zsock.close()


@pytest.fixture
def plain():
    """A pair of the standard library's sockets."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def ends(pairs):
    return [one for one, _ in pairs], [other for _, other in pairs]


def in_threads(function):
    return function()


def in_ratchet_threads(function):
    return ratchet.run(function)


@pytest.fixture(params=[in_threads, in_ratchet_threads])
def run(request):
    """Call a function in an OS thread, or in a ratchet thread."""
    return request.param


def test_what_is_ready_in_the_order_given(run, pairs, plain):
    ours, theirs = ends(pairs)
    left, right = plain

    def main():
        assert zmqsocket.select(ours, timeout=0) == ([], [])
        theirs[3].send(b"x")
        theirs[1].send(b"x")
        right.send(b"x")
        assert zmqsocket.select([left, *reversed(ours)]) == ([left, ours[3], ours[1]], [])
        assert zmqsocket.select([left.fileno(), ours[3]], [ours[0], left]) == (
            [left.fileno(), ours[3]],
            [ours[0], left],
        )
        # A level: it is told again until it is taken.
        assert zmqsocket.select(ours) == zmqsocket.select(ours) == ([ours[1], ours[3]], [])
        assert ours[1].recv() == (b"x", False)
        assert zmqsocket.select(ours) == ([ours[3]], [])
        assert zmqsocket.select([ours[3], ours[3]]) == ([ours[3], ours[3]], [])
        assert zmqsocket.select([ours[3], ours[0]], [ours[3]]) == ([ours[3]], [ours[3]])

    run(main)


def test_a_pause_until_something_comes(run, pairs, plain):
    ours, theirs = ends(pairs)
    left, right = plain

    def main():
        for send, ready in ((theirs[2].send, ours[2]), (right.send, left)):
            sender = Task(lambda send=send: (time.sleep(0.02), send(b"x")))
            assert zmqsocket.select([*ours, left], timeout=LONG) == ([ready], [])
            sender.value()
            ready.recv(*([9] if ready is left else []))
        began = time.monotonic()
        assert zmqsocket.select([*ours, left], timeout=0.05) == ([], [])
        assert time.monotonic() - began >= 0.05

    run(main)


def test_a_call_of_another_thread_silences_the_bell(run, pairs):
    """What comes while one selects and another thread sends on the same socket is told of."""
    one, other = pairs[0]

    def main():
        for _ in range(20):
            selecting = Task(zmqsocket.select, [one], timeout=LONG)
            time.sleep(0.002)
            other.send(b"rings")
            time.sleep(0.0015)  # longer than libzmq's throttle of commands
            one.send(b"silences")
            assert selecting.value() == ([one], [])
            assert one.recv() == (b"rings", False)
            other.recv()

    run(main)


def test_two_threads_select_and_a_third_receives(pairs):
    one, other = pairs[0]
    both = [Task(zmqsocket.select, [one], timeout=LONG) for _ in range(2)]
    time.sleep(0.01)
    other.send(b"x")
    assert [task.value() for task in both] == [([one], [])] * 2
    third = Task(one.recv)
    assert third.value() == (b"x", False)
    assert zmqsocket.select([one], timeout=0) == ([], [])


def test_a_receiver_in_line_gets_its_message_beside_a_select(pairs):
    one, other = pairs[0]
    receiver = Task(one.recv)
    selecting = Task(zmqsocket.select, [one], timeout=0.2)
    time.sleep(0.01)
    other.send(b"x")
    assert receiver.value() == (b"x", False)
    selecting.value()


@pytest.mark.parametrize("way", [zmqsocket.select, thread.block_on])
def test_close_ends_it(run, pairs, way):
    ours, _ = ends(pairs)

    def main():
        closer = Task(lambda: (time.sleep(0.02), ours[2].close()))
        with pytest.raises(ClosedError, match="PAIR socket bound to"):
            way(ours)
        closer.value()
        with pytest.raises(ClosedError):
            way(ours)

    run(main)


def test_block_on_from_any_thread(run, pairs, plain):
    ours, theirs = ends(pairs)
    left, right = plain

    def main():
        assert thread.block_on(ours, timeout=0) is None
        theirs[4].send(b"x")
        assert thread.block_on([left, *ours]) is ours[4]
        right.send(b"x")
        assert thread.block_on([left, *ours]) is left
        assert thread.block_on([ours[0]], [ours[1]]) is ours[1]

    run(main)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (zmqsocket.select, TypeError),
        (lambda z: zmqsocket.select([z], z), TypeError),
        (lambda _: zmqsocket.select(None), TypeError),
        (lambda z: zmqsocket.select([object()]), TypeError),
        (lambda z: zmqsocket.select([True]), TypeError),
        (lambda z: zmqsocket.select([z], timeout="1"), TypeError),
        (lambda z: zmqsocket.select([z], timeout=float("nan")), ValueError),
        (lambda z: zmqsocket.select([]), ValueError),
        (lambda z: zmqsocket.select([-1]), (TypeError, ValueError)),
        (lambda z: zmqsocket.select([12345]), OSError),
    ],
)
def test_wrong_arguments(pairs, wrong, error):
    with pytest.raises(error):
        wrong(pairs[0][0])


def test_ctrl_c_and_signals(pairs):
    """A signal handler runs at once, and what it raises leaves the select."""

    class Rang(Exception):
        pass

    def handler(number, frame):
        raise Rang

    def killed_in_it():
        main = threading.main_thread().ident
        Task(lambda: (time.sleep(0.05), signal.pthread_kill(main, signal.SIGUSR1)))
        zmqsocket.select([pairs[0][0]], timeout=LONG)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Rang):  # wherever it is by then
            killed_in_it()
    finally:
        signal.signal(signal.SIGUSR1, before)


def selecting(rt):
    """The select of a runtime, to be awaited."""
    module = importlib.import_module(rt.module)

    async def select(*args, **kwargs):
        found = module.select(*args, **kwargs)
        return await found if rt.awaits else found

    return select


@behaviour
async def test_what_a_paused_receive_took_is_not_ready(rt, inproc):
    pull, push = await rt.link("PULL", "PUSH", inproc)
    select = selecting(rt)
    for _ in range(3):
        waits = rt.spawn(pull.recv())
        await rt.paused(pull, 1)
        await push.send(b"x")
        await rt.join(waits)
        assert await select([pull.zsock], timeout=0) == ([], [])
        assert await select([pull.zsock], timeout=0.001) == ([], [])


@behaviour
async def test_awaited(rt, inproc, plain):
    """In asyncio and trio it pauses the task; elsewhere the thread."""
    x, y = await rt.link("PAIR", "PAIR", inproc)
    ours, theirs = x.zsock, y
    left, right = plain

    select = selecting(rt)
    assert await select([ours], timeout=0) == ([], [])
    assert await select([ours], timeout=0.01) == ([], [])
    assert await select([], [ours]) == ([], [ours])
    task = rt.spawn(select([ours, left], timeout=LONG))
    await rt.turn()
    await theirs.send(b"x")
    assert await rt.join(task) == ([ours], [])
    assert await x.recv() == (b"x", False)
    task = rt.spawn(select([ours, left], timeout=LONG))
    await rt.turn()
    right.send(b"x")
    assert await rt.join(task) == ([left], [])


def test_many_sockets_and_few_that_ring(inproc):
    made = connected(inproc, 400)  # their 800 descriptors are within what select(2) can take
    ours, theirs = ends(made)
    sender = Task(lambda: (time.sleep(0.02), theirs[321].send(b"x")))
    assert zmqsocket.select(ours, timeout=LONG) == ([ours[321]], [])
    sender.value()
    with zmqsocket.Selector() as selector:
        for zsock in ours:
            selector.register(zsock, READ)
        assert [key.fileobj for key, _ in selector.select(LONG)] == [ours[321]]
        ours[321].recv()
        assert selector.select(0) == []
        theirs[5].send(b"x")
        assert [key.fileobj for key, _ in selector.select(LONG)] == [ours[5]]
    for pair in made:
        for zsock in pair:
            zsock.close()


def test_a_selector_is_one_of_selectors(pairs, plain):
    one, other = pairs[0]
    left, right = plain
    with zmqsocket.Selector() as selector:
        assert isinstance(selector, selectors.BaseSelector)
        key = selector.register(one, READ, data="jobs")
        assert (key.fileobj, key.fd, key.events, key.data) == (one, one.fileno(), READ, "jobs")
        selector.register(left, READ | WRITE)
        assert len(selector.get_map()) == 2
        assert selector.get_key(one) is key
        assert selector.select(0) == [(selector.get_key(left), WRITE)]
        selector.modify(left, READ, data=2)
        assert selector.select(-1) == []
        other.send(b"x")
        right.send(b"x")
        found = {key.data: events for key, events in selector.select(LONG)}
        until(lambda: len(selector.select(0)) == 2)
        assert set(found) <= {"jobs", 2}
        selector.modify(one, WRITE)
        assert selector.get_key(one).events == WRITE
        with pytest.raises(KeyError):
            selector.register(one, READ)
        with pytest.raises(KeyError):
            selector.unregister(other)
        with pytest.raises(ValueError, match="EVENT_READ"):
            selector.register(other, 0)
        with pytest.raises(ValueError, match="can be waited for"):
            selector.register(object(), READ)
        assert object() not in selector.get_map()
        with pytest.raises(KeyError):
            selector.unregister(object())
        with pytest.raises(ValueError, match="nan"):
            selector.select(float("nan"))
        with pytest.raises(TypeError, match="number of seconds"):
            selector.select("1")
        assert selector.unregister(left).fileobj is left
        assert selector.unregister(one).fileobj is one
        assert selector.select(0) == []
    selector.close()
    with pytest.raises(ClosedError):
        selector.select(0)


def test_what_is_not_a_list_is_not_iterated(pairs, tmp_path):
    """That would read the file, and receive the events."""
    (tmp_path / "file").write_text("a line")
    monitor = pairs[0][0].monitor()
    with (tmp_path / "file").open() as file:
        for things in ((file,), (monitor,), ([], file)):
            with pytest.raises(TypeError, match="a list of things to wait for"):
                zmqsocket.select(*things, timeout=0)
        assert file.read() == "a line"
    monitor.close()


def test_the_map_of_a_selector(pairs, plain):
    """Each key is found by what the map iterates, also that of a socket that is closed."""
    one, two = pairs[0][0], pairs[1][0]
    with zmqsocket.Selector() as selector:
        keys = [selector.register(thing, READ) for thing in (one, two, *plain, one.fileno())]
        two.close()
        found = selector.get_map()
        assert list(found.values()) == keys
        assert list(found.items()) == [
            (one, keys[0]),
            (two, keys[1]),
            *((key.fd, key) for key in keys[2:]),
        ]
        for name in list(found):
            selector.unregister(name)
        assert not found


def test_a_selector_that_is_always_ready_lets_others_run(plain):
    left, right = plain
    right.send(b"x")

    def main():
        turns = []
        other = thread.attach(lambda: [turns.append(thread.timer(0)) for _ in range(3)])
        with zmqsocket.Selector() as selector:
            selector.register(left, READ)
            for _ in range(100_000):
                assert selector.select()
                if other.done:
                    return turns
        return None

    assert ratchet.run(main)


def test_a_selector_raises_until_what_is_closed_is_unregistered(run, pairs):
    one, two = pairs[0][0], pairs[1][0]
    with zmqsocket.Selector() as selector:
        selector.register(one, READ)
        selector.register(two, READ)

        def main():
            closer = Task(lambda: (time.sleep(0.02), one.close()))
            for _ in range(2):
                with pytest.raises(ClosedError, match="PAIR socket bound to"):
                    selector.select(LONG)
            closer.value()
            selector.unregister(one)
            pairs[1][1].send(b"x")
            assert [key.fileobj for key, _ in selector.select(LONG)] == [two]

        run(main)


def test_the_number_of_a_closed_socket_is_used_anew(pairs):
    """What is opened by the same number is not taken for it."""
    with zmqsocket.Selector() as selector:
        one = pairs[0][0]
        number = one.fileno()
        selector.register(one, READ)
        one.close()
        selector.unregister(one)
        pairs[0][1].close()  # libzmq gives the number back when the peer has heard of it
        until(lambda: not os.path.exists(f"/proc/self/fd/{number}"))  # noqa: PTH110
        read, write = os.pipe()
        try:
            os.write(write, b"x")
            assert selector.select(0.01) == []
        finally:
            os.close(read)
            os.close(write)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child(pairs):
    with zmqsocket.Selector() as selector:
        selector.register(pairs[0][0], READ)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                selector.select(0)
            except ratchet.ForkedError:
                try:
                    zmqsocket.select([pairs[0][0]])
                except ratchet.ForkedError:
                    with zmqsocket.new("PULL") as fresh:
                        status = int(zmqsocket.select([fresh], timeout=0.01) != ([], []))
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        pairs[0][1].send(b"x")
        assert len(selector.select(LONG)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_ends_a_select_of_its_parents_loop(script):
    """What the loop watches is the parent's too, who is not to lose it."""
    result = script("""
        import asyncio
        import ratchet.asyncio

        one, other = pair("PULL", "PUSH")

        async def main():
            task = asyncio.create_task(ratchet.asyncio.select([one]))
            tracker = other.send(bytearray(100_000), copy=False)
            assert await ratchet.asyncio.select([one]) == ([one], [])
            assert await task == ([one], [])
            lent = asyncio.create_task(wait(tracker))
            empty, full = pair("PULL", "PUSH", "inproc://another")
            task = asyncio.create_task(ratchet.asyncio.select([empty]))
            for _ in range(3):
                await asyncio.sleep(0)
            assert fork(lambda: (task.get_coro().close(), lent.get_coro().close())) == 0
            full.send(b"x")
            assert await asyncio.wait_for(task, 10) == ([empty], [])
            one.recv()
            await asyncio.wait_for(lent, 10)
            empty.close(), full.close()

        async def wait(tracker):
            await tracker

        asyncio.run(main())
        one.close(), other.close()
    """).end()
    assert (result.status, result.err) == (0, "")


def test_nothing_is_left(pairs):
    ours, _ = ends(pairs)
    before = counts()
    for _ in range(20):
        assert zmqsocket.select(ours, timeout=0.001) == ([], [])
    assert counts() == before
