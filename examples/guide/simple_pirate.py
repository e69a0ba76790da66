"""Simple pirate: requests to whichever worker is free; who asked a worker that died asks again
(ZeroMQ Guide, chapter 4: spqueue, spworker).
"""

import collections
import threading

from ratchet import ClosedError, zmqsocket

QUESTIONS = 12


def queue(front, back):
    """Give each request to the worker that has been free for longest."""
    free = collections.deque()
    try:
        while True:
            readable, _ = zmqsocket.select([back, front] if free else [back])
            if back in readable:
                worker, _, *answer = back.recv_multipart()
                free.append(worker)
                if answer != [b"READY"]:
                    front.send_multipart(answer)
            if front in readable and free:
                back.send_multipart([free.popleft(), b"", *front.recv_multipart()])
    except ClosedError:
        return


def work(endpoint, jobs):
    """A worker: says that it is free, and dies with a job in hand after so many of them."""
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(endpoint)
        req.send(b"READY")
        for _ in range(jobs):
            *envelope, question = req.recv_multipart()
            req.send_multipart([*envelope, question.upper()])
        req.recv_multipart()


def main():
    """Two workers die, a third one answers the rest."""
    front, back = (zmqsocket.new("ROUTER", router_mandatory=False) for _ in range(2))
    place, behind = front.bind("tcp://127.0.0.1:*"), back.bind("tcp://127.0.0.1:*")
    threading.Thread(target=queue, args=[front, back], daemon=True).start()
    for jobs in (2, 3, 1_000_000):
        threading.Thread(target=work, args=[behind, jobs], daemon=True).start()
    answers = []
    with zmqsocket.new("REQ") as req, front, back:
        req.connect(place)
        for number in range(QUESTIONS):
            question = b"question %d" % number
            answers.append(req.request(question, timeout=0.3, retries=50) == question.upper())
    return answers


if __name__ == "__main__":
    print(f"{sum(main())} right answers, though two of three workers died")
