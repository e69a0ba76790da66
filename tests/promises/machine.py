"""The steps of the state machine of every type but STREAM, and how many programs of them run."""

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import tempfile
import time

import hypothesis
import pytest
from harness.runtimes import (
    Elsewhere,
    Greenlets,
    OSThreads,
    RatchetThreads,
    Tasks,
    TrioTasks,
    installed,
)
from harness.waiting import LONG
from hypothesis import strategies as st
from promises.model import (
    ALL_SIZES,
    PEERS,
    PENDING,
    PERHAPS,
    RECEIVED,
    SUBSCRIBERS,
    TO_ALL,
    TORTURE,
    UNSENT,
    Call,
    Message,
    Node,
)

from ratchet import ClosedError, Error, Killed, StateError, Timeout, zmqsocket

TIMEOUTS = st.sampled_from([None, None, 0, 0.002, ...])  # ...: the socket's own
SIZES = st.sampled_from(ALL_SIZES)


HOSTS = [OSThreads, RatchetThreads, Tasks]
HOSTS += [TrioTasks] if installed("trio") else []
HOSTS += [Greenlets] if installed("gevent") else []


def is_cancelled(error):
    """Is it what trio cancels by, or what gevent kills by?"""
    return type(error).__name__ in ("Cancelled", "GreenletExit")


class Idle(Exception):
    """The step has nothing to work on; which one has depends on what happened before."""


def pick(number, found):
    if not found:
        raise Idle
    return found[number % len(found)]


class Machine:
    """The steps, each a method, and what all have to keep to."""

    def __init__(self, cuts):
        self.cuts = cuts  # the transports whose ways it may cut while messages are on them
        self.nodes, self.messages, self.last, self.lent = [], [], {}, []
        self.folder = tempfile.mkdtemp(prefix="ratchet-", dir="/tmp")
        self.hosts = [Elsewhere(kind()) for kind in HOSTS]

    def run(self, program):
        try:
            for name, *arguments in program:
                with contextlib.suppress(Idle):
                    getattr(self, name)(*arguments)
                    self.settle()
            self.finish()
        finally:
            for node in self.open:
                node.zsock.close(linger=0)
            for host in self.hosts:
                host.close()
            shutil.rmtree(self.folder)
        self.given_back()

    def finish(self):
        """Receive all that is owed."""
        for binder, transport in self.unbound():
            if transport not in binder.bound:
                binder.bind(transport)
        self.drain(self.nodes)
        left = [message for node in self.nodes for message in node.owed]
        assert not left, f"lost: {left}"

    def given_back(self):
        """No buffer is lent any more, and all trackers know."""
        deadline = time.monotonic() + LONG
        for tracker, buffer in itertools.chain(*self.lent):
            while not (tracker.done if tracker else free(buffer)):
                assert time.monotonic() < deadline, f"not given back: {bytes(buffer[:20])}"
                time.sleep(0.0002)
            assert free(buffer)

    # What the steps share

    @property
    def open(self):
        return [node for node in self.nodes if not node.zsock.closed]

    def go(self, call, host):
        self.lent.append(call.lent)
        call.host = self.hosts[host]
        call.node.calls.append(call)
        call.host.do(call.begin)

    def message(self, node, sizes, target=None):
        number, count = len(self.messages), len(sizes)
        parts = [b"%d:%d/%d;" % (number, i, count) + bytes(n) for i, n in enumerate(sizes)]
        self.messages.append(Message(number, node, parts, target))
        if node.type in SUBSCRIBERS and count == 1 and sizes[0] <= 30:
            parts[0] = b"\1" + parts[0]
        return self.messages[-1]

    def settle(self):
        """Wait until nothing has to happen any more; take in all that has ended."""
        deadline = time.monotonic() + LONG
        while True:
            for node in self.nodes:
                self.collect(node)
            stuck = [node for node in self.nodes if node.must_move()]
            if not stuck:
                return
            assert time.monotonic() < deadline, "hangs: " + "; ".join(
                f"{n} paused {n.calls} {n.describe()}" for n in stuck
            )
            time.sleep(0.0002)

    def collect(self, node):
        for sends in (True, False):
            first = True
            for call in node.pending(sends=sends):
                # First come, first served: what has gone or come through a later call waits here
                # until the earlier ones are over, which they must be by then.
                if call.over and (first or call.error is not None):
                    node.calls.remove(call)
                    (self.sent if sends else self.received)(call)
                elif not call.over:
                    first = False

    def judge(self, call):
        """May the call have failed like this?"""
        node, error = call.node, call.error
        if isinstance(error, Timeout):
            legal = not call.endless
        elif isinstance(error, ClosedError):
            legal = node.zsock.closed
        elif isinstance(error, (Killed, asyncio.CancelledError)) or is_cancelled(error):
            legal = call.stopped
        elif isinstance(error, StateError):
            legal = call.wrong_turn
        elif isinstance(error, Error) and error.code == "EHOSTUNREACH":
            legal = call.sends and not (node.exact and call.messages[0].target in node.known)
        else:
            legal = False
        if not legal:
            raise AssertionError(f"{call} failed") from error

    def sent(self, call):
        node, taken = call.node, len(call.messages)
        if call.error is not None:
            self.judge(call)
            taken = getattr(call.error, "taken", 0) if call.op == "send_many" else 0
        for message in call.messages[:taken]:
            self.taken(message)
        for message in call.messages[taken:]:
            assert message.state == PENDING, f"{call} said it did not send {message}"
            message.state = UNSENT
        if node.turn and taken:
            assert not call.wrong_turn, f"{call} out of turn"
            node.turn = "recv"
            node.client = None

    def taken(self, message):
        node = message.sender
        wanting = node.takers(message) - message.copies
        if message.state == PENDING:
            message.state = PERHAPS
        if message.state == PERHAPS or wanting:
            node.owe(message, wanting)
        if message.subscribes:
            node.subscriptions.append(message)

    def received(self, call):
        if call.error is not None:
            self.judge(call)
            if call.got:  # it was ended in mid-message, which is lost with it
                assert call.stopped, f"{call} lost the rest of {call.got}"
                self.arrived(call.node, call.got, whole=False)
            return
        assert not call.wrong_turn, f"{call} out of turn"
        assert 1 <= len(call.result) <= call.most, call
        for found in call.result:
            self.arrived(call.node, found)

    def arrived(self, node, found, whole=True):
        data = found if isinstance(found, bytes) else b"".join(found)
        name, data = data.split(b"|", 1) if node.type == "ROUTER" else (None, data)
        if data in (b"\1", b"\0"):  # to everything, or its end
            assert node.type == "XPUB", f"{node} got a subscription"
            assert any(n.type in SUBSCRIBERS for n in node.ever), f"{node} got one from nobody"
            return
        if not data and not whole:
            message = self.next_of(found[0], node)
        else:
            message = self.messages[int(data.lstrip(b"\0\1").split(b":")[0])]
        sender = message.sender
        if data[:1] == b"\0":  # who subscribed is no longer linked
            assert message.subscribes, f"torn: {message}"
            assert node in message.copies, f"{node} got the end of {message}"
            assert not (sender.exact and node in sender.links), f"{node} lost {message}"
            return
        parts = ([sender.name] if name is not None else []) + message.parts
        expected = b"".join(parts) if isinstance(found, bytes) else parts
        assert (found if whole else found + expected[len(found) :]) == expected, f"torn: {message}"
        assert message.state != UNSENT, f"{node} got {message}"
        again = node in message.copies if sender.type in TO_ALL else message.state == RECEIVED
        if message.subscribes and not sender.exact:
            again = False  # it subscribes anew when it is connected again
        assert not again, f"{node} got {message} again"
        message.copies.add(node)
        assert sender in node.ever, f"{node} got {message}"
        assert message.target in (None, node), f"{node} got {message}, sent to {message.target}"
        # What comes through an old connection may be behind what comes through a new one.
        # And those who subscribe remember to what, but not in which order.
        if (sender.exact or not (self.cuts or sender in node.again)) and not message.subscribes:
            before = self.last.get((sender, node), -1)
            assert before < message.number, f"{node} got {message} after {before}"
            self.last[sender, node] = message.number
        message.wanting.discard(node)
        if not message.wanting:
            message.state = RECEIVED
            sender.owed.discard(message)
        node.known.add(sender)
        if node.turn:
            node.turn = "send"
            node.client = sender if node.type == "REP" else None

    def next_of(self, name, node):
        """The message of which a node got only who sent it: that sender's next."""
        return next(
            message
            for message in self.messages
            if message.sender.name == name
            and message.state not in (UNSENT, RECEIVED)
            and message.target in (None, node)
            and message.number > self.last.get((message.sender, node), -1)
        )

    def drain(self, nodes):
        """Receive all that these owe, and let their sends finish."""
        deadline = time.monotonic() + LONG
        while True:
            self.settle()
            late = [n for n in nodes if n.exact and n.complete()]
            late = [n for n in late if n.owed or n.pending(sends=True)]
            late += [n for n in nodes if n.exact and n.zsock.closed and n.owed]
            if not late:
                return
            assert time.monotonic() < deadline, f"lost: {[n.owed or n.calls for n in late]}"
            for node in self.open:
                if node.type == "REP" and node.turn == "send" and not node.calls:
                    self.soon(
                        Call(node, "send", 0, messages=[self.message(node, [1], node.client)])
                    )
                elif node.can_recv and not node.pending(sends=False) and node.turn != "send":
                    op = "recv_many" if node.number % 2 else "recv_multipart"
                    self.soon(Call(node, op, 0.002, most=100 if node.number % 2 else 1))

    def soon(self, call):
        """Make a call that soon ends."""
        self.go(call, 0)
        while not call.over:
            time.sleep(0.0002)

    # Steps

    def new_two(self, type, peer, sndhwm, rcvhwm):
        """Make a socket and one that can be its peer."""
        if len(self.open) > 5:
            raise Idle
        for kind in (type, sorted(PEERS[type])[peer % len(PEERS[type])]):
            node = Node(len(self.nodes), kind, self.folder, sndhwm=sndhwm, rcvhwm=rcvhwm)
            self.nodes.append(node)
            if kind in SUBSCRIBERS:
                message = self.message(node, [0])
                node.zsock.subscribe(message.parts[0][1:])
                self.taken(message)

    def unlinked(self):
        return [
            (one, other)
            for one in self.open
            for other in self.open
            if one is not other
            and other.type in PEERS[one.type]
            and other not in one.links
            and not (one.type == "PAIR" and (one.ever or other.ever))
            # A ROUTER turns a name away until it has noticed that its last bearer left, and an XPUB
            # does not tell whether who has subscribed left before or after.
            and not ({"ROUTER", "XPUB"} & {one.type, other.type} and other in one.ever)
            # A paused send is also to who comes meanwhile, and whether that has room nobody knows.
            and not any(n.type == "XPUB" and n.pending(sends=True) for n in (one, other))
        ]

    def link(self, number, transport, late):
        one, other = pick(number, self.unlinked())
        if self.cuts == "inproc" or ((self.cuts or TORTURE) and one.turn):
            transport = "inproc"
        if transport in other.bound and transport not in one.bound:
            one, other = other, one
        # `one` connects, to where `other` listens or, if the name is known, will listen.
        if transport not in other.bound and (transport == "tcp" or not late):
            other.bind(transport)
        one.zsock.connect(other.endpoint(transport))
        one.used = True
        for here, there in ((one, other), (other, one)):
            here.links[there] = (transport, other)
            here.again |= here.ever & {there}
            here.ever.add(there)
            for message in here.subscriptions:
                here.owe(message, {n for n in [there] if n.type == "XPUB"})
        if one.type == "XSUB":
            one.known.add(other)

    def unbound(self):
        return [
            (binder, transport)
            for node in self.open
            for transport, binder in node.links.values()
            if transport not in binder.bound
        ]

    def bind(self, number):
        binder, transport = pick(number, self.unbound())
        binder.bind(transport)

    def free(self, *, sends):
        able = [n for n in self.open if (n.can_send if sends else n.can_recv)]
        able = [n for n in able if len(n.calls) < (1 if n.turn else 4)]
        # Whom a ROUTER sends to it has to name, and a REP answers whoever asked.
        able = [n for n in able if not (sends and n.type == "ROUTER" and not n.live())]
        # Nobody can tell what an XPUB sends to, or has room for, before all have subscribed.
        return [n for n in able if not (n.type == "XPUB" and sends and n.links.keys() - n.known)]

    def send(self, number, host, op, sizes, timeout, race):
        node = pick(number, self.free(sends=True))
        target = node.client
        if node.type == "ROUTER":
            target = pick(number, node.live())
        wrong = node.turn == "recv"
        local = all(transport == "inproc" for transport, _ in node.links.values())
        if self.cuts == "all" or not node.exact or (TORTURE and not local):
            # libzmq dies of a connection that breaks in mid-message while its socket closes
            # (session_base.cpp, clean_pipes), so what is cut, or not waited for, has one part; in a
            # long run, whatever does not stay here.
            sizes = sizes[:1]
        if op == "send_many" and node.type != "ROUTER" and not node.turn:
            messages = [self.message(node, [size]) for size in sizes * 4]
        else:
            op = "send" if op == "send_many" else op
            messages = [self.message(node, sizes, target)]
        found = [call for call in self.stoppable() if call.node in node.live()]
        self.go(Call(node, op, timeout, messages=messages, wrong_turn=wrong), host)
        if race and found:
            self.stop(number, found)

    def recv(self, number, host, op, most, timeout):
        node = pick(number, self.free(sends=False))
        most = most if op == "recv_many" else 1
        wrong = node.turn == "send"
        self.go(Call(node, op, timeout, most=most, wrong_turn=wrong), host)

    def stoppable(self):
        return [c for n in self.open for c in n.calls if c.host.rt.stops]

    def stop(self, number, calls):
        call = pick(number, calls)
        call.stopped = True
        call.host.rt.cancel(call.task)

    def kill_or_cancel(self, number):
        self.stop(number, self.stoppable())

    def look(self, number, how):
        """Answer the bell, which others wait for."""
        getattr(pick(number, self.open).zsock, how)()

    def set_option(self, number, name):
        node = pick(number, self.open)
        value = {
            "sndhwm": 5000,
            "rcvhwm": 5000,
            "linger": 50.0 * (node.exact and node.lingers),
            "tos": 8,
            "sndbuf": 9000,
        }[name]
        if node.used and name in ("sndhwm", "rcvhwm"):
            with pytest.raises(StateError):
                setattr(node.zsock, name, value)
        else:
            setattr(node.zsock, name, value)
            assert getattr(node.zsock, name) == value

    def set_timeout(self, number, timeout):
        node = pick(number, self.open)
        node.zsock.set_timeout(timeout)
        for call in node.calls:  # one that goes part by part asks anew for each
            call.endless = call.endless and (bool(call.limit) or timeout is None)

    def drain_all(self):
        self.drain(self.nodes)

    def release(self, node):
        """Let what closed peers still have for this one arrive."""
        self.drain([peer for peer in node.links if peer.zsock.closed])

    def quiet(self, node):
        """Drain both directions, if that can be; else its way is cut."""
        if node.exact and node.complete():
            self.drain([node, *node.links])
        else:
            node.cut()

    def connections(self):
        """Give each link with both ends open, as (who connects, who binds)."""
        return [
            (node, binder)
            for node in self.open
            for other, (transport, binder) in node.links.items()
            if binder is other
            and binder in self.open
            and transport in binder.bound
            # What REQ and REP send has two parts (see `send`).
            and not (node.turn and transport != "inproc")
        ]

    def disconnect(self, number, abrupt):
        node, binder = pick(number, self.connections())
        self.release(node)
        if abrupt and self.cuts:
            node.cut()
        else:
            self.quiet(node)
        node.zsock.is_readable()  # to look may be to begin to receive
        transport, _ = node.links.pop(binder)
        node.zsock.disconnect(binder.endpoint(transport))
        del binder.links[node]
        binder.cut()  # it may send before it learns of this
        if node.type in ("REP", "ROUTER"):
            node.cut()  # it may reply to who is gone

    def unbind(self, number):
        if not self.cuts:
            raise Idle
        node = pick(number, [node for node in self.open if node.bound])
        transport = pick(number, list(node.bound))
        self.release(node)
        node.cut()
        node.zsock.unbind(node.bound[transport])
        self.orphan(node, transport)
        del node.bound[transport]

    def orphan(self, node, transport):
        """Nobody listens there any more. Whoever is connected to an ipc path may wait for another
        to listen, but a port can become somebody else's, and inproc is not connected again."""
        for peer, (by, binder) in list(node.links.items()):
            if binder is not node or by != transport:
                continue
            peer.cut()
            if by != "ipc" or node.zsock.closed:
                del node.links[peer], peer.links[node]
                if not peer.zsock.closed:
                    with contextlib.suppress(Error):  # of inproc it has gone already
                        peer.zsock.disconnect(node.endpoint(by))

    def close(self, number, abrupt):
        node = pick(number, self.open)
        for binder, transport in self.unbound():
            # libzmq keeps a socket whose inproc connection nobody has answered. And unless ways may
            # be cut, what is on them arrives before.
            near = binder is node or binder in node.links
            wanted = transport == "inproc" or not self.cuts
            if near and wanted and transport not in binder.bound:
                binder.bind(transport)
        self.release(node)
        if (abrupt and self.cuts) or not node.complete():
            node.cut()
        elif node.can_recv or any(transport == "ipc" for transport, _ in node.links.values()):
            # Of ipc, libzmq drops what a peer that closed had written while the receiver was full.
            self.quiet(node)
        lingers = node.exact and not node.can_recv
        node.zsock.close(None if lingers else 0)
        if lingers:
            return  # what it sent is still owed
        for transport in list(node.bound):
            self.orphan(node, transport)
        for peer in list(node.links):
            peer.cut()
            del node.links[peer], peer.links[node]


def free(buffer):
    """Can it be resized? The call that lent it may have been stopped before it got its Tracker."""
    assert zmqsocket.Tracker().done  # to ask is to collect what libzmq has given back
    try:
        buffer.clear()
    except BufferError:
        return False
    return True


SENDS = "send", "send_multipart", "send_many", "send_lent", "send_multipart_lent"
RECEIVES = (
    *("recv", "recv_multipart", "recv_all", "recv_many"),
    *("recv_frame", "recv_frames", "recv_into"),
)


NUMBER = st.integers(0, 15)  # which of the sockets, or links, or calls
HOST = st.integers(0, len(HOSTS) - 1)
RACE = st.booleans()  # is a call at the other end killed or cancelled at this moment?


LENGTH = 100 if TORTURE else 40


def play(machine, cuts, steps, often):
    """Run many programs of such steps."""
    seed = int(os.environ.get("RATCHET_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"RATCHET_TEST_SEED={seed} repeats this")
    step = st.sampled_from([name for name in sorted(steps) for _ in range(often.get(name, 1))])
    step = step.flatmap(lambda name: st.tuples(st.just(name), *steps[name]))

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=3000 if TORTURE else 40,
        phases=[hypothesis.Phase.generate],  # to shrink would wait LONG for each hang
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
        deadline=None,
        print_blob=True,
    )
    @hypothesis.given(
        cuts=st.sampled_from(cuts), program=st.lists(step, min_size=LENGTH, max_size=LENGTH)
    )
    def run(cuts, program):
        machine(cuts).run(program)

    run()
