"""The short form of every scenario in `torture/`, for ratchet; `make torture` is the full one.

A scenario's threads, ratchet threads and tasks each have a process of their own, side by side.
"""

import pytest

from torture import runner
from torture.scenario import SCENARIOS


@pytest.mark.parametrize("name", [s.name for s in SCENARIOS.values() if "ratchet" in s.libraries])
def test_ratchet_keeps_the_promise(name):
    seed = runner.new_seed()
    print(f"{runner.SEED}={seed} repeats this")
    runs = [runner.Run(name, "ratchet", kind, False, seed) for kind in SCENARIOS[name].kinds]
    outcomes = [run.outcome() for run in runs]
    faults = [f"{one}\n{one.details}" for one in outcomes if not one.well]
    assert not faults, "\n".join(faults)
    if all(one.text != "holds" for one in outcomes):
        pytest.skip(outcomes[0].text)
