"""Commands in processes of their own, in pipes or at a terminal, and pyzmq's sockets."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest
import zmq
from harness.waiting import CTRL_C, LONG

from ratchet import cli

FLAGS = ["-X", "dev", "-W", "error"]
# What `python -m ratchet` does, with SIGINT heard wherever the tests were started.
PROGRAM = f"{CTRL_C}import sys\nfrom ratchet.cli import main\nsys.exit(main())\n"
# The same at a terminal of its own, which is its stdin and stdout.
AT_TERMINAL = f"{CTRL_C}import os, sys\nos.login_tty(0)\nos.execvp(sys.argv[1], sys.argv[1:])\n"


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    err: str


class Command:
    """A command in pipes."""

    def __init__(self, args, **how):
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "env": os.environ, **how}
        how["env"] = {**how["env"], "PYTHONUNBUFFERED": ""}  # else no flush is missed
        self.process = subprocess.Popen(
            [sys.executable, *FLAGS, "-c", PROGRAM, *args],
            stderr=how.pop("stderr", subprocess.PIPE),
            bufsize=0,  # so that what a line is followed by stays in the pipe
            start_new_session=True,
            **how,
        )

    def bound(self):
        """The endpoint that it says it has bound."""
        line = self.process.stderr.readline().decode()
        assert ": bound to " in line, line
        return line.split()[-1]

    def line(self):
        return self.process.stdout.readline()

    def interrupt(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def end(self, data=None, limit=3 * LONG):
        try:
            out, err = self.process.communicate(data, timeout=limit)
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
            pytest.fail(f"hangs: {out!r} {err!r}")
        return Result(self.process.returncode, out, (err or b"").decode())

    def kill(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Terminal:
    """A command at a terminal of its own. Only stderr is it, if stdin or stdout are given."""

    def __init__(self, args, program=(sys.executable, *FLAGS, "-c", PROGRAM), **how):
        self.screen = b""
        self.master, self.slave = os.openpty()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "24", **how.pop("env", {})}
        for name in ("NO_COLOR", "FORCE_COLOR"):
            env.pop(name, None)
        command = [*program, *args]
        if not how:
            command = [sys.executable, "-c", AT_TERMINAL, *command]
        ends = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave, **how}
        self.process = subprocess.Popen(command, env=env, **ends)
        os.close(self.slave)

    def read(self, limit=LONG):
        """Read what is shown next; b"" at the end."""
        try:
            assert select.select([self.master], [], [], limit)[0], f"nothing after {self.screen!r}"
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            data = b""
        self.screen += data
        return data

    def shows(self, text):
        """Wait until it has shown this."""
        while text not in self.screen:
            assert self.read(), f"{text!r} is not in {self.screen!r}"

    def type(self, data):
        os.write(self.master, data)

    def end(self):
        """Read all until it ends; its exit status."""
        while self.read():
            pass
        return self.process.wait(LONG)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def command():
    """Starts commands in pipes."""
    made = []

    def command(*args, **how):
        made.append(Command(args, **how))
        return made[-1]

    yield command
    for one in made:
        one.kill()


@pytest.fixture
def terminal():
    """Starts commands at a terminal."""
    pytest.importorskip("pty")
    try:
        ends = os.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminals here: {error}")
    for end in ends:
        os.close(end)
    made = []

    def terminal(*args, **how):
        made.append(Terminal(args, **how))
        return made[-1]

    yield terminal
    for one in made:
        one.kill()


@pytest.fixture
def run(command):
    """Runs a command to its end."""

    def run(*args, data=None, **how):
        if data is not None:
            how["stdin"] = subprocess.PIPE
        return command(*args, **how).end(data)

    return run


@pytest.fixture
def peer():
    """Makes pyzmq's sockets, with timeouts."""
    context = zmq.Context()
    made = []

    def peer(type, bind=None, connect=None):
        zsock = context.socket(getattr(zmq, type))
        made.append(zsock)
        zsock.rcvtimeo = zsock.sndtimeo = int(LONG * 1000)
        if bind:
            zsock.bind(bind)
        if connect:
            zsock.connect(connect)
        return zsock

    yield peer
    for zsock in made:
        zsock.close(linger=0)
    context.term()


@pytest.fixture
def main(capfd):
    """Runs a command in this process, where it is to end at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def main(*args):
        try:
            status = cli.main(args)
        except SystemExit as end:
            status = end.code
        return Result(status, *capfd.readouterr())

    yield main
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def without_extra(tmp_path):
    """An environment in which what the extra brings is not installed."""
    for name in ("rich", "shtab"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
