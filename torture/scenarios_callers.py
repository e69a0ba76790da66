"""Any number of callers may use one socket at once, and any of them may close it."""

import asyncio
import contextlib

from .scenario import account, scenario


@scenario()
async def many_callers(rt, scale):
    """2 to 16 callers do what they like with one socket: nothing is lost, doubled or torn."""
    for callers in scale.of((8,), (2, 4, 8, 16)):
        for endpoint in (f"inproc://{callers}", "tcp://127.0.0.1:*"):
            await mingle(rt, scale, callers, endpoint)


async def mingle(rt, scale, callers, endpoint):
    """Every caller sends to the other end of the pair and receives at both ends."""
    ends = rt.pair("DEALER", "DEALER", endpoint, sndhwm=50, rcvhwm=50)
    sent = []
    got = []

    async def receive(sock, patience):
        try:
            got.append(await rt.recv_parts(sock, patience))
        except rt.timeouts:
            return False
        return True

    async def call(index):
        for n in range(scale.of(60, 600)):
            sock = ends[scale.random.randrange(2)]
            act = scale.random.randrange(10)
            if act < 4:
                name = b"%d.%d" % (index, n)
                parts = [name] * scale.random.choice([1, 1, 2, 5])
                with contextlib.suppress(*rt.timeouts):
                    await rt.send_parts(sock, parts, 0.01)
                    sent.append(parts)
            elif act < 8:
                await receive(sock, scale.random.choice([0, 0.0005, 0.005]))
            elif act == 8:
                _ = sock.sndhwm, sock.fileno(), sock.last_endpoint
            else:
                await rt.sleep(0)

    tasks = [rt.spawn(call(index)) for index in range(callers)]
    for task in tasks:
        await rt.join(task, 20)
    for sock in ends:
        while await receive(sock, 0.2):
            pass
    assert all(len(set(parts)) == 1 for parts in got), "torn"
    account([tuple(parts) for parts in sent], [tuple(parts) for parts in got])
    for sock in ends:
        sock.close()


OF_RATCHET = (
    lambda sock: sock.send(bytes(200_000), timeout=0.001),  # which is copied without the GIL
    lambda sock: sock.send_multipart([b"a", bytes(200_000), b"c"], timeout=0.001),
    lambda sock: sock.send_many([b"m"] * 600, timeout=0.001),
    lambda sock: sock.send(b"part", True, timeout=0.001),
    lambda sock: sock.recv(timeout=0.001),
    lambda sock: sock.recv_many(300, timeout=0.001),
    lambda sock: sock.recv_frames(timeout=0.001),
)


@scenario()
async def closed_by_a_caller(rt, scale):
    """2 to 16 callers do what they like with one socket, until one closes it: every call ends."""
    for n in range(scale.of(4, 40)):
        endpoint = (f"inproc://{n}", "tcp://127.0.0.1:*")[n % 2]
        ends = rt.pair("DEALER", "DEALER", endpoint, sndhwm=9, rcvhwm=9)

        async def call(ends=ends):
            for _ in range(scale.random.randrange(20, 100)):
                sock = ends[scale.random.randrange(2)]
                act = scale.random.randrange(10)
                with contextlib.suppress(*rt.errors, asyncio.CancelledError):
                    if act < 4:
                        await rt.send_parts(sock, [b"x"] * scale.random.choice([1, 2, 5]), 0.01)
                    elif act < 8:
                        await rt.recv_parts(sock, scale.random.choice([0, 0.0005, 0.005]))
                    elif act == 8:
                        _ = sock.sndhwm, sock.fileno(), sock.last_endpoint
                    elif scale.random.random() < 0.1:
                        sock.close()
                    elif rt.library == "ratchet":
                        await rt.finished(scale.random.choice(OF_RATCHET)(sock))
                await rt.sleep(0)

        async def wait(sock):
            with contextlib.suppress(*rt.errors, asyncio.CancelledError):
                while True:
                    await rt.recv(sock)

        patient = [rt.spawn(wait(sock)) for sock in ends]
        tasks = [rt.spawn(call()) for _ in range(scale.random.choice([2, 4, 8, 16]))]
        for task in tasks:
            await rt.join(task)
        for sock in ends:
            sock.close()
        for task in patient:
            await rt.join(task, 5)


@scenario()
async def closed_under_callers(rt, scale):
    """`close()` while others receive ends their calls with an error, and no timeout is needed."""
    for n in range(scale.of(5, 50)):
        sock = rt.new(scale.random.choice(["PULL", "DEALER", "PAIR", "ROUTER"]))
        rt.bind(sock, scale.random.choice([f"inproc://{n}", "tcp://127.0.0.1:*"]))
        callers = scale.random.randrange(2, scale.of(6, 16))
        tasks = [rt.spawn(rt.recv(sock)) for _ in range(callers)]
        if n % 2:
            await rt.paused(sock, callers)
        sock.close()
        for task in tasks:
            try:
                await rt.join(task, 3)
            except AssertionError as error:
                if str(error) == "hangs":
                    raise
                ended = error  # gevent has some of its own
            except BaseException as error:  # noqa: BLE001 - any error is an end
                ended = error
            else:
                raise AssertionError("wrong: a receive returned")
            assert not isinstance(ended, rt.timeouts), "wrong: a timeout"
