"""Binary star: two servers (ZeroMQ Guide, chapter 4: bstarsrv, bstarcli, bstarsrv2, bstar)."""

import multiprocessing
import tempfile
import time

from ratchet import zmqsocket

BEAT, DEAD, START = 0.05, 1.0, 20.0  # seconds between signs of life, without one, and at the start


def serve(folder, name, other):
    """One of the pair. The backup becomes active when it is asked and the primary is dead."""
    front, pub = zmqsocket.new("ROUTER", router_mandatory=False), zmqsocket.new("PUB")
    with front, pub, zmqsocket.new("SUB", subscribe=b"") as sub:
        front.bind(f"ipc://{folder}/{name}")
        pub.bind(f"ipc://{folder}/{name}-state")
        sub.connect(f"ipc://{folder}/{other}-state")
        active, first, beat, dead = False, name == "primary", 0.0, time.monotonic() + START
        while True:
            readable, _ = zmqsocket.select([sub, front], timeout=BEAT)
            if sub in readable:
                dead = time.monotonic() + DEAD
                passive = sub.recv_latest() == b"passive"
                active = (active or first) if passive else (active and first)
            elif front in readable:
                *envelope, _ = front.recv_multipart()
                active = active or time.monotonic() > dead
                if active:
                    front.send_multipart([*envelope, name.encode()])
            if time.monotonic() > beat:
                pub.send(b"active" if active else b"passive")
                beat = time.monotonic() + BEAT


def main():
    """Ask the pair, kill the primary, and start it again, which changes nothing."""
    names, processes = ["primary", "backup"], multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, zmqsocket.new("REQ", track_peers=True) as req:
        first, backup, again = (
            processes.Process(target=serve, args=[folder, *pair], daemon=True)
            for pair in (names, names[::-1], names)
        )
        first.start()
        backup.start()
        for name in names:
            req.connect(f"ipc://{folder}/{name}")
        answers = [req.request(b"who is it?", timeout=0.3, retries=100)]
        first.kill()
        first.join()
        answers.append(req.request(b"who is it?", timeout=0.3, retries=100))
        again.start()
        req.wait_peers(2, timeout=20.0)
        answers.append(req.request(b"who is it?", timeout=0.3, retries=100))
    return [answer.decode() for answer in answers]


if __name__ == "__main__":
    print(*main(), sep=", ")
