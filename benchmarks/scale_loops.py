"""What `scale.py` measures, written once and fitted to each library as `loops.py` is.

Each function takes the library, the number N and about how many seconds it may measure, and answers
with the cost of one message or switch in seconds.
"""

from __future__ import annotations

import random
import select
from itertools import cycle, islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .adapters import Cooperative, Library

ITEM = b"sixteen bytes ok"
# Messages on their way at once, each to another socket: so with ten sockets as with ten thousand,
# each message wakes one thread.
AT_ONCE = 10
# Groups of so many between two looks at the clock; in the fan-in, messages of each socket, and the
# least in all.
GROUPS = 200
EACH, LEAST = 10, 20_000
# Bytes of messages between two looks at the clock.
ENOUGH = 1 << 22


def listeners(library: Library, number: int) -> tuple[Any, list[Any]]:
    """A socket that sends each message to the next of many, in random order, and these."""
    push = library.new("PUSH", 1000)
    push.bind("inproc://scale")
    socks = [library.new("PULL", 1000) for _ in range(number)]
    for sock in random.sample(socks, number):  # so what comes next is not what lies next in memory
        sock.connect("inproc://scale")
    return push, socks


async def listen(recv: Callable[..., Any], bell: Any) -> None:
    """Receive for ever; the last of those expected rings."""
    while True:
        data = await recv()
        assert data == ITEM
        bell.left -= 1
        if not bell.left:
            bell.ring()


async def call(send: Callable[..., Any], at_once: int, groups: int, bell: Any) -> float:
    """Send a few messages and pause until all have arrived, again and again."""
    start = perf_counter()
    for _ in range(groups):
        bell.left = at_once
        for _ in range(at_once):
            await send(ITEM)
        await bell.wait()
    return perf_counter() - start


async def idle(library: Cooperative, number: int, seconds: float) -> float:
    """A message to one of a few threads, while many are paused on their own sockets."""
    quiet = library.new("PUSH", 1000)
    quiet.bind("inproc://quiet")
    for _ in range(number - AT_ONCE):
        sock = library.new("PULL", 1000)
        sock.connect("inproc://quiet")
        library.spawn(listen, sock.recv, None)
    return await paused(library, AT_ONCE, seconds)


async def paused(library: Cooperative, number: int, seconds: float) -> float:
    """A message to one of many threads, each paused on its own socket."""
    push, socks = listeners(library, number)
    bell, give_way = library.bell(), library.give_way()
    for sock in socks:
        library.spawn(listen, sock.recv, bell)
    await give_way()
    await give_way()
    at_once = min(library.at_once, number)
    await call(push.send, at_once, number // at_once, bell)  # each of them, once
    total, groups = 0.0, 0
    while groups <= 0 or total < seconds:
        total += await call(push.send, at_once, GROUPS, bell)
        groups += GROUPS
    return total / (groups * at_once)


os_threads = paused


async def floor(library: Library, number: int, seconds: float) -> float:
    """The same messages without threads: one loop asks epoll whom to ask."""
    push, socks = listeners(library, number)
    send, epoll, calls, at_once = push.send, select.epoll(), {}, min(AT_ONCE, number)
    for sock in socks:
        calls[sock.fileno()] = sock.is_readable, sock.recv
        epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLET)
        sock.is_readable()  # libzmq rings only for who has looked before
    total, groups = 0.0, -(number // at_once)  # each of them once, before it counts
    while groups <= 0 or total < seconds:
        start = perf_counter()
        for _ in range(GROUPS):
            left = at_once
            for _ in range(at_once):
                await send(ITEM)
            while left:
                for fd, _ in epoll.poll():
                    is_readable, recv = calls[fd]
                    while is_readable():
                        data = await recv()
                        assert data == ITEM
                        left -= 1
        groups += GROUPS
        total += perf_counter() - start if groups > 0 else 0.0
    return total / (groups * at_once)


async def feed(send: Callable[..., Any], count: int, give_way: Callable[[], Any]) -> None:
    """Send so many, and after each let the others run."""
    await give_way()
    for _ in range(count):
        await send(ITEM)
        await give_way()


async def fan_in(library: Cooperative, number: int, _seconds: float) -> float:
    """A message from one of many threads, each with its own socket, to one receiver."""
    pull, give_way = library.new("PULL", 1000), library.give_way()
    pull.bind("inproc://scale")
    recv = pull.recv
    count = max(EACH, LEAST // number)
    socks = []
    for _ in range(number):
        socks.append(library.new("PUSH", 1000))
        socks[-1].connect("inproc://scale")
        library.spawn(feed, socks[-1].send, count, give_way)
    await give_way()  # now all have begun
    start = perf_counter()
    for _ in range(number * count):
        data = await recv()
    assert data == ITEM
    return (perf_counter() - start) / (number * count)


async def turns(give_way: Callable[[], Any], count: int) -> None:
    """Let the others run."""
    for _ in range(count):
        await give_way()


async def switch(library: Cooperative, number: int, seconds: float) -> float:
    """Threads that let each other run."""
    give_way = library.give_way()
    count = max(int(200_000 * seconds) // number, 5)
    for _ in range(number - 1):
        library.spawn(turns, give_way, 3 * count)
    await turns(give_way, count // 2)
    start = perf_counter()
    await turns(give_way, count)
    return (perf_counter() - start) / (number * count)


async def peers(library: Library, number: int, seconds: float, endpoint: str) -> float:
    """A message from the next of many connected sockets, in random order, to one socket."""
    pull = library.new("PULL", 1000)
    endpoint = library.join(pull, endpoint, True)
    socks = [library.new("PUSH", 1000) for _ in range(number)]
    for sock in socks:
        library.join(sock, endpoint, False)
    recv, coming = pull.recv, cycle([sock.send for sock in random.sample(socks, number)])
    for send in islice(coming, number):  # now all are connected
        await send(ITEM)
    for _ in range(number):
        data = await recv()
    total, groups = 0.0, 0
    while groups <= 0 or total < seconds:
        start = perf_counter()
        for _ in range(GROUPS):
            for send in islice(coming, AT_ONCE):
                await send(ITEM)
            for _ in range(AT_ONCE):
                data = await recv()
                assert data == ITEM
        total += perf_counter() - start
        groups += GROUPS
    return total / (groups * AT_ONCE)


async def peers_inproc(library: Library, number: int, seconds: float) -> float:
    """The same within the process."""
    return await peers(library, number, seconds, "inproc://scale")


async def peers_tcp(library: Library, number: int, seconds: float) -> float:
    """The same over the loopback."""
    return await peers(library, number, seconds, "tcp://127.0.0.1:*")


async def size(library: Library, number: int, seconds: float) -> float:
    """One send and one recv of so many bytes."""
    pull, push = library.new("PULL", 10), library.new("PUSH", 10)
    library.join(push, library.join(pull, "inproc://scale", True), False)
    send, recv = library.ends(push, "")[0], library.ends(pull, "")[1]
    item, times = library.goods(bytes(number)), min(max(ENOUGH // number, 2), 1000)
    total, count = 0.0, -times  # the first ones warm up
    while count <= 0 or total < seconds:
        start = perf_counter()
        for _ in range(times):
            await send(item)
            data = await recv()
        total += perf_counter() - start if count >= 0 else 0.0
        count += times
    assert len(data) == number
    return total / count
