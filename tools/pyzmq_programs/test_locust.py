"""locust with a master and two workers, which talk through zmq.green.

Run by tools/pyzmq_tests.py with pyzmq and on ratchet.
"""

import collections
import http.server
import os
import socket
import subprocess
import sys
import threading

import pytest

USERS = """
import os
import zmq
from locust import HttpUser, constant, task

class User(HttpUser):
    wait_time = constant(0.05)

    @task
    def get(self):
        backend = zmq.Socket.__mro__[1].__module__
        self.client.get("/", headers={"X-Worker": os.environ["WORKER"], "X-Backend": backend})
"""


@pytest.fixture
def site():
    """A server that counts who asks, and on what backend."""
    asked = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked[self.headers["X-Worker"], self.headers["X-Backend"].startswith("ratchet")] += 1
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def locust(tmp_path, *arguments, worker=""):
    env = {**os.environ, "WORKER": worker}
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", tmp_path / "users.py", *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_workers(site, tmp_path):
    host, asked = site
    (tmp_path / "users.py").write_text(USERS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = [
        locust(
            *(tmp_path, "--master", "--headless", "--host", host, "--users", 8),
            *("--spawn-rate", 8, "--run-time", "5s", "--expect-workers", 2, "--stop-timeout", 10),
            *("--master-bind-port", port),
        ),
        *(locust(tmp_path, "--worker", "--master-port", port, worker=str(n)) for n in range(2)),
    ]
    try:
        said = [run.communicate(timeout=55)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert [run.returncode for run in runs] == [0, 0, 0], "\n".join(said)
    on_ratchet = "PYZMQ_BACKEND" in os.environ
    assert set(asked) == {("0", on_ratchet), ("1", on_ratchet)}
    assert min(asked.values()) > 20, asked
    assert "2 workers" in said[0] or "2 expected" in said[0] or "worker" in said[0].lower()
