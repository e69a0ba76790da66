"""File transfer: a client asks for some chunks ahead, so that the line is busy and no queue grows
(ZeroMQ Guide, chapter 7: fileio1, fileio2, fileio3).
"""

import hashlib
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ratchet import ClosedError, zmqsocket

SIZE, CHUNK = 4_000_000, 100_000  # bytes


def serve(router, path):
    """Send each client the chunk that it asks for, and remember nothing of it."""
    with suppress(ClosedError), path.open("rb") as file:
        while True:
            client, start = router.recv_multipart()
            file.seek(int(start))
            router.send_multipart([client, file.read(CHUNK)])


def fetch(endpoint, credit):
    """A client: keep so many chunks on their way, until one is not full: it is the last."""
    digest, asked, data = hashlib.sha256(), 0, bytes(CHUNK)
    with zmqsocket.new("DEALER") as dealer:
        dealer.connect(endpoint)
        while len(data) == CHUNK:
            for _ in range(credit if not asked else 1):
                dealer.send(b"%d" % (asked * CHUNK))
                asked += 1
            data = dealer.recv_all(timeout=10.0)
            digest.update(data)
    return digest.digest()


def main():
    """One file, to clients with a credit of 1 (each chunk is waited for), 10 and 1000 chunks."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        path = Path(folder) / "file"
        path.write_bytes(os.urandom(SIZE))
        with zmqsocket.new("ROUTER", router_mandatory=False) as router:
            endpoint = router.bind("tcp://127.0.0.1:*")
            threading.Thread(target=serve, args=[router, path]).start()
            digests = list(pool.map(fetch, [endpoint] * 3, (1, 10, 1000)))
        return [digest == hashlib.sha256(path.read_bytes()).digest() for digest in digests]


if __name__ == "__main__":
    print("right files:", sum(main()), "of 3")
