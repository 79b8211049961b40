# SPDX-License-Identifier: BSD-3-Clause
"""Bits of descriptors that a caller chooses, that others have set, and that the hardware ignores."""

from __future__ import annotations

import pytest

from harness.arch.bits import mask
from tests.support.trace import VALID, tracing
from tests.uk.driver import ANY, HUGE, LARGE, PAGE, POPULATE, RW, RX, USER_BASE, R
from tests.uk.test_dma import FAR, TYPES
from tests.uk.test_pagetable import AT, CLONE_NEW, FORCE, free, pt, size_flag, tables, walk

__all__ = ["pt"]

# What is written into tables here no kernel writes.
pytestmark = pytest.mark.no_sanitizer

READ_ONLY = 1 << 7
ADDRESS = mask(47, 12)
TOP = 1 << 47
BLOCK = 0x0800_0000  # no RAM: nobody else has it
NORMAL = [(TYPES["Normal WB"], 0xFF), (TYPES["Normal WT"], 0xBB), (TYPES["Normal NC"], 0x44)]
SHAREABLE = [kind << 8 for kind in range(4)]
OF_TABLES = mask(11, 2) | mask(58, 52)  # ignored (D8.3.1)
OF_BLOCKS = mask(5, 2) | mask(9, 8) | mask(11, 10) | mask(52, 48) | mask(63, 55)


def tables_on_the_way(kernel):
    """To a page; the root is one of them."""
    return 4 if kernel.LUKOS_VA_BITS > 39 else 3


def entry_of(kernel, pt, va, level=0):
    """(the physical address of the entry where the walk to a level ends, its value)."""
    ended, table, value = walk(kernel, pt, va, level)
    pa = kernel.machine.virtual.walk(table).pa
    return pa + 8 * (va >> 12 + 9 * ended & 511), value


def set_bits(kernel, pt, va, level, bits):
    """Set bits of an entry behind the kernel's back; what it is now."""
    pa, value = entry_of(kernel, pt, va, level)
    kernel.machine.memory.write(pa, (value | bits).to_bytes(8, "little"))
    return value | bits


def tag(kernel, pt):
    """Set all ignored bits in the descriptors of the tables on the way."""
    for level in range(1, tables_on_the_way(kernel)):
        set_bits(kernel, pt, AT, level, OF_TABLES)


@pytest.fixture
def tagged(small_kernel, pt):
    """A page and a block below tables whose descriptors are tagged."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + LARGE, BLOCK, 1, RW, size_flag(1)) == 0
    tag(small_kernel, pt)
    return pt


@pytest.mark.parametrize("prot", [R, RW, RX], ids=["r", "rw", "rx"])
@pytest.mark.parametrize("shareable", SHAREABLE)
@pytest.mark.parametrize(("kind", "mair"), NORMAL)
def test_rights_do_not_depend_on_type_and_shareability(small_kernel, pt, prot, shareable, kind, mair):
    """The descriptor is that of write-back memory but for MAIR's index; shareable, whatever was asked for."""
    assert small_kernel.ukplat_page_map(pt, AT, BLOCK, 1, prot, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + PAGE, BLOCK, 1, prot | kind | shareable, 0) == 0
    plain, typed = (walk(small_kernel, pt, va)[2] for va in (AT, AT + PAGE))
    assert typed & ~mask(4, 2) == plain & ~mask(4, 2)
    index = typed >> 2 & 7
    assert small_kernel.machine.sysreg["MAIR_EL1"] >> 8 * index & 0xFF == mair


@pytest.mark.parametrize("bit", [3, 4, 10, 11, 31, 63])
def test_attributes_that_nobody_knows_are_refused(small_kernel, pt, bit):
    """One bit beside those of uk/asm/page_attr.h."""
    before = free(small_kernel)
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW | 1 << bit, 0) == -22
    assert free(small_kernel) == before


def test_a_block_that_is_split_keeps_all_but_its_level(small_kernel, pt):
    """Memory type, software's bits, whatever there is: each page that did not change has them."""
    assert small_kernel.ukplat_page_map(pt, AT, BLOCK, 1, RW, size_flag(1)) == 0
    block = set_bits(small_kernel, pt, AT, 1, OF_BLOCKS)
    assert small_kernel.ukplat_page_set_attr(pt, AT, 1, R, 0) == 0
    assert walk(small_kernel, pt, AT)[0] == 0
    for page in range(1, 512):
        assert walk(small_kernel, pt, AT + page * PAGE)[2] == (block | 2) + page * PAGE


@pytest.mark.parametrize("bit", [2, 4, 5, 8, 9, 11, *range(48, 53), *range(55, 64)])
def test_what_differs_in_more_than_rights_is_broken_first(small_kernel, pt, bit):
    """Whatever bit it is that somebody has changed in an entry, and that new attributes change back."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_pt_set_active(pt) == 0
    pa, value = entry_of(small_kernel, pt, AT)
    small_kernel.machine.memory.write(pa, (value ^ 1 << bit).to_bytes(8, "little"))
    with tracing(small_kernel) as trace:
        assert small_kernel.ukplat_page_set_attr(pt, AT, 1, R, 0) == 0
    assert [store.new & VALID for event in trace.events for store in event.stores] == [0, VALID]
    assert walk(small_kernel, pt, AT)[2] == value | READ_ONLY


def test_what_is_ignored_in_table_descriptors_is_ignored(small_kernel, tagged):
    """Bits 11:2 and 58:52: what is mapped is found, to walk, to map beside it, and to change its rights."""
    expected = walk(small_kernel, tagged, AT)[2]
    assert expected & 1
    assert small_kernel.ukplat_page_map(tagged, AT, BLOCK, 1, RW, FORCE) == -small_kernel.EEXIST
    assert small_kernel.ukplat_page_map(tagged, AT + 16 * PAGE, BLOCK, 1, RW, FORCE) == 0
    assert small_kernel.ukplat_page_set_attr(tagged, AT, 1, R, 0) == 0
    assert walk(small_kernel, tagged, AT)[2] == expected | READ_ONLY
    assert small_kernel.ukplat_page_set_attr(tagged, AT + LARGE + PAGE, 2, R, 0) == 0
    found = [walk(small_kernel, tagged, AT + LARGE + page * PAGE)[2] & READ_ONLY for page in range(4)]
    assert found == [0, READ_ONLY, READ_ONLY, 0]
    copy = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_clone(copy, tagged, 0) == 0
    assert walk(small_kernel, copy, AT)[2] == expected | READ_ONLY
    assert small_kernel.ukplat_pt_free(copy, 0) == 0


@pytest.mark.parametrize("at_once", [False, True], ids=["unmapped", "freed"])
def test_what_is_ignored_in_table_descriptors_hides_no_frame(small_kernel, tagged, at_once):
    """Page by page, or with the whole page table: pages and tables go back."""
    before = free(small_kernel)
    if at_once:
        assert small_kernel.ukplat_pt_free(tagged, 0) == 0
    else:
        assert small_kernel.ukplat_page_unmap(tagged, AT, 1, 0) == 0
        assert walk(small_kernel, tagged, AT)[2] == 0
    assert free(small_kernel) - before == 1 + (tables_on_the_way(small_kernel) if at_once else 1)
    assert small_kernel.frames_check()


def test_what_is_ignored_in_table_descriptors_is_no_boundary(small_kernel, tagged):
    """A range goes on from one table to the next: rights, a seal, unmapping."""
    end = AT + 2 * LARGE
    assert small_kernel.ukplat_page_map(tagged, end, ANY, 1, RW, 0) == 0
    set_bits(small_kernel, tagged, end, 1, OF_TABLES)
    assert small_kernel.ukplat_page_set_attr(tagged, AT, 1025, RX, 0) == 0
    assert [walk(small_kernel, tagged, va)[2] & READ_ONLY for va in (AT, end)] == [READ_ONLY] * 2
    assert small_kernel.ukplat_page_set_attr(tagged, AT, 1025, RW, 0) == 0
    assert small_kernel.vmm_arch_pages_seal(tagged, AT, 1025 * PAGE)
    assert [walk(small_kernel, tagged, va)[2] & READ_ONLY for va in (AT, end)] == [READ_ONLY] * 2
    assert small_kernel.ukplat_page_unmap(tagged, AT, 1025, 0) == 0
    assert [walk(small_kernel, tagged, va)[2] & VALID for va in (AT, end)] == [0, 0]


def test_what_is_ignored_in_table_descriptors_is_ignored_in_a_copy(small_kernel, tagged):
    """A copy that has tables already gets what is still missing into these."""
    copy, empty = small_kernel.new("struct uk_pagetable"), tables(small_kernel)
    assert small_kernel.ukplat_page_map(tagged, AT + 8 * PAGE, BLOCK, 1, RW, FORCE) == 0
    assert small_kernel.ukplat_pt_clone(copy, tagged, CLONE_NEW) == 0
    for va in (AT, AT + 8 * PAGE):
        assert small_kernel.vmm_arch_pages_share(copy, tagged, va, PAGE, False) == 0
        tag(small_kernel, copy)
        assert walk(small_kernel, copy, va)[2] == walk(small_kernel, tagged, va)[2] != 0
    assert tables(small_kernel) == empty + tables_on_the_way(small_kernel)


def test_what_is_ignored_in_table_descriptors_is_ignored_where_a_range_ends(small_kernel, tagged):
    """In a block, which is cut there."""
    assert small_kernel.ukplat_page_set_attr(tagged, AT, 512 + 2, R, 0) == 0
    found = [walk(small_kernel, tagged, AT + LARGE + page * PAGE)[2] & READ_ONLY for page in range(4)]
    assert found == [READ_ONLY, READ_ONLY, 0, 0]


def test_what_is_ignored_in_table_descriptors_is_ignored_by_a_copied_page(small_kernel, tagged):
    """What copy-on-write puts in the place of a page is found there."""
    attributes = walk(small_kernel, tagged, AT)[2]
    small_kernel.vmm_arch_page_replace(tagged, AT, BLOCK, attributes, 0)
    assert walk(small_kernel, tagged, AT)[2] == attributes & ~ADDRESS | BLOCK


def test_what_is_ignored_in_table_descriptors_is_ignored_when_tables_are_merged(small_kernel, pt, tagged):
    """A page goes from one page table to the other, where both have tables on the way to it."""
    staging = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_clone(staging, pt, CLONE_NEW) == 0
    assert small_kernel.ukplat_page_map(staging, AT + PAGE, ANY, 1, RW, 0) == 0
    expected = walk(small_kernel, staging, AT + PAGE)[2]
    tag(small_kernel, staging)
    assert small_kernel.mmu_take_over(tagged, staging, AT, AT + LARGE)
    assert walk(small_kernel, tagged, AT + PAGE)[2] == expected
    assert walk(small_kernel, staging, AT + PAGE)[2] == 0


def test_what_is_ignored_in_table_descriptors_hides_no_table(small_kernel, pt, tagged):
    """All are counted, and all can be freed."""
    on_the_way, before = tables_on_the_way(small_kernel), tables(small_kernel)
    assert small_kernel.mmu_tables(tagged) == on_the_way
    small_kernel.mmu_free_tables(tagged)
    assert before - tables(small_kernel) == on_the_way
    assert small_kernel.frames_check()


def test_a_descriptor_of_a_table_is_its_address_and_type(small_kernel, pt):
    """Nothing else, neither NSTable nor one of the limits on rights below (D8.3.1)."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + HUGE - PAGE, ANY, 2, RW, 0) == 0
    for va in (AT, AT + HUGE - PAGE, AT + HUGE):
        for level in range(1, tables_on_the_way(small_kernel)):
            assert walk(small_kernel, pt, va, level)[2] & ~ADDRESS == 3


@pytest.fixture
def far(small_kernel, pt):
    """A page and a block at addresses that differ from memory of ours in the top bit of a PA."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + LARGE, ANY, 1, RW, size_flag(1)) == 0
    for va, level in ((AT, 0), (AT + LARGE, 1)):
        set_bits(small_kernel, pt, va, level, TOP)
    return pt


def test_the_top_bit_of_an_address_is_kept(small_kernel, far):
    """When rights change, and when a block is split."""
    page, block = walk(small_kernel, far, AT)[2], walk(small_kernel, far, AT + LARGE)[2]
    for va, pages, old in ((AT, 1, page), (AT + LARGE, 512, block)):
        assert small_kernel.ukplat_page_set_attr(far, va, pages, R, 0) == 0
        assert walk(small_kernel, far, va)[2] == old | READ_ONLY
    assert small_kernel.ukplat_page_set_attr(far, AT + LARGE, 1, RW, 0) == 0
    assert walk(small_kernel, far, AT + LARGE)[2] == block | 2
    assert walk(small_kernel, far, AT + LARGE + PAGE)[2] == (block | READ_ONLY | 2) + PAGE


@pytest.mark.parametrize("va", [AT, AT + LARGE], ids=["page", "block"])
def test_the_top_bit_of_an_address_tells_memory_from_ours(small_kernel, far, va):
    """What only looks like a frame of ours is not shared, nor freed when it is unmapped."""
    ours = small_kernel.frames_count(small_kernel.FRAME_PAGE)
    copy, size = small_kernel.new("struct uk_pagetable"), PAGE if va == AT else LARGE
    assert small_kernel.ukplat_pt_clone(copy, far, CLONE_NEW) == 0
    assert small_kernel.vmm_arch_pages_share(copy, far, va, size, True) == 0
    pa = walk(small_kernel, far, va)[2] & ADDRESS & ~TOP
    assert small_kernel.frame_of(pa)[0].used == 0
    assert small_kernel.ukplat_page_unmap(far, va, size // PAGE, 0) == 0
    assert small_kernel.frames_count(small_kernel.FRAME_PAGE) == ours


@pytest.fixture
def pages(small_kernel, pt):
    """2M in pages, at addresses where a block could be."""
    assert small_kernel.ukplat_page_map(pt, AT, BLOCK, 512, RW, FORCE) == 0
    tag(small_kernel, pt)
    return pt


def test_pages_that_are_joined_keep_all_but_their_level(small_kernel, pages):
    """The block has what all of them have, whatever that is."""
    found = {
        set_bits(small_kernel, pages, AT + page * PAGE, 0, OF_BLOCKS) - page * PAGE for page in range(512)
    }
    assert small_kernel.vmm_arch_pages_join(pages, AT, BLOCK, None) == 0
    level, _, block = walk(small_kernel, pages, AT)
    assert (level, {block | 2}) == (1, found)


@pytest.mark.parametrize("bit", [*range(2, 12), *range(48, 64)])
def test_pages_that_differ_in_a_bit_are_not_joined(small_kernel, pages, bit):
    """Whatever bit it is; all stays as it was."""
    pa, value = entry_of(small_kernel, pages, AT + 511 * PAGE)
    small_kernel.machine.memory.write(pa, (value ^ 1 << bit).to_bytes(8, "little"))
    assert small_kernel.vmm_arch_pages_join(pages, AT, BLOCK, None) == -small_kernel.ENOENT
    assert walk(small_kernel, pages, AT)[0] == 0
    assert walk(small_kernel, pages, AT + 511 * PAGE)[2] == value ^ 1 << bit


def test_a_range_may_start_with_a_gigabyte_and_end_in_another(vas):
    """Only the one that it ends in is cut."""
    va = vas.map("dma", 2 * HUGE, at=USER_BASE, pa=FAR, flags=POPULATE)
    assert [leaf.size for leaf in vas.leaves()] == [HUGE] * 2
    vas.set_attr(va, HUGE + LARGE + PAGE, R)
    assert [leaf.size for leaf in vas.leaves()] == [HUGE, LARGE, *[PAGE] * 512, *[LARGE] * 510]
    rights = [vas.tables().lookup(va + offset).descriptor.ap for offset in (0, HUGE, HUGE + LARGE)]
    assert rights == [3, 3, 3]
    assert vas.tables().lookup(va + HUGE + LARGE + PAGE).descriptor.ap == 1
