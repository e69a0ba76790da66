"""Hypothesis's inputs, in numbers, by a seed that is shown or given."""

import os
import random

import hypothesis

TORTURE = os.environ.get("RATCHET_TORTURE", "") not in ("", "0")


def fuzz(many, **given):
    """Call the decorated function with that many inputs; shows the seed, or takes it as given."""
    seed = int(os.environ.get("RATCHET_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"RATCHET_TEST_SEED={seed} repeats this")
    settings = hypothesis.settings(
        max_examples=many * (50 if TORTURE else 1),
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
        deadline=None,
        print_blob=True,
    )
    return lambda check: hypothesis.seed(seed)(settings(hypothesis.given(**given)(check)))()
