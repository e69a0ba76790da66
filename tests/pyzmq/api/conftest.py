"""What tests on pyzmq's API get. They run in a process of their own, on either backend."""

import os

import pytest
import zmq

ON_RATCHET = os.environ.get("PYZMQ_BACKEND") == "ratchet.pyzmq.backend"


def pytest_configure(config):
    config.addinivalue_line("markers", "ratchet: pyzmq itself does not keep this promise")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("ratchet") and not ON_RATCHET:
            item.add_marker(pytest.mark.skip(reason="pyzmq itself does not keep this promise"))


@pytest.fixture
def context():
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def link(context):
    """Two sockets, connected over tcp."""

    def link(left, right, **options):
        bound, other = context.socket(left), context.socket(right)
        for socket in (bound, other):
            socket.rcvtimeo = socket.sndtimeo = 10_000
            for name, value in options.items():
                setattr(socket, name, value)
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        other.connect(f"tcp://127.0.0.1:{port}")
        return bound, other

    return link
