"""A proxy: clients know one endpoint, workers another, and what comes at one goes to the other.

It runs in a thread of its own. Messages go on as they are, and none becomes an object of Python's.
"""

import threading

import ratchet
from ratchet import zmqsocket

CLIENTS = 3
WORKERS = 2
REQUESTS = 20


def work(rep):
    """A worker: a plain REP, which need not know of the proxy."""
    for request in rep:
        rep.send(request + b" is done")


def ask(endpoint, client, answers):
    """A client: a plain REQ."""
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint)
        for number in range(REQUESTS):
            request = b"request %d of client %d" % (number, client)
            req.send(request)
            answers.append(req.recv_all(timeout=10.0) == request + b" is done")


def main():
    """Clients, the proxy between two endpoints, and workers: was each answer the right one?"""
    answers = []
    front, back = zmqsocket.new("ROUTER"), zmqsocket.new("DEALER")
    endpoint = front.bind("tcp://127.0.0.1:*")
    back_endpoint = back.bind("tcp://127.0.0.1:*")
    reps = [zmqsocket.new("REP") for _ in range(WORKERS)]
    for rep in reps:
        rep.connect(back_endpoint)

    workers = [threading.Thread(target=work, args=[rep]) for rep in reps]
    clients = [threading.Thread(target=ask, args=[endpoint, n, answers]) for n in range(CLIENTS)]
    with ratchet.Proxy(front, back):
        for thread in [*workers, *clients]:
            thread.start()
        for client in clients:
            client.join()
    for zsock in [front, back, *reps]:
        zsock.close()
    for worker in workers:
        worker.join()
    return answers


if __name__ == "__main__":
    answers = main()
    print(f"{sum(answers)} of {len(answers)} answers came back through the proxy")
