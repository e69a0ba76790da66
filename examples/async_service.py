"""Requests and replies in asyncio: a service that is slow at times, clients that ask again.

Each question has a number, and each attempt a timeout. A client that hears nothing asks again; an
answer that comes too late, to an attempt that was given up, is known by its number and passed over.
"""

import asyncio

from ratchet import Timeout
from ratchet.asyncio import new

CLIENTS = 5
QUESTIONS = 20  # of each client
PATIENCE = 0.05  # seconds for one attempt
ATTEMPTS = 5


async def serve(router):
    """Answer each request in a task of its own; every seventh is forgotten, every ninth late."""
    count = 0
    async with asyncio.TaskGroup() as group:
        while True:
            request = await router.recv_multipart()
            count += 1
            if count % 7:
                group.create_task(answer(router, request, 2 * PATIENCE if count % 9 == 0 else 0))


async def answer(router, request, delay):
    """Think, and send the square back to whoever asked."""
    await asyncio.sleep(delay)
    client, number, question = request
    await router.send_multipart([client, number, b"%d" % int(question) ** 2])


class Client:
    """Asks one question at a time."""

    def __init__(self, dealer):
        self.dealer = dealer
        self.number = 0
        self.retries = 0

    async def ask(self, question):
        """The answer to a question, however often it takes to ask."""
        self.number += 1
        number = b"%d" % self.number
        for _ in range(ATTEMPTS):
            await self.dealer.send_multipart([number, b"%d" % question])
            try:
                async with asyncio.timeout(PATIENCE):
                    while True:
                        answered, answer = await self.dealer.recv_multipart(timeout=PATIENCE)
                        if answered == number:
                            return int(answer)
            except (Timeout, TimeoutError):  # the call's own timeout, and that of the attempt
                self.retries += 1
        raise Timeout(f"no answer to {question} after {ATTEMPTS} attempts")


async def use(endpoint, start):
    """One client: how many answers were right, and how often it asked again."""
    async with new("DEALER") as dealer:
        dealer.connect(endpoint)
        client = Client(dealer)
        questions = range(start, start + QUESTIONS)
        right = [await client.ask(n) == n * n for n in questions]
        return sum(right), client.retries


async def main():
    """A service and its clients; when they have their answers, the service is cancelled."""
    async with new("ROUTER", router_mandatory=False) as router:
        service = asyncio.create_task(serve(router))
        endpoint = router.bind("tcp://127.0.0.1:*")
        results = await asyncio.gather(*(use(endpoint, 100 * n) for n in range(CLIENTS)))
        service.cancel()
        await asyncio.wait([service])
    return [sum(column) for column in zip(*results, strict=True)]


if __name__ == "__main__":
    right, retries = asyncio.run(main())
    print(f"{right} right answers, {'some' if retries else 'none'} of them asked for again")
