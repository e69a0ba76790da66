"""The servers under attack: one of each kind of rule, and clients that must be let in."""

import contextlib
import ctypes
import random
import socket
import tempfile
import threading
import time
from pathlib import Path

from ratchet import ClosedError, Error, Timeout, auth, zmqsocket

RECORDED = b"recorded"  # a message that may come once
PATIENCE = 60.0  # seconds in which a client that may come in has an answer, under any load
COMMON = {"handshake_ivl": 2.0, "backlog": 1000, "linger": 0.0}


def by_name(name, _password, _address):
    """A callable that fails in every way."""
    if name == "raise":
        raise RuntimeError(name)
    if name == "exit":
        raise SystemExit(name)
    if name == "slow":
        time.sleep(0.5)
    return {"odd": b"bytes", "none": None}.get(name, False)


class Servers:
    """Sockets with rules, each served by a thread that answers, and notes who must not be there."""

    def __init__(self):
        self.keys, self.good = auth.generate(), [auth.generate() for _ in range(3)]
        self.folder = tempfile.TemporaryDirectory()
        auth.save(self.folder.name, "good", self.good[0])
        self.let_in, self.recording = [], False
        self.rules = {
            "list and folder": {
                "curve": self.keys,
                "clients": [Path(self.folder.name), self.good[1].public],
            },
            "callable for keys": {
                "curve": self.keys,
                "clients": lambda key, _: key == self.good[2].public,
                "auth_timeout": PATIENCE,
            },
            "passwords": {"users": {"good": "sesame"}},
            "callable for names": {"users": by_name, "auth_timeout": 0.2},
            "addresses": {"allow": ["127.0.0.1"], "deny": ["10.0.0.0/8"]},
        }
        self.sockets = {
            name: zmqsocket.new("ROUTER", **COMMON, **rules) for name, rules in self.rules.items()
        }
        self.ports = {
            name: int(zsock.bind("tcp://127.0.0.1:*").rpartition(":")[2])
            for name, zsock in self.sockets.items()
        }
        self.threads = [
            threading.Thread(target=self.serve, args=item, daemon=True)
            for item in self.sockets.items()
        ]
        for thread in self.threads:
            thread.start()

    def serve(self, name, zsock):
        with contextlib.suppress(ClosedError):
            while True:
                parts = zsock.recv_multipart()
                if parts[-1] == b"good" or (self.recording and parts[-1] == RECORDED):
                    zsock.send_multipart([parts[0], b"welcome"])
                else:
                    self.let_in.append((name, parts))

    def record(self):
        """Return all that a client sends that is let in."""
        sent = []
        with socket.create_server(("127.0.0.1", 0)) as relay:

            def pass_on():
                client = relay.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.ports["list and folder"]))
                back = threading.Thread(target=pump, args=(server, client, None), daemon=True)
                back.start()
                pump(client, server, sent)
                back.join(PATIENCE)
                client.close()
                server.close()

            thread = threading.Thread(target=pass_on, daemon=True)
            thread.start()
            self.recording = True
            at = relay.getsockname()[1]
            assert self.knock(("list and folder", self.good[0]), at, RECORDED)
            self.recording = False
            thread.join(PATIENCE)
        return b"".join(sent)

    def welcome(self, rng):
        """Choose a client that must be let in."""
        return rng.choice(
            [
                ("list and folder", self.good[0]),
                ("list and folder", self.good[1]),
                ("callable for keys", self.good[2]),
                ("passwords", None),
                ("addresses", None),
            ]
        )

    def knock(self, who, port=None, message=b"good"):
        """Return True if a client is let in and has an answer."""
        name, keys = who
        options = {"curve": keys, "server": self.keys} if keys else {}
        if name == "passwords":
            options = {"plain_username": "good", "plain_password": "sesame"}
        with zmqsocket.new("DEALER", linger=0, **options) as client:
            client.connect(f"tcp://127.0.0.1:{port or self.ports[name]}")
            client.send(message)
            try:
                return client.recv(timeout=PATIENCE) == (b"welcome", False)
            except Timeout:
                return False

    def close(self):
        for zsock in self.sockets.values():
            zsock.close()
        for thread in self.threads:
            thread.join(PATIENCE)
        self.folder.cleanup()


def pump(source, sink, kept):
    """Pass bytes on until the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if kept is not None:
                kept.append(data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Trouble(threading.Thread):
    """What goes wrong in the server's process meanwhile."""

    def __init__(self, servers, seed):
        super().__init__(daemon=True)
        self.servers, self.rng = servers, random.Random(seed)
        self.over = threading.Event()
        self.counts = {
            "files half written": 0,
            "files changed": 0,
            "lists set": 0,
            "handler killed": 0,
        }
        self.start()

    def run(self):
        folder = Path(self.servers.folder.name)
        passing = auth.generate()
        while not self.over.wait(self.rng.uniform(0.01, 0.05)):
            kind = self.rng.choice([*self.counts][: 4 if self.rng.random() < 0.1 else 3])
            self.counts[kind] += 1
            if kind == "files half written":
                text = Path(folder, "good.key").read_text(encoding="utf-8")
                Path(folder, f"{self.rng.randrange(5)}.key").write_text(
                    text[: self.rng.randrange(len(text))], encoding="utf-8"
                )
            elif kind == "files changed":
                auth.save(folder, "passing", passing)
                Path(folder, "passing.key_secret").unlink()
                Path(folder, "passing.key").unlink()
            elif kind == "lists set":
                zsock = self.servers.sockets["list and folder"]
                with contextlib.suppress(Error):
                    zsock.clients = [folder, self.servers.good[1].public]
            else:
                kill_handler()


def kill_handler():
    """Raise in the handler's thread, wherever it is.

    But not while it starts another: until that runs, Python has one identifier for the two, and
    what is raised in a thread that has not begun leaves its starter waiting for ever.
    """
    for thread in threading.enumerate():
        if thread.name == "ratchet-zap" and thread.is_alive() and not threading._limbo:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            )
