"""Busy tasks let the loop run; timeouts are exact; nothing is left of calls that are over."""

import asyncio
import gc
import time
import weakref

import pytest
from harness.internals import paused_calls
from harness.loops import BURST, alive, burst, drained, in_loop, link, paused
from harness.loops import until as turns_until
from harness.waiting import LONG, SHORT, Task, until

import ratchet
import ratchet.asyncio
from ratchet import Timeout

# Fairness


async def most_between_turns(counted, busy):
    """Run coroutines; how far the number that ``counted`` returns rose in one turn of the loop."""
    tasks = [asyncio.create_task(coroutine) for coroutine in busy]
    await asyncio.sleep(0)
    last, most, count = counted(), 0, 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        now = counted()
        last, most, count = now, max(most, now - last), count + 1
    await asyncio.gather(*tasks)
    return most, count


@pytest.mark.parametrize("limit", [1, 7, BURST])
@pytest.mark.parametrize("how", ["recv", "send", "both", "async for", "multipart"])
@in_loop
async def test_ready_calls_let_the_loop_run(how, limit):
    calls = 0
    with link("PAIR", "PAIR", sndhwm=0, rcvhwm=0) as (left, right), burst(limit):
        await drained(left)
        right.sync.send_many([b"x"] * 1000)

        async def work():
            nonlocal calls
            for _ in range(500):
                calls += 1
                if how == "both":
                    await left.send(b"x")
                    calls += 1
                    await left.recv()
                elif how == "multipart":
                    await left.recv_multipart()
                else:
                    await {"recv": left.recv, "send": lambda: left.send(b"x")}.get(
                        how, lambda: anext(left)
                    )()

        most, _ = await most_between_turns(lambda: calls, [work()])
        assert most <= limit + 1  # a call is counted before it is made


@in_loop
async def test_several_busy_tasks_let_the_loop_run():
    calls = [0] * 5
    with link(sndhwm=0, rcvhwm=0) as (pull, push), burst(10):
        await drained(pull)
        push.sync.send_many([b"x"] * 2000)

        async def work(n):
            for _ in range(400):
                calls[n] += 1
                await pull.recv()

        most, count = await most_between_turns(lambda: sum(calls), [work(n) for n in range(5)])
        assert most <= 5 * 11
        assert count >= 2000 / 55


@pytest.mark.parametrize("how", ["recv_many", "send_many"])
@in_loop
async def test_batches_let_the_loop_run(how):
    """A batch counts as what it moves: 128 batches of a thousand in a row would take too long."""
    moved = 0
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        if how == "recv_many":
            push.sync.send_many([b"x"] * 100_000)

        async def work():
            nonlocal moved
            while moved < 100_000:
                if how == "send_many":
                    moved += await push.send_many([b"x"] * 1000)
                else:
                    moved += len(await pull.recv_many(1000))

        most, _ = await most_between_turns(lambda: moved, [work()])
        assert most <= 2000


@pytest.mark.parametrize("how", ["recv", "recv_multipart", "recv_into", "send"])
@in_loop
async def test_large_messages_count_as_what_they_cost(how):
    """128 calls in a row that copy a megabyte each would hold up the loop for 50 ms or more."""
    data, calls = bytearray(1_000_000), 0
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        await drained(pull)
        if how != "send":
            push.sync.send_many([bytes(data)] * 50)

        async def work():
            nonlocal calls
            for _ in range(50):
                calls += 1
                if how == "send":
                    await push.send(data)
                elif how == "recv_into":
                    await pull.recv_into(data)
                else:
                    await getattr(pull, how)()

        most, count = await most_between_turns(lambda: calls, [work()])
        assert most <= 10
        assert count >= 5


@in_loop
async def test_one_huge_batch_lets_the_loop_run():
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        task = asyncio.create_task(push.send_many([b"x"] * 1_000_000))  # some 40 ms in one go
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        assert count > 2
        assert await task == 1_000_000
        assert pull.is_readable()


@in_loop
async def test_now_or_never_sends_all_that_can_go():
    with link(sndhwm=0, rcvhwm=0) as (_, push):
        assert await push.send_many([b"x"] * 400_000, timeout=0) == 400_000


@pytest.mark.parametrize("how", ["recv", "request"])
@in_loop
async def test_calls_that_fail_at_once_let_the_loop_run(how):
    failed = 0
    with link("REP", "REQ") as (rep, req), burst(4):
        await drained(rep)

        async def work():
            nonlocal failed
            for _ in range(100):
                with pytest.raises(ratchet.Error):
                    await (req.recv() if how == "recv" else req.request(b"x", timeout=0))
                failed += 1

        most, count = await most_between_turns(lambda: failed, [work()])
        assert most <= 5
        assert count >= 100 / 5 - 1


@pytest.mark.parametrize("calls", range(5))
@in_loop
async def test_a_call_that_lets_the_loop_run_keeps_its_place(calls):
    """Wherever the burst ends: a receive that finds nothing queues up before it lets others run."""
    with link(sndhwm=0, rcvhwm=0) as (pull, push), burst(4):
        await drained(pull)
        for _ in range(calls):
            await push.send(b"before")
        assert not calls or pull.sync.recv_many(calls)
        tasks = [asyncio.create_task(pull.recv_all()) for _ in range(3)]
        await paused(pull, 3)
        push.sync.send_many([b"1", b"2", b"3"])
        assert await asyncio.gather(*tasks) == [b"1", b"2", b"3"]


def test_the_first_call_of_an_os_thread_keeps_its_place():
    async def main():
        with link() as (pull, push):
            tasks = [asyncio.create_task(pull.recv_all()) for _ in range(3)]
            await paused(pull, 3)
            push.sync.send_many([b"1", b"2", b"3"])
            return await asyncio.gather(*tasks)

    assert Task(asyncio.run, main()).value() == [b"1", b"2", b"3"]


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001, 1.5, "1", None, True])
def test_a_wrong_burst(wrong):
    with pytest.raises((TypeError, ValueError), match="burst"):
        ratchet.asyncio.set_burst(wrong)


# Time


@in_loop
async def test_timeouts_are_exact_and_need_no_task():
    with link() as (pull, _), link() as (other, _):
        # What watches for a loop that cannot is there by then.
        beside = asyncio.create_task(other.recv())
        await paused(other)
        late = []
        for limit in (0.002, 0.005, 0.013, 0.02, 0.03):
            began = time.monotonic()
            task = asyncio.create_task(pull.recv(timeout=limit))
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 3
            with pytest.raises(Timeout):
                await task
            late.append(time.monotonic() - began - limit)
        assert min(late) >= 0
        assert sorted(late)[2] < 0.02
        order = []

        async def wait(limit):
            with pytest.raises(Timeout):
                await pull.recv(timeout=limit / 100)
            order.append(limit)

        await asyncio.gather(*map(wait, [3, 1, 4, 2]))
        assert order == [1, 2, 3, 4]
        beside.cancel()
        await asyncio.wait([beside])


@in_loop
async def test_a_message_at_the_deadline_is_taken():
    with link() as (pull, push):
        seconds = SHORT
        while True:
            task = asyncio.create_task(pull.recv(timeout=seconds))
            await turns_until(lambda task=task: paused_calls(pull) or task.done())
            if not task.done():
                break
            with pytest.raises(Timeout):
                await task
            seconds *= 2  # the machine is too busy for such a timeout
        push.sync.send(b"x")
        time.sleep(2 * seconds)  # noqa: ASYNC251 - both are due in the next turn
        assert await task == (b"x", False)


@in_loop
async def test_thousands_of_timeouts_leave_nothing():
    loop = asyncio.get_running_loop()
    with link("PAIR", "PAIR") as (left, right):
        patient = asyncio.create_task(right.recv(timeout=5000))  # without it the last would clear
        await paused(right)
        before = alive("TaskWaiter", "Future", "TimerHandle")
        for n in range(3000):
            task = asyncio.create_task(left.recv(timeout=1000 + n % 7))
            await asyncio.sleep(0)
            if n % 3:
                await right.send(b"x")
                await task
            else:
                task.cancel()
                await asyncio.wait([task])
        del task
        assert alive("TaskWaiter", "Future", "TimerHandle") < before + 300
        assert len(getattr(loop, "_scheduled", ())) < 100
        patient.cancel()


# Leaks


@pytest.mark.parametrize("how", ["received", "cancelled", "timed out", "by part"])
def test_nothing_holds_on_to_a_loop(in_new_loop, how):
    async def main():
        with link() as (pull, push):
            if how == "by part":
                await push.send_multipart([b"1", b"2"])
                await pull.recv()
            elif how == "timed out":
                with pytest.raises(Timeout):
                    await pull.recv(timeout=SHORT)
            else:
                task = asyncio.create_task(pull.recv(timeout=1000))
                await paused(pull)
                if how == "received":
                    await push.send(b"x")
                else:
                    task.cancel()
                await asyncio.wait([task])
            return weakref.ref(asyncio.get_running_loop()), weakref.ref(pull)

    loop, pull = in_new_loop(main())
    # A thread that watches for the loop may be about to tell it of the message still.
    until(lambda: (gc.collect(), loop(), pull())[1:] == (None, None))


@in_loop
async def test_tasks_and_contexts_are_let_go():
    with link() as (pull, push):

        async def once():
            await push.send_multipart([b"1", b"2"])
            await pull.recv()
            await asyncio.wait_for(pull.recv(), LONG)
            with pytest.raises(Timeout):
                await pull.recv(timeout=0.0001)

        await asyncio.create_task(once())
        await asyncio.sleep(0)
        kinds = ("Task", "Context", "Call", "TaskWaiter", "Caller", "Future")
        before = alive(*kinds)
        for _ in range(100):
            await asyncio.create_task(once())
        await asyncio.sleep(0)
        assert alive(*kinds) < before + 50


@in_loop
async def test_an_idle_socket_costs_no_turns():
    """A ring that nobody waits for is answered once, and does not spin."""
    loop = asyncio.get_running_loop()
    with link() as (pull, push):
        task = asyncio.create_task(pull.recv())
        await paused(pull)
        await push.send(b"x")
        await task
        await push.send(b"y")
        await asyncio.sleep(SHORT)
        began = time.process_time()
        await asyncio.sleep(0.1)
        assert time.process_time() - began < 0.05
        assert loop.is_running()
        assert await pull.recv_all() == b"y"
