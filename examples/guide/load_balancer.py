"""A broker that balances load (ZeroMQ Guide, chapter 3: lbbroker, lbbroker2, lbbroker3)."""

import collections
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ratchet import ClosedError, zmqsocket

CLIENTS, WORKERS, REQUESTS = 10, 3, 5  # requests of each client


def broker(front, back):
    """Give each request to the worker that has been idle for longest; it waits while none is."""
    idle = collections.deque()
    with suppress(ClosedError):
        while True:
            readable, _ = zmqsocket.select([back, front] if idle else [back])
            if back in readable:
                worker, _, *answer = back.recv_multipart()
                idle.append(worker)
                if answer != [b"ready"]:
                    front.send_multipart(answer)  # its envelope came with the request
            elif front in readable:
                back.send_multipart([idle.popleft(), b"", *front.recv_multipart()])


def work(endpoint):
    """A worker: a REQ, whose requests are answers, and whose answers are requests."""
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(endpoint)
        req.send(b"ready")
        while True:
            *envelope, request = req.recv_multipart()
            req.send_multipart([*envelope, request.upper()])


def ask(endpoint, client):
    """A client: how many of its answers are right?"""
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint)
        texts = [b"request %d of %d" % (number, client) for number in range(REQUESTS)]
        return sum(req.request(text, timeout=10.0) == text.upper() for text in texts)


def main():
    """Clients and workers connect to the broker, which knows none of them beforehand."""
    front, back = (zmqsocket.new("ROUTER", router_mandatory=False) for _ in range(2))
    with front, back:
        place, behind = front.bind("tcp://127.0.0.1:*"), back.bind("tcp://127.0.0.1:*")
        threading.Thread(target=broker, args=[front, back], daemon=True).start()
        for _ in range(WORKERS):
            threading.Thread(target=work, args=[behind], daemon=True).start()
        with ThreadPoolExecutor(CLIENTS) as pool:
            return sum(pool.map(ask, [place] * CLIENTS, range(CLIENTS)))


if __name__ == "__main__":
    print(f"{main()} of {CLIENTS * REQUESTS} answers are right")
