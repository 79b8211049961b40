# SPDX-License-Identifier: BSD-3-Clause
"""Mapping with a mapper, and what the flags of uk/plat/paging.h keep."""

from __future__ import annotations

import struct
from contextlib import contextmanager

import pytest

from harness.kernel.inject import fail_nth
from tests.support.vmm import PAGE
from tests.uk.driver import ANY, LARGE, RW, R
from tests.uk.test_pagetable import AT, FORCE, KEEP_FRAMES, KEEP_PTES, free, pt, size_flag, tables, walk

__all__ = ["pt"]

SKIP, TOO_BIG = 1, 2
ADDRESS = 0xFFFF_FFFF_F000
SPARE = 5 << 55
STUB = "tour_examples_ready"  # a function that does nothing: what a mapper does instead is done here


@pytest.fixture
def page_map(small_kernel, pt):
    """A page table with the calls that are tested."""
    return Pages(small_kernel, pt)


class Pages:
    """ukplat_page_*() on one page table."""

    def __init__(self, kernel, pt):
        self.kernel, self.pt = kernel, pt
        self.seen = []

    def mapx(self, va, pages, flags=0, *, pa=ANY, attr=RW, mapper=None):
        """ukplat_page_mapx() with a mapper of Python: (va, level, descriptor) -> status, or a descriptor."""
        if mapper is None:
            return self.kernel.ukplat_page_mapx(self.pt, va, pa, pages, attr, flags, None)
        stub = self.kernel.image.symbols[STUB].address
        mapx = self.kernel.new("struct ukplat_page_mapx", {"map": stub, "ctx": 0x1234})
        with self._answering(stub, mapper):
            return self.kernel.ukplat_page_mapx(self.pt, va, pa, pages, attr, flags, mapx)

    @contextmanager
    def _answering(self, stub, mapper):
        def entered(machine):
            pt, va, table, level, pte, context = (machine.registers[f"x{n}"] for n in range(6))
            assert (pt, context) == (self.pt.address, 0x1234)
            entry = int.from_bytes(self.kernel.read(None, pte, 8), "little")
            there = int.from_bytes(
                self.kernel.read(None, table + (va >> 12 + 9 * level & 511) * 8, 8), "little"
            )
            self.seen.append((va, level, there))
            answer = mapper(va, level, entry)
            if isinstance(answer, tuple):
                self.kernel.write(None, pte, answer[0].to_bytes(8, "little"))
                answer = 0
            machine.registers["x0"] = answer % (1 << 64)
            machine.registers["pc"] = machine.registers["x30"]

        watch = self.kernel.machine.on_address(stub, entered)
        try:
            yield
        finally:
            watch.remove()

    def unmap(self, va, pages, flags=0):
        """ukplat_page_unmap()."""
        return self.kernel.ukplat_page_unmap(self.pt, va, pages, flags)

    def entry(self, va):
        """The descriptor where the walk ends."""
        return walk(self.kernel, self.pt, va)[2]

    def entries(self, va, pages):
        """The descriptors of so many pages from a multiple of 2M on; a larger page has one."""
        found = []
        for at in range(va, va + pages * PAGE, LARGE):
            level, table, entry = walk(self.kernel, self.pt, at)
            here = struct.unpack("<512Q", self.kernel.read(None, table, PAGE)) if level == 0 else [entry]
            found += here[: pages - (at - va) // PAGE]
        return found

    def level(self, va):
        """The level where the walk ends."""
        return walk(self.kernel, self.pt, va)[0]

    def pa(self, va):
        """The address in it."""
        return self.entry(va) & ADDRESS


def test_a_mapper_sees_each_page_before_it_is_there(page_map):
    """In order, with memory of its own in the descriptor, which is written as it leaves it."""
    taken = []
    assert page_map.mapx(AT, 4, mapper=lambda va, level, pte: taken.append(pte & ADDRESS) or 0) == 0
    assert page_map.seen == [(AT + n * PAGE, 0, 0) for n in range(4)]
    assert [page_map.pa(AT + n * PAGE) for n in range(4)] == taken
    assert len(set(taken)) == 4


def test_a_mapper_may_change_the_descriptor(page_map):
    """Bits that no attribute uses, and the address: then the memory it was offered is its own to free."""
    offered = []
    before = page_map.kernel.frames_count(page_map.kernel.FRAME_PAGE)

    def mapper(va, level, pte):
        offered.append(pte & ADDRESS)
        return (pte & ~ADDRESS | 0x0900_0000 | SPARE,)

    assert page_map.mapx(AT, 1, mapper=mapper) == 0
    assert page_map.entry(AT) & (ADDRESS | SPARE | 1) == 0x0900_0000 | SPARE | 1
    page_map.kernel.frames_free(offered[0], 1)
    assert page_map.kernel.frames_count(page_map.kernel.FRAME_PAGE) == before


def test_pages_that_are_skipped_are_holes(page_map):
    """Their memory goes back, and so do the tables of a range of which nothing is mapped."""
    before = free(page_map.kernel)
    odd = page_map.mapx(AT, 6, mapper=lambda va, level, pte: SKIP if va & PAGE else 0)
    assert odd == 0
    assert [bool(page_map.entry(AT + n * PAGE)) for n in range(6)] == [True, False] * 3
    assert page_map.unmap(AT, 6) == 0
    assert page_map.mapx(AT, 6, mapper=lambda va, level, pte: SKIP) == 0
    page_map.seen.clear()
    assert page_map.mapx(AT, 1024, pa=0x4000_0000, mapper=lambda va, level, pte: SKIP) == 0
    assert [(va, level) for va, level, _ in page_map.seen] == [(AT, 1), (AT + LARGE, 1)]
    answers = iter([TOO_BIG, *[SKIP] * 600])
    page_map.seen.clear()
    assert page_map.mapx(AT, 512, pa=0x4000_0000, mapper=lambda va, level, pte: next(answers)) == 0
    assert [level for _, level, _ in page_map.seen] == [1, *[0] * 512]
    assert free(page_map.kernel) == before


def test_a_page_too_big_is_offered_in_smaller_ones(page_map):
    """From there on for the rest of the range; where the size is forced there is no memory."""
    before = free(page_map.kernel)
    assert page_map.mapx(AT, 1024, mapper=lambda va, level, pte: TOO_BIG if level else 0) == 0
    assert [level for _, level, _ in page_map.seen] == [1] + [0] * 1024
    assert page_map.unmap(AT, 1024) == 0
    forced = FORCE | size_flag(1)
    enomem = page_map.kernel.ENOMEM
    assert page_map.mapx(AT, 2, forced, mapper=lambda va, level, pte: TOO_BIG) == -enomem
    assert page_map.mapx(AT, 2, mapper=lambda va, level, pte: TOO_BIG) == -enomem
    assert free(page_map.kernel) == before


def test_a_page_too_big_twice_is_offered_in_the_smallest(page_map):
    """1G, 2M, 4K: as often as the mapper wants."""
    refuse = lambda va, level, pte: TOO_BIG if level else -5  # noqa: E731
    assert page_map.mapx(AT, 1 << 18, pa=1 << 30, mapper=refuse) == -5
    assert [level for _, level, _ in page_map.seen] == [2, 1, 0]


def test_an_error_of_the_mapper_is_the_call_s(page_map):
    """What it has agreed to before stays; the memory of the page it refuses does not."""
    answers = iter([0, 0, -5])
    before = page_map.kernel.frames_count(page_map.kernel.FRAME_PAGE)
    assert page_map.mapx(AT, 4, mapper=lambda va, level, pte: next(answers)) == -5
    assert [bool(page_map.entry(AT + n * PAGE)) for n in range(4)] == [True, True, False, False]
    assert page_map.kernel.frames_count(page_map.kernel.FRAME_PAGE) - before == 2


def test_a_mapper_decides_about_what_is_there(page_map):
    """It is offered the memory that is mapped, with the new attributes; without one it is -EEXIST."""
    assert page_map.mapx(AT, 2) == 0
    memory = [page_map.pa(AT), page_map.pa(AT + PAGE)]
    before = free(page_map.kernel)
    assert page_map.mapx(AT, 3, attr=R) == -page_map.kernel.EEXIST
    found = []
    mapper = lambda va, level, pte: found.append(pte & ADDRESS) or (SKIP if va == AT else 0)  # noqa: E731
    assert page_map.mapx(AT, 2, attr=R, mapper=mapper) == 0
    assert found == memory
    assert [page_map.entry(AT + n * PAGE) >> 7 & 1 for n in range(2)] == [0, 1]
    assert free(page_map.kernel) == before


@pytest.mark.parametrize("page", [0, 7, 511])
def test_a_larger_page_is_cut_for_a_mapper(page_map, page):
    """What is around the page asked for stays mapped as it was."""
    assert page_map.mapx(AT, 1, size_flag(1)) == 0
    base, at = page_map.pa(AT), AT + page * PAGE
    assert page_map.mapx(at, 1, attr=R, mapper=lambda va, level, pte: 0) == 0
    entries = page_map.entries(AT, 512)
    assert [(entry & ADDRESS) - base for entry in entries] == [n * PAGE for n in range(512)]
    assert [n for n, entry in enumerate(entries) if entry >> 7 & 1] == [page]
    assert page_map.unmap(AT, 512) == 0
    assert page_map.kernel.frames_check()


@pytest.mark.parametrize("page", [0, 3])
def test_smaller_pages_are_offered_one_by_one(page_map, page):
    """A table in the place of a large page is gone into, unless the size is forced."""
    assert page_map.mapx(AT + page * PAGE, 1) == 0
    assert (
        page_map.mapx(AT, 1, size_flag(1) | FORCE, mapper=lambda va, level, pte: 0) == -page_map.kernel.EEXIST
    )
    assert page_map.mapx(AT, 512, mapper=lambda va, level, pte: 0) == 0
    assert {level for _, level, _ in page_map.seen} == {0}
    assert [va for va, _, there in page_map.seen if there] == [AT + page * PAGE]


def test_new_frames_come_as_the_largest_pages(page_map):
    """As alignment, the range and the memory allow; all or nothing."""
    before = free(page_map.kernel)
    assert page_map.mapx(AT + LARGE - PAGE, 514) == 0
    levels = [page_map.level(AT + offset) for offset in (LARGE - PAGE, LARGE, 2 * LARGE)]
    assert levels == [0, 1, 0]
    assert page_map.unmap(AT, 3 * 512) == 0
    assert page_map.mapx(AT, 1024, FORCE) == 0
    assert page_map.level(AT) == 0
    assert page_map.unmap(AT, 1024) == 0
    assert free(page_map.kernel) == before


def test_large_pages_give_way_to_small_ones_when_memory_is_short(page_map):
    """Every frame can be mapped, though not all in blocks."""
    kernel = page_map.kernel
    singles = [kernel.frames_alloc(1, 0, kernel.FRAME_PAGE) for _ in range(3)]
    pages = free(kernel) // 2 // 512 * 512 + 512 * 8
    assert page_map.mapx(AT, pages) == 0
    assert {page_map.level(AT + n * LARGE) for n in range(pages // 512)} <= {0, 1}
    assert page_map.unmap(AT, pages) == 0
    for single in singles:
        kernel.frames_free(single, 1)
    assert kernel.frames_check()


@pytest.mark.parametrize("level", [0, 1])
def test_hidden_pages_keep_their_descriptors(page_map, level):
    """KEEP_PTES and KEEP_FRAMES clear "present" and nothing else, and no table goes."""
    pages = 512 >> 9 * level
    assert page_map.mapx(AT, pages, FORCE | size_flag(level)) == 0
    entry, count = page_map.entry(AT), tables(page_map.kernel)
    before = free(page_map.kernel)
    assert page_map.unmap(AT, pages, KEEP_PTES | KEEP_FRAMES | size_flag(level)) == 0
    assert page_map.entry(AT) == entry & ~1
    assert (tables(page_map.kernel), free(page_map.kernel)) == (count, before)
    assert page_map.mapx(AT, pages, FORCE | size_flag(level), pa=entry & ADDRESS) == -page_map.kernel.EEXIST
    flags = KEEP_PTES | FORCE | size_flag(level)
    assert page_map.mapx(AT, pages, flags) == 0
    assert page_map.entry(AT) == entry


def test_hidden_pages_whose_memory_is_freed_refer_to_nothing(page_map):
    """KEEP_PTES alone frees the frames; the range can be mapped anew, or unmapped with its tables."""
    before, empty = free(page_map.kernel), tables(page_map.kernel)
    assert page_map.mapx(AT, 4, mapper=lambda va, level, pte: (pte | SPARE,)) == 0
    entry, used = page_map.entry(AT), tables(page_map.kernel)
    assert page_map.unmap(AT, 4, KEEP_PTES) == 0
    assert page_map.entry(AT) == entry & ~1 & ~ADDRESS
    assert (before - free(page_map.kernel), tables(page_map.kernel)) == (
        tables(page_map.kernel) - empty,
        used,
    )
    assert page_map.kernel.frames_count(page_map.kernel.FRAME_PAGE) == 0
    assert page_map.mapx(AT, 1, KEEP_PTES) == 0
    assert page_map.entry(AT) & SPARE == SPARE
    assert page_map.mapx(AT + PAGE, 1) == 0
    assert page_map.entry(AT + PAGE) & (SPARE | 1) == 1
    assert page_map.mapx(AT + 2 * PAGE, 1, pa=0x0900_0000) == 0
    assert page_map.unmap(AT, 4) == 0
    assert free(page_map.kernel) == before


def test_small_pages_replace_a_large_one_that_refers_to_nothing(page_map):
    """What was hidden as 2M can be mapped again by 4K."""
    before = free(page_map.kernel)
    assert page_map.mapx(AT, 1, FORCE | size_flag(1)) == 0
    assert page_map.unmap(AT, 1, KEEP_PTES | size_flag(1)) == 0
    assert page_map.mapx(AT + PAGE, 2) == 0
    assert [page_map.level(AT + PAGE), bool(page_map.entry(AT))] == [0, False]
    assert page_map.unmap(AT, 512) == 0
    assert free(page_map.kernel) == before


def test_what_a_hidden_large_page_refers_to_is_not_lost_by_accident(page_map):
    """Small pages replace it, piece by piece, only where it is known to be hidden."""
    assert page_map.mapx(AT, 1, FORCE | size_flag(1)) == 0
    assert page_map.unmap(AT, 1, KEEP_PTES | KEEP_FRAMES | size_flag(1)) == 0
    hidden = page_map.entry(AT)
    assert hidden & ADDRESS
    assert page_map.mapx(AT + PAGE, 2) == -page_map.kernel.EEXIST
    assert page_map.entry(AT) == hidden
    assert page_map.mapx(AT + PAGE, 2, KEEP_PTES) == 0
    found = [page_map.entry(AT + n * PAGE) for n in range(4)]
    assert [entry & 1 for entry in found] == [0, 1, 1, 0]
    assert [entry & ADDRESS for entry in found] == [(hidden & ADDRESS) + n * PAGE for n in range(4)]


def test_only_a_part_of_a_large_page_may_be_hidden(page_map):
    """It is cut first."""
    assert page_map.mapx(AT, 1, FORCE | size_flag(1)) == 0
    assert page_map.unmap(AT + PAGE, 2, KEEP_PTES | KEEP_FRAMES) == 0
    assert [page_map.entry(AT + n * PAGE) & 1 for n in range(4)] == [1, 0, 0, 1]


@pytest.mark.parametrize("change", ["ukplat_page_unmap", "ukplat_page_set_attr"])
def test_a_forced_size_finds_pages_of_it_or_nothing(page_map, change):
    """Pages of another size in the range are -EFAULT, and nothing has changed."""
    assert page_map.mapx(AT, 512, FORCE) == 0
    assert page_map.mapx(AT + LARGE, 1, FORCE | size_flag(1)) == 0
    entries = page_map.entries(AT, 1024)
    arguments = [R] if change.endswith("attr") else []
    function = page_map.kernel.function(change)
    for pages, level in [(1024, 0), (2, 1)]:
        assert (
            function(page_map.pt, AT, pages, *arguments, FORCE | size_flag(level)) == -page_map.kernel.EFAULT
        )
    assert page_map.entries(AT, 1024) == entries
    assert function(page_map.pt, AT, 512, *arguments, FORCE) == 0
    assert function(page_map.pt, AT + LARGE, 2, *arguments, FORCE | size_flag(1)) == 0


def test_no_pages_are_always_possible(page_map):
    """As in Unikraft."""
    for call in (page_map.mapx, page_map.unmap):
        assert call(AT, 0) == 0
    assert page_map.kernel.ukplat_page_set_attr(page_map.pt, AT, 0, R, 0) == 0


def test_everything_can_be_unmapped_at_once(page_map):
    """__VADDR_ANY: whatever there is."""
    before = free(page_map.kernel)
    assert page_map.mapx(PAGE, 1) == page_map.mapx(AT, 600) == page_map.mapx((1 << 39) - PAGE, 1) == 0
    assert page_map.unmap(ANY, 1, size_flag(1)) == 0
    assert free(page_map.kernel) == before


def clone_of(kernel, pt, flags=0):
    """(status, the clone)."""
    made = kernel.new("struct uk_pagetable")
    return kernel.ukplat_pt_clone(made, pt, flags), made


@pytest.mark.parametrize("first", [0, 1])
def test_a_clone_maps_the_same_memory(page_map, first):
    """Whichever goes first: frames go with the last, and a device was nobody's."""
    kernel, before = page_map.kernel, free(page_map.kernel)
    assert page_map.mapx(AT, 3) == page_map.mapx(AT + LARGE, 1, size_flag(1)) == 0
    assert page_map.mapx(AT + 4 * LARGE, 1, pa=0x0900_0000) == 0
    status, made = clone_of(kernel, page_map.pt)
    assert status == 0
    for va in (AT, AT + 2 * PAGE, AT + LARGE, AT + 4 * LARGE):
        assert walk(kernel, made, va)[::2] == walk(kernel, page_map.pt, va)[::2]
    both = [page_map.pt, made]
    pages = kernel.frames_count(kernel.FRAME_PAGE)
    roots = 1
    assert kernel.ukplat_pt_free(both[first], 0) == 0
    assert kernel.frames_count(kernel.FRAME_PAGE) == pages == 3 + 512
    assert walk(kernel, both[1 - first], AT)[2] & 1
    assert kernel.ukplat_pt_free(both[1 - first], 0) == 0
    assert free(kernel) == before + roots
    assert kernel.frames_check()


def test_a_clone_that_runs_out_of_memory_leaves_nothing(page_map):
    """At each allocation: no table and no reference is left."""
    kernel = page_map.kernel
    assert page_map.mapx(AT, 3) == page_map.mapx(AT + (1 << 30), 3) == 0
    before = free(kernel)
    for n in range(1, 20):
        with fail_nth(kernel, ("frames_alloc",), n) as injection:
            status, _ = clone_of(kernel, page_map.pt)
        if injection.struck is None:
            break
        assert (status, free(kernel)) == (-kernel.ENOMEM, before)
        assert kernel.frames_check()
    assert status == 0
    assert n > 3


def test_a_clone_of_the_kernel_s_own_is_empty(small_kernel):
    """Its half is every page table's; one cannot be its own clone."""
    own = small_kernel.ukplat_pt_get_active()
    status, made = clone_of(small_kernel, own)
    assert status == 0
    assert walk(small_kernel, made, AT)[2] == 0
    assert small_kernel.ukplat_pt_clone(made, made, 0) == -small_kernel.EINVAL


def test_a_page_table_is_made_from_the_kernel_s_where_none_runs(small_kernel):
    """It has the kernel's half, and nothing below."""
    made = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_init(made, 0x4200_0000, 4 * PAGE) == 0
    assert walk(small_kernel, made, AT)[2] == 0


def test_a_page_table_is_made_from_the_one_that_runs(small_kernel, pt):
    """With memory that the allocator has; with anything else it is refused."""
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 2, RW, 0) == 0
    assert small_kernel.ukplat_pt_set_active(pt) == 0
    made, before = small_kernel.new("struct uk_pagetable"), free(small_kernel)
    assert small_kernel.ukplat_pt_init(made, 0x0900_0000, PAGE) == -small_kernel.ENOTSUP
    assert small_kernel.ukplat_pt_add_mem(pt, 0x0900_0000, PAGE) == -small_kernel.ENOTSUP
    assert small_kernel.ukplat_pt_add_mem(pt, 0x4200_0000, 8) == -small_kernel.EINVAL
    assert free(small_kernel) == before
    assert small_kernel.ukplat_pt_init(made, 0x4200_0000, 4 * PAGE) == 0
    assert walk(small_kernel, made, AT)[2] == walk(small_kernel, pt, AT)[2] != 0
    assert int(made.pt_pbase) != int(pt.pt_pbase)
    assert small_kernel.ukplat_paging_init() == 0
