"""Majordomo: services by name (ZeroMQ Guide, chapter 4: mdbroker, mdworker, mdclient, mmiecho)."""

import collections
import threading
from contextlib import suppress

from ratchet import Error, zmqsocket


def broker(router):
    """Bring requests to workers and answers to clients, over one ROUTER for all."""
    # By service: workers that have nothing to do, and requests that no worker has.
    free, waiting = (collections.defaultdict(collections.deque) for _ in range(2))
    while True:
        sender, *message = router.recv_multipart()
        if message[0] == b"WORKER":  # its service, and perhaps an answer with its envelope
            _, name, *answer = message
            free[name].append(sender)
        else:
            *envelope, name, text = message
            waiting[name].append([sender, *envelope, text])
            answer = []
        if waiting[b"is there"]:  # a service of the broker's own
            *answer, text = waiting[b"is there"].popleft()
            answer.append(b"yes" if text in free else b"no")
        if answer:
            with suppress(Error):  # a client that has left
                router.send_multipart(answer)
        while free.get(name) and waiting[name]:
            with suppress(Error):  # a worker that has left: the next one gets the request
                router.send_multipart([free[name].popleft(), *waiting[name][0]])
                waiting[name].popleft()


def work(endpoint, jobs):
    """A worker, which leaves after so many jobs, though it has just said that it is free."""
    with zmqsocket.new("DEALER") as dealer:
        dealer.connect(endpoint)
        dealer.send_multipart([b"WORKER", b"upper"])
        for _ in range(jobs):
            *envelope, text = dealer.recv_multipart()
            dealer.send_multipart([b"WORKER", b"upper", *envelope, text.upper()])


def main():
    """Look for a service that is not there yet, and use it though a worker leaves."""
    router = zmqsocket.new("ROUTER")
    threading.Thread(target=broker, args=[router], daemon=True).start()
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint := router.bind("tcp://127.0.0.1:*"))
        answers = [req.request([b"is there", b"upper"], timeout=10.0)]
        for jobs in (1, 1_000_000):
            threading.Thread(target=work, args=[endpoint, jobs], daemon=True).start()
        answers += [req.request([b"upper", b"n%d" % n], timeout=0.5, retries=20) for n in range(4)]
    return [answer.decode() for (answer,) in answers]


if __name__ == "__main__":
    print(*main(), sep=", ")
