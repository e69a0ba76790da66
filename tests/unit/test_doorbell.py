"""The edge rule of ZMQ_FD as pure logic: fakes, and every order of small sets of operations."""

import gc
import itertools
import sys
import weakref

import pytest
from harness.internals import OpenBell as Doorbell

from ratchet._zmq import Caller, RuntimeGone, Waiter

RX, TX = 1, 2
LINES = {"rx": RX, "tx": TX}


class Bell(Doorbell):
    """A socket whose readiness the test sets. ``rung``: its descriptor is readable."""

    def __init__(self):
        self.ready = 0
        self.rung = False
        self.looks = 0

    def events(self):
        self.looks += 1
        self.rung = False
        return self.ready


class Sleeper(Waiter):
    """A paused call that writes down when it is woken. ``watching``: it polls the descriptor."""

    def __init__(self, name, caller, log, broken=False):
        super().__init__(caller)
        self.name, self.log, self.broken = name, log, broken
        self.watching = False

    def wake(self):
        self.log.append(self.name)
        if self.broken:
            raise self.broken

    def promote(self):
        self.watching = True


class Model:
    """What a doorbell must do, as plain lists. A waiter's caller is its first letter."""

    def __init__(self, broken=()):
        self.queue = {RX: [], TX: []}
        self.owner = {RX: None, TX: None}
        self.ended, self.woken, self.log = set(), set(), []
        self.broken = broken
        self.ready = 0

    def entitled(self, line, name):
        owner = self.owner[line]
        return owner is None or owner == name[0] or owner in self.ended

    def line_of(self, name):
        return next((line for line, queue in self.queue.items() if name in queue), None)

    def ring(self, but=None):
        for line, queue in self.queue.items():
            while self.ready & line and queue:
                # Whose turn it is: the first, or of those in mid-message the first of their own.
                head = next((name for name in queue if self.entitled(line, name)), None)
                if head is None or head == but or head in self.woken:
                    break
                self.log.append(head)
                self.woken.add(head)
                if head not in self.broken:
                    break
                queue.remove(head)

    def join(self, line, name):
        queue = self.queue[line]
        queue.insert(0 if self.owner[line] == name[0] else len(queue), name)

    def leave(self, name):
        line = self.line_of(name)
        if line is not None:
            self.queue[line].remove(name)
            self.ring()

    def own(self, line, caller):
        self.owner[line] = caller
        if caller is None and self.queue[line]:
            self.ring()

    def end(self, caller):
        self.ended.add(caller)
        if any(self.owner[line] == caller and self.queue[line] for line in LINES.values()):
            self.ring()


class Run:
    """One order of operations, done to a real doorbell and to the model, compared after each."""

    def __init__(self, broken=()):
        self.bell = Bell()
        self.model = Model(broken)
        self.log = []
        self.callers = {name: Caller() for name in "abco"}
        self.sleepers = {
            name: Sleeper(name, self.callers[name[0]], self.log, name in broken and RuntimeGone())
            for name in ("a", "b", "c", "o")
        }
        self.lines = {RX: self.bell.rx, TX: self.bell.tx}

    def do(self, operation):
        verb, *arguments = operation.split()
        getattr(self, verb)(*arguments)

    def ready(self, line):
        """Something happens to the socket: it rings."""
        self.bell.ready |= LINES[line]
        self.model.ready |= LINES[line]
        self.bell.rung = True

    def look(self):
        """Someone's call answers the bell."""
        self.bell.answer()
        self.model.ring()

    def join(self, name, line):
        """A call pauses: it queues, tries if it is its turn, and sleeps."""
        if self.model.line_of(name) is None and name[0] not in self.model.ended:
            self.sleepers[name].woken = False
            self.model.woken.discard(name)
            self.bell.join(self.lines[LINES[line]], self.sleepers[name])
            self.model.join(LINES[line], name)
            self.attempt(name)

    def run(self, name):
        """A woken call goes on; so does one that sees the bell ring."""
        line, sleeper = self.model.line_of(name), self.sleepers[name]
        if line and (sleeper.woken or (sleeper.watching and self.bell.rung)):
            sleeper.woken = False
            self.model.woken.discard(name)
            self.attempt(name)

    def attempt(self, name):
        line, sleeper = self.model.line_of(name), self.sleepers[name]
        head = self.lines[line].first is sleeper
        if head and self.model.entitled(line, name):
            self.bell.answer(sleeper)
            self.model.ring(but=name)
            if self.bell.ready & line:
                self.bell.ready &= ~line
                self.model.ready &= ~line
                self.leave(name)
                return
        sleeper.watching = head

    def leave(self, name):
        """A call is done, or gives up: timed out, cancelled, killed."""
        self.bell.leave(self.sleepers[name])
        self.model.leave(name)

    def own(self, line, caller):
        """A caller begins a message of several parts."""
        number = LINES[line]
        if self.model.owner[number] is None and caller not in self.model.ended:
            self.bell.own(self.lines[number], self.callers[caller])
            self.model.own(number, caller)

    def free(self, line):
        """It sends or takes the last part."""
        number = LINES[line]
        if self.model.owner[number] not in {None, *self.model.ended}:
            self.bell.own(self.lines[number], None)
            self.model.own(number, None)

    def end(self, caller):
        """A thread ends, with none of its calls paused."""
        if self.model.line_of(caller) is None:
            self.callers[caller].end()
            self.model.end(caller)

    def check(self):
        bell, model = self.bell, self.model
        assert self.log == model.log
        assert bell.waiting == sum(map(len, model.queue.values()))
        for number, line in self.lines.items():
            queue, owner = model.queue[number], model.owner[number]
            assert line.count == len(queue)
            assert line.contended == (bool(queue) or owner is not None)
            assert line.owner is (None if owner is None else self.callers[owner])
            assert (line.first and line.first.name) == (queue[0] if queue else None)
            assert (line.last and line.last.name) == (queue[-1] if queue else None)
            if queue and bell.ready & number and model.entitled(number, queue[0]):
                # Nobody sleeps through readiness: it was woken, or it will see the bell itself.
                head = self.sleepers[queue[0]]
                assert head.woken or (bell.rung and head.watching)
        for name, sleeper in self.sleepers.items():
            assert sleeper.woken == (name in model.woken)

    def drain(self):
        """Everybody leaves, in the order of the lines."""
        for number, line in self.lines.items():
            while line.first is not None:
                assert line.first.name == self.model.queue[number][0]
                self.leave(line.first.name)
        assert self.log == self.model.log
        assert self.bell.waiting == 0


def every_order(operations, broken=()):
    for order in itertools.permutations(operations.split(", ")):
        run = Run(broken)
        done = 0
        try:
            for operation in order:
                done += 1
                run.do(operation)
                run.check()
            run.drain()
        except AssertionError as error:
            error.add_note(f"after: {', '.join(order[:done])}")
            raise


@pytest.mark.parametrize(
    "operations",
    [
        "join a rx, join b rx, ready rx, look, leave a, run a, run b",
        "join a rx, join b rx, join c rx, ready rx, look, leave a, run b",
        "join a rx, join b tx, join c rx, ready rx, ready tx, look, leave a",
        "own rx o, join a rx, join o rx, ready rx, look, free rx, run a",
        "own rx o, join a rx, join b rx, ready rx, look, end o, leave a",
        "own tx a, join a tx, join b tx, ready tx, leave b, free tx, end a",
        "own tx o, join a rx, join b tx, ready rx, ready tx, look, end o",
    ],
)
def test_every_order(operations):
    every_order(operations)


def test_one_caller_in_the_middle_of_a_message_each_way():
    every_order("own rx o, own tx o, join a rx, join b tx, ready rx, free tx, end o")


@pytest.mark.parametrize(
    "operations",
    [
        "join a rx, join b rx, join c rx, ready rx, look, run b, leave b",
        "join a rx, join b rx, own rx o, ready rx, look, free rx, end o",
        "join a rx, join b tx, join c rx, ready rx, ready tx, look, leave c",
    ],
)
def test_every_order_with_a_waiter_whose_loop_is_closed(operations):
    every_order(operations, broken=("a",))


def sleepers(count, broken=()):
    log = []
    return [
        Sleeper(i, Caller(), log, i in broken and RuntimeError("broken")) for i in range(count)
    ], log


def test_first_come_first_served_and_only_the_head_is_woken_and_once():
    bell = Bell()
    waiters, log = sleepers(50)
    for waiter in waiters:
        bell.join(bell.rx, waiter)
    bell.ready = RX
    for i, waiter in enumerate(waiters):
        bell.answer()
        bell.answer()
        assert log == list(range(i + 1))
        bell.leave(waiter)
    assert bell.waiting == bell.rx.count == 0
    assert not bell.rx.contended


def test_leaving_twice_or_without_having_joined_is_nothing():
    bell = Bell()
    (one, two), log = sleepers(2)
    bell.leave(one)
    bell.join(bell.rx, one)
    bell.join(bell.rx, two)
    bell.leave(one)
    bell.leave(one)
    assert (bell.waiting, bell.rx.count, bell.rx.first, log) == (1, 1, two, [])
    bell.leave(two)


def test_looks_are_made_only_for_those_who_wait():
    bell = Bell()
    (one, two), _ = sleepers(2)
    owner = Caller()
    bell.own(bell.rx, owner)
    bell.own(bell.rx, None)
    bell.own(bell.tx, owner)
    bell.join(bell.rx, one)
    assert bell.looks == 0
    bell.leave(one)
    bell.own(bell.tx, None)
    owner.end()
    assert bell.looks == 0
    bell.join(bell.rx, one)
    bell.join(bell.rx, two)
    bell.leave(one)
    assert bell.looks == 1
    bell.answer()
    assert bell.looks == 2
    bell.leave(two)


def test_the_owner_goes_first_and_the_others_in_their_order_after_it():
    bell = Bell()
    (one, two, mine), log = sleepers(3)
    bell.own(bell.rx, mine.caller)
    bell.join(bell.rx, one)
    bell.join(bell.rx, two)
    bell.ready = RX
    bell.answer()
    assert log == []
    bell.join(bell.rx, mine)
    assert bell.rx.first is mine
    bell.answer()
    assert log == [2]
    bell.leave(mine)
    assert log == [2]
    bell.own(bell.rx, None)
    assert log == [2, 0]
    bell.leave(one)
    assert log == [2, 0, 1]
    bell.leave(two)


def test_the_end_of_an_owner_frees_every_line_it_shut():
    owner = Caller()
    bells = [Bell() for _ in range(3)]
    waiters, log = sleepers(3)
    for bell, waiter in zip(bells, waiters, strict=True):
        bell.own(bell.tx, owner)
        bell.join(bell.tx, waiter)
        bell.ready = TX
        bell.answer()
    assert log == []
    assert not owner.ended
    owner.end()
    owner.end()
    assert owner.ended
    assert sorted(log) == [0, 1, 2]
    for bell, waiter in zip(bells, waiters, strict=True):
        bell.leave(waiter)


def test_wake_all_wakes_everybody_once_and_an_error_does_not_stop_it(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    bell = Bell()
    waiters, log = sleepers(4, broken=(1,))
    for i, waiter in enumerate(waiters):
        bell.join(bell.tx if i % 2 else bell.rx, waiter)
    bell.wake_all()
    assert sorted(set(log)) == [0, 1, 2, 3]
    assert all(waiter.woken for waiter in waiters)
    assert reported == [RuntimeError]
    for waiter in waiters:
        bell.leave(waiter)


def test_an_error_in_the_look_wakes_nobody_and_is_reported(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    bell = Bell()
    (one,), log = sleepers(1)
    bell.events = None
    bell.join(bell.rx, one)
    bell.answer()
    assert (log, reported) == ([], [TypeError])
    bell.leave(one)


def test_a_bell_is_not_kept_by_a_caller_for_whom_somebody_once_waited():
    bell = Bell()
    (one,), _ = sleepers(1)
    owner = Caller()  # the main thread, say, which never ends
    bell.own(bell.tx, owner)
    bell.join(bell.tx, one)
    bell.leave(one)  # its time was up
    bell.own(bell.tx, None)
    gone = weakref.ref(bell)
    del bell
    gc.collect()
    assert gone() is None
    assert not owner.ended


def test_an_error_in_wake_goes_to_the_unraisable_hook_alone(monkeypatch):
    """What sys.excepthook is told would end the process, were it a SystemExit."""
    reported, wrong = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    monkeypatch.setattr(sys, "excepthook", lambda *what: wrong.append(what[0]))
    bell = Bell()
    (one,), _ = sleepers(1, broken=(0,))
    bell.join(bell.rx, one)
    bell.ready = RX
    bell.answer()
    assert (reported, wrong) == ([RuntimeError], [])
