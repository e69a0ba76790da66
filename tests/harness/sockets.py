"""Calls on sockets that many tests make, in every kind of thread."""

import uuid

from ratchet import Timeout

MIB = bytes(range(256)) * 4096
LARGE = MIB[:200_000]  # beyond what is copied with the GIL held
THROTTLE = 0.01  # seconds; longer than libzmq puts off looking for news when it sends

# Every receive, every send; in asyncio they are to be awaited.
RECEIVES = {
    "recv": lambda zsock, **given: zsock.recv(**given),
    "recv_all": lambda zsock, **given: zsock.recv_all(**given),
    "recv_multipart": lambda zsock, **given: zsock.recv_multipart(**given),
    "recv_many": lambda zsock, **given: zsock.recv_many(5, **given),
}
SENDS = {
    "send": lambda zsock, **given: zsock.send(b"x", **given),
    "send_multipart": lambda zsock, **given: zsock.send_multipart([b"x", b"y"], **given),
    "send_many": lambda zsock, **given: zsock.send_many([b"x"], **given),
}


def nothing_to_receive(zsock):
    try:
        raise AssertionError(f"received {zsock.recv(timeout=0)}")
    except Timeout:
        pass


# Calls on a socket that answer its bell, or may.
ANSWERS = {
    "send": lambda zsock: zsock.send(b"answer"),
    "send_many": lambda zsock: zsock.send_many([b"answer"]),
    "is_readable": lambda zsock: zsock.is_readable(),
    "is_writable": lambda zsock: zsock.is_writable(),
    "getsockopt": lambda zsock: zsock.getsockopt("EVENTS"),
    "linger": lambda zsock: setattr(zsock, "linger", 0),
    "last_endpoint": lambda zsock: zsock.last_endpoint,
    "bind": lambda zsock: zsock.bind(f"inproc://{uuid.uuid4()}"),
    "connect": lambda zsock: zsock.connect(zsock.last_endpoint),
    "bind tcp": lambda zsock: zsock.bind("tcp://127.0.0.1:*"),
    "connect tcp": lambda zsock: zsock.connect("tcp://127.0.0.1:9"),
    "recv": nothing_to_receive,
    "many": lambda zsock: [
        ANSWERS[name](zsock) for name in ("is_readable", "linger", "bind", "connect")
    ],
}


def messages(found):
    """What any receive returned, as a list of the messages."""
    if isinstance(found, tuple):
        return [found[0]]
    return found if isinstance(found, list) else [found]


def fill(zsock):
    """Send 0, 1, 2, … where calls block, until there is no more room; returns how many."""
    for sent in range(100_000):
        try:
            zsock.send(b"%d" % sent, timeout=0)
        except Timeout:
            return sent
    raise AssertionError("no end of room")


async def afill(zsock):
    """The same where calls are awaited."""
    for sent in range(100_000):
        try:
            await zsock.send(b"%d" % sent, timeout=0)
        except Timeout:
            return sent
    raise AssertionError("no end of room")


async def recv_parts(zsock, between=None):
    """One message, part by part."""
    parts, more = [], True
    while more:
        if parts and between:
            await between()
        data, more = await zsock.recv()
        assert type(data) is bytes
        assert zsock.is_rcvmore() is more
        parts.append(data)
    return parts


async def send_parts(zsock, parts):
    for part in parts[:-1]:
        assert await zsock.send(part, True) is None
    await zsock.send(parts[-1])


def place_of(endpoint):
    """Return the host and port of a tcp endpoint, such as ``("127.0.0.1", 5555)``."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)
