# SPDX-License-Identifier: BSD-3-Clause
"""Copies of address spaces on the emulated CPU, against their models."""

from __future__ import annotations

import pytest

from tests.uk.guest import Guest
from tests.uk.machine import run_steps
from tests.uk.machine_family import SETTINGS, FamilyMachine

SHARDS, SHARD_STEPS = 4, 300


@pytest.mark.timeout(900)  # a failure is made smaller for up to five minutes
@pytest.mark.parametrize("shard", range(SHARDS))
def test_family_does_what_its_models_do(small_kernel, shard):
    """Random sequences, of different seeds in each shard."""
    run_steps(Guest(small_kernel), shard, SHARDS, SHARD_STEPS, FamilyMachine, SETTINGS)
