"""Hello world: a client asks, a server answers (ZeroMQ Guide, chapter 1: hwserver, hwclient)."""

import threading

from ratchet import zmqsocket


def serve(rep):
    """Answer each request, until the socket is closed."""
    for request in rep:
        rep.send({b"Hello": b"World"}.get(request, b"Pardon?"))


def main():
    """Ask ten times."""
    with zmqsocket.new("REP") as rep, zmqsocket.new("REQ") as req:
        req.connect(rep.bind("tcp://127.0.0.1:*"))
        threading.Thread(target=serve, args=[rep]).start()
        answers = []
        for _ in range(10):
            req.send(b"Hello")
            answers.append(req.recv_all(timeout=10.0))
    return answers


if __name__ == "__main__":
    answers = main()
    print(f"{len(answers)} answers, the last one: {answers[-1].decode()}")
