"""Clone, subtrees: a client has the part of the table that it subscribes to, and no other (ZeroMQ
Guide, chapter 5: clonesrv4, clonecli4).
"""

from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

TABLE = {b"/kitchen/light": b"on", b"/kitchen/oven": b"off", b"/garden/light": b"off"}


def serve(snapshots, changes, updates):
    """Serve as in clone.py, but send the part of the table that is asked for."""
    table, number = dict(TABLE), 0
    while True:
        readable, _ = zmqsocket.select([snapshots, changes])
        if changes in readable:
            key, value = changes.recv_multipart()
            table[key], number = value, number + 1
            updates.send_multipart([key, value, b"%d" % number])
        if snapshots in readable:
            tree = snapshots.recv_all()
            rows = [part for row in table.items() if row[0].startswith(tree) for part in row]
            snapshots.send_multipart([b"%d" % number, *rows])


def clone(places, tree, count):
    """A client: subscribe to the subtree, ask for it, and receive so many changes of it."""
    with zmqsocket.new("REQ") as req, zmqsocket.new("SUB", subscribe=tree) as sub:
        req.connect(places[0])
        sub.connect(places[2])
        newest, *rows = req.request([tree], timeout=10.0)
        table = dict(zip(rows[::2], rows[1::2], strict=True))
        for _ in range(count):
            key, value, number = sub.recv_multipart(timeout=10.0)
            if int(number) > int(newest):  # others are in the table already
                table[key] = value
    return {key.decode(): value.decode() for key, value in sorted(table.items())}


def main():
    """Make one clone of the kitchen and one of everything, and then two changes."""
    sockets = zmqsocket.new("REP"), zmqsocket.new("PULL"), zmqsocket.new("PUB", track_peers=True)
    places = [zsock.bind("tcp://127.0.0.1:*") for zsock in sockets]
    with ThreadPoolExecutor() as pool, sockets[0], sockets[1], sockets[2]:
        pool.submit(serve, *sockets)  # which ends when its sockets are closed
        trees, counts = (b"/kitchen/", b"/"), (1, 2)
        clones = pool.map(clone, [places] * 2, trees, counts)
        with zmqsocket.new("PUSH") as push:
            push.connect(places[1])
            sockets[2].wait_subscribers(count=2, timeout=10.0)
            push.send_multipart([b"/garden/light", b"on"])
            push.send_multipart([b"/kitchen/oven", b"on"])
        return list(clones)


if __name__ == "__main__":
    print(*main(), sep="\n")
