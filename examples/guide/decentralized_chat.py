"""A chat without a server: everybody publishes, and subscribes to all places where somebody may be
(ZeroMQ Guide, chapter 8: dechat).
"""

import tempfile
import threading

from ratchet import zmqsocket

PLACES = 20  # where somebody may be: in the Guide the addresses of a network
PEOPLE = {3: "Ada", 7: "Grace", 12: "Edsger"}


def chat(folder, place, heard):
    """Say something when the others are there, and listen to each of them."""
    name = PEOPLE[place]
    with (
        zmqsocket.new("PUB", track_peers=True) as pub,
        zmqsocket.new("SUB", subscribe=b"") as sub,
    ):
        pub.bind(f"ipc://{folder}/{place}")
        for other in range(PLACES):
            if other != place:
                sub.connect(f"ipc://{folder}/{other}")  # most of these are never there
        pub.wait_subscribers(count=len(PEOPLE) - 1, timeout=20.0)
        pub.send(f"{name}: hello".encode())
        lines = [sub.recv_all(timeout=20.0).decode() for _ in range(len(PEOPLE) - 1)]
    heard[name] = sorted(lines)


def main():
    """Everybody at the same time."""
    heard = {}
    with tempfile.TemporaryDirectory() as folder:
        threads = [threading.Thread(target=chat, args=[folder, n, heard]) for n in PEOPLE]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return heard


if __name__ == "__main__":
    for name, lines in sorted(main().items()):
        print(f"{name} heard {', '.join(lines)}")
