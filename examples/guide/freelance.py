"""Freelance: clients and several servers without a broker; who does not answer is passed over
(ZeroMQ Guide, chapter 4: flclient1, flserver1).
"""

import threading

from ratchet import ClosedError, zmqsocket

QUESTIONS = 10


def serve(rep, served):
    """A server that answers."""
    try:
        while True:
            question = rep.recv_all()
            rep.send(question.upper())
            served.append(question)
    except ClosedError:
        return


def main():
    """Three servers, of which one is mute and one is not there; each try goes to the next one."""
    mute, rep = zmqsocket.new("REP"), zmqsocket.new("REP")
    endpoints = [zsock.bind("tcp://127.0.0.1:*") for zsock in (mute, rep)]
    endpoints.insert(1, "tcp://127.0.0.1:1")  # where nobody listens
    served = []
    server = threading.Thread(target=serve, args=[rep, served])
    server.start()
    # With `immediate` a server that is not there is not asked at all.
    with zmqsocket.new("REQ", immediate=True) as req:
        for endpoint in endpoints:
            req.connect(endpoint)
        questions = [b"question %d" % number for number in range(QUESTIONS)]
        answers = [req.request(question, timeout=0.2, retries=50) for question in questions]
    mute.close()
    rep.close()
    server.join()
    return answers == [question.upper() for question in questions]


if __name__ == "__main__":
    print(f"{QUESTIONS} answers, all right: {main()}")
