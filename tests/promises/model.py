"""The model of the state machines: messages, calls on sockets, and sockets as it knows them."""

import dataclasses
import os
import time
from typing import Any

from harness.internals import paused_calls
from harness.waiting import LONG

from ratchet import Error

try:
    from ratchet.trio import new  # its sockets serve tasks of asyncio too
except (ImportError, NotImplementedError):
    from ratchet.asyncio import new

TORTURE = os.environ.get("RATCHET_TORTURE", "") not in ("", "0")
PENDING, OWED, PERHAPS, UNSENT, RECEIVED = "PENDING", "OWED", "PERHAPS", "UNSENT", "RECEIVED"


# Which types talk to which, and what they do.
PEERS = {
    "PUSH": {"PULL"},
    "PULL": {"PUSH"},
    "PAIR": {"PAIR"},
    "DEALER": {"DEALER", "ROUTER"},
    "ROUTER": {"DEALER"},
    "REQ": {"REP"},
    "REP": {"REQ"},
    "PUB": {"SUB", "XSUB"},
    "XPUB": {"SUB", "XSUB"},
    "SUB": {"PUB", "XPUB"},
    "XSUB": {"PUB", "XPUB"},
}


NO_SEND, NO_RECV = {"PULL", "SUB"}, {"PUSH", "PUB"}
TO_ALL, SUBSCRIBERS = {"PUB", "XPUB", "SUB", "XSUB"}, {"SUB", "XSUB"}
IN_TURN = {"REQ": "send", "REP": "recv"}  # and what each begins with
ALL_SIZES = 0, 1, 30, 9000, 140_000  # the last is copied without the GIL


@dataclasses.dataclass(eq=False)
class Message:
    """One message, as the model knows it."""

    number: int
    sender: Any
    parts: list
    target: Any  # the only node that may receive it; None: any peer
    state: str = PENDING
    wanting: set = dataclasses.field(default_factory=set)  # those that must get it, each its own
    copies: set = dataclasses.field(default_factory=set)  # those that have it

    @property
    def subscribes(self):
        return self.parts[0][:1] == b"\1"

    def __repr__(self):
        return f"<{self.number} of {self.sender} {self.state}>"


class Call:
    """One call on a socket, and how it ended."""

    def __init__(self, node, op, timeout, *, messages=(), most=1, wrong_turn=False):
        self.node, self.op, self.messages, self.most = node, op, list(messages), most
        self.sends = bool(self.messages)
        self.limit = {} if timeout is ... else {"timeout": timeout}
        self.endless = (node.zsock.get_timeout() if timeout is ... else timeout) is None
        self.wrong_turn = wrong_turn
        self.host = self.task = self.result = self.error = None
        self.stopped = self.over = False
        self.got = []  # the parts of a receive part by part
        self.lent = []  # buffers that are sent without a copy, each with its Tracker

    def __repr__(self):
        return f"<{self.op} of {self.node}>"

    def begin(self, rt):
        self.task = rt.spawn(self.perform(rt.use(self.node.zsock)))
        return self.task

    async def perform(self, zsock):
        try:
            self.result = await getattr(self, self.op)(zsock)
        except BaseException as error:  # all of them are the model's to judge
            self.error = error.with_traceback(None)
        self.over = True

    def wire(self):
        """Give the parts of each message as they are handed to send."""
        to = [self.messages[0].target.name] if self.node.type in ("ROUTER", "STREAM") else []
        return [to + message.parts for message in self.messages]

    async def send(self, zsock):
        (parts,) = self.wire()
        for part in parts[:-1]:
            await zsock.send(part, True, **self.limit)
        await zsock.send(parts[-1], **self.limit)

    async def send_multipart(self, zsock):
        await zsock.send_multipart(*self.wire(), **self.limit)

    async def send_many(self, zsock):
        await zsock.send_many([part for (part,) in self.wire()], **self.limit)

    def lend(self, part):
        """Give a buffer of the caller's own."""
        self.lent.append([None, bytearray(part)])
        return self.lent[-1][1]

    async def send_lent(self, zsock):
        (parts,) = self.wire()
        for n, part in enumerate(parts, 1):
            buffer = self.lend(part)
            tracker = await zsock.send(buffer, n < len(parts), copy=False, **self.limit)
            self.lent[-1][0] = tracker

    async def send_multipart_lent(self, zsock):
        buffers = [self.lend(part) for part in self.wire()[0]]
        tracker = await zsock.send_multipart(buffers, copy=False, **self.limit)
        for entry in self.lent:
            entry[0] = tracker

    async def recv(self, zsock):
        more = True
        while more:
            data, more = await zsock.recv(**self.limit)
            self.got.append(data)
        return [self.got]

    async def recv_multipart(self, zsock):
        return [await zsock.recv_multipart(**self.limit)]

    async def recv_frame(self, zsock):
        more = True
        while more:
            frame = await zsock.recv_frame(**self.limit)
            self.got.append(frame.bytes)
            more = frame.more
        return [self.got]

    async def recv_frames(self, zsock):
        return [[frame.bytes for frame in await zsock.recv_frames(**self.limit)]]

    async def recv_into(self, zsock):
        buffer, count = bytearray(2 * max(ALL_SIZES)), None
        while count is None or len(self.got) < count:
            size = await zsock.recv_into(buffer, **self.limit)
            self.got.append(bytes(buffer[:size]))
            if count is None:
                count = self.node.count_of(self.got)
        return [self.got]

    async def recv_all(self, zsock):
        return [await zsock.recv_all(**self.limit)]

    async def recv_many(self, zsock):
        return await zsock.recv_many(self.most, **self.limit)


class Node:
    """A socket, as the model knows it."""

    def __init__(self, number, type, folder, **options):
        self.number, self.type, self.folder = number, type, folder
        self.name = b"node%d|" % number
        if type == "DEALER":
            options["routing_id"] = self.name
        self.exact = type != "PUB"  # no peer was ever lost, so neither is a message
        if type == "REP":
            options["sndhwm"] = 1000  # libzmq drops a reply if it knows of no room yet
        if type in SUBSCRIBERS:
            options["sndhwm"] = 0  # it drops what finds no room
        if type == "XPUB":
            options["xpub_nodrop"] = True
        self.lingers = type not in {"PUB", "XSUB", *NO_SEND}  # a PUB reads nothing of an XSUB
        options |= {"linger": 60.0 * self.lingers, "reconnect_ivl": 0.005}
        self.zsock = new(type, **options)
        if type in SUBSCRIBERS:
            self.zsock.subscribe(b"")
        self.can_send, self.can_recv = type not in NO_SEND, type not in NO_RECV
        self.turn = IN_TURN.get(type)
        self.client = None  # who waits for a REP's answer
        self.used = False
        self.bound = {}  # transport -> endpoint
        self.links = {}  # node -> (transport, who binds)
        self.known = set()  # whom it has heard of
        self.subscriptions = []
        self.ever = set()  # all it was linked with
        self.again = set()  # those that it was linked with twice
        self.calls = []
        self.owed = set()

    def __repr__(self):
        return f"{self.type}{self.number}"

    def endpoint(self, transport):
        if transport in self.bound:
            return self.bound[transport]
        if transport == "tcp":
            return "tcp://127.0.0.1:*"
        return (
            f"ipc://{self.folder}/{self.number}"
            if transport == "ipc"
            else (f"inproc://{self.folder}/{self.number}")
        )

    def bind(self, transport):
        deadline = time.monotonic() + LONG
        while True:
            try:
                self.bound[transport] = self.zsock.bind(self.endpoint(transport))
                break
            except Error as error:  # libzmq unbinds in the background
                if error.code != "EADDRINUSE" or time.monotonic() > deadline:
                    raise
        self.used = True

    def count_of(self, got):
        """How many parts has the message that begins with these? None: they do not tell."""
        if self.type == "ROUTER" and len(got) == 1:
            return None  # only who sent it
        head = got[-1].split(b";")[0]
        return len(got) - 1 + int(head.split(b"/")[1]) if b"/" in head else 1

    def complete(self):
        """Has each of its links both ends?"""
        return bool(self.links) and all(
            transport in binder.bound for transport, binder in self.links.values()
        )

    def live(self):
        return [n for n, (transport, binder) in self.links.items() if transport in binder.bound]

    def pending(self, *, sends):
        return [call for call in self.calls if call.sends == sends]

    def cut(self):
        """Its way to some peer is gone, at a moment unknown: from now on messages may be lost."""
        self.exact = False
        if not self.zsock.closed:
            self.zsock.linger = 0.0  # else what is cut off would stay for as long as that says
        for message in self.owed:
            message.state = PERHAPS
        self.owed.clear()

    def takers(self, message):
        """Who must get what was sent now, each its own; none: any peer."""
        if message.target:
            return {message.target}
        if self.type == "XPUB":
            return set(self.links)
        # To others than those an XSUB drops it, unless it is a subscription.
        sure = self.links if message.subscribes else self.known & set(self.links)
        return {n for n in sure if n.type == "XPUB"}

    def owe(self, message, wanting):
        """From now on these must get it, or who else its peers are."""
        if self.exact and (wanting or self.type not in TO_ALL):
            message.state = OWED
            message.wanting |= wanting
            self.owed.add(message)

    def awake(self):
        """Is any of its calls not paused, or not for long?"""
        asleep = 0 if self.zsock.closed else paused_calls(self.zsock)
        if len([call for call in self.calls if not call.over]) > asleep:
            return True
        return any(call.over or call.stopped for call in self.calls)

    def describe(self):
        return f"owes {self.owed} linked to {list(self.links)}"

    def must_move(self):
        """Is there something that has to happen without another call?"""
        if self.awake():
            return True
        if not self.exact:
            return False
        for message in self.owed:
            wanting = message.wanting.intersection(self.live())
            if message.subscribes and not self.calls:
                # Who listens subscribes when a call on it notices who came.
                wanting = {n for n in wanting if self.links[n][1] is n}
            if any(n.pending(sends=False) for n in wanting):
                return True
            ends = not message.wanting and self.complete() and self.links
            if ends and all(n.pending(sends=False) for n in ends):
                return True
        sends = self.pending(sends=True)
        single = all(len(call.messages) == 1 for call in sends)
        return bool(sends and single and not self.owed and self.live())
