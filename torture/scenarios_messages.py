"""No message is lost, doubled, torn or changed, whatever interrupts its sender or receiver."""

import array
import asyncio
import contextlib
import gc
import mmap
import time
import weakref

from .scenario import LIBRARIES, account, drain, fill, numbers, scenario

ENDPOINTS = ("inproc://torture", "tcp://127.0.0.1:*")

PAUSES = 0, 0, 0, 0.0002, 0.001  # seconds, of who sends and of who interrupts


async def trickle(rt, sock, messages, scale):
    """Send them, so that the receiver has to wait for many of them."""
    for message in messages:
        await rt.send(sock, message)
        if rt.kind != "threads" and scale.random.random() < 0.1:
            time.sleep(0.0006)  # a message, and the time at which a timeout passes, come at once
        await rt.sleep(scale.random.choice(PAUSES))


def enough(interrupted, sent):
    """The test has tested something."""
    assert interrupted > len(sent) // 50, f"wrong: only {interrupted} calls were interrupted"


@scenario("cooperative", "asyncio", "trio", "gevent")
async def stopped_receives(rt, scale):
    """A receive that is killed or cancelled loses no message."""
    for endpoint in ENDPOINTS:
        source, sink = rt.pair("PUSH", "PULL", endpoint)
        sent = numbers(scale.of(500, 10_000))
        begun = []
        got = []

        async def receive(sink=sink, begun=begun, got=got):
            while True:
                begun.append(1)
                got.append(await rt.recv(sink))

        sender = rt.spawn(trickle(rt, source, sent, scale))
        while not rt.ended(sender):
            receiver = rt.spawn(receive())
            await rt.sleep(0)  # or it would not even begin
            for _ in range(scale.random.randrange(5)):
                await rt.sleep(scale.random.choice(PAUSES))
            await rt.stop(receiver)
        enough(len(begun) - len(got), sent)
        got += await drain(rt, sink, len(sent) - len(got))
        account(sent, got, ordered=True)


async def hasty_receives(rt, scale, receive, gave_up):
    """Receive what trickles in by calls that may give up with an error, and count."""
    for endpoint in ENDPOINTS:
        source, sink = rt.pair("PUSH", "PULL", endpoint)
        sent = numbers(scale.of(500, 10_000))
        got = []
        interrupted = 0
        sender = rt.spawn(trickle(rt, source, sent, scale))
        while not rt.ended(sender):
            try:
                got.append(await receive(sink))
            except gave_up:
                interrupted += 1
                await rt.sleep(0)
        enough(interrupted, sent)
        got += await drain(rt, sink, len(sent) - len(got))
        account(sent, got, ordered=True)


@scenario("asyncio", "trio")
async def abandoned_receives(rt, scale):
    """A receive that `asyncio.timeout`, `wait_for` or trio's scope gives up loses no message."""

    async def receive(sink):
        seconds = scale.random.choice([0.0001, 0.0005, 0.001])
        if rt.kind == "trio" or scale.random.random() < 0.5:
            async with rt.timeout(seconds):
                return bytes(await rt.recv(sink))
        return bytes(await asyncio.wait_for(rt.recv(sink), seconds))

    await hasty_receives(rt, scale, receive, TimeoutError)


@scenario()
async def timed_receives(rt, scale):
    """A receive whose own timeout passes loses no message."""

    async def receive(sink):
        return bytes(await rt.recv(sink, scale.random.choice([0, 0.0002, 0.001])))

    await hasty_receives(rt, scale, receive, rt.timeouts)


@scenario()
async def timed_sends(rt, scale):
    """A send whose timeout passes has sent nothing; one that returns has sent it all."""
    for endpoint in ENDPOINTS:
        source, sink = rt.pair("PUSH", "PULL", endpoint, sndhwm=2, rcvhwm=2)
        done = []
        late = []
        got = []
        messages = numbers(scale.of(700, 10_000))

        async def send(source=source, done=done, late=late, messages=messages):
            for message in messages:
                seconds = scale.random.choice([0, 0.0002, 0.001])
                size = scale.random.choice([0, 0, 0, 50_000])  # these fill TCP's own buffers
                try:
                    await rt.send(source, message + bytes(size), seconds)
                    done.append(message + bytes(size))
                except rt.timeouts:
                    late.append(message)

        sender = rt.spawn(send())
        while not rt.ended(sender):
            before = len(late)
            stops = scale.random.random() < 0.1  # until one has given up
            while stops and len(late) == before and not rt.ended(sender):
                await rt.sleep(0.0002)
            with contextlib.suppress(*rt.timeouts):
                got.append(await rt.recv(sink, 0.001))
        enough(len(late), messages)
        got += await drain(rt, sink, len(done) - len(got) + 1, 0.3)
        account(done, got, ordered=True)


@scenario("cooperative", "asyncio", "trio", "gevent")
async def stopped_sends(rt, scale):
    """A send that is killed or cancelled while it waits has sent nothing."""
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture", sndhwm=1, rcvhwm=1)
    done = []
    got = []

    async def send(message):
        await rt.send(source, message)
        done.append(message)

    messages = numbers(scale.of(1000, 10_000))
    for message in messages:
        sender = rt.spawn(send(message))
        for _ in range(1 + scale.random.randrange(4)):
            await rt.sleep(0)
        if scale.random.random() < 0.5:
            with contextlib.suppress(*rt.timeouts):
                got.append(await rt.recv(sink, 0))
        await rt.stop(sender)
    enough(len(messages) - len(done), messages)
    got += await drain(rt, sink, len(done) - len(got) + 1, 0.3)
    account(done, got, ordered=True)


@scenario()
async def full_queues(rt, scale):
    """Senders pause at the high-water mark and go on when the slow reader has read."""
    reader = rt.new("PULL", rcvhwm=10)
    endpoint = rt.bind(reader, "inproc://torture")
    writers = [rt.new("PUSH", sndhwm=10) for _ in range(4)]
    for writer in writers:
        writer.connect(endpoint)
    first = await fill(rt, writers[0], b"0")
    # libzmq adds the marks of both ends of an inproc pipe.
    assert len(first) <= 20, f"wrong: {len(first)} messages in a queue of 20"
    count = scale.of(300, 5000)

    async def write(index, start):
        for n in range(start, count):
            await rt.send(writers[index], b"%d %d" % (index, n))

    tasks = [rt.spawn(write(n, 0 if n else len(first))) for n in range(4)]
    got = []
    while len(got) < 4 * count:
        try:
            got.append(await rt.recv(reader, 3.0))
        except rt.timeouts:
            break
        if scale.random.random() < 0.05:
            await rt.sleep(0.001)
    sent = [[b"%d %d" % (index, n) for n in range(count)] for index in range(4)]
    account([message for one in sent for message in one], got)
    for index, one in enumerate(sent):
        mine = [message for message in got if message.startswith(b"%d " % index)]
        account(one, mine, ordered=True)
    for task in tasks:
        await rt.join(task)


def buffers(data):
    """The same bytes in every kind of buffer that can be changed."""
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    made = {
        "bytearray": bytearray(data),
        "memoryview": memoryview(bytearray(data)),
        "array": array.array("B", data),
        "mmap": mapped,
    }
    with contextlib.suppress(ImportError):
        import numpy as np

        made["numpy"] = np.frombuffer(data, dtype="uint8").copy()
    return made


def resize(buffer, free=False):
    """A BufferError as long as somebody reads it, unless it is ``free``: numpy's cannot tell."""
    if isinstance(buffer, (bytearray, array.array)):
        del buffer[:]
    elif isinstance(buffer, mmap.mmap):
        buffer.close()
    elif isinstance(buffer, memoryview):
        buffer.release()
    else:
        try:
            buffer.resize(0, refcheck=not free)
        except ValueError as error:
            raise BufferError(str(error)) from None


def spoil(buffer):
    """Change every byte."""
    buffer[:] = (
        type(buffer)("B", b"#" * len(buffer))
        if isinstance(buffer, array.array)
        else (b"#" * len(buffer) if not hasattr(buffer, "fill") else 35)
    )


def memory(buffer):
    """Answers None once it is freed; of a bytearray always, for nothing tells."""
    return (lambda: None) if isinstance(buffer, bytearray) else weakref.ref(buffer)


@scenario()
async def changed_buffers(rt, scale):
    """What arrives is what the buffer held when `send` was called, and the buffer is free after."""
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture", sndhwm=1, rcvhwm=1)
    for size in (10, 1000, 200_000, *scale.of((), (3_000_000,))):
        data = scale.random.randbytes(size)
        made = buffers(data)
        for name in list(made):
            buffer = made.pop(name)
            await rt.send(source, buffer)
            spoil(buffer)
            with contextlib.suppress(BufferError):
                resize(buffer, free=True)
            kept = memory(buffer)
            del buffer
            gc.collect()
            assert kept() is None, f"wrong: a {name} is kept after send"
            assert await rt.recv(sink, 5) == data, f"wrong: data of a {name} changed after send"


@scenario()
async def changed_buffers_in_paused_sends(rt, scale):
    """What arrives is what the buffer held when `send` was called, however long it had to wait."""
    data = scale.random.randbytes(scale.of(1000, 200_000))
    for name, buffer in buffers(data).items():
        endpoint = f"inproc://{name}"
        source, sink = rt.pair("PUSH", "PULL", endpoint, sndhwm=1, rcvhwm=1)
        full = await fill(rt, source)
        sender = rt.spawn(rt.send(source, buffer))
        await rt.paused(source)
        with contextlib.suppress(BufferError):
            spoil(buffer)
            resize(buffer)
        got = await drain(rt, sink, len(full) + 1)
        await rt.join(sender)
        assert got[: len(full)] == full, "wrong: others"
        assert got[len(full) :] == [data], f"wrong: a {name} changed during send was sent changed"


@scenario("threads")
async def resized_during_send(rt, scale):
    """A buffer that another thread makes smaller and larger while it is sent crashes nothing."""
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture", sndhwm=2, rcvhwm=2)
    for name, data in buffers(bytes(SIZE)).items():
        if name != "memoryview":  # it has one size
            await send_while_resized(rt, source, sink, data, scale.of(30, 500))


SIZE = 4_000_000


async def send_while_resized(rt, source, sink, data, count):
    over = []

    async def resize():
        while not over:
            with contextlib.suppress(BufferError, ValueError):
                if hasattr(data, "extend"):
                    del data[:]
                    data.extend(bytes(SIZE))
                else:
                    for size in (mmap.PAGESIZE, SIZE):
                        data.resize(size)

    async def read():
        for _ in range(count):
            got = await rt.recv(sink, 10)
            whole = len(got) in (0, mmap.PAGESIZE, SIZE)
            assert whole, f"torn: {len(got)} bytes of {SIZE}"

    tasks = [rt.spawn(resize()), rt.spawn(read())]
    for _ in range(count):
        await rt.send(source, data, 10)
    over.append(True)
    for task in tasks:
        await rt.join(task, 30)


@scenario()
async def lent_buffers(rt, scale):
    """A buffer sent without a copy is kept until its tracker is done, which is when it has gone."""
    asks = {"track": True} if rt.library == "pyzmq" else {}
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture")
    for size in (10, 100, 10_000, 200_000):
        data = scale.random.randbytes(size)
        for dropped in (False, True):
            made = buffers(data)
            for name in list(made):
                buffer = made.pop(name)
                tracker = await rt.finished(source.send(buffer, copy=False, **asks))
                with contextlib.suppress(BufferError):
                    resize(buffer)  # harmless, if the library has a copy
                if dropped:
                    kept = memory(buffer)
                    del buffer
                    gc.collect()
                assert await rt.recv(sink, 5) == data, f"wrong: other data than the {name} had"
                until = time.monotonic() + 5
                while not tracker.done:
                    assert time.monotonic() < until, f"hangs: {size} bytes of a {name} have gone"
                    await rt.sleep(0.001)
                if not dropped:
                    resize(buffer, free=True)
                    kept = memory(buffer)
                    del buffer
                gc.collect()
                assert kept() is None, f"wrong: a {name} is kept although its tracker is done"


# With pyzmq's API sockets have libzmq's defaults, as its programs expect: also when on ratchet.
@scenario(libraries=LIBRARIES[:2])
async def loud_router(rt, _scale):
    """A ROUTER's send to an unknown peer raises, to a full one waits: it drops nothing."""
    router, peer = rt.new("ROUTER", sndhwm=2), rt.new("DEALER", routing_id=b"peer", rcvhwm=2)
    peer.connect(rt.bind(router, "inproc://torture"))
    await rt.send(peer, b"hello", 5)
    await rt.recv_parts(router, 5)
    try:
        await rt.send_parts(router, [b"nobody", b"x"], 1)
    except rt.timeouts:
        raise AssertionError("wrong: it waits for a peer that is not there") from None
    except rt.errors:
        pass
    else:
        raise AssertionError("wrong: dropped without a word")
    sent = []
    with contextlib.suppress(*rt.timeouts):
        for number in numbers(100):
            await rt.send_parts(router, [b"peer", number], 0.1)
            sent.append(number)
        raise AssertionError("wrong: a full peer is never full")
    account(sent, await drain(rt, peer, len(sent) + 1, 0.3), ordered=True)


@scenario()
async def tracker_of_parts(rt, _scale):
    """The tracker of a zero-copy message is done only when every part is."""
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture")
    asks = {"track": True} if rt.library == "pyzmq" else {}
    parts = [bytes(1_000_000), b"small"]
    tracker = await rt.finished(source.send_multipart(parts, copy=False, **asks))
    assert not tracker.done, "wrong: done while libzmq has the first part"
    await rt.recv_parts(sink)
