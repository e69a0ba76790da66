"""A server with timeouts over several sockets: it answers at both, and reports at fixed times.

What is due does not wait for the sockets, however busy they are, and the sockets do not wait for
it: the time of the next report is computed once, and each wait gets what is left of it.
"""

import itertools
import threading
import time

from ratchet import zmqsocket

EVERY = 0.05  # seconds between two reports
REPORTS = 4
QUESTIONS = 10


def serve(public, private, reports):
    """Answer at two REPs, and send a report when one is due."""
    answered = sent = 0
    due = time.monotonic() + EVERY
    while sent < REPORTS:
        left = max(0.0, due - time.monotonic())  # a negative timeout would be for ever
        readable, _ = zmqsocket.select([public, private], timeout=left)
        for rep in readable:
            rep.send(rep.recv_all().upper())
            answered += 1
        if time.monotonic() >= due:
            reports.send(b"%d" % answered)
            sent += 1
            due += EVERY
    reports.send(b"end")


def ask(endpoint):
    """Ask some questions; the server may end before it has answered all of them."""
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(endpoint)
        for _ in range(QUESTIONS):
            req.send(b"question")
            if not zmqsocket.select([req], timeout=2 * REPORTS * EVERY)[0]:
                return
            req.recv_all()


def main():
    """The server in a thread of its own, two clients, and who reads the reports."""
    with (
        zmqsocket.new("REP") as public,
        zmqsocket.new("REP") as private,
        zmqsocket.new("PUSH") as reports,
        zmqsocket.new("PULL") as reader,
    ):
        endpoints = public.bind("tcp://127.0.0.1:*"), private.bind("tcp://127.0.0.1:*")
        reports.connect(reader.bind("inproc://reports"))
        threads = [threading.Thread(target=serve, args=[public, private, reports])]
        threads += [threading.Thread(target=ask, args=[endpoint]) for endpoint in endpoints]
        for thread in threads:
            thread.start()
        heard = []
        while (report := reader.recv_all(timeout=10.0)) != b"end":
            heard.append(int(report))
        for thread in threads:
            thread.join()
    return heard


if __name__ == "__main__":
    heard = main()
    rising = all(now >= before for before, now in itertools.pairwise(heard))
    print(f"{len(heard)} reports of answers given; they only rise: {rising}")
