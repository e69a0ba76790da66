"""At a terminal: progress and colours with rich and without, and neither of them in a pipe."""

import io
import os
import re
import subprocess
import sys
from subprocess import PIPE

import pytest
import rich.console

from ratchet.cli import terminal as terminal_module
from ratchet.cli.terminal import Meter, binary

# A gigabyte, as much as is promised; make test has to be fast.
SIZE = 1 << 30 if os.environ.get("RATCHET_TORTURE") else 64 << 20
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big"
    with path.open("wb") as file:
        block = os.urandom(1 << 20)
        for _ in range(SIZE >> 20):
            file.write(block)
    return path


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
def test_a_large_file_shows_progress(command, terminal, big, tmp_path, rich, without_extra):
    how = {} if rich else {"env": {"PYTHONPATH": without_extra["PYTHONPATH"]}}
    there = tmp_path / "there"
    recv = command("recv", "pull:tcp://127.0.0.1:*", "--count", "1", "--format", "raw",
                   "--output", there)  # fmt: skip
    uri = f"push:{recv.bound()}"
    send = terminal("send", uri, "--file", big, stdin=subprocess.DEVNULL, **how)
    assert send.end() == 0
    assert recv.end(limit=50) == (0, b"", "")
    with big.open("rb") as one, there.open("rb") as other:
        while block := one.read(1 << 20):
            assert other.read(1 << 20) == block
        assert other.read(1) == b""
    shown = ESCAPE.sub(b"", send.screen).decode()
    if rich:
        assert "sent" in shown
        assert re.search(r"messages +[\d.]+ MiB +[\d.]+ [KMG]iB/s", shown), shown
    else:
        assert shown == ""


@pytest.mark.skipif(sys.platform != "linux", reason="it has /proc/self/status")
@pytest.mark.parametrize("how", ["file", "pipe"])
def test_each_side_holds_a_file_once(big, tmp_path, how):
    """As a message has to be held, but no second time; of both the program is the rest."""
    program = (
        "import re, sys\nfrom ratchet.cli import main\nstatus = main()\n"
        # getrusage has the memory of the process, however large, that has started this one
        "sys.stderr.write(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "sys.exit(status)\n"
    )
    line = [sys.executable, "-c", program]
    there = tmp_path / "there"
    saved = ["--count", "1", "--format", "raw", "--output", there]
    given = {"file": ["--file", big], "pipe": ["--format", "raw"]}[how]
    recv = subprocess.Popen([*line, "recv", "pull:tcp://127.0.0.1:*", *saved], stderr=PIPE)
    with recv, subprocess.Popen(["cat", big if how == "pipe" else os.devnull], stdout=PIPE) as cat:
        uri = "push:" + recv.stderr.readline().decode().split()[-1]
        send = subprocess.Popen([*line, "send", uri, *given], stderr=PIPE, stdin=cat.stdout)
        with send:
            sides = [side.communicate(timeout=50)[1] for side in (send, recv)]
    assert (send.returncode, recv.returncode) == (0, 0)
    assert there.stat().st_size == SIZE
    base = 60 << 20  # bytes of Python, of libraries, and what is on its way
    for side in sides:
        assert int(side) << 10 < 1.2 * SIZE + base


def test_a_received_file_shows_progress(terminal, peer, tmp_path):
    recv = terminal("recv", "pull:tcp://127.0.0.1:*", "--count", "3", "--format", "raw", "--output",
                    tmp_path / "there", stdin=subprocess.DEVNULL)  # fmt: skip
    recv.shows(b"bound to tcp://")
    endpoint = re.search(rb"tcp://[\d.:]+\d", recv.screen)[0].decode()
    push = peer("PUSH", connect=endpoint)
    push.send(b"x" * 2_000_000)
    recv.shows(b"1.9 MiB")
    push.send(b"y")
    push.send(b"z")
    assert recv.end() == 0
    assert (tmp_path / "there").stat().st_size == 2_000_002


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
def test_a_message_commands_no_terminal(terminal, peer, rich, without_extra):
    env = {} if rich else {"PYTHONPATH": without_extra["PYTHONPATH"]}
    recv = terminal("recv", "pull:tcp://127.0.0.1:*", "--count", "1", env=env)
    recv.shows(b"\n")
    push = peer("PUSH", connect=recv.screen.split()[-1].decode())
    push.send_multipart([b"topic", b"\x1b[2J\x07"])
    assert recv.end() == 0
    last = recv.screen.splitlines()[-1]
    wanted = "topic\x1b[2m│\x1b[0m\\x1b[2J\\x07" if rich else "topic\t\\x1b[2J\\x07"
    assert last.decode() == wanted


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ({"short": 1000.0}, False),
        ({"short": 0.0}, True),
        ({"short": 1000.0, "size": 1 << 30}, True),
        ({"short": 0.0, "on": False}, False),
    ],
)
def test_short_work_shows_none(monkeypatch, how, shown):
    screen = rich.console.Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(terminal_module, "console", lambda _stream: screen)
    with Meter("sent", messages=2, **how) as meter:
        meter.add(1, 100)
        meter.say("waiting for the peer")
        meter.add(0, 0)
    assert ("sent" in screen.file.getvalue()) is shown


def test_titles_are_bold_only_at_a_terminal(terminal, without_extra):
    info = terminal("info")
    assert info.end() == 0
    assert b"\x1b[1mversions\x1b[0m" in info.screen
    info = terminal("info", env={"PYTHONPATH": without_extra["PYTHONPATH"]})
    assert info.end() == 0
    assert b"\x1b" not in info.screen


def test_sizes_in_words():
    sizes = [0, 1023, 1024, 1536, 1 << 20, 5 << 30, 1 << 42]
    assert [binary(n) for n in sizes] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "4096.0 GiB",
    ]  # fmt: skip
