"""A queue in the middle: clients and services know one address each, and any number of either may
come and go (ZeroMQ Guide, chapter 2: rrclient, rrworker, rrbroker, msgqueue).
"""

import threading

import ratchet
from ratchet import zmqsocket

SERVICES, REQUESTS = 3, 30


def serve(rep):
    """A service: it connects to the queue, and is otherwise any REP."""
    for request in rep:
        rep.send(request.upper())


def main():
    """Ask through the queue; it deals the requests to the services in turn."""
    with (
        zmqsocket.new("ROUTER") as front,
        zmqsocket.new("DEALER", track_peers=True) as back,
        zmqsocket.new("REQ") as req,
        ratchet.Proxy(front, back) as proxy,
    ):
        req.connect(front.bind("tcp://127.0.0.1:*"))
        behind = back.bind("tcp://127.0.0.1:*")
        reps = [zmqsocket.new("REP") for _ in range(SERVICES)]
        for rep in reps:
            rep.connect(behind)
            threading.Thread(target=serve, args=[rep]).start()
        back.wait_peers(SERVICES, timeout=10.0)
        answers = []
        for number in range(REQUESTS):
            req.send(b"request %d" % number)
            answers.append(req.recv_all(timeout=10.0))
        for rep in reps:
            rep.close()
    return answers, proxy.stats


if __name__ == "__main__":
    answers, stats = main()
    print(f"{len(answers)} answers, the last one: {answers[-1].decode()}")
    print(f"{stats.frontend_messages} messages one way, {stats.backend_messages} the other")
