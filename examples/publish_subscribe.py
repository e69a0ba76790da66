"""Publish and subscribe: each subscriber gets the messages that begin with its prefix.

A PUB sends to who has subscribed, and to nobody else: what is published before a subscription has
arrived is not seen. This publisher is an XPUB, which is told of each subscription and waits for it.
"""

import threading

from ratchet import zmqsocket

PREFIXES = [b"oslo ", b"rome ", b""]  # the last subscriber wants everything
READINGS = [b"oslo -3", b"rome 18", b"oslo -4", b"lima 22"]


def listen(endpoint, prefix, heard):
    """Write down what comes, up to the word that there is no more."""
    with zmqsocket.new("SUB", subscribe=[prefix, b"end"]) as sub:
        sub.connect(endpoint)
        while (reading := sub.recv_all(timeout=10.0)) != b"end":
            heard.append(reading)


def main():
    """One publisher; who subscribed heard what."""
    heard = {prefix: [] for prefix in PREFIXES}
    with zmqsocket.new("XPUB", xpub_verbose=True) as pub:  # verbose: told of equal ones too
        endpoint = pub.bind("tcp://127.0.0.1:*")
        listeners = [
            threading.Thread(target=listen, args=[endpoint, prefix, readings])
            for prefix, readings in heard.items()
        ]
        for listener in listeners:
            listener.start()
        for _ in range(2 * len(PREFIXES)):
            pub.recv()  # b"\x01" and the prefix
        pub.send_many([*READINGS, b"end"])
        for listener in listeners:
            listener.join()
    return heard


if __name__ == "__main__":
    for prefix, readings in main().items():
        print(f"{prefix.decode().strip() or 'all'}: {b', '.join(readings).decode()}")
