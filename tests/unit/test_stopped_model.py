"""The doorbell's rule where runtimes stop: fakes, and every order of small sets of operations."""

import itertools

import pytest
from harness.internals import FakeRuntime
from harness.internals import OpenBell as Doorbell

from ratchet._zmq import Caller, Waiter, run_by

RX = 1


class Bell(Doorbell):
    """A socket whose readiness the test sets. ``rung``: its descriptor is readable."""

    ready = 0
    rung = False

    def events(self):
        self.rung = False
        return RX if self.ready else 0


class Sleeper(Waiter):
    """A paused call of a runtime that may stop, named by its first letter; of ``o``, a thread."""

    def __init__(self, name, run):
        super().__init__(Caller())
        self.name, self.run = name, run
        self.home = None if name[0] == "o" else run.homes[name[0]]
        if self.home is not None:
            run_by(self, self.home)
        self.joined = self.watching = self.looks = False

    def wake(self):
        pass

    def promote(self):
        self.watching = True

    def stopped(self):
        return self.home in self.run.stopped


class Run:
    """One order of operations."""

    def __init__(self):
        self.bell = Bell()
        self.stopped = []
        self.homes = {name: FakeRuntime() for name in "ab"}
        for home in self.homes.values():
            home.is_stopped = lambda home=home: home in self.stopped
        self.sleepers = {name: Sleeper(name, self) for name in ("a1", "a2", "b1", "o1", "o2")}
        self.order, self.taken = [], []

    def running(self):
        return [sleeper for sleeper in self.order if not sleeper.stopped()]

    def join(self, name):
        sleeper = self.sleepers[name]
        if not sleeper.joined and not sleeper.stopped():
            sleeper.joined, sleeper.woken = True, False
            self.order.append(sleeper)
            self.bell.join(self.bell.rx, sleeper)
            self.attempt(sleeper)

    def attempt(self, sleeper):
        """What a call does before it sleeps and when it was woken."""
        if self.bell.ready_for(sleeper):
            self.bell.ready -= 1
            self.taken.append(sleeper.name)
            self.leave(sleeper.name)
        else:
            sleeper.watching = self.running()[0] is sleeper
            sleeper.looks = self.bell.must_look(sleeper)

    def leave(self, name):
        sleeper = self.sleepers[name]
        if sleeper.joined and not sleeper.stopped():
            sleeper.joined = False
            self.order.remove(sleeper)
            self.bell.leave(sleeper)

    def ready(self):
        self.bell.ready += 1
        self.bell.rung = True

    def look(self):
        self.bell.answer()

    def stop(self, home):
        self.stopped.append(self.homes[home])

    def go(self, home):
        self.stopped = [other for other in self.stopped if other is not self.homes[home]]

    def wakes(self, sleeper):
        heard = self.bell.rung and (sleeper.home is not None or sleeper.watching)
        return sleeper.woken or sleeper.looks or heard

    def check(self):
        """The first that runs takes what is there, or will hear of it."""
        running = self.running()
        assert not (self.bell.ready and running) or any(map(self.wakes, running))

    def settle(self):
        """Everybody that runs and was woken goes on, until nobody does."""
        moved = True
        while moved:
            moved = False
            for sleeper in self.running():
                if self.bell.ready and self.wakes(sleeper):
                    before = len(self.taken), self.bell.rung, sleeper.woken
                    self.attempt(sleeper)
                    self.bell.answer()
                    moved = moved or before != (len(self.taken), self.bell.rung, sleeper.woken)
        assert not (self.bell.ready and self.running())


class ModelBell(Bell):
    """As `Core.ready_for`."""

    def ready_for(self, waiter):
        waiter.woken = False
        if self.first_running() is not waiter:
            return False
        self.answer(waiter)
        return self.ready > 0


@pytest.mark.parametrize(
    "operations",
    [
        "join a1, join b1, join o1, ready, look, stop a, go a",
        "join a1, join o1, join o2, ready, look, stop a, leave o1",
        "join a1, join a2, join o1, ready, ready, look, stop a",
        "join o1, join a1, join b1, ready, stop a, stop b, go b",
        "join a1, join b1, join a2, ready, stop b, look, stop a",
    ],
)
def test_in_every_order(operations):
    for order in itertools.permutations(operations.split(", ")):
        run = Run()
        run.bell = ModelBell()
        run.bell.first_running = lambda run=run: next(iter(run.running()), None)
        done = 0
        try:
            for operation in order:
                done += 1
                verb, *arguments = operation.split()
                getattr(run, verb)(*arguments)
                run.check()
            run.settle()
            for home in "ab":
                run.go(home)
                run.check()
                run.settle()
        except AssertionError as error:
            error.add_note(f"after: {', '.join(order[:done])}")
            raise
        for sleeper in list(run.order):
            run.leave(sleeper.name)
        assert run.bell.waiting == 0
