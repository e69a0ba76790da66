"""An echo server and 1,000 clients in one process, each a ratchet thread with its own socket.

Written as if every call blocked; nobody polls, and one OS thread is enough.
"""

import contextlib

from ratchet import ClosedError, configure, run, thread, zmqsocket

CLIENTS = 1000
ROUNDS = 3


def serve(router):
    """Send back whatever comes, to whom it came from, until the socket is closed."""
    with contextlib.suppress(ClosedError):
        while True:
            router.send_multipart(router.recv_multipart())


def client(endpoint, number):
    """Ask a few times; how many answers were right."""
    right = 0
    with zmqsocket.new("DEALER") as zsock:
        zsock.set_timeout(30)
        zsock.connect(endpoint)
        for n in range(ROUNDS):
            question = b"client %d, question %d" % (number, n)
            zsock.send(question)
            right += zsock.recv_all() == question
    return right


def main():
    """Start the server in the background and all clients at once."""
    with zmqsocket.new("ROUTER", sndhwm=0, rcvhwm=0) as router:
        router.bind("inproc://echo")
        thread.attach_background(serve, router)
        clients = [thread.attach(client, "inproc://echo", n) for n in range(CLIENTS)]
        thread.wait_all(clients)
        return sum(task.result() for task in clients)


if __name__ == "__main__":
    configure(max_sockets=CLIENTS + 100)
    print(f"{run(main)} echoes for {CLIENTS} clients")
