# SPDX-License-Identifier: BSD-3-Clause
"""Frames: a release of anything but what was handed out panics with the reason; so do stray writes."""

from __future__ import annotations

import pytest

from harness import GuestPanic, Kernel
from tests.support.frames import MAX_ORDER, free_blocks, listed_blocks, without_filling
from tests.support.vmm import PAGE

NOT_START = "not the start of an allocation"


@pytest.mark.parametrize(
    ("allocated", "offset", "count", "reason"),
    [
        (1, 1, 1, "double free"),  # the buddy, which is free
        (2, 1, 1, NOT_START),
        (4, 2, 2, NOT_START),
        (5, 4, 1, NOT_START),  # the second of the two blocks that hold five frames
        (4, 0, 2, "shorter than the allocation"),
        (5, 0, 4, "shorter than the allocation"),
        (5, 0, 6, "longer than the allocation"),
        (1, 0, 2, "longer than the allocation"),
        (1, 0, 0, "not managed memory"),
        (1, 0, 1 << 40, "not managed memory"),
    ],
)
def test_partial_release_panics(small_kernel, allocated, offset, count, reason):
    """All of an allocation at once, from its start, and nothing else."""
    kernel = small_kernel
    start = kernel.frames_alloc(allocated, 3, kernel.FRAME_REGION)
    with pytest.raises(GuestPanic, match=f"frames_free.*{reason}"):
        kernel.frames_free(start + offset * PAGE, count)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_double_free_panics(small_kernel, count):
    """Whether or not the memory has merged with its neighbours by then."""
    kernel = small_kernel
    start = kernel.frames_alloc(count, 0, kernel.FRAME_REGION)
    kernel.frames_free(start, count)
    with pytest.raises(
        GuestPanic, match=rf"frames_free\(0x{start:x}, {count}\): (double free|not the start)"
    ):
        kernel.frames_free(start, count)


def test_release_of_two_neighbours_as_one_panics(small_kernel):
    """Two allocations side by side are not one of twice the size."""
    kernel = small_kernel
    singles = {kernel.frames_alloc(1, 0, kernel.FRAME_REGION) for _ in range(16)}
    pair = next(start for start in singles if start + PAGE in singles)
    with pytest.raises(GuestPanic, match="longer than the allocation"):
        kernel.frames_free(pair, 2)


@pytest.mark.parametrize("where", ["below", "above", "device", "zero", "unaligned", "image", "far"])
def test_release_of_foreign_memory_panics(small_kernel, where):
    """Memory that the allocator never had, or not a frame at all."""
    kernel = small_kernel
    memory = kernel.machine.memory
    address = {
        "below": memory.base - PAGE,
        "above": memory.end,
        "device": 0x0900_0000,
        "zero": 0,
        "unaligned": kernel.frames_alloc(1, 0, kernel.FRAME_REGION) + 8,
        "image": kernel.image.symbols["kernel_root"].address - 0xFFFF_FF80_0000_0000,
        "far": (1 << 64) - PAGE,
    }[where]
    with pytest.raises(GuestPanic, match=f"not managed memory|{NOT_START}"):
        kernel.frames_free(address, 1)


def test_panic_names_its_caller(small_kernel):
    """The backtrace leads from panic() to the release."""
    with pytest.raises(GuestPanic) as caught:
        small_kernel.frames_free(0, 1)
    assert [frame.function for frame in caught.value.autopsy.backtrace.frames][:2] == ["panic", "frames_free"]


# -- poison -------------------------------------------------------------------------------------------------


def take_all(kernel, count, align):
    """Allocate until nothing is left, so that whatever was released is handed out again."""
    while kernel.frames_alloc(count, align, kernel.FRAME_REGION):
        pass


@pytest.mark.parametrize("count", [1, 3, 512])
@pytest.mark.parametrize("offset", [0, 8, PAGE - 8])
def test_write_to_a_released_frame_is_caught(small_kernel, count, offset):
    """Debug builds look at every byte of blocks up to 2M when the memory is handed out again."""
    kernel = small_kernel
    start = kernel.frames_alloc(count, 9, kernel.FRAME_REGION)
    kernel.frames_free(start, count)
    stray = start + (count - 1) * PAGE + offset
    kernel.machine.memory.write(stray, b"stray")
    with pytest.raises(GuestPanic, match=f"free frame written: PA 0x{stray & ~7:x}"):
        take_all(kernel, count, 9)


def test_released_memory_is_filled(small_kernel):
    """What was in it is gone."""
    kernel = small_kernel
    start = kernel.frames_alloc(3, 0, kernel.FRAME_REGION)
    kernel.machine.memory.write(start, b"secret" * 2000)
    kernel.frames_free(start, 3)
    assert kernel.machine.memory.read(start, 3 * PAGE) == bytes([kernel.POISON_BYTE]) * (3 * PAGE)


def test_large_blocks_are_checked_in_the_first_line_of_each_frame(small_kernel):
    """Above 2M a line of 64 bytes a frame has to do."""
    kernel = small_kernel
    start = kernel.frames_alloc(1024, 10, kernel.FRAME_REGION)
    kernel.frames_free(start, 1024)
    stray = start + 700 * PAGE + 56
    kernel.machine.memory.write(stray, b"\0")
    with pytest.raises(GuestPanic, match=f"free frame written: PA 0x{stray:x}"):
        take_all(kernel, 1024, 10)


def test_memory_never_released_is_not_poisoned(small_kernel):
    """What the boot left in memory is no stray write."""
    assert small_kernel.frames_alloc(512, 9, small_kernel.FRAME_REGION)
    assert small_kernel.frames_check()


def run_of(kernel, count):
    """So many frames in a row, each an allocation of its own of pages, with the buddy of each among them."""
    single = sorted(kernel.frames_alloc(1, 0, kernel.FRAME_PAGE) for _ in range(8 * count))
    rows = (single[at : at + count] for at in range(len(single)))
    return next(row for row in rows if row[-1] - row[0] == (count - 1) * PAGE and row[0] % (2 * PAGE) == 0)


def release(kernel, start, count):
    """Frames that were freed of a run."""
    runs = kernel.new("struct frame_runs")
    kernel.frame_runs_add(runs, start, count)
    return kernel.frame_runs_release(runs)


@pytest.mark.parametrize("at", range(6))
def test_a_release_leaves_what_pages_share_a_run_with(small_kernel, at):
    """Frames of another purpose stay, shared ones lose a reference."""
    kernel = small_kernel
    row = run_of(kernel, 6)
    other, shared = (kernel.frame_of(row[index])[0] for index in (at, (at + 2) % 6))
    other.purpose, shared.used = kernel.FRAME_OBJECT, 2
    before = kernel.frames_count(kernel.FRAME_FREE)
    assert release(kernel, row[0], 6) == 5
    assert kernel.frames_count(kernel.FRAME_FREE) == before + 4
    assert (int(other.purpose), shared.used) == (kernel.FRAME_OBJECT, 1)


@pytest.mark.parametrize("at", [0, 2])
def test_a_run_of_what_is_free_panics(small_kernel, at):
    """Though what is around it is not. Its buddy comes after it: a free one before would have taken it in."""
    row = run_of(small_kernel, 4)
    small_kernel.frames_free(row[at], 1)
    with pytest.raises(GuestPanic, match=f"release of 0x{row[at]:x}: double free"):
        release(small_kernel, row[0], 4)


def test_an_empty_run_releases_nothing(small_kernel):
    """The next run starts where it did."""
    kernel = small_kernel
    frame = kernel.frame_of(kernel.frames_alloc(1, 0, kernel.FRAME_PAGE))
    before = kernel.frames_count(kernel.FRAME_FREE)
    assert int(kernel.frames_free_pages(frame, frame)) == int(frame)
    assert not kernel.frames_claim(kernel.frame_address(frame) + PAGE, 0)
    assert kernel.frames_count(kernel.FRAME_FREE) == before


@pytest.mark.parametrize("order", [0, 1, 3])
def test_pages_that_are_released_merge(small_kernel, order):
    """Page by page, in any order: what was one block is one again."""
    kernel = small_kernel
    before, pages = free_blocks(kernel), 8 << order
    with without_filling(kernel):
        pa = kernel.frames_alloc(pages, order + 3, kernel.FRAME_PAGE)
        kernel.frames_split(pa, pages, order)
        for number in (5, 0, 1, 7, 6, 3, 2, 4):
            head = kernel.frame_of(pa + number * (PAGE << order))
            kernel.frames_free_pages(head, int(head) + (kernel.sizeof("struct frame") << order))
    listed = listed_blocks(kernel)
    assert free_blocks(kernel) == before
    assert not any((start ^ (PAGE << each), each) in listed for start, each in listed if each < MAX_ORDER)


@pytest.mark.parametrize("how", ["frames_free", "frames_free_pages"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_largest_block_comes_back(kernel, parts, how):
    """As a whole or in its halves: it is merged with no other like it."""
    before, order = free_blocks(kernel), MAX_ORDER - (parts - 1)
    with without_filling(kernel):
        starts = [kernel.frames_alloc(1 << order, order, kernel.FRAME_PAGE) for _ in range(parts)]
        assert free_blocks(kernel) != before
        for start in starts:
            head = kernel.frame_of(start)
            end = int(head) + (kernel.sizeof("struct frame") << order)
            if how == "frames_free":
                kernel.frames_free(start, 1 << order)
            else:
                assert int(kernel.frames_free_pages(head, end)) == end
    assert free_blocks(kernel) == before
    assert kernel.frames_check()


def test_the_last_of_an_odd_number_of_frames_has_no_buddy(kernel_elf):
    """A page at the end of memory comes back where there is nothing behind it to merge with."""
    with Kernel(kernel_elf, ram_size=(64 << 20) + PAGE) as kernel:
        last, records = kernel.machine.memory.end - PAGE, kernel.variable("frame_records")
        records.at[records.count].purpose = kernel.FRAME_FREE  # behind the last record is no frame
        before = kernel.frames_count(kernel.FRAME_FREE)
        assert kernel.frames_claim(last, 1)
        assert release(kernel, last, 1) == 1
        assert kernel.frames_count(kernel.FRAME_FREE) == before
        assert kernel.frames_check()
