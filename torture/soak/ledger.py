"""The messages of the soak, and what has come of each stream."""

import random
import struct
import time
from collections import Counter
from zlib import crc32

HEAD = struct.Struct("<HIIBBd")  # stream, session, number, mark, parts, time; before it the CRC
GOES_ON, ENDS, LAST = range(3)  # marks: the last message of a session, and of the stream
NOISE = random.Random(0).randbytes(1 << 19)


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
