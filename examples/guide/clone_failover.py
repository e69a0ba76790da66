"""Clone with a second server (ZeroMQ Guide, chapter 5: clonesrv6, clonecli6, clone)."""

import time
from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

BEAT, DEAD, START = 0.05, 1.0, 20.0  # seconds between signs of life, without one, and at the start


def serve(front, updates, other, dead):
    """Set rows, while the other server is dead; the answer is the table. Follow it otherwise."""
    table, number, beat = {}, 0, 0.0
    while True:
        readable, _ = zmqsocket.select([other, front], timeout=BEAT)
        if other in readable:
            *row, newer = other.recv_multipart()
            dead = time.monotonic() + DEAD
            if row:
                table[row[0]], number = row[1], int(newer)
        elif front in readable:
            key, value = front.recv_multipart()
            if time.monotonic() < dead:
                front.send_multipart([b"the other one"])
                continue
            table[key], number = value, number + 1
            updates.send_multipart([key, value, b"%d" % number])
            front.send_multipart([b"%d" % number, *sum(table.items(), ())])
        if time.monotonic() > beat:
            updates.send(b"alive")
            beat = time.monotonic() + BEAT


def main():
    """Half-way through the primary dies; the backup goes on with a table that misses nothing."""
    primary, backup = ([zmqsocket.new(kind) for kind in ("REP", "PUB", "SUB")] for _ in range(2))
    with ThreadPoolExecutor() as pool, zmqsocket.new("REQ") as req:
        backup[2].subscribe(b"")
        backup[2].connect(primary[1].bind("tcp://127.0.0.1:*"))
        for server, waits in ((primary, 0.0), (backup, START)):
            req.connect(server[0].bind(f"inproc://server-{waits}"))
            pool.submit(serve, *server, time.monotonic() + waits)
        for server, numbers in ((primary, range(5)), (backup, range(5, 10))):
            for number in numbers:
                row = [b"/row/%d" % number, b"value"]
                while len(answer := req.request(row, timeout=0.2, retries=100)) == 1:
                    time.sleep(BEAT)  # then ask again: the next request goes to the other one
            for zsock in server:
                zsock.close()
    return answer


if __name__ == "__main__":
    _, *rows = main()
    print(f"{len(rows) // 2} rows, the last one is {rows[-2].decode()}")
