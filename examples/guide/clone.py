"""Clone: one table in many places; changes go to the server, which tells everybody (ZeroMQ Guide,
chapter 5: clonesrv1, clonesrv2, clonesrv3, clonecli1, clonecli2, clonecli3, kvsimple).
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ratchet import Timeout, zmqsocket

CLIENTS, CHANGES = (b"Ada", b"Grace", b"Edsger"), 20  # changes of each client


def serve(snapshots, changes, updates):
    """Number the changes, publish them, and give the whole table to whoever asks."""
    table, number = {}, 0
    while True:
        readable, _ = zmqsocket.select([snapshots, changes])
        if changes in readable:
            key, value = changes.recv_multipart()
            table[key], number = value, number + 1
            updates.send_multipart([key, value, b"%d" % number])
        if snapshots in readable:
            snapshots.recv_all()
            snapshots.send_multipart([b"%d" % number, *sum(table.items(), ())])


def clone(places, name):
    """A client: change the table, apply each update to a copy, ask for all of it if one is lost."""
    req, push = zmqsocket.new("REQ"), zmqsocket.new("PUSH")
    with req, push, zmqsocket.new("SUB", subscribe=b"") as sub:
        for zsock, place in zip((req, push, sub), places, strict=True):
            zsock.connect(place)
        for n in range(CHANGES):
            push.send_multipart([b"%d" % n, name])
        table, number = {}, 0
        while number < len(CLIENTS) * CHANGES:
            newer = b"0"
            with suppress(Timeout):
                key, value, newer = sub.recv_multipart(timeout=0.1)
            if int(newer) == number + 1:
                table[key], number = value, int(newer)
            elif not 0 < int(newer) <= number:
                newest, *rows = req.request([b"all"], timeout=1.0, retries=10)
                table, number = dict(zip(rows[::2], rows[1::2], strict=True)), int(newest)
        return sorted(table.items())


def main():
    """Return the tables of all clients, which are the same."""
    sockets = zmqsocket.new("REP"), zmqsocket.new("PULL"), zmqsocket.new("PUB", sndhwm=0)
    places = [zsock.bind("tcp://127.0.0.1:*") for zsock in sockets]
    with ThreadPoolExecutor(1 + len(CLIENTS)) as pool, sockets[0], sockets[1], sockets[2]:
        pool.submit(serve, *sockets)  # which ends when its sockets are closed
        return list(pool.map(clone, [places] * len(CLIENTS), CLIENTS))


if __name__ == "__main__":
    print(len({str(table) for table in main()}), "table in three clones")
