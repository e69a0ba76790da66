"""Programs on pyzmq's API: one set of tests runs on pyzmq and on ratchet, with the same results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

zmq = pytest.importorskip("zmq")
API = Path(__file__).parent / "api"


def program(*arguments, on_ratchet, limit=55, **environment):
    """Run Python; return its status and what it said."""
    env = {**os.environ, **environment}
    env.pop("PYZMQ_BACKEND", None)
    if on_ratchet:
        env["PYZMQ_BACKEND"] = "ratchet.pyzmq.backend"
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("on_ratchet", [False, True], ids=["pyzmq", "ratchet"])
@pytest.mark.parametrize("part", sorted(API.glob("api_*.py")), ids=lambda path: path.stem[4:])
def test_the_api(part, on_ratchet):
    status, said = program(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=api_*.py"),
        *("-o", "timeout=40", "-W", "default", str(part)),
        # pyzmq leaves a thread and descriptors behind, which is looked for in ours alone.
        *([] if on_ratchet else ["--confcutdir", str(API)]),
        on_ratchet=on_ratchet,
    )
    assert status == 0, said


IN_USE = (
    "import zmq, ratchet.pyzmq; print(ratchet.pyzmq.in_use(), zmq.Socket.__mro__[1].__module__)"
)


def test_what_is_quick_is_quick():
    """Each is found, and called, without Python: what that takes is as much as a message."""
    text = (
        "import zmq, ratchet._pyzmq as core\n"
        "names = {'send', 'recv', 'send_multipart', 'recv_multipart'}\n"
        "assert set(core.quick_calls) == names\n"
        "assert all(getattr(zmq.Socket, n) is getattr(core.Socket, n) for n in names)\n"
        "assert not any('__getattr__' in kind.__dict__ for kind in zmq.Socket.__mro__)\n"
        "import dis, sys\n"
        "def use(sockets):\n"
        "    for _ in range(100):\n"
        "        for sock in sockets:\n"
        "            sock.poll(0)\n"
        "with zmq.Context() as context:\n"
        "    sockets = [context.socket(zmq.SUB) for _ in range(5)]\n"
        "    for sock in sockets:\n"
        "        sock.linger, sock.copy_threshold, sock.subscribe = 0, 1, 'topic'\n"
        "        assert sock.type == zmq.SUB and 'SUB' in repr(sock)\n"
        "    use(sockets)\n"
        "    context.destroy()\n"
        "found = [one.opname for one in dis.get_instructions(use, adaptive=True)]\n"
        "quick = {'LOAD_METHOD_WITH_VALUES', 'LOAD_ATTR_METHOD_LAZY_DICT'}\n"
        "assert quick & set(found) or sys.version_info[:2] == (3, 12), found\n"
    )
    assert program("-c", text, on_ratchet=True) == (0, "")


def test_the_environment_chooses():
    assert program("-c", IN_USE, on_ratchet=True) == (0, "True ratchet.pyzmq.backend\n")


def test_an_import_chooses():
    text = (
        "import ratchet.pyzmq as rz, ratchet.pyzmq.asyncio, ratchet.pyzmq.utils.monitor\n"
        "from ratchet.pyzmq import Context, PUSH\n"
        "import zmq, zmq.utils.monitor, os\n"
        "assert Context is zmq.Context and rz.asyncio is zmq.asyncio and rz.in_use()\n"
        "assert ratchet.pyzmq.utils.monitor is zmq.utils.monitor\n"
        "assert zmq.asyncio.__spec__.name == 'zmq.asyncio'\n"
        "print(os.environ['PYZMQ_BACKEND'])"
    ).replace("import ratchet.pyzmq as rz", "import ratchet, ratchet.pyzmq as rz")
    assert program("-c", text, on_ratchet=False) == (0, "ratchet.pyzmq.backend\n")


def test_another_backend_in_use_is_an_error():
    status, said = program("-c", "import zmq\nimport ratchet.pyzmq", on_ratchet=False)
    assert status == 1
    assert "ImportError: pyzmq was imported before ratchet.pyzmq" in said


@pytest.mark.parametrize("release", ["24.0.1", "25.0.2", "28.0.0"])
def test_an_unsupported_release_is_refused_by_name(release):
    text = (
        "import importlib.metadata as metadata\n"
        f"metadata.version = lambda name: {release!r}\n"
        "import zmq"
    )
    status, said = program("-c", text, on_ratchet=True)
    assert status == 1
    assert f"this is pyzmq {release}" in said


def test_without_pyzmq_the_error_says_what_to_install(tmp_path):
    text = (
        "import sys\n"
        "class Nowhere:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'zmq': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Nowhere())\n"
        "import ratchet.pyzmq"
    )
    status, said = program("-c", text, on_ratchet=False)
    assert status == 1
    assert "pip install 'ratchet-zmq[pyzmq]'" in said


PROGRAM = """
import sys, zmq, multiprocessing, subprocess, ratchet.pyzmq

def tell(name):
    print(name, ratchet.pyzmq.in_use(), flush=True)

if __name__ == "__main__":
    tell(" ".join(sys.argv[1:]))
    for method in {methods}:
        child = multiprocessing.get_context(method).Process(target=tell, args=[method])
        child.start()
        child.join()
    text = "import zmq, ratchet.pyzmq as r; print('child', r.in_use())"
    subprocess.run([sys.executable, "-c", text])
"""


@pytest.mark.parametrize("how", ["file", "module"])
def test_the_command_line_and_its_children(tmp_path, how):
    methods = ["spawn"] if os.name == "nt" else ["spawn", "fork", "forkserver"]
    (tmp_path / "its_program.py").write_text(PROGRAM.format(methods=methods))
    named = [str(tmp_path / "its_program.py")] if how == "file" else ["-m", "its_program"]
    status, said = program(
        *("-W", "ignore", "-m", "ratchet.pyzmq", *named, "-a", "b"),
        on_ratchet=False,
        PYTHONPATH=str(tmp_path),
    )
    assert status == 0, said
    told = ["-a b", *methods, "child"]
    assert said.splitlines() == [f"{name} True" for name in told]


LATE = """
import atexit, pickle, sys, threading, ratchet.pyzmq

class Mine:
    pass

def tell(who):
    pickle.dumps(Mine())
    print(who, sys.modules["__main__"].Mine is Mine, ratchet.pyzmq.in_use(), flush=True)

def go_on():
    threading.main_thread().join()
    tell("thread")

if __name__ == "__main__":
    atexit.register(tell, "exit")
    threading.Thread(target=go_on).start()
    print(sys.path[0], sys.modules["__main__"].__file__, flush=True)
    print(type(__builtins__) is type(sys), flush=True)
"""


@pytest.mark.parametrize("how", ["file", "module", "folder"])
def test_the_program_stays_the_main_module(tmp_path, how):
    """Threads that go on when its main thread is done find there what they pickle."""
    path = tmp_path / ("__main__.py" if how == "folder" else "late_one.py")
    path.write_text(LATE)
    named = {"file": [str(path)], "module": ["-m", "late_one"], "folder": [str(tmp_path)]}[how]
    status, said = program(
        "-m", "ratchet.pyzmq", *named, on_ratchet=False, PYTHONPATH=str(tmp_path)
    )
    assert status == 0, said
    where, *told = said.splitlines()
    assert where.endswith(f" {path}")
    assert how == "module" or where == f"{tmp_path} {path}"
    assert told == ["True", "thread True True", "exit True True"]


def test_a_program_that_is_not_there(tmp_path):
    for named, status, words in (
        ([str(tmp_path / "none.py")], 2, "can't open file"),
        (["-m", "no_such_module"], 1, "No module named no_such_module"),
        (["-m", "no_such_package.module"], 1, "No module named 'no_such_package'"),
    ):
        found, said = program("-m", "ratchet.pyzmq", *named, on_ratchet=False)
        assert (found, len(said.splitlines())) == (status, 1), said
        assert words in said


def test_the_command_line_says_how(capsys):
    status, said = program("-m", "ratchet.pyzmq", on_ratchet=False)
    assert (status, said.startswith("usage: python -m ratchet.pyzmq")) == (2, True)
    assert program("-m", "ratchet.pyzmq", "--help", on_ratchet=False)[0] == 0


def test_who_does_not_ask_for_it_does_not_pay():
    text = (
        "import sys, ratchet\n"
        "print([name for name in sys.modules if name.startswith(('zmq', 'ratchet.pyzmq', "
        "'ratchet._pyzmq'))])"
    )
    assert program("-c", text, on_ratchet=False) == (0, "[]\n")


def test_the_exit_is_bounded(tmp_path):
    text = (
        "import zmq\n"
        "s = zmq.Context.instance().socket(zmq.PUSH)\n"
        "s.connect('tcp://127.0.0.1:1')\n"
        "s.send(b'never delivered')"
    )
    status, said = program("-W", "ignore", "-c", text, on_ratchet=True)
    assert status == 0
    assert "waiting for up to" in said
    assert "PUSH socket connected to tcp://127.0.0.1:1" in said
