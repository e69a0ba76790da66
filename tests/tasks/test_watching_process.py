"""The OS thread that watches for loops that cannot: where the process forks, and where it exits."""

import os

import pytest
from harness.waiting import LONG

PROGRAM = """
import asyncio
import ctypes
import ratchet.asyncio
from harness.internals import watching_threads
from harness.runtimes import BlindLoop

async def wait(zsock, name="recv_all"):
    task = asyncio.create_task(getattr(zsock, name)())
    while paused_calls(zsock) == 0:
        await asyncio.sleep(0)
    return task

async def exchange():
    with ratchet.asyncio.new("PULL") as pull, zmqsocket.new("PUSH") as push:
        push.connect(pull.bind("tcp://127.0.0.1:*"))
        task = await wait(pull)
        assert len(watching_threads()) == 1
        push.send(b"x")
        assert await asyncio.wait_for(task, 10) == b"x"

def run(main):
    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        return runner.run(main)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork(run):
    """The child has a thread of its own, and what it closes disturbs nothing of its parent's."""
    run(
        PROGRAM
        + """
pull, push = ratchet.asyncio.new("PULL"), zmqsocket.new("PUSH")
push.connect(pull.bind("tcp://127.0.0.1:*"))
loop = BlindLoop()
task = loop.run_until_complete(wait(pull))
assert len(watching_threads()) == 1

selected, ringer = pair("PULL", "PUSH")
selecting = loop.create_task(ratchet.asyncio.select([selected]))
loop.run_until_complete(asyncio.sleep(0.01))

def child():
    assert not watching_threads()
    selecting.cancel()
    pull.close(), push.close(), selected.close()
    run_blind(exchange())
    until(lambda: not watching_threads())
    try:
        loop.run_until_complete(wait_in_child())
    except ratchet.ForkedError:
        pass
    else:
        raise AssertionError("an inherited loop waits")

async def wait_in_child():
    with ratchet.asyncio.new("PULL") as zsock:
        await zsock.recv()

run_blind = run
for _ in range(3):
    assert fork(child) == 0
    push.send(b"unharmed")
    assert loop.run_until_complete(asyncio.wait_for(task, 10)) == b"unharmed"
    task = loop.run_until_complete(wait(pull))
ringer.send(b"x")
assert loop.run_until_complete(asyncio.wait_for(selecting, 10)) == ([selected], [])
task.cancel()
loop.run_until_complete(asyncio.wait([task]))
pull.close(), push.close(), selected.close(), ringer.close()
loop.close()
"""
    )


@pytest.mark.parametrize("loop", ["closed", "open", "running in a daemon thread"])
def test_an_exit_with_calls_that_wait(run, loop):
    """It waits for nobody, and delivers what was sent."""
    result = run(
        PROGRAM
        + f"""
import warnings
warnings.simplefilter("ignore", ResourceWarning)
loop = BlindLoop()
pull = ratchet.asyncio.new("PULL")
pull.bind("tcp://127.0.0.1:*")
with zmqsocket.new("PULL") as sink:
    at = sink.bind("tcp://127.0.0.1:*")
how = {loop!r}
if how == "running in a daemon thread":
    threading.Thread(target=loop.run_forever, daemon=True).start()
    task = asyncio.run_coroutine_threadsafe(wait(pull), loop).result(10)
else:
    task = loop.run_until_complete(wait(pull))
    if how == "closed":
        loop.close()
    else:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(loop))  # Python itself complains of its end
task._log_destroy_pending = False
assert len(watching_threads()) == 1
print("done", flush=True)
""",
        limit=LONG,
    )
    assert result.out == "done\n"
