"""A service with several threads, which share its socket (ZeroMQ Guide, chapter 2: mtserver)."""

import threading
from contextlib import suppress

from ratchet import ClosedError, zmqsocket

THREADS = 4


def serve(router, meeting):
    """One thread: take the next request of any client, do the work, and answer that client."""
    with suppress(ClosedError):
        while True:
            *envelope, request = router.recv_multipart()
            meeting.wait(timeout=10.0)  # the work: here it takes until all threads are at it
            router.send_multipart([*envelope, request.upper()])


def main():
    """Ask with as many clients as there are threads, which serve them at the same time."""
    meeting = threading.Barrier(THREADS)
    with zmqsocket.new("ROUTER", router_mandatory=False) as router:
        endpoint = router.bind("tcp://127.0.0.1:*")
        threads = [threading.Thread(target=serve, args=[router, meeting]) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        clients = [zmqsocket.new("REQ") for _ in range(THREADS)]
        for number, req in enumerate(clients):
            req.connect(endpoint)
            req.send(b"request %d" % number)
        answers = [req.recv_all(timeout=10.0).decode() for req in clients]
        for req in clients:
            req.close()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    print(*main(), sep=", ")
