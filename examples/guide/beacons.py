"""Beacons: who is there (ZeroMQ Guide, chapter 8: udpping1, udpping2, udpping3, interface)."""

import socket
import threading
import time
from contextlib import suppress

from ratchet import ClosedError
from ratchet.zmqsocket import new, select

BEAT, GONE = 0.05, 1.0  # seconds between beacons, and without one


def udp_socket(port):
    """A socket for beacons; several nodes on one machine can have the same port."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    udp.bind(("", port))
    return udp


def agent(name, udp, pipe):
    """A node's agent: tell the pipe which nodes come and go, until the pipe is closed."""
    seen, beat = {}, 0.0
    with suppress(ClosedError), udp:
        while True:
            if time.monotonic() > beat:
                udp.sendto(name, ("127.255.255.255", udp.getsockname()[1]))  # the loopback's
                beat = time.monotonic() + BEAT
            if udp in select([udp, pipe], timeout=BEAT)[0]:
                node = udp.recv(255)
                if node not in {name, *seen}:
                    pipe.send_multipart([b"JOINED", node])
                seen[node] = time.monotonic()
            for node in [node for node in seen if time.monotonic() > seen[node] + GONE]:
                del seen[node]
                pipe.send_multipart([b"LEFT", node])


def main():
    """Ada meets Grace and Edsger; then Grace falls silent."""
    outer, inner, port, log = {}, {}, 0, []
    for name in (b"Ada", b"Grace", b"Edsger"):
        udp, outer[name], inner[name] = udp_socket(port), new("PAIR"), new("PAIR")
        port = udp.getsockname()[1]
        outer[name].connect(inner[name].bind(f"inproc://{name.decode()}"))
        threading.Thread(target=agent, args=[name, udp, inner[name]]).start()
    while [b"LEFT", b"Grace"] not in log:
        log.append(outer[b"Ada"].recv_multipart(timeout=10.0))
        if len(log) == 2:
            inner[b"Grace"].close()  # which ends her agent
    for zsock in (*outer.values(), *inner.values()):
        zsock.close()
    return sorted(b" ".join(event).decode() for event in log)


if __name__ == "__main__":
    print("Ada sees:", ", ".join(main()))
