"""Random calls on STREAM sockets, against a model that accounts for each byte.

Steps, threads and waiting are those of `test_state_machine`. Here a connection has two ends, each a
STREAM's or a plain TCP socket, and each end gets what the other sent: in order, the bytes of every
send that was taken and of no other, wherever they are cut. A STREAM is told by an empty message
that a peer has come, and by another that it has gone; nothing comes from it before or after.

While nobody has hung up, a receive must go on when there is something to get, and the first of the
paused sends when its peer has got all there was. Of a connection that is hung up the rest may be
missing, unless a plain socket ended it properly: what came before is all received, and the notice.
"""

import contextlib
import random
import socket
import struct
import time

import pytest
from harness.sockets import place_of
from harness.waiting import LONG
from hypothesis import strategies as st
from promises.machine import HOST, NUMBER, RACE, RECEIVES, TIMEOUTS, Idle, Machine, pick, play
from promises.model import TORTURE, Call, Message, Node

NEW, CONNECTED, GONE = "NEW", "CONNECTED", "GONE"
SMALL = {"sndbuf": 9000, "rcvbuf": 9000}  # else the system takes more than anyone here sends


class Heard:
    """What a STREAM has received under one name."""

    def __init__(self, end=None):
        self.end = end  # None: its first message will tell
        self.state = NEW
        self.got = bytearray()

    def __repr__(self):
        return f"<{self.state} {self.end or 'somebody'}>"


class End:
    """One end of a connection."""

    def __init__(self, node=None, plain=None, name=None):
        self.node, self.plain, self.name = node, plain, name
        self.dialled = name is not None  # by a STREAM, which has to name whom it connects to
        self.heard = None if node and name is None else Heard(self)
        self.sent = bytearray()
        self.hung_up = False  # or is about to
        self.told = self.properly = False  # that it has; and that nothing else comes
        self.peer = None

    def __repr__(self):
        gone = "gone" if self.told else "going" if self.hung_up else "here"
        how = f"sent {len(self.sent)}, got {len(self.got)}, {gone}"
        return f"<{self.node or 'plain'} as {self.name} {how}>"

    @property
    def cut(self):
        return self.hung_up or self.peer.hung_up

    @property
    def got(self):
        return self.heard.got if self.heard else b""

    @property
    def lacks(self):
        """Must there be more to get?"""
        whole = not self.cut or (self.peer.properly and not self.hung_up)
        return whole and len(self.got) < len(self.peer.sent)

    @property
    def unaware(self):
        """Is it to be told that its peer has gone?"""
        # The notice finds no room in a full queue, and who dialled has dropped the connection.
        if self.hung_up or self.dialled or not self.node or self.node.zsock.rcvhwm:
            return False
        # A STREAM that hangs up goes on with that in its next call.
        node = self.peer.node
        going = self.peer.told and (not node or node.zsock.closed or node.calls)
        return going and self.heard and self.heard.state == CONNECTED

    def check(self):
        """What came is what was sent, and what a send under way may have sent."""
        data = bytes(self.peer.sent)
        if self.peer.node:
            for call in self.peer.node.pending(sends=True):
                if call.messages[0].target is self.peer:
                    data += call.messages[0].parts[0]
        assert data.startswith(self.got), f"{self} got what {self.peer} did not send"

    def read(self):
        """Of a plain socket: all that is there."""
        with contextlib.suppress(BlockingIOError):
            try:
                while data := self.plain.recv(1 << 16):
                    self.got.extend(data)
            except ConnectionError:
                data = b""
            assert data or self.cut, f"{self} was hung up on"


class Stream(Node):
    """A STREAM socket, as the model knows it."""

    def __init__(self, number, folder, rcvhwm):
        super().__init__(number, "STREAM", folder, sndhwm=1, rcvhwm=rcvhwm, **SMALL)
        # A connection is made once, and hung up at once.
        self.zsock.reconnect_ivl, self.zsock.linger = None, 0.0
        self.bind("tcp")
        self.ends, self.heard = [], {}
        self.torn = False  # a call was stopped between a name and the bytes, and these are lost

    def count_of(self, got):
        return 2

    def describe(self):
        return f"heard {list(self.heard.values())} of {[(end, end.peer) for end in self.ends]}"

    def must_move(self):
        if self.awake():
            return True
        if self.pending(sends=False) and self.due():
            return True
        for call in self.pending(sends=True)[:1]:
            end = call.messages[0].target
            if not end.cut and end.peer.got == end.sent:
                return True
        return False

    def due(self):
        if self.torn:
            return False
        new = [end for end in self.ends if not end.heard and not end.cut]
        strangers = [heard for heard in self.heard.values() if not heard.end]
        return len(strangers) < len(new) or any(end.lacks or end.unaware for end in self.ends)


class StreamMachine(Machine):
    """The steps, and what all have to keep to."""

    def __init__(self, rcvhwm):
        super().__init__("all")
        self.ends = []
        self.new(rcvhwm)
        self.new(0)

    def run(self, program):
        try:
            super().run(program)
        finally:
            for end in self.ends:
                if end.plain:
                    end.plain.close()

    def settle(self):
        super().settle()
        for end in self.ends:
            end.check()

    def sent(self, call):
        (message,) = call.messages
        end = message.target
        if call.error is not None:
            self.judge(call)
            gone = getattr(call.error, "code", "") == "EHOSTUNREACH"
            assert end.cut or not gone, f"{end} found nobody"
        elif message.parts[0]:
            end.sent += message.parts[0]
        else:
            end.told = True  # nothing is how to hang up

    def arrived(self, node, found, whole=True):
        if isinstance(found, bytes):
            found = [found[:5], found[5:]]
        node.torn = node.torn or not whole
        if node.torn:
            return
        name, data = found
        heard = node.heard.setdefault(name, Heard())
        if heard.state == NEW:
            assert not data, f"{node} got {data[:20]} of nobody"
            heard.state = CONNECTED
            return
        assert heard.state == CONNECTED, f"{node} got {data[:20]} of {heard.end}, who has gone"
        if not data:
            left = [heard.end] if heard.end else [end for end in node.ends if not end.heard]
            assert any(end.cut for end in left), f"{node} got the end of {left}"
            heard.state = GONE
        heard.got += data
        if not heard.end and b";" in heard.got:
            end = self.messages[int(heard.got.split(b";")[0])].target.peer
            assert (end.node, end.heard) == (node, None), f"{end} is met as {name}"
            heard.end, end.heard, end.name = end, heard, name

    def drain_all(self):
        deadline = time.monotonic() + LONG
        while True:
            self.settle()
            sends = [call for node in self.open for call in node.pending(sends=True)[:1]]
            late = [end for end in self.plain if end.lacks]
            late += [node for node in self.open if node.due()]
            # That a peer has gone, a send hears when all before is received, from whomever.
            ends = [call.messages[0].target for call in sends]
            late += [end for end in ends if not end.cut or end.heard.state == GONE]
            if not late:
                return
            assert time.monotonic() < deadline, f"lost: {late}"
            for end in self.plain:
                end.read()
            for node in self.open:
                if not node.pending(sends=False):
                    self.soon(Call(node, "recv_multipart", 0.002))

    finish = drain_all

    # Steps

    @property
    def plain(self):
        return [end for end in self.ends if end.plain and end.plain.fileno() >= 0]

    def new(self, rcvhwm):
        if len(self.open) > 2:
            raise Idle
        self.nodes.append(Stream(len(self.nodes), self.folder, rcvhwm))

    def join(self, one, other):
        one.peer, other.peer = other, one
        for end in (one, other):
            self.ends.append(end)
            if end.node:
                end.node.ends.append(end)

    def dial(self, number, other, host):
        node, binder = pick(number, self.open), pick(other, self.open)
        if node is binder or any(e.dialled and e.peer.node is binder for e in node.ends):
            raise Idle  # to disconnect is to hang up on each connection to there
        name = b"%05d" % len(self.ends)
        node.zsock.connect_routing_id = name
        node.zsock.connect(binder.bound["tcp"])
        self.join(End(node, name=name), End(binder))
        end = node.ends[-1]
        node.heard[name] = end.heard
        self.go(Call(node, "send", None, messages=[self.data(end, 0)]), host)

    def dial_plain(self, number):
        node = pick(number, self.open)
        plain = socket.socket()
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            plain.setsockopt(socket.SOL_SOCKET, option, 9000)
        plain.connect(place_of(node.bound["tcp"]))
        plain.setblocking(False)
        self.join(End(plain=plain), End(node))
        self.send_plain(len(self.plain) - 1, 0, False)

    def data(self, end, size):
        number = len(self.messages)
        data = b"%d;" % number + random.Random(number).randbytes(size)
        self.messages.append(Message(number, end.node, [data], end))
        return self.messages[-1]

    def named(self, *, cut):
        able = [n for n in self.open if len(n.calls) < 4]
        return [end for end in self.ends if end.name and end.node in able and end.cut == cut]

    def send(self, number, host, op, size, timeout, cut, race):
        end = pick(number, self.named(cut=cut))
        found = [call for call in self.stoppable() if call.node is end.peer.node]
        self.go(Call(end.node, op, timeout, messages=[self.data(end, size)]), host)
        if race and found:
            self.stop(number, found)

    def send_plain(self, number, size, race):
        end = pick(number, self.plain)
        message = self.data(end, size)
        found = [call for call in self.stoppable() if call.node is end.peer.node]
        with contextlib.suppress(BlockingIOError):
            try:
                end.sent += message.parts[0][: end.plain.send(message.parts[0])]
            except ConnectionError:
                assert end.cut
        if race and found:
            self.stop(number, found)

    def recv(self, number, host, op, most, timeout):
        node = pick(number, [n for n in self.open if len(n.calls) < 4])
        most = most if op == "recv_many" else 1
        self.go(Call(node, op, timeout, most=most), host)

    def recv_plain(self, number):
        pick(number, self.plain).read()

    def hang_up(self, number, host, how):
        end = pick(number, self.named(cut=False))
        end.hung_up = True
        if how == "disconnect" and end.dialled:
            end.node.zsock.disconnect(end.peer.node.bound["tcp"])
            end.told = True
        else:
            message = Message(len(self.messages), end.node, [b""], end)
            self.go(Call(end.node, how if how in SENDS else "send", None, messages=[message]), host)

    def hang_up_plain(self, number, properly):
        end = pick(number, [end for end in self.plain if not end.cut])
        end.hung_up = end.told = True
        end.properly = properly
        if properly:
            end.plain.shutdown(socket.SHUT_WR)
        else:
            end.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.plain.close()

    def close(self, number):
        node = pick(number, self.open)
        for end in node.ends:
            end.hung_up = end.told = True
        node.zsock.close(linger=0)


SIZES = st.sampled_from([0, 30, 9000, 140_000, 140_000])  # the last ones so that queues are full
SENDS = "send", "send_multipart", "send_lent", "send_multipart_lent"
STEPS = {
    "new": (st.sampled_from([1, 2, 0]),),
    "dial": (NUMBER, NUMBER, HOST),
    "dial_plain": (NUMBER,),
    "send": (
        *(NUMBER, HOST, st.sampled_from(SENDS)),
        *(SIZES, TIMEOUTS, st.sampled_from([False, False, False, True]), RACE),
    ),
    "send_plain": (NUMBER, SIZES, RACE),
    "recv": (*(NUMBER, HOST, st.sampled_from(RECEIVES)), *(st.sampled_from([1, 2, 100]), TIMEOUTS)),
    "recv_plain": (NUMBER,),
    "kill_or_cancel": (NUMBER,),
    "look": (NUMBER, st.sampled_from(["is_readable", "is_writable", "get_fd", "__repr__"])),
    "set_timeout": (NUMBER, st.sampled_from([None, 0.001])),
    "drain_all": (),
    "hang_up": (NUMBER, HOST, st.sampled_from(["disconnect", *SENDS])),
    "hang_up_plain": (NUMBER, st.booleans()),
    "close": (NUMBER,),
}
OFTEN = {"send": 15, "recv": 15, "dial": 3, "dial_plain": 2, "send_plain": 4, "recv_plain": 2}
OFTEN |= {"kill_or_cancel": 2}


@pytest.mark.timeout(7200 if TORTURE else 60)
def test_every_byte_is_accounted_for():
    play(StreamMachine, [0, 1, 2], STEPS, OFTEN)
