# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of 2M: their entries change as those of pages do."""

from __future__ import annotations

import pytest

from tests.support.trace import tracing
from tests.uk.driver import LARGE, POPULATE, RW, SIZE_2M, R
from tests.uk.test_dma import TYPES, memory

__all__ = ["memory"]

TOLD = ["dsb ishst", "tlbi vale1is", "dsb ish", "isb"]


def test_rights_of_a_block_change_in_place(vas):
    """One store, and the TLB told: no access in between finds nothing there."""
    va = vas.map("anon", LARGE, flags=POPULATE | SIZE_2M)
    with tracing(vas.kernel) as trace:
        vas.set_attr(va, LARGE, R)
    assert trace.script == ["permit 1", *TOLD]


@pytest.mark.no_sanitizer("policy/mismatched-attributes")  # the linear map keeps the other type
def test_memory_type_of_a_block_changes_by_way_of_nothing(vas, memory):
    """Break, TLBI, make."""
    va = vas.map("dma", LARGE, pa=memory, flags=POPULATE | SIZE_2M)
    with tracing(vas.kernel) as trace:
        vas.set_attr(va, LARGE, RW | TYPES["Normal NC"])
    assert trace.script == ["break 1", *TOLD, "make 1", "dsb ishst", "isb"]


def test_a_block_that_has_its_rights_is_left_alone(vas):
    """Nothing is written, and no TLB is told."""
    va = vas.map("anon", LARGE, flags=POPULATE | SIZE_2M)
    with tracing(vas.kernel) as trace:
        vas.set_attr(va, LARGE, RW)
    assert trace.script == []
