"""Titanic: requests that outlive who took them (ZeroMQ Guide, chapter 4: titanic, ticlient)."""

import multiprocessing
import sqlite3
import tempfile

from ratchet import zmqsocket


def titanic(folder):
    """Keep requests and answers in a database; the service may come later."""
    database = sqlite3.connect(f"{folder}/titanic.db", isolation_level=None)  # each change is final
    query = database.execute
    query("CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY, text, answer)")
    with zmqsocket.new("REP") as rep, zmqsocket.new("DEALER", linger=0) as dealer:
        rep.bind(f"ipc://{folder}/titanic")
        dealer.connect(f"ipc://{folder}/service")
        for number, text in query("SELECT number, text FROM jobs WHERE answer IS NULL"):
            dealer.send_multipart([b"%d" % number, b"", text])
        while True:
            readable, _ = zmqsocket.select([rep, dealer])
            if dealer in readable:
                number, _, answer = dealer.recv_multipart()
                query("UPDATE jobs SET answer = ? WHERE number = ?", [answer, int(number)])
            if rep in readable:
                command, data = rep.recv_multipart()
                if command == b"request":
                    number = query("INSERT INTO jobs (text) VALUES (?)", [data]).lastrowid
                    dealer.send_multipart([b"%d" % number, b"", data])
                    rep.send(b"%d" % number)
                else:  # for an answer, which may not be there yet
                    rows = query("SELECT answer FROM jobs WHERE number = ?", [int(data)])
                    rep.send((rows.fetchone() or [None])[0] or b"")


def main():
    """Ask while there is no service, kill Titanic, and have the answer after a new start."""
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, zmqsocket.new("REQ") as req:
        req.connect(f"ipc://{folder}/titanic")
        lives = [processes.Process(target=titanic, args=[folder], daemon=True) for _ in range(2)]
        lives[0].start()
        (number,) = req.request([b"request", b"hello"], timeout=20.0)
        lives[0].kill()
        lives[0].join()
        lives[1].start()
        with zmqsocket.new("REP") as service:
            service.bind(f"ipc://{folder}/service")
            service.send(service.recv_all(timeout=20.0).upper())
            answer = b""
            while not answer:
                (answer,) = req.request([b"answer", number], timeout=1.0, retries=20)
        lives[1].kill()
        lives[1].join()
    return f"request {number.decode()}: {answer.decode()}"


if __name__ == "__main__":
    print(main())
