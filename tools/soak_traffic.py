"""The traffic of one process of `tools/soak.py`, which tells what it is for and starts this.

What to do comes as a line of JSON on stdin, then orders, a word a line; what happens goes to
stdout, a line of JSON each. The works are written once, as coroutines, for every runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time
import traceback
import warnings
from collections import Counter, deque
from pathlib import Path
from zlib import crc32

import ratchet
import ratchet.asyncio
from ratchet import thread, zmqsocket

LATE = 15.0  # seconds in which everything that must come has come
HEAD = struct.Struct("<HIIBBd")  # stream, session, number, mark, parts, time; before it the CRC
GOES_ON, ENDS, LAST = range(3)  # marks: the last message of a session, and of the stream
NOISE = random.Random(0).randbytes(1 << 19)

stopping = threading.Event()  # senders come to an end
closing = threading.Event()  # so does everything
faults: Counter[str] = Counter()
opened: set = set()  # sockets
lock = threading.Lock()


def note(what, count=1):
    """Count what happened."""
    with lock:
        faults[what] += count


# Messages


def pack(stream, session, number, mark, parts, size):
    """One message as bytes."""
    start = number * 61 % (len(NOISE) // 2)
    rest = HEAD.pack(stream, session, number, mark, parts, time.monotonic())
    rest += NOISE[start : start + size]
    return crc32(rest).to_bytes(4, "little") + rest


def unpack(data, parts=None):
    """(stream, session, number, mark, time), or None if it is torn."""
    if len(data) < 4 + HEAD.size or crc32(memoryview(data)[4:]) != int.from_bytes(
        data[:4], "little"
    ):
        return None
    stream, session, number, mark, count, at = HEAD.unpack_from(data, 4)
    return None if parts not in (None, count) else (stream, session, number, mark, at)


class Numbers:
    """Which of 0, 1, 2, … have come."""

    def __init__(self):
        self.next, self.ahead = 0, set()

    def add(self, number):
        """Note one down: is it "due", "early" or "again"?"""
        if number < self.next or number in self.ahead:
            return "again"
        if number > self.next:
            self.ahead.add(number)
            return "early"
        self.next += 1
        while self.next in self.ahead:
            self.ahead.remove(self.next)
            self.next += 1
        return "due"


class Ledger:
    """What has come of one stream."""

    def __init__(self, ordered):
        self.ordered = ordered
        self.count = Counter(received=0, duplicated=0, misordered=0, torn=0)
        self.slowest = 0.0
        self.sessions = {}  # those that are not complete: [Numbers, number of the last message]
        self.ended = Numbers()
        self.last = None

    def take(self, session, number, mark, at):
        """Note a message down."""
        self.slowest = max(self.slowest, time.monotonic() - at)
        entry = self.sessions.get(session)
        if entry is None:
            if session < self.ended.next or session in self.ended.ahead:
                self.count["duplicated"] += 1
                return
            entry = self.sessions[session] = [Numbers(), None]
        how = entry[0].add(number)
        self.count["duplicated" if how == "again" else "received"] += 1
        self.count["misordered"] += self.ordered and how == "early"
        if mark != GOES_ON:
            entry[1] = number
            self.last = session if mark == LAST else self.last
        if entry[1] is not None and entry[0].next > entry[1]:
            del self.sessions[session]
            self.ended.add(session)

    def complete(self):
        """Has all of it come?"""
        return self.last is not None and self.ended.next > self.last


# Runtimes. The works are coroutines; in threads, what they await has paused by itself.


def drive(coroutine):
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("a coroutine suspended in a thread")


class Blocking:
    """A socket whose calls pause, to be awaited."""

    def __init__(self, zsock):
        self.zsock = zsock

    def __getattr__(self, name):
        call = getattr(self.zsock, name)

        async def awaited(*args, **kwargs):
            return call(*args, **kwargs)

        return awaited


class Job:
    """A work in a thread or task of its own."""

    def __init__(self, work):
        self.work, self.leaving, self.handle = work, False, None

    async def run(self):
        """Do the work, and tell of what goes wrong in it."""
        try:
            await self.work(self)
        except ratchet.ClosedError:
            if not closing.is_set():
                say(failure=traceback.format_exc())
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            say(failure=traceback.format_exc())


class Threads:
    """OS threads. They cannot be ended from outside: they leave after a call."""

    name, ending = "threads", "OS threads replaced"

    def socket(self, zsock):
        """For calls from here."""
        return Blocking(getattr(zsock, "sync", zsock))

    async def sleep(self, seconds):
        """Pause."""
        time.sleep(seconds)  # noqa: ASYNC251 - this runtime's calls block

    def start(self, job):
        """Run it beside the caller."""
        job.handle = threading.Thread(target=drive, args=[job.run()], daemon=True)
        job.handle.start()

    def end(self, job):
        """Have it leave."""

    async def ended(self, job, seconds):
        """Wait for its end, at most so long."""
        job.handle.join(seconds)
        return not job.handle.is_alive()

    def main(self, works):
        """Do them all."""
        jobs = [Job(work) for work in works]
        for job in jobs:
            self.start(job)
        for job in jobs:
            job.handle.join()


class Ratchets(Threads):
    """Ratchet threads of one kernel."""

    name, ending = "ratchet", "ratchet threads killed"

    async def sleep(self, seconds):
        """Pause."""
        thread.timer(seconds)

    def start(self, job):
        """Run it beside the caller."""
        job.handle = thread.attach(drive, job.run())

    def end(self, job):
        """Kill it."""
        thread.kill(job.handle)

    async def ended(self, job, seconds):
        """Wait for its end, at most so long."""
        try:
            job.handle.result(seconds)
        except ratchet.Timeout:
            return False
        except ratchet.Error as error:
            if error.code != "ECANCELED":
                raise
        return True

    def main(self, works):
        """Do them all."""
        ratchet.run(lambda: [self.start(Job(work)) for work in works])


class Tasks(Threads):
    """Tasks of one asyncio loop."""

    name, ending = "asyncio", "tasks cancelled"

    def socket(self, zsock):
        """For calls from here."""
        return zsock

    async def sleep(self, seconds):
        """Pause."""
        await asyncio.sleep(seconds)

    def start(self, job):
        """Run it beside the caller."""
        job.handle = asyncio.create_task(job.run())

    def end(self, job):
        """Cancel it."""
        job.handle.cancel()

    async def ended(self, job, seconds):
        """Wait for its end, at most so long."""
        await asyncio.wait([job.handle], timeout=seconds)
        return job.handle.done()

    def main(self, works):
        """Do them all."""

        async def main():
            await asyncio.gather(*(Job(work).run() for work in works))

        asyncio.run(main())


RUNTIMES = {runtime.name: runtime for runtime in (Threads(), Ratchets(), Tasks())}


def supervised(rt, work, rng):
    """The work, done by one thread or task after another, each ended at a random moment."""

    async def supervise(_):
        while not closing.is_set():
            job = Job(work)
            rt.start(job)
            while not await rt.ended(job, rng.uniform(0.1, 1.5)):
                note(rt.ending, not job.leaving)
                job.leaving = True
                rt.end(job)
            if not job.leaving:
                return  # by itself: all is done

    return supervise


def new_socket(type, runtimes, **options):
    """A socket for these runtimes; known to who forks and who ends."""
    make = ratchet.asyncio.new if "asyncio" in runtimes else zmqsocket.new
    zsock = make(type, **options)
    opened.add(zsock)
    return zsock


def forget(zsock):
    """Close it."""
    opened.discard(zsock)
    zsock.close()


# Steady traffic


class End:
    """One end of a connection: its socket, what it sends and what it receives."""

    def __init__(self, spec, rng):
        self.spec, self.rng = spec, rng
        self.runtimes = {*spec["receivers"], *(name for _, name in spec["out"])}
        self.ledgers = {stream: Ledger(spec["ordered"]) for stream in spec["in"]}
        self.senders = [Sender(self, stream, RUNTIMES[name]) for stream, name in spec["out"]]
        self.open()

    def open(self):
        """Open the socket."""
        self.zsock = new_socket(
            self.spec["type"], self.runtimes, linger=60.0, **self.spec["options"]
        )
        getattr(self.zsock, self.spec["how"])(self.spec["endpoint"])

    def works(self):
        """(runtime, work) of all that is done here."""
        for sender in self.senders:
            yield sender.rt, sender.work
        for name in self.spec["receivers"] if self.ledgers else ():
            yield RUNTIMES[name], Receiver(self, RUNTIMES[name]).work

    def describe(self):
        """What is still to come, for who looks for the reason."""
        unsent = [sender.stream for sender in self.senders if not sender.done]
        awaited = {
            stream: {
                key: (had.next, sorted(had.ahead)[:3], end)
                for key, (had, end) in ledger.sessions.items()
            }
            for stream, ledger in self.ledgers.items()
            if not ledger.complete()
        }
        waiting = self.zsock.waiting  # first: to look wakes who missed a message
        readable = self.zsock.is_readable()
        return f"{self.spec}: {unsent=} {awaited=} {waiting=} {readable=}"

    def done(self):
        """Is all sent and received?"""
        senders = all(sender.done for sender in self.senders)
        return senders and all(ledger.complete() for ledger in self.ledgers.values())


class Sender:
    """Sends one stream."""

    def __init__(self, end, stream, rt):
        self.end, self.stream, self.rt, self.rng = end, stream, rt, end.rng
        self.session = self.number = self.sent = 0
        self.done = False

    def message(self, offset=0, mark=GOES_ON, parts=1):
        """The next message, or the one after so many."""
        size = self.rng.choice((0, 16, 200, 1000, 2000))
        if self.rng.random() < 0.001:
            size = self.rng.choice((20_000, 200_000))
        return pack(self.stream, self.session, self.number + offset, mark, parts, size)

    async def work(self, job):
        """Send until it is time to stop."""
        while not (job.leaving or self.done or closing.is_set()):
            mark = LAST if stopping.is_set() else GOES_ON
            if mark == GOES_ON and self.rng.random() < self.end.spec["reopen"]:
                mark = ENDS
            count = 1 if mark else self.rng.choice((1, 1, 1, 1, 4, 40))
            try:
                await self.put(count, mark)
            except ratchet.Timeout:
                note("sends timed out")
                continue
            self.done = mark == LAST
            if mark == ENDS:
                forget(self.end.zsock)
                self.end.open()
                self.session, self.number = self.session + 1, 0
                note("sockets reopened by their sender")
            await self.rt.sleep(count / self.end.spec["rate"] * self.rng.uniform(0.5, 1.5))

    async def put(self, count, mark):
        """Send in one of the ways there are. What an ended call took, it took."""
        zsock, timeout = self.rt.socket(self.end.zsock), self.rng.choice((None, 0.01, 1))
        parts = self.rng.randint(1, 4)
        if count > 1:
            taken, batch = count, [self.message(n) for n in range(count)]
            try:
                await zsock.send_many(batch, timeout=timeout)
            except BaseException as error:
                taken = getattr(error, "taken", 0)
                raise
            finally:
                self.count(taken)
            return
        data = self.message(0, mark, parts)
        step = len(data) // parts
        pieces = [data[n * step : (n + 1) * step if n < parts - 1 else None] for n in range(parts)]
        if self.rng.random() < 0.5:
            await zsock.send_multipart(pieces, timeout=timeout)
        else:
            for piece in pieces[:-1]:
                await zsock.send(piece, True)
            while True:
                try:
                    await zsock.send(pieces[-1], timeout=timeout)
                    break
                except ratchet.Timeout:  # the earlier parts are kept
                    note("sends timed out")
        self.count(1)

    def count(self, taken):
        """So many went."""
        self.number += taken
        self.sent += taken


class Receiver:
    """Receives what comes to an end, perhaps beside others."""

    def __init__(self, end, rt):
        self.end, self.rt, self.rng = end, rt, end.rng

    async def work(self, job):
        """Receive until all has come."""
        zsock = self.rt.socket(self.end.zsock)
        while not (job.leaving or closing.is_set() or self.end.done()):
            timeout = self.rng.choice((None, 0, 0.01, 0.1, 1))
            try:
                await self.get(zsock, timeout)
            except TimeoutError:
                note("receives timed out")
                await self.rt.sleep(0.01)
            if self.rng.random() < 0.0005:
                await self.rt.sleep(0.5)  # the queues fill

    async def get(self, zsock, timeout):
        """Receive in one of the ways there are."""
        how = self.rng.choice(("all", "many", "multipart", "parts", "outside"))
        if how == "many":
            for data in await zsock.recv_many(64, timeout=timeout):
                self.take(data)
        elif how == "multipart":
            self.take(*joined(await zsock.recv_multipart(timeout=timeout)))
        elif how == "parts":
            await self.by_part(zsock, timeout)
        elif how == "outside" and self.rt.name == "asyncio":
            async with asyncio.timeout(timeout):
                self.take(await zsock.recv_all())
        else:
            self.take(await zsock.recv_all(timeout=timeout))

    async def by_part(self, zsock, timeout):
        """One by one. Who is ended in mid-message still gets the rest."""
        data, more = await zsock.recv(timeout=timeout)
        pieces = [data]
        try:
            while more:
                data, more = await zsock.recv()
                pieces.append(data)
        except BaseException:
            pieces.append(await zsock.recv_all(timeout=LATE))
            self.take(b"".join(pieces))
            raise
        self.take(*joined(pieces))

    def take(self, data, parts=None):
        """Note a message down."""
        found = unpack(data, parts)
        with lock:
            if found and found[0] in self.end.ledgers:
                self.end.ledgers[found[0]].take(*found[1:])
            else:
                next(iter(self.end.ledgers.values())).count["torn"] += 1


def joined(parts):
    """A message and its number of parts."""
    return b"".join(parts), len(parts)


class Churn:
    """Opens a pair, sends, receives, and closes it under a paused receiver, again and again."""

    def __init__(self, spec, rng):
        self.folder, self.patience = spec["folder"], spec["patience"]
        self.rt, self.rng = RUNTIMES[spec["runtime"]], rng
        self.count = Counter(sent=0, received=0)
        self.over = False

    def works(self):
        """(runtime, work) of all that is done here."""
        return [(self.rt, self.work)]

    def describe(self):
        """What is still to come."""
        return f"opening and closing sockets in {self.rt.name}"

    def done(self):
        """Is the last pair closed?"""
        return self.over

    async def work(self, job):
        """Until it is time to stop. Who is ended in between closes what it has."""
        while not (stopping.is_set() or job.leaving):
            left, right = (new_socket("PAIR", {self.rt.name}, linger=0.0) for _ in range(2))
            try:
                await self.cycle(left, right)
            finally:
                for zsock in (left, right):
                    forget(zsock)
            await self.rt.sleep(self.rng.uniform(0.1, 0.5))
        self.over = not job.leaving

    async def cycle(self, left, right):
        """One pair of sockets."""
        endpoint = self.rng.choice(("tcp://127.0.0.1:*", "inproc://{}", "ipc://{}/{}"))
        name = f"churn-{os.getpid()}-{id(left):x}"
        left.bind(endpoint.format(*([self.folder, name] if "ipc" in endpoint else [name])))
        right.connect(left.last_endpoint)
        got = []

        async def receive(_):
            with contextlib.suppress(ratchet.ClosedError):
                while True:
                    got.append(await self.rt.socket(left).recv_all())

        receiver = Job(receive)
        self.rt.start(receiver)
        sent = []
        try:
            for number in range(self.rng.randint(1, 20)):
                sent.append(pack(0, 0, number, GOES_ON, 1, 100))
                await self.rt.socket(right).send(sent[-1])
            until = time.monotonic() + self.patience
            while len(got) < len(sent) and time.monotonic() < until:
                await self.rt.sleep(0.002)
            if got != sent:
                say(failure=f"churn: of {len(sent)} messages {len(got)} came, or not as they were")
            self.count += Counter(sent=len(sent), received=len(got))
            note("sockets closed under a paused receiver")
        finally:
            left.close()
        if not await self.rt.ended(receiver, LATE):
            say(failure=f"close() left a receiver paused ({self.rt.name})")


# Questions and answers, where one side is killed


class Client:
    """Numbers its questions; notes the answers, and the questions that were left out."""

    def __init__(self, spec, rng):
        self.spec, self.rng, self.rt = spec, rng, RUNTIMES[spec["runtime"]]
        self.open_questions = deque()  # (number, when it was sent)
        self.number = self.answered = self.duplicated = self.torn = 0
        self.sent_all = False
        self.zsock = new_socket("DEALER", {self.rt.name}, sndhwm=16)
        self.zsock.connect(spec["endpoint"])
        if spec["counter"]:  # outlives this process
            with Path(spec["counter"]).open("r+b") as file:
                self.counter = mmap.mmap(file.fileno(), 8)

    def works(self):
        """(runtime, work) of all that is done here."""
        return [(self.rt, self.ask), (self.rt, self.hear)]

    async def ask(self, job):
        """Send questions."""
        zsock, session = self.rt.socket(self.zsock), self.spec["session"]
        while not (job.leaving or self.sent_all or closing.is_set()):
            last = stopping.is_set()
            if not last and len(self.open_questions) >= self.spec["window"]:
                await self.rt.sleep(0.005)
                continue
            data = pack(self.spec["stream"], session, self.number, last * LAST, 1, 100)
            if self.spec["counter"]:
                self.counter[:] = (self.number + 1).to_bytes(8, "little")
            self.open_questions.append((self.number, time.monotonic()))
            try:
                await zsock.send(data, timeout=self.rng.choice((None, 0, 0.1)))
            except BaseException as error:  # it is not sent
                self.open_questions.pop()
                if isinstance(error, ratchet.Timeout):
                    note("sends timed out")
                    await self.rt.sleep(0.005)
                    continue
                raise
            self.number += 1
            self.sent_all = last
            await self.rt.sleep(self.rng.uniform(0.5, 1.5) / self.spec["rate"])

    async def hear(self, job):
        """Receive answers. They come in the order of the questions."""
        zsock = self.rt.socket(self.zsock)
        while not (job.leaving or closing.is_set() or self.done()):
            try:
                data = await zsock.recv_all(timeout=self.rng.choice((None, 0.01, 0.1)))
            except ratchet.Timeout:
                note("receives timed out")
                continue
            found = unpack(data)
            if found is None:
                self.torn += 1
                continue
            waiting = self.open_questions
            while waiting and waiting[0][0] < found[2]:
                say(gap=[self.spec["stream"], waiting.popleft()[1], time.monotonic()])
            if waiting and waiting[0][0] == found[2]:
                waiting.popleft()
                self.answered += 1
            else:
                self.duplicated += 1

    def describe(self):
        """What is still to come."""
        return f"{self.spec}: {self.sent_all=} {list(self.open_questions)[:3]}"

    def done(self):
        """Is everything asked and answered?"""
        return self.sent_all and not self.open_questions

    def report(self):
        """The figures."""
        return {
            "sent": self.number, "answered": self.answered, "duplicated": self.duplicated,
            "torn": self.torn, "open": len(self.open_questions),
        }  # fmt: skip


class Server:
    """Echoes questions, and keeps count of the sessions of its client."""

    def __init__(self, spec, rng):
        self.spec, self.rng, self.rt = spec, rng, RUNTIMES[spec["runtime"]]
        self.sessions = {}
        self.count = Counter(received=0, duplicated=0, misordered=0, torn=0)
        self.opens = 0
        self.open()

    def open(self):
        """Open the socket; `bind` is still to come."""
        self.zsock, self.bound, self.reply = new_socket("ROUTER", {self.rt.name}), False, None

    def bind(self):
        """Listen, if the address is free again."""
        try:
            self.zsock.bind(self.spec["endpoint"])
        except ratchet.Error as error:
            if error.code != "EADDRINUSE":
                raise
        else:
            self.bound = True
            self.opens += 1

    def works(self):
        """(runtime, work) of all that is done here."""
        return [(self.rt, self.work)]

    async def work(self, job):
        """Answer; a reply that was not sent is sent by who comes next."""
        while not (job.leaving or closing.is_set()):
            zsock = self.rt.socket(self.zsock)
            try:
                if not self.bound:
                    self.bind()
                if not self.bound:  # the loop must turn for the old socket to go
                    await self.rt.sleep(0.01)
                    continue
                if self.reply is None:
                    timeout = self.rng.choice((None, 0.01, 0.1, 1))
                    self.reply = await zsock.recv_multipart(timeout=timeout)
                    self.take(self.reply[-1])
                await zsock.send_multipart(self.reply)
                self.reply = None
            except ratchet.Timeout:
                note("receives timed out")
            except ratchet.ClosedError:
                if closing.is_set():
                    return
                self.open()
            except ratchet.Error as error:
                if error.code != "EHOSTUNREACH":
                    raise
                note("replies to a process that was killed")
                self.reply = None

    def take(self, data):
        """Note a question down."""
        found = unpack(data)
        if found is None:
            self.count["torn"] += 1
        elif self.spec["counts"]:
            how = self.sessions.setdefault(found[1], Numbers()).add(found[2])
            self.count["duplicated" if how == "again" else "received"] += 1
            self.count["misordered"] += how == "early"


# A process with traffic


def say(**line):
    """A line of JSON for who started this process."""
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class Worker:
    """All traffic of one process."""

    def __init__(self, spec):
        rng = random.Random(spec["seed"])
        self.stall = spec["stall"]

        def each(kind, entries):
            return [kind(entry, random.Random(rng.random())) for entry in entries]

        self.ends = each(End, spec["ends"])
        self.clients = each(Client, spec["clients"])
        self.servers = each(Server, spec["servers"])
        self.churns = each(Churn, spec["churns"])
        works = {name: [] for name in RUNTIMES}
        for rt, work in (pair for part in self.parts() for pair in part.works()):
            works[rt.name].append(supervised(rt, work, random.Random(rng.random())))
        self.threads = [
            threading.Thread(target=self.main, args=(RUNTIMES[name], todo), daemon=True)
            for name, todo in works.items()
            if todo
        ]
        self.own = End(spec["main"], rng) if spec["main"] else None  # the main thread's

    def parts(self):
        """Everything that has works."""
        return [*self.ends, *self.clients, *self.servers, *self.churns]

    def main(self, rt, works):
        """A runtime in its own OS thread."""
        try:
            rt.main(works)
        except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
            say(failure=traceback.format_exc())

    def run(self):
        """Until told to end."""
        for target in (self.obey, self.watch):
            threading.Thread(target=target, daemon=True).start()
        for one in self.threads:
            one.start()
        say(ready=time.monotonic())
        for _, work in self.own.works() if self.own else ():
            drive(Job(work).run())
        closing.wait()
        for one in self.threads:
            one.join(LATE)
            if one.is_alive():
                say(failure="a runtime does not end although its sockets are closed")
        say(report=self.report())

    def watch(self):
        """Tell when all is sent and received, or stands still; at the end close all sockets."""
        todo = [*self.ends, *self.clients, *self.churns, *([self.own] if self.own else [])]
        stopping.wait()
        before, since = None, time.monotonic()
        while not all(part.done() for part in todo) and time.monotonic() < since + self.stall:
            time.sleep(0.05)
            now = self.report() | {"faults": None}
            if now != before:
                before, since = now, time.monotonic()
        for part in todo:
            if not part.done():
                say(failure=f"stands still: {part.describe()}")
        say(done=True)
        closing.wait()
        for zsock in list(opened):
            zsock.close()

    def report(self):
        """The figures."""
        ends = [*self.ends, *([self.own] if self.own else [])]
        ledgers = {stream: led for end in ends for stream, led in end.ledgers.items()}
        return {
            "sent": {sender.stream: sender.sent for end in ends for sender in end.senders},
            "ledgers": {stream: dict(ledger.count) for stream, ledger in ledgers.items()},
            "slowest": max((ledger.slowest for ledger in ledgers.values()), default=0.0),
            "clients": {client.spec["stream"]: client.report() for client in self.clients},
            "churn": sum((churn.count for churn in self.churns), Counter()),
            "servers": {
                server.spec["stream"]: dict(server.count)
                | {"sessions": {key: value.next for key, value in server.sessions.items()}}
                for server in self.servers
            },
            "faults": dict(faults),
        }

    def obey(self):
        """Do what the lines on stdin say; without them there is nobody to work for."""
        for line in sys.stdin:
            order = line.strip()
            if order == "stop":
                stopping.set()
            elif order == "end":
                closing.set()
                return
            elif order == "fork":
                say(forked=fork())
            elif order == "close":
                for server in self.servers:
                    before = server.opens
                    forget(server.zsock)
                    while server.opens == before:
                        time.sleep(0.005)
                say(reopened=time.monotonic())
        os._exit(3)


def fork():
    """The exit status of a child that uses a parent's socket and one of its own."""
    inherited = list(opened)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are what this is about
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for zsock in inherited:
                with contextlib.suppress(ratchet.ForkedError, ratchet.ClosedError):
                    zsock.is_readable()
                    os._exit(2)
            left, right = zmqsocket.new("PAIR"), zmqsocket.new("PAIR")
            left.bind("inproc://child")
            right.connect("inproc://child")
            right.send(b"alive", timeout=LATE)
            status = left.recv(timeout=LATE) != (b"alive", False)
        finally:
            os._exit(status)
    until = time.monotonic() + LATE
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def main():
    """Be one of the processes with traffic."""

    def count(*_):
        faults["signals handled"] += 1  # no lock: the main thread may hold it

    signal.signal(signal.SIGUSR1, count)
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    Worker(json.loads(sys.stdin.readline())).run()


if __name__ == "__main__":
    main()
