"""A chat room whose members all read the same lines, whoever is killed.

The server numbers each line, writes it to a file and sends it to all members. A member tells once
in a while which lines it has, which is its sign of life too: the server sends what is missing, so
a line that was lost comes again, and who joins late reads all from the beginning. A line that no
answer has shown is said again, and has a number of its member's, so it is taken once. A member
that is silent is said to have left.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ratchet.asyncio import new

SIGN = 0.2  # seconds between a member's signs of life
SILENT = 5 * SIGN  # seconds after which it has left
BATCH = 100  # lines at a time for one who has missed some
MEMBERS, LINES = 50, 5


class Room:
    """The server: what was said, and who is there."""

    def __init__(self, router, path, silent=SILENT):
        self.router, self.silent = router, silent
        self.file = Path(path).open("a+", encoding="utf-8")  # noqa: SIM115 - open while it serves
        self.file.seek(0)
        self.lines = [json.loads(line) for line in self.file if line.endswith("\n")]
        self.said = {(name, own) for name, own, _ in self.lines}
        self.members = {}  # name -> its peer, how many lines it was sent, when it was heard

    async def send(self, name):
        """Send a member lines that it has not been sent."""
        if name not in self.members:
            return  # it has left meanwhile
        peer, known, heard = self.members[name]
        batch = self.lines[known : known + BATCH]
        self.members[name] = (peer, known + len(batch), heard)
        await self.router.send_multipart([peer, json.dumps([known, batch]).encode()])

    async def say(self, name, own, text):
        """Take a line, once, and send it to all."""
        if (name, own) not in self.said:
            self.said.add((name, own))
            self.lines.append([name, own, text])
            self.file.write(json.dumps(self.lines[-1]) + "\n")
            self.file.flush()
            for member in list(self.members):
                await self.send(member)

    async def listen(self):
        """Take lines and signs of life."""
        while True:
            peer, data = await self.router.recv_multipart()
            name, known, lines = json.loads(data)
            is_new = name not in self.members
            self.members[name] = (peer, known, time.monotonic())
            if is_new:
                await self.say("", f"{name} {time.time_ns()}", f"{name} is here")
            for own, text in lines:
                await self.say(name, own, text)
            if known < len(self.lines):
                await self.send(name)

    async def watch(self):
        """Say who has left."""
        while True:
            await asyncio.sleep(self.silent / 4)
            for name, (_, _, heard) in list(self.members.items()):
                if heard < time.monotonic() - self.silent:
                    del self.members[name]
                    await self.say("", f"{name} {time.time_ns()}", f"{name} has left")


async def serve(router, path, silent=SILENT):
    """Be the server of a room, until it is cancelled or killed."""
    room = Room(router, path, silent)
    with contextlib.closing(room.file):
        async with asyncio.TaskGroup() as group:
            group.create_task(room.listen())
            group.create_task(room.watch())


class Member:
    """Somebody in a room: `lines` is what has been said in it."""

    def __init__(self, endpoint, name):
        self.name, self.lines, self.mine, self.delays = name, [], {}, []
        self.dealer = new("DEALER", reconnect_ivl=0.05, linger=0)
        self.dealer.connect(endpoint)

    async def tell(self):
        """Send what has not been seen yet in the room, and how much of it has."""
        words = [[own, text] for own, (text, _) in self.mine.items()]
        await self.dealer.send(json.dumps([self.name, len(self.lines), words]).encode())

    async def say(self, text):
        """Say a line."""
        self.mine[f"{time.time_ns()}"] = text, time.monotonic()
        await self.tell()

    async def read(self):
        """Take in what is said."""
        async for data in self.dealer:
            first, lines = json.loads(data)
            for name, own, text in lines[max(0, len(self.lines) - first) :]:
                if first <= len(self.lines):
                    self.lines.append([name, text])
                    if name == self.name and (said := self.mine.pop(own, None)):
                        self.delays.append(time.monotonic() - said[1])

    async def live(self):
        """Give signs of life."""
        while True:
            await self.tell()
            await asyncio.sleep(SIGN)

    async def run(self):
        """Be in the room until it is cancelled."""
        with self.dealer:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.read())
                group.create_task(self.live())


async def read_by_all(members, count):
    """Wait until all have read so many lines."""
    while any(len(member.lines) < count for member in members):  # noqa: ASYNC110 - simpler
        await asyncio.sleep(0.005)


async def main():
    """Have members talk; all must have read the same at the end."""
    with tempfile.TemporaryDirectory() as folder:
        async with new("ROUTER", router_mandatory=False) as router, asyncio.TaskGroup() as group:
            endpoint = router.bind("tcp://127.0.0.1:*")
            # All run in this one loop: on a busy machine nobody may be said to have left.
            tasks = [group.create_task(serve(router, Path(folder) / "room", silent=60.0))]
            members = [Member(endpoint, f"member {number}") for number in range(MEMBERS)]
            tasks += [group.create_task(member.run()) for member in members]
            await read_by_all(members, MEMBERS)  # all are here
            began = time.monotonic()
            for number in range(LINES):
                for member in members:
                    await member.say(f"line {number}")
                    await asyncio.sleep(0.002)
            await read_by_all(members, MEMBERS * (LINES + 1))
            seconds = time.monotonic() - began
            for task in tasks:
                task.cancel()
    same = all(member.lines == members[0].lines for member in members)
    delay = statistics.median(delay for member in members for delay in member.delays)
    rate = MEMBERS * MEMBERS * LINES / seconds
    print(
        f"{MEMBERS} members, all read the same: {same}; {rate:.0f} lines/s read, {delay * 1e3:.1f} "
        "ms from saying to reading (median)"
    )
    return same


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
