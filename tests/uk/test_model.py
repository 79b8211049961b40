# SPDX-License-Identifier: BSD-3-Clause
"""The VMA engine of the emulated kernel against its model; `make soak` goes on for longer."""

from __future__ import annotations

import pytest

from tests.uk.guest import Guest
from tests.uk.machine import run_steps
from tests.uk.machine_files import FilesMachine

SHARDS, SHARD_STEPS = 20, 1000


@pytest.mark.no_sanitizer("policy/mismatched-attributes")  # any memory type, for frames of any kind
@pytest.mark.timeout(900)  # a failure is made smaller for up to five minutes
@pytest.mark.parametrize("shard", range(SHARDS))
def test_engine_does_what_its_model_does(small_kernel, shard):
    """Random sequences; together 20 000 steps for each image."""
    run_steps(Guest(small_kernel), shard, SHARDS, SHARD_STEPS, FilesMachine)
