"""A chat room whose members all read the same lines, whoever is killed.

The server numbers each line, writes it to a file and sends it to all members. A member says once in
a while how many lines it has: this is its sign of life, and the server sends what is missing. So a
line that was lost comes again, and who joins late reads all from the beginning. A member says a
line again until it has read it; the line has a number of its member's, so it is taken once. A
member that is silent is said to have left.
"""

import asyncio
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
    """What was said, and who is there."""

    def __init__(self, router, file, silent):
        self.router, self.file, self.silent = router, file, silent
        self.lines = [json.loads(line) for line in file if line.endswith("\n")]
        self.taken = {(name, number) for name, number, _ in self.lines}
        self.members = {}  # name -> [its peer, how many lines it has, when it was heard]

    def take(self, name, number, text):
        """Take a line, once."""
        if (name, number) not in self.taken:
            self.taken.add((name, number))
            self.lines.append([name, number, text])
            self.file.write(json.dumps(self.lines[-1]) + "\n")
            self.file.flush()

    async def send(self):
        """Send each member what it does not have."""
        for member in list(self.members.values()):
            peer, known, _ = member
            if batch := self.lines[known : known + BATCH]:
                member[1] += len(batch)  # unless it says otherwise
                await self.router.send_multipart([peer, json.dumps([known, batch]).encode()])

    async def listen(self):
        """Take lines and signs of life."""
        while True:
            peer, data = await self.router.recv_multipart()
            name, known, lines = json.loads(data)
            if name not in self.members:
                self.take("", len(self.lines), f"{name} is here")
            self.members[name] = [peer, known, time.monotonic()]
            for number, text in lines:
                self.take(name, number, text)
            await self.send()

    async def watch(self):
        """Say who has left."""
        while True:
            await asyncio.sleep(self.silent / 4)
            for name, (_, _, heard) in list(self.members.items()):
                if heard < time.monotonic() - self.silent:
                    del self.members[name]
                    self.take("", len(self.lines), f"{name} has left")
            await self.send()


async def serve(router, path, silent=SILENT):
    """Be the server of a room, until it is cancelled or killed."""
    with Path(path).open("a+", encoding="utf-8") as file:  # noqa: ASYNC230 - before it serves
        file.seek(0)
        room = Room(router, file, silent)
        async with asyncio.TaskGroup() as group:
            group.create_task(room.listen())
            group.create_task(room.watch())


class Member:
    """Somebody in a room: `lines` is what has been said in it."""

    def __init__(self, endpoint, name):
        self.name, self.lines, self.delays = name, [], []
        self.mine = {}  # number -> the text and the time of a line that it has not read yet
        self.dealer = new("DEALER", reconnect_ivl=0.05, linger=0)
        self.dealer.connect(endpoint)

    async def say(self, text):
        """Say a line."""
        self.mine[time.time_ns()] = text, time.monotonic()
        await self.tell()

    async def tell(self):
        """Send how much it has read, and what it has said and not read."""
        said = [[number, text] for number, (text, _) in self.mine.items()]
        await self.dealer.send(json.dumps([self.name, len(self.lines), said]).encode())

    async def read(self):
        """Take in what is said."""
        async for data in self.dealer:
            first, lines = json.loads(data)
            if first > len(self.lines):
                continue  # what is before is missing, and will be sent again
            for name, number, text in lines[len(self.lines) - first :]:
                self.lines.append([name, text])
                if name == self.name and number in self.mine:
                    self.delays.append(time.monotonic() - self.mine.pop(number)[1])

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


async def main():
    """Have members talk; all must have read the same at the end."""

    async def read_by_all(count):
        while any(len(member.lines) < count for member in members):  # noqa: ASYNC110 - simpler
            await asyncio.sleep(0.005)

    with tempfile.TemporaryDirectory() as folder:
        async with new("ROUTER", router_mandatory=False) as router, asyncio.TaskGroup() as group:
            endpoint = router.bind("tcp://127.0.0.1:*")
            # All run in this one loop: on a busy machine nobody may be said to have left.
            tasks = [group.create_task(serve(router, Path(folder) / "room", silent=60.0))]
            members = [Member(endpoint, f"member {number}") for number in range(MEMBERS)]
            tasks += [group.create_task(member.run()) for member in members]
            await read_by_all(MEMBERS)  # all are here
            began = time.monotonic()
            for number in range(LINES):
                for member in members:
                    await member.say(f"line {number}")
                    await asyncio.sleep(0.002)
            await read_by_all(MEMBERS * (LINES + 1))
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
