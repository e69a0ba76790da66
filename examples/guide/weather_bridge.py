"""A bridge: publishers inside, subscribers outside, and subscriptions go through to the source
(ZeroMQ Guide, chapter 2: wuproxy).
"""

import ratchet
from ratchet import zmqsocket


def main():
    """Publish inside; what nobody outside wants does not even reach the bridge."""
    with (
        zmqsocket.new("PUB", track_peers=True) as pub,
        zmqsocket.new("XSUB") as inside,
        zmqsocket.new("XPUB") as outside,
        zmqsocket.new("SUB", subscribe=b"oslo") as sub,
        ratchet.Proxy(inside, outside) as proxy,
    ):
        inside.connect(pub.bind("tcp://127.0.0.1:*"))
        sub.connect(outside.bind("tcp://127.0.0.1:*"))
        pub.wait_subscribers(b"oslo", timeout=10.0)  # it has come through the bridge
        for report in (b"rome 18", b"oslo -3", b"lima 22", b"oslo -4"):
            pub.send(report)
        reports = [sub.recv_all(timeout=10.0).decode() for _ in range(2)]
    return reports, proxy.stats.frontend_messages


if __name__ == "__main__":
    reports, passed = main()
    print(f"{', '.join(reports)}; {passed} messages went over the bridge")
