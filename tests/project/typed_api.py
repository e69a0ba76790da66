"""The whole public API as a type checker sees it; it is checked by mypy and pyright, and never run.

Each call stands with the type that it must have. What must be refused is marked with an ignore,
which is an error itself where there is nothing to ignore.
"""

import logging
import selectors
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, assert_type

import ratchet
import ratchet.anyio
import ratchet.asyncio
import ratchet.testing
import ratchet.trio
from ratchet import auth, errors, options, thread, zmqsocket


def sockets() -> None:
    zsock = zmqsocket.new("SUB", subscribe=[b"a", b"b"], rcvhwm=10, linger=None, rcvtimeo=2)
    assert_type(zsock, zmqsocket.ZMQSocket)
    assert_type(zmqsocket.ZMQSocket(), zmqsocket.ZMQSocket)
    zmqsocket.new(7)  # type: ignore[arg-type]
    zmqsocket.new("SUB", subscribe="text")  # type: ignore[arg-type]
    zmqsocket.new("SUB", no_such_option=1)  # type: ignore[call-arg]

    assert_type(zsock.bind("tcp://*:1337"), str)
    assert_type(zsock.connect("tcp://host:1337"), bool)
    zsock.unbind("tcp://*:1337")
    zsock.disconnect("tcp://host:1337")
    zsock.subscribe(bytearray(b"a"))
    zsock.unsubscribe(b"a")
    zsock.subscribe("a")  # type: ignore[arg-type]

    assert_type(zsock.type, str)
    assert_type(zsock.closed, bool)
    assert_type(zsock.last_endpoint, str)
    zsock.type = "PUB"  # type: ignore[misc]
    assert_type(zsock.get_fd(), int)
    assert_type(zsock.fileno(), int)
    assert_type(zsock.is_readable(), bool)
    assert_type(zsock.is_writable(), bool)
    assert_type(zsock.is_rcvmore(), bool)
    zsock.set_timeout(None)
    zsock.set_timeout(1)
    assert_type(zsock.get_timeout(), float | None)
    zsock.close()
    zsock.close(linger=0.5)
    with zsock as same:
        assert_type(same, zmqsocket.ZMQSocket)


def messages(zsock: zmqsocket.ZMQSocket) -> None:
    zsock.send(b"data")
    zsock.send(memoryview(b"data"), True, timeout=0)
    zsock.send(bytearray(b"data"), more=True, timeout=None)
    zsock.send("text")  # type: ignore[call-overload]
    zsock.send_multipart([b"a", bytearray(b"b")], timeout=1.0)
    zsock.send_multipart(["a"])  # type: ignore[list-item]
    assert_type(zsock.send_many(iter([b"a"]), timeout=1.0), int)
    assert_type(zsock.recv(), tuple[bytes, bool])
    data, more = zsock.recv(timeout=1)
    assert_type(data, bytes)
    assert_type(more, bool)
    assert_type(zsock.recv_all(timeout=None), bytes)
    assert_type(zsock.recv_multipart(timeout=...), list[bytes])
    assert_type(zsock.recv_many(10, timeout=0.5), list[bytes])
    assert_type(zsock.recv_frames(), list[zmqsocket.Frame])
    assert_type(zsock.recv_into(bytearray(9), timeout=1), int)
    assert_type(zsock.recv_latest(timeout=0), bytes)
    assert_type(zsock.recv_latest_multipart(timeout=None), list[bytes])
    frame = zsock.recv_frame(timeout=1)
    assert_type(frame, zmqsocket.Frame)
    assert_type(frame.bytes, bytes)
    assert_type(frame.more, bool)
    assert_type(frame.peer_address, str | None)
    assert_type(frame.user_id, str | None)
    assert_type(frame.socket_type, str | None)
    assert_type(len(frame), int)
    tracker = zsock.send(frame, copy=False)
    assert_type(tracker, zmqsocket.Tracker)
    assert_type(zsock.send_multipart([b"a"], copy=False), zmqsocket.Tracker)
    assert_type(tracker.done, bool)
    tracker.wait(timeout=1.0)
    zsock.recv(1.0)  # type: ignore[call-arg]
    for message in zsock:
        assert_type(message, bytes)


def socket_options(zsock: zmqsocket.ZMQSocket) -> None:
    assert_type(zsock.sndhwm, int)
    assert_type(zsock.maxmsgsize, int | None)
    assert_type(zsock.handshake_ivl, float)
    assert_type(zsock.tcp_keepalive, bool | None)
    assert_type(zsock.identity, bytes)
    assert_type(zsock.xpub_welcome_msg, bytes)
    assert_type(zsock.plain_username, str | None)
    assert_type(zsock.mechanism, str)
    assert_type(zsock.events, int)
    assert_type(zsock.linger, float | None)
    assert_type(zsock.ipv6, bool)
    assert_type(zsock.routing_id, bytes)
    assert_type(zsock.zap_domain, str | None)
    assert_type(zsock.curve_publickey, str | None)
    zsock.sndhwm = 5
    zsock.linger = 2.5
    zsock.linger = None
    zsock.curve_publickey = bytes(32)
    assert_type(zsock.heartbeat, float | None)
    zsock.heartbeat = 5
    zsock.heartbeat = None  # type: ignore[assignment]
    zsock.sndhwm = "5"  # type: ignore[assignment]
    zsock.ipv6 = None  # type: ignore[assignment]
    assert_type(zsock.getsockopt("SNDHWM"), Any)
    zsock.setsockopt("SNDHWM", 1000)
    assert_type(zmqsocket.ZMQSocket.sndhwm.unit, str)
    assert_type(options.TABLE["SNDHWM"], options.Option[Any, Any])
    assert_type(options.NAMES, tuple[str, ...])
    assert_type(options.ALIASES, dict[str, str])
    assert_type(options.KEYWORDS, dict[str, options.Option[Any, Any]])
    some: options.OptionArguments = {"sndhwm": 5}
    zmqsocket.new("PUSH", **some)
    base: options.Options = zsock
    print(base)


def peers(zsock: zmqsocket.ZMQSocket) -> None:
    assert_type(zmqsocket.new("PUB", track_peers=True), zmqsocket.ZMQSocket)
    assert_type(zsock.peers, tuple[zmqsocket.Peer, ...])
    for peer in zsock.peers:
        assert_type((peer.endpoint, peer.address, peer.since), tuple[str, str | None, float])
    assert_type(zsock.wait_peers(2, timeout=1), int)
    assert_type(zsock.subscribers(), int)
    assert_type(zsock.subscribers(b"prefix"), int)
    assert_type(zsock.wait_subscribers(b"prefix", 2, timeout=None), int)


def monitoring(zsock: zmqsocket.ZMQSocket) -> None:
    with zsock.monitor("CONNECTED", "CLOSED") as monitor:
        assert_type(monitor, zmqsocket.Monitor)
        for event in monitor:
            assert_type(event, zmqsocket.MonitorEvent)
            assert_type((event.name, event.endpoint, event.value), tuple[str, str, float])
            assert_type(event.error, ratchet.Error | None)
        assert_type(monitor.recv(timeout=1), zmqsocket.MonitorEvent)
        assert_type(monitor.closed, bool)
        zmqsocket.select([monitor])


def proxying(zsock: zmqsocket.ZMQSocket, other: ratchet.asyncio.ZMQSocket) -> None:
    assert_type(ratchet.proxy(zsock, other, zsock), ratchet.ProxyStats)
    with ratchet.Proxy(zsock, other) as proxy:
        proxy.pause()
        proxy.resume()
        assert_type(proxy.stats.dropped, int)
        assert_type(proxy.stop(timeout=1), ratchet.ProxyStats)
    ratchet.proxy(zsock, 3)  # type: ignore[arg-type]


async def proxying_in_tasks(zsock: zmqsocket.ZMQSocket, other: ratchet.asyncio.ZMQSocket) -> None:
    assert_type(await ratchet.asyncio.proxy(zsock, other), ratchet.ProxyStats)
    assert_type(await ratchet.trio.proxy(zsock, other), ratchet.ProxyStats)
    assert_type(await ratchet.anyio.proxy(zsock, other, capture=zsock), ratchet.ProxyStats)


def selecting(zsock: zmqsocket.ZMQSocket) -> None:
    ready = zmqsocket.select([zsock, 0], [zsock], timeout=1)
    assert_type(ready, tuple[list[Any], list[Any]])
    with zmqsocket.Selector() as selector:
        key = selector.register(zsock, selectors.EVENT_READ, data="any")
        assert_type(key, selectors.SelectorKey)
        assert_type(selector.modify(zsock, selectors.EVENT_WRITE), selectors.SelectorKey)
        assert_type(selector.select(1), list[tuple[selectors.SelectorKey, int]])
        assert_type(selector.unregister(zsock), selectors.SelectorKey)
        assert_type(selector.fileno(), int)


def uris() -> None:
    record = zmqsocket.prepare_uri("zmq:pull:tcp://*:1337")
    assert_type(record, zmqsocket.ZMQRecord)
    assert_type(record.type, str)
    assert_type(record.endpoint, str)
    assert_type(record["type"], str)


def process() -> None:
    assert_type(ratchet.__version__, str)
    assert_type(ratchet.libzmq_version(), tuple[int, int, int])
    assert_type(ratchet.has("curve"), bool)
    assert_type(ratchet.curve_keypair(), tuple[str, str])
    assert_type(ratchet.curve_public("secret"), str)
    ratchet.configure(io_threads=2, max_sockets=100)
    ratchet.configure(open_sockets="refuse")
    ratchet.configure(open_sockets="no")  # type: ignore[arg-type]


def security(zsock: zmqsocket.ZMQSocket) -> None:
    keys = auth.generate()
    assert_type(keys, auth.CurveKeys)
    assert_type((keys.public, keys.secret), tuple[str, str | None])
    assert_type(keys.metadata, Mapping[str, str])
    assert_type(auth.load(Path("alice.key")), auth.CurveKeys)
    assert_type(auth.save("folder", "alice", keys, {"name": "Alice"}), tuple[Path, Path | None])
    auth.save("folder", "alice", ("public", "secret"))  # type: ignore[arg-type]
    assert_type(auth.log, logging.Logger)

    def known(key: str, address: str | None) -> str | None:
        return key if address is None else None

    zmqsocket.new("REP", curve=keys, clients=[keys.public, Path("clients"), keys])
    zmqsocket.new("REP", curve=keys, clients=known, auth_timeout=1)
    ratchet.asyncio.new("REP", curve=keys, clients=auth.ANY, allow=["10.0.0.0/8"], deny=[])
    ratchet.trio.new("REQ", curve=keys, server=keys.public)
    zmqsocket.new("REP", users={"alice": "sesame"})
    zmqsocket.new("REP", users=lambda name, password, address: name == "alice")
    zmqsocket.new("REP", clients=7)  # type: ignore[arg-type]
    zmqsocket.new("REP", curve="key")  # type: ignore[arg-type]
    zsock.clients = [keys.public]
    zsock.clients = 7  # type: ignore[assignment]
    assert_type(zsock.curve, auth.CurveKeys | None)
    assert_type(zsock.server, str | None)
    zsock.users = {"alice": "sesame"}
    zsock.deny = ["::1"]
    assert_type(zsock.auth_timeout, float)


def exceptions(error: ratchet.Error) -> None:
    assert_type(error.errno, int | None)
    assert_type(error.code, str)
    assert_type(error.taken, int)
    timeout: TimeoutError = ratchet.Timeout(1, "text")
    value: ValueError = ratchet.UriError(1, "text")
    value = ratchet.ArgumentError(1, "text")
    runtime: RuntimeError = ratchet.StateError(1, "text")
    runtime = ratchet.DeadlockError(1, "text")
    runtime = ratchet.ForkedError(1, "text")
    system: OSError = ratchet.ClosedError(1, "text")
    system = ratchet.Alarm(1, "text")
    base: BaseException = ratchet.Killed()
    never: Exception = ratchet.Killed()  # type: ignore[assignment]
    print(timeout, value, runtime, system, base, never)
    assert_type(errors.from_errno(1, "what", "why"), ratchet.Error)
    assert_type(errors.argument_error("text"), ratchet.ArgumentError)


def add(left: int, right: int) -> int:
    return left + right


def kernels() -> None:
    assert_type(ratchet.run(add, 1, 2), int)

    def failed(error: BaseException, where: thread.Thread) -> None:
        print(error, where)

    kernel = ratchet.new(lambda: None, on_error=failed)
    assert_type(kernel, ratchet.Ratchet)
    ratchet.new(5)  # type: ignore[arg-type]
    kernel.loop()
    assert_type(kernel.loop_once(noblock=True), bool)
    kernel.stop()
    one = kernel.attach(add, 1, right=2)
    assert_type(one, thread.Thread)
    assert_type(kernel.attach_background(add, 1, 2), thread.Thread)
    assert_type(kernel.get_num_threads(), int)
    kernel.get_space(one, default=5)
    assert_type(kernel.get_method(), str)
    kernel.dump(sys.stdout)
    kernel.close()
    with kernel as same:
        assert_type(same, ratchet.Ratchet)


def threads(zsock: zmqsocket.ZMQSocket) -> None:
    one = thread.attach(add, 1, right=2)
    assert_type(one, thread.Thread)
    assert_type(thread.attach_background(add, 1, 2), thread.Thread)
    assert_type(one.done, bool)
    assert_type(one.name, str)
    assert_type(one.result(timeout=1.0), Any)
    assert_type(thread.self(), thread.Thread | None)
    assert_type(thread.current(), thread.Thread | None)
    assert_type(thread.pause(), Any)
    thread.unpause(one, 1, "two")
    thread.unpause("one")  # type: ignore[arg-type]
    thread.timer(0.5)
    thread.alarm(0.5, lambda: print("late"))
    thread.alarm(None)
    thread.wait_all([one])
    assert_type(thread.space(), Any)
    thread.block_on([zsock, sys.stdin], writes=[zsock], timeout=1)
    thread.sigwait(signal.SIGTERM)
    thread.sigwait("SIGTERM")
    assert_type(thread.offload(add, 1, 2), int)
    thread.kill(one)
    thread.kill_all([one])


async def tasks() -> None:
    ratchet.asyncio.set_burst(64)
    zsock = ratchet.asyncio.new("DEALER", sndhwm=5)
    assert_type(zsock, ratchet.asyncio.ZMQSocket)
    async with zsock as same:
        assert_type(same, ratchet.asyncio.ZMQSocket)
    with zsock as same:
        assert_type(same, ratchet.asyncio.ZMQSocket)
    assert_type(zsock.bind("tcp://*:1337"), str)
    assert_type(zsock.sndhwm, int)
    await zsock.send(b"data", True, timeout=0)
    await zsock.send("text")  # type: ignore[call-overload]
    await zsock.send_multipart([b"a"])
    assert_type(await zsock.send_many([b"a"]), int)
    many = zsock.send_many([b"a"])
    assert_type(many.taken, int)
    assert_type(await many, int)
    coming: Coroutine[Any, Any, tuple[bytes, bool]] = zsock.recv()
    assert_type(await coming, tuple[bytes, bool])
    data, more = await zsock.recv(timeout=1)
    assert_type(data, bytes)
    assert_type(more, bool)
    assert_type(await zsock.recv_all(), bytes)
    assert_type(await zsock.recv_multipart(), list[bytes])
    assert_type(await zsock.recv_many(10), list[bytes])
    assert_type(await zsock.recv_frame(), zmqsocket.Frame)
    assert_type(await zsock.recv_frames(), list[zmqsocket.Frame])
    assert_type(await zsock.recv_into(bytearray(9)), int)
    assert_type(await zsock.recv_latest(), bytes)
    assert_type(await zsock.recv_latest_multipart(timeout=1), list[bytes])
    zsock.send_nowait(b"data", True)
    zsock.send_nowait("text")  # type: ignore[call-overload]
    assert_type(zsock.send_nowait(b"data", copy=False), zmqsocket.Tracker)
    zsock.send_multipart_nowait([b"a"])
    assert_type(zsock.send_multipart_nowait([b"a"], copy=False), zmqsocket.Tracker)
    assert_type(zsock.recv_nowait(), tuple[bytes, bool])
    assert_type(zsock.recv_multipart_nowait(), list[bytes])
    tracker = await zsock.send(b"data", copy=False)
    assert_type(tracker, zmqsocket.Tracker)
    await tracker
    await zsock.send_multipart([b"a"], copy=False)
    ready = await ratchet.asyncio.select([zsock], [zsock.sync.zsock], timeout=1)
    assert_type(ready, tuple[list[Any], list[Any]])
    async for message in zsock:
        assert_type(message, bytes)

    async with zsock.monitor("CONNECTED") as monitor:
        assert_type(monitor, ratchet.asyncio.AwaitedMonitor)
        async for event in monitor:
            assert_type(event, zmqsocket.MonitorEvent)
        assert_type(await monitor.recv(timeout=1), zmqsocket.MonitorEvent)
    assert_type(zsock.sync.monitor(), zmqsocket.Monitor)
    assert_type(await zsock.wait_peers(timeout=1), int)
    assert_type(await zsock.wait_subscribers(b"prefix"), int)
    assert_type(zsock.sync.wait_peers(2), int)
    assert_type(zsock.sync.wait_subscribers(b"prefix", 2), int)

    assert_type(zsock.sync, ratchet.asyncio.Shared)
    zsock.sync.send(b"data", True, timeout=0)
    zsock.sync.send_multipart([b"a"])
    assert_type(zsock.sync.send_many([b"a"]), int)
    assert_type(zsock.sync.recv(timeout=1), tuple[bytes, bool])
    assert_type(zsock.sync.recv_all(), bytes)
    assert_type(zsock.sync.recv_multipart(), list[bytes])
    assert_type(zsock.sync.recv_many(10), list[bytes])
    assert_type(zsock.sync.recv_frame(), zmqsocket.Frame)
    assert_type(zsock.sync.recv_frames(), list[zmqsocket.Frame])
    assert_type(zsock.sync.recv_into(bytearray(9)), int)
    assert_type(zsock.sync.recv_latest(), bytes)
    assert_type(zsock.sync.recv_latest_multipart(), list[bytes])
    assert_type(zsock.sync.zsock, ratchet.asyncio.ZMQSocket)


async def tasks_of_trio() -> None:
    ratchet.trio.set_burst(64)
    assert_type(await ratchet.trio.select([0], timeout=1), tuple[list[Any], list[Any]])
    zsock = ratchet.trio.new("DEALER", sndhwm=5)
    assert_type(zsock, ratchet.trio.ZMQSocket)
    async with zsock as same:
        assert_type(same, ratchet.trio.ZMQSocket)
    await zsock.send(b"data", True, timeout=0)
    await zsock.send("text")  # type: ignore[call-overload]
    assert_type(await zsock.send_many([b"a"]), int)
    assert_type(await zsock.recv(timeout=1), tuple[bytes, bool])
    assert_type(await zsock.recv_multipart(), list[bytes])
    await (await zsock.send(b"data", copy=False))
    async for message in zsock:
        assert_type(message, bytes)
    assert_type(zsock.sync, ratchet.trio.Shared)
    assert_type(zsock.sync.recv(timeout=1), tuple[bytes, bool])
    assert_type(zsock.sync.zsock, ratchet.trio.ZMQSocket)


async def tasks_of_anyio() -> None:
    zsock = ratchet.anyio.new("DEALER", sndhwm=5)
    assert_type(zsock, ratchet.anyio.ZMQSocket)
    async with zsock as same:
        assert_type(same, ratchet.anyio.ZMQSocket)
    assert_type(await zsock.recv(timeout=1), tuple[bytes, bool])
    assert_type(zsock.sync.recv(timeout=1), tuple[bytes, bool])
    assert_type(await ratchet.anyio.select([zsock, 0]), tuple[list[Any], list[Any]])
    either: ratchet.anyio.ZMQSocket = ratchet.asyncio.new()
    either = ratchet.trio.new()
    await either.send(b"data")


def testing() -> None:
    with (
        ratchet.testing.pair("PUSH", "PULL", transport="tcp", timeout=None, sndhwm=1) as both,
        ratchet.testing.free_endpoint("ipc") as endpoint,
        ratchet.testing.no_leaks(),
        ratchet.testing.Line("tcp://host:1") as line,
        ratchet.testing.Peer("pass", "PULL", [1], bind=endpoint) as peer,
    ):
        assert_type(both, tuple[Any, Any])
        assert_type(endpoint, str)
        assert_type(line.endpoint, str)
        assert_type(line.connections, int)
        assert_type(line.to_server, ratchet.testing.Way)
        line.to_client.drop(2, after=1)
        line.to_client.lose(0.5, seed=1)
        line.to_client.delay(0.1)
        assert_type(line.to_client.passed + line.to_client.dropped, int)
        line.cut("nobody")
        line.cut("everybody")  # type: ignore[arg-type]
        line.restore()
        line.close()
        assert_type(peer.pid, int)
        assert_type(peer.running, bool)
        assert_type(peer.output, str)
        assert_type(peer.result(timeout=None), Any)
        peer.kill()
        peer.close()
    assert_type(ratchet.testing.PeerError("text"), ratchet.testing.PeerError)
