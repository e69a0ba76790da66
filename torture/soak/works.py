"""The works of the soak: senders, receivers, clients, servers; once for every runtime."""

import asyncio
import contextlib
import json
import mmap
import os
import sys
import threading
import time
import traceback
from collections import Counter, deque
from pathlib import Path

from harness.internals import paused_calls
from harness.runtimes import OSThreads, RatchetThreads, Tasks

import ratchet
import ratchet.asyncio
from ratchet import zmqsocket

from .ledger import ENDS, GOES_ON, LAST, Ledger, Numbers, pack, unpack

LATE = 15.0  # seconds in which everything that must come has come
RUNTIMES = {runtime.name: runtime for runtime in (OSThreads(), RatchetThreads(), Tasks())}
# OS threads cannot be ended from outside: they leave after a call.
ENDING = {
    "threads": "OS threads replaced",
    "ratchet": "ratchet threads killed",
    "asyncio": "tasks cancelled",
}

stopping = threading.Event()  # senders come to an end
closing = threading.Event()  # so does everything
faults = Counter()
opened = set()  # sockets
lock = threading.Lock()


def say(**line):
    """A line of JSON for who started this process."""
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def note(what, count=1):
    """Count what happened."""
    with lock:
        faults[what] += count


class Job:
    """A work in a thread or task of its own."""

    def __init__(self, work):
        self.work, self.leaving = work, False

    async def run(self):
        """Do the work, and tell of what goes wrong in it."""
        try:
            await self.work(self)
        except ratchet.ClosedError:
            if not closing.is_set():
                say(failure=traceback.format_exc())
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            say(failure=traceback.format_exc())


async def all_of(rt, works):
    """Do them all, beside each other."""
    for task in [rt.spawn(Job(work).run()) for work in works]:
        await rt.wait(task, None)


def supervised(rt, work, rng):
    """The work, done by one thread or task after another, each ended at a random moment."""

    async def supervise(_):
        while not closing.is_set():
            job = Job(work)
            task = rt.spawn(job.run())
            while not await rt.wait(task, rng.uniform(0.1, 1.5)):
                note(ENDING[rt.name], not job.leaving)
                job.leaving = True
                if rt.stops:
                    rt.cancel(task)
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
        waiting = paused_calls(self.zsock)  # first: to look wakes who missed a message
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
        zsock, timeout = self.rt.use(self.end.zsock), self.rng.choice((None, 0.01, 1))
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
        zsock = self.rt.use(self.end.zsock)
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
                    got.append(await self.rt.use(left).recv_all())

        receiver = self.rt.spawn(Job(receive).run())
        sent = []
        try:
            for number in range(self.rng.randint(1, 20)):
                sent.append(pack(0, 0, number, GOES_ON, 1, 100))
                await self.rt.use(right).send(sent[-1])
            until = time.monotonic() + self.patience
            while len(got) < len(sent) and time.monotonic() < until:
                await self.rt.sleep(0.002)
            if got != sent:
                say(failure=f"churn: of {len(sent)} messages {len(got)} came, or not as they were")
            self.count += Counter(sent=len(sent), received=len(got))
            note("sockets closed under a paused receiver")
        finally:
            left.close()
        if not await self.rt.wait(receiver, LATE):
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
        zsock, session = self.rt.use(self.zsock), self.spec["session"]
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
        zsock = self.rt.use(self.zsock)
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
            zsock = self.rt.use(self.zsock)
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
