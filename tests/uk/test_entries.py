# SPDX-License-Identifier: BSD-3-Clause
"""Entries and TLB by hand: the functions of uk/arch/paging.h."""

from __future__ import annotations

import pytest

from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import ANY, RW
from tests.uk.test_pagetable import AT, pt, walk

__all__ = ["pt"]

# Entry by entry, call by call: only the calls together do what the architecture wants.
pytestmark = pytest.mark.no_sanitizer

READ_ONLY = 1 << 7


class Entry:
    """The entry of one mapped page."""

    def __init__(self, kernel, pt):
        assert kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
        self.kernel, self.pt = kernel, pt
        _, self.table, self.value = walk(kernel, pt, AT)
        self.found = kernel.new("__pte_t")

    def read(self, index=AT >> 12 & 511, level=0, table=None):
        """(status, the entry)."""
        table = self.table if table is None else table
        return self.kernel.ukarch_pte_read(table, level, index, self.found), self.found.target

    def can(self, access):
        """Whether the kernel's own access ("r" or "rw") goes through, with what is in the TLB."""
        return self.kernel.function(f"uk_nofault_probe_{access}")(AT, 1, 0) == 1

    def write(self, value, index=AT >> 12 & 511, level=0, table=None):
        """The status."""
        table = self.table if table is None else table
        return self.kernel.ukarch_pte_write(table, level, index, value)


@pytest.fixture
def entry(small_kernel, pt):
    """Of a page table that is active."""
    made = Entry(small_kernel, pt)
    assert small_kernel.ukplat_pt_set_active(pt) == 0
    return made


def test_an_entry_is_read_where_the_walk_ends(entry):
    """The table and the index that a walk gives."""
    assert entry.read() == (0, entry.value)
    assert entry.read(index=7) == (0, 0)


def test_rights_change_by_one_store(entry):
    """And the CPU knows when the TLB has been told."""
    assert entry.can("rw")
    assert entry.write(entry.value | READ_ONLY) == 0
    entry.kernel.ukarch_tlb_flush_entry(AT)
    assert (entry.can("r"), entry.can("rw")) == (True, False)


@pytest.mark.parametrize("flush", ["entry", "all"])
def test_an_entry_is_broken_told_and_made(entry, flush):
    """Another address at once is refused; invalid first, then the TLB, then the new one."""
    kernel = entry.kernel
    other = kernel.frames_alloc(1, 0, kernel.FRAME_PAGE)
    wanted = entry.value & ~0xFFFF_FFFF_F000 | other
    assert entry.can("r")
    assert entry.write(wanted) == -kernel.EINVAL
    assert entry.read() == (0, entry.value)
    assert entry.write(0) == 0
    if flush == "entry":
        kernel.ukarch_tlb_flush_entry(AT)
    else:
        kernel.ukarch_tlb_flush()
    assert not entry.can("r")
    assert entry.write(wanted) == 0
    kernel.ukarch_tlb_flush()
    assert entry.can("r")
    assert kernel.tables(half="ttbr0").lookup(AT).pa == other


def test_tables_know_how_many_entries_they_have(entry):
    """One that was filled by hand goes when everything in it is unmapped."""
    kernel = entry.kernel
    before = kernel.frames_count(kernel.FRAME_TABLE)
    assert entry.write(0x0900_0000 | entry.value & 0xFFF, index=9) == 0
    assert kernel.ukplat_page_unmap(entry.pt, AT, 1, 0) == 0
    assert kernel.frames_count(kernel.FRAME_TABLE) == before
    assert entry.write(0, index=9) == 0
    assert kernel.frames_count(kernel.FRAME_TABLE) == before
    assert kernel.ukplat_page_map(entry.pt, AT, ANY, 1, RW, 0) == 0
    assert kernel.ukplat_page_unmap(entry.pt, AT, 1, 0) == 0
    assert kernel.frames_count(kernel.FRAME_TABLE) < before


@pytest.mark.parametrize(("index", "level", "table"), [(512, 0, None), (0, 4, None), (0, 0, 8), (0, 0, PAGE)])
def test_what_is_no_entry_is_refused(entry, index, level, table):
    """Beyond the table, beyond the levels, not aligned, not memory."""
    if table == 8:
        table += entry.table
    assert entry.read(index, level, table)[0] == -entry.kernel.EINVAL
    assert entry.write(0, index, level, table) == -entry.kernel.EINVAL


@pytest.mark.parametrize("level", range(4))
def test_the_last_entry_of_a_table_of_any_level_is_one(entry, level):
    """Read and written; it is the caller who says which level a table has."""
    assert entry.read(511, level) == (0, 0)
    assert entry.write(1 << 55, 511, level) == 0
    assert entry.read(511, level) == (0, 1 << 55)
    assert entry.write(0, 511, level) == 0


def test_what_hardware_can_translate_and_refer_to(entry):
    """The low half up to its width, the kernel's, and 48 bits of physical address; a range must not wrap."""
    kernel = entry.kernel
    end = 1 << kernel.tables(half="ttbr0").regime.va_bits
    top = 1 << 64
    valid = {(0, end), (end - 1, 1), (KERNEL_BASE, top - KERNEL_BASE), (top - 1, 1), (5, 0)}
    invalid = {(0, end + 1), (end, 1), (KERNEL_BASE - 1, 2), (top - 1, 2)}
    for ranges, answer in [(valid, 1), (invalid, 0)]:
        assert {kernel.ukarch_vaddr_range_isvalid(*each) for each in ranges} == {answer}
    assert [kernel.ukarch_vaddr_isvalid(each) for each in (0, end - 1, end, top - 1)] == [1, 1, 0, 1]
    assert [kernel.ukarch_paddr_range_isvalid(0, size) for size in (0, 1, 1 << 48, (1 << 48) + 1)] == [
        1,
        1,
        1,
        0,
    ]
    assert [kernel.ukarch_paddr_isvalid(each) for each in (0, (1 << 48) - 1, 1 << 48)] == [1, 1, 0]


def test_the_base_is_the_table_that_the_cpu_has(entry):
    """Of the page table that is active; else the kernel's."""
    kernel = entry.kernel
    assert kernel.ukarch_pt_read_base() == int(entry.pt.pt_pbase)
    kernel.vmm_address_space_activate(None)
    assert kernel.ukarch_pt_read_base() == kernel.tables().regime.table_base
