"""Keys, sockets with rules, and what came of a client."""

import contextlib
import threading

import pytest
from harness.waiting import LONG

from ratchet import Timeout, auth, has, zmqsocket

if not has("curve"):
    pytest.skip("this libzmq has no CURVE", allow_module_level=True)

SHORT = 0.3  # seconds in which a client that is let in has long been heard


class Door:
    """A server, and clients that knock."""

    def __init__(self, new, keys, bind, **rules):
        self.keys, self.new = keys, new
        if "users" not in rules and "clients" in rules:
            rules["curve"] = keys
        self.zsock = new("ROUTER", **rules)
        self.at = self.zsock.bind(bind)

    def knock(self, keys=None, wait=SHORT, at=None, **options):
        """The frame of a client's message, or None if it was kept out."""
        if keys is not None:
            options |= {"curve": keys, "server": options.pop("server", self.keys.public)}
        with zmqsocket.new("DEALER", linger=0, **options) as client:
            client.connect(at or self.at)
            with contextlib.suppress(Timeout):  # it was refused before this
                client.send(b"knock", timeout=0)
            try:
                return self.zsock.recv_frames(timeout=wait)[-1]
            except Timeout:
                return None

    def lets_in(self, keys=None, **options):
        frame = self.knock(keys, wait=LONG, **options)
        assert frame is not None
        return frame


@pytest.fixture(scope="session")
def keys():
    """Of a server, of clients that are let in, and of strangers."""
    return [auth.generate() for _ in range(6)]


@pytest.fixture
def door(new, keys, tcp):
    """Makes a server with rules, whose keys are the first."""
    return lambda bind=tcp, **rules: Door(new, keys[0], bind, **rules)


@pytest.fixture
def told(caplog):
    """What the log has said so far, as one text."""
    caplog.set_level("DEBUG", "ratchet.auth")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


@pytest.fixture
def gate():
    """A callable of `clients` that is held up until the test says ``set``."""
    event = threading.Event()
    yield event
    event.set()
