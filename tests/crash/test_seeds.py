# SPDX-License-Identifier: Apache-2.0
"""Whatever is killed, and whenever: nothing is lost, corrupt, misrouted or invented, and nothing
comes twice but where an answer did not arrive.

MAILSTEAD_SEEDS says how many seeds are run, MAILSTEAD_SEED which one alone, or which: "24-31".
"""
import os

import pytest

from harness import Run

FIRST, _, LAST = os.environ.get("MAILSTEAD_SEED", "").partition("-")
SEEDS = range(int(FIRST), int(LAST or FIRST) + 1) if FIRST else range(int(os.environ.get("MAILSTEAD_SEEDS", "8")))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_whatever_dies(crash_cluster, seed):
    run = Run(crash_cluster, seed)
    faults = run.go()
    print(run.summary())
    assert not faults, f"{run.summary()}\n" + "\n".join(map(str, faults[:20]))
    assert run.ledger.accepted, run.summary()
