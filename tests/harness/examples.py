"""Examples: programs in processes of their own, the next few of which run ahead of the tests."""

import contextlib
import os
import re
import signal
import subprocess
import sys

AT_ONCE = 4  # programs; most of their time they wait
LIMIT = 30.0  # seconds for one of them, which needs about one


class Ahead:
    """Runs programs in their order. Each writes to files, so no descriptors are open in between."""

    def __init__(self, paths, folder):
        self.waiting = list(paths)
        self.running = {}
        self.folder = folder

    def start(self, path):
        self.waiting.remove(path)
        out, err = self.files(path)
        with out.open("w") as stdout, err.open("w") as stderr:
            self.running[path] = subprocess.Popen(
                [sys.executable, "-X", "dev", "-W", "error", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # and a process group, for `end`
            )

    def files(self, path):
        return [self.folder / f"{path.stem}.{kind}" for kind in ("out", "err")]

    def result(self, path):
        """How one ended: its status, what is on stderr, and on stdout."""
        if path in self.waiting:
            self.start(path)
        while self.waiting and len(self.running) < AT_ONCE:
            self.start(self.waiting[0])
        try:
            status = self.running[path].wait(LIMIT)
        except subprocess.TimeoutExpired:
            status = f"still running after {LIMIT:g} s"
        self.end(path)
        out, err = (file.read_text() for file in self.files(path))
        # -X dev has asyncio tell what took 0.1 s, on a machine that is busy.
        return status, re.sub(r"Executing .* took [\d.]+ seconds\n", "", err), out

    def end(self, path):
        process = self.running.pop(path)
        process.kill()
        process.wait()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):  # some start processes of their own
                os.killpg(process.pid, signal.SIGKILL)

    def close(self):
        for path in list(self.running):
            self.end(path)
