"""The worker for every Python library: one JSON order per line on stdin, one answer on stdout.

Run as `python -m benchmarks.peer LIBRARY`. c_peer.c obeys the same orders, but the last two:

    facts                                  versions
    open slot type bind endpoint hwm       make a socket if the slot has none, bind or connect it;
                                           answers the endpoint
    send, recv, ping, pong, greet, hear,   one side of a case, on slot 0 and those that follow
    scatter, gather, flow, forward
    prepare                                make what the next of these sends
    burst, bounce, empty                   both sides of a case in this thread, on slots 0 and 1
    close                                  close every socket
    usage                                  resident bytes and open descriptors
    cycle count                            open a pair, pass one message, close; `count` times

Each order has a `limit` in seconds. A worker past it is ended by SIGALRM, which costs the measured
code nothing (unlike a receive timeout) and needs no parent that still lives.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import ADAPTERS, Parcel

if TYPE_CHECKING:
    from .adapters import Library


class Peer:
    """Carries out orders with one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.sockets: dict[int, Any] = {}
        self.packed: tuple[Any, ...] = ()
        self.parcel: Any = None

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what the order says; its answer."""
        library = self.library
        match order["do"]:
            case "facts":
                return dict(library.facts())
            case "open":
                sock, where = self.sockets.get(order["slot"]), (order["endpoint"], order["bind"])
                if sock is not None:
                    return {"endpoint": library.run(library.join, sock, *where)}
                opened = library.run(library.open, order["type"], order["hwm"], *where)
                self.sockets[order["slot"]], endpoint = opened
                return {"endpoint": endpoint}
            case "close":
                while self.sockets:
                    library.run(self.sockets.popitem()[1].close)
                return {}
            case "usage":
                return usage()
            case "cycle":
                loop = library.loop("cycle")
                return {"seconds": library.run(loop, library.new, order["count"])[0]}
            case does:
                what = order["work"], order["size"], order["batch"], library.goods
                if what != self.packed:
                    self.packed, self.parcel = what, Parcel(*what)
                if does == "prepare":
                    return {}
                if does in ("recv", "pong", "gather", "forward"):
                    say({"ready": True})
                socks = [self.sockets[slot] for slot in sorted(self.sockets)]
                return {
                    "seconds": library.work(does, order["work"], socks, self.parcel, order["count"])
                }


def usage() -> dict[str, int]:
    """What this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return {"resident": pages * os.sysconf("SC_PAGE_SIZE"), "descriptors": descriptors}


def say(answer: dict[str, Any]) -> None:
    """Answer the parent."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Obey until stdin ends."""
    peer = Peer(ADAPTERS[sys.argv[1]]())
    for line in sys.stdin:
        order = json.loads(line)
        signal.alarm(order["limit"])
        answer = peer.obey(order)
        signal.alarm(0)
        say(answer)
    peer.obey({"do": "close"})


if __name__ == "__main__":
    main()
