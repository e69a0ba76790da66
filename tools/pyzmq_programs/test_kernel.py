"""A live kernel: it executes, is interrupted, asks for input, restarts, and ends.

Run by tools/pyzmq_tests.py with pyzmq and on ratchet.
"""

import os
import queue

import pytest
from jupyter_client.manager import start_new_kernel

LONG = 50


@pytest.fixture
def kernel():
    manager, client = start_new_kernel(startup_timeout=LONG)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code, **options):
    """Run code in the kernel; return how it ended and what it printed."""
    printed = []

    def seen(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=LONG, output_hook=seen, **options)
    return reply["content"], "".join(printed)


def test_it_executes(kernel):
    _, client = kernel
    reply, printed = execute(client, "import zmq; print(zmq.Socket.__mro__[1].__module__)")
    assert reply["status"] == "ok"
    assert printed.startswith("ratchet.pyzmq") == ("PYZMQ_BACKEND" in os.environ)
    reply, printed = execute(client, "for n in range(2000): print(n)")
    assert printed.split() == [str(n) for n in range(2000)]
    reply, _ = execute(client, "1 / 0")
    assert (reply["status"], reply["ename"]) == ("error", "ZeroDivisionError")


def test_it_is_interrupted(kernel):
    manager, client = kernel
    asked = client.execute("import time\nprint('begun')\nwhile True: time.sleep(0.01)")
    while True:
        message = client.get_iopub_msg(timeout=LONG)
        if message["msg_type"] == "stream" and "begun" in message["content"]["text"]:
            break
    manager.interrupt_kernel()
    while True:
        reply = client.get_shell_msg(timeout=LONG)
        if reply["parent_header"].get("msg_id") == asked:
            break
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert execute(client, "print('alive')")[1] == "alive\n"


def test_it_asks_for_input(kernel):
    _, client = kernel
    reply, printed = execute(
        client,
        "print(input('what? '))",
        allow_stdin=True,
        stdin_hook=lambda _message: client.input("this"),
    )
    assert (reply["status"], printed) == ("ok", "this\n")


def test_it_restarts(kernel):
    manager, client = kernel
    execute(client, "x = 1")
    manager.restart_kernel(now=False)
    client.wait_for_ready(timeout=LONG)
    reply, _ = execute(client, "x")
    assert reply["ename"] == "NameError"
    assert execute(client, "print('again')")[1] == "again\n"


def test_it_ends(kernel):
    manager, client = kernel
    execute(client, "y = 2")
    manager.shutdown_kernel(now=False)
    assert not manager.is_alive()
    with pytest.raises(queue.Empty):
        client.get_shell_msg(timeout=0.1)
