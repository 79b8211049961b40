# SPDX-License-Identifier: BSD-3-Clause
"""Memory directly behind what the allocator has: whatever lies behind the last record is none of its."""

from __future__ import annotations

import pytest

from harness import GuestPanic
from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import ANY, DONTNEED, LARGE, POPULATE, RW, RX, SIZE_2M, R, user_vas
from tests.uk.test_falloc import Falloc
from tests.uk.test_pagetable import AT, CLONE_NEW, KEEP_PTES, pt, size_flag
from tests.uk.test_promote import PROMOTE, scattered

__all__ = ["pt"]


class Behind:
    """`size` bytes at the end of RAM that the allocator forgets, though their records are those of pages."""

    def __init__(self, kernel, size):
        self.kernel, self.size, frames = kernel, size, size // PAGE
        self.pa = kernel.machine.memory.end - size
        assert kernel.frames_claim(self.pa, frames)
        if frames > 1:
            kernel.frames_join(self.pa, frames)
        records = kernel.variable("frame_records")
        records.count -= frames
        self._record = int(records.at) + records.count * kernel.sizeof("struct frame")

    @property
    def record(self):
        """What lies where its record would be."""
        return self.kernel.read(None, self._record, self.kernel.sizeof("struct frame"))


@pytest.fixture(params=[PAGE, LARGE], ids=["4K", "2M"])
def behind(small_kernel, request):
    """A page, or a block of 2M."""
    return Behind(small_kernel, request.param)


@pytest.fixture
def mapped(behind):
    """A VAS that maps it all, in one page, and where."""
    vas = user_vas(behind.kernel)
    flags = POPULATE | (SIZE_2M if behind.size == LARGE else 0)
    return vas, vas.map("dma", behind.size, pa=behind.pa, flags=flags)


def test_unmapping_frees_nothing(behind, mapped):
    """Neither frames nor their count."""
    vas, va = mapped
    before, free = behind.record, behind.kernel.frames_count(behind.kernel.FRAME_FREE)
    vas.unmap(va, behind.size)
    assert behind.record == before
    assert behind.kernel.frames_count(behind.kernel.FRAME_FREE) >= free


def test_a_block_of_it_is_split_in_the_tables_alone(small_kernel):
    """Half of its pages get other rights."""
    behind = Behind(small_kernel, LARGE)
    vas = user_vas(small_kernel)
    va, before = vas.map("dma", LARGE, pa=behind.pa, flags=POPULATE), behind.record
    vas.set_attr(va, LARGE // 2, R)
    assert behind.record == before
    assert vas.kernel.tables(vas.space).lookup(va).size == PAGE


def test_copies_of_an_address_space_count_no_references(behind, mapped):
    """Each maps it, whether it is told that the VMA owns its memory or not."""
    vas, va = mapped
    before, kernel, other = behind.record, behind.kernel, user_vas(behind.kernel)
    copy = vas.clone()
    assert copy.pa(va) == vas.pa(va) == behind.pa
    assert kernel.vmm_arch_pages_share(other.vas.pt, vas.vas.pt, va, behind.size, True) == 0
    assert behind.record == before


def test_it_is_not_copied_from(behind, mapped):
    """It may be a device."""
    vas, va = mapped
    kernel = behind.kernel
    assert kernel.vmm_address_space_copy_out(vas.space, kernel.buffer(8), va, 8) == -kernel.EFAULT


@pytest.mark.parametrize("when", ["map", "set_attr"])
def test_it_is_not_cleaned_before_it_is_code(behind, when):
    """Only RAM can have been written."""
    behind.kernel.vmm_arch_sync_code(behind.pa, behind.size)
    vas, seen = user_vas(behind.kernel), []
    function = behind.kernel.function("vmm_arch_sync_code").address
    watch = behind.kernel.machine.on_address(function, lambda machine: seen.append(machine.registers["x0"]))
    va = vas.map("dma", behind.size, RX if when == "map" else RW, pa=behind.pa, flags=POPULATE)
    if when == "set_attr":
        vas.set_attr(va, behind.size, RX)
    watch.remove()
    assert seen == []


@pytest.mark.parametrize("flags", [0, KEEP_PTES])
def test_pages_by_hand_leave_it_alone(behind, pt, flags):
    """ukplat_page_unmap(), and ukplat_pt_clone() before."""
    kernel, level = behind.kernel, int(behind.size == LARGE)
    assert kernel.ukplat_page_map(pt, AT, behind.pa, 1, RW, size_flag(level)) == 0
    before, copy = behind.record, kernel.new("struct uk_pagetable")
    assert kernel.ukplat_pt_clone(copy, pt, 0) == 0
    assert behind.record == before
    assert kernel.ukplat_page_unmap(pt, AT, 1, size_flag(level) | flags) == 0
    assert behind.record == before


@pytest.mark.parametrize("pages", [1, 2])
def test_the_kernel_has_no_map_of_it(small_kernel, pages):
    """Nor of what reaches into it."""
    behind = Behind(small_kernel, PAGE)
    start = behind.pa - (pages - 1) * PAGE
    assert small_kernel.ukplat_page_kmap(None, start, pages, 0) == ANY
    assert small_kernel.ukplat_page_kmap(None, behind.pa - PAGE, 1, 0) == KERNEL_BASE + behind.pa - PAGE


def test_so_many_pages_that_their_end_is_ram_again_are_not_mapped(small_kernel):
    """Their size is that of all addresses but a page."""
    behind = Behind(small_kernel, PAGE)
    assert small_kernel.ukplat_page_kmap(None, behind.pa, (1 << 52) - 1, 0) == ANY


def test_it_has_no_record(behind):
    """It is no frame, is not shared, not free and not ours, whatever its record would say."""
    kernel, records = behind.kernel, behind.kernel.variable("frame_records")
    records.at[records.count].used = 1
    assert not kernel.frame_of(behind.pa)
    assert not kernel.frames_are_shared(behind.pa, 1)
    assert not kernel.frames_claim(behind.pa, 1)
    assert kernel.frames_run(behind.pa, 1, False) == 0


def test_it_holds_no_object(behind):
    """Even if it looks like a page of objects in use."""
    kernel, records = behind.kernel, behind.kernel.variable("frame_records")
    records.at[records.count].purpose = kernel.FRAME_OBJECT
    cache = kernel.variable("cache")
    slab = cache.address.to_bytes(8, "little") + bytes(56) + bytes([1]) * 64  # one object, and none is free
    kernel.memory.write(KERNEL_BASE + behind.pa, slab)
    assert not kernel.shared_memory_is_open(KERNEL_BASE + behind.pa + 64)


def test_it_cannot_be_freed(behind):
    """Neither by uk_ffree() nor by frames_free()."""
    assert Falloc(behind.kernel).ffree(behind.pa, 1) == "EINVAL"
    with pytest.raises(GuestPanic, match="not managed memory"):
        behind.kernel.frames_free(behind.pa, behind.size // PAGE)


@pytest.mark.parametrize("how", ["frames_free", "frames_free_pages"])
def test_free_frames_do_not_merge_with_it(small_kernel, how):
    """The last frame there is has no buddy."""
    kernel = small_kernel
    behind = Behind(kernel, PAGE)
    last = behind.pa - PAGE
    records = kernel.variable("frame_records")
    assert kernel.frames_claim(last, 1)
    record = records.at[records.count]
    record.purpose, record.order = kernel.FRAME_FREE, 0
    before = behind.record
    if how == "frames_free":
        kernel.frames_free(last, 1)
    else:
        kernel.frames_free_pages(records.at[records.count - 1], record)
    assert behind.record == before
    assert records.at[records.count - 1].order == 0


def test_a_block_is_not_made_of_it(small_kernel):
    """Where it was mapped by hand into anonymous memory."""
    vas = user_vas(small_kernel)
    at = scattered(vas)
    behind = Behind(small_kernel, PAGE)
    vas.advise(at + 300 * PAGE, PAGE, DONTNEED)
    assert small_kernel.ukplat_page_map(vas.vas.pt, at + 300 * PAGE, behind.pa, 1, RW, 0) == 0
    vas.advise(at, LARGE, PROMOTE)
    assert vas.pa(at + 300 * PAGE) == behind.pa


@pytest.mark.parametrize("frames", [1, 2])
def test_the_first_record_may_be_that_of_a_block(small_kernel, frames):
    """Whatever lies before it has been forgotten."""
    kernel, records = small_kernel, small_kernel.variable("frame_records")
    pa = kernel.frames_alloc(frames, 1, kernel.FRAME_PAGE)
    before = pa // PAGE - records.first
    at = int(records.at) + before * kernel.sizeof("struct frame")
    kernel.memory.write(records.address, at.to_bytes(8, "little"))  # frame_records.at
    records.first += before
    records.count -= before
    assert kernel.frames_run(pa + (frames - 1) * PAGE, 1, False) == 1


def test_new_page_tables_are_made_as_ever(small_kernel, pt):
    """Their frames are the allocator's."""
    Behind(small_kernel, PAGE)
    made = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_clone(made, pt, CLONE_NEW) == 0
