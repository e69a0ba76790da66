"""What only tests of ratchet threads get."""

import socket

import pytest
from harness import internals

from ratchet import _platform


@pytest.fixture
def plain():
    """The two ends of a plain socket pair."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture(params=["best", "level-triggered"])
def poll(request, monkeypatch):
    """Both kinds of polls: what the platform has, and what every platform has."""
    if request.param != "best":
        internals.use_poll(monkeypatch, _platform.Poll)
