"""A pipeline with back-pressure in asyncio: a fast reader, slower workers, one writer.

The high-water marks are the back-pressure. The reader's `send` pauses as soon as the queues to
the workers are full, so what is under way never exceeds a small number, however long the input is.
"""

import asyncio

from ratchet.asyncio import new

ITEMS = 2000
WORKERS = 4
QUEUE = 5  # messages in each queue


class Gauge:
    """How many items are between the reader and the writer."""

    def __init__(self):
        self.now = self.most = 0

    def move(self, step):
        """One more on the way, or one less."""
        self.now += step
        self.most = max(self.most, self.now)


async def read(push, gauge):
    """Send as fast as it is taken, then tell every worker that there is no more."""
    for n in range(ITEMS):
        await push.send(b"%d" % n)
        gauge.move(1)
    await push.send_many([b"end"] * WORKERS)


async def work():
    """Treat items one by one, until there are no more."""
    async with new("PULL", rcvhwm=QUEUE) as pull, new("PUSH", sndhwm=QUEUE) as push:
        pull.connect("inproc://items")
        push.connect("inproc://results")
        async for data in pull:
            if data == b"end":
                break
            await asyncio.sleep(0)  # as if it asked a database
            await push.send(b"%d" % (2 * int(data)))
        await push.send(b"end")


async def write(pull, gauge):
    """Add up what comes, in batches, until every worker has ended."""
    total = ended = 0
    while ended < WORKERS:
        for data in await pull.recv_many(100):
            if data == b"end":
                ended += 1
            else:
                total += int(data)
                gauge.move(-1)
    return total


async def main():
    """The workers connect first, so that each is dealt its share."""
    gauge = Gauge()
    async with new("PUSH", sndhwm=QUEUE) as push, new("PULL", rcvhwm=QUEUE) as pull:
        push.bind("inproc://items")
        pull.bind("inproc://results")
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())
            await asyncio.sleep(0)
            group.create_task(read(push, gauge))
            writer = group.create_task(write(pull, gauge))
    return writer.result(), gauge.most


if __name__ == "__main__":
    total, most = asyncio.run(main())
    few = "never more than 100" if most <= 100 else f"up to {most}"
    print(f"{ITEMS} items doubled add up to {total}; {few} were under way")
