"""What `import ratchet` imports, and that what is imported later is found as if it were there."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import ratchet
from ratchet import options, zmqsocket

# What takes long to import, and is needed by few: each stands for those that it imports itself.
HEAVY = {
    "asyncio", "concurrent.futures", "contextlib", "contextvars", "dataclasses", "difflib", "enum",
    "gevent", "heapq", "inspect", "ipaddress", "json", "logging", "pathlib", "queue", "re",
    "selectors", "signal", "socket", "tempfile", "traceback", "trio", "typing", "urllib", "weakref",
}  # fmt: skip
LATER = {
    "ratchet": ratchet,
    "ratchet.options": options,
    "ratchet.zmqsocket": zmqsocket,
}
# Without `site`: what .pth files of this environment import would not be seen.
PROGRAM = """\
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
before = {*sys.modules}
import ratchet
print(json.dumps(sorted({*sys.modules} - before)))
"""


def fresh(program, *words):
    folders = [str(Path(ratchet.__file__).parents[1]), *filter(None, sys.path)]
    line = [sys.executable, "-I", "-S", "-c", program, json.dumps(folders), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_import_imports_little():
    found = set(json.loads(fresh(PROGRAM)))
    assert "ratchet.zmqsocket" in found
    assert found & HEAVY == set()
    own = {name for name in found if name.partition(".")[0] == "ratchet"}
    assert len(own) <= 20, sorted(own)
    # Of the standard library, threading alone needs half of these.
    assert len(found - own) <= 36, sorted(found - own)


@pytest.mark.parametrize("name", LATER)
def test_what_comes_later_is_listed(name):
    """Before it has come, too: for completion, and for `from ratchet import *`."""
    program = PROGRAM + (
        "import importlib\n"
        "module = importlib.import_module(sys.argv[2])\n"
        "inner = {}\n"
        "print(json.dumps([dir(module), module.__all__]))\n"
        "exec(f'from {sys.argv[2]} import *', inner)\n"
        "print(json.dumps([name for name in module.__all__ if name not in inner]))\n"
    )
    _, names, missing = map(json.loads, fresh(program, name).splitlines())
    listed, public = names
    assert set(public) <= set(listed)
    assert missing == []


@pytest.mark.parametrize("module", LATER.values(), ids=LATER)
def test_what_has_come_is_found_without_a_call(module):
    for name in module.__all__:
        value = getattr(module, name)
        assert vars(module)[name] is value


@pytest.mark.parametrize("module", LATER.values(), ids=LATER)
def test_what_there_is_not_is_not_found(module):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nwe'"):
        module.nwe  # noqa: B018


def test_it_is_found_from_many_threads_at_once():
    program = PROGRAM + (
        "import threading\n"
        "start, found = threading.Barrier(8), []\n"
        "def look():\n"
        "    start.wait()\n"
        "    found.append((ratchet.run, ratchet.proxy, ratchet.zmqsocket.select))\n"
        "threads = [threading.Thread(target=look) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(len(found), len({*found}))\n"
    )
    assert fresh(program).splitlines()[1] == "8 1"


def test_what_comes_later_is_pickled_by_its_own_name():
    record = zmqsocket.prepare_uri("pull:inproc://here")
    assert pickle.loads(pickle.dumps(record)) == record
    stats = ratchet.ProxyStats(1, 2, 3, 4, 5)
    assert pickle.loads(pickle.dumps(stats)) == stats
    assert pickle.loads(pickle.dumps(ratchet.new)) is ratchet.new


FORKS = """\
import json, os, signal, sys, threading, time
sys.path[:0] = json.loads(sys.argv[1])
import ratchet
imports, forks = threading.Event(), threading.Event()

class Slow:
    def find_spec(self, name, *_):
        if name == "ratchet.kernel":
            imports.set()
            forks.wait(30)
            time.sleep(0.1)  # the fork comes now, or waits

sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=lambda: ratchet.run(lambda: None))
thread.start()
imports.wait(30)
forks.set()
child = os.fork()
if child == 0:
    signal.alarm(20)
    ratchet.run(lambda: None)
    os._exit(7)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_while_another_thread_imports():
    assert fresh(FORKS) == "7\n"
