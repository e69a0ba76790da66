"""Round trips through a broker: one after the other, and all at once (ZeroMQ Guide, chapter 4:
tripping, mdclient2, mdcliapi2).
"""

import threading
import time

import ratchet
from ratchet import zmqsocket

TRIPS = 1_000


def work(rep):
    """A worker, which sends back what it receives."""
    for request in rep:
        rep.send(request)


def main():
    """Measure round trips a second: each after the one before, then all at once."""
    front, back = zmqsocket.new("ROUTER", rcvhwm=0), zmqsocket.new("DEALER", sndhwm=0)
    rep, dealer = zmqsocket.new("REP"), zmqsocket.new("DEALER", sndhwm=0, rcvhwm=0)
    with front, back, rep, dealer, ratchet.Proxy(front, back):
        rep.connect(back.bind("tcp://127.0.0.1:*"))
        dealer.connect(front.bind("tcp://127.0.0.1:*"))
        threading.Thread(target=work, args=[rep]).start()
        start, right = time.monotonic(), 0
        for number in range(TRIPS):  # a DEALER adds no empty part, which a REP needs
            dealer.send_multipart([b"", b"%d" % number])
            right += dealer.recv_multipart(timeout=10.0) == [b"", b"%d" % number]
        middle = time.monotonic()
        for number in range(TRIPS):
            dealer.send_multipart([b"", b"%d" % number])
        for number in range(TRIPS):  # one worker: the answers come in order
            right += dealer.recv_multipart(timeout=10.0) == [b"", b"%d" % number]
        end = time.monotonic()
    return right, TRIPS / (middle - start), TRIPS / (end - middle)


if __name__ == "__main__":
    right, one_by_one, at_once = main()
    print(f"{right} right answers; {one_by_one:.0f} a second one by one, {at_once:.0f} at once")
