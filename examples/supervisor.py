"""A socket beside a process: a worker that crashes is noticed at once, and another takes its job.

A worker process that has died says nothing through its socket. `multiprocessing` gives each process
a sentinel, a descriptor that becomes ready when it ends, and a select waits for both.
"""

import multiprocessing
import sys

from ratchet import zmqsocket

JOBS = 3


def work(endpoint):
    """Ask for jobs, and do them; the first worker to get job 1 crashes over it."""
    with zmqsocket.new("REQ", linger=0) as req:
        req.connect(endpoint)
        req.send(b"ready")
        while True:
            job, tries = req.recv_multipart(timeout=30.0)
            if (job, tries) == (b"1", b"1"):
                sys.exit(3)
            if job == b"end":
                return
            req.send(b"job %s done" % job)


def main():
    """Give out jobs, and start another worker when one has ended before its time."""
    processes = multiprocessing.get_context("spawn")
    jobs, tries, done, crashes = list(range(JOBS)), 0, [], []
    while jobs:
        with zmqsocket.new("REP", linger=0) as rep:
            endpoint = rep.bind("tcp://127.0.0.1:*")
            worker = processes.Process(target=work, args=[endpoint])
            worker.start()
            while True:
                readable, _ = zmqsocket.select([rep, worker.sentinel])
                if rep not in readable:
                    break  # the worker has ended
                answer = rep.recv_all()
                if answer != b"ready":
                    done.append(answer.decode())
                    jobs.pop(0)
                    tries = 0
                tries += 1
                rep.send_multipart([b"%d" % jobs[0] if jobs else b"end", b"%d" % tries])
            worker.join()
            if worker.exitcode:
                crashes.append(worker.exitcode)
    return done, crashes


if __name__ == "__main__":
    done, crashes = main()
    print(f"{', '.join(done)}; workers that crashed: {len(crashes)}, with {crashes}")
