"""Identities: what a ROUTER sees of a peer that has named itself, and of one that has not (ZeroMQ
Guide, chapter 3: identity).
"""

from ratchet import zmqsocket


def show(parts):
    """The parts of a message, as text where they are text."""
    return [part.decode() if part.isascii() and part.isalnum() else part.hex(" ") for part in parts]


def main():
    """One after the other, so that it is known who is who."""
    with (
        zmqsocket.new("ROUTER") as router,
        zmqsocket.new("REQ") as anonymous,
        zmqsocket.new("REQ", routing_id=b"PEER2") as named,
    ):
        endpoint = router.bind("tcp://127.0.0.1:*")
        seen = []
        for req in (anonymous, named):
            req.connect(endpoint)
            req.send(b"hello")
            name, empty, text = router.recv_multipart(timeout=10.0)
            seen.append(show([name, empty, text]))
            router.send_multipart([name, b"", b"welcome"])  # the name is the address as well
            req.recv_all(timeout=10.0)
    return seen


if __name__ == "__main__":
    for parts in main():
        print(parts)
