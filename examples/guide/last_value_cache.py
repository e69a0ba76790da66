"""Last value cache: who subscribes gets the newest value at once, however long ago it was sent
(ZeroMQ Guide, chapter 5: lvcache, pathopub, pathosub).
"""

import threading

from ratchet import ClosedError, zmqsocket


def cache(sub, xpub):
    """Pass on what is published, and give each new subscriber what is known."""
    values = {}
    try:
        while True:
            readable, _ = zmqsocket.select([sub, xpub])
            if sub in readable:
                topic, value = sub.recv_multipart()
                values[topic] = value
                xpub.send_multipart([topic, value])
            if xpub in readable:
                event = xpub.recv_all()
                topic = event[1:]
                if event[:1] == b"\x01" and topic in values:
                    xpub.send_multipart([topic, values[topic]])
    except ClosedError:
        return


def main():
    """Publish before anybody listens, then subscribe."""
    sub = zmqsocket.new("SUB", subscribe=b"")
    xpub = zmqsocket.new("XPUB", xpub_verbose=True)  # tells of each subscriber, not the first only
    thread = threading.Thread(target=cache, args=[sub, xpub])
    place = xpub.bind("tcp://127.0.0.1:*")
    heard = []
    with zmqsocket.new("XPUB") as publisher:
        sub.connect(publisher.bind("tcp://127.0.0.1:*"))
        publisher.recv_all()  # the cache has subscribed
        for topic, value in [(b"oslo", b"-3"), (b"rome", b"18"), (b"oslo", b"-4")]:
            publisher.send_multipart([topic, value])
        # Until here nobody but the cache listens. A subscriber gets what is in the cache by then.
        thread.start()
        for topic in (b"rome", b"oslo", b"oslo"):
            with zmqsocket.new("SUB", subscribe=topic) as subscriber:
                subscriber.connect(place)
                found = [b"", b""]
                while found[1] not in (b"18", b"-4"):
                    found = subscriber.recv_multipart(timeout=10.0)
                heard.append(" ".join(part.decode() for part in found))
    sub.close()
    xpub.close()
    thread.join()
    return ", ".join(heard)


if __name__ == "__main__":
    print(main())
