# SPDX-License-Identifier: BSD-3-Clause
"""What sequences of calls cost, to the instruction."""

from __future__ import annotations

import pytest

from tests.uk.costs import SEQUENCES, committed, cost


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_costs_what_is_committed(small_kernel, name):
    """Of a compiler that nothing is committed of, the same each time."""
    moment = small_kernel.snapshot()
    found = cost(small_kernel, name)
    known = committed(small_kernel)
    if known is None:
        small_kernel.restore(moment)
        known = {name: cost(small_kernel, name)}
    assert found == known[name], "if that is meant: python -m tests.uk.costs"
