"""Is the installed ratchet whole? Sends a message over tcp, and asks libzmq for CURVE.

With "draft" as an argument, as for a release, it also asks for the draft options.
"""

import sys

import ratchet

with ratchet.zmqsocket.new("PAIR") as left, ratchet.zmqsocket.new("PAIR") as right:
    left.bind("tcp://127.0.0.1:*")
    right.connect(left.last_endpoint)
    right.send(b"x")
    if left.recv(timeout=10) != (b"x", False):
        raise SystemExit("another message came than was sent")
if not ratchet.has("curve"):
    raise SystemExit("libzmq was built without CURVE")
if "draft" in sys.argv[1:] and not ratchet.has("draft"):
    raise SystemExit("libzmq was built without its draft options")
print("libzmq", ".".join(map(str, ratchet.libzmq_version())), "from", ratchet.__file__)
