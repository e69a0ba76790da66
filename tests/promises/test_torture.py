"""The short form of every scenario in `torture/`, for ratchet; `make torture` is the full one.

Of those on pyzmq's API, run on ratchet, only some.

A scenario's threads, ratchet threads and tasks each have a process of their own, side by side.
"""

import pytest
from harness.runtimes import installed

from torture import runner
from torture.adapters import ADAPTERS
from torture.scenario import SCENARIOS

HOSTED = "stopped_receives", "timed_sends", "many_callers", "closed_under_callers", "forked_child"


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS.values() if "ratchet" in s.libraries])
def test_ratchet_keeps_the_promise(name):
    keeps_the_promise("ratchet", name)


@pytest.mark.parametrize("name", HOSTED)
def test_pyzmqs_api_on_ratchet_keeps_the_promise(name):
    pytest.importorskip("zmq")
    keeps_the_promise("pyzmq-on-ratchet", name)


def keeps_the_promise(library, name):
    seed = runner.new_seed()
    print(f"{runner.SEED}={seed} repeats this")
    kinds = [kind for kind in SCENARIOS[name].kinds if (library, kind) in ADAPTERS]
    if library != "ratchet" and not installed("gevent"):
        kinds.remove("cooperative")
    runs = [runner.Run(name, library, kind, False, seed) for kind in kinds]
    outcomes = [run.outcome() for run in runs]
    faults = [f"{one}\n{one.details}" for one in outcomes if not one.well]
    assert not faults, "\n".join(faults)
    if all(one.text != "holds" for one in outcomes):
        pytest.skip(outcomes[0].text)
