"""A ROUTER before its workers: who is ready asks, and gets the next job, whether it is a REQ or a
DEALER (ZeroMQ Guide, chapter 3: rtreq, rtdealer).
"""

from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

JOBS = 60


def work(endpoint, kind):
    """A worker: how many jobs it did. A REQ adds the empty part by itself, a DEALER does not."""
    before = [b""] if kind == "DEALER" else []
    with zmqsocket.new(kind) as zsock:
        zsock.connect(endpoint)
        jobs = 0
        while True:
            zsock.send_multipart([*before, b"ready"])
            *_, job = zsock.recv_multipart(timeout=10.0)
            if job == b"over":
                return jobs
            jobs += 1


def main():
    """Give each worker what it asks for, and the word to end when there are no more jobs."""
    kinds = ["REQ", "DEALER"] * 3
    with zmqsocket.new("ROUTER") as router, ThreadPoolExecutor(len(kinds)) as pool:
        endpoint = router.bind("tcp://127.0.0.1:*")
        counts = [pool.submit(work, endpoint, kind) for kind in kinds]
        for number in range(JOBS + len(kinds)):
            *envelope, _ = router.recv_multipart(timeout=10.0)  # the worker's name, and b""
            router.send_multipart([*envelope, b"job" if number < JOBS else b"over"])
        return [count.result() for count in counts]


if __name__ == "__main__":
    counts = main()
    print(f"{len(counts)} workers did {sum(counts)} jobs")
