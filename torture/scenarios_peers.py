"""Peers die, stop, come back or are cut off: who is left goes on."""

import contextlib
import ctypes
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict

from .scenario import Skip, account, drain, numbers, scenario

NAP = 0.02  # seconds


def feed(rt, endpoint, name, count):
    """The program of a peer that sends so many messages, 0: until it is killed."""
    rt.main(feed_all, endpoint, name.encode(), int(count))


async def feed_all(rt, endpoint, name, count):
    sock = rt.new("PUSH", linger=5.0, sndhwm=100)
    sock.connect(endpoint)
    for n in itertools.count() if count == 0 else range(count):
        await rt.send_parts(sock, [name, b"%d" % n, name * 200])
        if n % 50 == 0:
            await rt.sleep(0.001)
    sock.close()
    if rt.library == "pyzmq":
        rt.context().term()  # its way to wait for the linger


@scenario()
async def killed_peers(rt, scale):
    """Peers killed with -9 and started again in a storm: no torn message, no gap, no hang."""
    sink = rt.new("PULL", rcvhwm=100)
    endpoint = rt.bind(sink, "tcp://127.0.0.1:*")
    seen = defaultdict(list)

    async def take(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(*rt.timeouts):
                parts = await rt.recv_parts(sink, 0.05)
                assert len(parts) == 3, "torn"
                assert parts[2] == parts[0] * 200, "torn"
                seen[parts[0]].append(int(parts[1]))

    names = (f"peer{n}" for n in itertools.count())
    start = "scenarios_peers:feed", endpoint
    peers = [rt.program(*start, next(names), "0") for _ in range(2)]
    try:
        for _ in range(scale.of(1, 20)):
            while not any(seen):
                await take(0.1)
            await take(scale.random.uniform(0.1, 0.4))
            victim = peers.pop(0)
            victim.kill()
            victim.wait()
            peers.append(rt.program(*start, next(names), "0"))
        for peer in peers:
            peer.kill()
            peer.wait()
        peers = [rt.program(*start, "last", "500")]
        until = time.monotonic() + 10
        while len(seen[b"last"]) < 500 and time.monotonic() < until:
            await take(0.05)
    finally:
        for peer in peers:
            peer.kill()
            peer.wait()
    account(range(500), seen[b"last"], ordered=True)
    for name, got in seen.items():
        assert got == list(range(len(got))), f"wrong: a gap or a repeat in what {name!r} sent"


def echo(rt, endpoint):
    """The program of a peer that sends everything back; it says where it listens."""
    rt.main(echo_all, endpoint)


async def echo_all(rt, endpoint):
    sock = rt.new("DEALER", sndhwm=0)
    print(rt.bind(sock, endpoint), flush=True)
    while True:
        await rt.send(sock, await rt.recv(sock))


@contextlib.contextmanager
def echoing(rt, endpoint="tcp://127.0.0.1:*"):
    """Such a peer: the process and its endpoint."""
    peer = rt.program("scenarios_peers:echo", endpoint, stdout=subprocess.PIPE)
    try:
        yield peer, peer.stdout.readline().strip()
    finally:
        peer.kill()
        peer.communicate()


@scenario()
async def stopped_peer(rt, scale):
    """A peer that is stopped makes senders pause; when it continues all arrives, in order."""
    with echoing(rt) as (peer, endpoint):
        sock = rt.new("DEALER", sndhwm=10, rcvhwm=0)
        sock.connect(endpoint)
        await rt.send(sock, b"first", 5)
        assert await rt.recv(sock, 10) == b"first", "wrong: another message"
        for _ in range(scale.of(1, 5)):
            peer.send_signal(signal.SIGSTOP)
            sent = []
            with contextlib.suppress(*rt.timeouts):
                for number in numbers(2000):
                    message = number + bytes(50_000)
                    await rt.send(sock, message, 0.3)
                    sent.append(message)
                raise AssertionError("wrong: it never had to pause")
            peer.send_signal(signal.SIGCONT)
            account(sent, await drain(rt, sock, len(sent), 5), ordered=True)


@scenario()
async def restarted_server(rt, scale):
    """Clients reach a server that was killed and started again, on the socket they have."""
    endpoint = "tcp://127.0.0.1:*"
    sock = rt.new("DEALER")
    for n in range(scale.of(2, 10)):
        with echoing(rt, endpoint) as (_, where):
            if endpoint != where:
                endpoint = where
                sock.connect(endpoint)
            answer, until = b"", time.monotonic() + 8
            while answer != b"%d" % n and time.monotonic() < until:
                with contextlib.suppress(*rt.timeouts):
                    await rt.send(sock, b"%d" % n, 1)
                    answer = await rt.recv(sock, 0.3)
            assert answer == b"%d" % n, "hangs"


def own_network():
    """Move this process to a network of its own, where nothing but lo is, and lo is ours."""
    if not sys.platform.startswith("linux"):
        raise Skip("network namespaces are Linux's")
    new_user, new_net = 0x10000000, 0x40000000  # sched.h
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_net) and libc.unshare(new_user | new_net):
        raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def set_lo(up):
    """Up, or down: then every packet is dropped and no connection is told."""
    get_flags, set_flags, flag_up = 0x8913, 0x8914, 1  # linux/sockios.h, net/if.h
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, get_flags, request))[1]
        flags = flags | flag_up if up else flags & ~flag_up
        fcntl.ioctl(sock, set_flags, struct.pack("16sh14x", b"lo", flags))


@scenario()
def half_open(rt, scale):
    """Cut off without a word, timeouts are exact, and heartbeats notice; then it goes on."""
    own_network()
    set_lo(up=True)
    rt.main(cut_off, scale)


async def cut_off(rt, scale):
    beats = {"heartbeat_ivl": 0.1, "heartbeat_timeout": 0.3, "heartbeat_ttl": 0.5}
    router = rt.new("ROUTER", router_mandatory=True, **beats)
    endpoint = rt.bind(router, "tcp://127.0.0.1:*")
    peer = rt.new("DEALER", routing_id=b"peer", reconnect_ivl=0.05, **beats)
    peer.connect(endpoint)
    for n in range(scale.of(1, 5)):
        question = b"%d" % n
        await rt.send(peer, question, 5)
        got = []
        while got != [b"peer", question]:
            got = await rt.recv_parts(router, 10)
        set_lo(up=False)
        began = time.monotonic()
        with contextlib.suppress(*rt.timeouts):
            await rt.recv(peer, 0.25)
            raise AssertionError("wrong: a message came")
        took = time.monotonic() - began
        assert 0.249 <= took < 0.75, f"wrong: a timeout of 0.25 s took {took:.2f} s"
        until = time.monotonic() + 10
        noticed = False
        while not noticed and time.monotonic() < until:
            await rt.sleep(NAP)
            try:
                await rt.send_parts(router, [b"peer", b"are you there"], 0.05)
            except rt.timeouts:
                pass
            except rt.errors:
                noticed = True
        assert noticed, "hangs: nobody noticed"
        set_lo(up=True)
