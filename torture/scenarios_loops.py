"""Nothing starves, spins or sleeps through what it waits for."""

import contextlib
import time

from .scenario import numbers, scenario


@scenario("cooperative", "asyncio", "trio", "gevent")
async def busy_socket(rt, scale):
    """Beside a socket that always has a message, the others get their turns."""
    count = scale.of(20_000, 200_000)
    source, sink = rt.pair("PUSH", "PULL", "inproc://torture", sndhwm=0, rcvhwm=0)
    for message in numbers(count):
        await rt.send(source, message, 5)
    got = 0
    turns = [0]

    async def beat():
        while True:
            turns.append(got)
            await rt.sleep(0)

    beating = rt.spawn(beat())
    await rt.sleep(0)
    while got < count:
        await rt.recv(sink, 5)
        got += 1
    await rt.stop(beating)
    gaps = [after - before for before, after in zip(turns, [*turns[1:], count], strict=True)]
    assert max(gaps) < 5000, f"starves: {max(gaps)} messages in a row"


@scenario("cooperative", "asyncio", "trio", "gevent")
async def lost_wakeup(rt, scale):
    """A receiver gets its message although another caller's send answered the descriptor."""
    for n in range(scale.of(3, 30)):
        ours, theirs = rt.pair("DEALER", "DEALER", f"inproc://{n}")
        receiver = rt.spawn(rt.recv(ours))
        await rt.paused(ours)
        await rt.send(theirs, b"for the receiver")
        time.sleep(0.01)
        await rt.send(ours, b"answers the bell")
        try:
            assert await rt.join(receiver, 3) == b"for the receiver", "wrong: another message"
        except AssertionError as error:
            raise AssertionError(str(error).replace("hangs", "hangs: a lost wake-up")) from None


@scenario()
async def shared_traffic(rt, scale):
    """Callers that share sockets and set no timeout all come to an end: no wake-up is lost."""
    ends = rt.pair("DEALER", "DEALER", "inproc://torture", sndhwm=10, rcvhwm=10)
    count = scale.of(1000, 20_000)

    async def send(sock):
        for _ in range(count):
            await rt.send(sock, b"x")

    async def receive(sock):
        for _ in range(count):
            await rt.recv(sock)

    tasks = [rt.spawn(call(sock)) for sock in ends for call in (send, receive) for _ in range(2)]
    for task in tasks:
        await rt.join(task, scale.of(10, 60))


@scenario()
async def idle_waits(rt, scale):
    """Waiting takes no CPU time, also where the descriptor rang for what nobody waits for."""
    for prepare in (quiet, connected, half_way):
        sock, _other = await prepare(rt)
        await rt.sleep(0.1)
        seconds = scale.of(0.25, 2.0)
        before = time.process_time()
        began = time.monotonic()
        assert not await rt.poll(sock, seconds), "wrong: readable"
        used = time.process_time() - before
        assert time.monotonic() - began >= seconds - 0.001, "wrong: early"
        assert used < seconds / 4, f"spins: {used:.2f} s of CPU time in {seconds} s"


async def quiet(rt):
    """Nobody is there."""
    sock = rt.new("PULL")
    rt.bind(sock, "tcp://127.0.0.1:*")
    return sock, None


async def connected(rt):
    """A peer has come: the socket has become writable, and its descriptor rang."""
    return rt.pair("DEALER", "DEALER")


async def half_way(rt):
    """A message was taken, another receive gave up."""
    sock, other = rt.pair("DEALER", "DEALER")
    await rt.send(other, b"x")
    await rt.recv(sock, 5)
    with contextlib.suppress(*rt.timeouts):
        await rt.recv(sock, 0)
    return sock, other


@scenario()
async def counted_waits(rt, _scale):
    """A timeout ends the call it was given to, and no other caller's."""
    sock, other = rt.pair("DEALER", "DEALER", "inproc://torture")
    patient = rt.spawn(rt.recv(sock, 8))
    await rt.paused(sock)
    for _ in range(3):
        with contextlib.suppress(*rt.timeouts):
            await rt.recv(sock, 0.05)
            raise AssertionError("wrong: there was no message")
    await rt.send(other, b"for the patient one")
    assert await rt.join(patient, 3) == b"for the patient one", "wrong: another message"
