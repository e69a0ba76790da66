"""Black box: several threads share a SUB that gets more than one of them can work on (ZeroMQ Guide,
chapter 5: High-Speed Subscribers).
"""

import threading
import zlib

from ratchet import zmqsocket

THREADS, MESSAGES = 4, 400
DATA = bytes(range(256)) * 256  # 64 KiB, on which some work is done


def work(sub, done):
    """One of the threads: no two get the same message."""
    while (message := sub.recv_all(timeout=10.0)) != b"end":
        done.append((int(message[:8]), zlib.crc32(message[8:])))


def main():
    """Publish data, and then one end for each thread."""
    done = []  # appending is safe from any thread
    with (
        zmqsocket.new("PUB", track_peers=True, sndhwm=0) as pub,
        zmqsocket.new("SUB", subscribe=b"", rcvhwm=0) as sub,
    ):
        sub.connect(pub.bind("tcp://127.0.0.1:*"))
        pub.wait_subscribers(timeout=10.0)
        threads = [threading.Thread(target=work, args=[sub, done]) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for number in range(MESSAGES):
            pub.send(b"%08d" % number + DATA)
        for _ in range(THREADS):
            pub.send(b"end")
        for thread in threads:
            thread.join()
    numbers, sums = zip(*sorted(done), strict=True)
    return numbers == tuple(range(MESSAGES)), set(sums) == {zlib.crc32(DATA)}


if __name__ == "__main__":
    once, right = main()
    print(f"each message was worked on once: {once}; the results are right: {right}")
