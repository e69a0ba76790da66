"""A kill signal: when the sink has all results, it tells the workers to end (ZeroMQ Guide,
chapter 2: taskwork2, tasksink2).
"""

import threading

from ratchet import zmqsocket

WORKERS, JOBS = 3, 30


def work(endpoints):
    """A worker: do jobs until the word to end comes."""
    pull, push, control = (zmqsocket.new(kind) for kind in ("PULL", "PUSH", "SUB"))
    with pull, push, control:
        control.subscribe(b"end")
        for zsock, endpoint in zip((pull, push, control), endpoints, strict=True):
            zsock.connect(endpoint)
        while True:
            readable, _ = zmqsocket.select([control, pull])
            if control in readable:
                return
            push.send(b"%d" % int(pull.recv_all()) ** 2)


def main():
    """Deal out numbers, add up their squares, end the workers."""
    push, sink = zmqsocket.new("PUSH"), zmqsocket.new("PULL")
    control = zmqsocket.new("PUB", track_peers=True)
    with push, sink, control:
        endpoints = [zsock.bind("tcp://127.0.0.1:*") for zsock in (push, sink, control)]
        workers = [threading.Thread(target=work, args=[endpoints]) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        control.wait_subscribers(count=WORKERS, timeout=10.0)  # so that each hears the word
        push.send_many(b"%d" % job for job in range(JOBS))
        total = sum(int(sink.recv_all(timeout=10.0)) for _ in range(JOBS))
        control.send(b"end")
        for worker in workers:
            worker.join()
    return total, sum(not worker.is_alive() for worker in workers)


if __name__ == "__main__":
    print("the squares add up to {}; {} workers have ended".format(*main()))
