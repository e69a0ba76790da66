"""Clone with a second server (ZeroMQ Guide, chapter 5: clonesrv6, clonecli6, clone)."""

import time
from concurrent.futures import ThreadPoolExecutor

from ratchet import zmqsocket

BEAT, DEAD, START = 0.05, 1.0, 20.0  # seconds between signs of life, without one, and at the start


def serve(front, updates, other, dead):
    """Follow the other server while it lives. When it is dead, set rows, and answer with all."""
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
    """Half-way through the primary ends; the backup goes on with the same table."""
    primary, backup = ([zmqsocket.new(kind) for kind in ("REP", "XPUB", "SUB")] for _ in range(2))
    with ThreadPoolExecutor() as pool, zmqsocket.new("REQ") as req:
        backup[2].subscribe(b"")
        backup[2].connect(primary[1].bind("tcp://127.0.0.1:*"))
        primary[1].recv_all(timeout=10.0)  # the backup has subscribed
        for name, server, waits in (("primary", primary, 0.0), ("backup", backup, START)):
            req.connect(server[0].bind(f"inproc://{name}"))
            pool.submit(serve, *server, time.monotonic() + waits)
        for server, numbers in ((primary, range(5)), (backup, range(5, 10))):
            for number in numbers:
                row = [b"/row/%d" % number, b"value"]
                while len(answer := req.request(row, timeout=0.2, retries=100)) == 1:
                    time.sleep(BEAT)  # then ask again: the next request goes to the other one
            for zsock in server:  # what was published still arrives; of a crash it might not
                zsock.close()
    return answer


if __name__ == "__main__":
    _, *rows = main()
    print(f"{len(rows) // 2} rows, the last one is {rows[-2].decode()}")
