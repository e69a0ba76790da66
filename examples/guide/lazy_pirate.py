"""Lazy pirate: a client that asks again when no answer comes in time, whatever the server does
(ZeroMQ Guide, chapter 4: lpclient, lpserver).
"""

import threading

from ratchet import Timeout, zmqsocket

QUESTIONS = 6
ANSWERS = 2  # of each life of the server


def serve(endpoint, over, lives):
    """A server that dies again and again, each time with a question in hand, and comes back."""
    while not over.is_set():
        with zmqsocket.new("REP") as rep:
            rep.bind(endpoint)
            rep.set_timeout(0.2)
            lives.append(0)
            try:
                for _ in range(ANSWERS):
                    question = rep.recv_all()
                    rep.send(question.upper())
                rep.recv_all()
            except Timeout:  # nobody asks
                continue


def main():
    """Ask all questions, of a server of which each life answers but a few."""
    with zmqsocket.new("REP") as rep:
        endpoint = rep.bind("tcp://127.0.0.1:*")  # a port that is free
    over, lives, answers = threading.Event(), [], []
    server = threading.Thread(target=serve, args=[endpoint, over, lives])
    server.start()
    with zmqsocket.new("REQ") as req:
        req.connect(endpoint)
        for number in range(QUESTIONS):
            question = b"question %d" % number
            answers.append(req.request(question, timeout=0.3, retries=50) == question.upper())
    over.set()
    server.join()
    return answers, len(lives)


if __name__ == "__main__":
    answers, lives = main()
    print(f"{sum(answers)} right answers, in {lives} lives of the server")
