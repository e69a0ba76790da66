"""Weather updates: publish for many places, and let each subscriber have the one that it wants
(ZeroMQ Guide, chapter 1: wuserver, wuclient).
"""

from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

PLACES = [b"%05d" % place for place in range(10_000, 10_010)]
UPDATES = 100  # for each place


def average(endpoint, place):
    """The mean temperature of one place: what is published for the others never comes here."""
    with zmqsocket.new("SUB", subscribe=place) as sub:
        sub.connect(endpoint)
        updates = [sub.recv_all(timeout=10.0).split() for _ in range(UPDATES)]
    return sum(int(temperature) for _, temperature in updates) / UPDATES


def main():
    """Publish when both subscriptions have arrived, and not before."""
    with zmqsocket.new("PUB", track_peers=True) as pub, ThreadPoolExecutor() as pool:
        endpoint = pub.bind("tcp://127.0.0.1:*")
        averages = [pool.submit(average, endpoint, place) for place in (PLACES[1], PLACES[8])]
        pub.wait_subscribers(count=len(averages), timeout=10.0)
        for update in range(UPDATES):
            for warmth, place in enumerate(PLACES):
                pub.send(b"%s %d" % (place, update % 10 + warmth))
        return [future.result() for future in averages]


if __name__ == "__main__":
    print("{} degrees on average in one place, {} in the other".format(*main()))
