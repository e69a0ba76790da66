"""Requests and replies: clients ask, one service answers, each in an OS thread.

The service is started last: a request waits until there is somebody to answer it.
"""

import threading

from ratchet import zmqsocket

ENDPOINT = "inproc://square"
CLIENTS = 3
QUESTIONS = range(1, 101)


def serve(rep):
    """Answer every request, until the socket is closed."""
    for question in rep:
        rep.send(b"%d" % int(question) ** 2)


def ask(sums):
    """A client: one socket, one conversation. It gives up after five seconds without an answer."""
    with zmqsocket.new("REQ") as req:
        req.set_timeout(5.0)
        req.connect(ENDPOINT)
        total = 0
        for number in QUESTIONS:
            req.send(b"%d" % number)
            total += int(req.recv_all())
        sums.append(total)


def main():
    """Start the clients, then the service; it ends when its socket is closed."""
    sums = []
    clients = [threading.Thread(target=ask, args=[sums]) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    with zmqsocket.new("REP") as rep:
        rep.bind(ENDPOINT)
        service = threading.Thread(target=serve, args=[rep])
        service.start()
        for client in clients:
            client.join()
    service.join()
    return sums


if __name__ == "__main__":
    print(f"{CLIENTS} clients, each with the sum {', '.join(map(str, set(main())))}")
