# SPDX-License-Identifier: BSD-3-Clause
"""Page tables by hand: uk/plat/paging.h."""

from __future__ import annotations

import pytest

from tests.uk.driver import ANY, LARGE, PAGE, RW, R

AT = 0x20_0000_0000
FORCE, KEEP_PTES, KEEP_FRAMES, CLONE_NEW = 4, 1, 2, 1


def size_flag(level):
    """PAGE_FLAG_SIZE()."""
    return level << 4


@pytest.fixture
def pt(small_kernel):
    """An empty page table."""
    made = small_kernel.new("struct uk_pagetable")
    active = small_kernel.ukplat_pt_get_active()
    assert small_kernel.ukplat_pt_clone(made, active, CLONE_NEW) == 0
    return made


def free(kernel):
    """Frames that nobody has."""
    return kernel.frames_count(kernel.FRAME_FREE)


def tables(kernel):
    """Frames that hold tables."""
    return kernel.frames_count(kernel.FRAME_TABLE)


def walk(kernel, pt, va, level=0):
    """(level, table, entry) where the walk ends."""
    at, table, entry = kernel.new("unsigned int", level), kernel.new("__vaddr_t"), kernel.new("__pte_t")
    assert kernel.ukplat_pt_walk(pt, va, at, table, entry) == 0
    return at.target, table.target, entry.target


def test_new_frames_are_mapped_and_go_back(small_kernel, pt):
    """__PADDR_ANY takes a frame for each page; unmapping returns frames and tables."""
    before, empty = free(small_kernel), tables(small_kernel)
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 5, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + LARGE, ANY, 1, RW, size_flag(1)) == 0
    assert before - free(small_kernel) == 5 + 512 + tables(small_kernel) - empty
    assert walk(small_kernel, pt, AT + LARGE)[0] == 1
    assert small_kernel.ukplat_page_unmap(pt, AT, 1024, 0) == 0
    assert free(small_kernel) == before


@pytest.mark.parametrize("flags", [0, KEEP_PTES])
def test_what_lies_behind_a_range_is_none_of_it(small_kernel, pt, flags):
    """Whatever its size; it stays when the pages before it go."""
    for va, level in ((AT + LARGE - 3 * PAGE, 0), (AT + LARGE - PAGE, 0), (AT + LARGE, 1)):
        assert small_kernel.ukplat_page_map(pt, va, ANY, 1, RW, size_flag(level)) == 0
    last, before = (walk(small_kernel, pt, va) for va in (AT + LARGE - PAGE, AT + LARGE))
    assert small_kernel.ukplat_page_unmap(pt, AT + LARGE - 3 * PAGE, 2, flags) == 0  # a page, and a hole
    assert small_kernel.ukplat_page_unmap(pt, AT + LARGE, 0, FORCE) == 0
    assert walk(small_kernel, pt, AT + LARGE - PAGE) == last
    assert small_kernel.ukplat_page_set_attr(pt, AT + LARGE - PAGE, 1, R, 0) == 0
    assert small_kernel.ukplat_page_unmap(pt, AT + LARGE - PAGE, 1, flags) == 0
    assert walk(small_kernel, pt, AT + LARGE) == before


def test_a_walk_may_end_at_the_root(small_kernel, pt):
    """Its level is the last there is, though no page has it."""
    root = small_kernel.tables(half="ttbr0").regime.start_level
    level = small_kernel.new("unsigned int", 3)
    assert small_kernel.ukplat_pt_walk(pt, AT, level, None, None) == 0
    assert level.target == 3 - root


def test_a_given_range_takes_the_largest_pages_unless_forced(small_kernel, pt):
    """2M where both sides are aligned; with FORCE_SIZE the size asked for, or EINVAL."""
    base = 0x4000_0000
    assert small_kernel.ukplat_page_map(pt, AT, base, 512, R, 0) == 0
    assert walk(small_kernel, pt, AT)[0] == 1
    assert small_kernel.ukplat_page_map(pt, AT + LARGE, base, 512, R, FORCE) == 0
    assert walk(small_kernel, pt, AT + LARGE)[0] == 0
    assert small_kernel.ukplat_page_map(pt, AT + 4 * LARGE, base + PAGE, 1, R, FORCE | size_flag(1)) == -22
    assert small_kernel.ukplat_page_map(pt, AT, base, 1, R, 0) == -small_kernel.EEXIST


def test_a_walk_ends_at_the_level_asked_for(small_kernel, pt):
    """Or above it, where the translation ends; the table holds the entry."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    for level in (0, 1, 2):
        ended, table, entry = walk(small_kernel, pt, AT, level)
        assert ended == level
        index = AT >> 12 + 9 * level & 511
        assert int.from_bytes(small_kernel.read(None, table + 8 * index, 8), "little") == entry != 0
    assert walk(small_kernel, pt, AT + (1 << 30))[0] == 2


def test_attributes_change_where_something_is_mapped(small_kernel, pt):
    """Holes are skipped."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_set_attr(pt, AT, 16, R, 0) == 0
    assert walk(small_kernel, pt, AT)[2] >> 7 & 1 == 1
    assert walk(small_kernel, pt, AT + PAGE)[2] == 0


def test_memory_of_others_is_unmapped_and_not_freed(small_kernel, pt):
    """Neither a device's nor what KEEP_FRAMES keeps."""
    assert small_kernel.ukplat_page_map(pt, AT, 0x0900_0000, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + PAGE, ANY, 1, RW, 0) == 0
    kept = walk(small_kernel, pt, AT + PAGE)[2] & 0xFFFF_FFFF_F000
    before, full = free(small_kernel), tables(small_kernel)
    assert small_kernel.ukplat_page_unmap(pt, AT, 2, KEEP_FRAMES) == 0
    assert free(small_kernel) - before == full - tables(small_kernel) > 0
    small_kernel.frames_free(kept, 1)
    assert small_kernel.frames_check()


def test_ram_that_others_have_is_unmapped_and_not_freed(small_kernel, pt):
    """The device tree's, a table's: only frames that back pages go back."""
    others = (0x4000_0000, int(pt.pt_pbase))
    for page, pa in enumerate(others):
        assert small_kernel.ukplat_page_map(pt, AT + page * PAGE, pa, 1, R, 0) == 0
    before, full = free(small_kernel), tables(small_kernel)
    assert small_kernel.ukplat_page_unmap(pt, AT, len(others), 0) == 0
    assert free(small_kernel) - before == full - tables(small_kernel) > 0
    assert small_kernel.frames_check()


def test_a_page_table_goes_with_what_it_maps(small_kernel):
    """Tables and frames are back; one that is active stays."""
    before = free(small_kernel)
    made = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_clone(made, small_kernel.ukplat_pt_get_active(), CLONE_NEW) == 0
    assert small_kernel.ukplat_page_map(made, AT, ANY, 7, RW, 0) == 0
    assert small_kernel.ukplat_pt_set_active(made) == 0
    assert small_kernel.ukplat_pt_free(made, 0) == -small_kernel.EBUSY
    small_kernel.vmm_address_space_activate(None)
    assert small_kernel.ukplat_pt_free(made, 0) == 0
    assert free(small_kernel) == before


def test_out_of_memory_leaves_nothing(small_kernel, pt):
    """More pages than there are frames: none is mapped, none is lost."""
    before = free(small_kernel)
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1 << 16, RW, 0) == -small_kernel.ENOMEM
    assert free(small_kernel) == before


@pytest.mark.parametrize(
    ("va", "pages", "attr", "flags"),
    [
        (AT + 8, 1, RW, 0),
        (AT + PAGE, 1, RW, size_flag(1)),
        (AT, 1, RW, size_flag(3)),
        (AT, 1, 7, 0),
        (1 << 60, 1, RW, 0),
        (AT, 1 << 60, RW, 0),
        (0, 1, RW, 0),
    ],
)
def test_what_makes_no_sense_is_refused(small_kernel, pt, va, pages, attr, flags):
    """Alignment, size, level, attributes and range are checked before anything changes."""
    before = free(small_kernel)
    assert small_kernel.ukplat_page_map(pt, va, ANY, pages, attr, flags) == -small_kernel.EINVAL
    assert free(small_kernel) == before


def test_kernel_maps_see_ram_and_nothing_else(small_kernel):
    """kmap is the kernel's own map of RAM."""
    pa = small_kernel.frames_alloc(1, 0, small_kernel.FRAME_PAGE)
    va = small_kernel.ukplat_page_kmap(None, pa, 1, 0)
    small_kernel.write(None, va, b"seen")
    assert small_kernel.machine.memory.read(pa, 4) == b"seen"
    small_kernel.ukplat_page_kunmap(None, va, 1, 0)
    assert small_kernel.ukplat_page_kmap(None, 0x0900_0000, 1, 0) == 0xBAAD_BAAD_8000_0000
