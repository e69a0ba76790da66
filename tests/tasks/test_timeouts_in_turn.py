"""A call's timeout holds though the one before it ended early and its deadline is still to come."""

import pytest
from harness.behaviour import behaviour
from harness.internals import paused_calls

from ratchet import Timeout


@behaviour
async def test_a_later_deadline_after_one_that_nobody_wants_any_more(rt, inproc):
    """All of a loop share one timer, which goes when none is wanted."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    for early, late in ((0.2, 0.3), (5.0, 0.01)):
        task = rt.spawn(pull.recv(timeout=early))
        await rt.paused(pull, 1)
        await push.send(b"in time")
        await rt.join(task)
        with pytest.raises(Timeout):
            await pull.recv(timeout=late)


@behaviour
async def test_deadlines_that_end_while_none_is_wanted(rt, inproc):
    """The timer went off for nobody, with other deadlines of the past before the next one."""
    pull, push = await rt.link("PULL", "PUSH", inproc)
    for seconds in (0.01, 0.1):
        task = rt.spawn(pull.recv(timeout=seconds))
        await rt.until(lambda task=task: paused_calls(pull) or rt.ended(task))
        await push.send(b"in time")
        try:
            await rt.join(task)
        except Timeout:  # the machine is too busy for such a timeout
            await pull.recv()
    await rt.sleep(0.03)
    with pytest.raises(Timeout):
        await pull.recv(timeout=0.2)
