# SPDX-License-Identifier: BSD-3-Clause
"""Translation tables with all of their 512 entries in use, each way that they are made: full, and no more."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import HUGE, LARGE, POPULATE, REPLACE, RW, SIZE_4K, USER_BASE, R
from tests.uk.test_pagetable import AT, CLONE_NEW

ENTRIES = 512


def each_in_a_table(vas, size, low=0):
    """A page in each of 512 ranges of a size, and everything back."""
    before = vas.kernel.frames_count(vas.kernel.FRAME_TABLE)
    for number in range(ENTRIES):
        vas.map("anon", PAGE, at=low + number * size + 32 * PAGE, flags=POPULATE | SIZE_4K)
    assert vas.kernel.frames_count(vas.kernel.FRAME_TABLE) >= before + ENTRIES - 1
    for number in range(ENTRIES):
        vas.unmap(low + number * size + 32 * PAGE, PAGE)
    assert vas.kernel.frames_count(vas.kernel.FRAME_TABLE) == before


def test_a_table_of_tables_of_pages(vas):
    """One page in each 2M of 1G."""
    vas.map("anon", PAGE, at=USER_BASE + 5 * PAGE, flags=POPULATE)
    each_in_a_table(vas, LARGE, USER_BASE)


def test_a_table_of_tables_of_tables(vas):
    """One page in each 1G of 512."""
    each_in_a_table(vas, HUGE)


@pytest.mark.parametrize("size", [PAGE, 2 * PAGE, LARGE // 2], ids=["single", "pairs", "halves"])
def test_a_table_of_pages(vas, size):
    """In runs of some lengths; then copied, replaced in part and in whole, and given other rights."""
    for at in range(0, LARGE, size):
        vas.map("anon", size, at=USER_BASE + at, flags=POPULATE | SIZE_4K, name=at // size % 2)
    copy = vas.clone()
    assert [page.size for page in copy.leaves() if page.va < USER_BASE + LARGE and page.va >= USER_BASE] == [
        PAGE
    ] * ENTRIES
    for part in (LARGE // 2, LARGE):
        vas.map("anon", part, at=USER_BASE, flags=POPULATE | SIZE_4K | REPLACE)
    vas.set_attr(USER_BASE, LARGE, R)
    vas.unmap(USER_BASE, LARGE)


def test_a_table_by_hand(small_kernel):
    """Every entry is written by ukarch_pte_write(), then cleared."""
    kernel = small_kernel
    pt = kernel.new("struct uk_pagetable")
    assert kernel.ukplat_pt_clone(pt, kernel.ukplat_pt_get_active(), CLONE_NEW) == 0
    pa = kernel.frames_alloc(1, 0, kernel.FRAME_REGION)
    assert kernel.ukplat_page_map(pt, AT, pa, 1, RW, 0) == 0
    level, table, entry = kernel.new("unsigned int", 0), kernel.new("__vaddr_t"), kernel.new("__pte_t")
    assert kernel.ukplat_pt_walk(pt, AT, level, table, entry) == 0
    for index in range(ENTRIES):
        assert kernel.ukarch_pte_write(table.target, 0, index, entry.target) == 0
    for index in range(1, ENTRIES):
        assert kernel.ukarch_pte_write(table.target, 0, index, 0) == 0
    assert kernel.ukplat_page_unmap(pt, AT, 1, 0) == 0
