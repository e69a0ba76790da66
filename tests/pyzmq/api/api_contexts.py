"""Contexts and sockets by pyzmq's API: their ends, shadows, options, endpoints, children."""

import os
import threading
import time

import pytest
import zmq


def test_term_wakes_what_waits():
    context = zmq.Context()
    entered, raised = threading.Event(), []

    def body(call):
        with context.socket(zmq.PULL) as socket:
            entered.set()
            try:
                call(socket)
            except zmq.ContextTerminated as error:
                raised.append(error.errno)

    for call in (
        lambda s: s.recv(),
        lambda s: s.recv_multipart(),
        lambda s: s.poll(),
        lambda s: zmq.select([s], [], []),
    ):
        context, raised = zmq.Context(), []
        entered.clear()
        thread = threading.Thread(target=body, args=[call])
        thread.start()
        entered.wait(10)
        time.sleep(0.02)  # either way the outcome is the same
        context.term()
        thread.join(10)
        assert raised == [zmq.ETERM]
        assert context.closed


def test_after_term_a_context_makes_nothing():
    context = zmq.Context()
    context.term()
    context.term()
    with pytest.raises(zmq.ZMQError):
        context.socket(zmq.PUSH)
    with pytest.raises(RuntimeError):
        context.get(zmq.IO_THREADS)
    assert "closed" in repr(context)


def test_destroy_closes_the_sockets():
    context = zmq.Context()
    sockets = [context.socket(zmq.PUSH) for _ in range(3)]
    context.destroy(linger=0)
    assert all(socket.closed for socket in sockets)


def test_a_closed_socket_says_so(context):
    socket = context.socket(zmq.PAIR)
    socket.close()
    socket.close()
    assert socket.closed
    for call in (
        lambda: socket.send(b""),
        socket.recv,
        lambda: socket.bind("inproc://x"),
        lambda: socket.get(zmq.TYPE),
    ):
        with pytest.raises(zmq.ZMQError) as caught:
            call()
        assert caught.value.errno == zmq.ENOTSOCK


def test_shadows(context):
    socket = context.socket(zmq.PAIR)
    socket.bind("inproc://shadowed")
    for shadow in (zmq.Socket.shadow(socket.underlying), zmq.Socket(socket)):
        assert shadow.underlying == socket.underlying
        assert shadow.last_endpoint == b"inproc://shadowed"
    other = zmq.Context.shadow(context.underlying)
    peer = other.socket(zmq.PAIR)
    peer.connect("inproc://shadowed")
    peer.send(b"x")
    assert socket.recv() == b"x"
    peer.close()
    del other, shadow
    assert not socket.closed
    assert not context.closed


def test_names_belong_to_their_context(context):
    with (
        zmq.Context() as other,
        context.socket(zmq.PAIR) as one,
        other.socket(zmq.PAIR) as two,
    ):
        one.bind("inproc://mine")
        two.bind("inproc://mine")


def test_options(context):
    assert context.socket(zmq.PUSH).linger == -1
    socket = context.socket(zmq.SUB)
    assert socket.type == zmq.SUB
    assert socket.rcvhwm == 1000
    socket.identity = b"me"
    assert socket.getsockopt(zmq.IDENTITY) == b"me"
    socket.setsockopt_string(zmq.SUBSCRIBE, "topic")
    socket.subscribe("more")
    socket.unsubscribe(b"more")
    socket.affinity = 1
    assert socket.affinity == 1
    socket.hwm = 5
    assert (socket.get_hwm(), socket.sndhwm) == (5, 5)
    for option, value in (
        (zmq.LINGER, "0"),
        (zmq.LINGER, b"0"),
        (zmq.IDENTITY, 1),
        (zmq.IDENTITY, "x"),
    ):
        with pytest.raises(TypeError):
            socket.setsockopt(option, value)
    with pytest.raises(zmq.ZMQError):
        socket.set(9999, 1)
    with pytest.raises(AttributeError):
        socket.no_such_option = 1
    context.linger = 7
    assert context.socket(zmq.PUSH).linger == 7
    assert context.get(zmq.IO_THREADS) == 1


def test_options_are_attributes(context):
    class Own(zmq.Socket):
        colour = "red"

    for zsock in (context.socket(zmq.ROUTER), Own(context, zmq.ROUTER)):
        zsock.linger = 5
        assert zsock.linger == zsock.LINGER == zsock.getsockopt(zmq.LINGER) == 5
        zsock.SNDHWM = 7
        assert zsock.sndhwm == 7
        zsock.hwm = 9
        assert (zsock.hwm, zsock.rcvhwm) == (9, 9)
        zsock.identity = b"me"
        assert zsock.routing_id == b"me"
        assert not hasattr(zsock, "router_mandatory")  # libzmq only sets it
        assert not hasattr(zsock, "rainbow")
        with pytest.raises(AttributeError):
            zsock.rainbow = 1
        zsock.close()
    zsock = Own(context, zmq.PULL)
    zsock.colour = "blue"
    assert zsock.colour == "blue"
    zsock.close()
    with pytest.raises(zmq.ZMQError) as caught:
        _ = zsock.linger
    assert caught.value.errno == zmq.ENOTSOCK
    context.max_sockets = 100
    assert context.max_sockets == context.MAX_SOCKETS == 100
    assert not hasattr(context, "rainbow")


def test_endpoints(context):
    socket = context.socket(zmq.PUSH)
    for wrong, number in (
        ("tcp://", zmq.EINVAL),
        ("nothing", zmq.EINVAL),
        ("ftp://host:1", zmq.EPROTONOSUPPORT),
    ):
        with pytest.raises(zmq.ZMQError) as caught:
            socket.connect(wrong)
        assert caught.value.errno == number
        assert wrong in str(caught.value)
    with pytest.raises(TypeError):
        socket.bind(5)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    other = context.socket(zmq.PUSH)
    with pytest.raises(zmq.ZMQError) as caught:
        other.bind(f"tcp://127.0.0.1:{port}")
    assert caught.value.errno == zmq.EADDRINUSE
    with socket.bind("inproc://with"):
        pass
    with pytest.raises(zmq.ZMQError):
        socket.unbind("inproc://with")
    socket.connect("tcp://127.0.0.1:1")
    socket.disconnect("tcp://127.0.0.1:1")


def test_marks_after_a_bind(context):
    socket = context.socket(zmq.PUB)
    socket.bind_to_random_port("tcp://127.0.0.1")
    socket.set_hwm(0)
    assert socket.sndhwm == 0


def test_a_monitor(context):
    server, client = context.socket(zmq.REP), context.socket(zmq.REQ)
    monitor = client.get_monitor_socket()
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    from zmq.utils.monitor import recv_monitor_message

    seen = []
    while zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen:
        assert monitor.poll(10_000)
        seen.append(recv_monitor_message(monitor)["event"])
    assert zmq.EVENT_CONNECTED in seen
    client.disable_monitor()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_has_an_instance_of_its_own():
    parent = zmq.Context.instance()
    with parent.socket(zmq.PULL) as socket:
        socket.bind("inproc://parent")
        pid = os.fork()
        if pid == 0:
            try:
                mine = zmq.Context.instance()
                with mine.socket(zmq.PULL) as own:
                    own.bind("inproc://parent")
                mine.term()
                os._exit(0 if mine is not parent else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    parent.term()


def test_the_type_outlives_the_socket(context):
    zsock = context.socket(zmq.SUB)
    assert zsock.type is zmq.SocketType.SUB
    zsock.close()
    assert zsock.type is zsock.socket_type is zmq.SocketType.SUB


@pytest.mark.parametrize("what", [zmq.PAIR, "text", object()])
def test_only_a_context_makes_sockets(what):
    with pytest.raises(TypeError):
        zmq.Socket(what, zmq.PAIR)
    with pytest.raises(TypeError):
        zmq.Socket(what)


def test_a_socket_that_was_never_made_is_closed():
    class Unmade(zmq.Socket):
        def __init__(self):
            pass

        def __del__(self):
            pass

    for call in ("recv", "recv_string", "recv_multipart"):
        with pytest.raises(zmq.ZMQError) as caught:
            getattr(Unmade(), call)()
        assert caught.value.errno == zmq.ENOTSOCK
    with pytest.raises(zmq.ZMQError) as caught:
        Unmade().send(b"x")
    assert caught.value.errno == zmq.ENOTSOCK
