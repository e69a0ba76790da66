"""Is the installed ratchet whole? Sends a message over tcp, and asks libzmq for CURVE."""

import ratchet

with ratchet.zmqsocket.new("PAIR") as left, ratchet.zmqsocket.new("PAIR") as right:
    left.bind("tcp://127.0.0.1:*")
    right.connect(left.last_endpoint)
    right.send(b"x")
    if left.recv(timeout=10) != (b"x", False):
        raise SystemExit("another message came than was sent")
if not ratchet.has("curve"):
    raise SystemExit("libzmq was built without CURVE")
print("libzmq", ".".join(map(str, ratchet.libzmq_version())), "from", ratchet.__file__)
