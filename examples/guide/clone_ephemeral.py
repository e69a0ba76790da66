"""Clone, ephemeral values: a row that its owner does not set anew in time is taken out, everywhere
(ZeroMQ Guide, chapter 5: clonesrv5, kvmsg).
"""

import time
from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

LIFE = 0.3  # seconds


def serve(changes, updates):
    """Publish each change; when the time of a row is up, publish it without a value."""
    ends = {}  # the rest of a clone server is in clone.py
    while True:
        timeout = max(0.0, min(ends.values()) - time.monotonic()) if ends else None
        if zmqsocket.select([changes], timeout=timeout)[0]:
            key, value, life = changes.recv_multipart()
            ends.pop(key, None)
            if life:
                ends[key] = time.monotonic() + float(life)
            updates.send_multipart([key, value])
        for key in [key for key, end in ends.items() if end < time.monotonic()]:
            del ends[key]
            updates.send_multipart([key, b""])


def work(endpoint):
    """A worker, which says some times that it is there, and then dies without a word."""
    with zmqsocket.new("PUSH") as push:
        push.connect(endpoint)
        push.send_multipart([b"/colour", b"blue", b""])  # this has no end
        for number in range(4):
            push.send_multipart([b"/workers/Ada", b"job %d" % number, b"%f" % LIFE])
            time.sleep(LIFE / 3)


def main():
    """Follow the table until the worker is no longer in it."""
    changes, updates = zmqsocket.new("PULL"), zmqsocket.new("PUB", track_peers=True)
    table, worker, sub = {}, [], zmqsocket.new("SUB", subscribe=b"/")
    with ThreadPoolExecutor() as pool, changes, updates, sub:
        sub.connect(updates.bind("tcp://127.0.0.1:*"))
        updates.wait_subscribers(timeout=10.0)
        pool.submit(serve, changes, updates)  # which ends when its sockets are closed
        pool.submit(work, changes.bind("tcp://127.0.0.1:*"))
        while worker[-2:] != [b"job 3", b""]:
            key, value = sub.recv_multipart(timeout=10.0)
            table[key] = value
            if key == b"/workers/Ada":
                worker.append(value)
            if not value:
                del table[key]
    return worker[-2:], table


if __name__ == "__main__":
    print("the last of the worker: {}; left: {}".format(*main()))
