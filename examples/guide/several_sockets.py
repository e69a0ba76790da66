"""Several sockets: one thread reads jobs and the weather as they come (ZeroMQ Guide, chapter 2:
msreader, mspoller).
"""

import threading

from ratchet import zmqsocket

MESSAGES = 50  # of each kind


def feed(push, pub):
    """Send jobs and weather, one after the other."""
    pub.wait_subscribers(timeout=10.0)
    for number in range(MESSAGES):
        push.send(b"job %d" % number)
        pub.send(b"10001 %d" % number)


def main():
    """Take what is there, and wait while there is nothing at either socket."""
    with (
        zmqsocket.new("PULL") as jobs,
        zmqsocket.new("SUB", subscribe=b"10001") as weather,
        zmqsocket.new("PUSH") as push,
        zmqsocket.new("PUB", track_peers=True) as pub,
    ):
        jobs.connect(push.bind("tcp://127.0.0.1:*"))
        weather.connect(pub.bind("tcp://127.0.0.1:*"))
        feeder = threading.Thread(target=feed, args=[push, pub])
        feeder.start()
        taken = {jobs: 0, weather: 0}
        while sum(taken.values()) < 2 * MESSAGES:
            readable, _ = zmqsocket.select([jobs, weather], timeout=10.0)
            for zsock in readable:
                zsock.recv_all()
                taken[zsock] += 1
        feeder.join()
        return taken[jobs], taken[weather]


if __name__ == "__main__":
    print("{} jobs and {} reports of the weather".format(*main()))
