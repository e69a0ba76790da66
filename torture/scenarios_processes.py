"""Forks harm neither side, and every exit ends in time with what was sent delivered."""

import atexit
import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

from .adapters import ADAPTERS
from .scenario import account, drain, fate, numbers, reap, scenario

# Forks


async def child_sends(rt, sock):
    await rt.send(sock, b"the child's", 1)


async def child_receives(rt, sock):
    await rt.recv(sock, 1)


async def child_polls(rt, sock):
    await rt.poll(sock, 1)


async def child_closes(_rt, sock):
    sock.close()


async def child_collects(_rt, _sock):
    KEPT.clear()
    gc.collect()


async def child_leaves(_rt, _sock):
    sys.exit(0)


async def child_makes_its_own(rt, _sock):
    async def talk(rt):
        left, right = rt.pair("PAIR", "PAIR")
        await rt.send(left, b"new", 5)
        assert await rt.recv(right, 5) == b"new"

    if rt.kind == "asyncio":
        rt.main(talk)  # the loop is the parent's; a child has to have one of its own
    else:
        await talk(rt)


async def child_forks(rt, sock):
    """Its own child makes sockets of its own too."""
    await child_makes_its_own(rt, sock)
    pid = rt.fork()
    if pid == 0:
        status = 1
        try:
            await child_makes_its_own(rt, sock)
            status = 0
        finally:
            os._exit(status)
    assert reap(pid).status == 0


ACTS = (
    *(child_sends, child_receives, child_polls, child_closes, child_collects),
    *(child_leaves, child_makes_its_own, child_forks),
)


@scenario("threads", "cooperative", "asyncio", "gevent")  # a run of trio cannot go on in a child
async def forked_child(rt, _scale):
    """A forked child neither hangs nor burns CPU nor harms its parent, whatever it does."""
    ours, theirs = rt.pair("DEALER", "DEALER")
    receiver = rt.spawn(rt.recv(ours))
    await rt.paused(ours)
    KEPT.append(list(rt.pair("DEALER", "DEALER", "inproc://kept")))
    KEPT[0].append(KEPT[0])  # what only a collection finds
    await rt.send(KEPT[0][0], b"sent before")
    faults = []
    for act in ACTS:
        if act is child_leaves and rt.kind == "asyncio" and sys.version_info >= (3, 14):
            continue  # asyncio itself has no running loop any more to be left there
        name = act.__name__.replace("_", " ")
        pid = rt.fork()
        if pid == 0:
            status = 1
            try:
                await act(rt, theirs)
                status = 0
            except rt.errors:  # a clean refusal, but not of what is its own
                status = int(act in (child_makes_its_own, child_forks))
            except SystemExit:
                raise
            finally:
                if sys.exc_info()[0] is not SystemExit:
                    os._exit(status)
        end = reap(pid, 8)
        if end.fault:
            faults.append(f"{name}: {end.fault}")
        elif end.cpu > 0.7:
            faults.append(f"{name}: burns {end.cpu:.1f} s of CPU time")
    assert not faults, "; ".join(faults)
    await rt.send(theirs, b"the parent's", 5)
    assert await rt.join(receiver, 5) == b"the parent's", "wrong: the child's message came"
    left, right, _ = KEPT[0]
    assert await rt.recv(right, 5) == b"sent before", "wrong: another message"
    await rt.send(right, b"sent after", 5)
    assert await rt.recv(left, 5) == b"sent after", "wrong: another message"


@scenario("threads", "cooperative", "gevent")
async def forks_under_traffic(rt, scale):
    """Forks while threads send and receive disturb no message."""
    ours, theirs = rt.pair("DEALER", "DEALER", sndhwm=50, rcvhwm=50)
    sent, got = numbers(scale.of(2000, 20_000)), []

    async def receive():
        got.extend(await drain(rt, ours, len(sent), 5))

    async def send():
        for message in sent:
            await rt.send(theirs, message)

    tasks = [rt.spawn(receive()), rt.spawn(send())]
    for _ in range(scale.of(5, 30)):
        await rt.sleep(0.005)
        pid = rt.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                await rt.recv(ours, 0)
            os._exit(0)
        end = reap(pid)
        assert not end.fault, f"the child {end.fault}"
    for task in tasks:
        await rt.join(task, 20)
    account(sent, got, ordered=True)


def child_of_multiprocessing(library, kind, endpoint):
    """Send, and never close."""
    ADAPTERS[library, kind]().main(send_all, endpoint)


async def send_all(rt, endpoint):
    sock = rt.new("PUSH", linger=..., sndhwm=0)
    KEPT.append(sock)
    sock.connect(endpoint)
    for message in [*numbers(500), bytes(1_000_000)]:
        await rt.send(sock, message)


KEPT = []


@scenario()
def multiprocessing_children(rt, _scale):
    """What a child of `multiprocessing` sends last is delivered, by every start method."""
    for method in ("fork", "forkserver", "spawn"):
        sink = rt.new("PULL", rcvhwm=0)
        endpoint = rt.bind(sink, "tcp://127.0.0.1:*")
        process = multiprocessing.get_context(method).Process(
            target=child_of_multiprocessing, args=(rt.library, rt.kind, endpoint)
        )
        process.start()
        got = rt.main(drain, sink, 501, 5)
        process.join(5)
        where = f"(a child by {method})"
        assert process.exitcode is not None, f"hangs {where}"
        assert process.exitcode == 0, f"{fate(process.exitcode)} {where}"
        try:
            account([*numbers(500), bytes(1_000_000)], got, ordered=True)
        except AssertionError as error:
            raise AssertionError(f"{error} {where}") from None


# Exits

# More than the system's own buffers take, so that most of it is with the program when it ends.
LAST = [number + bytes(100_000) for number in numbers(300)]
FAREWELL = b"farewell"


async def nothing_else(_rt, _sock):
    """Only the messages that have just been sent."""


async def absent_peer(rt, _sock):
    """Another socket has a message for somebody who is not there, and a linger of a second."""
    KEPT.append(rt.new("PUSH", linger=1.0))
    KEPT[-1].connect("tcp://127.0.0.1:1")
    await rt.send(KEPT[-1], b"for nobody")


async def blocked_receiver(rt, _sock):
    """A daemon thread, a ratchet thread or a task is paused in a receive."""
    sock = rt.new("PULL", linger=...)
    rt.bind(sock, "tcp://127.0.0.1:*")
    KEPT.extend((sock, rt.spawn(rt.recv(sock))))
    await rt.paused(sock)


async def blocked_sender(rt, _sock):
    """The same in a send."""
    sock = rt.new("PUSH", linger=...)
    rt.bind(sock, "tcp://127.0.0.1:*")
    KEPT.extend((sock, rt.spawn(rt.send(sock, b"for nobody"))))
    await rt.paused(sock)


async def garbage_cycle(rt, _sock):
    """A socket that only the garbage collector can find."""
    cycle = [rt.new("PULL", linger=...)]
    rt.bind(cycle[0], "tcp://127.0.0.1:*")
    cycle.append(cycle)


async def exit_handler(rt, sock):
    """An exit handler sends the last message, unless the socket is closed."""
    atexit.register(lambda: sock.closed or rt.main(say_farewell, sock))


async def say_farewell(rt, sock):
    await rt.send(sock, FAREWELL, 1)


async def patient_thread(rt, _sock):
    """An OS thread that is no daemon, for which Python waits, is paused for a second."""
    other = ADAPTERS[rt.library, "threads"]()
    sock = other.new("PULL", linger=...)
    other.bind(sock, "tcp://127.0.0.1:*")
    KEPT.append(sock)

    def wait():
        with contextlib.suppress(*other.timeouts):
            other.main(type(other).recv, sock, 1)

    threading.Thread(target=wait).start()


async def lent_memory(rt, _sock):
    """A buffer is lent to a message that nobody receives, and one that was received is in use."""
    left, right = rt.pair("PAIR", "PAIR", "inproc://lent", linger=...)
    asks = {"track": True} if rt.library == "pyzmq" else {}
    for _ in range(2):
        tracker = await rt.finished(left.send(bytearray(1_000_000), copy=False, **asks))
        KEPT.append(tracker)
    frame = right.recv(copy=False) if rt.library == "pyzmq" else right.recv_frame()
    KEPT.extend((left, right, memoryview(await rt.finished(frame))))


STATES = (
    *(nothing_else, absent_peer, blocked_receiver, blocked_sender, garbage_cycle, exit_handler),
    *(patient_thread, lent_memory),
)
ENDS = {"close": 0, "fall off": 0, "exception": 1, "sys.exit": 3, "SIGTERM": 143}


def leave(rt, state, end, endpoint):
    """The program that ends."""
    # A handler of its own, as services have; by default the signal ends a process on the spot.
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit(ENDS["SIGTERM"]))
    rt.main(live, state, end, endpoint)


async def live(rt, state, end, endpoint):
    sock = rt.new("PUSH", linger=..., sndhwm=0)
    KEPT.append(sock)
    sock.connect(endpoint)
    await globals()[state](rt, sock)
    for message in LAST:
        await rt.send(sock, message)
    print("leaving", flush=True)
    if end == "close":
        sock.close()
    elif end == "exception":
        raise RuntimeError("the program's own")
    elif end == "sys.exit":
        sys.exit(ENDS[end])
    elif end == "SIGTERM":
        KEPT.append(rt.new("PULL", linger=...))
        rt.bind(KEPT[-1], "inproc://idle")
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        await rt.recv(KEPT[-1])


@scenario()
async def exits(rt, scale):
    """Whatever is open and however it ends: in time, with its status, and all it sent delivered."""
    matrix = list(itertools.product([state.__name__ for state in STATES], ENDS))
    faults = []
    for state, end in scale.of(scale.random.sample(matrix, 2), matrix):
        sink = rt.new("PULL", rcvhwm=10)
        endpoint = rt.bind(sink, "tcp://127.0.0.1:*")
        process = rt.program(
            *("scenarios_processes:leave", state, end, endpoint),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        process.stdout.readline()  # now it leaves
        await rt.sleep(0.3)  # who does not wait at the exit is gone by then
        sent = [*LAST, FAREWELL] if state == "exit_handler" and end != "close" else LAST
        got = await drain(rt, sink, len(sent), 1.5)
        try:
            status = process.wait(6)
            fault = fate(status) if status != ENDS[end] else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            fault = "hangs"
        if not fault:
            try:
                account(sent, got, ordered=True)
            except AssertionError as error:
                fault = str(error)
        if fault:
            faults.append((fault, state, end))
        sink.close()
    texts = [f"{fault} ({state.replace('_', ' ')}, {end})" for fault, state, end in faults[:2]]
    assert not faults, f"{len(faults)} of {scale.of(2, len(matrix))} exits: " + "; ".join(
        [*texts, *["…"] * (len(faults) > 2)]
    )
