"""Starts, talks to and ends the worker processes; nobody else starts one."""

from __future__ import annotations

import ctypes
import json
import math
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import ADAPTERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .cases import Case

LIBC = ctypes.CDLL(None)
HERE = Path(__file__).resolve().parent
LIBRARIES = (*ADAPTERS, "c", "c-own")
# A libzmq as in the wheels, and a ratchet that was built with it: what "-own" means (Makefile).
OWN = HERE.parent / "build/own"
OWN_PEER = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("benchmarks.peer", run_name="__main__", alter_sys=True)
"""
# Seconds that an order may take. A case aims at a fraction of a second, so only a hang gets here.
LIMIT = 30
# Both kinds of worker get the same, unless the environment has it already.
ENVIRONMENT = {
    # glibc gives freed memory back to the kernel and asks for it again, or does not, depending on
    # what else lies on the heap; from 64 KiB on that luck decides the result. Here it keeps it.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    # Sets and dicts of strings cost the same every time.
    "PYTHONHASHSEED": "0",
}


class WorkerError(Exception):
    """A worker died, hung or could not be started; the message says why."""


def zmq_flags() -> list[str]:
    """Compiler flags for libzmq: RATCHET_ZMQ_PREFIX, else pkg-config, else the default paths.

    As setup.py does, asks pkg-config for variables: its --cflags wants files of libraries that
    libzmq only uses inside.
    """
    if static := os.environ.get("RATCHET_ZMQ_STATIC"):
        return static_flags(Path(static))
    folders = []
    if prefix := os.environ.get("RATCHET_ZMQ_PREFIX"):
        folders = [f"{prefix}/include", f"{prefix}/lib"]
        if not Path(folders[0], "zmq.h").is_file():
            raise WorkerError(f"RATCHET_ZMQ_PREFIX: there is no {folders[0]}/zmq.h")
    else:
        for name in ("includedir", "libdir"):
            tool = shlex.split(os.environ.get("PKG_CONFIG", "pkg-config"))
            try:
                folders += [run([*tool, f"--variable={name}", "libzmq"]).strip()]
            except WorkerError:
                folders += [""]
    if not all(folders):
        return ["-lzmq"]
    return [f"-I{folders[0]}", f"-L{folders[1]}", f"-Wl,-rpath,{folders[1]}", "-lzmq"]


def static_flags(prefix: Path) -> list[str]:
    """Compiler flags for libzmq's archive: optimised as a whole, as setup.py does."""
    archives = [prefix / "lib" / name for name in ("libzmq.a", "libsodium.a")]
    if not archives[0].is_file():
        raise WorkerError(f"there is no {archives[0]}: make bench-full makes build/own")
    found = [str(path) for path in archives if path.is_file()]
    return [f"-I{prefix}/include", "-flto", "-O3", *found, "-lstdc++", "-lpthread", "-lrt"]


def run(line: list[str], limit: float | None = None) -> str:
    """Run a tool, for so many seconds at the most; its output."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=limit)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{shlex.join(line)}: {error}") from None
    if done.returncode != 0:
        raise WorkerError(f"{shlex.join(line)} failed:\n{done.stderr.strip()}")
    return done.stdout


def own_site() -> Path:
    """Where a ratchet is that was built for this Python with a libzmq as in the wheels."""
    site = OWN / f"site-{sys.version_info[0]}.{sys.version_info[1]}"
    if not site.is_dir():
        raise WorkerError(f"there is no {site}: make bench-full makes it")
    return site


def command(library: str, folder: Path) -> list[str]:
    """What starts a worker; for C it is compiled into the folder first."""
    if library == "ratchet-own":
        return [sys.executable, "-c", OWN_PEER, str(own_site()), library]
    if library not in ("c", "c-own"):
        return [sys.executable, "-m", f"{__package__}.peer", library]
    program = folder / library
    if not program.exists():
        compiler = shlex.split(os.environ.get("CC", "cc"))
        flags = zmq_flags() if library == "c" else static_flags(OWN)
        run([*compiler, "-O2", "-o", str(program), str(HERE / "c_peer.c"), *flags])
    return [str(program)]


class Worker:
    """One worker process."""

    def __init__(self, library: str, folder: Path, under: Sequence[str] = ()) -> None:
        """Start it; `under` is a tool to run it under, such as valgrind with its options."""
        self.library = library
        self.order: dict[str, Any] = {}
        self.deadline = 0.0
        self.unread = b""
        self.stderr = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by stop)
        self.process = subprocess.Popen(
            [*under, *command(library, folder)],
            cwd=HERE.parent,
            env=ENVIRONMENT | os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            bufsize=0,
            # Out of reach of the terminal's Ctrl-C, so that the parent decides the order of events.
            start_new_session=True,
        )

        self.clock = ctypes.c_int()  # counts the CPU time of all its threads
        if not hasattr(LIBC, "clock_getcpuclockid") or LIBC.clock_getcpuclockid(
            self.process.pid, ctypes.byref(self.clock)
        ):
            self.clock = None
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def tell(self, order: dict[str, Any], limit: int = LIMIT) -> None:
        """Give an order."""
        self.order = order
        self.deadline = time.monotonic() + limit + 5  # SIGALRM in the worker comes first
        # c_peer.c counts on there being no spaces.
        line = json.dumps({**order, "limit": limit}, separators=(",", ":"))
        try:
            self.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise self.failure() from None

    def hear(self) -> dict[str, Any]:
        """The next answer."""
        while b"\n" not in self.unread:
            left = max(self.deadline - time.monotonic(), 0)
            heard = select.select([self.stdout], [], [], left)[0]
            chunk = self.stdout.read(65536) if heard else b""
            if not chunk:
                raise self.failure()
            self.unread += chunk
        line, _, self.unread = self.unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu(self) -> float:
        """The seconds of CPU time that it has used, in the program and in the kernel."""
        return time.clock_gettime(self.clock.value) if self.clock else math.nan

    def peak(self) -> int:
        """The most bytes that it has had resident."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(text.partition("VmHWM:")[2].split()[0]) << 10

    def ask(self, order: dict[str, Any], limit: int = LIMIT) -> dict[str, Any]:
        """Give an order and await its answer."""
        self.tell(order, limit)
        return self.hear()

    def failure(self) -> WorkerError:
        """What became of the worker, in its own words."""
        try:
            code = self.process.wait(1)
            late = " (its time was up)" if code == -signal.SIGALRM else ""
            status = f"ended with status {code}{late}"
        except subprocess.TimeoutExpired:
            status = "did not answer in time"
        self.stderr.seek(0)
        said = self.stderr.read().decode(errors="replace").strip() or "(nothing on its stderr)"
        return WorkerError(f"the {self.library} worker {status}, after {self.order}:\n{said}")

    def finish(self) -> None:
        """Let it end by itself."""
        self.stdin.close()
        if self.process.wait(LIMIT) != 0:
            raise self.failure()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


class Team:
    """The two workers of one library."""

    def __init__(self, library: str, folder: Path) -> None:
        self.library = library
        self.folder = folder
        self.workers: list[Worker] = []
        self.runs = 0
        try:
            self.start()
            self.facts = self.workers[0].ask({"do": "facts"})
        except BaseException:
            self.stop()
            raise

    @contextmanager
    def ready(self, case: Case) -> Iterator[None]:
        """Open the sockets of a case, and close them afterwards."""
        kind = case.kind
        near, far = kind.sockets
        starter, answerer = self.workers
        shift = 0
        if case.transport == "inproc":
            answerer, shift = starter, 1
        self.open(case, kind.types, range(near), range(shift, shift + far), answerer)
        if kind.back:
            self.open(case, ("PULL", "PUSH"), range(near, near + 1), range(far, far + 1), answerer)
        if kind.types[0] == "PUB":
            self.meet(case)
        yield
        starter.ask({"do": "close"})
        answerer.ask({"do": "close"})

    def open(
        self, case: Case, types: tuple[str, str], near: range, far: range, answerer: Worker
    ) -> None:
        """Bind sockets of the side that answers and connect each of the other's to each."""
        order: dict[str, Any] = {"do": "open", "hwm": case.hwm}
        for slot in far:
            self.runs += 1
            name = {
                "inproc": f"inproc://run-{self.runs}",
                "ipc": f"ipc://{self.folder}/{self.library}-{self.runs}",
                "tcp": "tcp://127.0.0.1:*",
            }[case.transport]
            bound = answerer.ask(
                order | {"slot": slot, "type": types[1], "bind": 1, "endpoint": name}
            )
            for other in near:
                self.workers[0].ask(order | bound | {"slot": other, "type": types[0], "bind": 0})

    def meet(self, case: Case) -> None:
        """Publish until every subscriber has heard; then there is a last one, which all hear."""
        starter, answerer = self.workers
        answerer.tell(case.order("hear", 0))
        while not select.select([answerer.stdout], [], [], 0.005)[0]:
            starter.ask(case.order("greet", 0))
        answerer.hear()
        starter.ask(case.order("greet", 1))
        answerer.ask(case.order("hear", 1))

    def time(self, case: Case, count: int) -> tuple[float, float]:
        """Do the case `count` times on the open sockets; the seconds and the CPU time it took."""
        for worker, sockets in zip(self.workers, case.kind.sockets, strict=True):
            worker.ask(case.order("prepare", count, sockets))
        before = sum(worker.cpu() for worker in self.workers)
        seconds = self.seconds(case, count)
        return seconds, sum(worker.cpu() for worker in self.workers) - before

    def seconds(self, case: Case, count: int) -> float:
        """The seconds it took."""
        kind = case.kind
        starter, answerer = self.workers
        if case.transport == "inproc":
            return float(starter.ask(case.order(kind.inproc, count))["seconds"])
        answerer.tell(case.order(kind.does[1], count, kind.sockets[1]))
        answerer.hear()
        starter.tell(case.order(kind.does[0], count, kind.sockets[0]))
        # A side that dies leaves the other waiting for it, so first hear whoever speaks first.
        spoken = select.select([worker.stdout for worker in self.workers], [], [], LIMIT)[0]
        turns = sorted(self.workers, key=lambda worker: worker.stdout not in spoken)
        seconds = {worker: worker.hear()["seconds"] for worker in turns}
        return float(seconds[starter if kind.starter_times else answerer])

    def start(self) -> None:
        """Start both."""
        for _ in range(2):
            self.workers.append(Worker(self.library, self.folder))

    def stop(self) -> None:
        """End both."""
        while self.workers:
            self.workers.pop().stop()

    def restart(self) -> None:
        """Have two new ones."""
        self.stop()
        self.start()


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for ipc endpoints and the compiled worker, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="zbench-") as folder:
        yield Path(folder)
