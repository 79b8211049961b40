# SPDX-License-Identifier: BSD-3-Clause
"""The VMA engine on the build host, with the fake architecture and under sanitizers, against its model."""

from __future__ import annotations

import pytest

from tests.host.driver import HostGuest
from tests.uk.machine import run_steps
from tests.uk.machine_family import SETTINGS, FamilyMachine
from tests.uk.machine_files import FilesMachine

SHARDS, SHARD_STEPS = 8, 1000
FAMILY_SHARDS, FAMILY_STEPS = 4, 500


@pytest.mark.timeout(900)  # a failure is made smaller for up to five minutes
@pytest.mark.parametrize("shard", range(SHARDS))
def test_engine_on_the_host_does_what_its_model_does(host, shard):
    """The sequences that the emulated kernel is driven by, of the same seeds."""
    run_steps(HostGuest(host), shard, SHARDS, SHARD_STEPS, FilesMachine)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(FAMILY_SHARDS))
def test_copies_on_the_host_do_what_their_models_do(host, shard):
    """Address spaces that are copied, written and destroyed: under AddressSanitizer."""
    run_steps(HostGuest(host), shard, FAMILY_SHARDS, FAMILY_STEPS, FamilyMachine, SETTINGS)
