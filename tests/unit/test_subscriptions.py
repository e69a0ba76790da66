"""Who has subscribed, from what libzmq tells, in every order in which it does: no socket here."""

import random

import pytest

from ratchet._zmq import Subscriptions


def counted(wants, prefix=None):
    found, local = wants.matching(prefix)
    return len(found) + local


@pytest.fixture
def wants():
    return Subscriptions()


def test_by_prefix(wants):
    for fd in (5, 6):
        wants.begin(fd)
    wants.told(5, True, b"a")
    wants.told(5, True, b"ab")
    wants.told(6, True, b"b")
    assert counted(wants) == 2
    assert [counted(wants, prefix) for prefix in (b"", b"a", b"abc", b"b", b"c")] == [0, 1, 1, 1, 0]
    wants.told(6, True, b"")
    assert [counted(wants, prefix) for prefix in (b"", b"a", b"c")] == [1, 2, 1]


def test_by_a_long_prefix(wants):
    """A message of megabytes has as many beginnings: to look up each took minutes."""
    for fd in (5, 6, 7):
        wants.begin(fd)
    wants.told(5, True, b"a")
    wants.told(6, True, bytes(200))
    wants.told(7, True, b"")
    assert counted(wants, bytes(2_000_000)) == 2


def test_the_first_and_the_last_of_a_prefix(wants):
    """As an XPUB without options tells them."""
    for fd in (5, 6):
        wants.begin(fd)
    assert wants.told(5, True, b"a") == (True, False)
    assert wants.told(5, True, b"a") == (False, False)
    assert wants.told(6, True, b"a") == (False, False)
    assert wants.told(5, False, b"a") == (False, False)
    assert wants.told(5, False, b"a") == (False, True)  # it has none: libzmq tells of that
    assert wants.told(6, False, b"a") == (False, True)
    assert counted(wants) == 0


def test_a_repeated_one_counts_once_and_ends_once(wants):
    wants.begin(5)
    for _ in range(3):
        wants.told(5, True, b"a")
    assert counted(wants) == 1
    wants.told(5, False, b"a")
    assert counted(wants) == 0


def test_who_has_ended_counts_no_more_and_its_end_takes_nobody(wants):
    for fd in (5, 6):
        wants.begin(fd)
        wants.told(fd, True, b"a")
    wants.end(5)
    assert counted(wants) == 1
    wants.told(-1, False, b"a")
    assert counted(wants) == 1
    wants.end(6)
    assert wants.told(-1, False, b"a") == (False, True)
    assert counted(wants) == 0


def test_a_number_given_anew_before_the_end_is_told(wants):
    wants.begin(5)
    wants.told(5, True, b"a")
    wants.end(5)
    wants.begin(5)
    wants.told(5, True, b"a")  # the next connection's
    assert counted(wants) == 1
    wants.told(-1, False, b"a")  # the end of the one before
    assert counted(wants) == 1
    wants.end(5)
    wants.told(-1, False, b"a")
    assert counted(wants) == 0


@pytest.mark.parametrize("subscribes", [True, False])
def test_what_is_read_after_the_number_was_given_anew(wants, subscribes):
    wants.begin(5)
    wants.end(5)
    wants.begin(5)
    wants.told(5, True, b"a")  # of the connection that has ended
    if subscribes:
        wants.told(5, True, b"a")  # of the one that is there
    wants.told(-1, False, b"a")
    assert counted(wants) == subscribes


def test_what_is_read_after_the_end(wants):
    wants.begin(5)
    wants.end(5)
    for _ in range(2):
        wants.told(5, True, b"a")
    assert counted(wants) == 0
    wants.begin(6)
    wants.told(6, True, b"a")
    wants.told(-1, False, b"a")
    assert counted(wants) == 1


@pytest.mark.parametrize("again", [5, 6])
def test_which_of_two_is_known_when_its_next_one_tells(wants, again):
    """Both numbers were given anew, one of those before had subscribed, and its end comes first."""
    for fd in (5, 6):
        wants.begin(fd)
        wants.end(fd)
        wants.begin(fd)
    wants.told(5, True, b"a")
    wants.told(6, True, b"a")
    wants.told(-1, False, b"a")
    assert counted(wants) == 1
    wants.told(again, True, b"a")
    assert counted(wants) == 2


def test_both_that_had_one_number_end(wants):
    wants.begin(7)
    wants.end(7)
    wants.begin(7)
    wants.told(7, True, b"a")  # perhaps of the one before
    for note in (wants.begin, wants.end, wants.begin):
        note(5)
    wants.told(5, True, b"a")
    wants.told(5, True, b"a")
    assert counted(wants) == 2
    wants.end(5)
    for _ in range(2):
        wants.told(-1, False, b"a")
    assert counted(wants) == 1


def test_what_is_told_late_of_two_that_had_one_number(wants):
    wants.begin(7)
    wants.told(7, True, b"a")
    for _ in range(2):
        wants.begin(5)
        wants.end(5)
        wants.told(5, True, b"a")
    for _ in range(2):
        wants.told(-1, False, b"a")
    assert counted(wants) == 1


@pytest.mark.parametrize("seed", range(100))
def test_connections_that_come_and_go(wants, seed):
    """Events first, then what subscribers have sent since the last look: as it is read.

    Each subscribes, some unsubscribe, and numbers are given anew at once. What a look
    finds is of at most one connection that has ended and its number's next one.
    """
    rng = random.Random(seed)
    open_ones = {}  # descriptor -> its prefixes
    for _ in range(60):
        events, told = [], []
        ended = None
        for _ in range(rng.randrange(1, 6)):
            act = rng.randrange(4)
            if act == 0 and open_ones and ended is None:
                ended = rng.choice(list(open_ones))
                events.append((wants.end, ended))
                told.extend((-1, False, prefix) for prefix in open_ones.pop(ended))
            elif act == 1 and open_ones:
                fd = rng.choice(list(open_ones))
                if open_ones[fd] and fd != ended:
                    told.append((fd, False, open_ones[fd].pop()))
            else:
                fd = next(number for number in range(5, 999) if number not in open_ones)
                events.append((wants.begin, fd))
                open_ones[fd] = set(rng.choice([[b"a"], [b"ab"], [b"a", b"ab"]]))
                told.extend((fd, True, prefix) for prefix in open_ones[fd])
        for note, fd in events:
            note(fd)
        for message in told:
            wants.told(*message)
        wants.read()
        for prefix in (b"a", b"ab"):
            expected = sum(
                any(prefix.startswith(one) for one in prefixes) for prefixes in open_ones.values()
            )
            assert counted(wants, prefix) == expected
