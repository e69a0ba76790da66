"""Heartbeats: one option finds out that a peer has frozen, though its connection is still there
(ZeroMQ Guide, chapter 4: Heartbeating).
"""

import multiprocessing
import os
import signal

from ratchet import zmqsocket


def freeze(endpoint):
    """A worker that says hello and is stopped by a signal: it neither answers nor hangs up."""
    with zmqsocket.new("DEALER") as dealer:
        dealer.connect(endpoint)
        dealer.send(b"hello")
        dealer.recv()
        os.kill(os.getpid(), signal.SIGSTOP)


def main():
    """Look at a peer that freezes: libzmq's heartbeats find out."""
    with zmqsocket.new("ROUTER", heartbeat=0.5, track_peers=True) as router:
        with router.monitor("DISCONNECTED") as monitor:
            endpoint = router.bind("tcp://127.0.0.1:*")
            worker = multiprocessing.get_context("spawn").Process(target=freeze, args=[endpoint])
            worker.start()
            name, hello = router.recv_multipart(timeout=20.0)
            before = len(router.peers)
            router.send_multipart([name, b"freeze"])
            event = monitor.recv(timeout=20.0)
        after = len(router.peers)
        worker.kill()
        worker.join()
    return f"{hello.decode()} from {before} peer; it froze: {event.name}, {after} peers"


if __name__ == "__main__":
    print(main())
