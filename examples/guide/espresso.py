"""Espresso: look at everything that passes through a proxy between publishers and subscribers
(ZeroMQ Guide, chapter 5: espresso).
"""

import ratchet
from ratchet import zmqsocket

MESSAGES = 100


def main():
    """Publish through a proxy; the subscriber, and who listens in, get everything."""
    front, back = zmqsocket.new("XSUB"), zmqsocket.new("XPUB")
    capture, listener = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
    listener.connect(capture.bind("inproc://espresso"))
    publisher = zmqsocket.new("XPUB")
    publisher.connect(front.bind("tcp://127.0.0.1:*"))
    subscriber = zmqsocket.new("SUB", subscribe=b"news")
    subscriber.connect(back.bind("tcp://127.0.0.1:*"))
    sockets = front, back, capture, listener, publisher, subscriber
    for zsock in sockets:
        zsock.set_timeout(10.0)
    with ratchet.Proxy(front, back, capture) as proxy:
        publisher.recv_all()  # the subscription has come through the proxy
        for number in range(MESSAGES):
            publisher.send(b"news %d" % number)
        heard = [subscriber.recv_all() for _ in range(MESSAGES)]
        seen = [listener.recv_all() for _ in range(1 + MESSAGES)]
        stats = proxy.stats
    for zsock in sockets:
        zsock.close()
    return heard, seen, stats


if __name__ == "__main__":
    heard, seen, stats = main()
    print(f"seen: {seen[0]}, {seen[1]} ... {seen[-1]}")
    print(f"{len(heard)} heard, {stats.frontend_messages} counted, all seen: {heard == seen[1:]}")
