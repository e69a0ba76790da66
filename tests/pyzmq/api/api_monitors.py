"""Monitors by pyzmq's API: what they tell, and that they hold up nothing, whoever reads them."""

import time
from pathlib import Path

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

LONG = 10_000  # milliseconds
WAYS = {
    "closed": lambda monitor, _: monitor.close(),
    "disconnected": lambda monitor, _: monitor.disconnect(monitor.last_endpoint),
    "shadow": lambda monitor, _: zmq.Socket.shadow(monitor.underlying).close(),
    "ended": lambda _, monitored: monitored.disable_monitor(),
}


def told(monitor, last):
    """The events that come, up to the last."""
    names = []
    while last not in names:
        assert monitor.poll(LONG), names
        names.append(recv_monitor_message(monitor)["event"].name)
    return names


def works(context):
    """Messages come over tcp, which libzmq's I/O threads bring."""
    with context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push.connect(f"tcp://127.0.0.1:{port}")
        push.send(b"x")
        return bool(pull.poll(LONG)) and pull.recv() == b"x"


def test_the_end_of_a_socket_is_told(context):
    for _ in range(2):
        zsock = context.socket(zmq.REP)
        monitor = zsock.get_monitor_socket()
        assert monitor.rcvhwm == 1000
        zsock.bind("tcp://127.0.0.1:*")
        zsock.close()
        assert told(monitor, "MONITOR_STOPPED") == ["LISTENING", "CLOSED", "MONITOR_STOPPED"]
        monitor.close()


def test_a_second_monitor_takes_the_place_of_the_first(context):
    zsock, first, second = (context.socket(kind) for kind in (zmq.REP, zmq.PAIR, zmq.PAIR))
    zsock.monitor("inproc://first")
    first.connect("inproc://first")
    zsock.monitor("inproc://second")
    second.connect("inproc://second")
    assert told(first, "MONITOR_STOPPED") == ["MONITOR_STOPPED"]
    first.close()
    zsock.bind("tcp://127.0.0.1:*")
    assert told(second, "LISTENING") == ["LISTENING"]
    zsock.disable_monitor()
    assert told(second, "MONITOR_STOPPED") == ["MONITOR_STOPPED"]


@pytest.mark.ratchet
@pytest.mark.parametrize("way", WAYS)
def test_a_monitor_that_is_gone_holds_up_nothing(context, way):
    zsock = context.socket(zmq.REP)
    monitor = zsock.get_monitor_socket()
    zsock.bind("tcp://127.0.0.1:*")
    WAYS[way](monitor, zsock)
    zsock.bind("tcp://127.0.0.1:*")
    assert works(context)
    zsock.disable_monitor()
    again = zsock.get_monitor_socket()
    zsock.bind("tcp://127.0.0.1:*")
    assert told(again, "LISTENING")


@pytest.mark.ratchet
def test_a_monitor_that_nobody_reads_holds_up_nothing(context):
    count = 1_100
    zsock = context.socket(zmq.REP)
    monitor = zsock.get_monitor_socket(zmq.EVENT_LISTENING | zmq.EVENT_CLOSED)
    for _ in range(count):
        zsock.bind("tcp://127.0.0.1:*")
        zsock.unbind(zsock.last_endpoint)
    assert works(context)
    for _ in range(2 * count):
        assert monitor.poll(LONG)
        recv_monitor_message(monitor)


@pytest.mark.ratchet
def test_a_monitor_to_which_nobody_came_can_be_ended(context):
    zsock = context.socket(zmq.REP)
    for end in (zsock.disable_monitor, zsock.close):
        zsock.monitor("inproc://nobody")
        end()
    assert works(context)


@pytest.mark.ratchet
@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="descriptors cannot be counted here")
def test_sockets_with_monitors_are_given_back(context):
    def open_now():
        return len(list(Path("/dev/fd").iterdir()))

    context.socket(zmq.PULL).close()
    before = open_now()
    for _ in range(30):
        zsock = context.socket(zmq.REP)
        monitor = zsock.get_monitor_socket()
        port = zsock.bind_to_random_port("tcp://127.0.0.1")
        client = context.socket(zmq.REQ)
        client.connect(f"tcp://127.0.0.1:{port}")
        for one in (zsock, monitor, client):
            one.close(0)
    late = time.monotonic() + LONG / 1000
    while open_now() > before + 3:
        assert time.monotonic() < late, f"{open_now()} descriptors, {before} before"
        context.socket(zmq.PULL).close()  # a call gives back what was still told something
        time.sleep(0.01)
