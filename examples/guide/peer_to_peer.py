"""Peer to peer: every node has one inbox for all others, and a socket to each of them (ZeroMQ
Guide, chapter 8: Point-to-Point Messaging).
"""

import socket
import threading
import time

from ratchet import zmqsocket

NETWORK, BEAT = "127.255.255.255", 0.05  # where beacons go, and the seconds between them
NODES = (b"Ada", b"Grace", b"Edsger")


def node(name, udp, heard):
    """Tell all others where the own inbox is, and greet each of them there."""
    peers, beat, port = {}, 0.0, udp.getsockname()[1]
    with udp, zmqsocket.new("ROUTER") as inbox:
        place = inbox.bind("tcp://127.0.0.1:*").encode()
        while len(peers) < len(NODES) - 1 or len(heard[name]) < len(NODES) - 1:
            if time.monotonic() > beat:
                udp.sendto(b" ".join([name, place]), (NETWORK, port))
                beat = time.monotonic() + BEAT
            readable, _ = zmqsocket.select([udp, inbox], timeout=BEAT)
            if udp in readable:
                peer, endpoint = udp.recv(255).split()
                if peer not in {name, *peers}:
                    peers[peer] = zmqsocket.new("DEALER", routing_id=name)
                    peers[peer].connect(endpoint.decode())
                    peers[peer].send(b"hello, " + peer)
            if inbox in readable:
                sender, text = inbox.recv_multipart()
                heard[name].append(f"{sender.decode()}: {text.decode()}")
    for dealer in peers.values():
        dealer.close()


def main():
    """Three nodes, none of which knows another one beforehand."""
    heard, threads, port = {name: [] for name in NODES}, [], 0
    for name in NODES:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        udp.bind(("", port))
        port = udp.getsockname()[1]
        threads.append(threading.Thread(target=node, args=[name, udp, heard]))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return [line for name in NODES for line in sorted(heard[name])]


if __name__ == "__main__":
    print(*main(), sep="\n")
