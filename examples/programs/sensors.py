"""A hub of sensors: everybody has the newest value of each, also who comes late.

Sensors publish values to the hub, which keeps the newest and publishes it. When somebody
subscribes, the hub publishes what it knows of that topic once more: a table is complete from the
beginning. Each value has the time of its sensor, by which a reader leaves out what it has. A sensor
that is silent for some time is published as lost; a hub that is started anew has its table again
with the sensors' next values.
"""

import contextlib
import sys
import threading
import time

from ratchet import ClosedError, zmqsocket

SENSORS, SECONDS = 1000, 1.0
PERIOD = 0.2  # seconds between two values of a sensor
SILENT = 1.0  # seconds after which a sensor is lost
LOST = b"lost"


def hub(sensors, readers, silent=SILENT):
    """Keep and publish newest values, until a socket is closed; both are bound."""
    table, heard = {}, {}  # topic -> time and value; topic -> when it came, the oldest first
    with contextlib.suppress(ClosedError), zmqsocket.Selector() as selector:
        selector.register(sensors, 1)
        selector.register(readers, 1)
        while True:
            ready = {key.fileobj for key, _ in selector.select(timeout=silent / 4)}
            now = time.monotonic()
            if sensors in ready:
                topic, stamp, value = sensors.recv_multipart()
                table[topic] = [stamp, value]
                heard.pop(topic, None)
                heard[topic] = now
                readers.send_multipart([topic, stamp, value])
            if readers in ready:
                change, prefix = (event := readers.recv_all())[:1], event[1:]
                for topic in table if change == b"\x01" else ():
                    if topic.startswith(prefix):
                        readers.send_multipart([topic, *table[topic]])
            while heard and (oldest := next(iter(heard))) and heard[oldest] < now - silent:
                del heard[oldest]
                table[oldest][1] = LOST
                readers.send_multipart([oldest, *table[oldest]])


def serve(places, silent=SILENT):
    """Run a hub at two places, for sensors and for readers."""
    sensors, readers = zmqsocket.new("SUB", subscribe=b""), zmqsocket.new("XPUB", xpub_verbose=True)
    with sensors, readers:
        sensors.bind(places[0])
        readers.bind(places[1])
        hub(sensors, readers, silent)


class Table:
    """What a reader knows: the newest value of each topic."""

    def __init__(self, place, prefix=b""):
        self.sub = zmqsocket.new("SUB", rcvhwm=100_000, reconnect_ivl=0.05, linger=0)
        self.sub.connect(place)
        self.sub.subscribe(prefix)
        self.values, self.stamps = {}, {}

    def update(self, timeout=...):
        """Take in what comes next; return its topic and value, or None if it was known."""
        topic, stamp, value = self.sub.recv_multipart(timeout=timeout)
        known = self.stamps.get(topic, -1)
        if int(stamp) < known or (int(stamp) == known and value != LOST):
            return None
        self.stamps[topic], self.values[topic] = int(stamp), value
        return topic, value


def sensor(place, topics, until):
    """Publish a value of each topic in each period; its time, here."""
    with zmqsocket.new("PUB", linger=0, reconnect_ivl=0.05, sndhwm=100_000) as pub:
        pub.connect(place)
        while not until.wait(PERIOD):
            for topic in topics:
                pub.send_multipart([topic, b"%d" % time.time_ns(), b"%f" % time.monotonic()])


def late(place, count):
    """How long it takes from connecting until a table has all topics, in seconds."""
    began = time.perf_counter()
    table = Table(place)
    with table.sub:
        while len(table.values) < count:
            table.update(timeout=10)
    return time.perf_counter() - began


def main():
    """Four threads are 250 sensors each; read for a while, and join late, again and again."""
    sensors, readers = zmqsocket.new("SUB", subscribe=b""), zmqsocket.new("XPUB", xpub_verbose=True)
    over = threading.Event()
    places = [zsock.bind("tcp://127.0.0.1:*") for zsock in (sensors, readers)]
    threads = [threading.Thread(target=hub, args=[sensors, readers])]
    for part in range(4):
        topics = [b"sensor.%d" % number for number in range(part, SENSORS, 4)]
        threads.append(threading.Thread(target=sensor, args=[places[0], topics, over]))
    for thread in threads:
        thread.start()
    table, ages, joined = Table(places[1]), [], []
    with table.sub:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS or len(table.values) < SENSORS:
            if found := table.update(timeout=10):
                ages.append(time.monotonic() - float(found[1]))
    seconds = time.monotonic() - began
    joined = sorted(late(places[1], SENSORS) for _ in range(5))
    over.set()
    for zsock in (sensors, readers):
        zsock.close(linger=0)
    for thread in threads:
        thread.join()
    age = sorted(ages)[len(ages) // 2]
    print(
        f"{SENSORS} sensors, {len(ages) / seconds:.0f} values/s, {age * 1e3:.1f} ms old "
        f"at a reader; who joins late has all after {joined[2] * 1e3:.0f} ms"
    )
    return len(table.values) == SENSORS


if __name__ == "__main__":
    sys.exit(not main())
