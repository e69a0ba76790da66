"""The measured loops, written once; adapters.py fits them to each library by three replacements.

They stand here for calls that are awaited and that answer with the data alone. For a blocking
library `await` is taken out, for ratchet `data = recv()` is `data, more = recv()`, and NOW is what
tells the library's recv not to wait: each as its user would write it.

Each takes the sending and receiving methods of its sockets, and answers with the seconds and with
what it received last. Methods are local names, nothing else is called while the clock runs, and
between processes the clock starts only after a first message has found its way.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .adapters import Parcel

    Ends = list[tuple[Any, Callable[..., Any]]]
    Outcome = tuple[float, Any]


async def send(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send a first message and `count` more, the last of them different."""
    send, item = ends[0][0], parcel.item
    await send(item)
    start = perf_counter()
    for _ in range(count - 1):
        await send(item)
    await send(parcel.last)
    return perf_counter() - start, parcel.last


async def recv(ends: Ends, _parcel: Parcel, count: int) -> Outcome:
    """Receive what `send` sends, and time all but the first."""
    recv = ends[0][1]
    data = await recv()
    start = perf_counter()
    for _ in range(count):
        data = await recv()
    return perf_counter() - start, data


async def send_many(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send the same in batches."""
    send_many, batch = ends[0][0], parcel.batch
    await send_many([parcel.item])
    start = perf_counter()
    for _ in range(count // len(batch) - 1):
        await send_many(batch)
    await send_many(parcel.last_batch)
    return perf_counter() - start, parcel.last


async def recv_many(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Receive the same in what batches there are."""
    recv_many, batch = ends[0][1], len(parcel.batch)
    await recv_many(1)
    start = perf_counter()
    while count > 0:
        got = await recv_many(min(batch, count))
        count -= len(got)
    return perf_counter() - start, got[-1]


async def ping(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send and await the answer; one round trip to warm up, and `count` more."""
    (send, recv), item = ends[0], parcel.item
    await send(item)
    data = await recv()
    start = perf_counter()
    for _ in range(count):
        await send(item)
        data = await recv()
    return perf_counter() - start, data


async def pong(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Answer `ping`."""
    (send, recv), item = ends[0], parcel.item
    start = perf_counter()
    for _ in range(count):
        data = await recv()
        await send(item)
    data = await recv()
    await send(parcel.last)
    return perf_counter() - start, data


async def alternate(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send on the first socket, receive on the second, one message at a time."""
    send, recv, item = ends[0][0], ends[1][1], parcel.item
    start = perf_counter()
    for _ in range(count - 1):
        await send(item)
        data = await recv()
    await send(parcel.last)
    data = await recv()
    return perf_counter() - start, data


async def burst(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send a batch one by one on the first socket, receive it on the second, and again."""
    send, recv = ends[0][0], ends[1][1]
    item, batch = parcel.item, len(parcel.batch)
    start = perf_counter()
    for turn in range(count // batch - 1, -1, -1):
        for _ in range(batch - 1):
            await send(item)
        await send(item if turn else parcel.last)
        for _ in range(batch):
            data = await recv()
    return perf_counter() - start, data


async def burst_many(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Do the same with one call to send a batch and as few as possible to receive it."""
    send_many, recv_many, batch = ends[0][0], ends[1][1], len(parcel.batch)
    start = perf_counter()
    for turn in range(count // batch - 1, -1, -1):
        await send_many(parcel.batch if turn else parcel.last_batch)
        left = batch
        while left > 0:
            got = await recv_many(left)
            left -= len(got)
    return perf_counter() - start, got[-1]


async def burst_iterated(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send a batch one by one, receive it by iteration, and again."""
    send, coming, item, batch = ends[0][0], ends[1][1](), parcel.item, len(parcel.batch)
    start = perf_counter()
    for turn in range(count // batch - 1, -1, -1):
        for _ in range(batch - 1):
            await send(item)
        await send(item if turn else parcel.last)
        left = batch
        for data in coming:  # noqa: B007 (the last one is the answer)
            left -= 1
            if not left:
                break
    return perf_counter() - start, data


async def bounce(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Be both sides of a round trip."""
    ((send, recv), (answer, hear)), item = ends, parcel.item
    start = perf_counter()
    for left in range(count - 1, -1, -1):
        await send(item)
        data = await hear()
        await answer(item if left else parcel.last)
        data = await recv()
    return perf_counter() - start, data


async def greet(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send one, for which subscribers may be too late, or the last one, which reaches all."""
    await ends[0][0](parcel.last if count else parcel.item)
    return 0.0, parcel.last


async def hear(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Receive one of these on each socket, and then (count 1) all up to the last one."""
    for _, recv in ends[:-1]:
        data = await recv()
        while count and data != parcel.last:
            data = await recv()
    return 0.0, parcel.last


async def scatter(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send in turn on all sockets but the last, which hears of each batch; two are on their way."""
    sends, heard = [send for send, _ in ends[:-1]], ends[-1][1]
    item, batch = parcel.item, len(parcel.batch)
    final = count // batch - 1
    for turn in range(-1, final + 1):
        for _ in range(batch - 1):
            for send in sends:
                await send(item)
        for send in sends:
            await send(item if turn < final else parcel.last)
        if turn:
            await heard()
        if turn < 0:
            start = perf_counter()
    await heard()
    return perf_counter() - start, parcel.last


async def gather(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Receive what `scatter` sends, on each socket in turn."""
    recvs, tell = [recv for _, recv in ends[:-1]], ends[-1][0]
    item, batch = parcel.item, len(parcel.batch)
    for turn in range(-1, count // batch):
        for _ in range(batch):
            for recv in recvs:
                data = await recv()
        if turn < 0:
            start = perf_counter()
        await tell(item)
    return perf_counter() - start, data


async def flow(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Send through a proxy and receive, with a batch on its way all the time."""
    send, recv = ends[0][0], ends[1][1]
    item, batch = parcel.item, len(parcel.batch)
    await send(item)
    data = await recv()
    start = perf_counter()
    for _ in range(batch):
        await send(item)
    for _ in range(count - batch - 1):
        data = await recv()
        await send(item)
    data = await recv()
    await send(parcel.last)
    for _ in range(batch):
        data = await recv()
    return perf_counter() - start, data


async def forward(ends: Ends, _parcel: Parcel, count: int) -> Outcome:
    """Be the proxy."""
    recv, send = ends[0][1], ends[1][0]
    start = perf_counter()
    for _ in range(count + 1):
        data = await recv()
        await send(data)
    return perf_counter() - start, data


async def empty(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Ask for a message when there is none; what is sent here is the exception."""
    nothing, recv = ends[1]
    start = perf_counter()
    for _ in range(count):
        try:
            recv(NOW)  # type: ignore[name-defined]  # noqa: F821
        except nothing:
            continue
        raise AssertionError("there was a message")
    return perf_counter() - start, parcel.last


async def cycle(new: Callable[[str, int], Any], count: int) -> Outcome:
    """Open a pair of sockets, pass a message, close them; `count` times."""
    start = perf_counter()
    for number in range(count):
        near, far = new("PUSH", 10), new("PULL", 10)
        endpoint = f"inproc://cycle-{number}"  # libzmq frees a name only some time after the close
        far.bind(endpoint)
        near.connect(endpoint)
        await near.send(b"sixteen bytes ok")
        last = await far.recv()
        near.close()
        far.close()
    return perf_counter() - start, last


async def ready(ends: Ends, parcel: Parcel, count: int) -> Outcome:
    """Time only receiving what is there, a batch at a time."""
    send, recv, batch = ends[0][0], ends[1][1], parcel.last_batch
    seconds = 0.0
    for _ in range(count // len(batch)):
        for item in batch:
            await send(item)
        start = perf_counter()
        for _ in batch:
            data = await recv()
        seconds += perf_counter() - start
    return seconds, data
