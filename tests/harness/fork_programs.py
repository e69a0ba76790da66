"""Programs whose forked children close all descriptors and open their own, and how they are run."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

LOOK = f"""
import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from harness.internals import paused_calls
"""
PRELUDE = """
import os

def valid(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

def note_inherited():
    global inherited
    inherited = [number for number in range(512) if valid(number)]

os.register_at_fork(after_in_child=note_inherited)   # before ratchet does anything in the child

import asyncio, contextlib, ctypes, gc, io, signal, socket, sys, tempfile, threading, time
import ratchet, ratchet.asyncio
from ratchet import thread, zmqsocket

FOLDER = tempfile.mkdtemp(dir=sys.argv[1])
MOST = 60   # every number below is taken; no parent here has more

def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.001)

class Own:
    '''Close everything; then a file, a pipe or a socket on every number, each with a mark in it.'''

    def __init__(self, turn=0):
        os.closerange(3, 512)
        self.files, self.streams, self.texts = [], [], []
        make = (self.file, self.pipe, self.pair, self.text)
        while True:
            last = make[turn % 4]()
            turn += 1
            if last >= MOST:
                break
        self.before = self.identities()

    def identities(self):
        return {n: os.fstat(n)[:3] for n in range(3, MOST)}

    def file(self):
        path = os.path.join(FOLDER, f"file{os.getpid()}-{len(self.files)}")
        number = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(number, b"first")
        self.files.append((number, path))
        return number

    def text(self):
        '''A log of Python's, whose last lines are written when it is flushed at the exit.'''
        path = os.path.join(FOLDER, f"text{os.getpid()}-{len(self.texts)}")
        self.texts.append(open(path, "w", encoding="ascii"))
        self.texts[-1].write("first ")
        return self.texts[-1].fileno()

    def pipe(self):
        reader, writer = os.pipe()
        self.stream(reader, writer)
        return writer

    def pair(self):
        one, two = (end.detach() for end in socket.socketpair())
        self.stream(one, two)
        self.stream(two, one)
        return two

    def stream(self, reader, writer):
        os.set_blocking(reader, False)
        os.write(writer, b"%d to %d" % (writer, reader))
        self.streams.append((reader, writer))

    def check(self):
        assert self.identities() == self.before, "closed, or another's"
        for number, path in self.files:
            assert os.lseek(number, 0, os.SEEK_CUR) == 5, (number, "read or written")
            os.write(number, b", last")
            assert open(path, "rb").read() == b"first, last", path
            os.lseek(number, 5, os.SEEK_SET)
            os.ftruncate(number, 5)
        for reader, writer in self.streams:
            mark = b"%d to %d" % (writer, reader)
            assert os.read(reader, 1000) == mark, (reader, "read or written")
            os.write(writer, mark)
        for text in self.texts:
            text.flush()
            text.seek(0)
            text.write("first ")
            assert os.path.getsize(text.name) == 6, text

    def last_words(self):
        '''What must be in the files when the process has ended.'''
        tempfile.kept = self.texts   # ratchet's modules are cleared before those imported earlier
        for text in self.texts:
            text.write("last")

def whole():
    names = [name for name in os.listdir(FOLDER) if name.startswith("text")]
    assert names
    for name in names:
        path = os.path.join(FOLDER, name)
        assert open(path).read() == "first last", name
        os.unlink(path)

def fork(function, *args, end=os._exit):
    '''Run it in a child; it must end with 0. Nothing of the parent's is closed there.'''
    pid = os.fork()
    if pid:
        wait(pid)
        return
    code = 1
    try:
        signal.alarm(20)
        lost = [number for number in inherited if not valid(number)]
        assert not lost, lost
        function(*args)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    end(code)

def wait(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"the child ended with {code}"

def linked(new=zmqsocket.new, endpoint="tcp://127.0.0.1:*"):
    one, two = new("DEALER", linger=0.0), new("DEALER", linger=0.0)
    one.bind(endpoint)
    two.connect(one.last_endpoint)
    return one, two

def exchange():
    '''In whatever runs this: a message that a pause waits for, and a timeout.'''
    def send():
        time.sleep(0.01)
        with contextlib.suppress(ratchet.ClosedError):   # its kernel may be killed before
            two.send(b"here")

    one, two = linked()
    with one, two:
        sender = threading.Thread(target=send)
        sender.start()
        assert one.recv_all(timeout=10) == b"here"
        with contextlib.suppress(ratchet.Timeout):
            one.recv(timeout=0.01)
        sender.join()
        one.send(bytes(100_000), copy=False).wait(10)

async def exchange_task():
    one, two = linked(ratchet.asyncio.new)
    with one, two:
        receiver = asyncio.create_task(one.recv_all(timeout=10))
        await asyncio.sleep(0.01)
        await two.send(b"here")
        assert await receiver == b"here"
        with contextlib.suppress(ratchet.Timeout):
            await one.recv(timeout=0.01)
        await (await one.send(bytes(100_000), copy=False))

def rest():
    with contextlib.suppress(ratchet.Timeout), zmqsocket.new("PULL") as zsock:
        zsock.recv(timeout=0.001)

def use_all():
    '''Every kind of thread: new sockets, new kernels, a loop, other OS threads.'''
    exchange()
    worker = threading.Thread(target=exchange)
    worker.start()
    worker.join()
    ratchet.run(exchange)
    asyncio.run(exchange_task())
    gc.collect()

def turns(work=use_all):
    '''Children in which each number is in turn a file, a pipe, a socket, a log.'''
    def child(turn):
        own = Own(turn)
        work()
        gc.collect()
        own.check()
    for turn in range(4):
        fork(child, turn)
"""


def run_program(tmp_path, text, before="", status=0):
    """Run a program, which must end well and say nothing on stderr; what it prints."""
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(before) + LOOK + PRELUDE + textwrap.dedent(text), encoding="utf-8"
    )
    quiet = ("-W", "ignore:This process:DeprecationWarning", "-W", "ignore::ResourceWarning")
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *quiet, str(path), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            out, err = "", "it hangs"
        with contextlib.suppress(ProcessLookupError):  # children that are left
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, err) == (status, ""), err or process.returncode
    return out
