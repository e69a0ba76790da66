"""Node coordination: publish when all subscribers are there, so that each gets every message
(ZeroMQ Guide, chapter 2: syncpub, syncsub).
"""

from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

SUBSCRIBERS, UPDATES = 10, 2_000


def subscribe(endpoint):
    """Count the updates; nothing has to be asked of the publisher before."""
    with zmqsocket.new("SUB", subscribe=b"", rcvhwm=0) as sub:
        sub.connect(endpoint)
        count, messages = 0, [b""]
        while messages[-1] != b"end":
            messages = sub.recv_many(100, timeout=10.0)
            count += len(messages)
    return count - 1


def main():
    """Wait for the subscriptions themselves; no second pair of sockets tells of them."""
    with (
        zmqsocket.new("PUB", track_peers=True, sndhwm=0) as pub,
        ThreadPoolExecutor(SUBSCRIBERS) as pool,
    ):
        counts = pool.map(subscribe, [pub.bind("tcp://127.0.0.1:*")] * SUBSCRIBERS)
        pub.wait_subscribers(count=SUBSCRIBERS, timeout=10.0)
        for _ in range(UPDATES):
            pub.send(b"update")
        pub.send(b"end")
        return list(counts)


if __name__ == "__main__":
    counts = main()
    print(f"{len(counts)} subscribers, each with {min(counts)} to {max(counts)} updates")
