"""Freelance, to all at once: each question goes to every server, and the first answer counts
(ZeroMQ Guide, chapter 4: flclient2, flserver2).
"""

import threading

from ratchet import zmqsocket

QUESTIONS = 10


def serve(rep):
    """A server that answers."""
    for question in rep:
        rep.send(question.upper())


def ask(dealer, servers, number, text):
    """Ask all of them. A REP gives back the parts up to the empty one: the number, here."""
    for _ in range(servers):  # a DEALER sends to each in turn
        dealer.send_multipart([number, b"", text])
    while True:
        answered, _, answer = dealer.recv_multipart(timeout=10.0)
        if answered == number:  # and no late answer to an earlier question
            return answer


def main():
    """Four servers: two that answer, one that is mute, and one that is not there."""
    reps = [zmqsocket.new("REP") for _ in range(3)]
    with zmqsocket.new("DEALER", linger=0) as dealer:
        for rep in reps:
            dealer.connect(rep.bind("tcp://127.0.0.1:*"))
        dealer.connect("tcp://127.0.0.1:1")  # where nobody listens
        threads = [threading.Thread(target=serve, args=[rep]) for rep in reps[:2]]
        for thread in threads:
            thread.start()
        answers = [
            ask(dealer, 4, b"%d" % number, b"question %d" % number) for number in range(QUESTIONS)
        ]
    for rep in reps:
        rep.close()
    return answers == [b"QUESTION %d" % number for number in range(QUESTIONS)]


if __name__ == "__main__":
    print(f"{QUESTIONS} answers, all right: {main()}")
