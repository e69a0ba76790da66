"""zmq.asyncio by pyzmq's API."""

import asyncio

import zmq
import zmq.asyncio


def run(body):
    async def main():
        context = zmq.asyncio.Context()
        try:
            left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
            port = left.bind_to_random_port("tcp://127.0.0.1")
            right.connect(f"tcp://127.0.0.1:{port}")
            await asyncio.wait_for(body(left, right), 30)
        finally:
            context.destroy(linger=0)

    asyncio.run(main())


def test_messages():
    async def body(left, right):
        for i in range(100):
            await left.send(b"%d" % i)
            assert await right.recv() == b"%d" % i
        await left.send_multipart([b"a", b"b"])
        assert await right.recv_multipart() == [b"a", b"b"]
        await left.send_json({"a": 1})
        assert await right.recv_json() == {"a": 1}

    run(body)


def test_receives_are_served_in_their_order():
    async def body(left, right):
        waiting = [asyncio.ensure_future(right.recv()) for _ in range(5)]
        await asyncio.sleep(0)
        for i in range(5):
            await left.send(b"%d" % i)
        assert await asyncio.gather(*waiting) == [b"%d" % i for i in range(5)]

    run(body)


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
