"""What is so in asyncio only: cancellation, turns of the loop, contexts, several loops, leaks."""

import asyncio
import contextlib
import functools
import gc
import inspect
import io
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
import warnings
import weakref

import pytest
import runtimes
from helpers import CTRL_C
from runtimes import LONG

import ratchet
import ratchet.asyncio
from ratchet import ClosedError, StateError, Timeout, errors, zmqsocket

SHORT = 0.01  # seconds, for timeouts that are to pass
THROTTLE = 0.01  # longer than libzmq puts off looking for news when it sends
BURST = 128  # the default of set_burst
RUNTIMES = [kind for kind in runtimes.RUNTIMES if issubclass(kind, runtimes.Tasks)]

RECEIVES = {
    "recv": lambda zsock, **k: zsock.recv(**k),
    "recv_all": lambda zsock, **k: zsock.recv_all(**k),
    "recv_multipart": lambda zsock, **k: zsock.recv_multipart(**k),
    "recv_many": lambda zsock, **k: zsock.recv_many(3, **k),
    "async for": anext,
}
SENDS = {
    "send": lambda zsock, **k: zsock.send(b"x", **k),
    "send_multipart": lambda zsock, **k: zsock.send_multipart([b"x", b"y"], **k),
    "send_many": lambda zsock, **k: zsock.send_many([b"x"], **k),
}


@pytest.fixture(params=RUNTIMES, ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture
def run(kind):
    """Run a coroutine in a fresh loop; what hangs is an error."""

    def run(coroutine, **options):
        async def main():
            async with asyncio.timeout(LONG):
                return await coroutine

        with asyncio.Runner(loop_factory=kind.loop_factory, **options) as runner:
            return runner.run(main())

    return run


def in_loop(function):
    """A test of ``async def function(fixtures…)``, on every kind of loop."""

    @functools.wraps(function)
    def test(run, **fixtures):
        run(function(**fixtures))

    own = inspect.signature(function).parameters.values()
    first = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([first, *own])
    return test


@contextlib.contextmanager
def link(left="PULL", right="PUSH", endpoint=None, **options):
    """Two sockets: the left one binds. Options of both, or of one as in ``left_sndhwm``."""
    each = [
        {
            name.removeprefix(f"{side}_"): value
            for name, value in options.items()
            if not name.startswith(f"{other}_")
        }
        for side, other in (("left", "right"), ("right", "left"))
    ]
    with (
        ratchet.asyncio.new(left, linger=0, **each[0]) as bound,
        ratchet.asyncio.new(right, linger=0, **each[1]) as other,
    ):
        bound.bind(endpoint or f"inproc://{uuid.uuid4()}")
        other.connect(bound.last_endpoint)
        yield bound, other


@contextlib.contextmanager
def burst(calls):
    """From the first pause on."""
    ratchet.asyncio.set_burst(calls)
    try:
        yield
    finally:
        ratchet.asyncio.set_burst(BURST)


async def until(condition, what="it"):
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - that is what is to be seen: turns of the loop
            await asyncio.sleep(0)


async def paused(zsock, n=1):
    await until(lambda: zsock.waiting == n)


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


def watched(zsock):
    """Does the running loop watch the socket? Not afterwards: there is no way but to try."""
    return asyncio.get_running_loop().remove_reader(zsock.get_fd())


def result(call):
    """One step of a coroutine that shall end with it."""
    with pytest.raises(StopIteration) as caught:
        call.send(None)
    return caught.value.value


def alive(*names):
    """How many objects of those types there are."""
    gc.collect()
    return sum(type(thing).__name__ in names for thing in gc.get_objects())


def fill(zsock):
    """Send until the queue is full; how many went."""
    with pytest.raises(Timeout) as caught:
        zsock.sync.send_many([b"%d" % n for n in range(1000)], timeout=0)
    return caught.value.taken


# Giving up


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


async def by_cancel_of_one_of_two(rng, call):
    """Of two calls one is given up: the other is served."""
    given_up, kept = asyncio.create_task(call()), asyncio.create_task(call())
    given_up.add_done_callback(lambda task: task.cancelled() or kept.cancel())
    both = asyncio.gather(given_up, kept, return_exceptions=True)
    asyncio.get_running_loop().call_later(rng.choice([0, 0.0005]), given_up.cancel)
    done = await both
    return [value for value in done if not isinstance(value, asyncio.CancelledError)]


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


def plain(found):
    """What any receive returned, as a list of the messages."""
    if isinstance(found, tuple):
        return [found[0]]
    return found if isinstance(found, list) else [found]


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
            got += plain(found)
        await task
        assert [data[data.rindex(b"<") :] for data in got] == [b"<%s>" % data for data in sent]
        assert gave_up


@in_loop
async def test_no_message_is_lost_among_many_who_give_up(rng):
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        got, sent = [], [b"%d" % n for n in range(1000)]

        async def receive():
            while len(got) < len(sent):
                way = rng.choice([*WAYS, by_cancel_of_one_of_two])
                name = rng.choice(["recv", "recv_all", "recv_many"])
                with contextlib.suppress(*GAVE_UP):
                    found = await way(rng, functools.partial(RECEIVES[name], pull))
                    several = way is by_cancel_of_one_of_two
                    for one in found if several else [found]:
                        got.extend(plain(one))

        async def send():
            for data in sent:
                await push.send(data)
                await turns(rng.choice([0, 0, 0, 1]))

        tasks = [asyncio.create_task(receive()) for _ in range(7)]
        await send()
        await until(lambda: len(got) >= len(sent))
        for task in tasks:
            task.cancel()  # some are left in a receive that nothing comes to
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(got) == sorted(sent)
        await paused(pull, 0)


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
    """Drive a coroutine to there; what it waits for. Each call yields first: the burst is one."""
    if at == "new":
        return None
    assert call.send(None) is None
    return None if at == "yielded" else call.send(None)


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


async def drained(zsock):
    """Have the thread's burst begin anew."""
    with pytest.raises(Timeout):
        await zsock.recv(timeout=0.0001)


@pytest.mark.parametrize("end", ["throw", "close"])
@pytest.mark.parametrize("at", ["new", "yielded", "waiting", "woken"])
@pytest.mark.parametrize("name", RECEIVES)
@in_loop
async def test_a_receive_ended_at_every_step(name, at, end):
    with link() as (pull, push), burst(1):
        await drained(pull)
        call = RECEIVES[name](pull)
        future = await step_to(at, call)
        behind = asyncio.create_task(pull.recv())
        await paused(pull, 2 if future else 1)
        if at == "woken":
            await push.send(b"x")
            await until(future.done)
        end_by(end, call)
        await paused(pull, 1)
        if at != "woken":
            await push.send(b"x")
        assert await behind == (b"x", False)
        assert pull.waiting == 0


@pytest.mark.parametrize("end", ["throw", "close"])
@pytest.mark.parametrize("at", ["new", "yielded", "waiting", "woken"])
@pytest.mark.parametrize("name", SENDS)
@in_loop
async def test_a_send_ended_at_every_step(name, at, end):
    with link(rcvhwm=1, sndhwm=1) as (pull, push), burst(1):
        await drained(pull)
        got, full = [], fill(push)
        call = SENDS[name](push)
        future = await step_to(at, call)
        behind = asyncio.create_task(push.send(b"behind"))
        await paused(push, 2 if future else 1)

        async def take_until(condition):
            while not condition():
                with contextlib.suppress(Timeout):
                    got.extend(pull.sync.recv_many(1, timeout=0))
                await asyncio.sleep(0)

        if at == "woken":
            await take_until(future.done)
        end_by(end, call)
        await take_until(lambda: b"behind" in got)
        await behind
        assert got == [*(b"%d" % n for n in range(full)), b"behind"]
        assert push.waiting == 0


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
                assert pull.waiting
                with pytest.raises(ZeroDivisionError):
                    call.throw(ZeroDivisionError)
        else:
            tasks = [asyncio.create_task(RECEIVES[name](pull)) for name in RECEIVES]
            await paused(pull, len(tasks))
            for n, task in enumerate(tasks):
                task.cancel()
                await paused(pull, len(tasks) - n - 1)
        assert pull.waiting == 0
        assert not watched(pull)
        task = asyncio.create_task(pull.recv())  # and the next one is watched again
        await paused(pull)
        await push.send(b"x")
        assert await task == (b"x", False)


@in_loop
async def test_who_waits_behind_one_who_gives_up_is_served():
    """The first is woken by the message, and cancelled before it takes it."""
    with link() as (pull, push):
        tasks = [asyncio.create_task(pull.recv()) for _ in range(6)]
        await paused(pull, 6)
        for n in range(0, 6, 2):
            push.sync.send(b"%d" % n)
            assert pull.is_readable()  # which wakes the head
            tasks[n].cancel()
            assert await tasks[n + 1] == (b"%d" % n, False)
            assert tasks[n].cancelled()


@in_loop
async def test_taken_of_a_cancelled_send_many():
    with link(rcvhwm=3, sndhwm=3) as (pull, push):
        task = asyncio.create_task(push.send_many([b"%d" % n for n in range(500)]))
        await paused(push)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        taken = caught.value.taken
        assert 1 <= taken < 500
        with pytest.raises(Timeout) as caught:
            await push.send_many([b"x"], timeout=SHORT)
        assert caught.value.taken == 0
        got = await pull.recv_many(500)
        while len(got) < taken:
            got += await pull.recv_many(500)
        assert got == [b"%d" % n for n in range(taken)]
        with pytest.raises(Timeout):
            await pull.recv(timeout=SHORT)


# Coroutines


@in_loop
async def test_a_call_that_is_never_awaited_has_no_effect():
    with link() as (pull, push), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python says so of coroutines
        for make in SENDS.values():
            make(push)
        push.send(b"x", True)
        await push.send(b"only")
        for make in RECEIVES.values():
            make(pull)
        assert await pull.recv_multipart() == [b"only"]
        assert not pull.is_readable()


@in_loop
async def test_what_a_call_refuses_it_refuses_when_made():
    with link() as (pull, push):
        for wrong, error in (
            (lambda: push.send("text"), TypeError),
            (lambda: push.send_multipart([]), ValueError),
            (lambda: push.send_many([1]), TypeError),
            (lambda: pull.recv_many(0), ValueError),
            (lambda: pull.recv(timeout="1"), TypeError),
            (lambda: pull.recv(timeout=float("nan")), ValueError),
            (lambda: pull.send_many([]), ratchet.Error),
            (lambda: iter(pull), TypeError),
        ):
            with pytest.raises(error):
                wrong()
        buffer = bytearray(b"as it is now")
        call = push.send(buffer)
        buffer.clear()
        await call
        assert await pull.recv_all() == b"as it is now"


@in_loop
async def test_awaiting_twice_is_an_error():
    with link() as (pull, push):
        for call in (push.send(b"1"), pull.recv()):
            await call
            with pytest.raises(RuntimeError, match="already awaited"):
                await call
        call = pull.recv()

        async def wait():
            return await call

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await paused(pull)
        await push.send(b"2")
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LONG / 2)
        assert done[0] == (b"2", False)
        assert isinstance(done[1], RuntimeError)
        call = pull.recv()
        tasks = [asyncio.create_task(call) for _ in range(2)]  # without an await between
        with pytest.raises(RuntimeError, match="awaited already"):
            await tasks[1]
        await push.send(b"3")
        assert await tasks[0] == (b"3", False)


@in_loop
async def test_calls_are_coroutines():
    with link() as (pull, push):
        call = pull.recv()
        assert asyncio.iscoroutine(call)
        assert inspect.isawaitable(call)
        assert "recv" in repr(call)
        task = asyncio.create_task(call)
        await paused(pull)
        assert isinstance(call.cr_await, asyncio.Future)
        assert "recv" in repr(task)
        task.print_stack(file=io.StringIO())
        await push.send(b"x")
        assert await task == (b"x", False)


def test_under_a_debugger(run):
    """With a trace function Python takes another way through an await."""

    async def main():
        with link() as (pull, push):
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            assert await task == b"x"
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)

    before = sys.gettrace()
    sys.settrace(lambda *args: None)
    try:
        run(main())
    finally:
        sys.settrace(before)


def test_outside_a_task():
    """Without a loop a call that is ready can be driven by hand, and no other."""
    with link() as (pull, push):
        for call in (push.send(b"1"), pull.recv()):
            try:
                while True:
                    call.send(None)
            except StopIteration as end:
                value = end.value
        assert value == (b"1", False)
        call = pull.recv()
        with pytest.raises(RuntimeError, match="event loop"):  # noqa: PT012
            while True:  # it may yield first
                call.send(None)
        assert pull.waiting == 0


def test_run_until_complete_and_run_coroutine_threadsafe(kind):
    """A call may be made where no task is, and no context: by part, too."""
    loop = kind.loop_factory()
    with link() as (pull, push):
        push.sync.send_multipart([b"1", b"2"])
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"1", True)
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"2", False)
        push.sync.send_multipart([b"1", b"2"])
        push.sync.send(b"3")
        got = []

        def ask():
            for _ in range(2):
                task = asyncio.run_coroutine_threadsafe(pull.recv(), loop)
                got.append(task.result(LONG))

        thread = threading.Thread(target=ask)
        thread.start()
        loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, thread.join), LONG))
        loop.run_until_complete(loop.shutdown_default_executor())
        assert got == [(b"1", True), (b"2", False)]
        del thread
        assert loop.run_until_complete(pull.recv(timeout=LONG)) == (b"3", False)
    loop.close()


# In the middle of a message


@pytest.mark.parametrize("how", ["await", "wait_for", "create_task", "timeout"])
@in_loop
async def test_parts_by_calls_in_other_tasks(how):
    """The caller in mid-message is who made the call, not the task that runs it."""

    async def do(call):
        if how == "wait_for":
            return await asyncio.wait_for(call, LONG)
        if how == "create_task":
            return await asyncio.create_task(call)
        async with asyncio.timeout(LONG):
            return await call

    async def send(name):
        for _ in range(20):
            for i in range(3):
                await do(push.send(b"%d" % name, i < 2))

    async def receive():
        for _ in range(20):
            parts = []
            more = True
            while more:
                data, more = await do(pull.recv())
                parts.append(data)
            got.append(parts)

    with link(rcvhwm=1, sndhwm=1) as (pull, push):
        got = []
        await asyncio.gather(*map(send, range(3)), *(receive() for _ in range(3)))
        assert sorted(got) == [[b"%d" % name] * 3 for name in range(3) for _ in range(20)]


@pytest.mark.parametrize("queued", [False, True])
@in_loop
async def test_parts_by_gather(queued):
    """Calls that one task makes together belong together, even if they were queued before."""
    with link() as (pull, push):
        if not queued:
            await asyncio.gather(push.send(b"1", True), push.send(b"2", True), push.send(b"3"))
        receives = asyncio.gather(pull.recv(), pull.recv(), pull.recv())
        if queued:
            await paused(pull, 3)
            await push.send_multipart([b"1", b"2", b"3"])
        async with asyncio.timeout(LONG / 2):
            assert await receives == [(b"1", True), (b"2", True), (b"3", False)]


@in_loop
async def test_queued_parts_of_one_sender():
    with link(rcvhwm=1, sndhwm=1) as (pull, push):
        fill(push)
        blocked = asyncio.create_task(push.send(b"blocked"))
        await paused(push)
        parts = asyncio.gather(push.send(b"1", True), push.send(b"2", True), push.send(b"3"))
        await paused(push, 4)
        async with asyncio.timeout(LONG / 2):
            while (message := await pull.recv_multipart()) != [b"1", b"2", b"3"]:
                assert len(message) == 1
            await asyncio.gather(blocked, parts)


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled"])
@in_loop
async def test_a_task_that_ends_in_mid_message_blocks_nobody(how):
    with link() as (pull, push):

        async def half():
            await push.send(b"never", True)
            assert await pull.recv() == (b"1", True)
            if how == "raises":
                raise ZeroDivisionError
            if how == "is cancelled":
                await asyncio.sleep(LONG)

        await push.send_multipart([b"1", b"2", b"3"])
        await push.send(b"next")
        task = asyncio.create_task(half())
        await until(pull.is_rcvmore)
        tasks = [asyncio.create_task(pull.recv()), asyncio.create_task(push.send(b"last"))]
        if how == "is cancelled":
            await paused(pull)
            task.cancel()
        await asyncio.wait([task])
        assert await asyncio.gather(*tasks) == [(b"next", False), None]
        assert await pull.recv_multipart() == [b"last"]


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


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001, 1.5, "1", None, True])
def test_a_wrong_burst(wrong):
    with pytest.raises((TypeError, ValueError), match="burst"):
        ratchet.asyncio.set_burst(wrong)


# Many tasks, many threads, many loops


@in_loop
async def test_a_thousand_tasks_on_one_socket():
    with link("PAIR", "PAIR", sndhwm=0, rcvhwm=0) as (left, right):
        await drained(left)
        receivers = [asyncio.create_task(left.recv()) for _ in range(1000)]
        await paused(left, 1000)
        for n in range(1000):
            await right.send(b"%d" % n)
        assert await asyncio.gather(*receivers) == [(b"%d" % n, False) for n in range(1000)]


ANSWERS = {  # calls on a socket that answer its bell, or may
    "send": lambda x: x.sync.send(b"answer"),
    "is_readable": lambda x: x.is_readable(),
    "is_writable": lambda x: x.is_writable(),
    "getsockopt": lambda x: x.getsockopt("EVENTS"),
    "last_endpoint": lambda x: x.last_endpoint,
    "bind": lambda x: x.bind(f"inproc://{uuid.uuid4()}"),
}


@pytest.mark.parametrize("name", ANSWERS)
@in_loop
async def test_no_wake_up_is_lost_when_another_call_answers(name, endpoint):
    with link("DEALER", "DEALER", endpoint) as (x, y):
        for n in range(5):
            task = asyncio.create_task(x.recv_all())
            await paused(x)
            y.sync.send(b"%d" % n)
            time.sleep(THROTTLE)  # noqa: ASYNC251 - the loop shall not see the bell ring
            ANSWERS[name](x)
            assert await asyncio.wait_for(task, LONG / 2) == b"%d" % n


@in_loop
async def test_shared_by_tasks_threads_and_ratchet_threads(endpoint):
    """Three kinds of senders, three of receivers, all at once on two sockets."""
    each, kinds = 300, 3
    got = []

    def in_thread(function):
        return asyncio.to_thread(function)

    def in_ratchet(function):
        return asyncio.to_thread(ratchet.run, function)

    with link("DEALER", "DEALER", endpoint) as (left, right):
        stop = []

        def send(name):
            for n in range(each):
                right.sync.send_multipart([b"%d" % name, b"%d" % n])

        def receive():
            sync = left.sync
            while (message := sync.recv_multipart()) != [b"stop"]:
                got.append(message)
            stop.append(1)

        async def send_async(name):
            for n in range(each):
                await right.send(b"%d" % name, True)
                await right.send(b"%d" % n)

        async def receive_async():
            while (message := await left.recv_multipart()) != [b"stop"]:
                got.append(message)
            stop.append(1)

        receivers = [
            *(asyncio.ensure_future(receive_async()) for _ in range(2)),
            asyncio.ensure_future(in_thread(receive)),
            asyncio.ensure_future(in_ratchet(receive)),
        ]
        await asyncio.gather(send_async(0), in_thread(lambda: send(1)), in_ratchet(lambda: send(2)))
        for n in range(len(receivers)):
            await right.send(b"stop")
            await until(lambda n=n: len(stop) > n)
        await asyncio.gather(*receivers)
        await asyncio.get_running_loop().shutdown_default_executor()
    assert sorted(got) == sorted(
        [b"%d" % name, b"%d" % n] for name in range(kinds) for n in range(each)
    )


@in_loop
async def test_a_call_that_blocks_the_loop_goes_before_its_tasks():
    """They cannot go on before it does."""
    with link() as (pull, push):
        task = asyncio.create_task(pull.recv())
        await paused(pull)
        push.sync.send_many([b"1", b"2"])
        assert pull.sync.recv(timeout=LONG / 2) == (b"1", False)
        assert await task == (b"2", False)


@in_loop
async def test_a_wake_up_while_the_future_is_being_made(monkeypatch):
    """Another OS thread answers the bell then, and finds no future to set."""
    looper_class = ratchet.asyncio.Looper
    make = looper_class.future

    def interrupted(looper, waiter):
        monkeypatch.setattr(looper_class, "future", make)
        push.sync.send(b"x")
        thread = threading.Thread(target=pull.is_readable)
        thread.start()
        thread.join()
        return make(looper, waiter)

    with link() as (pull, push):
        monkeypatch.setattr(looper_class, "future", interrupted)
        assert await pull.recv_all() == b"x"


def test_one_loop_after_another(run):
    with link() as (pull, push):

        async def once():
            task = asyncio.create_task(pull.recv_all())
            await paused(pull)
            await push.send(b"x")
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
            return await task

        for _ in range(3):
            assert run(once()) == b"x"


def test_loops_in_several_threads_at_once(run):
    with link(sndhwm=0, rcvhwm=0) as (pull, push):
        got, failed = [], []

        async def receive():
            with contextlib.suppress(ClosedError):
                while True:
                    got.append(await (pull.recv_all() if len(got) % 2 else anext(pull)))

        async def several():
            await asyncio.gather(*(receive() for _ in range(3)))

        def thread():
            try:
                run(several())
            except StopAsyncIteration:
                pass
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=thread) for _ in range(3)]
        for t in threads:
            t.start()

        async def send():
            for n in range(600):
                await push.send(b"%d" % n)
                if not n % 50:
                    await asyncio.sleep(0.001)
            await until(lambda: len(got) == 600)
            await paused(pull, 9)
            pull.close()  # while they wait in other threads' loops

        run(send())
        for t in threads:
            t.join(LONG)
            assert not t.is_alive()
        assert not failed
        assert sorted(got) == sorted(b"%d" % n for n in range(600))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("where", ["here", "another thread"])
@pytest.mark.parametrize("state", ["waiting", "woken"])
def test_a_loop_closed_with_calls_pending(kind, run, state, where, caplog):
    """Who was left behind stands in nobody's way, and nothing is said about it."""
    with link() as (pull, push):
        loop = kind.loop_factory()
        pending = loop.create_task(pull.recv())
        loop.run_until_complete(paused(pull))
        if state == "woken":
            push.sync.send(b"1")
            pull.is_readable()
        loop.close()
        got = []

        async def receive():
            task = asyncio.create_task(pull.recv(timeout=LONG / 4))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if state == "waiting":
                await push.send(b"1")
            got.append(await task)

        if where == "here":
            run(receive())
        else:
            thread = threading.Thread(target=lambda: run(receive()))
            thread.start()
            thread.join(LONG)
        assert got == [(b"1", False)]
        assert not pending.done()
        pending._log_destroy_pending = False


def test_sockets_left_open_by_a_loop(run):
    async def main():
        pull = ratchet.asyncio.new("PULL")
        pull.bind("tcp://127.0.0.1:*")
        with pytest.raises(Timeout):
            await pull.recv(timeout=SHORT)
        task = asyncio.create_task(pull.recv())
        await paused(pull)
        return pull, task  # which asyncio.run cancels

    pull, task = run(main())
    assert task.cancelled()
    assert (pull.waiting, pull.closed) == (0, False)
    pull.close()


def test_debug_mode(run, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        assert loop.get_debug()
        with link() as (pull, push):
            tasks = [asyncio.create_task(call(pull)) for call in RECEIVES.values()]
            await paused(pull, len(tasks))
            tasks.pop().cancel()
            await asyncio.to_thread(push.sync.send_many, [b"x"] * 9)
            await asyncio.gather(*tasks)
            while pull.is_readable():
                await pull.recv()
            with pytest.raises(Timeout):
                await pull.recv(timeout=SHORT)
            task = asyncio.create_task(pull.recv())
            await paused(pull)
            await asyncio.to_thread(pull.close)
            with pytest.raises(ClosedError):
                await task

    run(main(), debug=True)
    assert not [record for record in caplog.records if "Executing" not in record.getMessage()]


@in_loop
async def test_task_group():
    with link() as (pull, push):
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(pull.recv()) for _ in range(3)]
                group.create_task(pull.recv(timeout=SHORT))
        assert all(task.cancelled() for task in waiting)
        assert pull.waiting == 0
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pull.recv_all())
            group.create_task(push.send(b"x"))
        assert task.result() == b"x"


# Closing


@pytest.mark.parametrize("by", ["task", "thread"])
@in_loop
async def test_close_wakes_everybody(by):
    with link("PAIR", "PAIR", sndhwm=1, rcvhwm=1) as (left, _):
        fill(left)
        names = {**RECEIVES, **SENDS}
        tasks = [asyncio.create_task(make(left)) for make in names.values()]
        await paused(left, len(tasks))
        fd = left.get_fd()
        if by == "task":
            left.close()
            assert not asyncio.get_running_loop().remove_reader(fd)
        else:
            await asyncio.to_thread(left.close)
        for name, task in zip(names, tasks, strict=True):
            with pytest.raises(StopAsyncIteration if name == "async for" else ClosedError):
                await task
        assert left.waiting == 0
        await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.skipif(not hasattr(os, "dup2") or sys.platform == "win32", reason="numbers of POSIX")
@in_loop
async def test_a_descriptor_used_again_after_close_from_another_thread():
    """The number is given back at once: the loop watches a duplicate, until its next turn."""
    loop = asyncio.get_running_loop()
    pull = ratchet.asyncio.new("PULL")
    task = asyncio.create_task(pull.recv())
    await paused(pull)
    number = pull.get_fd()
    thread = threading.Thread(target=pull.close)
    thread.start()
    thread.join()
    assert pull.closed
    deadline = time.monotonic() + LONG
    with contextlib.suppress(OSError):
        while os.fstat(number):  # libzmq closes it in a thread of its own
            assert time.monotonic() < deadline
    with pytest.raises(ClosedError):
        await task
    assert not loop.remove_reader(number)


@in_loop
async def test_a_socket_with_the_number_of_one_that_was_closed():
    for n in range(30):
        with link() as (pull, push):
            task = asyncio.create_task(pull.recv())
            await paused(pull)
            await push.send(b"%d" % n)
            assert await task == (b"%d" % n, False)
            if n % 2:
                thread = threading.Thread(target=pull.close)
                thread.start()
                thread.join()


@in_loop
async def test_async_with_and_async_for():
    async with ratchet.asyncio.new("PULL") as pull, ratchet.asyncio.new("PUSH") as push:
        pull.bind("inproc://iterate")
        push.connect("inproc://iterate")
        await push.send_many([b"1", b"2", b"3"])
        got = []
        async for data in pull:
            got.append(data)
            if len(got) == 3:
                pull.close()
        assert got == [b"1", b"2", b"3"]
        push.set_timeout(1.0)
        assert (push.get_timeout(), push.closed) == (1.0, False)
    assert push.closed
    with pytest.raises(ClosedError):
        async with push:
            pass
    with pytest.raises(ClosedError):
        await push.send(b"x")


@in_loop
async def test_req_out_of_turn_and_errors_by_await():
    with link("REP", "REQ") as (rep, req):
        for call in (rep.send(b"x"), req.recv()):
            with pytest.raises(StateError):
                await call
        await req.send(b"?")
        await rep.recv()
        await rep.send(b"!")
        assert await req.recv() == (b"!", False)
    with pytest.raises(ValueError, match="unknown socket type"):
        ratchet.asyncio.new("pull")
    with pytest.raises(TypeError):
        ratchet.asyncio.new("PULL", rcvhwm="many")


def test_a_loop_that_cannot_watch_descriptors():
    """As the Proactor loop of Windows: the error says what to do."""

    class Proactor(asyncio.SelectorEventLoop):
        def add_reader(self, *args):
            raise NotImplementedError

        remove_reader = add_reader

    async def main():
        with link() as (pull, push):
            await push.send(b"x")  # what is ready needs no watching
            assert await pull.recv() == (b"x", False)
            for _ in range(2):
                with pytest.raises(ratchet.Error, match="SelectorEventLoop") as caught:
                    await pull.recv()
                assert type(caught.value) is errors.Error
                assert pull.waiting == 0

    with asyncio.Runner(loop_factory=Proactor) as runner:
        runner.run(main())


# Time


@in_loop
async def test_timeouts_are_exact_and_need_no_task():
    with link() as (pull, _):
        late = []
        for limit in (0.002, 0.005, 0.013, 0.02, 0.03):
            began = time.monotonic()
            task = asyncio.create_task(pull.recv(timeout=limit))
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 2
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


@in_loop
async def test_a_message_at_the_deadline_is_taken():
    with link() as (pull, push):
        task = asyncio.create_task(pull.recv(timeout=SHORT))
        await paused(pull)
        await push.send(b"x")
        time.sleep(2 * SHORT)  # noqa: ASYNC251 - both are due in the next turn
        assert await task == (b"x", False)


@in_loop
async def test_thousands_of_timeouts_leave_nothing():
    loop = asyncio.get_running_loop()
    with link("PAIR", "PAIR") as (left, right):
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


# Leaks


@pytest.mark.parametrize("how", ["received", "cancelled", "timed out", "by part"])
def test_nothing_holds_on_to_a_loop(run, how):
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

    loop, pull = run(main())
    gc.collect()
    assert pull() is None
    assert loop() is None


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


# Ctrl-C

PROGRAM = """
import asyncio, sys, ratchet.asyncio
async def main():
    async with ratchet.asyncio.new("PAIR") as pull, ratchet.asyncio.new("PAIR") as push:
        pull.bind("inproc://x")
        push.connect("inproc://x")
        print("ready", flush=True)
        try:
            if sys.argv[1] == "busy":
                while True:
                    await push.send(b"x")
                    await pull.recv()
            await asyncio.gather(pull.recv(), pull.recv(timeout=1000))
        except asyncio.CancelledError:
            print("cancelled", pull.waiting, flush=True)
            raise
if sys.argv[2] == "uvloop":
    import uvloop
    factory = uvloop.new_event_loop
else:
    factory = None
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("work", ["paused", "busy"])
def test_ctrl_c(kind, work):
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", CTRL_C + PROGRAM, work, kind.name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=LONG)
        finally:
            process.kill()
    assert out == "cancelled 0\n"
    assert error.endswith("KeyboardInterrupt\n")
    assert "ignored" not in error
    assert process.returncode == -signal.SIGINT


def test_a_socket_of_each_kind_with_the_other():
    """`sync` is for other threads; a plain socket's calls are no coroutines."""
    with link() as (pull, _), zmqsocket.new("PUSH") as push:
        push.connect(pull.last_endpoint)
        push.send(b"x")
        assert pull.sync.recv() == (b"x", False)
        assert "PULL" in repr(pull.sync)
        with pytest.raises(AttributeError):
            pull.sync.anything = 1


@pytest.mark.parametrize("ends", ["waiting", "busy"])
def test_a_loop_in_a_daemon_thread_at_the_exit(kind, ends):
    """It ends without a word, and so do its tasks."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", DAEMON, kind.name, ends],
        capture_output=True,
        text=True,
        timeout=4 * LONG,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


DAEMON = """
import asyncio, sys, threading, warnings
import ratchet.asyncio
warnings.simplefilter("ignore", ResourceWarning)
if sys.argv[1] == "uvloop":
    from uvloop import run
else:
    from asyncio import run
begun = threading.Event()

async def receive(zsock):
    while True:
        await zsock.recv()

async def main():
    left, right = ratchet.asyncio.new("PAIR", linger=0), ratchet.asyncio.new("PAIR", linger=0)
    left.bind("inproc://pair")
    right.connect("inproc://pair")
    tasks = [asyncio.create_task(receive(zsock)) for zsock in (left, right)]
    await asyncio.sleep(0)
    begun.set()
    while sys.argv[2] == "busy":
        await left.send(b"x")
    await asyncio.sleep(60)

threading.Thread(target=lambda: run(main()), daemon=True).start()
begun.wait(10)
"""
