"""What happens on a connection: `monitor`, its events, and monitors that nobody reads."""

import ctypes
import errno
import gc
import os
import socket
import subprocess
import sys
import time
from fractions import Fraction

import pytest
from harness.behaviour import behaviour
from harness.internals import keep, lost, paused_calls
from harness.sockets import place_of
from harness.waiting import LONG, Task, until

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, Timeout, zmqsocket
from ratchet.zmqsocket import MonitorEvent

KNOCKS = 1500
BOUND = ["LISTENING", "ACCEPTED", "HANDSHAKE_SUCCEEDED"]
CONNECTED = ["CONNECT_DELAYED", "CONNECTED", "HANDSHAKE_SUCCEEDED"]


async def event(rt, monitor, timeout=LONG):  # noqa: ASYNC109 (as its own)
    """The next event."""
    found = monitor.recv(timeout=timeout)
    return await found if rt.awaits else found


async def names(rt, monitor, count):
    return [(await event(rt, monitor)).name for _ in range(count)]


async def until_event(rt, monitor, name):
    while (found := await event(rt, monitor)).name != name:
        pass
    return found


async def rest(rt, monitor):
    """What iterating yields until it ends."""
    return [found async for found in monitor] if rt.awaits else list(monitor)


def knock(zsock, count):
    """Connect so many times and say nothing: three events each, and a failed handshake."""
    for _ in range(count):
        with socket.create_connection(place_of(zsock.last_endpoint), LONG) as plain:
            plain.recv(1)  # of a greeting: it has been accepted


@behaviour
async def test_both_sides_tell_of_a_connection(rt, tcp):
    bound, other = rt.new("PULL"), rt.new("PUSH")
    with bound.monitor() as ours, other.monitor() as theirs:
        endpoint = bound.bind(tcp)
        other.connect(endpoint)
        assert await names(rt, ours, 3) == BOUND
        assert await names(rt, theirs, 3) == CONNECTED
        other.close()
        gone = await event(rt, ours)
        assert gone[:2] == ("DISCONNECTED", endpoint)
        assert gone.value > 0
        assert gone.error is None
        assert (await rest(rt, theirs))[-1] == MonitorEvent("MONITOR_STOPPED", "", 0, None)


@behaviour
async def test_ipc_tells_as_well(rt, ipc):
    bound, other = rt.new("PULL"), rt.new("PUSH")
    with bound.monitor() as ours:
        bound.bind(ipc)
        other.connect(ipc)
        assert await names(rt, ours, 3) == BOUND


@behaviour
async def test_each_monitor_gets_all_that_it_asked_for(rt, tcp):
    bound, other = rt.new("PULL"), rt.new("PUSH")
    first, second = bound.monitor(), bound.monitor("ACCEPTED", "DISCONNECTED")
    other.connect(bound.bind(tcp))
    assert await names(rt, first, 3) == BOUND
    late = bound.monitor()
    other.close()
    assert await names(rt, second, 2) == ["ACCEPTED", "DISCONNECTED"]
    assert await names(rt, first, 1) == ["DISCONNECTED"]
    assert await names(rt, late, 1) == ["DISCONNECTED"]
    first.close()
    bound.close()
    assert [found.name for found in await rest(rt, late)] == ["MONITOR_STOPPED"]
    assert await rest(rt, second) == await rest(rt, first) == []


@behaviour
async def test_a_receiver_pauses_until_something_happens(rt, tcp):
    bound = rt.new("PULL")
    monitor = bound.monitor("ACCEPTED")
    began = time.monotonic()
    with pytest.raises(Timeout, match=r"of a PULL socket.*nothing happened within 0\.05 s"):
        await event(rt, monitor, timeout=0.05)
    assert time.monotonic() - began >= 0.05
    with pytest.raises(Timeout):
        await event(rt, monitor, timeout=0)
    task = rt.spawn(event(rt, monitor))
    await rt.until(lambda: paused_calls(monitor) == 1)
    other = rt.new("PUSH")
    other.connect(bound.bind(tcp))
    assert (await rt.join(task)).name == "ACCEPTED"


@pytest.mark.parametrize("closes", ["socket", "monitor"])
@behaviour
async def test_close_ends_it(rt, closes):
    bound = rt.new("PULL")
    monitor = bound.monitor()
    paused = rt.spawn(event(rt, monitor)), rt.spawn(rest(rt, monitor))
    await rt.until(lambda: paused_calls(monitor) == 2)
    (bound if closes == "socket" else monitor).close()
    if closes == "socket":  # one of the two gets the last event
        try:
            assert (await rt.join(paused[0])).name == "MONITOR_STOPPED"
        except ClosedError:
            assert [found.name for found in await rt.join(paused[1])] == ["MONITOR_STOPPED"]
        else:
            assert await rt.join(paused[1]) == []
    else:
        with pytest.raises(ClosedError, match="this monitor of a PULL socket is closed"):
            await rt.join(paused[0])
        assert await rt.join(paused[1]) == []
    with pytest.raises(ClosedError):
        await event(rt, monitor)
    assert await rest(rt, monitor) == []
    bound.close()
    monitor.close()
    with pytest.raises(ClosedError):
        bound.monitor()


@behaviour
async def test_what_ends_a_receiver_takes_no_event(rt, tcp):
    """An event comes and the receiver is ended at the same moment: it has it, or the next one."""
    if not rt.stops:
        return
    bound = rt.new("PULL")
    monitor = bound.monitor()
    for _ in range(20):
        got = []

        async def receive(got=got):
            got.append(await event(rt, monitor))

        task = rt.spawn(receive())
        await rt.until(lambda: paused_calls(monitor) == 1)
        bound.bind(tcp)
        await rt.stop(task)
        assert paused_calls(monitor) == 0
        found = got or [await event(rt, monitor)]
        assert [one.name for one in found] == ["LISTENING"]


@behaviour
async def test_times_are_seconds_and_errors_say_what_was(rt, tcp):
    bound, other = rt.new("REP", plain_server=True), rt.new("REQ")
    endpoint = bound.bind(tcp)
    with other.monitor() as monitor:
        other.connect(endpoint)
        found = await until_event(rt, monitor, "HANDSHAKE_FAILED_PROTOCOL")
        assert found.value == 0x11000002
        assert isinstance(found.error, ratchet.Error)
        assert found.error.code == "EPROTO"
        assert str(found.error).startswith(endpoint)
        assert "ZMTP_MECHANISM_MISMATCH" in str(found.error)
    absent = rt.new("REQ", reconnect_ivl=0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with absent.monitor() as monitor:
        absent.connect(f"tcp://127.0.0.1:{port}")
        found = await until_event(rt, monitor, "CONNECT_RETRIED")
        assert 0.2 <= found.value <= 0.4
        assert found.error is None


def test_who_is_refused(new, tcp):
    """By a handler of ZAP (RFC 27), here a thread."""
    handler, server = new("REP"), new("REP", plain_server=True, zap_domain="test")
    handler.bind("inproc://zeromq.zap.01")

    def refuse():
        version, request = handler.recv_multipart()[:2]
        handler.send_multipart([version, request, b"400", b"no", b"", b""])

    refusing = Task(refuse)
    with server.monitor() as ours:
        client = new("REQ", plain_username="me", plain_password="secret")
        with client.monitor("HANDSHAKE_FAILED_AUTH") as theirs:
            client.connect(server.bind(tcp))
            found = theirs.recv(timeout=LONG)
        while (seen := ours.recv(timeout=LONG)).name != "HANDSHAKE_FAILED_AUTH":
            pass
    refusing.value()
    for told in (found, seen):
        assert told.value == 400
        assert told.error.errno == errno.EACCES
        assert "refused by the server: 400" in str(told.error)


@behaviour
async def test_a_monitor_that_nobody_reads_holds_up_nothing(rt, tcp):
    """libzmq's own PAIR is full after a thousand events, and then its I/O thread stands still."""
    bound, other = rt.new("PULL"), rt.new("PUSH")
    monitor = bound.monitor()
    endpoint = bound.bind(tcp)
    knock(bound, 1500)
    other.connect(endpoint)
    await other.send(b"comes through")
    assert (await bound.recv())[0] == b"comes through"
    await until_event(rt, monitor, "HANDSHAKE_SUCCEEDED")
    assert lost(monitor) == 0


@behaviour
async def test_it_keeps_the_newest_and_counts_the_others(rt, tcp):
    bound = rt.new("PULL")
    monitor, everything = bound.monitor(), bound.monitor()
    keep(monitor, 10)
    bound.bind(tcp)
    knock(bound, 100)
    told = []
    while len(told) < 301:
        told.append(await event(rt, everything))
    # No call was made on this one: what is lost has been taken in for it.
    await rt.until(lambda: lost(monitor) == 291)
    found = [await event(rt, monitor) for _ in range(11)]
    assert found[0] == MonitorEvent("LOST", "", 291, None)
    assert [one.name for one in found[1:]] == [one.name for one in told[-10:]]
    with pytest.raises(Timeout):
        await event(rt, monitor, timeout=0)


def test_unread_events_of_an_idle_process_are_taken_in(new, tcp):
    """Nobody calls anything, and still they are not left to pile up in libzmq."""
    bound = new("PULL")
    monitor = bound.monitor("DISCONNECTED")
    keep(monitor, 1)
    bound.bind(tcp)
    knock(bound, 200)
    until(lambda: lost(monitor) == 199)
    monitor.close()


def test_closed_in_any_order(new, tcp, rng):
    """While connections come and go."""
    for _ in range(60):
        bound, other = new("DEALER"), new("DEALER", reconnect_ivl=0.001)
        bound.linger = other.linger = 0
        things = [bound, other, bound.monitor(), bound.monitor("ACCEPTED"), other.monitor()]
        other.connect(bound.bind(tcp))
        knock(bound, rng.randrange(4))
        rng.shuffle(things)
        for thing in things:
            thing.close()
            thing.close()


def test_begun_and_ended_again(new, tcp):
    bound = new("PULL")
    endpoint = bound.bind(tcp)
    for _ in range(50):
        with bound.monitor("ACCEPTED") as monitor, zmqsocket.new("PUSH", linger=0) as other:
            other.connect(endpoint)
            assert monitor.recv(timeout=LONG).name == "ACCEPTED"


def test_one_that_is_dropped_is_gone(new, tcp):
    bound = new("PULL")
    bound.monitor()
    gc.collect()
    bound.bind(tcp)
    kept = bound.monitor()
    bound.monitor()
    gc.collect()
    knock(bound, 1)
    assert kept.recv(timeout=LONG).name == "ACCEPTED"
    bound.close()
    assert list(kept)[-1].name == "MONITOR_STOPPED"


def test_a_storm_of_reconnects_is_told_in_full(new, tcp):
    """Each connection begins, succeeds and ends, in this order, as often as there were any."""
    server = new("ROUTER")
    everything, few = server.monitor(), server.monitor("DISCONNECTED")
    endpoint = server.bind(tcp)
    clients = 300
    for _ in range(clients):
        with zmqsocket.new("DEALER", linger=0) as client:
            client.connect(endpoint)
            client.send(b"x")
            server.recv_multipart(timeout=LONG)
    assert all(few.recv(timeout=LONG).name == "DISCONNECTED" for _ in range(clients))
    told = []
    while told.count("DISCONNECTED") < clients:
        told.append(everything.recv(timeout=LONG).name)
    assert told[0] == "LISTENING"
    assert len(told) == 1 + 3 * clients
    assert told.count("ACCEPTED") == told.count("HANDSHAKE_SUCCEEDED") == clients


def test_in_a_select(new, tcp):
    bound, other = new("PULL"), new("PUSH")
    monitor, quiet = bound.monitor(), other.monitor("ACCEPTED")
    assert zmqsocket.select([monitor, quiet], timeout=0) == ([], [])
    selecting = Task(zmqsocket.select, [bound, quiet, monitor], timeout=LONG)
    endpoint = bound.bind(tcp)
    assert selecting.value() == ([monitor], [])
    # A level: it is told until it is taken.
    assert zmqsocket.select([monitor]) == zmqsocket.select([quiet, monitor]) == ([monitor], [])
    assert monitor.recv().name == "LISTENING"
    assert zmqsocket.select([monitor], timeout=0) == ([], [])
    other.connect(endpoint)
    assert ratchet.run(zmqsocket.select, [quiet, monitor]) == ([monitor], [])
    with zmqsocket.Selector() as selector:
        selector.register(monitor, 1, data="ours")
        assert [key.data for key, _ in selector.select(LONG)] == ["ours"]
    selecting = Task(zmqsocket.select, [quiet], timeout=LONG)
    other.close()  # the end can be received as well
    assert selecting.value() == ([quiet], [])
    assert list(quiet) == []
    assert zmqsocket.select([quiet], timeout=LONG) == ([quiet], [])
    quiet.close()
    with pytest.raises(ClosedError):
        zmqsocket.select([quiet], timeout=0)


def test_in_a_select_that_is_awaited(tcp):
    async def main():
        bound = ratchet.asyncio.new("PULL")
        async with bound.monitor() as monitor:
            assert await ratchet.asyncio.select([monitor], timeout=0.01) == ([], [])
            bound.bind(tcp)
            assert await ratchet.asyncio.select([bound, monitor]) == ([monitor], [])
            bound.close()
        assert monitor.closed

    ratchet.asyncio.asyncio.run(main())


def test_of_an_asyncio_socket_in_another_thread(tcp):
    with ratchet.asyncio.new("PULL") as bound, bound.sync.monitor() as monitor:
        bound.bind(tcp)
        assert monitor.recv(timeout=LONG).name == "LISTENING"


def test_wrong_arguments(new):
    bound = new("PULL")
    with pytest.raises(ValueError, match="there is no event 'connected'; events are CONNECTED, "):
        bound.monitor("connected")
    with pytest.raises(TypeError, match="names of events"):
        bound.monitor(1)
    monitor = bound.monitor()
    with pytest.raises(TypeError, match="timeout"):
        monitor.recv(timeout="1")
    with pytest.raises(ValueError, match="nan"):
        monitor.recv(timeout=float("nan"))
    with pytest.raises(ratchet.Timeout, match=r"nothing happened within 0\.01 s"):
        monitor.recv(timeout=Fraction(1, 100))
    with pytest.raises(TypeError, match="cannot be copied"):
        __import__("pickle").dumps(monitor)
    assert repr(monitor) == "<ratchet.monitoring.Monitor of a PULL socket, open>"
    bound.close()
    assert repr(monitor) == "<ratchet.monitoring.Monitor of a PULL socket, its socket is closed>"
    monitor.close()
    assert repr(monitor) == "<ratchet.monitoring.Monitor of a PULL socket, closed>"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child(run):
    run("""
        with zmqsocket.new("PULL") as bound, bound.monitor() as monitor:
            fd = monitor.fileno()

            def child():
                for call in (monitor.recv, monitor.fileno, lambda: next(monitor), bound.monitor):
                    try:
                        call()
                    except ratchet.ForkedError:
                        continue
                    raise AssertionError(call)
                monitor.close()
                bound.close()
                with zmqsocket.new("PULL") as own, own.monitor() as other:
                    own.bind("tcp://127.0.0.1:*")
                    assert other.recv(timeout=10).name == "LISTENING"

            assert fork(child) == 0
            bound.bind("tcp://127.0.0.1:*")
            assert monitor.recv(timeout=10).name == "LISTENING"
    """)


def test_at_the_exit(run):
    """Open monitors and threads that are paused in them hold up nothing."""
    result = run("""
        bound, other = zmqsocket.new("PULL", linger=1), zmqsocket.new("PUSH", linger=1)
        monitors = [bound.monitor(), other.monitor(), bound.monitor()]
        for monitor in monitors[:2]:
            threading.Thread(target=lambda m=monitor: list(m), daemon=True).start()
        other.connect(bound.bind("tcp://127.0.0.1:*"))
        other.send(b"x")
        bound.recv()
        print("over")
    """)
    assert result.out.strip() == "over"
    assert result.seconds < LONG


@pytest.mark.skipif(not hasattr(os, "fork"), reason="holds the GIL in waitpid(2)")
def test_libzmq_never_waits_for_a_reader(new, tcp):
    """While this process holds the GIL nobody takes in events: more come than libzmq's marks allow.

    Its I/O thread would wait for room, and greet nobody any more.
    """
    bound = new("PULL")
    with bound.monitor("DISCONNECTED") as monitor:
        bound.bind(tcp)
        where = place_of(bound.last_endpoint)
        program = (
            "import socket, sys\n"
            f"for _ in range({KNOCKS}):\n"
            f"    with socket.create_connection({where}, {LONG}) as plain:\n"
            "        plain.recv(1)\n"
        )
        knocking = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
        status = ctypes.c_int(-1)
        ctypes.PyDLL(None).waitpid(knocking.pid, ctypes.byref(status), 0)  # keeps the GIL
        knocking.returncode = os.waitstatus_to_exitcode(status.value)
        assert knocking.returncode == 0
        for _ in range(KNOCKS):
            assert monitor.recv(timeout=LONG).name == "DISCONNECTED"
