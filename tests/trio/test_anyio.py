"""`ratchet.anyio` gives what belongs to whichever loop runs, on both of anyio's backends."""

import anyio
import anyio.lowlevel
import pytest
from harness import behaviour
from harness.internals import paused_calls
from harness.runtimes import AnyioTasks, AnyioTrioTasks
from harness.waiting import LONG

import ratchet.anyio
import ratchet.asyncio
import ratchet.trio
from ratchet import ClosedError, StateError, Timeout

KINDS = [type(kind.__name__, (behaviour.Tested, kind), {}) for kind in (AnyioTasks, AnyioTrioTasks)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def rt(request):
    return request.param()


def test_it_is_the_socket_of_the_loop_that_runs(rt, inproc):
    async def main(rt):
        pull, push = await rt.link("PULL", "PUSH", inproc)
        module = {"asyncio": ratchet.asyncio, "trio": ratchet.trio}[rt.kind]
        assert type(pull.zsock) is module.ZMQSocket
        assert isinstance(pull.zsock, ratchet.anyio.ZMQSocket)
        task = rt.spawn(pull.recv_all())
        await rt.paused(pull, 1)
        await push.send(b"x")
        assert await rt.join(task) == b"x"

    rt.run(main)


def test_select_is_that_of_the_loop_that_runs(rt, inproc):
    async def main(rt):
        pull, push = await rt.link("PULL", "PUSH", inproc)
        select = ratchet.anyio.select
        assert await select([pull.zsock], [push.zsock]) == ([], [push.zsock])
        assert await select([pull.zsock], timeout=0) == ([], [])
        assert await select([pull.zsock], timeout=0.001) == ([], [])
        with anyio.move_on_after(0.002) as scope:
            await select([pull.zsock])
        assert scope.cancelled_caught
        task = rt.spawn(select([pull.zsock], timeout=LONG))
        await rt.turn()
        await push.send(b"x")
        assert await rt.join(task) == ([pull.zsock], [])
        assert await pull.recv_all() == b"x"
        task = rt.spawn(select([pull.zsock], timeout=LONG))
        await rt.turn()
        pull.close()
        with pytest.raises(ClosedError, match="PULL"):
            await rt.join(task)

    rt.run(main)


def test_cancel_scopes_lose_nothing(rt, inproc):
    async def main(rt):
        pull, push = await rt.link("PULL", "PUSH", inproc)
        for n in range(100):
            with anyio.move_on_after(0.0005 * (n % 3)):
                await push.send(b"%d" % n)
                continue
            await push.send(b"%d" % n)
        got = []
        while len(got) < 100:
            with anyio.move_on_after(0.0005):
                got.append(int(await pull.recv_all()))
        assert got == list(range(100))
        with pytest.raises(TimeoutError), anyio.fail_after(0.002):
            await pull.recv()
        with pytest.raises(Timeout):
            await pull.recv(timeout=0.001)
        assert paused_calls(pull) == 0

    rt.run(main)


def test_where_no_loop_runs_it_is_refused():
    with pytest.raises(StateError, match=r"ratchet\.asyncio\.new or ratchet\.trio\.new"):
        ratchet.anyio.new("PULL")
    waits = ratchet.anyio.select([])
    with pytest.raises(StateError, match=r"ratchet\.asyncio\.select or ratchet\.trio\.select"):
        waits.send(None)
