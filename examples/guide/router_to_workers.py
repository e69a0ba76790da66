"""A ROUTER before its workers: each REQ or DEALER asks for a job when it is ready (ZeroMQ Guide,
chapter 3: rtreq, rtdealer).
"""

from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

JOBS = 60


def work(endpoint, kind):
    """A worker: return how many jobs it did. A REQ adds the empty part, a DEALER must."""
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
    """Give a job to each worker that asks for one, and when there are no more, the word to end."""
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
