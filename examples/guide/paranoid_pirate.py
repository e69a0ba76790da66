"""Paranoid pirate: workers show that they live (ZeroMQ Guide, chapter 4: ppqueue, ppworker)."""

import threading
import time

from ratchet import ClosedError, Timeout, zmqsocket

BEAT = 0.05  # seconds between two signs of life
DEAD = 10 * BEAT  # seconds without one


def queue(front, back):
    """Give each request to a worker that is free and has told lately that it lives."""
    free = {}  # worker -> until when it is thought to live; who was free first comes first
    try:
        while True:
            readable, _ = zmqsocket.select([back, front] if free else [back], timeout=BEAT)
            if back in readable:
                worker, *answer = back.recv_multipart()
                if answer != [b"ALIVE"]:
                    front.send_multipart(answer)
                free[worker] = time.monotonic() + DEAD
            free = {worker: until for worker, until in free.items() if until > time.monotonic()}
            if front in readable and free:
                worker = next(iter(free))
                del free[worker]
                back.send_multipart([worker, *front.recv_multipart()])
    except ClosedError:
        return


def work(endpoint, jobs):
    """A worker: answers, and tells that it lives while it is free; freezes after some jobs."""
    with zmqsocket.new("DEALER", linger=0) as dealer:
        dealer.connect(endpoint)
        while jobs:
            try:
                *envelope, question = dealer.recv_multipart(timeout=BEAT)
                dealer.send_multipart([*envelope, question.upper()])
                jobs -= 1
            except Timeout:
                dealer.send(b"ALIVE")
        threading.Event().wait()


def main():
    """Two workers freeze while they are thought to be free; the third one answers the rest."""
    front, back = (zmqsocket.new("ROUTER", router_mandatory=False) for _ in range(2))
    places = [zsock.bind("tcp://127.0.0.1:*") for zsock in (front, back)]
    threading.Thread(target=queue, args=[front, back], daemon=True).start()
    for jobs in (2, 3, 1_000_000):
        threading.Thread(target=work, args=[places[1], jobs], daemon=True).start()
    with zmqsocket.new("REQ") as req, front, back:
        req.connect(places[0])
        return [req.request(b"no %d" % n, timeout=0.3, retries=50) for n in range(12)]


if __name__ == "__main__":
    print("all 12 answers are right:", main() == [b"NO %d" % n for n in range(12)])
