"""One rule for seconds, wherever given; one error for buffers that cannot be used; TIPC."""

import _socket
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from harness.behaviour import behaviour

import ratchet
from ratchet import Error, Timeout, has, thread, zmqsocket

REAL = [1, 1.0, Decimal(1), Fraction(1)]
NOT_REAL = [True, False, "1", b"1", 1j, [1], object()]
BEYOND = [math.nan, Decimal("nan"), Decimal("sNaN"), 10**400, Fraction(10**400)]


def in_a_thread(call):
    """The error of a call of `ratchet.thread`, which ends it at once if it is none."""

    def run():
        thread.attach(thread.kill, thread.self())
        call()

    ratchet.run(run)


def places(zsock):
    """Wherever somebody gives a number of seconds, by name."""
    return {
        "set_timeout": lambda seconds: zsock.set_timeout(seconds),  # noqa: PLW0108
        "recv": lambda seconds: zsock.recv(timeout=seconds),
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
        call = places(zsock)[place]
        for seconds in REAL:
            push.send(b"now")
            call(seconds)
        for wrong in NOT_REAL:
            with pytest.raises(TypeError):
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


# Buffers


@behaviour
async def test_an_array_that_is_not_contiguous(rt, inproc):
    """numpy says ValueError of it, and memoryview BufferError; ratchet says BufferError."""
    np = pytest.importorskip("numpy")
    push, pull = await rt.link("PUSH", "PULL", inproc)
    whole = np.arange(12, dtype="u1").reshape(3, 4)
    for wrong in (whole[:, ::2], whole[::-1], whole.T, memoryview(bytes(8))[::2]):
        for call in (
            lambda wrong: push.send(wrong),  # noqa: PLW0108
            lambda wrong: push.send(wrong, True),
            lambda wrong: push.send(wrong, copy=False),
            lambda wrong: push.send_multipart([b"1", wrong]),
            lambda wrong: push.send_multipart([b"1", wrong], copy=False),
            lambda wrong: push.send_many([b"1", wrong]),
            lambda wrong: pull.recv_into(wrong, timeout=0),
        ):
            with pytest.raises(BufferError):
                await call(wrong)
    fixed = np.zeros(12, dtype="u1")
    fixed.flags.writeable = False
    for wrong in (fixed, bytes(12), memoryview(bytes(12))):
        with pytest.raises(BufferError):
            await pull.recv_into(wrong, timeout=0)
    with pytest.raises(BufferError, match="ascontiguousarray"):
        await push.send(whole.T)
    await push.send(np.ascontiguousarray(whole.T))
    assert await pull.recv_all() == whole.T.tobytes()


# TIPC


@pytest.mark.skipif(not has("tipc"), reason="this libzmq has no TIPC")
@pytest.mark.parametrize("act", ["bind", "connect"])
def test_an_endpoint_of_tipc(monkeypatch, act):
    """libzmq says nothing of a malformed one: what an earlier call left was taken for its word."""

    class Fake:
        def __init__(self, *arguments):
            if not there:
                raise OSError(97, "Address family not supported by protocol")

        def close(self):
            pass

    monkeypatch.setattr(_socket, "socket", Fake)
    with zmqsocket.new("PULL") as zsock:
        for there in (False, True):
            with pytest.raises(Timeout):
                zsock.recv(timeout=0)  # leaves EAGAIN behind
            with pytest.raises(Error) as caught:
                getattr(zsock, act)("tipc://nowhere")
            assert isinstance(caught.value, ValueError)
            assert caught.value.code == ("EINVAL" if there else "EPROTONOSUPPORT")
            assert "tipc://nowhere" in str(caught.value)
