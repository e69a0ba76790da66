"""The service of docs/deploying.md: started as systemd does, asked, and ended by SIGTERM."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet import zmqsocket

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
# What systemd does between fork and exec: the listener becomes descriptor 3.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "service.py"])
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there, nor AF_UNIX")


@pytest.fixture
def service(tmp_path):
    """The page's program in a folder of its own; one request comes together with SIGTERM."""
    text = PAGE.read_text(encoding="utf-8")
    code = text.partition("```python fragment\n")[2].partition("```")[0]
    kill = "os.kill(os.getpid(), signal.SIGTERM) if question == b'last' else None"
    changed = code.replace("    return question", f"    {kill}\n    return question")
    assert changed != code
    (tmp_path / "service.py").write_text(changed, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("activated", [False, True], ids=["alone", "socket unit"])
def test_it_answers_and_ends_cleanly(service, activated):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        notified.bind(str(service / "notify"))
        notified.settimeout(30)
        port = listener.getsockname()[1]
        endpoint = f"tcp://127.0.0.1:{port}" if activated else f"ipc://{service}/answers"
        start = ["-c", START, str(listener.fileno())] if activated else ["service.py"]
        process = subprocess.Popen(
            [sys.executable, *start],
            cwd=service,
            env={**os.environ, "ENDPOINT": endpoint, "NOTIFY_SOCKET": str(service / "notify")},
            pass_fds=[listener.fileno()] if activated else [],
        )
        try:
            assert notified.recv(100) == b"READY=1"
            with zmqsocket.new("REQ") as req:
                req.connect(endpoint)
                assert req.request(b"hello", timeout=30) == b"HELLO"
                # It ends when the request in hand has its answer.
                assert req.request(b"last", timeout=30) == b"LAST"
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
