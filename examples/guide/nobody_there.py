"""Nobody there: a DEALER that has no peer, or whose queues are full, raises instead of dropping the
message (ZeroMQ Guide, chapter 8: eagain).
"""

from ratchet import Timeout, zmqsocket


def main():
    """Send to nobody, then to a peer that reads nothing, then to one that does."""
    with (
        zmqsocket.new("DEALER", track_peers=True, sndhwm=5) as dealer,
        zmqsocket.new("DEALER", rcvhwm=5) as peer,
    ):
        endpoint = dealer.bind("inproc://nobody-there")
        try:
            dealer.send(b"hello", timeout=0)  # now or never
        except Timeout as error:
            print(error.strerror.partition("; ")[2].partition(".")[0])
        peer.connect(endpoint)
        sent = 0
        try:
            while True:
                dealer.send(b"%d" % sent, timeout=0)
                sent += 1
        except Timeout:
            print(f"the queues are full after {sent} messages")
        received = peer.recv_many(100)
        dealer.send(b"there is room again", timeout=0)
        print(f"{len(received)} received, then: {peer.recv_all(timeout=10.0).decode()}")


if __name__ == "__main__":
    main()
