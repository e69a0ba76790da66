"""Wrong use: a clear error that says what was given and what to do, and nothing is lost to it."""

import array
import copy
import ctypes
import mmap
import pickle

import pytest
from harness.behaviour import behaviour
from harness.sockets import RECEIVES

from ratchet import ClosedError, Error, StateError, Timeout, zmqsocket

MIB = 2**20
SENDS = {
    "send": lambda zsock, data, **kwargs: zsock.send(data, **kwargs),
    "send more": lambda zsock, data, **kwargs: zsock.send(data, True, **kwargs),
    "send_multipart": lambda zsock, data, **kw: zsock.send_multipart([b"1", data, b"3"], **kw),
    "send_many": lambda zsock, data, **kw: zsock.send_many([b"1", data, b"3"], **kw),
}
sends = pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
receives = pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)


@pytest.fixture
def link(inproc):
    """A PULL and a PUSH with a message under way; afterwards both must work, with just that one."""
    with zmqsocket.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        pull.bind(inproc)
        push.connect(inproc)
        pull.set_timeout(5)
        push.set_timeout(5)
        push.send(b"before")
        yield pull, push
        push.send(b"after")
        assert pull.recv_multipart() == [b"before"]
        assert pull.recv_multipart() == [b"after"]
        assert not pull.is_readable()


@pytest.fixture
def full(inproc):
    """A PUSH whose queue is full, and a function that gives it a peer and returns what arrives."""
    with zmqsocket.new("PUSH", sndhwm=1) as push, zmqsocket.new("PULL") as pull:
        push.connect(inproc)
        filler = 0
        while push.is_writable():
            push.send(b"filler", timeout=0)
            filler += 1

        def arrive():
            pull.bind(inproc)
            assert [pull.recv_all(timeout=5) for _ in range(filler)] == [b"filler"] * filler
            return pull

        yield push, arrive


# Messages


@sends
@pytest.mark.parametrize("wrong", ["text", 5, None, 1.5, [b"part"]])
def test_not_bytes(link, send, wrong):
    with pytest.raises(TypeError, match=r"bytes") as caught:
        send(link[1], wrong)
    assert type(wrong).__name__ in str(caught.value)
    if isinstance(wrong, str):
        assert "encode" in str(caught.value)


@behaviour
async def test_an_array_that_is_not_contiguous(rt, inproc):
    """numpy says ValueError of it, and memoryview BufferError; ratchet says BufferError."""
    np = pytest.importorskip("numpy")
    push, pull = await rt.link("PUSH", "PULL", inproc)
    whole = np.arange(12, dtype="u1").reshape(3, 4)
    for wrong in (whole[:, ::2], whole[::-1], whole.T):
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


@sends
def test_not_contiguous(link, send):
    gone = memoryview(b"abcdef")
    for wrong in (gone[::2], gone[::-1]):
        with pytest.raises(BufferError, match="contiguous"):
            send(link[1], wrong)
        wrong.release()
    gone.release()
    with pytest.raises(ValueError, match="released"):
        send(link[1], gone)


@sends
def test_an_array_of_objects(link, send):
    """numpy gives it out as the bytes of its pointers."""
    np = pytest.importorskip("numpy")
    objects = np.array([[], {}], dtype=object)
    for wrong in (objects, memoryview(objects), np.zeros(2, dtype=[("n", "i4"), ("o", "O")])):
        with pytest.raises(TypeError, match="objects"):
            send(link[1], wrong)
        with pytest.raises(TypeError, match="objects"):
            link[0].recv_into(wrong)
    assert objects.tolist() == [[], {}]


def test_copying_and_pickling(link):
    link[1].send(b"frame")
    assert link[0].recv() == (b"before", False)
    frame = link[0].recv_frame()
    for thing in (*link, frame, zmqsocket.Tracker()):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                call(thing)
    link[1].send(b"before")


def test_taken_of_a_send_many_that_sent_nothing(link):
    closed = zmqsocket.new("PUSH")
    closed.close()
    for zsock, wrong, error in (
        (link[1], [b"1", "text"], TypeError),
        (link[1], (1 // n for n in (1, 0)), ZeroDivisionError),
        (link[0], [b"1"], Error),
        (closed, [b"1"], ClosedError),
    ):
        with pytest.raises(error) as caught:
            zsock.send_many(wrong)
        assert caught.value.taken == 0


def test_an_error_in_mid_message_leaves_the_message(link):
    pull, push = link
    assert pull.recv() == (b"before", False)
    push.send(b"1", True)
    for call in (push.send, push.send_multipart):
        with pytest.raises(TypeError):
            call("text")
    with pytest.raises(BufferError):
        push.send(memoryview(b"abcdef")[::2], True)
    push.send(b"2")
    assert pull.recv_multipart() == [b"1", b"2"]
    push.send(b"before")


@pytest.mark.parametrize("name", ["send_multipart", "send_many"])
def test_not_an_iterable_of_parts(link, name):
    for wrong in (b"parts", bytearray(b"parts"), memoryview(b"parts"), "parts", 5, None):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            getattr(link[1], name)(wrong)

    def broken():
        yield b"never sent"
        raise LookupError

    with pytest.raises(LookupError):
        getattr(link[1], name)(broken())


def test_no_parts_are_no_message(link):
    with pytest.raises(ValueError, match="at least one"):
        link[1].send_multipart([])


@pytest.mark.parametrize("wrong", [0, -1, 10**30, "3", 2.5, None])
def test_recv_many_of_a_wrong_number(link, wrong):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        link[0].recv_many(wrong)


# Directions


@sends
@pytest.mark.parametrize("type", ["PULL", "SUB"])
@pytest.mark.parametrize("size", [1, MIB])
def test_send_where_nothing_can_be_sent(inproc, send, type, size):
    with zmqsocket.new(type) as zsock:
        zsock.bind(inproc)
        for data in (bytes(size), bytearray(size)):
            with pytest.raises(Error, match=type) as caught:
                send(zsock, data, timeout=1)
            assert caught.value.code == "ENOTSUP"
        with zmqsocket.new({"PULL": "PUSH", "SUB": "PUB"}[type]) as peer:
            peer.connect(inproc)
            if type == "PULL":
                peer.send(b"still works")
                assert zsock.recv_all(timeout=5) == b"still works"


@receives
@pytest.mark.parametrize("type", ["PUSH", "PUB"])
def test_receive_where_nothing_comes(inproc, receive, type):
    with zmqsocket.new(type) as zsock, zmqsocket.new("PULL") as pull:
        zsock.bind(inproc)
        with pytest.raises(Error, match=type) as caught:
            receive(zsock, timeout=1)
        assert caught.value.code == "ENOTSUP"
        if type == "PUSH":
            pull.connect(inproc)
            zsock.send(b"still works")
            assert pull.recv_all(timeout=5) == b"still works"


def test_subscribe(link):
    for name in ("subscribe", "unsubscribe"):
        for kind in ("PULL", "PUB", "DEALER"):
            with zmqsocket.new(kind) as zsock, pytest.raises(ValueError, match=rf"{kind}.*XSUB"):
                getattr(zsock, name)(b"")
        for kind in ("SUB", "XSUB"):
            with zmqsocket.new(kind) as zsock:
                for wrong in ("text", 5, None):
                    with pytest.raises(TypeError, match="bytes"):
                        getattr(zsock, name)(wrong)


def test_an_unknown_attribute(link):
    with pytest.raises(AttributeError):
        link[0].sndhvm = 1


# Endpoints


@pytest.mark.parametrize("name", ["bind", "connect", "unbind", "disconnect"])
@pytest.mark.parametrize("wrong", [None, 1337, b"tcp://*:1337"])
def test_endpoints_that_are_no_str(link, name, wrong):
    with pytest.raises(TypeError, match=rf"endpoint.*{type(wrong).__name__}"):
        getattr(link[0], name)(wrong)


@pytest.mark.parametrize("name", ["unbind", "disconnect"])
def test_endpoints_that_are_not_in_use(link, name):
    for wrong in ("tcp://127.0.0.1:9", "inproc://nobody"):
        with pytest.raises(Error, match=r"endpoint") as caught:
            getattr(link[0], name)(wrong)
        assert caught.value.code == "ENOENT"
        assert wrong in str(caught.value)


def test_an_address_that_is_elsewhere(link):
    with pytest.raises(Error, match=r"tcp://192\.0\.2\.1:5.*\*") as caught:
        link[0].bind("tcp://192.0.2.1:5")
    assert caught.value.code == "EADDRNOTAVAIL"
    with pytest.raises(Error, match="ipc:///no/such/folder") as caught:
        link[0].bind("ipc:///no/such/folder/s")
    assert caught.value.code == "ENOENT"


@pytest.mark.parametrize("same", [True, False], ids=["same socket", "other socket"])
# libzmq takes an ipc path over, as it must after a crash.
@pytest.mark.parametrize("transport", ["inproc", "tcp"])
def test_address_in_use(request, transport, same):
    endpoint = request.getfixturevalue(transport)
    new = zmqsocket.new
    with new("PULL") as pull, new("PULL") as other, new("PUSH") as push:
        pull.bind(endpoint)
        where = pull.last_endpoint
        push.connect(where)
        push.send(b"before")
        with pytest.raises(Error, match="last_endpoint") as caught:
            (pull if same else other).bind(where)
        assert caught.value.code == "EADDRINUSE"
        assert where in str(caught.value)
        push.send(b"after")
        assert [pull.recv_all(timeout=5), pull.recv_all(timeout=5)] == [b"before", b"after"]


@pytest.mark.parametrize("name", ["sndhwm", "rcvhwm"])
@pytest.mark.parametrize("use", ["bind", "connect"])
def test_high_water_marks_once_used(name, use):
    """libzmq would tell them to pipes of peers that have left, or that are full for good then."""
    with zmqsocket.new("DEALER", linger=0) as zsock:
        setattr(zsock, name, 7)
        getattr(zsock, use)({"bind": "tcp://127.0.0.1:*", "connect": "tcp://127.0.0.1:9"}[use])
        with pytest.raises(StateError, match="before bind and connect"):
            setattr(zsock, name, 8)
        assert getattr(zsock, name) == 7


# After close

CALLS = {
    **{name: lambda zsock, send=send: send(zsock, b"x") for name, send in SENDS.items()},
    "send large": lambda zsock: zsock.send(bytes(MIB)),
    **RECEIVES,
    **{
        # An endpoint that an open socket would refuse, for want of ipv6.
        name: lambda zsock, name=name: getattr(zsock, name)("tcp://[::1]:5555")
        for name in ("bind", "connect", "unbind", "disconnect")
    },
    **{
        name: lambda zsock, name=name: getattr(zsock, name)()
        for name in ("get_fd", "fileno", "is_readable", "is_writable", "is_rcvmore", "__enter__")
    },
    "subscribe": lambda zsock: zsock.subscribe(b""),
    "read an option": lambda zsock: zsock.sndhwm,
    "set an option": lambda zsock: zsock.setsockopt("SNDHWM", 1),
    "last_endpoint": lambda zsock: zsock.last_endpoint,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_after_close(inproc, call):
    zsock = zmqsocket.new("SUB" if "subscribe" in call.__code__.co_names else "DEALER")
    zsock.bind(inproc)
    zsock.close()
    with pytest.raises(ClosedError, match=rf"{zsock.type}.*{inproc}.*closed") as caught:
        call(zsock)
    assert isinstance(caught.value, Error)
    assert zsock.closed


# Buffers


class Bytes(bytes):
    pass


def buffers(size):
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    mapped = mmap.mmap(-1, size)
    mapped[:] = data
    yield "bytes", data
    yield "bytes's subclass", Bytes(data)
    yield "bytearray", bytearray(data)
    yield "memoryview", memoryview(data)
    yield "memoryview of a bytearray", memoryview(bytearray(data))
    yield "slice", memoryview(b"x" + data + b"x")[1:-1]
    yield "cast", memoryview(data).cast("I")
    yield "grid", memoryview(data).cast("B", (size // 8, 8))
    yield "array", array.array("I", data)
    yield "mmap", mapped
    yield "ctypes", (ctypes.c_char * size).from_buffer_copy(data)


@pytest.mark.parametrize("size", [256, MIB])
def test_buffers(link, size):
    pull, push = link
    assert pull.recv() == (b"before", False)
    for what, data in buffers(size):
        expected = bytes(data)
        push.send(data)
        push.send(data, True)
        push.send_multipart([data, data])
        push.send_many([data, data])
        assert pull.recv() == (expected, False), what
        assert pull.recv_multipart() == [expected] * 3
        for got in (pull.recv_all(), pull.recv_all()):
            assert got == expected
            assert type(got) is bytes
        if isinstance(data, bytearray):
            data.clear()  # nothing holds on to it
        elif isinstance(data, mmap.mmap):
            data.close()
    push.send(memoryview(b""))
    assert pull.recv() == (b"", False)
    push.send(b"before")


@sends
@pytest.mark.parametrize("size", [3, 300, MIB])
def test_a_bytearray_changed_after_send(link, send, size):
    pull, push = link
    data = bytearray(b"a" * size)
    send(push, data)
    data[:] = b"b" * size
    data.clear()
    if send is SENDS["send more"]:
        push.send(b"end")
    expected = {
        "send": [[b"a" * size]],
        "send more": [[b"a" * size, b"end"]],
        "send_multipart": [[b"1", b"a" * size, b"3"]],
        "send_many": [[b"1"], [b"a" * size], [b"3"]],
    }[next(name for name in SENDS if SENDS[name] is send)]
    assert pull.recv_all() == b"before"
    for parts in expected:
        assert pull.recv_multipart() == parts
    push.send(b"before")


@pytest.mark.parametrize("name", ["send", "send_multipart", "send_many"])
@pytest.mark.parametrize("size", [3, MIB])
def test_a_bytearray_is_free_after_a_timeout(full, name, size):
    push, arrive = full
    data = bytearray(b"a" * size)
    for timeout in (0, 0.005):
        with pytest.raises(Timeout):
            getattr(push, name)(data if name == "send" else [data], timeout=timeout)
        data[:] = b"b" * size
        data.extend(b"more")
        data[size:] = b""
    pull = arrive()
    with pytest.raises(Timeout):
        pull.recv(timeout=0.005)
