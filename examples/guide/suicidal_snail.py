"""Suicidal snail: a subscriber that finds itself too slow says so and ends, before it does harm
(ZeroMQ Guide, chapter 5: suisnail).
"""

import threading
import time

from ratchet import Timeout, zmqsocket

TOO_LATE = 0.5  # seconds from a message's being sent to its being read
MESSAGES = 200


def subscribe(endpoint, pause, ends):
    """Read messages that say when they were sent; end at the last one, or when they are old."""
    with zmqsocket.new("SUB", subscribe=b"") as sub:
        sub.connect(endpoint)
        while True:
            number, sent = sub.recv_multipart(timeout=10.0)
            if number == b"last":
                ends.append("heard the last one")
                return
            late = time.monotonic() - float(sent)
            if late > TOO_LATE:
                ends.append("was too slow, and ended itself")
                return
            time.sleep(pause)


def main():
    """One subscriber keeps up with the publisher, the other is a snail."""
    ends = []
    with zmqsocket.new("XPUB", xpub_verbose=True) as pub:
        endpoint = pub.bind("tcp://127.0.0.1:*")
        threads = [
            threading.Thread(target=subscribe, args=[endpoint, pause, ends])
            for pause in (0.0, 2 * TOO_LATE)
        ]
        for thread in threads:
            thread.start()
            pub.recv_all(timeout=10.0)  # it has subscribed
        for number in range(MESSAGES):
            pub.send_multipart([b"%d" % number, b"%f" % time.monotonic()])
            time.sleep(0.001)
        threads[1].join()  # the snail reads the second one too late, and never gets to the last
        pub.send_multipart([b"last", b"0"])
        threads[0].join()
        try:
            pub.recv_all(timeout=10.0)  # somebody has left
        except Timeout:
            ends.append("nobody left")
    return ends


if __name__ == "__main__":
    print(", ".join(f"one {end}" for end in main()))
