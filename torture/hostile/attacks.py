"""The attackers: a process that tries to get in, one connection after another.

Each kind of attempt is a function that returns what one connection sends. `Attacker` sends it from
one of many addresses, in pieces or at once, and closes, resets or keeps the connection.
"""

import contextlib
import random
import socket
import struct
import time

from ratchet import Error, auth, zmqsocket

from . import wire

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
KEPT = 50  # half handshakes that stay open
SLOW_SHARE = 0.002  # of attempts that are whole CURVE clients, which take milliseconds


def garbage(rng, _):
    return rng.randbytes(rng.randrange(1, 200))


def old_version(rng, _):
    return wire.old(rng.choice([1, 1.5, 2]))


def no_mechanism(_rng, _):
    return wire.null()


def password(rng, known):
    """A name that is there with a password that is not, or the other way round."""
    names = [known.name, b"", b"eve", b"\xff\xfe", b"a\0b", rng.randbytes(rng.randrange(256))]
    words = [b"", b"x", known.name, b"x" * 255, rng.randbytes(rng.randrange(256))]
    return wire.plain(rng.choice(names), rng.choice(words))


def name_for_callable(rng, _):
    """Names with which the callable raises, takes long, or returns what is no user id."""
    kind = rng.choice([b"raise", b"odd", b"none", b"exit"] * 30 + [b"slow"])
    return wire.plain(kind, b"x")


def broken_curve(rng, _):
    """CURVE's commands with nothing right in them, in any order."""
    return (
        wire.greeting(b"CURVE") + b"".join(rng.choices(wire.curve_commands(), k=3)) + wire.MESSAGE
    )


def replayed(_rng, known):
    """All that a client has sent that was let in."""
    return known.recorded


def changed(rng, known):
    """The same, with some bytes changed, left out or repeated."""
    data = bytearray(known.recorded)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data))
        act = rng.randrange(3)
        if act == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif act == 1:
            del data[at : at + rng.randrange(1, 50)]
        else:
            data[at:at] = data[at : at + rng.randrange(1, 50)]
        if not data:
            break
    return bytes(data) + wire.MESSAGE


def truncated(rng, known):
    data = rng.choice([known.recorded, wire.null(), wire.plain(known.name, b"x")])
    return data[: rng.randrange(1, len(data))]


def mixed(rng, known):
    """The greeting of one mechanism, and the commands of another."""
    parts = [wire.null()[64:], wire.plain(known.name, b"x")[64:], known.recorded[64:]]
    mechanism = rng.choice([b"NULL", b"PLAIN", b"CURVE", b"GSSAPI", b"null", b"CURVE\0X"])
    return wire.greeting(mechanism, minor=rng.randrange(3)) + rng.choice(parts) + wire.MESSAGE


KINDS = {
    "garbage": garbage,
    "old version": old_version,
    "no mechanism": no_mechanism,
    "wrong password": password,
    "a callable that fails": name_for_callable,
    "broken CURVE": broken_curve,
    "replayed": replayed,
    "changed": changed,
    "truncated": truncated,
    "mixed": mixed,
}


class Known:
    """What attackers know: where the servers are, what a client has sent, a right name."""

    def __init__(self, ports, recorded, name, server_key):
        self.ports, self.recorded, self.name, self.server_key = ports, recorded, name, server_key


class Attacker:
    """One process's attempts; the same seed makes the same ones."""

    def __init__(self, known, seed):
        self.known, self.rng = known, random.Random(seed)
        self.kept = []
        self.counts = dict.fromkeys([*KINDS, "a stranger's key", "not connected"], 0)

    def run(self, attempts):
        for _ in range(attempts):
            kind = self.rng.choice([*KINDS])
            if self.rng.random() < SLOW_SHARE:
                self.stranger()
                self.counts["a stranger's key"] += 1
            elif self.connect(KINDS[kind](self.rng, self.known)):
                self.counts[kind] += 1
            else:
                self.counts["not connected"] += 1
        for plain in self.kept:
            plain.close()

    def connect(self, data):
        """Send it over one connection; return False if there was none."""
        rng = self.rng
        plain = socket.socket()
        plain.settimeout(10)
        # Many addresses, none of which is allowed; and so many more ports.
        address = f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        try:
            plain.bind((address, 0))
            plain.connect(("127.0.0.1", rng.choice(self.known.ports)))
        except OSError:
            plain.close()
            time.sleep(0.001)
            return False
        with contextlib.suppress(OSError):
            if rng.random() < 0.1:
                at = rng.randrange(len(data) + 1)
                plain.sendall(data[:at])
                time.sleep(0)
                plain.sendall(data[at:])
            else:
                plain.sendall(data)
            if rng.random() < 0.1:
                plain.settimeout(0.05)
                plain.recv(1000)
        if rng.random() < 0.02:
            self.kept.append(plain)
            if len(self.kept) > KEPT:
                self.kept.pop(0).close()
            return True
        with contextlib.suppress(OSError):
            if rng.random() < 0.2:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        plain.close()
        return True

    def stranger(self):
        """A whole CURVE client, with a key that nobody knows."""
        keys = auth.generate()
        with zmqsocket.new("DEALER", curve=keys, server=self.known.server_key, linger=0) as client:
            for port in self.known.ports:
                client.connect(f"tcp://127.0.0.1:{port}")
            with contextlib.suppress(Error):
                for _ in self.known.ports:
                    client.send(wire.MARK, timeout=0)
                client.recv(timeout=0.02)
