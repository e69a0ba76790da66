"""A runtime that does not run keeps no message from those that do, and finds its own afterwards."""

import asyncio
import gc
import threading

import pytest
from harness.internals import answer, paused_calls, shut
from harness.stopping import RUNNING, STOPPED, StoppedLoop, in_os_thread
from harness.waiting import LONG, Task, until

import ratchet
import ratchet.asyncio
from ratchet import zmqsocket


@pytest.fixture(params=STOPPED.values(), ids=STOPPED)
def stopped(request):
    runtime = request.param()
    yield runtime
    runtime.close()


@pytest.fixture(params=RUNNING.values(), ids=RUNNING)
def running(request):
    return request.param


def behind(running, zsock, name, *args, **kwargs):
    """A call in a runtime that runs; it has paused."""
    before = paused_calls(zsock)
    task = Task(running, zsock, name, *args, **kwargs)
    until(lambda: paused_calls(zsock) == before + 1)
    return task


def test_who_runs_gets_it_and_the_stopped_one_the_next(stopped, running, pair):
    zsock, other = pair
    first = stopped.begin(zsock, "recv_all")
    second, third = behind(running, zsock, "recv_all"), behind(running, zsock, "recv_all")
    other.send(b"1")
    other.send(b"2")
    assert {second.value(), third.value()} == {b"1", b"2"}
    other.send(b"3")
    assert stopped.result(first) == b"3"


def test_a_newcomer_gets_it_now_or_never(stopped, running, pair):
    zsock, other = pair
    first, second = stopped.begin(zsock, "recv_all"), stopped.begin(zsock, "recv_all")
    for data in (b"1", b"2", b"3", b"4"):
        other.send(data)
    assert running(zsock, "recv_all", timeout=0) == b"1"
    assert running(zsock, "recv_all") == b"2"
    assert stopped.result(first) == b"3"
    assert stopped.result(second) == b"4"
    with pytest.raises(ratchet.Timeout):
        running(zsock, "recv_all", timeout=0)


def test_who_was_woken_before_it_stopped_holds_no_wake(stopped, running, pair):
    zsock, other = pair
    first = stopped.begin(zsock, "recv_all")
    second = behind(running, zsock, "recv_all")
    stopped.ring_and_stop(lambda: (other.send(b"1"), answer(zsock)))
    got = [second.value()] if paused_calls(zsock) else []
    other.send(b"2")
    got.append(stopped.result(first))
    if len(got) < 2:
        got.append(second.value())
    assert sorted(got) == [b"1", b"2"]


def test_who_was_woken_before_it_stopped_and_a_newcomer(stopped, running, pair):
    zsock, other = pair
    first = stopped.begin(zsock, "recv_all")
    stopped.ring_and_stop(lambda: (other.send(b"1"), answer(zsock)))
    assert running(zsock, "recv_all", timeout=0) == b"1"
    other.send(b"2")
    assert stopped.result(first) == b"2"


@pytest.mark.parametrize("another", STOPPED.values(), ids=STOPPED)
def test_who_was_passed_over_finds_what_the_next_one_was_woken_for(stopped, another, pair):
    """The first is passed over for the second, which then does not run either."""
    zsock, other = pair
    then = another()
    try:
        first = stopped.begin(zsock, "recv_all")
        second = then.begin(zsock, "recv_all")
        then.ring_and_stop(lambda: (other.send(b"1"), answer(zsock)))
        assert stopped.result(first) == b"1"
        other.send(b"2")
        assert then.result(second) == b"2"
    finally:
        then.close()


@pytest.mark.parametrize("another", STOPPED.values(), ids=STOPPED)
def test_the_second_of_two_stopped_ones_runs_again(stopped, another, pair):
    zsock, other = pair
    then = another()
    try:
        first, second = stopped.begin(zsock, "recv_all"), then.begin(zsock, "recv_all")
        third = then.begin(zsock, "recv_all")
        other.send(b"1")
        answer(zsock)
        other.send(b"2")
        assert {then.result(second), then.result(third)} == {b"1", b"2"}
        other.send(b"3")
        assert stopped.result(first) == b"3"
    finally:
        then.close()


def test_a_timeout_that_passes_while_it_is_stopped(stopped, pair):
    zsock, other = pair
    seconds = 0.01
    while True:
        first, second = (stopped.begin(zsock, "recv_all", timeout=seconds) for _ in range(2))
        if paused_calls(zsock) == 2:
            break
        for task in (first, second):
            with pytest.raises(ratchet.Timeout):
                stopped.result(task)
        seconds *= 2  # the machine is too busy for such a timeout
    other.send(b"1")
    threading.Event().wait(2 * seconds)
    assert stopped.result(first) == b"1"  # it is there: better than a Timeout
    with pytest.raises(ratchet.Timeout):
        stopped.result(second)


def test_closing_wakes_the_stopped_one(stopped, running, pair):
    zsock, _ = pair
    first = stopped.begin(zsock, "recv_all")
    second = behind(running, zsock, "recv_all")
    zsock.close()
    with pytest.raises(ratchet.ClosedError):
        second.value()
    with pytest.raises(ratchet.ClosedError):
        stopped.result(first)


def test_a_socket_is_closed_though_its_loop_is_stopped(stopped, running, ipc):
    """Its endpoint is free, and what was sent is delivered."""
    with ratchet.asyncio.new("DEALER") as zsock, zmqsocket.new("DEALER") as other:
        zsock.bind(ipc)
        other.connect(ipc)
        zsock.sync.send(b"last")
        first = stopped.begin(zsock, "recv_all")
        Task(zsock.close).value()
        assert other.recv_all(timeout=LONG) == b"last"

        def free():
            try:
                with zmqsocket.new("DEALER") as again:
                    again.bind(ipc)
            except ratchet.Error:
                return False
            return True

        until(free)
        with pytest.raises(ratchet.ClosedError):
            stopped.result(first)


def test_a_sender_that_is_stopped_keeps_no_room(stopped, running, inproc):
    with ratchet.asyncio.new("PUSH", sndhwm=1) as zsock, zmqsocket.new("PULL", rcvhwm=1) as pull:
        pull.bind(inproc)
        zsock.connect(inproc)
        sent = 0
        while True:
            try:
                zsock.sync.send(b"fill", timeout=0)
                sent += 1
            except ratchet.Timeout:
                break
        first = stopped.begin(zsock, "send", b"stopped")
        second = behind(running, zsock, "send", b"running")
        got = [pull.recv_all(timeout=LONG) for _ in range(sent)]
        second.value()
        got.append(pull.recv_all(timeout=LONG))
        assert got == [b"fill"] * sent + [b"running"]
        stopped.result(first)
        assert pull.recv_all(timeout=LONG) == b"stopped"
        zsock.close(linger=0)


# In the middle of a message


def test_others_send_while_it_is_stopped_in_mid_message(stopped, running, pair):
    zsock, other = pair

    async def owner(call, stop):
        await call(zsock, "send", b"a", True)
        await call(zsock, "send", b"b", True)
        await stop()
        await call(zsock, "send", b"c", True)
        await call(zsock, "send", b"d")

    task = stopped.do(owner)
    running(zsock, "send", b"whole", timeout=0)
    running(zsock, "send_multipart", [b"x", b"y"])
    assert other.recv_multipart() == [b"whole"]
    assert other.recv_multipart() == [b"x", b"y"]
    stopped.result(task)
    assert other.recv_multipart() == [b"a", b"b", b"c", b"d"]
    zsock.sync.send(b"end")
    assert other.recv_multipart() == [b"end"]


def test_others_receive_while_it_is_stopped_in_mid_message(stopped, running, pair):
    zsock, other = pair

    async def owner(call, stop):
        found = [await call(zsock, "recv")]
        await stop()
        found.append(await call(zsock, "recv"))
        found += await call(zsock, "recv_multipart")
        return found

    for message in ([b"a", b"b", b"c"], [b"d"], [b"e", b"f"], [b"g"]):
        other.send_multipart(message)
    task = stopped.do(owner)
    assert running(zsock, "recv_multipart", timeout=0) == [b"d"]
    assert not zsock.is_rcvmore()
    assert running(zsock, "recv_multipart") == [b"e", b"f"]
    assert stopped.result(task) == [(b"a", True), (b"b", True), b"c"]
    assert running(zsock, "recv_multipart", timeout=0) == [b"g"]


def test_who_waits_already_goes_on_when_it_stops_in_mid_message(stopped, running, pair):
    zsock, other = pair
    second = []

    async def owner(call, stop):
        found = [await call(zsock, "recv")]
        second.append(behind(running, zsock, "recv_multipart"))
        other.send(b"x")
        answer(zsock)
        await stop()
        found += await call(zsock, "recv_multipart")
        return found

    other.send_multipart([b"a", b"b"])
    task = stopped.do(owner)
    assert second[0].value() == [b"x"]
    assert stopped.result(task) == [(b"a", True), b"b"]


def test_it_comes_back_while_another_is_in_mid_message(stopped, pair):
    """Its own is there, but not its turn: then it goes before those who wait for a new one."""
    zsock, other = pair
    go = threading.Event()

    def another():
        found = [zsock.sync.recv()]
        go.wait(LONG)
        return found + zsock.sync.recv_multipart()

    async def owner(call, stop):
        found = [await call(zsock, "recv")]
        await stop()
        return found + await call(zsock, "recv_multipart")

    other.send_multipart([b"a", b"b"])
    task = stopped.do(owner)
    other.send_multipart([b"c", b"d"])
    middle = Task(another)
    until(zsock.is_rcvmore)
    last = behind(in_os_thread, zsock, "recv_multipart")

    def release():
        until(lambda: paused_calls(zsock) == 2)
        go.set()

    releasing = Task(release)
    assert stopped.result(task) == [(b"a", True), b"b"]
    assert middle.value() == [(b"c", True), b"d"]
    other.send(b"e")
    assert last.value() == [b"e"]
    releasing.value()


def test_two_are_stopped_in_mid_message(stopped, running, pair):
    zsock, other = pair
    then = StoppedLoop()

    def owner(name):
        async def send(call, stop):
            await call(zsock, "send", name, True)
            await stop()
            await call(zsock, "send", b"end")

        return send

    first, second = stopped.do(owner(b"1")), then.do(owner(b"2"))
    running(zsock, "send", b"0")
    then.result(second)
    stopped.result(first)
    assert [other.recv_multipart() for _ in range(3)] == [[b"0"], [b"2", b"end"], [b"1", b"end"]]
    assert not shut(zsock)[1]
    then.close()


@pytest.mark.parametrize("kind", STOPPED.values(), ids=STOPPED)
@pytest.mark.parametrize("aside", [False, True], ids=["its own", "set aside"])
def test_the_half_message_of_a_runtime_that_has_ended_is_dropped(kind, aside, running, pair):
    zsock, other = pair
    stopped = kind()

    async def owner(call, stop):
        await call(zsock, "send", b"half", True)
        await call(zsock, "recv")
        await stop()
        await stop()
        await call(zsock, "recv")

    other.send_multipart([b"a", b"b"])
    other.send_multipart([b"c", b"d"])
    task = stopped.do(owner)  # held: it is its loop that has ended, nothing else
    if aside:
        running(zsock, "send", b"beside")
        assert other.recv_multipart() == [b"beside"]
    stopped.die()
    running(zsock, "send", b"whole", timeout=0)
    assert other.recv_multipart() == [b"whole"]
    assert running(zsock, "recv_multipart", timeout=0) == [b"c", b"d"]
    assert shut(zsock) == (False, False)
    del task
    gc.collect()


@pytest.mark.parametrize("kind", STOPPED.values(), ids=STOPPED)
@pytest.mark.parametrize("name", ["recv_multipart", "recv_all"])
def test_who_comes_after_an_ended_runtime_finds_what_is_there(kind, name, running, pair):
    """Its half message was set aside; with it goes the only reason to queue."""
    zsock, other = pair
    stopped = kind()

    async def owner(call, stop):
        await call(zsock, "recv")
        await stop()
        await stop()
        await call(zsock, "recv")

    other.send_multipart([b"a", b"b"])
    task = stopped.do(owner)
    other.send(b"next")
    assert running(zsock, "recv_all") == b"next"
    stopped.die()
    other.send(b"third")
    found = running(zsock, name, timeout=0)
    assert (found if name == "recv_all" else found[0]) == b"third"
    del task
    gc.collect()


# What runs


def test_a_loop_that_is_busy_runs_and_is_first(running, pair):
    zsock, other = pair
    busy, go = threading.Event(), threading.Event()

    async def main():
        task = asyncio.create_task(zsock.recv_all())
        while not paused_calls(zsock):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        busy.set()
        go.wait(LONG)
        return await task

    first = Task(asyncio.run, main())
    busy.wait(LONG)
    other.send(b"1")
    with pytest.raises(ratchet.Timeout):
        running(zsock, "recv_all", timeout=0)
    with pytest.raises(ratchet.Timeout):
        running(zsock, "recv_all", timeout=0.12)
    go.set()
    assert first.value() == b"1"


@pytest.mark.parametrize(
    "factory", [kind for name, kind in STOPPED.items() if "kernel" not in name]
)
def test_a_loop_that_goes_on_in_another_os_thread(factory, pair):
    """Who wakes its tasks from the first thread is in another one now, and the loop sleeps."""
    zsock, other = pair
    stopped = factory()
    first = stopped.begin(zsock, "recv_all")
    result = Task(stopped.loop.run_until_complete, first)  # without a timer, which would wake it
    until(stopped.loop.is_running)
    threading.Event().wait(0.05)  # it sleeps in its selector, whatever it is woken by
    other.send(b"1")
    answer(zsock)
    assert result.value() == b"1"
    stopped.close()


def test_whatever_stops_and_goes_on_everything_is_received_once(pair, rng):
    """Calls of all kinds, most of which are stopped at any moment; parts and whole messages."""
    zsock, other = pair
    runtimes = [kind() for kind in STOPPED.values()]
    calls, got, sent = [], [], 0
    for _ in range(150):
        what = rng.randrange(4)
        runtime = rng.choice(runtimes)
        if what == 0:
            other.send_multipart([b"%d" % sent, b"%d" % sent])
            sent += 1
        elif what == 1 and len(calls) < 12 and not (sent - len(got)):
            calls.append((runtime, runtime.begin(zsock, "recv_multipart")))
        elif what == 2:
            runtime.ring_and_stop(lambda: answer(zsock))
        elif sent > len(got):
            run = rng.choice(list(RUNNING.values()))
            if rng.randrange(2):
                try:
                    got.append(run(zsock, "recv_multipart", timeout=0))
                except ratchet.Timeout:
                    pass  # a stopped one has taken it while its runtime ran
            elif calls:
                runtime, call = calls.pop(rng.randrange(len(calls)))
                if call.done() if isinstance(runtime, StoppedLoop) else call.done:
                    got.append(runtime.result(call))
                else:
                    calls.append((runtime, call))
    for _ in calls:  # enough for all: who is first in a runtime takes its own first
        other.send_multipart([b"%d" % sent, b"%d" % sent])
        sent += 1
    while calls:
        runtime, call = calls.pop(rng.randrange(len(calls)))
        got.append(runtime.result(call))
    while len(got) < sent:
        got.append(zsock.sync.recv_multipart(timeout=0))
    for runtime in runtimes:
        runtime.close()
    assert sorted(got) == sorted([b"%d" % i, b"%d" % i] for i in range(sent))
