"""Brokers that lend each other their workers (ZeroMQ Guide, chapter 3: peering2, peering3)."""

import collections
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

WORKERS = {"london": 0, "oslo": 2, "rome": 3}  # those of each broker: london has none
CLIENTS = sum(WORKERS.values())
MEETING = threading.Barrier(CLIENTS)  # the work: it takes until all workers everywhere are at it


def serve(name, router, free, peers):
    """One thread of a broker: do a request if a worker is free, or ask a broker that has one."""
    reqs = [zmqsocket.new("REQ") for _ in peers]
    for req, peer in zip(reqs, peers, strict=True):
        req.connect(f"inproc://cloud-{peer}")
    others = itertools.cycle(reqs)
    while True:
        *envelope, _ = router.recv_multipart()
        answer = b"busy"
        while answer == b"busy":
            if free.acquire(timeout=0.01):
                MEETING.wait(timeout=20.0)
                free.release()
                answer = name.encode()
            elif peers:
                answer = next(others).request(b"work", timeout=20.0)
            else:  # another broker asked: it tries elsewhere
                break
        router.send_multipart([*envelope, answer])


def ask(_):
    """A client, which knows london only."""
    with zmqsocket.new("REQ") as req:
        req.connect("inproc://front-london")
        return req.request(b"work", timeout=20.0).decode()


def main():
    """Each broker has a socket for clients and one for other brokers, and threads at both."""
    for name, workers in WORKERS.items():
        free, peers = threading.Semaphore(workers), WORKERS.keys() - {name}
        for kind, others in {"front": peers, "cloud": ()}.items():
            router = zmqsocket.new("ROUTER", router_mandatory=False)
            router.bind(f"inproc://{kind}-{name}")
            args = name, router, free, others
            for _ in range(CLIENTS + 1):
                threading.Thread(target=serve, args=args, daemon=True).start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        return collections.Counter(pool.map(ask, range(CLIENTS)))


if __name__ == "__main__":
    print("; ".join(f"{count} done in {name}" for name, count in sorted(main().items())))
