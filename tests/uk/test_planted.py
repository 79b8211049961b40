# SPDX-License-Identifier: BSD-3-Clause
"""Defects of Unikraft's memory engine, planted into ours: the tests that guard it catch each, by its name."""

from __future__ import annotations

import pytest

from harness.bench.asked import ASKED
from harness.bench.ground import Ground
from harness.bench.operations import OPERATIONS
from tests.support import plants
from tests.uk import test_exhaustion, test_placement, test_runs
from tests.uk.driver import LARGE, POPULATE, SIZE_4K


def populate_costs_what_is_asked(vas):
    """As tests/bench/test_baseline.py has it: DSB executed for 512 pages."""
    [asked] = [each for each in ASKED if each.key == "populate 512 x 4K"]
    assert OPERATIONS[asked.key](Ground(vas.kernel)).dsb <= asked.most_dsb


def populate_2m(vas):
    """512 pages, by a new table."""
    vas.map("anon", LARGE, at=test_runs.VA, flags=POPULATE | SIZE_4K)


DEFECTS = {
    "POPULATE that fails keeps what it took": (
        lambda vas: plants.populate_keeps_what_it_took(vas.kernel),
        [test_exhaustion.test_populate_more_than_there_is],
    ),
    "first-fit search without an upper bound": (
        lambda vas: plants.first_fit_without_upper_bound(vas.kernel),
        [
            test_placement.test_nothing_is_placed_beyond_what_hardware_translates,
            test_placement.test_whole_range_can_be_reserved_and_then_holds_no_more,
        ],
    ),
    "DSB + ISB after each of 512 stores into a table that is not linked yet (waste)": (
        lambda vas: plants.barriers_after_each_store(vas.kernel, lambda: populate_2m(vas)),
        [
            lambda vas: test_runs.test_populating_2m_costs_two_barriers_and_its_end_one_tlbi(
                vas, SIZE_4K, 512
            ),
            populate_costs_what_is_asked,
        ],
    ),
}


@pytest.mark.parametrize(
    ("plant", "guard"),
    [
        pytest.param(plant, guard, id=f"{what}-{number}")
        for what, (plant, guards) in DEFECTS.items()
        for number, guard in enumerate(guards)
    ],
)
def test_a_planted_defect_is_caught_by_what_guards_the_kernel(vas, plant, guard):
    """Planted, it fails the very test that holds without it."""
    moment = vas.kernel.snapshot()
    with plant(vas), pytest.raises(AssertionError):
        guard(vas)
    vas.kernel.restore(moment)
    guard(vas)
