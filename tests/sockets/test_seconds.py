"""One rule for seconds, wherever they are given."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from harness.sockets import RECEIVES, SENDS

import ratchet
from ratchet import Timeout, thread, zmqsocket

REAL = [1, 1.0, Decimal(1), Fraction(1)]
NOT_REAL = [True, False, "1", b"1", 1j, [1], object()]
BEYOND = [math.nan, Decimal("nan"), Decimal("sNaN"), 10**400, Fraction(10**400)]


def in_a_thread(call):
    """The error of a call of `ratchet.thread`, which ends it at once if it is none."""

    def run():
        thread.attach(thread.kill, thread.self())
        call()

    ratchet.run(run)


def places(zsock, push=None):
    """Wherever somebody gives a number of seconds, by name."""
    return {
        "set_timeout": lambda seconds: zsock.set_timeout(seconds),  # noqa: PLW0108
        **{
            name: lambda seconds, call=call, zsock=one: call(zsock, timeout=seconds)
            for one, calls in ((zsock, RECEIVES), (push, SENDS))
            for name, call in calls.items()
        },
        "rcvtimeo": lambda seconds: setattr(zsock, "rcvtimeo", seconds),
        "linger": lambda seconds: setattr(zsock, "linger", seconds),
        "reconnect_ivl": lambda seconds: setattr(zsock, "reconnect_ivl", seconds),
        "handshake_ivl": lambda seconds: zsock.setsockopt("HANDSHAKE_IVL", seconds),
        "new": lambda seconds: zmqsocket.new("PULL", heartbeat_ivl=seconds).close(),
        "tracker": lambda seconds: zmqsocket.Tracker().wait(seconds),
        "timer": lambda seconds: in_a_thread(lambda: thread.timer(seconds)),
        "alarm": lambda seconds: in_a_thread(lambda: thread.alarm(seconds)),
        "block_on": lambda seconds: in_a_thread(lambda: thread.block_on([zsock], timeout=seconds)),
    }


@pytest.mark.parametrize("place", places(None))
def test_seconds_are_any_real_number_and_no_bool(inproc, place):
    with zmqsocket.new("PULL") as zsock, zmqsocket.new("PUSH") as push:
        zsock.bind(inproc)
        push.connect(inproc)
        call = places(zsock, push)[place]
        for seconds in REAL:
            push.send(b"now")
            call(seconds)
        for wrong in NOT_REAL:
            with pytest.raises(TypeError, match=type(wrong).__name__):
                call(wrong)
        for wrong in BEYOND:
            with pytest.raises(ValueError, match=r"."):
                call(wrong)


def test_close_takes_seconds_as_the_others_do():
    for seconds in REAL:
        zmqsocket.new("PUSH").close(linger=seconds)
    with zmqsocket.new("PUSH") as zsock, pytest.raises(TypeError):
        zsock.close(linger=True)


def test_options_keep_what_they_are_given():
    with zmqsocket.new("PULL") as zsock:
        for seconds in (Decimal("0.07"), Fraction(7, 100), 0.07):
            zsock.linger = seconds
            zsock.rcvtimeo = seconds
            assert (zsock.linger, zsock.rcvtimeo, zsock.get_timeout()) == (0.07, 0.07, 0.07)
        with pytest.raises(Timeout, match=r"within 0\.01 s"):
            zsock.recv(timeout=Decimal("0.01"))
