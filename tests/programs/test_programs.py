"""The programs of `examples/programs` keep their promises when a part of them is killed."""

import asyncio
import contextlib
import importlib
import sqlite3
import threading
from pathlib import Path

import pytest
from harness.waiting import LONG, until

from ratchet import Timeout, zmqsocket
from ratchet.asyncio import new
from ratchet.testing import Peer, free_endpoint

FOLDER = Path(__file__).parents[2] / "examples" / "programs"


@pytest.fixture
def program(monkeypatch):
    """Imports one of the programs, here and in processes that are started from here."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def start():
    """Runs a text in a process of its own, as `Peer` does, and kills it at the end."""
    with contextlib.ExitStack() as peers:
        yield lambda text, *args: peers.enter_context(Peer(text, args=args))


@pytest.fixture
def place():
    """Gives endpoints that a server can be started at again and again."""
    with contextlib.ExitStack() as places:
        yield lambda: places.enter_context(free_endpoint())


async def true(condition):
    """Wait for a condition, while tasks run."""
    async with asyncio.timeout(3 * LONG):
        while not condition():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.002)


def test_pictures_of_a_camera_that_is_killed_are_whole(program, start, place):
    pytest.importorskip("numpy")
    arrays, endpoint = program("arrays"), place()
    with zmqsocket.new("PULL", rcvhwm=2) as pull:
        pull.bind(endpoint)
        camera = start("import arrays; arrays.camera(args[0], 10**9)", endpoint)
        first = arrays.recv_array(pull, timeout=3 * LONG)
        assert not first.flags.owndata  # it is libzmq's memory
        del first
        numbers = [1 + arrays.recv_array(pull, timeout=LONG)[0, 0, 0] for _ in range(3)]
        camera.kill()
        with contextlib.suppress(Timeout):
            while True:
                picture = arrays.recv_array(pull, timeout=0.3)
                assert (picture == picture[0, 0, 0]).all()
                numbers.append(1 + picture[0, 0, 0])
                del picture
        assert numbers == [number % 256 for number in range(2, len(numbers) + 2)]
        start("import arrays; arrays.camera(args[0], 3, first=70)", endpoint)
        found = [int(arrays.recv_array(pull, timeout=3 * LONG)[-1, -1, -1]) for _ in range(3)]
        assert found == [70, 71, 72]


def test_an_engine_is_killed_and_clients_see_no_gap(program, start, place):
    engine, endpoint = program("engine"), place()
    text = "import engine; engine.engine(args[0], 0.005)"

    async def main():
        front, delays = engine.FrontEnd(endpoint), []
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(front.run())
            asked = [
                group.create_task(engine.ask(front.endpoint, b"p%d" % n, 40, None, delays))
                for n in range(10)
            ]
            for come in (50, 150, None):  # of 400 tokens
                peer = await asyncio.to_thread(start, text, endpoint)
                if come is not None:
                    await true(lambda come=come: len(delays) >= come)
                    for client, request in list(front.requests.items()):
                        again = [b"START", client, request.prompt, b"40", b"0"]
                        await front.engine.send_multipart(again)  # as if it had lain in a queue
                    await true(lambda come=come: len(delays) >= come + 20)
                    peer.kill()
            answers = await asyncio.gather(*asked)
            serving.cancel()
        return answers

    answers = asyncio.run(main())
    assert answers == [[b"p%d-%d" % (n, number) for number in range(40)] for n in range(10)]


def test_the_engine_works_for_nobody_who_is_gone(program, start, place):
    engine, endpoint = program("engine"), place()

    async def main():
        front = engine.FrontEnd(endpoint)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(front.run())
            await asyncio.to_thread(start, "import engine; engine.engine(args[0], 0.005)", endpoint)
            await engine.ask(front.endpoint, b"cancels", 10**9, cancel_after=5)
            async with new("DEALER", linger=0) as dealer:  # vanishes without a word
                dealer.connect(front.endpoint)
                await dealer.send_multipart([b"ASK", b"vanishes", b"1000000000"])
                await dealer.recv_all(timeout=LONG)
            await asyncio.wait_for(until_it_rests(front), LONG)
            assert not front.requests
            serving.cancel()

    async def until_it_rests(front):
        before = -1
        while before != (before := front.made):  # noqa: ASYNC110 - its process is asked
            await asyncio.sleep(0.1)  # many steps of the engine's

    asyncio.run(main())


def test_jobs_survive_workers_and_the_broker(program, start, place, tmp_path):
    jobs, endpoint, path = program("jobs"), place(), str(tmp_path / "jobs.sqlite")
    names = [f"{number}" for number in range(150)]
    broker = "import jobs; jobs.broker(*args)"
    worker = "import jobs; jobs.work(*args)"

    def done():
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT count(result) FROM jobs").fetchone()[0]

    serving = start(broker, endpoint, path, 0.3)
    jobs.put(endpoint, names[:1])
    serving.kill()  # what was answered is kept
    serving = start(broker, endpoint, path, 0.3)
    with jobs.connect(endpoint) as req:  # a worker that takes a job, and dies
        assert jobs.ask(req, "TAKE") == ["0", "job 0"]
    workers = [start(worker, endpoint) for _ in range(2)]
    putting = threading.Thread(target=jobs.put, args=[endpoint, names])
    putting.start()
    until(lambda: done() >= 30)
    serving.kill()
    workers.pop().kill()
    serving = start(broker, endpoint, path, 0.3)
    until(lambda: done() >= 80)
    serving.kill()
    start(worker, endpoint)
    start(broker, endpoint, path, 0.3)
    found = jobs.results(endpoint, names)
    putting.join(LONG)
    assert found == {name: f"JOB {name}" for name in names}
    jobs.put(endpoint, names[:5])  # asked once more, and done already
    assert done() == len(names)


def test_a_hub_is_killed_and_sensors_are_silent(program, start, place):
    sensors, places = program("sensors"), [place(), place()]
    text = "import sensors; sensors.serve(args[:2], args[2])"
    pub = zmqsocket.new("PUB", track_peers=True, reconnect_ivl=0.02, linger=0)
    table = sensors.Table(places[1])

    def read(table, value):
        until(lambda: table.update(timeout=LONG) == (b"oslo", value))

    with pub, table.sub:
        pub.connect(places[0])
        # The first hub is killed. For the second one a sensor is lost that is silent for 0.3 s.
        for stamp, silent, value in ((1, 1000.0, b"-4"), (2, 0.3, sensors.LOST)):
            hub = start(text, *places, silent)
            pub.wait_subscribers(timeout=LONG)
            pub.send_multipart([b"oslo", b"%d" % stamp, b"-4"])
            read(table, value)
            late = sensors.Table(places[1])
            with late.sub:
                read(late, value)  # though nobody sends it again
            hub.kill()
            until(lambda: not pub.subscribers())


def test_a_collector_and_programs_are_killed(program, start, place):
    metrics, endpoint = program("metrics"), place()
    alone = metrics.Metrics(endpoint, "alone")
    with alone.push:
        for _ in range(100):  # nobody is there, and it does not wait
            alone.add("requests")
            alone.report()
        text = (
            "import metrics, threading\n"
            "metrics.process(args[0], 7, 20, 0.05, threading.Event(), None)"
        )
        process = start(text, endpoint)
        for _ in range(2):  # a collector that knows nothing of the one before
            collector = metrics.Collector()
            with zmqsocket.new("PULL") as pull:
                pull.bind(endpoint)
                while len(collector.totals) < 21:
                    alone.report()
                    collector.take(pull, timeout=LONG)
                alone.add("requests")
                alone.report(timeout=LONG)
                expected = alone.totals["requests"]
                while collector.totals["alone"]["requests"] < expected:
                    collector.take(pull, timeout=LONG)
                before = collector.sum("requests")
                while collector.sum("requests") < before + 400:  # two reports of each, or more
                    collector.take(pull, timeout=LONG)
        process.kill()  # what it has counted stays
        assert collector.totals["alone"]["requests"] == expected == 102
        assert collector.sum("requests") >= before + 400


def test_a_chat_whose_server_is_killed(program, place, tmp_path):
    chat, endpoint, path = program("chat_room"), place(), str(tmp_path / "room")

    def server():
        options = {"bind": endpoint, "router_mandatory": False}
        return Peer(chat.serve, "ROUTER", [path, 1.0], **options)

    async def main():
        members = [chat.Member(endpoint, name) for name in ("ada", "grace", "edsger")]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(member.run()) for member in members]
            for life in range(3):
                peer = await asyncio.to_thread(server)
                for member in members:
                    await member.say(f"before {life}")
                said = [f"{when} {n}" for n in range(life + 1) for when in ("before", "after")][:-1]
                await all_have(members, said)
                peer.kill()
                for member in members:
                    await member.say(f"after {life}")  # nobody hears it yet
                peer.close()
            peer = await asyncio.to_thread(server)
            said.append("after 2")
            await all_have(members, said)
            tasks[2].cancel()  # without a word
            for member in members[:2]:
                await true(lambda member=member: ["", "edsger has left"] in member.lines)
            late = chat.Member(endpoint, "late")
            tasks.append(group.create_task(late.run()))
            await true(lambda: ["", "late is here"] in late.lines)
            await asyncio.to_thread(peer.close)
            for task in tasks:
                task.cancel()
        return [*members[:2], late]

    async def all_have(members, said):
        """Each has read what each has said."""
        want = {(name, text) for name in ("ada", "grace", "edsger") for text in said}
        for member in members:
            await true(lambda member=member: want <= set(map(tuple, member.lines)))

    members = asyncio.run(main())
    least = min(len(member.lines) for member in members)
    assert all(member.lines[:least] == members[0].lines[:least] for member in members)
    texts = [tuple(line) for line in members[-1].lines if line[0]]
    assert len(texts) == len(set(texts)) == 18  # each once
