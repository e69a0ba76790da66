"""Ctrl-C: a server that waits for requests ends cleanly when it is interrupted (ZeroMQ Guide,
chapter 2: interrupt).
"""

import os
import signal
import threading

from ratchet import zmqsocket


def ask(endpoint):
    """A client, which has an answer and then sends Ctrl-C's signal to this process."""
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint)
        req.request(b"Hello", timeout=10.0)
    os.kill(os.getpid(), signal.SIGINT)


def main():
    """Serve until Ctrl-C; a paused call is left at once, and sockets are closed on the way out."""
    served = 0
    with zmqsocket.new("REP") as rep:
        client = threading.Thread(target=ask, args=[rep.bind("tcp://127.0.0.1:*")])
        client.start()
        try:
            while True:
                request = rep.recv_all()
                served += 1
                rep.send(request + b", World")
        except KeyboardInterrupt:
            client.join()
    return served, rep.closed


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in a shell's background job
    served, closed = main()
    print(f"interrupted after {served} request; the socket is closed: {closed}")
