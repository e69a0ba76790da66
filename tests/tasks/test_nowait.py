"""Calls of asyncio sockets that are not awaited: now or `Timeout`."""

import asyncio
import threading

import pytest
from harness.internals import paused_calls, watched_by
from harness.loops import BURST, drained, in_loop, link, paused, turns
from harness.sockets import LARGE, fill
from harness.waiting import LONG, Task

import ratchet
import ratchet.asyncio
from ratchet import ArgumentError, ClosedError, StateError, Timeout

RECEIVES = ["recv_nowait", "recv_multipart_nowait"]


def nothing(call, *args):
    with pytest.raises(Timeout):
        call(*args)


@in_loop
async def test_whole_messages():
    with link() as (pull, push):
        nothing(pull.recv_nowait)
        nothing(pull.recv_multipart_nowait)
        assert push.send_nowait(b"1") is None
        assert push.send_multipart_nowait([b"2", b"3"]) is None
        assert pull.recv_nowait() == (b"1", False)
        assert pull.recv_multipart_nowait() == [b"2", b"3"]
        push.send_multipart_nowait(iter([b"4", LARGE]))
        assert pull.recv_nowait() == (b"4", True)
        assert pull.is_rcvmore()
        assert pull.recv_multipart_nowait() == [LARGE]
        nothing(pull.recv_nowait)


@in_loop
async def test_the_result_is_no_awaitable():
    with link() as (pull, push):
        assert push.send_nowait(b"1") is None
        assert type(pull.recv_nowait()) is tuple


@in_loop
async def test_without_a_copy():
    with link() as (pull, push):
        tracker = push.send_nowait(bytearray(LARGE), copy=False)
        both = push.send_multipart_nowait([bytearray(LARGE), b"x"], copy=False)
        assert await pull.recv_all() == LARGE
        await tracker
        assert pull.recv_multipart_nowait() == [LARGE, b"x"]
        await both


@in_loop
async def test_no_room():
    with link("PUSH", "PULL", left_sndhwm=1, right_rcvhwm=1) as (push, pull):
        for _ in range(100):
            try:
                push.send_nowait(b"x")
            except Timeout:
                break
        nothing(push.send_nowait, b"x")
        nothing(push.send_multipart_nowait, [b"x", b"y"])
        assert paused_calls(push) == 0
        await pull.recv()


@in_loop
async def test_a_message_across_both_ways_to_call():
    """A message that is begun is the task's, whichever way it goes on."""
    with link() as (pull, push):
        push.send_nowait(b"1", True)
        await push.send(b"2", more=True)
        push.send_nowait(b"3", more=True)
        nothing(pull.recv_nowait)  # a message goes whole
        await push.send(b"4")
        assert await pull.recv() == (b"1", True)
        assert pull.recv_nowait() == (b"2", True)
        assert await pull.recv() == (b"3", True)
        assert pull.recv_nowait() == (b"4", False)
        push.send_nowait(b"5", True)
        push.send_multipart_nowait([b"6", b"7"])
        assert pull.recv_nowait() == (b"5", True)
        assert await pull.recv_all() == b"67"


@in_loop
async def test_another_tasks_message():
    """It goes on while the others are told to come again."""
    with link() as (pull, push):
        sending, send, receiving, receive = (asyncio.Event() for _ in range(4))

        async def parts():
            push.send_nowait(b"a1", True)
            sending.set()
            await send.wait()
            push.send_nowait(b"a2", True)
            push.send_nowait(b"a3")
            first = pull.recv_nowait()
            receiving.set()
            await receive.wait()
            return [first[0], *pull.recv_multipart_nowait()]

        task = asyncio.create_task(parts())
        await sending.wait()
        nothing(push.send_nowait, b"b")
        nothing(push.send_nowait, b"b", True)
        nothing(push.send_multipart_nowait, [b"b"])
        with pytest.raises(Timeout):
            push.sync.send(b"b", timeout=0)
        send.set()
        await receiving.wait()
        push.send_nowait(b"b")
        nothing(pull.recv_nowait)
        nothing(pull.recv_multipart_nowait)
        receive.set()
        assert await task == [b"a1", b"a2", b"a3"]
        assert pull.recv_nowait() == (b"b", False)


@pytest.mark.parametrize("half", ["send", "receive"])
@in_loop
async def test_a_task_that_ends_in_the_middle(half):
    with link() as (pull, push):

        async def begin():
            if half == "send":
                push.send_nowait(b"lost", True)
            else:
                push.send_multipart_nowait([b"1", b"lost"])
                assert pull.recv_nowait() == (b"1", True)

        await asyncio.create_task(begin())
        await turns(2)
        push.send_nowait(b"next")
        assert pull.recv_nowait() == (b"next", False)


@pytest.mark.parametrize("name", RECEIVES)
@in_loop
async def test_who_waits_goes_first(name):
    """A message that is there belongs to the task that has waited for it."""
    with link() as (pull, push):
        await drained(pull)
        task = asyncio.create_task(pull.recv_all())
        await paused(pull)
        push.send_nowait(b"1")
        nothing(getattr(pull, name))
        assert await task == b"1"
        push.send_nowait(b"2")
        assert getattr(pull, name)() in ((b"2", False), [b"2"])


@in_loop
async def test_an_os_thread_that_waits_goes_first():
    with link() as (pull, push):
        task = Task(lambda: pull.sync.recv_all(timeout=LONG))
        await paused(pull)
        push.send_nowait(b"1")
        try:
            assert pull.recv_nowait() == (b"2", False)
        except Timeout:
            pass
        assert task.value() == b"1"


@in_loop
async def test_a_sender_that_waits_goes_first():
    with link("PUSH", "PULL", left_sndhwm=1, right_rcvhwm=1) as (push, pull):
        sent = fill(push.sync)
        task = asyncio.create_task(push.send(b"first"))
        await paused(push)
        for n in range(sent):
            assert await pull.recv_all() == b"%d" % n
        nothing(push.send_nowait, b"second")
        await task
        push.send_nowait(b"second")
        assert [await pull.recv_all(), await pull.recv_all()] == [b"first", b"second"]


@in_loop
async def test_nobody_is_kept_waiting_by_one_that_gave_up():
    """What woke it is passed on."""
    with link("PAIR", "PAIR") as (left, right):
        tasks = [asyncio.create_task(left.recv_all()) for _ in range(3)]
        await paused(left, 3)
        for n in range(3):
            right.send_nowait(b"%d" % n)
            if n == 0:
                nothing(left.recv_nowait)
        assert await asyncio.gather(*tasks) == [b"0", b"1", b"2"]


@in_loop
async def test_lock_step():
    with link("REP", "REQ") as (rep, req):
        with pytest.raises(StateError):
            req.recv_nowait()
        req.send_nowait(b"q")
        with pytest.raises(StateError):
            req.send_nowait(b"q")
        nothing(req.recv_nowait)
        assert rep.recv_nowait() == (b"q", False)
        rep.send_multipart_nowait([b"a"])
        assert req.recv_multipart_nowait() == [b"a"]


@in_loop
async def test_errors():
    with link() as (pull, push):
        for call in (pull.recv_nowait, pull.recv_multipart_nowait):
            with pytest.raises(TypeError):
                call(timeout=1)
        with pytest.raises(TypeError):
            push.send_nowait("text")
        with pytest.raises(ArgumentError):
            push.send_multipart_nowait([])
        with pytest.raises(ratchet.Error):
            push.recv_nowait()
        with pytest.raises(ratchet.Error):
            pull.send_nowait(b"x")
    for call in (pull.recv_nowait, pull.recv_multipart_nowait, lambda: push.send_nowait(b"x")):
        with pytest.raises(ClosedError):
            call()


@in_loop
async def test_the_loop_has_its_turns_from_the_calls_that_are_awaited():
    with link("PAIR", "PAIR") as (left, right):
        turned = []
        asyncio.get_running_loop().call_soon(turned.append, 1)
        for _ in range(BURST):
            right.send_nowait(b"x")
            left.recv_nowait()
        assert not turned  # nothing was awaited
        await right.send(b"x")
        assert turned


@in_loop
async def test_callbacks():
    """Whatever runs in the loop may make them; each belongs to its context."""
    with link() as (pull, push):
        done = asyncio.get_running_loop().create_future()

        def called():
            push.send_nowait(b"1", True)
            push.send_nowait(b"2")
            done.set_result(pull.recv_multipart_nowait())

        asyncio.get_running_loop().call_soon(called)
        assert await done == [b"1", b"2"]


def test_without_a_loop():
    """They are the OS thread's then."""
    with link() as (pull, push):
        push.send_nowait(b"1", True)
        with pytest.raises(Timeout):
            Task(push.send_nowait, b"other").value()
        push.send_nowait(b"2")
        assert pull.recv_nowait() == (b"1", True)
        assert pull.recv_multipart_nowait() == [b"2"]
        nothing(pull.recv_nowait)


@in_loop
async def test_two_loops():
    """A half message of this one's is not the other's to finish."""
    with link() as (pull, push):
        push.send_nowait(b"1", True)

        def other():
            async def main():
                nothing(push.send_nowait, b"x")
                nothing(push.send_nowait, b"x", True)

            asyncio.run(main())

        thread = threading.Thread(target=other)
        thread.start()
        while thread.is_alive():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        push.send_nowait(b"2")
        assert pull.recv_multipart_nowait() == [b"1", b"2"]


@in_loop
async def test_no_reader_is_made_for_them():
    """Not even while others wait in the line."""
    with link() as (pull, push):
        task = Task(lambda: pull.sync.recv_all(timeout=LONG))
        await paused(pull)
        nothing(pull.recv_nowait)
        assert pull.get_fd() not in watched_by(asyncio.get_running_loop())
        push.send_nowait(b"x")
        assert task.value() == b"x"
