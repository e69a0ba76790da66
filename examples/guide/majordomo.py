"""Majordomo in short: workers say which service they offer, clients ask for a service by name."""

import collections
import threading

from ratchet import ClosedError, zmqsocket

SERVICES = {b"upper": bytes.upper, b"title": bytes.title, b"double": lambda text: text * 2}


def broker(router):
    """Bring requests to workers and answers to clients, over one ROUTER for all."""
    free = collections.defaultdict(collections.deque)  # service -> workers that have nothing to do
    waiting = collections.defaultdict(collections.deque)  # service -> requests that no worker has
    try:
        while True:
            sender, *message = router.recv_multipart()
            if message[0] == b"WORKER":  # its service, and perhaps an answer with its envelope
                name = message[1]
                free[name].append(sender)
                if len(message) > 2:
                    router.send_multipart(message[2:])
            else:
                *envelope, name, question = message
                waiting[name].append([sender, *envelope, question])
            while free[name] and waiting[name]:
                router.send_multipart([free[name].popleft(), *waiting[name].popleft()])
    except ClosedError:
        return


def work(endpoint, name):
    """A worker of one service."""
    with zmqsocket.new("DEALER", linger=0) as dealer:
        dealer.connect(endpoint)
        dealer.send_multipart([b"WORKER", name])
        while True:
            *envelope, question = dealer.recv_multipart()
            dealer.send_multipart([b"WORKER", name, *envelope, SERVICES[name](question)])


def main():
    """Ask each service, which may have no worker yet."""
    answers = []
    with zmqsocket.new("ROUTER", router_mandatory=False) as router, zmqsocket.new("REQ") as req:
        endpoint = router.bind("tcp://127.0.0.1:*")
        threading.Thread(target=broker, args=[router], daemon=True).start()
        req.connect(endpoint)
        for name in SERVICES:
            threading.Thread(target=work, args=[endpoint, name], daemon=True).start()
            answers += req.request([name, b"your majesty"], timeout=10.0)
    return answers


if __name__ == "__main__":
    print(*(answer.decode() for answer in main()), sep=", ")
