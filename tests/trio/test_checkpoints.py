"""Each call is a checkpoint of trio's: it hears of cancellation, ready or not, and loses none."""

import random
import types

import pytest
import trio
from harness import sockets
from harness.internals import paused_calls, read_of_trio
from harness.waiting import LONG
from trio.testing import wait_all_tasks_blocked

import ratchet.trio
from ratchet import Timeout
from ratchet.trio import new

RECEIVES = {**sockets.RECEIVES, "async for": anext}
BURST = 128  # the default of set_burst


async def paused(zsock, count=1):
    while paused_calls(zsock) < count:
        await trio.lowlevel.checkpoint()


@pytest.fixture
def narrow(make, inproc):
    """A PULL and a PUSH with room for few messages."""
    pull, push = make("PULL", rcvhwm=1), make("PUSH", sndhwm=1)
    push.connect(pull.bind(inproc))
    return pull, push


@pytest.mark.parametrize("call", RECEIVES.values(), ids=RECEIVES)
@pytest.mark.parametrize("shown", ["cancelled", "late"])
def test_a_ready_receive_in_a_cancelled_scope_takes_nothing(in_trio, pair, call, shown):
    pull, push = pair

    async def main():
        await push.send(b"there")
        with trio.CancelScope() as scope:
            if shown == "cancelled":
                scope.cancel()
            else:
                scope.deadline = trio.current_time() - 1
                await trio.lowlevel.cancel_shielded_checkpoint()
            await call(pull)
            raise AssertionError("it was no checkpoint")
        assert scope.cancelled_caught
        assert await pull.recv(timeout=0) == (b"there", False)

    in_trio(main)


@pytest.mark.parametrize("call", sockets.SENDS.values(), ids=sockets.SENDS)
def test_a_ready_send_in_a_cancelled_scope_sends_nothing(in_trio, pair, call):
    pull, push = pair

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            await call(push)
            raise AssertionError("it was no checkpoint")
        assert scope.cancelled_caught
        with pytest.raises(Timeout):
            await pull.recv(timeout=0)

    in_trio(main)


def test_a_shield_protects(in_trio, pair):
    pull, push = pair

    async def main():
        with trio.CancelScope() as outer:
            outer.cancel()
            with trio.CancelScope(shield=True):
                await push.send(b"safe")
                assert await pull.recv() == (b"safe", False)
        assert not outer.cancelled_caught

    in_trio(main)


@pytest.mark.parametrize("burst", [1, 7, BURST])
def test_ready_calls_let_the_others_run(in_trio, pair, burst):
    pull, push = pair

    async def main():
        await push.send_many([b"x"] * 900)
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await trio.lowlevel.checkpoint()
            before = turns
            for _ in range(900):
                await pull.recv()
            assert 900 // burst - 2 <= turns - before <= 900 // burst + 2
            nursery.cancel_scope.cancel()

    ratchet.trio.set_burst(burst)
    try:
        in_trio(main)
    finally:
        ratchet.trio.set_burst(BURST)


def test_ready_calls_end_with_a_deadline(in_trio, pair):
    pull, push = pair

    async def main():
        with trio.move_on_after(0.05) as scope:
            while True:
                await push.send(b"x")
                await pull.recv()
        assert scope.cancelled_caught

    in_trio(main)


@pytest.mark.parametrize("fields", ["others", "none"])
def test_another_trio_whose_fields_are_not_known(in_trio, make, inproc, monkeypatch, fields):
    """Then each call makes trio's own check."""
    asked = []
    read_of_trio(monkeypatch, None if fields == "none" else types.SimpleNamespace(task=object()))
    pull, push = make("PULL"), make("PUSH")
    push.connect(pull.bind(inproc))

    def check():
        asked.append(True)
        return trio.lowlevel.checkpoint_if_cancelled()  # noqa: ASYNC105 - the call runs it

    monkeypatch.setattr(ratchet.trio, "checkpoint_if_cancelled", check)

    async def main():
        await push.send(b"x")
        await pull.recv()
        assert len(asked) == 2

    in_trio(main)


def test_a_cancelled_receive_leaves_its_line_and_what_it_watched(in_trio, pair):
    pull, push = pair

    async def main():
        with trio.move_on_after(0.001):
            await pull.recv()
        assert paused_calls(pull) == 0
        await push.send(b"next")
        assert await pull.recv_all(timeout=0) == b"next"

    in_trio(main)


def received_by_two(in_trio, pair, meanwhile):
    """What two tasks receive that are paused when `meanwhile` is awaited and may cancel one."""
    pull, push = pair
    got = []

    async def receive(scope):
        with scope:
            got.append(await pull.recv_all())

    async def main():
        scopes = [trio.CancelScope() for _ in range(2)]
        async with trio.open_nursery() as nursery:
            for n, scope in enumerate(scopes, 1):
                nursery.start_soon(receive, scope)
                await paused(pull, n)
            await meanwhile(push, scopes[0])

    in_trio(main)
    return got


def test_a_cancel_just_after_the_wake_up_passes_it_on(in_trio, pair):
    """The first waiter is woken and cancelled before it runs; the second gets the message."""

    async def meanwhile(push, scope):
        await push.send(b"one")  # wakes the first
        scope.cancel()

    assert received_by_two(in_trio, pair, meanwhile) == [b"one"]


def test_a_cancel_just_before_the_wake_up(in_trio, pair):
    async def meanwhile(push, scope):
        scope.cancel()  # it is rescheduled, and has not run
        await push.send(b"one")

    assert received_by_two(in_trio, pair, meanwhile) == [b"one"]


def test_select_is_a_checkpoint(in_trio, pair):
    """Ready or not, in a cancelled scope it raises; cancelled while it waits, it leaves nothing."""
    pull, push = pair

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            await ratchet.trio.select([push], [push])
            raise AssertionError("it was no checkpoint")
        assert scope.cancelled_caught
        with trio.move_on_after(0.001) as scope:
            await ratchet.trio.select([pull])
        assert scope.cancelled_caught
        await push.send(b"one")
        assert await ratchet.trio.select([pull], timeout=LONG) == ([pull], [])
        assert await pull.recv_all(timeout=0) == b"one"
        assert await ratchet.trio.select([pull], timeout=0.001) == ([], [])

    in_trio(main)


def test_a_cancelled_send_sent_nothing_and_is_repeated(in_trio, narrow):
    pull, push = narrow

    async def main():
        sent = await sockets.afill(push)
        with trio.move_on_after(0.005) as scope:
            await push.send_multipart([b"never", b"sent"])
        assert scope.cancelled_caught
        for n in range(sent):
            assert await pull.recv_multipart() == [b"%d" % n]
        with pytest.raises(Timeout):
            await pull.recv(timeout=0.01)

    in_trio(main)


def test_send_many_that_is_cancelled_tells_how_many_went(in_trio, narrow):
    pull, push = narrow

    async def main():
        call = push.send_many([b"%d" % n for n in range(100)])
        with trio.move_on_after(0.01):
            await call
        assert 0 < call.taken < 100
        assert [await pull.recv_all(timeout=1) for _ in range(call.taken)] == [
            b"%d" % n for n in range(call.taken)
        ]

    in_trio(main)


def test_timeouts_of_many_tasks_in_their_order(in_trio, make):
    """Those that are short end though longer ones were set before and after, and these do not.

    The long ones are too long to end here, however busy the machine is. Of two that are over at
    once, trio runs either first.
    """
    pull, ended = make("PULL"), []

    async def main():
        async def wait(seconds):
            began = trio.current_time()
            with pytest.raises(Timeout):
                await pull.recv(timeout=seconds)
            assert trio.current_time() - began >= seconds
            ended.append(seconds)

        expected = []
        async with trio.open_nursery() as nursery:
            for n in range(1, 6):
                short = [0.001 * n, 0.002 * n]
                limits = [*short, *(100 * LONG + m for m in (n, -n))]
                for seconds in random.sample(limits, len(limits)):
                    nursery.start_soon(wait, seconds)
                expected += short
                while len(ended) < len(expected):
                    await trio.lowlevel.checkpoint()
                assert sorted(ended) == sorted(expected)
            nursery.cancel_scope.cancel()

    in_trio(main)


def test_a_nursery_with_a_thousand_sockets(in_trio):
    async def main():
        count = 1000
        served = set()

        async def serve(rep):
            async for data in rep:
                await rep.send(data)

        async def ask(n, req):
            await req.send(b"%d" % n)
            served.add(int(await req.recv_all()))

        pairs = [(new("REP", linger=0), new("REQ", linger=0)) for _ in range(count // 2)]
        async with trio.open_nursery() as servers:
            for n, (rep, req) in enumerate(pairs):
                rep.bind(f"inproc://thousand-{n}")
                req.connect(f"inproc://thousand-{n}")
                servers.start_soon(serve, rep)
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as clients:
                for n, (_, req) in enumerate(pairs):
                    clients.start_soon(ask, n, req)
            assert served == set(range(count // 2))
            for sockets_of_one in pairs:
                for zsock in sockets_of_one:
                    zsock.close()

    in_trio(main)


def test_a_call_is_what_a_nursery_starts(in_trio, pair):
    pull, push = pair

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull.recv)
            await paused(pull)
            await push.send(b"x")

    in_trio(main)


def test_what_a_paused_task_awaits_can_be_walked(in_trio, pair):
    pull, push = pair

    async def main():
        tasks = []

        async def receive():
            tasks.append(trio.lowlevel.current_task())
            await pull.recv()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await paused(pull)
            names = [frame.f_code.co_name for frame, _ in tasks[0].iter_await_frames()]
            assert names[0] == "receive"
            await push.send(b"x")

    in_trio(main)


def test_trackers_are_awaited(in_trio, pair):
    pull, push = pair

    async def main():
        tracker = await push.send(bytearray(100_000), copy=False)
        with trio.move_on_after(0.001) as scope:
            await tracker
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(waited, tracker)
            await wait_all_tasks_blocked()
            await pull.recv()
        assert tracker.done
        with trio.CancelScope() as scope:
            scope.cancel()
            await tracker
        assert scope.cancelled_caught

    async def waited(tracker):
        await tracker

    in_trio(main)
