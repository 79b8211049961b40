# SPDX-License-Identifier: BSD-3-Clause
"""Attributes with a memory type, on every way on which pages are mapped."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import LARGE, POPULATE, RW, WILLNEED
from tests.uk.test_anon import without_large_blocks
from tests.uk.test_dma import TYPES

NC = RW | TYPES["Normal NC"]


def several_runs(vas):
    """Pages of two tables."""
    vas.map("anon", 4 * PAGE, NC, at=vas.base + LARGE - 2 * PAGE, flags=POPULATE)
    return 4


def smaller_pages(vas):
    """2M that has no block."""
    with without_large_blocks(vas.kernel):
        vas.map("anon", LARGE, NC, at=vas.base + LARGE, flags=POPULATE)
    return 512


def advised(vas):
    """Present on request."""
    va = vas.map("anon", 4 * PAGE, NC)
    vas.advise(va, 4 * PAGE, WILLNEED)
    return 4


@pytest.mark.no_sanitizer("policy/mismatched-attributes")  # the kernel has cached the same frames
@pytest.mark.parametrize("populate", [several_runs, smaller_pages, advised])
def test_pages_have_the_memory_type_of_their_vma(vas, populate):
    """However many of them, of whatever size: each one."""
    pages = populate(vas)
    leaves = vas.leaves()
    assert sum(leaf.size for leaf in leaves) == pages * PAGE
    assert all("NC" in leaf.memory for leaf in leaves)
