"""Messages by pyzmq's API: flags, parts, frames, trackers, what is sent as text and objects."""

import copy
import gc
import threading
import time

import pytest
import zmq


def test_what_is_sent_comes(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    for data in (
        b"",
        b"x",
        b"x" * 100,
        b"x" * 10_000,
        b"x" * 1_000_000,
        bytearray(b"y"),
        memoryview(b"z"),
    ):
        assert left.send(data) is None
        assert right.recv() == bytes(data)
        tracker = left.send(data, copy=False, track=True)
        assert isinstance(tracker, zmq.MessageTracker)
        assert right.recv() == bytes(data)
        tracker.wait(10)
        assert tracker.done


def test_parts_one_by_one_and_all_at_once(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send(b"a", zmq.SNDMORE)
    left.send(b"b", flags=zmq.SNDMORE)
    left.send(b"c")
    assert right.recv_multipart() == [b"a", b"b", b"c"]
    left.send_multipart([b"a", bytearray(b"b"), zmq.Frame(b"c"), memoryview(b"d" * 100_000)])
    parts = []
    while True:
        parts.append(right.recv())
        if not right.getsockopt(zmq.RCVMORE):
            break
    assert parts == [b"a", b"b", b"c", b"d" * 100_000]
    left.send_multipart((b"1", b"2"), copy=False)
    first = right.recv(copy=False)
    assert first.more
    assert first.bytes == b"1"
    assert right.rcvmore
    assert right.recv_multipart() == [b"2"]
    assert not right.rcvmore


def test_a_message_goes_on_by_sndmore(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send_multipart([b"a", b"b"], zmq.SNDMORE)
    left.send_multipart([b"c", b"d"])
    assert right.recv_multipart() == [b"a", b"b", b"c", b"d"]


def test_the_parts_of_a_message_are_the_os_threads(link):
    """Not a task's or a greenlet's; threads of their own send whole messages meanwhile."""
    left, right = link(zmq.PUSH, zmq.PULL)
    left.send(b"one", zmq.SNDMORE)
    left.send(b"two")
    assert right.recv() == b"one"
    assert right.poll(10_000) == zmq.POLLIN
    assert right.recv() == b"two"


def test_not_now(link, context):
    left, right = link(zmq.PAIR, zmq.PAIR)
    for call in (
        lambda: right.recv(zmq.NOBLOCK),
        lambda: right.recv(zmq.NOBLOCK, copy=False),
        lambda: right.recv_multipart(zmq.DONTWAIT),
        lambda: right.recv_string(zmq.NOBLOCK),
    ):
        with pytest.raises(zmq.Again) as caught:
            call()
        assert caught.value.errno == zmq.EAGAIN
        assert caught.value.args == (zmq.EAGAIN,)
        assert str(caught.value) == zmq.strerror(zmq.EAGAIN)
        assert zmq.zmq_errno() == zmq.EAGAIN
    alone = context.socket(zmq.PUSH)
    for flags in (zmq.NOBLOCK, zmq.NOBLOCK | zmq.SNDMORE):
        with pytest.raises(zmq.Again):
            alone.send(b"x", flags)
    with pytest.raises(zmq.Again):
        alone.send_multipart([b"x", b"y"], zmq.NOBLOCK)
    left.send(b"still good")
    assert right.recv() == b"still good"


def test_timeouts(link, context):
    _, right = link(zmq.PAIR, zmq.PAIR)
    right.rcvtimeo = 30
    began = time.monotonic()
    with pytest.raises(zmq.Again):
        right.recv()
    assert time.monotonic() - began >= 0.029
    alone = context.socket(zmq.PUSH)
    alone.sndtimeo = 30
    with pytest.raises(zmq.Again):
        alone.send(b"x")
    assert alone.get(zmq.SNDTIMEO) == 30


def test_any_integer_is_flags(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send(b"x", 64)
    assert right.recv(4) == b"x"


def test_flags_are_given_in_any_way(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send(b"connected")
    right.recv()
    for args, kwargs in (
        ((zmq.NOBLOCK,), {}),
        ((), {"flags": zmq.NOBLOCK}),
        ((), {"flags": 1, "copy": True}),
        ((1, True), {}),
        ((True,), {"copy": 1}),
        ((), {"copy": True, "track": False}),
    ):
        left.send(b"x", *args, **kwargs)
        assert right.poll(10_000)
        assert right.recv(*args, **kwargs) == b"x"
    for flags in ("1", None):
        with pytest.raises(TypeError):
            left.send(b"x", flags)
        with pytest.raises(TypeError):
            right.recv(flags=flags)
    with pytest.raises(OverflowError):
        left.send(b"x", 2**70)
    with pytest.raises(TypeError):
        left.send(b"x", 1, flags=1)
    with pytest.raises(TypeError):
        left.send(b"x", nothing=1)
    with pytest.raises(zmq.Again) as caught:
        right.recv(zmq.NOBLOCK)
    assert caught.value.errno == zmq.EAGAIN
    assert caught.value.strerror == str(caught.value) == zmq.strerror(zmq.EAGAIN)
    assert zmq.zmq_errno() == zmq.EAGAIN


def test_frames(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    frame = zmq.Frame(b"x" * 100)
    assert len(frame) == 100
    assert bytes(frame.buffer) == frame.bytes == bytes(memoryview(frame)) == b"x" * 100
    again = copy.copy(frame)
    for one in (frame, again, frame):
        left.send(one)
        got = right.recv(copy=False, track=True)
        assert isinstance(got, zmq.Frame)
        assert got.bytes == b"x" * 100
        assert got.tracker.done
        left.send(got)  # on it goes
        assert right.recv() == b"x" * 100
    assert not zmq.Frame().more
    assert zmq.Frame().bytes == b""
    assert got["Socket-Type"] == "PAIR"
    with pytest.raises(zmq.ZMQError):
        got.get("nothing")
    with pytest.raises(TypeError):
        zmq.Frame("text")


def test_a_frame_that_is_shared_is_tracked(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    frame = zmq.Frame(bytes(100_000), track=True)
    tracker = left.send(frame, copy=False)
    assert right.recv() == bytes(100_000)
    assert not tracker.done  # the frame has it still
    with pytest.raises(zmq.NotDone):
        tracker.wait(0.01)
    del frame
    tracker.wait(10)
    assert tracker.done
    with pytest.raises(ValueError, match="tracked"):
        left.send(zmq.Frame(b"x"), track=True)


@pytest.mark.ratchet  # pyzmq's is done when the last part is
def test_a_tracker_of_parts_waits_for_each(context):
    left, right = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    right.rcvtimeo = 10_000
    left.bind("inproc://tracked")
    right.connect("inproc://tracked")
    parts = [bytearray(100_000), b"small", bytearray(100_000)]
    tracker = left.send_multipart(parts, copy=False, track=True)
    frames = right.recv_multipart(copy=False)
    del frames[2], frames[1]
    assert not tracker.done
    assert frames[0].bytes == bytes(parts[0])
    frames.clear()
    tracker.wait(10)
    assert left.send_multipart([b"a", b"b"], copy=False, track=True).done


def test_text_and_objects(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send_string("ü")
    assert right.recv_string() == "ü"
    left.send_json({"a": [1, None]})
    assert right.recv_json() == {"a": [1, None]}
    left.send_pyobj((1, {2}))
    assert right.recv_pyobj() == (1, {2})
    left.send_serialized([1, 2], lambda numbers: [b"%d" % n for n in numbers])
    assert right.recv_serialized(lambda parts: [int(part) for part in parts]) == [1, 2]


def test_what_is_no_message(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    for wrong in ("text", 1, None, object()):
        with pytest.raises(TypeError):
            left.send(wrong)
        with pytest.raises(TypeError):
            left.send_multipart([b"x", wrong])
    left.send(b"nothing of it was sent")
    assert right.recv() == b"nothing of it was sent"


def test_receiving_into_a_buffer(link):
    if not hasattr(zmq.Socket, "recv_into"):
        pytest.skip("pyzmq before 26.4")
    left, right = link(zmq.PAIR, zmq.PAIR)
    target = bytearray(4)
    for data, kept in ((b"ab", b"ab\0\0"), (b"abcdef", b"abcd")):
        target[:] = bytes(4)
        left.send(data)
        assert right.recv_into(target) == len(data)
        assert target == kept
    with pytest.raises(BufferError):
        right.recv_into(b"read only")


class Finalized:
    """In a cycle, so that the garbage collector ends it; then it calls ``function``."""

    def __init__(self, function):
        self.function, self.itself = function, self

    def __del__(self):
        self.function()


@pytest.mark.ratchet
@pytest.mark.parametrize("name", ["recv", "recv_multipart"])
def test_a_finalizer_receives_while_another_thread_does(link, name):
    """What a thread's first call makes may start a garbage collection (up to Python 3.11)."""
    left, right = link(zmq.PUSH, zmq.PULL)
    others, other = link(zmq.PUSH, zmq.PULL)
    got, seen = [], []

    def first_call():
        Finalized(lambda: seen.append(getattr(other, name)(zmq.NOBLOCK)))
        usual = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        gc.enable()
        try:
            got.append(right.recv())
        finally:
            gc.disable()
            gc.set_threshold(*usual)
        got.append(right.recv())

    gc.collect()
    gc.disable()
    try:
        left.send_multipart([b"1", b"2"])
        others.send_multipart([b"a", b"b", b"c"])
        assert right.poll(10_000)
        assert other.poll(10_000)
        thread = threading.Thread(target=first_call)
        thread.start()
        thread.join()
    finally:
        gc.enable()
    gc.collect()
    assert got == [b"1", b"2"]
    assert seen == [{"recv": b"a", "recv_multipart": [b"a", b"b", b"c"]}[name]]


class Declares(zmq.Socket):
    """A subclass with attributes of its own, as programs have them."""

    note: str
    given = None


def test_attributes_of_a_socket(context):
    with context.socket(zmq.SUB, socket_class=Declares) as zsock:
        zsock.note, zsock.given = "a", "b"
        zsock.Linger, zsock.SNDHWM, zsock.rcvhwm = 5, 6, 7  # options, as anybody spells them
        setattr(zsock, type("Name", (str,), {})("note"), "a")
        assert (zsock.note, zsock.given) == ("a", "b")
        assert (zsock.linger, zsock.sndhwm, zsock.RCVHWM) == (5, 6, 7)
        zsock.subscribe = "topic"
        zsock.unsubscribe = b"topic"
        with pytest.raises(AttributeError, match="Declares has no such option: NOTHING"):
            zsock.nothing = 1
        assert not hasattr(zsock, "nothing")
        assert zsock.type == zmq.SUB
        with pytest.raises(zmq.ZMQError):
            zsock.TYPE = zmq.PUB
        object.__setattr__(zsock, "nothing", 1)
        zsock.nothing += 1  # it has it now
        assert zsock.nothing == 2
        del zsock.nothing, zsock.note
        with pytest.raises(AttributeError):
            del zsock.linger
        with pytest.raises(AttributeError):
            _ = zsock.note
        assert vars(zsock)["given"] == "b"
    assert zsock.type == zmq.SUB


class OwnCalls(zmq.Socket):
    """A subclass by whose `send` and `recv` the parts of whole messages go, as zmq.green's do."""

    def send(self, data, *args, **kwargs):
        self.__dict__.setdefault("sent", []).append(bytes(data))
        return super().send(data, *args, **kwargs)

    def recv(self, *args, **kwargs):
        data = super().recv(*args, **kwargs)
        self.__dict__.setdefault("got", []).append(data)
        return data


def test_a_subclass_has_its_own_send_and_recv(context):
    left = context.socket(zmq.PAIR, socket_class=OwnCalls)
    right = context.socket(zmq.PAIR, socket_class=OwnCalls)
    left.bind("inproc://own")
    right.connect("inproc://own")
    left.send_multipart([b"a", b"b"])
    assert right.recv_multipart() == [b"a", b"b"]
    assert left.__dict__["sent"] == right.__dict__["got"] == [b"a", b"b"]


@pytest.mark.parametrize("copy", [True, False])
def test_a_socket_is_given_another_send_and_recv(link, monkeypatch, copy):
    """As a test does that looks what a program sends, or a tracer of calls."""
    left, right = link(zmq.PAIR, zmq.PAIR)
    seen = []
    send, recv = left.send, right.recv

    def seen_send(data, *args, **kwargs):
        seen.append(data)
        return send(data, *args, **kwargs)

    def seen_recv(*args, **kwargs):
        seen.append("recv")
        return recv(*args, **kwargs)

    monkeypatch.setattr(left, "send", seen_send)
    monkeypatch.setattr(right, "recv", seen_recv)
    left.send_multipart([b"a", b"b"], copy=copy)
    assert [bytes(part) for part in right.recv_multipart(copy=copy)] == [b"a", b"b"]
    assert seen == [b"a", b"b", "recv", "recv"]
    monkeypatch.undo()
    monkeypatch.setattr(zmq.Socket, "send", lambda *_, **__: seen.append("class"))
    left.send_multipart([b"a"], copy=copy)  # which exists already
    assert seen.pop() == "class"
    monkeypatch.undo()
    left.send_multipart([b"c"], copy=copy)
    assert [bytes(part) for part in right.recv_multipart(copy=copy)] == [b"c"]
    assert len(seen) == 4


def test_parts_of_other_kinds_and_in_other_sequences(link):
    left, right = link(zmq.PAIR, zmq.PAIR)
    for parts in ((b"a", b"b"), [bytearray(b"a"), memoryview(b"b")], [b"a", zmq.Frame(b"b")]):
        left.send_multipart(parts)
        assert right.recv_multipart() == [b"a", b"b"]
    with pytest.raises(TypeError, match=r"Frame 1 \('b'\) does not support the buffer interface"):
        left.send_multipart([b"a", "b"])
    left.send_multipart([b"a", b"b"], zmq.SNDMORE | zmq.NOBLOCK)
    left.send(b"c")
    assert right.recv_multipart() == [b"a", b"b", b"c"]
    with pytest.raises(zmq.Again):
        right.recv_multipart(flags=zmq.NOBLOCK)


def test_a_router_drops_what_is_for_nobody(context):
    router = context.socket(zmq.ROUTER)
    router.send_multipart([b"nobody", b"x"])
    router.router_mandatory = 1
    with pytest.raises(zmq.ZMQError) as caught:
        router.send_multipart([b"nobody", b"x"])
    assert caught.value.errno == zmq.EHOSTUNREACH


def test_a_request_out_of_turn(link):
    req, rep = link(zmq.REQ, zmq.REP)
    req.send(b"question")
    with pytest.raises(zmq.ZMQError) as caught:
        req.send(b"another")
    assert caught.value.errno == zmq.EFSM
    assert rep.recv() == b"question"
    rep.send(b"answer")
    assert req.recv() == b"answer"


@pytest.mark.ratchet
def test_sockets_may_be_shared_by_threads(link):
    left, right = link(zmq.PUSH, zmq.PULL)
    count = 500

    def send(name):
        for i in range(count):
            left.send(b"%d" % name, zmq.SNDMORE)
            left.send(b"%d" % i)

    got, lock = [], threading.Lock()

    def receive():
        for _ in range(count):
            message = right.recv_multipart()
            with lock:
                got.append(tuple(map(int, message)))

    threads = [threading.Thread(target=send, args=[n]) for n in range(4)]
    threads += [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == [(n, i) for n in range(4) for i in range(count)]


def test_methods_that_are_exchanged_later_are_heard(link, monkeypatch):
    left, right = link(zmq.PAIR, zmq.PAIR)
    left.send_string("text")
    assert right.recv_string() == "text"
    sent = []
    monkeypatch.setattr(left, "send", lambda data, **_: sent.append(data))
    left.send_string("a")
    left.send_json(1)
    assert sent == [b"a", b"1"]
    monkeypatch.setattr(zmq.Socket, "recv", lambda *_, **__: b'"mine"')
    assert right.recv_string() == '"mine"'
    assert right.recv_json() == "mine"
    monkeypatch.setattr(right, "_deserialize", lambda *_: "loaded")
    assert right.recv_string() == "loaded"


@pytest.mark.parametrize("copy", [True, False])
def test_an_array_goes_as_it_lies_in_memory(link, copy):
    numpy = pytest.importorskip("numpy")
    left, right = link(zmq.PAIR, zmq.PAIR, copy_threshold=0)
    rows = numpy.arange(6.0).reshape(2, 3)
    columns = numpy.asfortranarray(rows)
    for array in (rows, rows.T, columns, columns.T, memoryview(columns)):
        left.send(array, copy=copy)
        left.send_multipart([b"a", array], copy=copy)
        left.send(zmq.Frame(array, copy=copy))
        lies = [right.recv(), right.recv_multipart()[1], right.recv()]
        assert lies == [array.tobytes("A")] * 3
    left.send(rows)
    into = numpy.zeros((3, 2), order="F")
    assert right.recv_into(into) == 48
    assert into.T.tolist() == rows.tolist()
    for array in (rows[:, ::2], rows[::-1]):
        with pytest.raises((BufferError, ValueError)):
            left.send(array, copy=copy)
    day = numpy.array(["2020-01-01"], dtype="M8[D]")  # of which there is no memoryview
    assert zmq.Frame(day, copy=copy).bytes == day.tobytes()
