"""Devices by pyzmq's API: proxies, steered and captured, and monitored queues."""

import struct
import threading

import pytest
import zmq
import zmq.asyncio
from zmq.devices import ThreadMonitoredQueue, ThreadProxySteerable


def test_a_proxy_ends_with_its_context():
    context = zmq.Context()
    ended = []

    def run():
        front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        front.bind("inproc://front")
        back.bind("inproc://back")
        ready.set()
        try:
            zmq.proxy(front, back)
        except zmq.ContextTerminated:
            ended.append(True)
        front.close(0)
        back.close(0)

    ready = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    client, worker = context.socket(zmq.REQ), context.socket(zmq.REP)
    client.connect("inproc://front")
    worker.connect("inproc://back")
    for i in range(300):
        client.send_multipart([b"%d" % i, b"x" * i])
        assert worker.recv_multipart() == [b"%d" % i, b"x" * i]
        worker.send(b"answer")
        assert client.recv() == b"answer"
    client.close(0)
    worker.close(0)
    context.term()
    thread.join(10)
    assert ended == [True]


@pytest.mark.ratchet  # libzmq's own may stay paused after RESUME
def test_a_steerable_proxy(context):
    device = ThreadProxySteerable(zmq.PULL, zmq.PUSH, zmq.PUB, zmq.PAIR)
    device.context_factory = lambda: context
    device.bind_in("inproc://in")
    device.bind_out("inproc://out")
    device.bind_ctrl("inproc://control")
    device.start()
    push, pull, control = (context.socket(kind) for kind in (zmq.PUSH, zmq.PULL, zmq.PAIR))
    push.connect("inproc://in")
    pull.connect("inproc://out")
    control.connect("inproc://control")
    push.send(b"x")
    assert pull.recv() == b"x"
    control.send(b"PAUSE")
    control.send(b"RESUME")
    push.send(b"y")
    assert pull.recv() == b"y"
    control.send(b"TERMINATE")
    device.join(10)
    assert device.done


def end(context, *sockets):
    """End a context whose other sockets a device uses, and closes when it hears of that.

    Not by `destroy`: pyzmq closes all of them then, under the device's hands.
    """
    for socket in sockets:
        socket.close(0)
    context.term()


def test_a_monitored_queue():
    context = zmq.Context()
    device = ThreadMonitoredQueue(zmq.PAIR, zmq.PAIR, zmq.PUB, b"in", b"out")
    device.context_factory = lambda: context
    device.bind_in("inproc://in")
    device.bind_out("inproc://out")
    device.bind_mon("inproc://mon")
    left, right, seen = (context.socket(kind) for kind in (zmq.PAIR, zmq.PAIR, zmq.SUB))
    seen.subscribe(b"")
    seen.rcvtimeo = 10_000
    device.start()
    left.connect("inproc://in")
    right.connect("inproc://out")
    seen.connect("inproc://mon")
    while not seen.poll(10):  # a PUB drops what is sent before it knows of the SUB
        left.send_multipart([b"a", b"b"])
        assert right.recv_multipart() == [b"a", b"b"]
    assert seen.recv_multipart() == [b"in", b"a", b"b"]
    end(context, left, right, seen)
    device.join(10)
    assert device.done


@pytest.fixture
def background():
    """Run a device in a thread until its context ends; what it raised is told."""
    threads, raised = [], []

    def background(function, *sockets):
        def body():
            try:
                function(*sockets)
            except zmq.ZMQError as error:
                raised.append(error.errno)
            for socket in sockets:
                if isinstance(socket, zmq.Socket):
                    socket.close(0)

        thread = threading.Thread(target=body)
        thread.start()
        threads.append(thread)
        return raised

    def join():
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

    background.join = join
    yield background
    join()


def bound(context, name, kind, **options):
    socket = context.socket(kind)
    for option, value in options.items():
        setattr(socket, option, value)
    socket.bind(f"inproc://{name}")
    return socket


def connected(context, name, kind, **options):
    socket = context.socket(kind)
    socket.rcvtimeo = socket.sndtimeo = 20_000
    for option, value in options.items():
        setattr(socket, option, value)
    socket.connect(f"inproc://{name}")
    return socket


def test_a_capture_gets_all(background):
    """One that is full holds up the proxy, as libzmq's does."""
    context = zmq.Context()
    sockets = [
        bound(context, "in", zmq.PULL),
        bound(context, "out", zmq.PUSH, sndhwm=10),
        bound(context, "copy", zmq.PUSH, sndhwm=10),
    ]
    raised = background(zmq.proxy, *sockets)
    push, pull, copy = (
        connected(context, "in", zmq.PUSH),
        connected(context, "out", zmq.PULL, rcvhwm=10),
        connected(context, "copy", zmq.PULL, rcvhwm=10),
    )
    count = 200
    for n in range(count):
        push.send_multipart([b"%d" % n, b"x"])
    for n in range(count):
        assert pull.recv_multipart() == copy.recv_multipart() == [b"%d" % n, b"x"]
    end(context, push, pull, copy)
    background.join()
    assert raised == [zmq.ETERM]


@pytest.mark.ratchet  # pyzmq's destroy() closes sockets that another thread is using
@pytest.mark.parametrize("kind", [zmq.PAIR, zmq.REP], ids=["PAIR", "REP"])
@pytest.mark.parametrize("capture", [None, zmq.PUB, zmq.PUSH], ids=["none", "PUB", "PUSH"])
def test_orders(background, kind, capture):
    context = zmq.Context()
    sockets = [
        bound(context, "in", zmq.ROUTER),
        bound(context, "out", zmq.DEALER),
        capture and bound(context, "copy", capture),
        bound(context, "control", kind),
    ]
    raised = background(zmq.proxy_steerable, *sockets)
    control = connected(context, "control", zmq.PAIR if kind == zmq.PAIR else zmq.REQ)
    asker, worker = connected(context, "in", zmq.REQ), connected(context, "out", zmq.REP)
    copy = None
    if capture:
        copy = connected(context, "copy", zmq.SUB if capture == zmq.PUB else zmq.PULL)
        if capture == zmq.PUB:
            copy.subscribe(b"")

    def order(command):
        control.send(command)
        if kind == zmq.REP:
            assert control.recv() == b""

    def ask(question):
        asker.send(question)
        assert worker.recv() == question
        worker.send(b"answer")
        assert asker.recv() == b"answer"

    ask(b"first")
    order(b"PAUSE")
    asker.send(b"second")
    assert worker.poll(30) == 0
    order(b"RESUME")
    assert worker.recv() == b"second"
    worker.send(b"answer")
    assert asker.recv() == b"answer"
    if copy is not None and capture == zmq.PUSH:
        assert [copy.recv_multipart()[-1] for _ in range(4)] == [
            b"first",
            b"answer",
            b"second",
            b"answer",
        ]
    control.send(b"STATISTICS")
    numbers = [struct.unpack("=Q", part)[0] for part in control.recv_multipart()]
    assert [numbers[i] for i in (0, 2, 4, 6)] == [2, 2, 2, 2]
    assert numbers[1] == numbers[7] > 11
    assert numbers[5] == numbers[3] > 12
    order(b"TERMINATE")
    background.join()
    assert raised == []
    for socket in (control, asker, worker, copy):
        if socket is not None:
            socket.close(0)
    context.term()


@pytest.mark.ratchet
def test_sockets_of_other_kinds(background):
    """A proxy asks the sockets themselves, whatever their calls return."""
    context = zmq.asyncio.Context()
    plain = zmq.Context.shadow(context)
    front, back = bound(context, "in", zmq.PULL), bound(context, "out", zmq.PUSH)
    raised = background(zmq.proxy, front, back, bound(context, "copy", zmq.PUSH))
    push, pull = connected(plain, "in", zmq.PUSH), connected(plain, "out", zmq.PULL)
    copy = connected(plain, "copy", zmq.PULL)
    push.send(b"x")
    assert (pull.recv(), copy.recv()) == (b"x", b"x")
    end(context, push, pull, copy)
    background.join()
    assert raised == [zmq.ETERM]


@pytest.mark.ratchet
def test_a_closed_socket_ends_a_proxy(background):
    context = zmq.Context()
    front, back = bound(context, "in", zmq.PULL), bound(context, "out", zmq.PUSH)
    raised = background(zmq.proxy, front, back)
    push, pull = connected(context, "in", zmq.PUSH), connected(context, "out", zmq.PULL)
    push.send(b"x")
    assert pull.recv() == b"x"
    back.close(0)
    push.close(0)
    pull.close(0)
    front.close(0)
    context.term()
    background.join()
    assert raised == [zmq.ENOTSOCK]


@pytest.mark.ratchet
def test_what_cannot_be_passed_on_is_said(context):
    with pytest.raises(zmq.ZMQError) as caught:
        zmq.proxy(context.socket(zmq.PULL), context.socket(zmq.PULL))
    assert caught.value.errno == zmq.ENOTSUP


def test_a_monitored_queue_of_routers(background):
    """The first two parts, which name the peers, change places."""
    context = zmq.Context()
    sockets = [bound(context, name, zmq.ROUTER) for name in ("left", "right")]
    raised = background(
        lambda *three: zmq.devices.monitored_queue(*three, b"from left", b"from right"),
        *sockets,
        bound(context, "seen", zmq.PUSH),
    )
    left = connected(context, "left", zmq.DEALER, routing_id=b"a")
    right = connected(context, "right", zmq.DEALER, routing_id=b"b")
    seen = connected(context, "seen", zmq.PULL)
    for n in range(100):
        message = [b"%d" % n, b""]
        left.send_multipart([b"b", *message])
        assert right.recv_multipart() == [b"a", *message]
        assert seen.recv_multipart() == [b"from left", b"b", b"a", *message]
        right.send_multipart([b"a", *message])
        assert left.recv_multipart() == [b"b", *message]
        assert seen.recv_multipart() == [b"from right", b"a", b"b", *message]
    end(context, left, right, seen)
    background.join()
    assert raised == [zmq.ETERM]


@pytest.mark.ratchet  # libzmq's proxy waits for ever for a REP to have room
@pytest.mark.parametrize("again", ["the same", "a shadow"])
def test_an_echo(background, again):
    """A device with one socket, or with one that stands for the same."""
    context = zmq.Context()
    one = bound(context, "in", zmq.REP)
    if again == "a shadow":
        raised = background(lambda rep: zmq.proxy(rep, zmq.Socket.shadow(rep)), one)
    else:
        raised = background(lambda rep: zmq.proxy(rep, rep), one)
    asker = connected(context, "in", zmq.REQ)
    for n in range(100):
        asker.send_multipart([b"%d" % n, b"x"])
        assert asker.recv_multipart() == [b"%d" % n, b"x"]
    context.destroy(linger=0)
    background.join()
    assert raised in ([zmq.ETERM], [zmq.ENOTSOCK])
