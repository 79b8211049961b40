# SPDX-License-Identifier: BSD-3-Clause
"""Frames: the blocks that single frames are taken of, one for each purpose, which are on no list."""

from __future__ import annotations

import pytest

from tests.support.frames import MAX_ORDER, drain, free_blocks, listed_blocks, single_frames, without_filling
from tests.support.vmm import BLOCK_1G, BLOCK_2M, PAGE


def single(kernel):
    """A frame; its PA."""
    return kernel.frames_alloc(1, 0, kernel.FRAME_REGION)


def take_listed(kernel, most=MAX_ORDER):
    """Allocate the free blocks that are on lists, up to this order; [(PA, frames)]."""
    orders = sorted(order for _, order in listed_blocks(kernel) if order <= most)
    return [(kernel.frames_alloc(1 << order, order, kernel.FRAME_REGION), 1 << order) for order in orders]


@pytest.fixture
def opened(small_kernel):
    """A kernel with such a block, none of whose frames is in use; its free memory is as it was at boot."""
    kernel = small_kernel
    with without_filling(kernel):
        before = free_blocks(kernel)
        for start, count in [*take_listed(kernel, most=8), (single(kernel), 1)]:
            kernel.frames_free(start, count)
        assert len(single_frames(kernel)) == 511
        assert free_blocks(kernel) == before
        yield kernel


def test_single_frames_come_from_one_block_in_order(small_kernel):
    """All 512 of it, so that other blocks stay whole for large pages."""
    kernel = small_kernel
    with without_filling(kernel):
        take_listed(kernel, most=8)
        frames = [single(kernel) for _ in range(2000)]
    starts = [at for at, frame in enumerate(frames) if frame % BLOCK_2M == 0][:-1]
    assert len(starts) >= 2
    for at in starts:
        assert frames[at : at + 512] == list(range(frames[at], frames[at] + BLOCK_2M, PAGE))


def test_purposes_do_not_share_a_block(small_kernel):
    """A table is not among pages that come and go."""
    kernel = small_kernel
    purposes = ("FRAME_TABLE", "FRAME_PAGE")
    with without_filling(kernel):
        take_listed(kernel, most=8)
        for purpose in purposes:
            kernel.frames_alloc(1, 0, getattr(kernel, purpose))
            assert len(single_frames(kernel, purpose)) == 511
        taken = [[kernel.frames_alloc(1, 0, getattr(kernel, each)) for each in purposes] for _ in range(100)]
    tables, pages = ({frame // BLOCK_2M for frame in each} for each in zip(*taken, strict=True))
    assert len(tables) == len(pages) == 1
    assert tables != pages


def test_holes_are_filled_before_another_block_is_opened(small_kernel):
    """Frames that stay do not spread over memory while others come and go."""
    kernel = small_kernel
    with without_filling(kernel):
        frames = sorted(single(kernel) for _ in range(2048))
        large = {block for block in listed_blocks(kernel) if block[1] >= 9}
        for at in range(0, 2048, 4):
            kernel.frames_free(frames[at], 1)
            kernel.frames_free(frames[at + 1], 1)
        again = {single(kernel) for _ in range(1024 + len(single_frames(kernel)))}
        assert len(again) >= 1024
        assert {block for block in listed_blocks(kernel) if block[1] >= 9} == large


def test_a_frame_that_was_released_comes_first(opened):
    """Before any that was never used."""
    frame = single(opened)
    opened.frames_free(frame, 1)
    assert single(opened) == frame


@pytest.mark.parametrize(
    ("count", "align", "purpose"),
    [(1, 0, "FRAME_PAGE"), (2, 1, "FRAME_REGION"), (3, 0, "FRAME_REGION"), (256, 8, "FRAME_PAGE")],
)
def test_when_lists_have_nothing_the_block_is_used(opened, count, align, purpose):
    """By allocations of any size and purpose, as far as it goes."""
    rest = single_frames(opened)
    take_listed(opened)
    pa = opened.frames_alloc(count, align, getattr(opened, purpose))
    assert pa in range(rest.start - PAGE, rest.stop, PAGE)
    assert opened.frames_check()


def test_single_frames_are_had_without_any_block_of_2m(opened):
    """Down to the last one, from blocks of any size."""
    rest = drain(opened)
    for start, count in rest:
        if count < 512:
            opened.frames_free(start, count)
    left = opened.frames_count(opened.FRAME_FREE)
    assert left > 8
    frames = {single(opened) for _ in range(left)}
    assert len(frames - {0}) == left
    assert single(opened) == 0
    assert opened.frames_check()


@pytest.mark.parametrize("at", [0, 1, 255, 510])
def test_one_of_them_is_had_by_its_address(opened, at):
    """The others can be had then as before."""
    pa, free = single_frames(opened)[at], opened.frames_count(opened.FRAME_FREE)
    assert opened.frames_claim(pa, 1)
    assert not opened.frames_claim(pa, 1)
    assert opened.frames_count(opened.FRAME_FREE) == free - 1
    assert opened.frames_check()
    assert pa not in {single(opened) for _ in range(600)}


def test_a_run_of_free_frames_goes_on_across_the_block(opened):
    """From what is free below it to what is free above."""
    rest = single_frames(opened)
    start, order = next(
        each for each in free_blocks(opened) if each[0] <= rest.start < each[0] + (PAGE << each[1])
    )
    count = (start + (PAGE << order) - (rest.start - PAGE)) // PAGE
    assert opened.frames_run(rest.start - PAGE, count, True) == count > 512
    assert opened.frames_run(rest.start, 100, True) == 100


def test_check_finds_one_in_use(opened):
    """A frame cannot be in use and the next to be handed out, though the counts would have room for both."""
    assert opened.frames_check()
    records, counts = opened.variable("frame_records"), opened.variable("pool").by_purpose
    records.at[single_frames(opened)[100] // PAGE - records.first].purpose = opened.FRAME_PAGE
    for purpose in (opened.FRAME_PAGE, opened.FRAME_NONE):
        counts[purpose] += 1
    assert not opened.frames_check()


def test_a_run_of_the_largest_blocks_takes_the_block_in(kernel_elf):
    """One of 1G is whole but for single frames that have all come back."""
    from harness import Kernel

    with Kernel(kernel_elf, ram_size=5 << 30) as kernel, without_filling(kernel):
        take_listed(kernel, most=MAX_ORDER - 1)
        below = [single(kernel) for _ in range(len(single_frames(kernel)))]
        frame = single(kernel)
        assert len(single_frames(kernel)) == 511
        kernel.frames_free(frame, 1)
        assert frame not in below
        assert kernel.frames_alloc(4 * BLOCK_1G // PAGE, 0, kernel.FRAME_REGION)
