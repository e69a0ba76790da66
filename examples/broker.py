"""A broker over its sockets: each request goes to the worker that has been idle for longest.

One thread serves clients and workers by a select of both sockets. While no worker is idle, the
clients' socket is not in its list: requests wait in the queues, which is back-pressure.
"""

import threading

from ratchet import ClosedError, zmqsocket

CLIENTS = 3
WORKERS = 2
REQUESTS = 20


def broker(front, back):
    """Match requests with idle workers, until one of the sockets is closed."""
    idle = []
    try:
        while True:
            readable, _ = zmqsocket.select([back, front] if idle else [back])
            if back in readable:  # worker, b"", and b"ready" or client, b"", answer
                worker, _, *answer = back.recv_multipart()
                idle.append(worker)
                if len(answer) > 1:
                    front.send_multipart(answer)
            if front in readable:  # client, b"", request
                back.send_multipart([idle.pop(0), b"", *front.recv_multipart()])
    except ClosedError:
        return


def work(endpoint, stop):
    """A worker, which says that it is ready and then answers what it is asked."""
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(endpoint)
        req.send(b"ready")
        while not stop.is_set():
            if zmqsocket.select([req], timeout=0.1)[0]:
                client, empty, request = req.recv_multipart()
                req.send_multipart([client, empty, request + b" is done"])


def ask(endpoint, client, answers):
    """A client: a plain REQ."""
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint)
        for number in range(REQUESTS):
            request = b"request %d of client %d" % (number, client)
            req.send(request)
            answers.append(req.recv_all(timeout=10.0) == request + b" is done")


def main():
    """Clients, the broker, and workers: was each answer the right one?"""
    answers, stop = [], threading.Event()
    # A client or a worker that has gone is no error here.
    front = zmqsocket.new("ROUTER", router_mandatory=False)
    back = zmqsocket.new("ROUTER", router_mandatory=False)
    ends = front.bind("tcp://127.0.0.1:*"), back.bind("tcp://127.0.0.1:*")
    others = [threading.Thread(target=broker, args=[front, back])]
    others += [threading.Thread(target=work, args=[ends[1], stop]) for _ in range(WORKERS)]
    clients = [threading.Thread(target=ask, args=[ends[0], n, answers]) for n in range(CLIENTS)]
    for thread in [*others, *clients]:
        thread.start()
    for client in clients:
        client.join()
    stop.set()
    front.close()
    back.close()
    for thread in others:
        thread.join()
    return answers


if __name__ == "__main__":
    answers = main()
    print(f"{sum(answers)} of {len(answers)} answers came back through the broker")
