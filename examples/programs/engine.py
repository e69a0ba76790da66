"""An engine that makes tokens for many clients at a time, and a front end that streams them.

The engine makes one token for each open request in a step, as an inference engine with continuous
batching does; here a step is a sleep. The front end hands each token to its client. A client that
cancels, or is gone, costs the engine no further token. When the engine dies, the front end gives
the next one all open requests, each with how many tokens its client has; clients see no gap.
"""

import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass

from ratchet import Error, Timeout, zmqsocket
from ratchet.asyncio import new

CLIENTS = 50
TOKENS = 50  # of each answer
STEP = 0.02  # seconds in which the engine makes a token for each open request


@dataclass
class Request:
    """What a client has asked for."""

    prompt: bytes
    count: int  # tokens that it wants
    have: int = 0  # tokens that it has


def engine(endpoint, step=STEP):
    """Make tokens: ``START id prompt count have`` and ``CANCEL id``, to ``id number token``."""
    requests = {}  # by the id of the client
    with zmqsocket.new("PAIR") as pair:
        pair.bind(endpoint)
        while True:
            with contextlib.suppress(Timeout):
                while True:  # all that has come; if nothing is to do, wait for it
                    what, name, *rest = pair.recv_multipart(timeout=0 if requests else None)
                    if what == b"START":
                        requests[name] = Request(rest[0], int(rest[1]), int(rest[2]))
                    else:
                        requests.pop(name, None)
            time.sleep(step)
            for name, request in list(requests.items()):
                token = b"%s-%d %.6f" % (request.prompt, request.have, time.monotonic())
                pair.send_multipart([name, b"%d" % request.have, token])
                request.have += 1
                if request.have == request.count:
                    del requests[name]


class FrontEnd:
    """Stands between clients and an engine."""

    def __init__(self, engine):
        self.clients = new("ROUTER")
        self.engine = new("PAIR", linger=0)
        self.monitor = self.engine.monitor("HANDSHAKE_SUCCEEDED")
        self.requests = {}  # by client
        self.made = 0  # tokens that came from the engine
        self.endpoint = self.clients.bind("tcp://127.0.0.1:*")
        self.engine.connect(engine)

    async def start(self, client):
        """Give the engine a request, or what is left of it."""
        if request := self.requests.get(client):  # it has not cancelled meanwhile
            counts = b"%d" % request.count, b"%d" % request.have
            await self.engine.send_multipart([b"START", client, request.prompt, *counts])

    async def from_clients(self):
        """Take requests, ``ASK prompt count``, and cancellations."""
        while True:
            client, what, *rest = await self.clients.recv_multipart()
            if what == b"ASK":
                self.requests[client] = Request(rest[0], int(rest[1]))
                await self.start(client)
            else:
                await self.end(client)

    async def end(self, client):
        """Have the engine make nothing more for a client."""
        if self.requests.pop(client, None):
            await self.engine.send_multipart([b"CANCEL", client])

    async def from_engine(self):
        """Hand out tokens, each once and in order."""
        while True:
            client, number, token = await self.engine.recv_multipart()
            self.made += 1
            request = self.requests.get(client)
            if request is None or request.have != int(number):
                continue  # it is cancelled, or both engines made it
            request.have += 1
            if request.have == request.count:
                del self.requests[client]
            try:
                await self.clients.send_multipart([client, token])
            except Error:  # EHOSTUNREACH: the client is gone
                await self.end(client)

    async def engines(self):
        """Give each engine that comes all that is open."""
        async for _ in self.monitor:
            for client in list(self.requests):
                await self.start(client)

    async def run(self):
        """Serve until it is cancelled."""
        with self.clients, self.engine, self.monitor:
            async with asyncio.TaskGroup() as group:
                for work in (self.from_clients, self.from_engine, self.engines):
                    group.create_task(work())


async def ask(endpoint, prompt, count=TOKENS, cancel_after=None, delays=None):
    """Ask for tokens, and give up after ``cancel_after`` of them; return those that came."""
    delays, tokens = [] if delays is None else delays, []
    with new("DEALER", linger=1.0) as dealer:
        dealer.connect(endpoint)
        await dealer.send_multipart([b"ASK", prompt, b"%d" % count])
        while len(tokens) < count:
            token, made = (await dealer.recv_all(timeout=30)).rsplit(b" ", 1)
            tokens.append(token)
            delays.append(time.monotonic() - float(made))
            if len(tokens) == cancel_after:
                await dealer.send(b"CANCEL")
                break
    return tokens


async def measure(front):
    """Ask with many clients, of which every fourth gives up after ten tokens."""
    counts = [TOKENS if n % 4 else 10 for n in range(CLIENTS)]
    await ask(front.endpoint, b"warm", 1)
    began, before, delays = time.monotonic(), front.made, []
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(ask(front.endpoint, b"p%d" % n, TOKENS, count, delays))
            for n, count in enumerate(counts)
        ]
    seconds = time.monotonic() - began
    right = all(
        task.result() == [b"p%d-%d" % (n, number) for number in range(counts[n])]
        for n, task in enumerate(asked)
    )
    delays.sort()
    print(
        f"{CLIENTS} clients, all answers right: {right}; {sum(counts) / seconds:.0f} tokens/s; "
        f"engine to client {statistics.median(delays) * 1e3:.1f} ms, "
        f"99 of 100 within {delays[int(0.99 * len(delays))] * 1e3:.1f} ms; "
        f"{front.made - before - sum(counts)} tokens made for who had cancelled"
    )
    return right


async def main():
    """Start an engine in another process and a front end here."""
    with zmqsocket.new("PAIR") as free:
        place = free.bind("tcp://127.0.0.1:*")
    process = multiprocessing.get_context("spawn").Process(target=engine, args=[place])
    process.start()
    front = FrontEnd(place)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(front.run())
            right = await measure(front)
            serving.cancel()
    finally:
        process.kill()
        process.join()
    return right


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
