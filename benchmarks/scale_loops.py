"""What `scale.py` measures, written once and fitted to each library as `loops.py` is.

Each function takes the library, the number of sockets and about how many seconds it may measure,
and answers with the cost of one message or switch in seconds.
"""

from __future__ import annotations

import random
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .adapters import Cooperative

ITEM = b"sixteen bytes ok"
# Messages on their way at once, to different sockets: so with ten sockets as with ten thousand,
# each message wakes one thread.
AT_ONCE = 10
# Groups of so many between two looks at the clock; in the fan-in, messages of each socket, and the
# least in all.
GROUPS = 100
EACH, LEAST = 10, 20_000


def listeners(library: Cooperative, number: int) -> tuple[Any, list[Any], list[list[bytes]]]:
    """One socket that can address each of many, these, and the messages for them."""
    router = library.new("ROUTER", 1000)
    router.router_mandatory = True
    router.bind("inproc://scale")
    socks, messages = [], []
    for index in range(number):
        sock = library.new("DEALER", 1000)
        sock.routing_id = b"socket-%06d" % index
        sock.connect("inproc://scale")
        socks.append(sock)
        messages.append([b"socket-%06d" % index, ITEM])
    return router, socks, messages


def in_order(number: int) -> list[list[int]]:
    """All sockets, some at once."""
    numbers = list(range(number))
    return [numbers[at : at + AT_ONCE] for at in range(0, number, AT_ONCE)]


def at_random(number: int) -> list[list[int]]:
    """Random sockets, some at once."""
    return [random.sample(range(number), AT_ONCE) for _ in range(GROUPS)]


async def listen(recv: Callable[..., Any], bell: Any) -> None:
    """Receive for ever; the last of those expected rings."""
    while True:
        data = await recv()
        assert data == ITEM
        bell.left -= 1
        if not bell.left:
            bell.ring()


async def call(send: Callable[..., Any], messages: Any, picks: Any, bell: Any) -> float:
    """Send a few messages, each to the socket picked, and pause until all have arrived."""
    start = perf_counter()
    for few in picks:
        bell.left = len(few)
        for number in few:
            await send(messages[number])
        await bell.wait()
    return perf_counter() - start


async def direct(send: Callable[..., Any], messages: Any, picks: Any, recvs: Any) -> float:
    """Do the same without anybody paused: the sender receives."""
    start = perf_counter()
    for few in picks:
        for number in few:
            await send(messages[number])
        for number in few:
            data = await recvs[number]()
            assert data == ITEM
    return perf_counter() - start


async def paused(library: Cooperative, number: int, seconds: float) -> float:
    """A message to one of many threads, each paused on its own socket."""
    router, socks, messages = listeners(library, number)
    bell, give_way = library.bell(), library.give_way()
    for sock in socks:
        library.spawn(listen, sock.recv, bell)
    await give_way()
    await give_way()
    await call(router.send_multipart, messages, in_order(number), bell)
    total, groups = 0.0, -1
    while total < seconds:
        groups += 1
        spent = await call(router.send_multipart, messages, at_random(number), bell)
        total += spent if groups else 0.0  # the first one only warms up
    return total / (groups * GROUPS * AT_ONCE)


async def nobody(library: Cooperative, number: int, seconds: float) -> float:
    """The same sockets and messages, and nobody is paused."""
    router, socks, messages = listeners(library, number)
    recvs = [sock.recv for sock in socks]
    await direct(router.send_multipart, messages, in_order(number), recvs)
    total, groups = 0.0, -1
    while total < seconds:
        groups += 1
        spent = await direct(router.send_multipart, messages, at_random(number), recvs)
        total += spent if groups else 0.0
    return total / (groups * GROUPS * AT_ONCE)


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
    """Let the other one run."""
    for _ in range(count):
        await give_way()


async def switch(library: Cooperative, _number: int, seconds: float) -> float:
    """Two threads that let each other run."""
    give_way = library.give_way()
    count = int(200_000 * seconds)
    library.spawn(turns, give_way, 2 * count)
    await turns(give_way, count // 10)
    start = perf_counter()
    await turns(give_way, count)
    return (perf_counter() - start) / (2 * count)
