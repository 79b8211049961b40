# SPDX-License-Identifier: BSD-3-Clause
"""What the calls of uk/plat/paging.h refuse, what they may leave out, and memory that runs out."""

from __future__ import annotations

import pytest

from harness.kernel.inject import fail_nth
from tests.support.vmm import PAGE
from tests.uk.driver import ANY, LARGE, RW, R
from tests.uk.test_mapx import ADDRESS, SPARE, clone_of, page_map
from tests.uk.test_pagetable import AT, FORCE, KEEP_FRAMES, KEEP_PTES, free, pt, size_flag, tables, walk

__all__ = ["page_map", "pt"]

RAM, DEVICE, NOWHERE = 0x4200_0000, 0x0900_0000, 1 << 56

REFUSED = {
    "set_active of none": lambda k, pt: k.ukplat_pt_set_active(None),
    "clone into none": lambda k, pt: k.ukplat_pt_clone(None, pt, 0),
    "clone of none": lambda k, pt: k.ukplat_pt_clone(pt, None, 0),
    "add_mem to none": lambda k, pt: k.ukplat_pt_add_mem(None, RAM, PAGE),
    "free of none": lambda k, pt: k.ukplat_pt_free(None, 0),
    "free of the kernel's": lambda k, pt: k.ukplat_pt_free(k.ukplat_pt_get_active(), 0),
    "walk of none": lambda k, pt: k.ukplat_pt_walk(None, AT, None, None, None),
    "walk to no level": lambda k, pt: k.ukplat_pt_walk(pt, AT, k.new("unsigned int", 4), None, None),
    "map in none": lambda k, pt: k.ukplat_page_map(None, AT, ANY, 1, RW, 0),
    "unmap in none": lambda k, pt: k.ukplat_page_unmap(None, AT, 1, 0),
    "unmap all of none": lambda k, pt: k.ukplat_page_unmap(None, ANY, 1, 0),
    "set_attr in none": lambda k, pt: k.ukplat_page_set_attr(None, AT, 1, R, 0),
    "set_attr to what there is not": lambda k, pt: k.ukplat_page_set_attr(pt, AT, 1, 7, 0),
    "map by size to what there is not": lambda k, pt: k.ukplat_page_map(pt, AT, ANY, 1, 7, FORCE),
    "map to half a page": lambda k, pt: k.ukplat_page_map(pt, AT, RAM + 8, 1, RW, 0),
    "map to no address": lambda k, pt: k.ukplat_page_map(pt, AT, NOWHERE, 1, RW, 0),
    "map across the last address": lambda k, pt: k.ukplat_page_map(pt, AT, NOWHERE - PAGE, 2, RW, 0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_changes_nothing(small_kernel, pt, name):
    """-EINVAL; tables and memory are as they were."""
    assert small_kernel.ukplat_page_map(pt, AT + PAGE, ANY, 1, RW, 0) == 0
    before = free(small_kernel), walk(small_kernel, pt, AT + PAGE)
    assert REFUSED[name](small_kernel, pt) == -small_kernel.EINVAL
    assert (free(small_kernel), walk(small_kernel, pt, AT + PAGE)) == before


@pytest.mark.parametrize("asked", range(8))
def test_a_walk_tells_what_is_asked_for(small_kernel, pt, asked):
    """Any of level, table and entry may be left out; without a level it goes to the last one."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    expected = walk(small_kernel, pt, AT)
    types = ("unsigned int", "__vaddr_t", "__pte_t")
    places = [small_kernel.new(each, 0) if asked >> n & 1 else None for n, each in enumerate(types)]
    assert small_kernel.ukplat_pt_walk(pt, AT, *places) == 0
    for place, value in zip(places, expected, strict=True):
        assert place is None or place.target == value


def test_no_memory_can_be_added(small_kernel, pt):
    """None of it is had already."""
    before = free(small_kernel)
    assert small_kernel.ukplat_pt_add_mem(pt, RAM, 0) == 0
    assert free(small_kernel) == before


@pytest.mark.parametrize(
    ("pa", "pages", "level"),
    [(RAM, 0, 0), (DEVICE, 1, 0), (RAM, 1 << 20, 0), (0x43E0_0000, 2, 1), (DEVICE, 1, 1)],
)
def test_only_ram_is_in_the_kernels_map(small_kernel, pa, pages, level):
    """All of the range, by the page size asked for."""
    assert small_kernel.ukplat_page_kmap(None, pa, pages, size_flag(level)) == ANY


def test_a_page_table_may_leave_its_frames(page_map):
    """KEEP_FRAMES: tables go, frames stay whoever's they are."""
    kernel = page_map.kernel
    assert page_map.mapx(AT, 3) == page_map.mapx(AT + LARGE, 1, pa=DEVICE) == 0
    kept = [page_map.pa(AT + n * PAGE) for n in range(3)]
    before = kernel.frames_count(kernel.FRAME_PAGE), free(kernel) + tables(kernel)
    assert kernel.ukplat_pt_free(page_map.pt, KEEP_FRAMES) == 0
    assert (kernel.frames_count(kernel.FRAME_PAGE), free(kernel) + tables(kernel)) == before
    for pa in kept:
        kernel.frames_free(pa, 1)
    assert kernel.frames_check()


def test_a_clone_needs_room_for_a_reference(page_map):
    """A frame that is shared too often: -EOVERFLOW, and no reference, table or frame is left."""
    kernel = page_map.kernel
    assert page_map.mapx(AT, 3) == page_map.mapx(AT + (1 << 30), 2) == 0
    full = kernel.frame_of(page_map.pa(AT + (1 << 30)))[0]
    full.used = 65535
    before = free(kernel)
    assert clone_of(kernel, page_map.pt)[0] == -kernel.EOVERFLOW
    assert (free(kernel), full.used) == (before, 65535)
    full.used = 0
    assert kernel.frames_check()


@pytest.mark.parametrize("flags", [KEEP_PTES, KEEP_PTES | KEEP_FRAMES])
def test_pages_are_hidden_up_to_the_last_address(page_map, flags):
    """Among them holes, what is hidden already, and what is nobody's memory."""
    end = 1 << page_map.kernel.tables(half="ttbr0").regime.va_bits
    last = end - 4 * PAGE
    assert page_map.mapx(last, 1) == page_map.mapx(last + 2 * PAGE, 1, pa=DEVICE) == 0
    assert page_map.mapx(last + 3 * PAGE, 1) == 0
    for _ in range(2):
        assert page_map.unmap(last, 4, flags) == 0
        present = [page_map.entry(last + n * PAGE) & 1 for n in range(4)]
        assert present == [0] * 4
    kept = flags & KEEP_FRAMES
    assert [bool(page_map.pa(last + n * PAGE)) for n in range(4)] == [
        bool(kept),
        False,
        bool(kept),
        bool(kept),
    ]


@pytest.mark.parametrize("flags", [KEEP_PTES, KEEP_PTES | KEEP_FRAMES])
def test_hidden_pages_come_back_with_other_memory(page_map, flags):
    """KEEP_PTES and an address: the bits that nobody else uses stay, the memory is that of the call."""
    assert page_map.mapx(AT, 2, mapper=lambda va, level, pte: (pte | SPARE,)) == 0
    assert page_map.unmap(AT, 1, flags) == 0
    assert page_map.mapx(AT, 1, KEEP_PTES, pa=DEVICE) == 0
    assert page_map.entry(AT) & (ADDRESS | SPARE | 1) == DEVICE | SPARE | 1
    assert page_map.mapx(AT + PAGE, 1, KEEP_PTES, pa=DEVICE) == -page_map.kernel.EEXIST


def test_a_mapper_is_offered_what_is_there_whatever_was_asked(page_map):
    """The address of the call is for pages that are not present."""
    assert page_map.mapx(AT, 1) == 0
    there, offered = page_map.pa(AT), []
    mapper = lambda va, level, pte: offered.append(pte & ADDRESS) or 0  # noqa: E731
    assert page_map.mapx(AT, 3, pa=DEVICE, mapper=mapper) == 0
    assert offered == [there, DEVICE + PAGE, DEVICE + 2 * PAGE]


def _hide(page_map):
    return page_map.unmap(AT + PAGE, 1022, KEEP_PTES | KEEP_FRAMES)


def _remap(page_map):
    return page_map.mapx(AT + PAGE, 1022, FORCE, attr=R, mapper=lambda va, level, pte: 0)


def _restrict(page_map):
    return page_map.kernel.ukplat_page_set_attr(page_map.pt, AT + PAGE, 1022, R, 0)


@pytest.mark.parametrize("change", [_hide, _remap, _restrict])
def test_blocks_that_cannot_be_cut_stay_mapped(page_map, change):
    """Both ends of the range are in the middle of a block: each needs a table, and none may be had."""
    kernel = page_map.kernel
    assert page_map.mapx(AT, 2, FORCE | size_flag(1)) == 0
    memory = [page_map.pa(AT), page_map.pa(AT + LARGE)]
    for n in range(1, 9):
        with fail_nth(kernel, ("frames_alloc",), n) as injection:
            status = change(page_map)
        if injection.struck is None:
            break
        assert status == -kernel.ENOMEM
        for block in range(2):
            entries = page_map.entries(AT + block * LARGE, 512)
            assert entries[0] & ADDRESS == memory[block]
            assert entries[0] & 1
    assert n >= 3
    assert status == 0
    assert page_map.level(AT) == page_map.level(AT + 2 * LARGE - PAGE) == 0
    assert kernel.frames_check()


def test_new_pages_need_memory_and_tables(page_map):
    """At each allocation: nothing is mapped, nothing is lost."""
    kernel, before = page_map.kernel, free(page_map.kernel)
    for n in range(1, 20):
        with fail_nth(kernel, ("frames_alloc",), n) as injection:
            status = page_map.mapx(AT - 2 * PAGE, 4, FORCE)
        if injection.struck is None:
            break
        assert (status, free(kernel)) == (-kernel.ENOMEM, before)
    assert n > 6
    assert page_map.unmap(AT - 2 * PAGE, 4) == 0
    assert free(kernel) == before


@pytest.mark.parametrize("flags", [0, KEEP_PTES])
def test_a_page_that_is_nobody_s_is_unmapped_and_no_frame_goes(page_map, flags):
    """Among frames that do: a device, and RAM that is a table's."""
    kernel = page_map.kernel
    assert (
        page_map.mapx(AT, 1) == page_map.mapx(AT + PAGE, 1, pa=DEVICE) == page_map.mapx(AT + 2 * PAGE, 1) == 0
    )
    assert page_map.mapx(AT + 3 * PAGE, 1, pa=int(page_map.pt.pt_pbase)) == 0
    pages = kernel.frames_count(kernel.FRAME_PAGE)
    assert page_map.unmap(AT, 4, flags) == 0
    assert pages - kernel.frames_count(kernel.FRAME_PAGE) == 2
    assert kernel.frames_check()


@pytest.mark.parametrize("size", [LARGE, 1 << 30])
def test_a_block_of_a_device_is_cut(page_map, size):
    """There are no records of frames to follow."""
    base, level = 1 << 37, 1 if size == LARGE else 2
    assert page_map.mapx(AT, 1, FORCE | size_flag(level), pa=base) == 0
    assert page_map.unmap(AT + PAGE, 1) == 0
    assert [page_map.pa(AT + n * PAGE) for n in range(3)] == [base, 0, base + 2 * PAGE]


def test_what_is_no_page_is_not_shared(page_map):
    """Devices have no record."""
    for pa, count in [(DEVICE, 1), (1 << 40, 512)]:
        assert not page_map.kernel.frames_are_shared(pa, count)


def test_a_clone_has_no_reference_to_what_is_no_page(page_map):
    """RAM that is a table's is mapped twice, and counted by nobody."""
    kernel, table = page_map.kernel, int(page_map.pt.pt_pbase)
    assert page_map.mapx(AT, 1, pa=table, attr=R) == 0
    used = kernel.frame_of(table)[0].used
    status, made = clone_of(kernel, page_map.pt)
    assert (status, walk(kernel, made, AT)[2] & ADDRESS) == (0, table)
    assert kernel.frame_of(table)[0].used == used
    assert kernel.ukplat_pt_free(made, 0) == 0
    assert kernel.frames_check()
