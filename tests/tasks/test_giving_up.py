"""Calls that are cancelled, or given up by a timeout, at every step: nothing is lost."""

import asyncio
import contextlib
import functools

import pytest
from harness.internals import paused_calls, watched_by
from harness.loops import RECEIVES, burst, drained, in_loop, link, paused, turns, until
from harness.sockets import SENDS, fill, messages
from harness.waiting import LONG, SHORT

import ratchet.asyncio
from ratchet import Timeout


async def by_cancel(rng, call):
    task = asyncio.create_task(call())
    try:
        await turns(rng.randrange(5))
    finally:
        task.cancel()
    return await task


async def by_timeout(rng, call):
    async with asyncio.timeout(rng.choice([0, 0, 0.0005])):
        return await call()


async def by_wait_for(rng, call):
    return await asyncio.wait_for(call(), rng.choice([0.00001, 0.0005]))


async def by_argument(rng, call):
    return await call(timeout=rng.choice([0, 0, 0.00001, 0.0005]))


GAVE_UP = (asyncio.CancelledError, TimeoutError)
WAYS = [by_cancel, by_timeout, by_wait_for, by_argument]
PAIRS = [  # who receives, who sends
    *(("PULL", "PUSH"), ("PAIR", "PAIR"), ("DEALER", "DEALER"), ("ROUTER", "DEALER")),
    *(("DEALER", "ROUTER"), ("SUB", "XPUB"), ("XSUB", "XPUB"), ("SUB", "PUB"), ("XPUB", "XSUB")),
]


async def introduce(receiver, sender):
    """Whatever must have been said before the first message; what each message begins with."""
    if "SUB" in receiver.type:
        receiver.subscribe(b"")
        if sender.type == "XPUB":
            # Inproc, a socket hears of its peer when it is called, and then subscribes there.
            await until(lambda: not receiver.is_readable() and sender.is_readable())
            await sender.recv()
        else:
            while not receiver.is_readable():
                await sender.send(b"")
                await asyncio.sleep(0)
            while receiver.is_readable():
                assert await receiver.recv_all() == b""
    if sender.type == "ROUTER":
        await receiver.send(b"I am here")
        return [(await sender.recv_multipart())[0]]
    return []


def kept(made, method, *args):
    """A function that makes a call, and adds it to ``made``."""

    def call(**options):
        made.append(method(*args, **options))
        return made[-1]

    return call


@pytest.mark.parametrize("how", ["recv_all", "recv_multipart", "recv_many", "parts"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
@in_loop
async def test_no_message_is_lost_to_a_receive_that_gives_up(rng, left, right, how):
    with link(left, right, sndhwm=0, rcvhwm=0) as (receiver, sender):
        head = await introduce(receiver, sender)
        sent = [b"%d" % n for n in range(120)]
        got, gave_up = [], 0

        async def send():
            for data in sent:
                await sender.send_multipart([*head, b"<", data, b">"])
                await turns(rng.choice([0, 0, 1, 5]))
                if not rng.randrange(20):
                    await asyncio.sleep(0.0007)

        task = asyncio.create_task(send())
        name = "recv" if how == "parts" else how
        rest = b""
        while len(got) < len(sent):
            try:
                found = await rng.choice(WAYS)(rng, functools.partial(RECEIVES[name], receiver))
            except GAVE_UP:
                gave_up += 1
                continue
            if how == "parts":  # a message by part, and every part may be given up on
                rest += found[0]
                if found[1]:
                    continue
                found, rest = rest, b""
            elif how == "recv_multipart":
                found = b"".join(found)
            got += messages(found)
        await task
        assert [data[data.rindex(b"<") :] for data in got] == [b"<%s>" % data for data in sent]
        assert gave_up


@pytest.mark.parametrize(("left", "right"), [("REP", "REQ"), ("ROUTER", "REQ"), ("REP", "DEALER")])
@in_loop
async def test_no_question_and_no_answer_is_lost(rng, left, right):
    """REQ and REP take turns, so what is lost would be a StateError or a hang."""

    async def insist(call):
        while True:
            with contextlib.suppress(*GAVE_UP):
                return await rng.choice(WAYS)(rng, call)

    with link(left, right) as (server, client):
        for n in range(80):
            empty = [b""] if right == "DEALER" else []
            parts = [*empty, b"%d" % n, b"?"]
            await insist(lambda parts=parts, **k: client.send_multipart(parts, **k))
            asked = await insist(server.recv_multipart)
            assert asked[-2:] == [b"%d" % n, b"?"]
            await insist(lambda asked=asked, **k: server.send_multipart(asked, **k))
            assert await insist(client.recv_multipart) == parts


@pytest.mark.parametrize("how", ["send", "parts", "send_multipart", "send_many"])
@pytest.mark.parametrize(
    ("left", "right"), [("PULL", "PUSH"), ("PAIR", "PAIR"), ("DEALER", "DEALER")]
)
@in_loop
async def test_a_send_that_gives_up_is_done_or_not_done(rng, left, right, how):
    """What was not cancelled arrives, what was does not, and nothing arrives in halves."""
    with link(left, right, rcvhwm=2, sndhwm=2) as (receiver, sender):
        sent, got, gave_up = [], [], 0

        async def receive():
            while True:
                message = await receiver.recv_multipart()
                if message == [b"end"]:
                    return
                got.append(message)
                await turns(rng.choice([0, 1, 10, 20]))

        task = asyncio.create_task(receive())
        for n in range(100):
            message = [b"%d-%d" % (n, i) for i in range(rng.randint(1, 4))]
            made = []
            try:
                if how == "send_multipart":
                    call = functools.partial(sender.send_multipart, message)
                    await rng.choice(WAYS)(rng, call)
                elif how == "send_many":
                    await rng.choice(WAYS)(rng, kept(made, sender.send_many, message))
                else:
                    message = message if how == "parts" else message[:1]
                    for part in message[:-1]:
                        await sender.send(part, True)
                    call = functools.partial(sender.send, message[-1])
                    await rng.choice(WAYS)(rng, call)
            except GAVE_UP:
                gave_up += 1
                if how == "send_many":
                    sent += [[part] for part in message[: made[0].taken]]
                    continue
                if how != "parts":
                    continue
                await sender.send(message[-1])  # the earlier parts are still kept
            sent += [[part] for part in message] if how == "send_many" else [message]
        await sender.send(b"end")
        await task
        assert got == sent
        assert gave_up


# One step at a time


async def step_to(at, call):
    """Drive a coroutine to there; what it waits for.

    The burst is one, so a call that could go on at once yields first.
    """
    if at == "new":
        return None
    future = call.send(None)
    assert (future is None) == (at == "yielded")
    return future


def end_by(end, call):
    if end == "close":
        call.close()
    else:
        with pytest.raises(asyncio.CancelledError) as caught:
            call.throw(asyncio.CancelledError())
        assert getattr(caught.value, "taken", 0) == 0
    with pytest.raises(RuntimeError, match="already awaited"):
        call.send(None)
    call.close()  # as of any coroutine, once more is nothing


@pytest.mark.parametrize("end", ["throw", "close"])
@pytest.mark.parametrize("at", ["new", "yielded", "waiting", "woken"])
@pytest.mark.parametrize("name", RECEIVES)
@in_loop
async def test_a_receive_ended_at_every_step(name, at, end):
    with link() as (pull, push), burst(1):
        await drained(pull)
        call = RECEIVES[name](pull)
        if at == "yielded":
            push.sync.send(b"x")
        future = await step_to(at, call)
        behind = asyncio.create_task(pull.recv())
        if at != "yielded":
            await paused(pull, 2 if future else 1)
        if at == "woken":
            await push.send(b"x")
            await until(future.done)
        end_by(end, call)
        if at in ("new", "waiting"):
            await paused(pull, 1)
            await push.send(b"x")
        assert await behind == (b"x", False)
        assert paused_calls(pull) == 0


@pytest.mark.parametrize("end", ["throw", "close"])
@pytest.mark.parametrize("at", ["new", "yielded", "waiting", "woken"])
@pytest.mark.parametrize("name", SENDS)
@in_loop
async def test_a_send_ended_at_every_step(name, at, end):
    with link(rcvhwm=1, sndhwm=1) as (pull, push), burst(1):
        await drained(pull)
        got, full = [], fill(push.sync)

        async def take_until(condition):
            while not condition():
                with contextlib.suppress(Timeout):
                    got.extend(pull.sync.recv_many(1, timeout=0))
                await asyncio.sleep(0)

        call = SENDS[name](push)
        if at == "yielded":
            await take_until(push.is_writable)
        future = await step_to(at, call)
        behind = asyncio.create_task(push.send(b"behind"))
        if at != "yielded":
            await paused(push, 2 if future else 1)
        if at == "woken":
            await take_until(future.done)
        end_by(end, call)
        await take_until(lambda: b"behind" in got)
        await behind
        assert got == [*(b"%d" % n for n in range(full)), b"behind"]
        assert paused_calls(push) == 0


@pytest.mark.parametrize("how", ["cancel", "throw", "timeout"])
@in_loop
async def test_no_reader_is_left_when_the_last_has_given_up(how):
    with link() as (pull, push):
        if how == "timeout":
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
        elif how == "throw":
            calls = [pull.recv(), pull.recv()]
            for call in calls:
                call.send(None)
                if call.cr_await is None:
                    call.send(None)
            for call in calls:
                assert paused_calls(pull)
                with pytest.raises(ZeroDivisionError):
                    call.throw(ZeroDivisionError)
        else:
            tasks = [asyncio.create_task(RECEIVES[name](pull)) for name in RECEIVES]
            await paused(pull, len(tasks))
            for n, task in enumerate(tasks):
                task.cancel()
                await paused(pull, len(tasks) - n - 1)
        assert paused_calls(pull) == 0
        assert pull.get_fd() not in watched_by(asyncio.get_running_loop())
        task = asyncio.create_task(pull.recv())  # and the next one is watched again
        await paused(pull)
        await push.send(b"x")
        assert await task == (b"x", False)


def test_a_signal_handler_raises_while_a_reader_is_removed(monkeypatch):
    """The next call has a reader of its own: it does not rely on the one that is gone."""

    class Rung(Exception):
        pass

    def removed(runtime, copy, closing):
        monkeypatch.undo()
        runtime._have_removed(copy, closing)
        raise Rung

    async def main():
        with link() as (pull, push):
            call = asyncio.create_task(pull.recv_all())
            await until(lambda: paused_calls(pull) == 1)
            monkeypatch.setattr(ratchet.asyncio.AsyncioRuntime, "_have_removed", removed)
            call.cancel()
            with pytest.raises(Rung):
                await call
            call = asyncio.create_task(pull.recv_all())
            await until(lambda: paused_calls(pull) == 1)
            await asyncio.to_thread(push.sync.send, b"heard")
            assert await asyncio.wait_for(call, LONG) == b"heard"

    asyncio.run(main())
