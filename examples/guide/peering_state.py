"""Peering, the flow of state: each broker tells all others how many of its workers are free (ZeroMQ
Guide, chapter 3: peering1).
"""

import threading

from ratchet import zmqsocket

FREE = {b"london": 3, b"oslo": 0, b"rome": 5}  # workers of each broker
PLACES = {name: f"inproc://state-{name.decode()}" for name in FREE}


def broker(name, seen):
    """Tell the own state when everybody listens, and note what the others tell."""
    others = FREE.keys() - {name}
    pub, sub = zmqsocket.new("PUB", track_peers=True), zmqsocket.new("SUB", subscribe=b"")
    with pub, sub:
        pub.bind(PLACES[name])
        for other in others:
            sub.connect(PLACES[other])
        pub.wait_subscribers(count=len(others), timeout=10.0)
        pub.send_multipart([name, b"%d" % FREE[name]])
        told = [sub.recv_multipart(timeout=10.0) for _ in others]
        seen[name] = {other.decode(): int(free) for other, free in sorted(told)}


def main():
    """Three brokers, each with a PUB of its own and a SUB for all others."""
    seen = {}
    brokers = [threading.Thread(target=broker, args=[name, seen]) for name in FREE]
    for thread in brokers:
        thread.start()
    for thread in brokers:
        thread.join()
    return seen


if __name__ == "__main__":
    for name, others in sorted(main().items()):
        print(f"{name.decode()} knows {others}")
