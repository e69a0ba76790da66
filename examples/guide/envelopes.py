"""Envelopes: the first part is what subscriptions are compared with, the rest is the message
(ZeroMQ Guide, chapter 2: psenvpub, psenvsub).
"""

from ratchet import zmqsocket


def main():
    """Publish under two keys, of which the subscriber wants one."""
    with (
        zmqsocket.new("PUB", track_peers=True) as pub,
        zmqsocket.new("SUB", subscribe=b"B") as sub,
    ):
        sub.connect(pub.bind("tcp://127.0.0.1:*"))
        pub.wait_subscribers(b"B", timeout=10.0)
        pub.send_multipart([b"A", b"We do not want to see this"])
        pub.send_multipart([b"B", b"We want to see this"])
        return sub.recv_multipart(timeout=10.0)


if __name__ == "__main__":
    key, text = main()
    print(f"[{key.decode()}] {text.decode()}")
