"""Ventilator, workers and sink: jobs are dealt out, done at the same time, and their results
collected (ZeroMQ Guide, chapter 1: taskvent, taskwork, tasksink).
"""

import threading
import time

from ratchet import zmqsocket

WORKERS, JOBS, SECONDS = 4, 100, 0.004  # how long each job takes


def work(pull, sink):
    """A worker: takes jobs until its socket is closed."""
    with zmqsocket.new("PUSH") as push:
        push.connect(sink)
        for job in pull:
            time.sleep(float(job))  # the work
            push.send(b"done")


def main():
    """Deal out the jobs when all workers are there, so that the first does not get them all."""
    with zmqsocket.new("PUSH", track_peers=True) as push, zmqsocket.new("PULL") as sink:
        endpoints = push.bind("tcp://127.0.0.1:*"), sink.bind("tcp://127.0.0.1:*")
        pulls = [zmqsocket.new("PULL") for _ in range(WORKERS)]
        threads = [threading.Thread(target=work, args=[pull, endpoints[1]]) for pull in pulls]
        for pull, thread in zip(pulls, threads, strict=True):
            pull.connect(endpoints[0])
            thread.start()
        push.wait_peers(WORKERS, timeout=10.0)
        start = time.monotonic()
        push.send_many(b"%f" % SECONDS for _ in range(JOBS))
        results = [sink.recv_all(timeout=10.0) for _ in range(JOBS)]
        seconds = time.monotonic() - start
        for pull in pulls:
            pull.close()
        for thread in threads:
            thread.join()
    return len(results), seconds


if __name__ == "__main__":
    done, seconds = main()
    print(f"{done} jobs, {1000 * JOBS * SECONDS:.0f} ms of work, done in {1000 * seconds:.0f} ms")
