"""bind with a range of ports: tcp://*:*[5000-5100]."""

import contextlib
import errno
import os
import socket
import time

import pytest
from harness import internals
from harness.waiting import LONG

import ratchet
from ratchet import ArgumentError, zmqsocket

MALFORMED = [
    "tcp://*:*[5100-5000]",
    "tcp://*:*[0-10]",
    "tcp://*:*[1-65536]",
    "tcp://*:*[70000-]",
    "tcp://*:*[]",
    "tcp://*:*[-]",
    "tcp://*:*[-5100]",
    "tcp://*:*[5000]",
    "tcp://*:*[a-b]",
    "tcp://*:*[5000-5100-5200]",
    "tcp://*:*[5000 - 5100]",
    "tcp://*:*[*-*]",
    "tcp://*:*[5000-*]",
    "tcp://*:[٣٠٠٠-]",
    "tcp://*:![5000-5100]",
    "tcp://*:5[5000-5100]",
    f"tcp://*:*[{'9' * 5000}-]",
]


def listen(port, host="127.0.0.1"):
    """A listener, at least for that long; None: the port is taken."""
    # Like libzmq's, so that connections of earlier tests do not matter.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        return None
    return listener


def listen_soon(port):
    """A listener at a port that is about to be free."""
    deadline = time.monotonic() + LONG
    while (listener := listen(port)) is None:
        assert time.monotonic() < deadline, f"port {port} stays taken"
        time.sleep(0.0005)
    return listener


@pytest.fixture
def taken():
    """Ports in a row, each with a listener; they are below those that systems give away."""
    with contextlib.ExitStack() as stack:
        yield find(stack, 5)


def find(stack, count):
    start = 20000 + os.getpid() % 5000 * 2
    for low in range(start, start + 2000, count):
        with contextlib.ExitStack() as these:
            for port in range(low, low + count):
                if (listener := listen(port)) is None:
                    break
                these.enter_context(listener)
            else:
                stack.push(these.pop_all())
                return range(low, low + count)
    raise AssertionError("no free ports in a row")


@pytest.fixture
def free():
    """Ports in a row that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        ports = find(stack, 5)
    return ports  # noqa: RET504 - they are free when the stack is


def no_sleep(seconds):
    assert seconds == 0, "waits"


def number(endpoint):
    return int(endpoint.rpartition(":")[2])


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:*[{}-{}]", "tcp://127.0.0.1:[{}-{}]"])
def test_the_first_free_port(new, free, form):
    text = form.format(free[0], free[-1])
    with listen(free[0]), listen(free[1]):
        first = new("PULL")
        assert first.bind(text) == first.last_endpoint == f"tcp://127.0.0.1:{free[2]}"
        second = new("PULL")
        assert number(second.bind(text)) == free[3]
    other = new("PUSH")
    other.connect(first.last_endpoint)
    other.send(b"x")
    assert first.recv_all() == b"x"


def test_every_interface_and_no_upper_end(new, free):
    zsock = new("PULL")
    endpoint = zsock.bind(f"tcp://*:*[{free[1]}-]")
    assert endpoint == f"tcp://0.0.0.0:{number(endpoint)}"
    assert number(endpoint) >= free[1]


def test_ipv6(new, free):
    zsock = new("PULL", ipv6=True)
    if (probe := listen(0, "::1")) is None:
        pytest.skip("no IPv6 here")
    probe.close()
    endpoint = zsock.bind(f"tcp://[::1]:*[{free[0]}-]")
    assert endpoint == f"tcp://[::1]:{number(endpoint)}"
    assert number(endpoint) >= free[0]


def test_ipv6_without_the_option(new):
    with pytest.raises(ArgumentError, match="ipv6=True"):
        new("PULL").bind("tcp://[::1]:*[5000-]")


def test_one_port(new, free):
    assert number(new("PULL").bind(f"tcp://127.0.0.1:*[{free[0]}-{free[0]}]")) == free[0]


def test_all_taken(new, taken, monkeypatch):
    internals.given_up().clear()  # what earlier tests gave up
    internals.use_sleep(monkeypatch, no_sleep)
    zsock = new("PULL")
    text = f"tcp://127.0.0.1:*[{taken[0]}-{taken[-1]}]"
    with pytest.raises(ratchet.Error, match=f"from {taken[0]} to {taken[-1]}") as caught:
        zsock.bind(text)
    assert caught.value.errno == errno.EADDRINUSE
    assert text in str(caught.value)
    zsock.bind("tcp://127.0.0.1:*")  # it can be used as before


def test_taken_ports_that_were_given_up_are_not_waited_for(new, free, monkeypatch):
    """While another one is free."""
    zsocks = [new("PULL") for _ in range(3)]
    for zsock, port in zip(zsocks, free, strict=False):
        zsock.bind(f"tcp://127.0.0.1:{port}")
    for zsock in zsocks:
        zsock.close()
    with contextlib.ExitStack() as stack:
        for port in free[:3]:  # by somebody else, as soon as libzmq has closed its listener
            stack.enter_context(listen_soon(port))
        internals.use_sleep(monkeypatch, no_sleep)
        assert number(new("PULL").bind(f"tcp://127.0.0.1:*[{free[0]}-{free[-1]}]")) == free[3]


def test_a_range_whose_only_port_was_given_up_just_now(new, free):
    for _ in range(20):
        zsock = new("PULL")
        assert number(zsock.bind(f"tcp://127.0.0.1:*[{free[0]}-{free[0]}]")) == free[0]
        zsock.close()


def test_ports_that_the_user_may_not_take(new, free):
    """They are passed over."""
    try:
        with socket.create_server(("127.0.0.1", 1)):
            pytest.skip("this user may take all ports")
    except PermissionError:
        pass
    except OSError:
        pytest.skip("somebody listens at port 1")
    assert number(new("PULL").bind("tcp://127.0.0.1:*[1-65535]")) >= 1024


@pytest.mark.parametrize("endpoint", MALFORMED)
@pytest.mark.parametrize("call", ["bind", "connect"])
def test_malformed(new, endpoint, call):
    with pytest.raises(ArgumentError, match=r"tcp://\*:\*\[5000-5100\]"):
        getattr(new("PULL"), call)(endpoint)


def test_an_address_alone_is_no_range(new):
    with pytest.raises(ArgumentError, match="ends with a colon and a port"):
        new("PULL").bind("tcp://[::1]")


def test_connect(new):
    zsock = new("PULL")
    with pytest.raises(ArgumentError, match="connect needs the port"):
        zsock.connect("tcp://127.0.0.1:*[5000-5100]")
    assert zsock.last_endpoint == ""


def test_unbind(new, free):
    """As given, or as returned."""
    text = f"tcp://127.0.0.1:*[{free[0]}-{free[-1]}]"
    zsock = new("PULL")
    for by_range in (True, False):
        endpoint = zsock.bind(text)  # perhaps another one: what was given up may not be free yet
        given = text if by_range else endpoint
        zsock.unbind(given)
        with pytest.raises(ratchet.Error):
            zsock.unbind(given)


def test_with_a_listener_of_the_programs(new):
    with socket.create_server(("127.0.0.1", 0)) as server:
        zsock = new("PULL", use_fd=server.fileno())
        with pytest.raises(ArgumentError, match="use_fd"):
            zsock.bind("tcp://127.0.0.1:*[5000-5100]")


def test_closed(new):
    zsock = new("PULL")
    zsock.close()
    with pytest.raises(ratchet.ClosedError):
        zsock.bind("tcp://127.0.0.1:*[5000-5100]")


def test_processes_that_race(script, free, tmp_path):
    """Each gets a port of its own."""
    text = """
zsock = zmqsocket.new("PULL")
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    pass
print(zsock.bind(sys.argv[1]), flush=True)
time.sleep(60)
"""
    go = tmp_path / "go"
    endpoint = f"tcp://127.0.0.1:*[{free[0]}-{free[-1] + 100}]"
    programs = [script(text, endpoint, str(go)) for _ in range(3)]
    for program in programs:
        program.said("ready")
    go.touch()
    found = [program.process.stdout.readline() for program in programs]
    assert len(set(found)) == len(programs)
    assert all(number(line) in range(free[0], free[-1] + 101) for line in found)


def test_in_a_uri(free):
    record = zmqsocket.prepare_uri(f"zmq:pull:tcp://127.0.0.1:*[{free[0]}-{free[-1]}]")
    with zmqsocket.new(record.type) as zsock:
        assert number(zsock.bind(record.endpoint)) in free
