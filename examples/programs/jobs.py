"""A job queue that survives the end of workers and of its broker.

The broker keeps jobs and results in a file of SQLite. It takes all requests that wait, does them in
one transaction, and answers when that is on the disk: what was answered is kept. Whoever hears no
answer asks again, which changes nothing that was done. A job that a worker has taken and not done
within a time is given to another, so a job may run twice; its result is kept once.
"""

import contextlib
import multiprocessing
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from ratchet import Timeout, zmqsocket

LEASE = 0.5  # seconds after which a job that is not done is given to another worker
JOBS, WORKERS = 500, 4
TABLES = """
    CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, job, until REAL, result);
    CREATE INDEX IF NOT EXISTS open ON jobs (until) WHERE result IS NULL;
"""


def broker(endpoint, path, lease=LEASE):
    """Serve ``PUT id job``, ``TAKE``, ``DONE id result`` and ``GET id`` until it is killed."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk
    database.executescript(TABLES)
    with zmqsocket.new("ROUTER", router_mandatory=False) as router:
        router.bind(endpoint)
        while True:
            asked = [router.recv_multipart()]
            with contextlib.suppress(Timeout):
                while len(asked) < 1000:
                    asked.append(router.recv_multipart(timeout=0))
            with database:
                answers = [answer(database, lease, parts) for parts in asked]
            for parts in answers:
                router.send_multipart(parts)


def answer(database, lease, parts):
    """Do one request, in the transaction that is open; return the message of its answer."""
    body = parts.index(b"") + 1  # after the names of the client and of its request
    what, *rest = (part.decode() for part in parts[body:])
    found = [b"OK"]
    if what == "PUT":
        database.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?, 0, NULL)", rest)
    elif what == "DONE":
        name, result = rest
        database.execute(
            "UPDATE jobs SET result = ? WHERE id = ? AND result IS NULL", [result, name]
        )
    elif what == "GET":
        row = database.execute("SELECT result FROM jobs WHERE id = ?", rest).fetchone()
        found = [b"OK", row[0].encode()] if row and row[0] is not None else [b"NOT YET"]
    elif what == "TAKE":
        now = time.time()
        row = database.execute(
            "UPDATE jobs SET until = ? WHERE id = (SELECT id FROM jobs WHERE result IS NULL AND"
            " until < ? ORDER BY until LIMIT 1) RETURNING id, job",
            [now + lease, now],
        ).fetchone()
        found = [b"OK", *(text.encode() for text in row)] if row else [b"NOTHING"]
    return [*parts[:body], *found]


class Client:
    """Asks the broker, and asks again for as long as it takes."""

    def __init__(self, endpoint):
        self.req = zmqsocket.new("REQ", reconnect_ivl=0.02, linger=0)
        self.req.connect(endpoint)

    def __call__(self, what, *words):
        """Return the parts of the answer."""
        parts = [what, *(word.encode() for word in words)]
        return [part.decode() for part in self.req.request(parts, timeout=0.5, retries=100)]


def work(endpoint, function=str.upper, runs=None):
    """Do jobs until it is killed; ``runs`` counts them."""
    ask = Client(endpoint)
    while True:
        status, *job = ask(b"TAKE")
        if status == "OK":
            name, text = job
            if runs is not None:
                with runs.get_lock():
                    runs.value += 1
            ask(b"DONE", name, function(text))
        else:
            time.sleep(0.01)


def put(endpoint, names):
    """Put jobs into the queue."""
    ask = Client(endpoint)
    with ask.req:
        for name in names:
            ask(b"PUT", name, f"job {name}")


def results(endpoint, names):
    """Wait for results; return them by name."""
    ask, found = Client(endpoint), {}
    with ask.req:
        while left := [name for name in names if name not in found]:
            for name in left:
                status, *result = ask(b"GET", name)
                if status != "OK":
                    time.sleep(0.01)
                    break
                found[name] = result[0]
    return found


def main():
    """Have workers do jobs; print how many a second."""
    spawn = multiprocessing.get_context("spawn")
    runs = spawn.Value("i", 0)
    names = [f"{number}" for number in range(JOBS)]
    with zmqsocket.new("PAIR") as free:
        endpoint = free.bind("tcp://127.0.0.1:*")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "jobs.sqlite")
        processes = [spawn.Process(target=broker, args=[endpoint, path, 10 * LEASE])]
        processes += [
            spawn.Process(target=work, args=[endpoint, str.upper, runs]) for _ in range(WORKERS)
        ]
        for process in processes:
            process.start()
        put(endpoint, ["first"])
        results(endpoint, ["first"])  # all of it runs
        began = time.perf_counter()
        putting = [
            threading.Thread(target=put, args=[endpoint, names[part::4]]) for part in range(4)
        ]
        for thread in putting:
            thread.start()
        for thread in putting:
            thread.join()
        found = results(endpoint, names)
        rate = JOBS / (time.perf_counter() - began)
        for process in processes:
            process.kill()
            process.join()
    right = found == {name: f"JOB {name}" for name in names}
    print(f"{JOBS} jobs, all done right: {right}, in {runs.value - 1} runs; {rate:.0f} jobs/s")
    return right


if __name__ == "__main__":
    sys.exit(not main())
