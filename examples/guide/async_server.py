"""An asynchronous server: clients send requests without waiting for answers, which come when they
are ready (ZeroMQ Guide, chapter 3: asyncsrv).
"""

import asyncio

from ratchet.asyncio import new

CLIENTS, WORKERS, REQUESTS = 3, 5, 20


async def work(router):
    """One of several tasks that share the server's socket; some requests get several answers."""
    while True:
        client, request = await router.recv_multipart()
        for part in range(int(request) % 4):  # none to three answers
            await asyncio.sleep(0)
            await router.send_multipart([client, request, b"%d" % part])


async def use(endpoint, name):
    """A client: send requests in one task, and receive answers in another, in any order."""
    due = {(b"%d" % n, b"%d" % part) for n in range(REQUESTS) for part in range(n % 4)}
    async with new("DEALER", routing_id=name) as dealer, asyncio.TaskGroup() as group:
        dealer.connect(endpoint)
        group.create_task(ask(dealer))
        answers = [tuple(await dealer.recv_multipart(timeout=10.0)) for _ in due]
    return len(answers), set(answers) == due


async def ask(dealer):
    """Send all requests."""
    for number in range(REQUESTS):
        await dealer.send(b"%d" % number)


async def main():
    """Cancel the server's tasks when the clients have all their answers."""
    async with new("ROUTER", router_mandatory=False) as router:
        endpoint = router.bind("tcp://127.0.0.1:*")
        workers = [asyncio.create_task(work(router)) for _ in range(WORKERS)]
        names = [b"client %d" % number for number in range(CLIENTS)]
        results = await asyncio.gather(*(use(endpoint, name) for name in names))
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    return results


if __name__ == "__main__":
    for answers, right in asyncio.run(main()):
        print(f"{answers} answers, all that were due: {right}")
