"""A job queue that survives the end of workers and of its broker.

The broker keeps jobs and results in a file of SQLite. It takes all requests that wait, does them in
one transaction, and answers when that is on the disk: what was answered is kept. Whoever hears no
answer asks again. A job that a worker has taken and not done within a time is given to another one,
so a job may run twice; its result is kept once.
"""

import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path

from ratchet import Timeout, zmqsocket

LEASE = 0.5  # seconds after which a job that is not done is given to another worker
JOBS, WORKERS = 500, 4
TABLE = """
    CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, job, result, until REAL, runs);
    CREATE INDEX IF NOT EXISTS open ON jobs (until) WHERE result IS NULL;
"""
# Each may be asked for twice: the second time changes nothing, or a lease makes it good (TAKE).
REQUESTS = {
    "PUT": "INSERT OR IGNORE INTO jobs VALUES (?, ?, NULL, 0, 0)",
    "TAKE": "UPDATE jobs SET until = ?, runs = runs + 1 WHERE id = (SELECT id FROM jobs WHERE"
    " result IS NULL AND until < ? ORDER BY until LIMIT 1) RETURNING id, job",
    "DONE": "UPDATE jobs SET result = ? WHERE id = ? AND result IS NULL",
    "GET": "SELECT result FROM jobs WHERE id = ? AND result IS NOT NULL",
}


def broker(endpoint, path, lease=LEASE):
    """Do requests, until it is killed."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk
    database.executescript(TABLE)
    with zmqsocket.new("ROUTER", router_mandatory=False) as router:
        router.bind(endpoint)
        while True:
            asked = [router.recv_multipart()]
            with contextlib.suppress(Timeout):  # and all others that wait
                while len(asked) < 1000:
                    asked.append(router.recv_multipart(timeout=0))
            with database:  # one transaction, and one wait for the disk
                answers = [[*way, do(database, lease, request)] for *way, request in asked]
            for parts in answers:
                router.send_multipart(parts)


def do(database, lease, request):
    """Do one request, in the transaction that is open; return its answer."""
    what, *words = json.loads(request)
    if what == "TAKE":
        words = [time.time() + lease, time.time()]
    row = database.execute(REQUESTS[what], words).fetchone()
    return json.dumps(row).encode()


def connect(endpoint):
    """Make a socket that asks the broker."""
    req = zmqsocket.new("REQ", reconnect_ivl=0.02, linger=0)
    req.connect(endpoint)
    return req


def ask(req, *request):
    """Return the row that answers a request, or None; ask again for as long as it takes."""
    return json.loads(req.request(json.dumps(request).encode(), timeout=0.5, retries=100))


def work(endpoint):
    """Do jobs, until it is killed."""
    with connect(endpoint) as req:
        while True:
            if row := ask(req, "TAKE"):
                name, job = row
                ask(req, "DONE", job.upper(), name)
            else:
                time.sleep(0.01)


def put(endpoint, names):
    """Put jobs into the queue."""
    with connect(endpoint) as req:
        for name in names:
            ask(req, "PUT", name, f"job {name}")


def results(endpoint, names):
    """Wait for results; return them by name."""
    found = {}
    with connect(endpoint) as req:
        for name in names:
            while not (row := ask(req, "GET", name)):
                time.sleep(0.01)
            found[name] = row[0]
    return found


def main():
    """Have workers do jobs; print how many a second."""
    names = [f"{number}" for number in range(JOBS)]
    with zmqsocket.new("PAIR") as free:
        endpoint = free.bind("tcp://127.0.0.1:*")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "jobs.sqlite")
        start = get_context("spawn").Process
        processes = [start(target=broker, args=[endpoint, path, 10 * LEASE])]
        processes += [start(target=work, args=[endpoint]) for _ in range(WORKERS)]
        for process in processes:
            process.start()
        put(endpoint, ["first"])
        results(endpoint, ["first"])  # all of it runs
        began = time.perf_counter()
        with ThreadPool(4) as pool:
            pool.map(lambda part: put(endpoint, names[part::4]), range(4))
        found = results(endpoint, names)
        rate = JOBS / (time.perf_counter() - began)
        for process in processes:
            process.kill()
            process.join()
        with contextlib.closing(sqlite3.connect(path)) as database:
            runs = database.execute("SELECT sum(runs) FROM jobs WHERE id != 'first'").fetchone()[0]
    right = found == {name: f"JOB {name}" for name in names}
    print(f"{JOBS} jobs, all done right: {right}, in {runs} runs; {rate:.0f} jobs/s")
    return right


if __name__ == "__main__":
    sys.exit(not main())
