"""zmq.asyncio by pyzmq's API."""

import asyncio
import gc
import json
import random
import threading
import time

import pytest
import zmq
import zmq.asyncio

try:
    import uvloop
except ImportError:
    uvloop = None
else:
    uvloop.new_event_loop().close()  # the first leaves libuv's pipe for signals, for good

LOOPS = [asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop else [])]
on_loops = pytest.mark.parametrize("factory", LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])


def run(body, factory=asyncio.new_event_loop):
    async def main():
        context = zmq.asyncio.Context()
        try:
            left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
            port = left.bind_to_random_port("tcp://127.0.0.1")
            right.connect(f"tcp://127.0.0.1:{port}")
            await asyncio.wait_for(body(left, right), 30)
        finally:
            context.destroy(linger=0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@on_loops
def test_messages(factory):
    async def body(left, right):
        for i in range(100):
            await left.send(b"%d" % i)
            assert await right.recv() == b"%d" % i
        await left.send_multipart([b"a", b"b"])
        assert await right.recv_multipart() == [b"a", b"b"]
        await left.send_json({"a": 1})
        assert await right.recv_json() == {"a": 1}
        frame = asyncio.ensure_future(right.recv(copy=False))
        later = asyncio.ensure_future(right.recv_json())
        await asyncio.sleep(0)
        await left.send(b"frame")
        await left.send_json([1])
        assert (await frame).bytes == b"frame"
        assert await later == [1]
        left.send_string("not json")
        with pytest.raises(json.JSONDecodeError):
            await right.recv_json()

    run(body, factory)


@on_loops
def test_a_call_that_is_done_returns_a_future(factory):
    async def body(left, right):
        loop = asyncio.get_running_loop()
        told = []
        await left.send(b"connected")
        await right.recv()
        sent = left.send(b"a")
        assert isinstance(sent, asyncio.Future)
        assert asyncio.isfuture(sent)
        assert sent.done()
        assert sent.get_loop() is loop
        sent.add_done_callback(told.append)
        assert not told  # in the loop's next turn
        await asyncio.sleep(0)
        assert told == [sent]
        assert sent.result() is None
        assert sent.exception() is None
        assert not sent.cancel()
        assert not sent.cancelled()
        with pytest.raises(asyncio.InvalidStateError):
            sent.set_result(1)
        for text in (b"b", b"c", b"d", b"e"):
            await left.send(text)
        while not zmq.Socket.get(right, zmq.EVENTS) & zmq.POLLIN:
            time.sleep(0.001)  # noqa: ASYNC251 (the receive shall be done at once)
        assert await right.recv() == b"a"
        assert await asyncio.gather(right.recv(), right.recv()) == [b"b", b"c"]
        done, _ = await asyncio.wait([right.recv()])
        assert {one.result() for one in done} == {b"d"}
        assert await asyncio.wait_for(asyncio.shield(right.recv()), 10) == b"e"
        await left.send(b"once")
        future = right.recv()
        assert await future == b"once"
        assert await future == b"once"

    run(body, factory)


@on_loops
def test_receives_are_served_in_their_order(factory):
    async def body(left, right):
        waiting = [right.recv() for _ in range(5)]
        assert all(isinstance(future, asyncio.Future) for future in waiting)
        for i in range(5):
            await left.send(b"%d" % i)
        assert await asyncio.gather(*waiting) == [b"%d" % i for i in range(5)]
        done, _ = await asyncio.wait([left.send(b"x"), right.recv()])
        assert {future.result() for future in done} == {None, b"x"}
        called = asyncio.get_running_loop().create_future()
        right.recv().add_done_callback(lambda future: called.set_result(future.result()))
        await left.send(b"called")
        assert await called == b"called"

    run(body, factory)


def test_parts_in_several_futures():
    async def body(left, right):
        waiting = [right.recv() for _ in range(3)]
        await left.send_multipart([b"a", b"b", b"c"])
        assert await asyncio.gather(*waiting) == [b"a", b"b", b"c"]

    run(body)


@on_loops
def test_sends_that_have_to_wait(factory):
    async def body(left, right):
        context = zmq.asyncio.Context()
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        push.sndhwm = pull.rcvhwm = 1
        push.bind("inproc://full")
        count = 20
        sends = [push.send(b"%d" % i) for i in range(count)]
        sends += [push.send_multipart([b"%d" % i, b"x"]) for i in range(count)]
        assert not sends[0].done()
        pull.connect("inproc://full")
        for i in range(count):
            assert await pull.recv() == b"%d" % i
        for i in range(count):
            assert await pull.recv_multipart() == [b"%d" % i, b"x"]
        await asyncio.gather(*sends)
        context.destroy(linger=0)

    run(body, factory)


def test_timeouts_and_now():
    async def body(left, right):
        with pytest.raises(zmq.Again):
            await right.recv(zmq.NOBLOCK)
        right.rcvtimeo = 20
        began = time.monotonic()
        with pytest.raises(zmq.Again):
            await right.recv()
        assert time.monotonic() - began >= 0.019
        right.rcvtimeo = -1
        await left.send(b"x")
        assert await right.recv() == b"x"

    run(body)


def test_close_cancels_what_waits():
    async def body(left, right):
        waiting = right.recv()
        right.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(zmq.ZMQError):
            await right.recv()

    run(body)


@pytest.mark.ratchet
def test_the_end_of_the_context_is_told():
    async def body(left, right):
        waiting = right.recv()
        thread = threading.Thread(target=right.context.term)
        thread.start()
        with pytest.raises(zmq.ContextTerminated):
            await waiting
        left.close(0)
        right.close(0)
        thread.join()

    run(body)


@pytest.mark.ratchet
@on_loops
def test_a_cancelled_receive_loses_nothing(factory):
    async def body(left, right):
        count, got = 400, []

        async def send():
            for i in range(count):
                await left.send_multipart([b"%d" % i, b"x"])
                await asyncio.sleep(random.random() * 0.001)

        sending = asyncio.ensure_future(send())
        while len(got) < count:
            try:
                async with asyncio.timeout(random.random() * 0.001):
                    got.append(int((await right.recv_multipart())[0]))
            except TimeoutError:
                assert not sending.done() or await right.poll(10_000)
        await sending
        assert got == list(range(count))

    run(body, factory)


@pytest.mark.ratchet
def test_a_message_that_nobody_took_is_received_next():
    async def body(left, right):
        async def one():
            return await right.recv()

        ended = set()
        for turns in range(6):  # somewhere in between its future has the message
            task = asyncio.ensure_future(one())
            await asyncio.sleep(0)
            await left.send(b"a")
            while not zmq.Socket.get(right, zmq.EVENTS) & zmq.POLLIN:
                time.sleep(0.001)  # noqa: ASYNC251 (the loop must not run meanwhile)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            ended.add(task.cancelled())
            if task.cancelled():
                assert await asyncio.wait_for(right.recv(), 10) == b"a"
            else:
                assert task.result() == b"a"
        assert ended == {True, False}
        await left.send(b"b")
        await right.poll(10_000)
        received = right.recv()  # has it at once
        assert received.done()
        del received
        gc.collect()
        assert await asyncio.wait_for(right.recv(), 10) == b"b"

    run(body)


@pytest.mark.ratchet
@on_loops
def test_a_busy_socket_lets_the_loop_run(factory):
    """Counted in turns of the loop, which take as long as the machine lets them."""

    async def body(left, right):
        loop = asyncio.get_running_loop()
        turns = longest = 0  # the calls between two turns, at most
        calls = 0

        def turn():
            nonlocal turns, longest, calls
            turns += 1
            longest, calls = max(longest, calls), 0
            if not over:
                loop.call_soon(turn)

        over = False
        turn()
        for n in range(3000):
            await left.send_multipart([b"x", b"y"])
            calls += 1
            if n % 2:
                assert await right.recv() == b"x"
                assert await right.recv() == b"y"
                calls += 1
            else:
                await right.recv_multipart()
            calls += 1
        over = True
        await asyncio.sleep(0)
        assert turns >= 3000 * 2.5 / 200
        assert longest <= 200

    run(body, factory)


@pytest.mark.ratchet
def test_many_calls_that_wait_let_the_loop_run():
    async def body(left, right):
        loop = asyncio.get_running_loop()
        count = 2000
        waiting = [right.recv() for _ in range(count)]
        await asyncio.sleep(0)
        for n in range(count):
            await left.send(b"%d" % n)
        most, before = 0, sum(one.done() for one in waiting)

        def turn():
            nonlocal most, before
            now = sum(one.done() for one in waiting)
            most, before = max(most, now - before), now
            if now < count:
                loop.call_soon(turn)

        turn()
        assert await asyncio.gather(*waiting) == [b"%d" % n for n in range(count)]
        assert most <= 300

    run(body)


@pytest.mark.ratchet
@on_loops
def test_parts_of_two_tasks_do_not_mix(factory):
    """An await of what is done may let the loop run, but not between two parts."""

    async def body(left, right):
        count = 300

        async def send(name):
            for n in range(count):
                await left.send(b"%d" % name, zmq.SNDMORE)
                await left.send(b"%d" % n)
                if n % 50 == 0:
                    await asyncio.sleep(0)

        async def receive():
            got = []
            while len(got) < count:
                await right.poll()
                name = await right.recv()
                assert right.rcvmore
                got.append((int(name), int(await right.recv())))
            return got

        found = await asyncio.gather(receive(), receive(), send(1), send(2))
        assert sorted(found[0] + found[1]) == [(n, i) for n in (1, 2) for i in range(count)]

    run(body, factory)


def test_a_socket_goes_from_one_loop_to_the_next():
    context = zmq.asyncio.Context()
    left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    left.bind("inproc://loops")
    right.connect("inproc://loops")
    for i in range(3):

        async def main(i=i):
            waiting = asyncio.ensure_future(right.recv())
            await asyncio.sleep(0)
            await left.send(b"%d" % i)
            return await waiting

        assert asyncio.run(main()) == b"%d" % i
    context.destroy(linger=0)


def test_sends_that_nobody_awaits():
    async def body(left, right):
        for i in range(10):
            left.send(b"%d" % i)
        assert [await right.recv() for _ in range(10)] == [b"%d" % i for i in range(10)]

    run(body)


def test_pollers():
    async def body(left, right):
        poller = zmq.asyncio.Poller()
        poller.register(right, zmq.POLLIN)
        assert await poller.poll(10) == []
        await left.send(b"x")
        assert await poller.poll(10_000) == [(right, zmq.POLLIN)]
        assert await right.poll(10_000)
        assert zmq.Socket.recv(right) == b"x"  # the base class's call

    run(body)


def test_a_poller_of_what_is_closed():
    async def body(left, right):
        poller = zmq.asyncio.Poller()
        poller.register(right, zmq.POLLIN)
        right.close()
        with pytest.raises(zmq.ZMQError) as caught:
            await poller.poll(10_000)
        assert caught.value.errno == zmq.ENOTSOCK
        poller.unregister(right)
        poller.register(left, zmq.POLLOUT)
        left.close()
        with pytest.raises(zmq.ZMQError) as caught:
            await poller.poll(10_000)
        assert caught.value.errno == zmq.ENOTSOCK

    run(body)


def test_received_frames_have_trackers():
    async def body(left, right):
        late = right.recv(copy=False, track=True)
        await left.send_multipart([b"a", b"b"])
        left.send_multipart([b"c", b"d"])
        frames = [await late, await right.recv(copy=False, track=True)]
        frames += await right.recv_multipart(copy=False, track=True)
        assert [frame.bytes for frame in frames] == [b"a", b"b", b"c", b"d"]
        assert all(frame.tracker.done for frame in frames)

    run(body)


def test_a_message_that_the_program_has_is_not_received_again():
    async def body(left, right):
        count = 300
        for number in range(count):
            await left.send(b"%d" % number)

        async def one():
            future = right.recv()
            if future.done():
                got.append(future.result())
                await future  # may let the loop run, and is cancelled there
            else:
                got.append(await future)

        got = []
        while len(got) < count:
            task = asyncio.ensure_future(one())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert got == [b"%d" % number for number in range(count)]

    run(body)


@pytest.mark.ratchet
def test_what_raises_while_it_is_received_holds_up_nobody():
    async def body(left, right):
        def load(_):
            raise asyncio.CancelledError

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        first = asyncio.ensure_future(right.recv_serialized(load))
        second = asyncio.ensure_future(right.recv())
        await asyncio.sleep(0)
        await left.send(b"a")
        await left.send(b"b")
        assert await asyncio.wait_for(second, 10) == b"b"
        first.cancel()

    run(body)
