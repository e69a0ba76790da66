"""Questions out of turn: a DEALER asks several at a time, and answers come as they are ready.

A ROUTER puts the name of the peer before each message that it receives, and takes a message with a
name before it to that peer. Each question has a number, by which its answer is known.
"""

import threading

from ratchet import ClosedError, zmqsocket

QUESTIONS = 10
WORKERS = 3


def work(router):
    """Answer questions; the workers share the socket, and each question goes to one of them."""
    try:
        while True:
            peer, number, question = router.recv_multipart()
            router.send_multipart([peer, number, question.upper()])
    except ClosedError:
        return


def ask(endpoint):
    """All questions at once, then all answers, in whatever order."""
    with zmqsocket.new("DEALER") as dealer:
        dealer.connect(endpoint)
        for number in range(QUESTIONS):
            dealer.send_multipart([b"%d" % number, b"question %d" % number])
        answers = {}
        for _ in range(QUESTIONS):
            number, answer = dealer.recv_multipart(timeout=10.0)
            answers[int(number)] = answer.decode()
        return answers


def main():
    """Workers on one ROUTER, and one client."""
    with zmqsocket.new("ROUTER") as router:
        endpoint = router.bind("tcp://127.0.0.1:*")
        workers = [threading.Thread(target=work, args=[router]) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        answers = ask(endpoint)
    for worker in workers:
        worker.join()
    return answers


if __name__ == "__main__":
    answers = main()
    print(f"{len(answers)} answers; the last question's is {answers[QUESTIONS - 1]}")
